# SPDX-License-Identifier: MIT
"""A runner that sleeps loses its debate to another. Awake again it writes
nothing of it, asks nobody for it, hangs up on the models that it had asked for
it, and goes on with other debates."""
import pytest

import stack as st
import sweep_kit as kit
import test_chaos as chaos

# One more seat than questions go out at once.
SEATS = 6
AT_ONCE = 5
BODY = {"task": "Is water wet?", "agents": ["openai-api|stub-ok"] * SEATS,
        "rounds": 1, "seed": 4, "consensus": "majority"}


def rows(s, debate_id):
    """All that is kept of it."""
    return {table: sorted(s.database.rows(
        f"SELECT * FROM {table} WHERE {column} = ?", debate_id), key=repr)
        for table, column in (("debates", "id"), ("events", "debate_id"),
                              ("turns", "debate_id"),
                              ("attempts", "debate_id"))}


@pytest.mark.parametrize("is_answered", [True, False])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_sleeper(request, database, is_answered):
    """is_answered: an answer comes while it sleeps; the first that it does is
    to write that down."""
    url = request.getfixturevalue("postgres").database() \
        if database == "postgresql" else None
    with kit.relayed(url, runners=1, ARAGORA_DB_TIMEOUT="5") as s:
        sleeper = s.runners[0]
        # The relay answers in order; nothing is answered before it freezes.
        s.relay.is_silent = True
        debate_id = s.create(**BODY)
        st.wait_for("questions", lambda: len(s.relay.asked) == AT_ONCE)
        frozen = s.relay.freeze()
        assert len(frozen) == AT_ONCE
        s.relay.is_silent = False
        chaos.put_to_sleep(s, sleeper)
        if is_answered:
            s.relay.thaw(min(frozen))
            st.wait_for("answer", lambda: s.relay.given)
        s.start_runner()
        assert s.wait_end(debate_id)["status"] == "completed"
        st.end(s.runners[1])
        before = rows(s, debate_id)
        asked = list(s.relay.asked)
        assert len(s.relay.gone) == 0
        sleeper.send_signal(chaos.signal.SIGCONT)
        st.wait_for("all sockets closed", lambda: len(s.relay.gone) +
                    is_answered == AT_ONCE)
        assert sorted(s.relay.gone + s.relay.given[:is_answered]) == \
            sorted(frozen.values())
        st.wait_for("fencing", lambda: chaos.is_fenced(s, "runner1"))
        # The only runner there is now.
        other = s.create(**{**BODY, "seed": 5})
        assert s.wait_end(other)["status"] == "completed"
        assert s.log("runner1").count("debate.claim") == 2
        assert rows(s, debate_id) == before
        assert [k for k in s.relay.asked
                if s.relay.step(k)[0] == debate_id] == asked
