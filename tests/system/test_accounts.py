# SPDX-License-Identifier: MIT
"""Accounts: register, log in, refresh, log out, passwords, sessions, keys,
preferences, roles and scopes, on both databases."""
import base64
import concurrent.futures
import glob
import hashlib
import hmac
import json
import os
import statistics
import subprocess
import time

import httpx
import pytest

import stack as st
from account_kit import (PASSWORD, Caller, cli, login, operator, register,
                         user)

SECRET = "an-installation-secret-of-some-length"
TOKENS = {"access_token", "refresh_token", "token_type", "expires_in",
          "expires_at"}


@pytest.fixture(name="stack", scope="module", params=["sqlite", "postgresql"])
def fixture_stack(request):
    if request.param == "postgresql":
        owner, app = request.getfixturevalue("postgres").roles()
        s = st.Stack(database_url=app, owner_url=owner, runners=0,
                     ARAGORA_JWT_SECRET=SECRET)
    else:
        s = st.Stack(runners=0, ARAGORA_JWT_SECRET=SECRET)
    with s:
        yield s


def part(token, i):
    text = token.split(".")[i]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def sign(payload, secret=SECRET, **header):
    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    head = {"alg": "HS256", "typ": "JWT", "kid": "aragora", **header}
    text = b64(json.dumps(head).encode()) + "." + \
        b64(json.dumps(payload).encode())
    mac = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{b64(mac)}"


# ---- register, log in ----

def test_register(stack):
    ann = register(stack, "  Ann@Example.ORG ", name="Ann",
                   organization="Acme")
    a = ann.answer
    assert TOKENS <= set(a) and TOKENS == set(a["tokens"])
    assert a["user"]["email"] == a["email"] == "ann@example.org"
    assert a["user"]["id"] == a["user_id"] == a["id"]
    assert a["organization"]["name"] == "Acme"
    assert a["organizations"] == [a["organization"]]
    assert a["user"]["organization"] == "Acme"
    assert a["role"] == "owner" and a["plan"] == "free"
    assert a["requires_verification"] is False and a["token_type"] == "Bearer"
    claims = part(a["access_token"], 1)
    assert claims["sub"] == a["id"] and claims["org_id"] == a["org_id"]
    assert claims["type"] == "access" and claims["tv"] == 0
    assert claims["exp"] - claims["iat"] == 24 * 3600 == a["expires_in"]
    assert part(a["refresh_token"], 1)["type"] == "refresh"
    r = stack.post("/api/auth/register", {"email": "ANN@example.org",
                                          "password": PASSWORD})
    assert r.status_code == 409 and r.json()["code"] == "CONFLICT"
    me = ann.get("/api/v1/auth/me")
    assert me["id"] == a["id"] and me["preferences"] == {}
    assert me["user"]["last_login"] is not None
    assert me == ann.get("/api/auth/profile")
    assert ann.ask("GET", "/api/auth/me").headers["cache-control"] == \
        "no-store"


@pytest.mark.parametrize("body, field", [
    ({"password": PASSWORD}, "email"),
    ({"email": "a@b.c"}, "password"),
    ({"email": "nobody", "password": PASSWORD}, "email"),
    ({"email": "a b@c.d", "password": PASSWORD}, "email"),
    ({"email": "a@b@c.d", "password": PASSWORD}, "email"),
    ({"email": 7, "password": PASSWORD}, "email"),
    ({"email": "x@y.z", "password": "seven77"}, "password"),
    ({"email": "x@y.z", "password": "x" * 129}, "password"),
    ({"email": "x@y.z", "password": PASSWORD, "name": "\x01"}, "name"),
    ({"email": "x@y.z", "password": PASSWORD, "name": "n" * 101}, "name"),
])
def test_register_refuses(stack, body, field):
    r = stack.post("/api/auth/register", body)
    assert r.status_code == 400, r.text
    assert r.json()["errors"][0]["field"] == field
    assert str(body.get("password")) not in r.text


def test_register_many_at_once(stack):
    """One e-mail is one account, whoever comes first."""
    def once(_):
        return stack.post("/api/auth/register", {
            "email": "race@example.org", "password": PASSWORD}).status_code
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(once, range(4))) == [201, 409, 409, 409]


def test_login(stack):
    register(stack, "login@example.org")
    back = login(stack, "LOGIN@example.org")
    assert back.get("/api/auth/me")["email"] == "login@example.org"
    sessions = back.get("/api/auth/sessions")["sessions"]
    assert len(sessions) == 2
    assert [s["current"] for s in sessions].count(True) == 1
    assert all(s["ip_address"] == "127.0.0.1" and
               s["device"].startswith("python-httpx") for s in sessions)


def attempt(stack, email, password):
    start = time.monotonic()
    r = stack.post("/api/auth/login", {"email": email, "password": password})
    return time.monotonic() - start, r


def test_nobody_can_tell_who_has_an_account(stack):
    """The same answer after the same work, known or not."""
    times = {True: [], False: []}
    for i in range(4):
        register(stack, f"known{i}@example.org")
        for known, name in ((True, f"known{i}"), (False, f"unknown{i}")):
            t, r = attempt(stack, f"{name}@example.org", "wrong-password")
            times[known].append(t)
            assert r.status_code == 401
            assert r.json()["error"] == "the e-mail or the password is wrong"
            assert r.json()["code"] == "INVALID_TOKEN"
    # argon2id takes its time either way: far more than asking the database.
    base = statistics.median(attempt(stack, "x", 7)[0] for _ in range(4))
    known, unknown = (statistics.median(times[k]) for k in (True, False))
    assert unknown > base and 0.25 < known / unknown < 4
    if "ARAGORA_DATABASE_URL" not in stack.env:
        hashes = [h for (h,) in stack.rows("SELECT password_hash FROM users")]
        assert len(hashes) >= 4 and len(set(hashes)) == len(hashes)
        assert all(h.startswith("$argon2id$v=19$m=65536,t=2,p=1$")
                   for h in hashes)


def test_lock_out(stack):
    """Five for an e-mail, whether it is anybody's or not; also for the right
    password, and over a restart of the workers."""
    register(stack, "locked@example.org")
    for email in ("locked@example.org", "never@example.org"):
        for _ in range(5):
            assert attempt(stack, email, "wrong-password")[1] \
                .status_code == 401
        r = attempt(stack, email, PASSWORD)[1]
        assert r.status_code == 429, r.text
        assert r.json()["code"] == "RATE_LIMITED"
        assert 0 < int(r.headers["retry-after"]) <= 60
        assert r.json()["retry_after"] == int(r.headers["retry-after"])
        assert "rate" in r.json()["error"].lower()
    for pid in stack.worker_pids:
        os.kill(pid, 15)
    for pid in stack.worker_pids:
        st.wait_for("exit", lambda p=pid: not os.path.exists(
            f"/proc/{p}") or stack.is_zombie(p))
    os.unlink(os.path.join(stack.run_dir, "fcgi.sock"))
    stack.start_workers()
    st.wait_for("API", stack.is_healthy)
    r = attempt(stack, "locked@example.org", PASSWORD)[1]
    assert r.status_code == 429, r.text
    # Others come in.
    assert register(stack, "free@example.org").get("/api/auth/me")


# ---- refresh, log out ----

def refresh(stack, token):
    return stack.post("/api/auth/refresh", {"refresh_token": token})


def test_refresh(stack):
    ann = register(stack, "refresh@example.org")
    r = refresh(stack, ann.refresh_token)
    assert r.status_code == 200
    assert TOKENS <= set(r.json()) and set(r.json()["tokens"]) == TOKENS
    new = r.json()["refresh_token"]
    assert new != ann.refresh_token
    later = Caller(stack, r.json()["access_token"])
    assert later.get("/api/auth/me")["email"] == "refresh@example.org"
    assert len(later.get("/api/auth/sessions")["sessions"]) == 1
    # An access token is no refresh token, and the other way round.
    assert refresh(stack, ann.token).status_code == 401
    assert Caller(stack, new).ask("GET", "/api/auth/me").status_code == 401
    # The old one again: it is in two hands, and the session ends for both.
    r = refresh(stack, ann.refresh_token)
    assert r.status_code == 401 and r.json()["code"] == "INVALID_TOKEN"
    assert refresh(stack, new).status_code == 401
    later.get("/api/auth/me", expect=401)


def test_refresh_many_at_once(stack):
    ann = register(stack, "twice@example.org")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(
            lambda _: refresh(stack, ann.refresh_token).status_code,
            range(4)))
    assert sorted(codes) == [200, 401, 401, 401]


@pytest.mark.parametrize("body", [{}, {"refresh_token": ""},
                                  {"refresh_token": 7}])
def test_refresh_refuses_bad_bodies(stack, body):
    r = stack.post("/api/auth/refresh", body)
    assert r.status_code in (400, 401)
    assert r.status_code == 401 or r.json()["field"] == "refresh_token"


def test_forged_tokens(stack):
    ann = register(stack, "forged@example.org")
    claims = part(ann.token, 1)
    assert Caller(stack, sign(claims)).get("/api/auth/me")
    forged = {
        "secret": sign(claims, secret="another-secret-of-the-same-length!!"),
        "none": sign(claims, alg="none"),
        "expired": sign({**claims, "exp": int(time.time()) - 1}),
        "session": sign({**claims, "sid": "ses_000000000000000000000000"}),
        "user": sign({**claims, "sub": "user_0000000000000000"}),
        "tenant": sign({**claims, "org_id": "default"}),
        "version": sign({**claims, "tv": claims["tv"] + 1}),
        "issuer": sign({**claims, "iss": "other"}),
        "kid": sign(claims, kid="other"),
        "type": sign({**claims, "type": "refresh"}),
        "bare": sign({}),
        "cut": ann.token.rsplit(".", 1)[0] + ".",
    }
    for name, token in forged.items():
        r = Caller(stack, token).ask("GET", "/api/auth/me")
        assert r.status_code == 401, name
        assert r.headers["www-authenticate"].startswith("Bearer error")
        # Also where none is needed.
        assert Caller(stack, token).ask("GET", "/api/agents") \
            .status_code == 401, name


def test_logout(stack):
    ann = register(stack, "out@example.org")
    other = login(stack, "out@example.org")
    answer = ann.post("/api/auth/logout")
    assert answer["logged_out"] is True and answer["message"]
    ann.get("/api/auth/me", expect=401)
    assert refresh(stack, ann.refresh_token).status_code == 401
    third = login(stack, "out@example.org")
    assert other.post("/api/auth/logout-all")["sessions_revoked"] == 2
    for who in (other, third):
        who.get("/api/auth/me", expect=401)
    assert login(stack, "out@example.org").get("/api/auth/me")


def test_sessions_end_one_by_one(stack):
    ann = register(stack, "many@example.org")
    other = login(stack, "many@example.org")
    bob = register(stack, "bob@example.org")
    theirs = next(s["id"] for s in ann.get("/api/auth/sessions")["sessions"]
                  if not s["current"])
    bob.ask("DELETE", f"/api/auth/sessions/{theirs}", expect=404)
    r = ann.ask("DELETE", f"/api/auth/sessions/{theirs}", expect=200)
    assert r.json()["revoked"] is True
    other.get("/api/auth/me", expect=401)
    ann.get("/api/auth/me")
    ann.ask("DELETE", f"/api/auth/sessions/{theirs}", expect=404)


@pytest.mark.parametrize("path", ["/api/auth/password/change",
                                  "/api/auth/change-password"])
def test_change_password(stack, path):
    email = f"pw{path.count('-')}@example.org"
    ann = register(stack, email)
    other = login(stack, email)
    bad = {"current_password": "wrong-password", "new_password": "another-one"}
    r = ann.ask("POST", path, bad, expect=401)
    assert r.json()["error"] == "the current password is wrong"
    r = ann.ask("POST", path, {**bad, "new_password": "short"}, expect=400)
    assert r.json()["field"] == "new_password"
    ann.ask("POST", path, {"new_password": "another-one"}, expect=400)
    assert ann.post(path, {"current_password": PASSWORD,
                           "new_password": "another-one"})["message"]
    ann.get("/api/auth/me")
    other.get("/api/auth/me", expect=401)
    assert attempt(stack, email, PASSWORD)[1].status_code == 401
    assert login(stack, email, "another-one")


def test_patch_me(stack):
    ann = register(stack, "patch@example.org", organization="Old")
    r = ann.ask("PATCH", "/api/auth/me", {
        "name": "Anna", "avatar_url": "https://x/y.png",
        "preferences": {"theme": "dark"}, "organization": "New",
        "metadata": {"k": [1]}, "role": "operator", "plan": "enterprise"},
        expect=200).json()
    assert r["updated"] is True
    assert r["user"]["name"] == "Anna" and r["organization"]["name"] == "New"
    assert r["user"]["metadata"] == {"k": [1]}
    assert r["user"]["role"] == "owner" and r["user"]["plan"] == "free"
    me = ann.get("/api/auth/me")
    assert me["preferences"] == {"theme": "dark"}
    assert me["avatar_url"] == "https://x/y.png"
    for body, field in (({"name": ""}, "name"),
                        ({"avatar_url": "javascript:x"}, "avatar_url"),
                        ({"metadata": []}, "metadata"),
                        ({"metadata": {"x": "y" * 16384}}, "metadata"),
                        ({"preferences": 1}, "preferences"),
                        ({"organization": " "}, "organization")):
        r = ann.ask("PATCH", "/api/auth/me", body, expect=400)
        assert r.json()["field"] == field
    assert ann.get("/api/auth/me") == me


# ---- API keys ----

def test_keys(stack):
    ann = register(stack, "keys@example.org")
    made = ann.post("/api/auth/api-keys", {"name": "ci"}, 201)
    assert made["key"] == made["api_key"] and made["message"]
    assert made["key"].startswith("ara_") and len(made["key"]) == 47
    assert made["prefix"] == made["key"][:12]
    assert made["scopes"] == ["read", "write"]
    key = Caller(stack, made["key"])
    assert key.get("/api/auth/me")["org_id"] == ann.tenant
    assert key.ask("GET", "/api/debates", headers={"Authorization": "",
                   "X-API-Key": made["key"]}).status_code == 200
    listed = ann.get("/api/auth/api-keys")
    assert listed["keys"] == listed["items"] == listed["api_keys"]
    assert listed["total"] == listed["count"] == 1
    assert listed["keys"][0]["last_used"] is not None
    assert made["key"] not in json.dumps(listed)
    # By prefix, and at once.
    assert ann.ask("DELETE", f"/api/auth/api-keys/{made['prefix']}",
                   expect=200).json()["revoked"] is True
    key.get("/api/auth/me", expect=401)
    ann.ask("DELETE", f"/api/auth/api-keys/{made['id']}", expect=404)
    again = ann.post("/api/auth/api-key", {"name": "two"}, 201)
    bob = register(stack, "keys2@example.org")
    bob.ask("DELETE", f"/api/auth/api-keys/{again['id']}", expect=404)
    ann.ask("DELETE", f"/api/auth/api-keys/{again['id']}", expect=200)


def test_key_expiry(stack):
    ann = register(stack, "expiry@example.org")
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ",
                         time.gmtime(time.time() + 3))
    made = ann.post("/api/auth/api-keys", {"name": "x", "expires_at": soon},
                    201)
    assert made["expires_at"].startswith(soon[:-1])
    key = Caller(stack, made["key"])
    assert key.get("/api/auth/me")
    st.wait_for("expiry", lambda: key.ask(
        "GET", "/api/auth/me").status_code == 401)
    year = ann.post("/api/auth/api-keys", {"name": "y"}, 201)
    assert int(year["expires_at"][:4]) == int(year["created_at"][:4]) + 1
    for body, field in (({}, "name"), ({"name": ""}, "name"),
                        ({"name": "x", "expires_in": 5}, "expires_in"),
                        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"},
                         "expires_at"),
                        ({"name": "x", "expires_at": "soon"}, "expires_at"),
                        ({"name": "x", "expires_at": soon,
                          "expires_in": 600}, "expires_in"),
                        ({"name": "x", "scopes": ["fly"]}, "scopes"),
                        ({"name": "x", "scopes": []}, "scopes"),
                        ({"name": "x", "scopes": [1]}, "scopes"),
                        ({"name": "x", "scopes": {}}, "scopes")):
        r = ann.ask("POST", "/api/auth/api-keys", body, expect=400)
        assert r.json()["field"] == field, body


DEBATE = {"task": "Tea or coffee?", "agents": ["demo", "demo"]}
# What asks for which right.
READS = [("GET", "/api/debates", None), ("GET", "/api/auth/me", None),
         ("POST", "/api/search", {"query": "x"})]
WRITES = [("POST", "/api/debates", DEBATE)]


def allowed(caller, asks):
    codes = {caller.ask(*a).status_code for a in asks}
    assert codes <= {200, 201} or codes == {403}, codes
    return 403 not in codes


def test_scopes(stack):
    """A key does what its scopes say and its maker may, and no more."""
    ann = register(stack, "scopes@example.org")
    for scopes, writes in (("read", False), ("write", True),
                           ("read,write", True), ("admin", True),
                           (["*"], True)):
        key = ann.key(scopes=scopes if isinstance(scopes, list)
                      else scopes.split(","))
        assert allowed(key, READS)
        assert allowed(key, WRITES) == writes
    key = ann.key(scopes=["read"])
    r = key.ask("POST", "/api/debates", DEBATE, expect=403)
    assert r.json()["code"] == "FORBIDDEN" and "write" in r.json()["error"]
    # Keys make keys only with the scope admin.
    for scopes in (["read"], ["read", "write"]):
        key = ann.key(scopes=scopes)
        key.ask("POST", "/api/auth/api-keys", {"name": "x"}, expect=403)
        mine = key.get("/api/auth/api-keys")["keys"][0]["id"]
        key.ask("DELETE", f"/api/auth/api-keys/{mine}", expect=403)
    assert ann.key(scopes=["admin"]).key(scopes=["admin"]).get("/api/auth/me")


def test_roles(stack):
    """owner, admin, member and viewer of one tenant."""
    ann = register(stack, "roles@example.org")
    people = {r: user(stack, f"{r}@roles.org", r, ann.tenant)
              for r in ("admin", "member", "viewer")}
    people["owner"] = ann
    for role, who in people.items():
        assert who.tenant == ann.tenant
        me = who.get("/api/auth/me")
        assert me["role"] == role and me["roles"] == [role]
        assert allowed(who, READS)
        assert allowed(who, WRITES) == (role != "viewer")
        # A viewer's own things are its own.
        who.ask("PATCH", "/api/auth/me", {"name": role}, expect=200)
        who.ask("PUT", "/api/users/me/preferences", {"a": 1}, expect=200)
        r = who.ask("PATCH", "/api/auth/me", {"organization": "X"})
        assert r.status_code == (200 if role in ("owner", "admin") else 403)
        key = who.key()
        assert allowed(key, WRITES) == (role != "viewer")
        for scopes in (["write"], ["admin"]):
            r = who.ask("POST", "/api/auth/api-keys", {
                "name": "x", "scopes": scopes})
            fits = role in ("owner", "admin") or (
                role == "member" and scopes == ["write"])
            assert r.status_code == (201 if fits else 403), (role, scopes)
    # Administrators see everybody's keys and may end them.
    keys = people["admin"].get("/api/auth/api-keys?limit=100")["keys"]
    assert {k["owner_id"] for k in keys} == {p.id for p in people.values()}
    theirs = next(k["id"] for k in keys if k["owner_id"] == ann.id)
    people["member"].ask("DELETE", f"/api/auth/api-keys/{theirs}", expect=404)
    people["admin"].ask("DELETE", f"/api/auth/api-keys/{theirs}", expect=200)
    # A role that shrinks takes the keys along.
    key = people["member"].key(scopes=["write"])
    assert allowed(key, WRITES)
    cli(stack, "user", "role", "member@roles.org", "viewer")
    assert not allowed(key, WRITES) and not allowed(people["member"], WRITES)
    cli(stack, "user", "disable", "member@roles.org")
    for who in (key, people["member"]):
        who.get("/api/auth/me", expect=401)
    assert attempt(stack, "member@roles.org", PASSWORD)[1].status_code == 401
    cli(stack, "user", "enable", "member@roles.org")
    assert login(stack, "member@roles.org")
    assert key.get("/api/auth/me")


def test_tenants_do_not_meet(stack):
    ann, bob = (register(stack, f"{n}@meet.org") for n in ("ann", "bob"))
    debate = ann.post("/api/debates", DEBATE, 201)["debate_id"]
    assert ann.get(f"/api/debates/{debate}")["debate_id"] == debate
    bob.get(f"/api/debates/{debate}", expect=404)
    assert bob.get("/api/debates")["total"] == 0
    Caller(stack).get(f"/api/debates/{debate}", expect=404)


# ---- preferences ----

@pytest.mark.parametrize("path", ["/api/users/me/preferences",
                                  "/api/user/preferences",
                                  "/api/v1/users/me/preferences"])
def test_preferences(stack, path):
    ann = register(stack, f"pref{path.replace('/', '.')}@example.org")
    empty = ann.get(path)
    assert empty == {"user_id": ann.id, "preferences": {}, "updated_at": None}
    put = ann.ask("PUT", path, {"theme": "dark", "n": {"x": [1, None]}},
                  expect=200).json()
    assert put["preferences"] == {"theme": "dark", "n": {"x": [1, None]}}
    assert put["updated_at"] is not None
    patched = ann.ask("PATCH", path, {"n": None, "lang": "de", "no": None},
                      expect=200).json()
    assert patched["preferences"] == {"theme": "dark", "lang": "de"}
    assert ann.get(path) == patched
    assert ann.get("/api/auth/me")["preferences"] == patched["preferences"]
    wrapped = ann.ask("PUT", path, {"preferences": {"a": 1}}, expect=200)
    assert wrapped.json()["preferences"] == {"a": 1}
    for body in ({f"k{i}": i for i in range(101)}, {"x": "y" * 16384}):
        r = ann.ask("PUT", path, body, expect=400)
        assert r.json()["field"] == "preferences"
    r = ann.ask("PATCH", path, {f"k{i}": i for i in range(100)}, expect=400)
    assert "100 keys" in r.json()["error"]
    ann.ask("PUT", path, {f"k{i}": i for i in range(100)}, expect=200)
    ann.ask("PUT", path, content=b"[1]", expect=400)
    ann.ask("PUT", path, {}, expect=200)
    assert ann.get(path)["preferences"] == {}
    Caller(stack).get(path, expect=401)


def test_preferences_at_once(stack):
    """Of changes at the same time none is lost."""
    ann = register(stack, "atonce@example.org")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: ann.ask(
            "PATCH", "/api/users/me/preferences", {f"k{i}": i}, expect=200),
            range(16)))
    assert ann.get("/api/user/preferences")["preferences"] == {
        f"k{i}": i for i in range(16)}


def test_preferences_are_kept(stack):
    """They are read once and come from the cache after that, to nobody else,
    and never older than a write, whichever worker is asked."""
    path = "/api/users/me/preferences"
    ann = register(stack, "kept@example.org")
    bob_email = "kept-too@example.org"
    cli(stack, "user", "create", bob_email, "--tenant",
        ann.get("/api/auth/me")["org_id"], stdin=PASSWORD + "\n")
    bob = login(stack, bob_email)

    def hits():
        line = next(x for x in stack.get("/metrics", check=False)
                    .text.splitlines() if x.startswith(
                        'aragora_cache_hits_total{kind="preferences"}'))
        return float(line.split()[-1])

    for value in range(12):
        ann.ask("PUT", path, {"value": value}, expect=200)
        for _ in range(4):
            assert ann.get(path)["preferences"] == {"value": value}
            assert bob.get(path)["preferences"] == {}
    before = hits()
    for _ in range(10):
        ann.get(path)
    assert hits() >= before + 8  # each worker computes it once at most


def test_preferences_of_a_key(stack):
    key = operator(stack)
    key.ask("PUT", "/api/user/preferences", {"a": 1}, expect=200)
    assert key.get("/api/user/preferences")["preferences"] == {"a": 1}
    me = key.get("/api/auth/me")
    assert me["preferences"] == {"a": 1} and me["tier"] == "internal"
    assert key.post("/api/auth/logout", expect=400)["error"]
    key.ask("PATCH", "/api/auth/me", {"name": "x"}, expect=403)


# ---- the command line ----

def test_user_command(stack):
    out = cli(stack, "user", "create", "Cli@Example.org", "--organization",
              "Cli Inc", stdin=PASSWORD + "\n").stdout
    assert out.startswith("user_") and " owner of tenant org_" in out
    tenant = out.split()[-1]
    ann = login(stack, "cli@example.org")
    assert ann.answer["organization"]["name"] == "Cli Inc"
    listed = cli(stack, "user", "list", "--tenant", tenant).stdout
    assert "cli@example.org" in listed and "owner" in listed
    r = cli(stack, "user", "create", "cli@example.org",
            stdin=PASSWORD + "\n", check=False)
    assert r.returncode == 1 and "there is such a user" in r.stderr
    r = cli(stack, "user", "password", "cli@example.org", stdin="short\n",
            check=False)
    assert r.returncode == 1 and "8 to 128" in r.stderr
    cli(stack, "user", "password", "cli@example.org", stdin="another-one\n")
    ann.get("/api/auth/me", expect=401)
    assert login(stack, "cli@example.org", "another-one")
    token = cli(stack, "user", "token", "cli@example.org").stdout.strip()
    claims = part(token, 1)
    assert claims["exp"] - claims["iat"] == 3600
    assert Caller(stack, token).get("/api/auth/me")["email"] == \
        "cli@example.org"
    key = Caller(stack, cli(stack, "token", "create", "--name", "x", "--user",
                            "cli@example.org", "--scopes",
                            "read").stdout.strip())
    assert key.get("/api/auth/me")["org_id"] == tenant
    key.ask("POST", "/api/debates", DEBATE, expect=403)
    for args in (["user"], ["user", "create"], ["user", "create", "x"],
                 ["user", "role", "a@b.c", "king"], ["user", "fly", "a@b.c"],
                 ["user", "create", "a@b.c", "--role", "king"],
                 ["token", "create", "--name", "x", "--scopes", "fly"]):
        assert cli(stack, *args, check=False).returncode == 64, args
    for args in (["user", "role", "no@b.c", "viewer"],
                 ["user", "disable", "no@b.c"], ["user", "token", "no@b.c"],
                 ["token", "create", "--name", "x", "--user", "no@b.c"]):
        assert cli(stack, *args, check=False).returncode == 1, args


# ---- stacks of their own ----

def test_users_close_the_default_tenant():
    with st.Stack(runners=0) as s:
        nobody = Caller(s)
        assert nobody.get("/api/debates")["total"] == 0
        # Those who register are tenants of their own.
        register(s, "ann@example.org")
        nobody.get("/api/debates")
        boss = user(s, "boss@example.org", "owner")
        st.wait_for("closing", lambda: nobody.ask(
            "GET", "/api/debates").status_code == 401)
        assert boss.tenant == "default" and boss.get("/api/debates")
        assert nobody.get("/api/agents") and nobody.get("/api/capabilities")
        for path in ("/api/leaderboard", "/api/auth/health"):
            nobody.get(path, expect=200 if "health" in path else 401)


def test_registration_can_be_closed():
    with st.Stack(runners=0, ARAGORA_REGISTRATION="false") as s:
        r = s.post("/api/auth/register", {"email": "a@b.cd",
                                          "password": PASSWORD})
        assert r.status_code == 403
        assert user(s, "a@b.cd", "owner").get("/api/auth/me")


def test_secret_of_the_installation():
    """One for all processes, for its owner alone, over restarts."""
    with st.Stack(runners=0) as s:
        people = [register(s, f"p{i}@example.org") for i in range(4)]
        path = os.path.join(s.data, "jwt.secret")
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert os.path.getsize(path) == 43
        assert glob.glob(path + ".*") == []
        # Two workers answer.
        for _ in range(4):
            for who in people:
                who.get("/api/auth/me")
        with open(path, encoding="ascii") as f:
            secret = f.read()
        assert Caller(s, sign(part(people[0].token, 1), secret)) \
            .get("/api/auth/me")


def start_worker(**env):
    with open(os.devnull, "wb") as null:
        return subprocess.run(
            [st.Stack.program("aragora-fcgi"), "--listen", "unix:/nowhere/x"],
            env={"PATH": os.environ["PATH"], **env}, stdout=null,
            stderr=subprocess.PIPE, text=True, check=False, timeout=st.WAIT)


def test_short_secret_is_refused(tmp_path):
    r = start_worker(ARAGORA_DATA_DIR=str(tmp_path),
                     ARAGORA_JWT_SECRET="short")
    assert r.returncode != 0 and "short" not in r.stderr.replace(
        "is too short", "")


def test_open_secret_file_switches_logins_off(tmp_path):
    path = os.path.join(tmp_path, "jwt.secret")
    with st.Stack(runners=0) as s:
        path = os.path.join(s.data, "jwt.secret")
        os.chmod(path, 0o644)
        for pid in s.worker_pids:
            os.kill(pid, 15)
        for pid in s.worker_pids:
            st.wait_for("exit", lambda p=pid: not os.path.exists(
                f"/proc/{p}") or s.is_zombie(p))
        os.unlink(os.path.join(s.run_dir, "fcgi.sock"))
        s.start_workers()
        st.wait_for("API", s.is_healthy)
        r = s.post("/api/auth/register", {"email": "a@b.cd",
                                          "password": PASSWORD})
        assert r.status_code == 503 and "JWT_SECRET" in r.json()["error"]
        assert s.get("/api/auth/health")["status"] == "degraded"
        assert "chmod 600" in s.log("fcgi")
        assert s.get("/api/debates")["total"] == 0


def peak_mb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f
                    if line.startswith("VmHWM")) / 1024


def test_logins_at_once_are_bounded_in_memory():
    """Eight threads of two workers, 64 MB each: at most two at a time."""
    with st.Stack(runners=0, ARAGORA_FCGI_THREADS="4") as s:
        before = {p: peak_mb(p) for p in s.worker_pids}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(lambda i: attempt(
                s, f"who{i}@example.org", "wrong-password")[1].status_code,
                range(16)))
        assert set(codes) <= {401, 503}, codes
        grown = {p: peak_mb(p) - before[p] for p in s.worker_pids}
        assert all(mb < 2 * 64 + 48 for mb in grown.values()), grown


def test_addresses_are_locked_out():
    """Twenty for an address, whatever the e-mails."""
    with st.Stack(runners=0, ARAGORA_DISABLE_ALL_RATE_LIMITS="0",
                  **{**st.MANY, "ARAGORA_RATE_LIMIT_LOGIN": "1000"}) as s:
        ann = register(s, "ann@example.org")
        for i in range(19):
            assert attempt(s, f"who{i}@example.org", "wrong-password")[1] \
                .status_code == 401
        # Who is right takes back its own attempt, and no other.
        assert login(s, "ann@example.org").get("/api/auth/me")
        assert attempt(s, "last@example.org", "x" * 8)[1].status_code == 401
        r = attempt(s, "ann@example.org", PASSWORD)[1]
        assert r.status_code == 429 and int(r.headers["retry-after"]) <= 60
        ann.get("/api/auth/me")


def test_routes_are_limited_by_address():
    with st.Stack(runners=0, ARAGORA_DISABLE_ALL_RATE_LIMITS="0",
                  ARAGORA_BURST_MULTIPLIER="1",
                  **{**st.MANY, "ARAGORA_RATE_LIMIT_LOGIN": "4",
                     "ARAGORA_RATE_LIMIT_REFRESH": "3",
                     "ARAGORA_RATE_LIMIT_KEYS": "2"}) as s:
        def count(method, path, body, token=None):
            codes = []
            while 429 not in codes and len(codes) < 20:
                codes.append(Caller(s, token).ask(
                    method, path, body).status_code)
            return len(codes) - 1
        ann = register(s, "ann@example.org")
        assert count("POST", "/api/auth/login", {"email": "x@y.z"}) == 3
        # It is one bucket with registration.
        r = s.post("/api/auth/register", {})
        assert r.status_code == 429 and int(r.headers["retry-after"]) > 0
        assert count("POST", "/api/auth/refresh", {}) == 3
        assert count("POST", "/api/auth/api-keys", {}, ann.token) == 2
        limits = s.get("/api/rate-limits")["limits"]
        assert {"login", "refresh", "keys"} <= set(limits), limits
