# SPDX-License-Identifier: MIT
"""Secrets are planted everywhere they may be given, then looked for wherever
they must not be: logs at DEBUG, traces, command lines, answers, metrics, the
database. Questions, answers and whatever else a client writes are looked for
in logs, metrics and traces as well."""
import asyncio
import base64
import glob
import http.client
import os
import signal
import subprocess

import pytest
import websockets

import stack as st
from account_kit import Caller, cli, login, register
from otlp_kit import Collector

PLANTED = {
    "OPENAI_API_KEY": "sk-planted-openai-51c2",
    "ANTHROPIC_API_KEY": "sk-planted-anthropic-8ab0",
    "OPENROUTER_API_KEY": "sk-planted-openrouter-77de",
    "ARAGORA_API_TOKEN": "planted-static-token-3f90",
    "ARAGORA_JWT_SECRET": "planted-jwt-secret-" + "0" * 32,
    "ARAGORA_METRICS_TOKEN": "planted-metrics-token-6a1e",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-key=planted-collector-key-90d2",
}
COLLECTOR_KEY = PLANTED["OTEL_EXPORTER_OTLP_HEADERS"].split("=")[1]
PASSWORD = "planted-database-password"
WORDS = ("marmalade-in-the-question", "marmalade-in-the-context")
# Of accounts: what was chosen, what was typed wrongly, what comes next.
CHOSEN = ("planted-password-of-ann", "planted-wrong-password",
          "planted-next-password", "planted-password-of-bob")
# What clients write beside that: nobody's secret, and nobody's business.
WRITTEN = [f"planted-in-{place}" for place in (
    "a-path", "a-query", "a-name", "a-header", "a-cookie", "a-body",
    "a-model", "an-agent", "an-id", "a-referrer")]
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


def write_everywhere(s):
    """Words in every place that a request has, most of it refused."""
    path, query, name, header, cookie, body, model, agent, ident, referrer = \
        WRITTEN
    headers = {**BEARER, "X-Anything": header, "Cookie": f"a={cookie}",
               "Referer": f"http://x/{referrer}", "User-Agent": header,
               "Idempotency-Key": header, "traceparent": header,
               "tracestate": f"a={header}", "Content-Type": f"x/{header}"}
    asked = [("GET", f"/api/{path}?{name}={query}", ""),
             ("GET", f"/api/debates/{ident}?{name}={query}", ""),
             ("GET", f"/api/debates?{name}={query}&limit={query}", ""),
             ("GET", f"/api/search?q={query}", ""),
             ("GET", f"/api/agents/{agent}/preferences", ""),
             ("DELETE", f"/api/debates/{ident}/{path}", ""),
             ("POST", "/api/debates", f'{{"{body}": '),
             ("POST", "/api/debates", f'{{"task": ["{body}"]}}'),
             ("POST", "/api/debates", f'{{"task": "x", "{body}": "{body}", '
              f'"agents": ["{agent}", "openai-api|{model}"]}}'),
             ("POST", f"/api/debates/{ident}/cancel", f'"{body}"')]
    for method, target, text in asked:
        c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=st.WAIT)
        c.request(method, target, text, headers)
        assert c.getresponse().status < 500
        c.close()
    with pytest.raises(websockets.InvalidStatusCode):
        asyncio.run(watch(s, ident, query=f"&{name}={query}&since={query}",
                          extra_headers=headers))
    asyncio.run(watch(s, ident, query=f"&{name}={query}",
                      extra_headers=headers))


def shown_settings(s):
    for args in (["config"], ["config", "--origin"], ["doctor"]):
        r = subprocess.run([s.program("aragora"), *args], env=s.env,
                           text=True, capture_output=True, check=False)
        assert r.stdout
        yield " ".join(args), r.stdout + r.stderr


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


def told_in_traces(s, collector, *debate_ids):
    """All that the collector gets, to the last words of each program."""
    for pid in s.worker_pids:
        os.kill(pid, signal.SIGTERM)
    for pid in s.worker_pids:
        st.wait_for("worker exit", lambda p=pid: s.is_zombie(p))
    for name in ("ws", "runner1"):
        st.end(s.processes[name])
    names = [x.name for x in collector.spans]
    assert names.count("connection") > 6 and names.count("debate") == 2
    assert {x["aragora.debate.id"] for x in collector.spans
            if x.name == "debate"} == set(debate_ids)
    assert {h["x-key"] for h in collector.headers} == {COLLECTOR_KEY}
    assert {x.kind for x in collector.spans} == {
        "server", "client", "internal"}
    return [("traces", b"\n".join(collector.bodies).decode())]


def debate(s, model):
    r = s.post("/api/debates", {
        "task": f"Is {WORDS[0]} good?", "context": f"It is {WORDS[1]}.",
        "agents": [f"openai-api|{model}"] * 2, "rounds": 1}, headers=BEARER)
    assert r.status_code == 201, r.text
    debate_id = r.json()["debate_id"]
    st.wait_for("end", lambda: not s.get(
        f"/api/debates/{debate_id}", headers=BEARER)["in_progress"])
    return debate_id


@pytest.mark.parametrize("database, level", [
    ("sqlite", "DEBUG"), ("postgresql", "DEBUG"), ("sqlite", "INFO")])
def test_planted_secrets(request, database, level):
    url = None
    secrets = [*PLANTED.values(), COLLECTOR_KEY]
    if database == "postgresql":
        url = request.getfixturevalue("postgres").database().replace(
            "aragora@", f"aragora:{PASSWORD}@")
        secrets.append(PASSWORD)
    with Collector() as collector, \
            st.Stack(database_url=url, redis=True, stub=True,
                     ARAGORA_LOG_LEVEL=level, ARAGORA_LLM_MAX_ATTEMPTS="1",
                     OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
                     OTEL_BSP_SCHEDULE_DELAY="50", **PLANTED) as s:
        key = subprocess.run(
            [s.program("aragora"), "token", "create", "--name", "x"],
            env=s.env, check=True, text=True, capture_output=True
        ).stdout.strip()
        secrets += [key, *CHOSEN, *use_accounts(s)]
        debate_id = debate(s, "stub-ok")
        refused_id = debate(s, "stub-401-echo")  # quotes what it was sent
        use_every_way_in(s, debate_id)
        write_everywhere(s)
        assert s.get("/api/debates", headers={
            "Authorization": f"Bearer {key}"})["total"] == 2
        answered = [*answers(s, debate_id), *answers(s, refused_id)]
        said = s.get(f"/api/debates/{debate_id}", headers=BEARER)
        places = [*command_lines(s), *answered, *shown_settings(s)]
        traces = told_in_traces(s, collector, debate_id, refused_id)
        places += [*s.logs().items(), *nginx_log(s), *traces]
        if database == "sqlite":
            files = list(database_files(s))
            assert any(WORDS[0] in text for _, text in files)
            places += files
        assert len(places) > 12
        for name, text in places:
            for secret in secrets:
                assert secret not in text, name
        logs = [*s.logs().items(), *nginx_log(s), *traces,
                *(a for a in answered if a[0] == "/metrics")]
        words = [*WORDS, *WRITTEN, *said["final_answer"].split(". ")]
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
