# SPDX-License-Identifier: MIT
"""People vote and suggest while a debate runs: a vote tips a tie, a suggestion
is read in the next round, and a runner that dies between loses nothing."""
import asyncio
import contextlib
import http.server
import json
import signal
import sqlite3
import subprocess
import threading

import httpx
import pytest
import websockets

import stack as st
from test_jwt import SECRET, bearer, user
from test_receipt import fixture_key, get, verify  # noqa: F401
from test_replay import check_identical, replay

MARK = "Serve lemonade, and serve it cold."


class Recorder:
    """Between the runner and the stub: notes every prompt, and holds back
    those that the test wants held."""

    def __init__(self, target):
        self.prompts, self.is_free = [], threading.Event()
        self.is_free.set()
        self.hold = lambda text: False
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):  # pylint: disable=arguments-differ
                pass

            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                text = "\n".join(m["content"]
                                 for m in json.loads(body)["messages"])
                recorder.prompts.append(text)
                if recorder.hold(text):
                    recorder.is_free.wait(st.WAIT)
                r = httpx.post(target + self.path, content=body,
                               trust_env=False, timeout=st.WAIT, headers={
                                   k: v for k, v in self.headers.items()
                                   if k.lower() in ("authorization", "accept",
                                                    "content-type")})
                with contextlib.suppress(OSError):
                    self.send_response(r.status_code)
                    self.send_header("Content-Type",
                                     r.headers["content-type"])
                    self.send_header("Content-Length", str(len(r.content)))
                    self.end_headers()
                    self.wfile.write(r.content)

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.is_free.set()
        self.server.shutdown()
        self.server.server_close()


def is_revision(text):
    return "Here are your position and the critiques of it." in text


@pytest.fixture(name="stack", scope="module",
                params=["sqlite", "postgresql"])
def fixture_stack(request):
    url = request.getfixturevalue("postgres").database() \
        if request.param == "postgresql" else None
    with st.Stack(database_url=url, stub=True, runners=0,
                  ARAGORA_EMBEDDING_MODEL="") as s:
        s.recorder = Recorder(s.stub_url)
        s.env["OPENAI_BASE_URL"] = s.recorder.url + "/openai/v1"
        s.start_runner()
        yield s
        s.recorder.close()


@pytest.fixture(name="recorder")
def fixture_recorder(stack):
    r = stack.recorder
    r.prompts.clear()
    yield r
    r.hold = lambda text: False
    r.is_free.set()


def say(s, debate_id, **body):
    return s.post(f"/api/debates/{debate_id}/user-input", body)


def held_debate(s, recorder, **body):
    """A debate whose first revisions wait for recorder.is_free."""
    recorder.is_free.clear()
    recorder.hold = is_revision
    debate_id = s.create(agents=["openai-api|stub-ok"] * 2,
                         early_stopping=False, **body)
    st.wait_for("revisions", lambda: any(
        is_revision(p) for p in recorder.prompts))
    return debate_id


def of_type(s, debate_id, *types):
    return [e for e in s.events(debate_id) if e["type"] in types]


def tie(s, **body):
    """A seed with which two agents vote for one of them each."""
    for seed in range(1, 30):
        debate_id = s.create(agents=["openai-api|stub-vote:A"] * 2, rounds=1,
                             seed=seed, consensus="majority", **body)
        d = s.wait_end(debate_id)
        if not d["consensus_reached"] and d["consensus"]["tie"]:
            return seed, debate_id
    raise AssertionError("no seed gives a tie")


def test_votes_tip_a_tie(stack, recorder):
    seed, debate_id = tie(stack)
    names = stack.get(f"/api/debates/{debate_id}")["agents"]
    recorder.is_free.clear()
    recorder.hold = is_revision
    debate_id = stack.create(agents=["openai-api|stub-vote:A"] * 2, rounds=1,
                             seed=seed, consensus="majority")
    st.wait_for("revisions", lambda: any(
        is_revision(p) for p in recorder.prompts))
    for choice, intensity in ((names[0], 10), (names[1], 6)):
        r = say(stack, debate_id, type="vote", input=choice,
                intensity=intensity, user_id="ann")
        assert r.status_code == 200, r.text
        assert r.json()["success"] and r.json()["type"] == "vote"
    recorder.is_free.set()
    d = stack.wait_end(debate_id)
    assert d["consensus_reached"], d["consensus"]
    assert names[1] in d["consensus"]["supporting_agents"]
    assert d["consensus"]["audience"] == {"voters": 1, "weight": 0.6}
    said = of_type(stack, debate_id, "user_vote")
    assert [e["data"]["choice"] for e in said] == names[:2]
    assert [e["data"]["weight"] for e in said] == [1, 0.6]
    summary, = of_type(stack, debate_id, "audience_summary")
    assert summary["data"]["voters"] == 1
    assert summary["data"]["through_seq"] == said[1]["seq"]
    check_identical(stack, debate_id)
    code, found = replay(stack, debate_id, "--consensus", "plurality")
    assert (code, found["identical"]) == (0, True)
    assert names[1] in json.dumps(found)
    st.check_sequence(stack.events(debate_id))


def test_suggestion_is_read_in_the_next_round(stack, recorder):
    debate_id = held_debate(stack, recorder, rounds=2, consensus="majority")
    r = say(stack, debate_id, type="suggestion", input=MARK)
    assert r.status_code == 200, r.text
    assert r.json()["round"] == 1
    before = len(recorder.prompts)
    recorder.is_free.set()
    assert stack.wait_end(debate_id)["status"] == "completed"
    assert not any(MARK in p for p in recorder.prompts[:before])
    heard = next(e["seq"] for e in stack.events(debate_id)
                 if e["type"] == "audience_summary")
    second = next(e["seq"] for e in stack.events(debate_id)
                  if e["type"] == "round_start" and e["round"] == 2)
    assert heard < second
    shown = [p for p in recorder.prompts if MARK in p]
    # Two critiques and two revisions of the second round, and no ballot.
    assert len(shown) == 4
    assert all("Suggestion of a reader 1" in p for p in shown)
    assert not any("Choose the proposal" in p for p in shown)
    check_identical(stack, debate_id)


def test_message_goes_the_way_of_a_suggestion(stack, recorder):
    debate_id = held_debate(stack, recorder, rounds=2, consensus="majority")
    r = stack.post(f"/api/debates/{debate_id}/messages", {"content": MARK})
    assert r.status_code == 201, r.text
    assert r.json()["round"] == 1
    before = len(recorder.prompts)
    recorder.is_free.set()
    assert stack.wait_end(debate_id)["status"] == "completed"
    assert not any(MARK in p for p in recorder.prompts[:before])
    assert len([p for p in recorder.prompts if MARK in p]) == 4


def test_runner_killed_between_input_and_boundary(stack, recorder):
    debate_id = held_debate(stack, recorder, rounds=2, consensus="majority")
    assert say(stack, debate_id, text=MARK).status_code == 200
    name = stack.get(f"/api/debates/{debate_id}")["agents"][0]
    assert say(stack, debate_id, type="vote", choice=name.upper(),
               user_id="ann").status_code == 200
    stack.runners[-1].send_signal(signal.SIGKILL)
    stack.runners[-1].wait()
    assert say(stack, debate_id, type="vote", choice=name, intensity=9,
               user_id="bob").status_code == 200
    recorder.is_free.set()
    stack.start_runner()
    d = stack.wait_end(debate_id)
    assert d["status"] == "completed"
    assert d["consensus"]["audience"]["voters"] == 2
    assert len(of_type(stack, debate_id, "user_vote")) == 2
    assert len(of_type(stack, debate_id, "audience_suggestion")) == 1
    summary, = of_type(stack, debate_id, "audience_summary")
    assert summary["data"]["votes"] == 2
    assert summary["data"]["suggestions"] == 1
    st.check_sequence(stack.events(debate_id))
    check_identical(stack, debate_id)


def test_refusals(stack, recorder):
    debate_id = held_debate(stack, recorder, rounds=1, consensus="majority")
    for body, field in (({"type": "vote", "input": "nobody"}, "choice"),
                        ({"type": "vote"}, "choice"),
                        ({"type": "vote", "input": "x", "intensity": 11},
                         "intensity"),
                        ({"type": "vote", "input": "x", "intensity": "much"},
                         "intensity"),
                        ({"type": "suggestion", "input": "  "}, "text"),
                        ({"type": "wish", "input": "x"}, "type"),
                        ({"input": "x" * 10241}, "input")):
        r = say(stack, debate_id, **body)
        assert r.status_code == 400, (body, r.text)
        assert field in r.text, (body, r.text)
    assert not of_type(stack, debate_id, "user_vote", "audience_suggestion")
    recorder.is_free.set()
    stack.wait_end(debate_id)
    r = say(stack, debate_id, input=MARK)
    assert r.status_code == 409 and "over" in r.json()["error"]
    assert say(stack, "adhoc_none", input=MARK).status_code == 404
    deaf = stack.create(agents=["openai-api|stub-ok"] * 2, rounds=1,
                        audience_share=0)
    assert say(stack, deaf, input=MARK).status_code == 409
    stack.wait_end(deaf)
    r = stack.post("/api/debates", {"task": "Tea?", "audience_share": 0.6})
    assert r.status_code == 400 and "audience_share" in r.text


def test_as_many_as_it_may():
    """A limit of ours is no full disk."""
    with st.Stack(ARAGORA_AUDIENCE_MAX_INPUTS="2", runners=0) as s:
        debate_id = s.create(agents=["demo"] * 2)
        for _ in range(2):
            assert say(s, debate_id, input=MARK).status_code == 200
        r = say(s, debate_id, input=MARK)
        assert r.status_code == 409 and "as many as it may" in r.text
        assert "store.full" not in "".join(s.logs().values())
        assert len(of_type(s, debate_id, "audience_suggestion")) == 2


async def talk(s, debate_id, names):
    """What a client of the bridge is told when it votes and suggests."""
    async with websockets.connect(
            f"ws://127.0.0.1:{s.port}/ws?debate_id={debate_id}") as ws:
        async def until(*types):
            """One of each, within a time for all of them."""
            seen, heard = {}, []
            try:
                async with asyncio.timeout(st.WAIT):
                    while set(seen) < set(types):
                        m = json.loads(await ws.recv())
                        heard.append(m["type"])
                        if m["type"] in types:
                            seen[m["type"]] = m
            except TimeoutError as e:
                raise AssertionError((types, heard)) from e
            return seen

        # How votes stand is not stored: no part of a replay.
        await until("replay_end")
        await ws.send(json.dumps({
            "type": "user_vote", "debate_id": debate_id,
            "payload": {"choice": names[1], "intensity": 9,
                        "user_id": "ann"}}))
        seen = await until("ack", "user_vote", "audience_metrics")
        assert seen["ack"]["data"]["msg_type"] == "user_vote"
        assert seen["user_vote"]["data"]["choice"] == names[1]
        assert seen["user_vote"]["data"]["weight"] == 0.9
        assert seen["user_vote"]["seq"] > 0
        assert "seq" not in seen["audience_metrics"]
        assert seen["audience_metrics"]["data"]["choices"] == {names[1]: 1}
        assert seen["audience_metrics"]["data"]["viewers"] == 1
        await ws.send(json.dumps({
            "type": "user_suggestion", "loop_id": debate_id,
            "data": {"suggestion": MARK}}))
        seen = await until("ack", "audience_suggestion")
        assert seen["audience_suggestion"]["data"]["text"] == MARK
        for fields, code in (({"choice": "nobody"}, "invalid_value"),
                             ({"choice": names[0], "intensity": 99},
                              "invalid_value"),
                             ({"debate_id": "adhoc_none", "choice": "x"},
                              "not_found")):
            await ws.send(json.dumps({"type": "user_vote",
                                      "debate_id": debate_id, **fields}))
            seen = await until("warning")
            assert seen["warning"]["data"]["code"] == code
        # Five at once; the sixth is one too many.
        await ws.send(json.dumps({"type": "user_vote", "choice": names[0],
                                  "debate_id": debate_id}))
        seen = await until("warning")
        assert seen["warning"]["data"]["code"] == "rate_limited"


async def be_wise(s, debate_id, text):
    async with websockets.connect(
            f"ws://127.0.0.1:{s.port}/ws?debate_id={debate_id}") as ws:
        await ws.send(json.dumps({"type": "wisdom_submission",
                                  "loop_id": debate_id, "text": text}))
        seen = {}
        async with asyncio.timeout(st.WAIT):
            while not {"wisdom_confirmed", "audience_suggestion"} <= set(seen):
                m = json.loads(await ws.recv())
                if "replayed" not in m:
                    seen[m["type"]] = m
        assert seen["wisdom_confirmed"]["data"]["text"] == text
        assert seen["wisdom_confirmed"]["debate_id"] == debate_id
        assert seen["audience_suggestion"]["data"]["text"] == text


def test_over_the_bridge(stack, recorder):
    debate_id = held_debate(stack, recorder, rounds=1, consensus="majority")
    names = stack.get(f"/api/debates/{debate_id}")["agents"]
    asyncio.run(talk(stack, debate_id, names))
    asyncio.run(be_wise(stack, debate_id, "Ask the gardener first, at dawn."))
    recorder.is_free.set()
    d = stack.wait_end(debate_id)
    assert d["consensus"]["audience"]["voters"] == 1
    assert len(of_type(stack, debate_id, "user_vote")) == 1
    assert len(of_type(stack, debate_id, "audience_suggestion")) == 2
    st.check_sequence(stack.events(debate_id))
    check_identical(stack, debate_id)


def test_receipt_covers_them(key, tmp_path):
    with st.Stack(ARAGORA_RECEIPT_KEY_FILE=key[0]) as s:
        debate_id = s.create(agents=["demo"] * 3, rounds=2)
        assert say(s, debate_id, input=MARK).status_code == 200
        s.wait_end(debate_id)
        st.wait_for("receipt", lambda: s.get(
            f"/api/debates/{debate_id}/receipt", check=False)
            .status_code == 200)
        data = get(s, f"/api/debates/{debate_id}/export").content
    assert MARK.encode() in data
    assert verify(data, key[0], tmp_path).returncode == 0
    forged = data.replace(b"serve it cold", b"serve it warm")
    assert verify(forged, key[0], tmp_path).returncode == 1


def test_two_tenants():
    """One tenant's people are not heard in another's debates."""
    with st.Stack(ARAGORA_SUPABASE_JWT_SECRET=SECRET,
                  ARAGORA_JWT_ISSUER="https://p.example/auth/v1") as s:
        head = {tenant: bearer(user(sub=tenant)) for tenant in ("one", "two")}
        r = s.post("/api/debates", {"task": "Tea?", "rounds": 3,
                                    "agents": ["demo"] * 3}, **head["one"])
        assert r.status_code == 201, r.text
        debate_id = r.json()["debate_id"]
        path = f"/api/debates/{debate_id}/user-input"
        body = {"type": "vote", "input": "demo"}
        assert s.post(path, body).status_code == 401
        assert s.post(path, body, **head["two"]).status_code == 404
        assert s.post(path, body, **head["one"]).status_code == 200
        st.wait_for("end", lambda: not s.get(
            f"/api/debates/{debate_id}", **head["one"])["in_progress"])
        with contextlib.closing(sqlite3.connect(
                f"{s.data}/aragora.db")) as db:
            rows = db.execute("SELECT tenant, kind, who, choice FROM "
                              "human_inputs").fetchall()
        assert [r[1:] for r in rows] == [(0, "one", "demo")]
        assert rows[0][0] != "default"
