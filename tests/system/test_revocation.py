# SPDX-License-Identifier: MIT
"""What ends somebody's access ends the open WebSockets too, within a second
or so, on both databases, with Redis and without: auth_revoked, then 4401."""
import asyncio
import json
import os
import signal

import pytest
import websockets

import stack as st
from account_kit import (PASSWORD, Caller, cli, login, operator, register,
                         user)
from jwt_kit import claims, hs256

SECRET = "an-identity-provider-s-secret-of-32-bytes"
OPEN_S = 3  # that others stay open after one was closed


@pytest.fixture(name="stack", scope="module", params=[
    ("sqlite", False), ("sqlite", True), ("postgresql", True)],
    ids=["sqlite", "sqlite-redis", "postgresql-redis"])
def fixture_stack(request):
    database, redis = request.param
    env = {"ARAGORA_SUPABASE_JWT_SECRET": SECRET, "ARAGORA_WS_MAX_PER_IP": "100",
           "ARAGORA_WS_CONN_RATE": "1000"}
    if database == "postgresql":
        owner, app = request.getfixturevalue("postgres").roles()
        env.update(database_url=app, owner_url=owner)
    with st.Stack(runners=0, redis=redis, **env) as s:
        yield s


class Watcher:
    """One connection of somebody; where = header, query or protocol."""

    def __init__(self, s, token):
        self.url = f"ws://127.0.0.1:{s.port}/ws"
        self.token = token

    async def open(self):
        self.ws = await websockets.connect(self.url, extra_headers={
            "Authorization": f"Bearer {self.token}"})
        first = json.loads(await asyncio.wait_for(self.ws.recv(), st.WAIT))
        assert first["type"] == "connection_info"
        assert first["data"]["authenticated"] is True
        return self

    async def closed(self):
        """The events until the close, and its code."""
        events = []
        try:
            while True:
                m = json.loads(await asyncio.wait_for(
                    self.ws.recv(), st.WAIT))
                events.append(m)
        except websockets.ConnectionClosed as e:
            return events, e.code

    async def is_open(self):
        pong = await self.ws.ping()
        await asyncio.wait_for(pong, st.WAIT)
        return self.ws.open


def check(s, tokens, others, act, why="the token is no longer valid"):
    """act() closes the connections of tokens and those alone."""
    async def run():
        watchers = [await Watcher(s, t).open() for t in tokens]
        rest = [await Watcher(s, t).open() for t in others]
        await asyncio.get_running_loop().run_in_executor(None, act)
        for w in watchers:
            events, code = await w.closed()
            assert code == 4401, (code, events)
            assert events[-1]["type"] == "auth_revoked", events
            assert events[-1]["data"]["message"] == why
        await asyncio.sleep(OPEN_S if rest else 0)
        for w in rest:
            assert await w.is_open()
            await w.ws.close()
        for t in tokens:
            with pytest.raises(websockets.InvalidStatusCode) as refused:
                await Watcher(s, t).open()
            assert refused.value.status_code in (401, 403)
    asyncio.run(run())


def test_logout(stack):
    ann = register(stack, "ann@example.org")
    phone = login(stack, "ann@example.org")
    key = ann.key()
    bob = register(stack, "bob@example.org")
    check(stack, [ann.token], [phone.token, key.token, bob.token],
          lambda: ann.post("/api/auth/logout"))
    other = login(stack, "ann@example.org")
    check(stack, [phone.token, other.token], [key.token, bob.token],
          lambda: other.post("/api/auth/logout-all"))


def test_key(stack):
    ann = register(stack, "key@example.org")
    one, two = ann.key(), ann.key()
    mine = one.token[:12]
    check(stack, [one.token], [two.token, ann.token],
          lambda: ann.ask("DELETE", f"/api/auth/api-keys/{mine}", expect=200))


def test_session_and_password(stack):
    ann = register(stack, "pw@example.org")
    phone = login(stack, "pw@example.org")
    laptop = login(stack, "pw@example.org")
    sessions = phone.get("/api/auth/sessions")["sessions"]
    mine = next(x["id"] for x in sessions if x["current"])
    check(stack, [phone.token], [ann.token, laptop.token],
          lambda: ann.ask("DELETE", f"/api/auth/sessions/{mine}", expect=200))
    check(stack, [laptop.token], [ann.token],
          lambda: ann.post("/api/auth/password/change", {
              "current_password": PASSWORD, "new_password": "another-one"}))
    check(stack, [ann.token], [], lambda: cli(
        stack, "user", "password", "pw@example.org", stdin=PASSWORD + "\n"))


def test_reused_refresh_token(stack):
    ann = register(stack, "reuse@example.org")

    def reuse():
        codes = [stack.post("/api/auth/refresh", {
            "refresh_token": ann.refresh_token}).status_code
            for _ in range(2)]
        assert codes == [200, 401]
    check(stack, [ann.token], [], reuse)


def test_disabled_user(stack):
    ann = register(stack, "boss@example.org")
    bob = user(stack, "clerk@example.org", "member", ann.tenant)
    key = bob.key()
    check(stack, [bob.token, key.token], [ann.token],
          lambda: cli(stack, "user", "disable", "clerk@example.org"))


def test_suspended_tenant(stack):
    """Users, keys and those of an identity provider; others stay."""
    boss = operator(stack)
    ann = register(stack, "sus@example.org")
    key = ann.key()
    bob = register(stack, "sus2@example.org")
    path = f"/api/tenants/{ann.tenant}"
    check(stack, [ann.token, key.token], [bob.token],
          lambda: boss.post(f"{path}/suspend"), "the tenant is suspended")
    for who in (ann, key):
        r = who.ask("GET", "/api/debates", expect=403)
        assert r.json()["error"] == "the tenant is suspended"
    boss.post(f"{path}/reactivate")
    assert ann.get("/api/auth/me") and key.get("/api/auth/me")


def test_suspended_tenant_of_a_provider(stack):
    boss = operator(stack)
    theirs = boss.post("/api/tenants", {"name": "Theirs"}, 201)["id"]
    mine = hs256(claims(sub="eve", tenant=theirs), secret=SECRET)
    other = hs256(claims(sub="eve", tenant="elsewhere"), secret=SECRET)
    check(stack, [mine], [other],
          lambda: boss.post(f"/api/tenants/{theirs}/suspend"),
          "the tenant is suspended")
    Caller(stack, mine).get("/api/debates", expect=403)
    assert Caller(stack, other).get("/api/debates")["total"] == 0


def test_revoked_while_the_bridge_is_stopped(stack):
    """What it does not hear of, it reads."""
    ann = register(stack, "deaf@example.org")
    pid = stack.processes["ws"].pid

    def act():
        os.kill(pid, signal.SIGSTOP)
        ann.post("/api/auth/logout")
        os.kill(pid, signal.SIGCONT)
    check(stack, [ann.token], [], act)


def test_viewers_do_not_vote(stack):
    ann = register(stack, "votes@example.org")
    debate = ann.post("/api/debates", {
        "task": "Tea?", "agents": ["demo", "demo"]}, 201)["debate_id"]

    async def vote(token):
        w = await Watcher(stack, token).open()
        await w.ws.send(json.dumps({"type": "user_vote", "debate_id": debate,
                                    "choice": "demo"}))
        while True:
            m = json.loads(await asyncio.wait_for(w.ws.recv(), st.WAIT))
            if m["type"] in ("ack", "warning"):
                await w.ws.close()
                return m["data"]
    assert "code" not in asyncio.run(vote(ann.key().token))
    said = asyncio.run(vote(ann.key(scopes=["read"]).token))
    assert said["code"] == "forbidden"
