# SPDX-License-Identifier: MIT
"""Who is taken up next, and debates that are paused and resumed."""
import asyncio

import pytest

import stack as st


@pytest.fixture(name="make")
def fixture_make(request):
    def make(database="sqlite", **kw):
        url = request.getfixturevalue("postgres").database() \
            if database == "postgresql" else None
        return st.Stack(database_url=url, **kw)
    return make


def test_place_and_limits(make):
    """The answer tells the place; what is too much is to come again later."""
    with make(runners=0, ARAGORA_MAX_QUEUED_DEBATES="3",
              ARAGORA_MAX_QUEUED_DEBATES_PER_TENANT="2") as s:
        places = [s.post("/api/debates", {"task": "x?"}).json()
                  ["queue_position"] for _ in range(2)]
        assert places == [1, 2]
        r = s.post("/api/debates", {"task": "x?"})
        assert r.status_code == 503 and int(r.headers["Retry-After"]) >= 1
        assert "your debates" in r.json()["error"]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_pause_and_resume(make, database):
    """Paused in the middle by the bus alone, seen by who watches; resumed, it
    ends as ever with no step twice."""
    with make(database, ARAGORA_LEASE="600") as s:
        debate_id = s.create(seed=7, rounds=2)
        path = f"/api/debates/{debate_id}"
        seen = {}

        def steer(m):
            if m["type"] == "critique" and "asked" not in seen:
                seen["asked"] = s.post(path + "/pause").json()
            if m["type"] == "debate_paused" and "head" not in seen:
                seen["head"] = m["seq"]
                assert s.get(path)["status"] == "paused"
                again = s.post(path + "/pause")
                assert again.status_code == 200
                assert again.json()["state"] == "paused"
                assert s.events(debate_id)[-1]["seq"] == m["seq"]
                assert s.post(path + "/resume").json()["status"] == "pending"
        live = [m for m in asyncio.run(s.watch(debate_id, steer))
                if "seq" in m]
        assert seen["asked"]["state"] == "pausing"
        types = st.check_sequence(live)
        assert types.count("debate_paused") == 1
        assert types[types.index("debate_paused") + 1] == "debate_resumed"
        assert s.wait_end(debate_id)["status"] == "completed"
        assert types.count("debate_start") == 1
        keys = [(m["round"], m["type"], m["agent"],
                 m["data"].get("target")) for m in live
                if m["type"] in ("critique", "vote", "revision")]
        assert len(keys) == len(set(keys))
        for verb in ("pause", "resume"):
            r = s.post(f"{path}/{verb}")
            assert r.status_code == 409 and "completed" in r.json()["error"]


@pytest.mark.parametrize("bound, most", [("2", 2), ("5000", 5)])
def test_calls_are_bounded(make, bound, most):
    """A runner's calls are bounded, its debates share them; all are made."""
    with make(ARAGORA_MAX_CONCURRENT_CALLS=bound) as s:
        debate_id = s.create(agents=["demo"] * 5, rounds=1)
        open_now, seen = set(), []

        def count(m):
            if m["type"] == "token_start":
                open_now.add(m["agent"])
                seen.append(len(open_now))
            elif m["type"] == "token_end":
                open_now.discard(m["agent"])
        asyncio.run(s.watch(debate_id, count))
        assert s.wait_end(debate_id)["status"] == "completed"
        assert max(seen) == most
        text = s.get("/metrics", check=False).text
        assert "\naragora_runner_calls_active 0\n" in text


def test_paused_while_waiting(make):
    """No runner takes up what is paused; nobody else's may be touched."""
    with make(runners=0) as s:
        first = s.create(agents=["demo|fast"] * 2)
        second = s.create(agents=["demo|fast"] * 2)
        assert s.post(f"/api/debates/{first}/pause").json()["state"] \
            == "paused"
        s.start_runner()
        assert s.wait_end(second)["status"] == "completed"
        assert s.get(f"/api/debates/{first}")["status"] == "paused"
        assert s.post(f"/api/debates/{first}/resume").status_code == 200
        assert s.wait_end(first)["status"] == "completed"
        assert s.post("/api/debates/none/pause").status_code == 404
