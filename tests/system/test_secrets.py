# SPDX-License-Identifier: MIT
"""Secrets are planted everywhere they may be given, then looked for wherever
they must not be: logs at DEBUG, command lines, answers, metrics, the database.
Questions and answers are looked for in the logs as well."""
import asyncio
import base64
import glob
import os
import subprocess

import pytest
import websockets

import stack as st
from account_kit import Caller, cli, login, register

PLANTED = {
    "OPENAI_API_KEY": "sk-planted-openai-51c2",
    "ANTHROPIC_API_KEY": "sk-planted-anthropic-8ab0",
    "OPENROUTER_API_KEY": "sk-planted-openrouter-77de",
    "ARAGORA_API_TOKEN": "planted-static-token-3f90",
    "ARAGORA_JWT_SECRET": "planted-jwt-secret-" + "0" * 32,
    "ARAGORA_METRICS_TOKEN": "planted-metrics-token-6a1e",
}
PASSWORD = "planted-database-password"
WORDS = ("marmalade-in-the-question", "marmalade-in-the-context")
# Of accounts: what was chosen, what was typed wrongly, what comes next.
CHOSEN = ("planted-password-of-ann", "planted-wrong-password",
          "planted-next-password", "planted-password-of-bob")
BEARER = {"Authorization": f"Bearer {PLANTED['ARAGORA_API_TOKEN']}"}


def command_lines(s):
    pids = [p.pid for p in s.processes.values()] + s.worker_pids
    for pid in pids:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            yield f"command line {pid}", f.read().decode()


def nginx_log(s):
    for path in glob.glob(os.path.join(s.run_dir, "*.log")):
        with open(path, encoding="utf-8", errors="replace") as f:
            yield path, f.read()


def database_files(s):
    for path in glob.glob(os.path.join(s.data, "*.db*")):
        with open(path, "rb") as f:
            yield path, f.read().decode("latin1")


def answers(s, debate_id):
    for path in ("/api/health", "/api/health/detailed", "/api/capabilities",
                 "/api/agents?limit=100", f"/api/debates/{debate_id}",
                 f"/api/debates/{debate_id}/events", "/api/openapi.json"):
        yield path, s.get(path, check=False, headers=BEARER).text
    metrics = {"Authorization":
               f"Bearer {PLANTED['ARAGORA_METRICS_TOKEN']}"}
    r = s.get("/metrics", check=False, headers=metrics)
    assert r.status_code == 200
    yield "/metrics", r.text


async def watch(s, debate_id, **how):
    query = how.pop("query", "")
    url = f"ws://127.0.0.1:{s.port}/ws?debate_id={debate_id}{query}"
    async with websockets.connect(url, **how) as ws:
        await asyncio.wait_for(ws.recv(), st.WAIT)


def use_every_way_in(s, debate_id):
    """The token in each place it may stand in, and others that are wrong."""
    token = PLANTED["ARAGORA_API_TOKEN"]
    for how in ({"extra_headers": BEARER}, {"query": f"&token={token}"},
                {"subprotocols": ["aragora-v1", f"access_token.{token}"]}):
        asyncio.run(watch(s, debate_id, **how))
    with pytest.raises(websockets.InvalidStatusCode) as refused:
        asyncio.run(watch(s, debate_id, query=f"&token={token}x"))
    assert refused.value.status_code == 401
    path = f"/api/debates/{debate_id}"
    assert s.get(path, headers={"X-API-Key": token})["debate_id"] == debate_id
    basic = base64.b64encode(f"x:{token}".encode()).decode()
    for bad in ({"Authorization": f"Bearer {token}x"},
                {"Authorization": f"Basic {basic}"},
                {"X-API-Key": f"{token}x"}, {}):
        r = s.get(path, check=False, headers=bad)
        assert r.status_code == 401
        assert token not in r.text


def use_accounts(s):
    """Everything that is a secret of somebody, in every place it is sent to;
    returns what was given out."""
    password, wrong, later, theirs = CHOSEN
    ann = register(s, "ann@example.org", password)
    given = [ann.token, ann.refresh_token]
    again = login(s, "ann@example.org", password)
    given += [again.token, again.refresh_token]
    for body in ({"email": "ann@example.org", "password": wrong},
                 {"email": wrong, "password": [wrong]},
                 {"email": {"x": wrong}, "password": wrong}):
        r = s.post("/api/auth/login", body)
        assert r.status_code in (400, 401) and wrong not in r.text
    r = s.post("/api/auth/register", {"email": "ann@example.org",
                                      "password": password})
    assert r.status_code == 409 and password not in r.text
    for _ in range(2):
        r = s.post("/api/auth/refresh", {"refresh_token": again.refresh_token})
        assert again.refresh_token not in r.text
        given += [v for k, v in r.json().items() if k.endswith("_token")]
    again.get("/api/auth/me", expect=401)
    key = ann.key(scopes=["admin"])
    made = key.key()
    given += [key.token, made.token]
    made.get("/api/auth/me")
    Caller(s, made.token + "x").get("/api/auth/me", expect=401)
    asyncio.run(watch(s, "none", query=f"&token={ann.token}"))
    asyncio.run(watch(s, "none", query=f"&token={made.token}"))
    ann.post("/api/auth/password/change", {
        "current_password": password, "new_password": later})
    ann.post("/api/auth/logout")
    cli(s, "user", "create", "bob@example.org", "--role", "member",
        stdin=theirs + "\n")
    given.append(cli(s, "user", "token", "bob@example.org").stdout.strip())
    assert Caller(s, given[-1]).get("/api/auth/me")
    # Signatures alone would do for whoever has the rest.
    return given + [t.rsplit(".", 1)[1] for t in given if "." in t]


def debate(s, model):
    r = s.post("/api/debates", {
        "task": f"Is {WORDS[0]} good?", "context": f"It is {WORDS[1]}.",
        "agents": [f"openai-api|{model}"] * 2, "rounds": 1}, headers=BEARER)
    assert r.status_code == 201, r.text
    debate_id = r.json()["debate_id"]
    st.wait_for("end", lambda: not s.get(
        f"/api/debates/{debate_id}", headers=BEARER)["in_progress"])
    return debate_id


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_planted_secrets(request, database):
    url = None
    secrets = list(PLANTED.values())
    if database == "postgresql":
        url = request.getfixturevalue("postgres").database().replace(
            "aragora@", f"aragora:{PASSWORD}@")
        secrets.append(PASSWORD)
    with st.Stack(database_url=url, redis=True, stub=True,
                  ARAGORA_LOG_LEVEL="DEBUG", ARAGORA_LLM_MAX_ATTEMPTS="1",
                  **PLANTED) as s:
        key = subprocess.run(
            [s.program("aragora"), "token", "create", "--name", "x"],
            env=s.env, check=True, text=True, capture_output=True
        ).stdout.strip()
        secrets += [key, *CHOSEN, *use_accounts(s)]
        debate_id = debate(s, "stub-ok")
        debate(s, "stub-401")  # whose body quotes what it was sent
        use_every_way_in(s, debate_id)
        assert s.get("/api/debates", headers={
            "Authorization": f"Bearer {key}"})["total"] == 2
        places = [*s.logs().items(), *nginx_log(s), *command_lines(s),
                  *answers(s, debate_id)]
        if database == "sqlite":
            files = list(database_files(s))
            assert any(WORDS[0] in text for _, text in files)
            places += files
        assert len(places) > 12
        for name, text in places:
            for secret in secrets:
                assert secret not in text, name
        logs = [*s.logs().items(), *nginx_log(s)]
        said = s.get(f"/api/debates/{debate_id}", headers=BEARER)
        words = [*WORDS, *said["final_answer"].split(". ")]
        for name, text in logs:
            for word in words:
                assert word not in text, name


def test_dead_database_keeps_its_password(tmp_path):
    """Errors of the driver quote what it was given."""
    url = f"postgresql://aragora:{PASSWORD}@127.0.0.1:1/x"
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("ARAGORA_")}
    env.update(ARAGORA_DATABASE_URL=url, ARAGORA_DATA_DIR=str(tmp_path),
               ARAGORA_LOG_LEVEL="DEBUG")
    for args in (["migrate"], ["doctor"], ["config", "--origin"],
                 ["token", "list"], ["debate", "Anyone?"]):
        r = subprocess.run([st.Stack.program("aragora"), *args], env=env,
                           text=True, capture_output=True, check=False,
                           stdin=subprocess.DEVNULL, timeout=st.WAIT)
        assert PASSWORD not in r.stdout + r.stderr, args
        assert args[0] == "config" or r.returncode != 0, args
