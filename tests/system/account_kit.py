# SPDX-License-Identifier: MIT
"""People with accounts on a stack: register, log in, ask."""
import subprocess

import httpx

import stack as st

PASSWORD = "correct-horse-battery"


class Caller:
    """Whoever has a token; None = nobody."""

    def __init__(self, s, token=None):
        self.stack, self.token = s, token

    def ask(self, method, path, body=None, expect=None, **kw):
        headers = kw.pop("headers", {})
        if self.token is not None:
            headers = {"Authorization": f"Bearer {self.token}", **headers}
        r = httpx.request(method, self.stack.url(path), json=body,
                          headers=headers, trust_env=False, timeout=st.WAIT,
                          **kw)
        if expect is not None:
            assert r.status_code == expect, (method, path, r.status_code,
                                             r.text)
        return r

    def get(self, path, expect=200):
        return self.ask("GET", path, expect=expect).json()

    def post(self, path, body=None, expect=200):
        return self.ask("POST", path, body, expect).json()

    def key(self, **body):
        return Caller(self.stack, self.post(
            "/api/auth/api-keys", {"name": "k", **body}, 201)["key"])


class Person(Caller):
    def __init__(self, s, email, answer):
        super().__init__(s, answer["access_token"])
        self.email, self.answer = email, answer
        self.refresh_token = answer["refresh_token"]
        self.tenant, self.id = answer["org_id"], answer["user_id"]


def register(s, email, password=PASSWORD, **body):
    r = s.post("/api/auth/register",
               {"email": email, "password": password, **body})
    assert r.status_code == 201, r.text
    return Person(s, email, r.json())


def login(s, email, password=PASSWORD):
    r = s.post("/api/auth/login", {"email": email, "password": password})
    assert r.status_code == 200, r.text
    return Person(s, email, r.json())


def cli(s, *args, stdin="", check=True):
    r = subprocess.run([s.program("aragora"), *args], env=s.env,
                       input=stdin, capture_output=True, text=True,
                       check=False, timeout=st.WAIT)
    assert not check or r.returncode == 0, r.stderr
    return r


def user(s, email, role, tenant=None, password=PASSWORD):
    """Made by the operator."""
    where = ["--tenant", tenant] if tenant else []
    cli(s, "user", "create", email, "--role", role, *where,
        stdin=password + "\n")
    return login(s, email, password)


def operator(s):
    return Caller(s, cli(s, "token", "create", "--name", "op", "--tier",
                         "internal").stdout.strip())
