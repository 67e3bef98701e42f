# SPDX-License-Identifier: MIT
"""A runner is killed at every place of a debate: before what it means to do is
written down, between that and the question, between the question and its
answer, before the answer is written down and after. Whichever it was, another
runner brings the debate to the same end, nothing that was answered and written
is asked again, and what may have been paid for twice is on record."""
import concurrent.futures
import json
import re

import pytest

import stack as st
import sweep_kit as kit
import test_replay as replays

BODY = {"task": "Is water wet?", "agents": ["openai-api|stub-ok"] * 2,
        "rounds": 1, "seed": 4, "consensus": "majority"}
# Two proposals, critiques, revisions and ballots, one synthesis.
CALLS = 9
KINDS = ("meant", "written", "leaves", "asked", "answered")
TOGETHER = 6  # runners at once


@pytest.fixture(name="stack", params=["sqlite", "postgresql"])
def fixture_stack(request):
    url = request.getfixturevalue("postgres").database() \
        if request.param == "postgresql" else None
    with kit.relayed(url, runners=0, ARAGORA_LLM_MAX_ATTEMPTS="1") as s:
        yield s


# What the clock says.
CLOCK = re.compile(r"_us$|_ms$|_at$|duration|elapsed|timestamp|latency")


def timeless(value):
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items()
                if not CLOCK.search(k)}
    if isinstance(value, list):
        return [timeless(v) for v in value]
    return value


def content(value, debate_id):
    """Without the clock and the debate's own name."""
    return timeless(json.loads(
        json.dumps(value).replace(debate_id, "itself")))


def stream(s, debate_id):
    events = s.ask(f"/api/debates/{debate_id}/events?limit=100")["events"]
    st.check_sequence(events)
    return [(e["seq"], e["type"], e.get("round"), e.get("agent"),
             content(e["data"], debate_id)) for e in events]


def receipt(s, debate_id):
    r = s.ask(f"/api/debates/{debate_id}/receipt")["receipt"]
    return {k: r[k] for k in ("status", "events", "config_sha256")}


def end(s, debate_id):
    row = s.database.rows(
        "SELECT result FROM debates WHERE id = ?", debate_id)[0]
    return content(json.loads(row[0]), debate_id)


class Death:
    """One debate and what its runner left behind."""

    def __init__(self, s, kind, nth):
        self.kind, self.nth = kind, nth
        self.id = s.create(**BODY)
        self.is_killed = kit.run_with_fault(
            s, self.id, f"{kind}:{nth}", s.relay.port)
        s.relay.settle()
        self.state = dict(s.database.rows(
            "SELECT step_key, state FROM turns WHERE debate_id = ? AND role "
            "<> 'audience'", self.id))
        self.asked = s.relay.counts(self.id)

    def place(self, step):
        """Where in its life a step was."""
        if step not in self.state:
            assert not self.asked[step], "asked without a trace"
            return "before its intent"
        if self.state[step] != 0:
            return "after its answer was written"
        return "asked" if self.asked[step] else "meant, not asked"


def sweep(s):
    """Kinds side by side, each from the first place to beyond the last."""
    def one_kind(kind):
        deaths = []
        while not deaths or deaths[-1].is_killed:
            deaths.append(Death(s, kind, len(deaths) + 1))
        return deaths
    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        return [d for deaths in pool.map(one_kind, KINDS) for d in deaths]


def check_paid_once(s, d, steps):
    """What was written was not asked again; all else was, once more."""
    counts = s.relay.counts(d.id)
    for step in steps:
        was = d.place(step)
        again = 0 if was == "after its answer was written" else 1
        assert counts[step] == d.asked[step] + again, (d.kind, d.nth, step)


def check_attempts(s, d, steps):
    """A row for each question; those cut off are marked, and what was asked
    again bears the key of the first."""
    calls = s.ask(f"/api/debates/{d.id}/calls")
    cut_off = {step for step in steps if d.state.get(step) == 0}
    assert calls["total"] == len(steps) + len(cut_off)
    assert calls["usage"]["possibly_billed"] == len(cut_off)
    for call in calls["calls"]:
        is_cut = call["step"] in cut_off and call["attempt"] == 1
        assert call["state"] == ("lost" if is_cut else "answered")
        assert call["kind"] == \
            ("again" if call["attempt"] == 2 else "first")
        assert call["key_attempt"] == 1
    first = {kit.key_of(d.id, step, 1) for step in steps}
    assert {k for k in s.relay.asked if s.relay.step(k)[0] == d.id} == first
    return len(cut_off)


def metric(s, name):
    text = s.get("/metrics", check=False).text
    return sum(int(line.split()[-1]) for line in text.splitlines()
               if line.startswith(name))


def test_killed_at_every_step(stack):
    s = stack
    deaths = sweep(s)
    whole = [d for d in deaths if not d.is_killed]
    killed = [d for d in deaths if d.is_killed]
    assert {d.kind for d in whole} == set(KINDS)
    steps = list(whole[0].state)
    assert len(steps) == CALLS
    for kind in ("leaves", "asked", "answered"):
        assert sum(d.kind == kind for d in killed) == CALLS
    # Each step was seen in each of its states by a death.
    for step in steps:
        assert {d.place(step) for d in killed} >= {
            "after its answer was written", "asked", "meant, not asked"}, step
        assert "before its intent" in {d.place(step) for d in killed}, step
    before = metric(s, "aragora_llm_repeated_calls_total")
    s.start_runner()
    said, ended = stream(s, whole[0].id), end(s, whole[0].id)
    sealed = receipt(s, whole[0].id)
    lost = 0
    for d in deaths:
        st.wait_for("end", lambda i=d.id: not s.ask(
            f"/api/debates/{i}")["in_progress"])
        assert stream(s, d.id) == said, (d.kind, d.nth)
        assert end(s, d.id) == ended, (d.kind, d.nth)
        assert receipt(s, d.id) == sealed, (d.kind, d.nth)
        if d.is_killed:
            check_paid_once(s, d, steps)
        lost += check_attempts(s, d, steps)
    assert metric(s, "aragora_llm_repeated_calls_total") - before == lost > 0
    for d in killed[::7]:
        replays.check_identical(s, d.id)
