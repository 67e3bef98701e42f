# SPDX-License-Identifier: MIT
"""Users' tokens of an identity provider at the worker and at the bridge."""
import contextlib
import json
import os
import subprocess

import pytest
import websockets
from jwt_kit import SECRET, Issuer, Key, b64, claims, hs256
from stack import Stack, wait_for
from ws_kit import Bridge, receive, run, until


def bearer(token):
    return {"headers": {"Authorization": f"Bearer {token}"}}


def flip(token):
    """Another first character of the signature."""
    head, _, signature = token.rpartition(".")
    return f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


@pytest.fixture(scope="module")
def stack():
    with Stack(runners=0, ARAGORA_SUPABASE_JWT_SECRET=SECRET,
               ARAGORA_JWT_ISSUER="https://p.example/auth/v1",
               ARAGORA_LOG_LEVEL="DEBUG") as s:
        yield s
        tokens = "".join(s.logs().values())
        assert SECRET not in tokens and "eyJ" not in tokens


def user(**kw):
    return hs256(claims(iss="https://p.example/auth/v1", **kw))


def test_worker_accepts(stack):
    r = stack.get("/api/debates", check=False, **bearer(user()))
    assert r.status_code == 200, r.text
    r = stack.get("/api/debates", check=False,
                  headers={"X-API-Key": user()})
    assert r.status_code == 200, r.text


REFUSED = {
    "expired": (lambda: user(expires=-61), "the token has expired"),
    "issuer": (lambda: hs256(claims()), "the token is of another issuer"),
    "audience": (lambda: user(aud="other"),
                 "the token is for another audience"),
    "service": (lambda: user(role="service_role"),
                "a service_role key is no user's token"),
    "anon": (lambda: user(role="anon"), "an anon key is no user's token"),
    "signature": (lambda: flip(user()), "the signature is wrong"),
    "secret": (lambda: hs256(claims(), secret="x" * 40),
               "the signature is wrong"),
    "none": (lambda: f'{b64({"alg": "none"})}.{b64(claims())}.',
             "alg is not HS256, RS256 or ES256"),
    "key": (lambda: Key("e1").sign(claims()),
            "no key for this algorithm and kid is known"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_worker_refuses(stack, name):
    make, why = REFUSED[name]
    for path in ("/api/debates", "/api/agents"):
        r = stack.get(path, check=False, **bearer(make()))
        assert r.status_code == 401, r.text
        assert r.json()["code"] == "INVALID_TOKEN"
        assert r.headers["www-authenticate"] == (
            f'Bearer error="invalid_token", error_description="{why}"')


def test_credential_is_needed(stack):
    """With users there is no anonymous tenant any more."""
    r = stack.get("/api/debates", check=False)
    assert r.status_code == 401 and r.json()["code"] == "AUTH_REQUIRED"
    assert r.headers["www-authenticate"] == "Bearer"
    assert stack.get("/api/health", check=False).status_code == 200


def test_api_tokens_still_work(stack):
    out = subprocess.run([stack.program("aragora"), "token", "create",
                          "--name", "ci"],
                         env=stack.env, check=True, capture_output=True,
                         text=True).stdout
    token = next(w for w in out.split() if w.startswith("ara_"))
    assert stack.get("/api/debates", check=False,
                     **bearer(token)).status_code == 200
    assert stack.get("/api/debates", check=False,
                     **bearer(token + "x")).status_code == 401


def test_tenants_do_not_meet(stack):
    """By the claim two users share a tenant; a third sees nothing of it."""
    ann, bob, eve = (user(sub="ann", tenant="acme"),
                     user(sub="bob", tenant="acme"), user(sub="eve"))
    r = stack.post("/api/debates", {"task": "Tea or coffee for breakfast?"},
                   **bearer(ann))
    assert r.status_code == 201, r.text
    debate = r.json()["debate_id"]

    def ids(token):
        listed = stack.get("/api/debates", **bearer(token))["debates"]
        return [d["debate_id"] for d in listed]
    assert ids(ann) == ids(bob) == [debate]
    assert ids(eve) == []
    for path in ("", "/events", "/messages"):
        url = f"/api/debates/{debate}{path}"
        assert stack.get(url, check=False, **bearer(bob)).status_code == 200
        assert stack.get(url, check=False, **bearer(eve)).status_code == 404
    r = stack.post(f"/api/debates/{debate}/cancel", **bearer(eve))
    assert r.status_code == 404

    async def watch(token, expected):
        url = f"ws://127.0.0.1:{stack.port}/ws?debate_id={debate}"
        async with websockets.connect(url, extra_headers={
                "Authorization": f"Bearer {token}"}) as ws:
            seen = []
            while not {m["type"] for m in seen} & {"sync", "waiting"}:
                seen.append(await receive(ws))
            text = json.dumps(seen)
            assert ("Tea or coffee" in text) == expected, seen
    run(watch(bob, True))
    run(watch(eve, False))


# ---- the bridge ----

@pytest.fixture(scope="module")
def bridge():
    b = Bridge(ARAGORA_SUPABASE_JWT_SECRET=SECRET)
    yield b
    log = b.log()
    b.close()
    assert "eyJ" not in log and SECRET not in log


async def refusal(bridge, path="/ws", **kw):
    with pytest.raises(websockets.InvalidStatusCode) as e:
        async with bridge.connect(path, **kw):
            pass
    return e.value.status_code


def test_bridge_accepts(bridge):
    async def go():
        token = hs256(claims())
        ways = ({"path": f"/ws?token={token}"},
                {"extra_headers": {"Authorization": f"Bearer {token}"}},
                {"subprotocols": ["aragora-v1", f"access_token.{token}"]})
        for way in ways:
            async with bridge.connect(**way) as ws:
                hello = await until(ws, "connection_info")
                assert hello["data"]["authenticated"] is True
    run(go())


def test_bridge_refuses(bridge):
    async def go():
        for token in (hs256(claims(expires=-61)), flip(hs256(claims())),
                      hs256(claims(role="service_role")), "a.b.c"):
            assert await refusal(bridge, f"/ws?token={token}") == 401
        assert await refusal(bridge) == 401
    run(go())


def test_bridge_ends_with_the_token(bridge):
    """The leeway counts: 58 of its 60 seconds are over."""
    async def go():
        path = f"/ws?token={hs256(claims(expires=-58))}"
        async with bridge.connect(path) as ws:
            gone = await until(ws, "auth_revoked")
            assert gone["data"] == {"code": "auth_revoked",
                                    "message": "the token has expired"}
            with pytest.raises(websockets.ConnectionClosed) as e:
                await ws.recv()
            assert e.value.rcvd.code == 4401
    run(go())


# ---- keys from a URL ----

@contextlib.contextmanager
def issued(*keys):
    issuer = Issuer(*keys)
    try:
        yield issuer
    finally:
        issuer.close()


def test_key_rotation():
    """The second key is found by the one refetch a minute that an unknown kid
    may cause; the third comes too early."""
    one, two, three = Key("one"), Key("two", "RS256"), Key("three")
    with issued(one) as issuer:
        with Stack(runners=0, ARAGORA_SUPABASE_JWKS_URL=issuer.url) as s:
            # Two workers and the bridge have asked.
            wait_for("keys", lambda: issuer.asked == 3)

            def status(key, **kw):
                return s.get("/api/debates", check=False,
                             **bearer(key.sign(claims(), **kw))).status_code
            assert [status(one) for _ in range(8)] == [200] * 8
            assert status(one, kid="other") == 401
            for _ in range(20):
                assert status(two) == 401
            assert issuer.asked == 3  # within the first minute
            assert status(one, alg="HS256") == 401
            issuer.keys = [three]
            assert status(one) == 200  # what is known stays known


def test_worker_finds_a_new_key():
    """Nothing at the start: the keys are there when the issuer is."""
    key = Key("one")
    with issued(key) as issuer:
        issuer.status = 503
        with Stack(runners=0, ARAGORA_SUPABASE_JWKS_URL=issuer.url) as s:
            def status():
                return s.get("/api/debates", check=False,
                             **bearer(key.sign(claims()))).status_code
            assert status() == 503
            for issuer.status in (302, 404):
                assert status() == 503
            issuer.status = 200
            # Both workers try again within seconds, each on its own.
            wait_for("keys", lambda: {status() for _ in range(8)} == {200})
            issuer.status = 500
            assert status() == 200


def test_key_file(tmp_path):
    keys = [Key("one"), Key("two", "RS256")]
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [k.jwk() for k in keys]}))
    with Stack(runners=0, ARAGORA_JWKS_FILE=str(path),
               ARAGORA_JWT_TENANT_CLAIM="org.id") as s:
        for key in keys:
            token = key.sign(claims(org={"id": "acme"}))
            assert s.get("/api/debates", check=False,
                         **bearer(token)).status_code == 200
        assert s.get("/api/debates", check=False,
                     **bearer(hs256(claims()))).status_code == 401


def doctor(tmp_path, **settings):
    env = {"PATH": os.environ["PATH"], "ARAGORA_DATA_DIR": str(tmp_path),
           **settings}
    return subprocess.run([Stack.program("aragora"), "doctor"], env=env,
                          capture_output=True, text=True).stdout


def test_doctor(tmp_path):
    with issued(Key("one"), Key("two")) as issuer:
        out = doctor(tmp_path, ARAGORA_SUPABASE_JWKS_URL=issuer.url,
                     ARAGORA_SUPABASE_JWT_SECRET=SECRET)
        assert "[ok]   users' tokens are accepted: 3 keys" in out, out
        assert "[warn] users' tokens are accepted from any issuer" in out
        issuer.status = 500
        for more in ({}, {"ARAGORA_SUPABASE_JWT_SECRET": SECRET}):
            out = doctor(tmp_path, ARAGORA_SUPABASE_JWKS_URL=issuer.url,
                         ARAGORA_JWT_ISSUER="https://p.example", **more)
            assert "[fail] users' tokens: the key set cannot be" in out, out
            assert "issuer" not in out
    assert "users' tokens" not in doctor(tmp_path)
    out = doctor(tmp_path, ARAGORA_DB_BACKEND="supabase")
    assert "[warn] database address: no address of Supabase's own" in out


BAD_SETTINGS = {
    "short secret": ({"ARAGORA_SUPABASE_JWT_SECRET": "short"},
                     "ARAGORA_SUPABASE_JWT_SECRET is shorter than 32 bytes"),
    "clear text": ({"ARAGORA_SUPABASE_JWKS_URL": "http://p.example/keys"},
                   "ARAGORA_SUPABASE_JWKS_URL must be https"),
    "no file": ({"ARAGORA_JWKS_FILE": "/nonexistent/jwks.json"},
                "ARAGORA_JWKS_FILE cannot be opened"),
    "both": ({"ARAGORA_JWKS_FILE": "/nonexistent/jwks.json",
              "ARAGORA_SUPABASE_JWKS_URL": "https://p.example/keys"},
             "ARAGORA_JWKS_FILE contradicts ARAGORA_SUPABASE_JWKS_URL"),
    "user's own": ({"ARAGORA_SUPABASE_JWT_SECRET": SECRET,
                    "ARAGORA_JWT_TENANT_CLAIM": "user_metadata.tenant"},
                   "ARAGORA_JWT_TENANT_CLAIM users write their"),
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_bad_settings(tmp_path, name):
    settings, why = BAD_SETTINGS[name]
    env = {"PATH": os.environ["PATH"], "ARAGORA_DATA_DIR": str(tmp_path),
           **settings}
    subprocess.run([Stack.program("aragora"), "migrate"], env=env,
                   check=True, stdout=subprocess.DEVNULL)
    for program in ("aragora-fcgi", "aragora-ws"):
        r = subprocess.run(
            [Stack.program(program), "--listen", f"unix:{tmp_path}/s"],
            env=env, capture_output=True, text=True)
        assert r.returncode == 78, r.stderr
        assert why in r.stderr.replace(": ", " "), r.stderr
        assert SECRET not in r.stderr
