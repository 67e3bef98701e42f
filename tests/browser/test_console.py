# SPDX-License-Identifier: MIT
"""The console in a real Chromium: ask, watch live, read the result; and the
same through reloads and lost connections."""
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import stack as st
from console import FAST, Console

# What Chromium itself logs about a connection that is refused.
NETWORK = ("net::ERR_", "WebSocket connection to", "502 (Bad Gateway)")


def test_ask_watch_read(console):
    question = "Tea or coffee for breakfast?"
    debate_id = console.ask(question, agents={"demo": 5}, rounds=2,
                            rule="majority")
    console.wait_end()
    assert console.text("task") == question
    assert question in console.b.title
    # Every agent was seen writing, piece by piece.
    lengths = console.js("return window.lengths")
    assert len(lengths) == 5
    for seen in lengths.values():
        assert len(seen) > 1
    events = console.check_log(debate_id)
    kinds = [e["type"] for e in events.values()]
    assert {"agent_message", "critique", "revision", "vote"} <= set(kinds)
    d = console.check_result(debate_id)
    assert d["agents"] == [c.text for c in console.all("#seats .chip")]
    assert console.is_shown("demo-note")
    # Severities and changed minds are told.
    for e in events.values():
        card = console.find(f"#log [data-seq='{e['seq']}']")
        if e["type"] == "critique":
            badge = card.find_element(By.CSS_SELECTOR, ".severity").text
            assert badge.startswith(
                f"severity {int(e['data']['severity'] + 0.5)} of 10")
        if e["type"] == "revision":
            assert ("changed its mind" in card.text) == e["data"]["changed"]
        if e["type"] == "vote":
            assert f"votes for\n{e['data']['choice']}" in card.text or \
                "abstains" in card.text


def test_recent_debates(console):
    debate_id = console.ask("Is it in the list?", more=FAST, rounds=1)
    console.wait_end()
    console.find(".brand").click()
    link = console.wait("list", lambda: console.all(
        f"#recent a[href='#/debates/{debate_id}']"))[0]
    assert link.text == "Is it in the list?"
    # The newest comes first.
    assert console.find("#recent a").text == link.text
    link.click()
    console.wait_end()
    console.check_log(debate_id)
    console.check_result(debate_id)
    console.b.back()
    console.wait("the first page", lambda: console.is_shown("ask-page"))
    console.b.forward()
    console.wait_end()
    console.check_log(debate_id)


@pytest.mark.parametrize("kind", ["proposer", "critique", "changed", "vote"])
def test_reload(console, kind):
    """Reloaded in the middle, the page shows everything, once."""
    debate_id = console.ask("Reload or not?", agents={"demo": 3}, rounds=2)
    console.wait(kind, lambda: console.has_card(kind, "vote"))
    console.b.refresh()
    console.wait_end()
    console.check_log(debate_id)
    console.check_result(debate_id)


def test_two_pages(chromium, shared_stack):
    """Who comes later sees what the first one sees."""
    with Console(chromium, shared_stack) as first, \
            Console(chromium, shared_stack) as second:
        first.use()
        debate_id = first.ask("One or two?", agents={"demo": 3}, rounds=2)
        first.wait("a critique", lambda: first.has_card("critique"))
        second.use()
        second.open_debate(debate_id).wait_end()
        second.check_log(debate_id)
        log = second.log()
        first.use()
        first.wait_end()
        first.check_log(debate_id)
        assert sorted(first.log()) == sorted(log)


def test_other_debate_on_the_same_page(console):
    """Going from one running debate to another mixes nothing."""
    s = console.stack
    first, second = (s.create(f"Number {i}?", rounds=2) for i in (1, 2))
    console.open_debate(first)
    console.wait("a card", lambda: console.log())
    console.js("location.hash = arguments[0]", f"#/debates/{second}")
    console.wait("its question", lambda: console.text("task") == "Number 2?")
    console.wait_end()
    console.check_log(second)
    console.check_result(second)


def test_bridge_restarts(chromium):
    """The connection is lost and comes back: nothing twice or missing."""
    with st.Stack() as s, Console(chromium, s, expected=NETWORK) as console:
        debate_id = console.ask("Lost or found?", agents={"demo": 3}, rounds=3)
        for kind in ("critique", "changed"):
            console.wait(kind, lambda k=kind: console.has_card(k, "vote"))
            s.processes["ws"].kill()
            s.processes["ws"].wait()
            console.wait("notice",
                         lambda: "lost" in console.text("connection"))
            s.start_bridge()
            console.wait("end of notice",
                         lambda: not console.is_shown("connection"))
        console.wait_end()
        console.check_log(debate_id)
        console.check_result(debate_id)


def test_without_a_bridge(chromium):
    """A network that lets no WebSocket through: the log comes over REST."""
    with st.Stack() as s, Console(chromium, s, expected=NETWORK) as console:
        s.processes["ws"].terminate()
        s.processes["ws"].wait()
        debate_id = console.ask("Slow or never?", more=FAST, rounds=1)
        console.wait_end()
        console.check_log(debate_id)
        console.check_result(debate_id)


def test_runner_killed(chromium):
    """An agent that was writing begins again; the page shows it once."""
    with st.Stack() as s, Console(chromium, s) as console:
        debate_id = console.ask("Again?", agents={"demo": 3}, rounds=2)
        console.wait("writing", lambda: console.has_card("critique") and
                     console.all("#log .writing"))
        s.runners[0].kill()
        s.runners[0].wait()
        s.start_runner()
        console.wait_end()
        console.check_log(debate_id)
        console.check_result(debate_id)


def test_cancel(console):
    # Without votes nothing ends it before its time.
    debate_id = console.ask("Stop or go?", agents={"demo": 3}, rounds=12,
                            rule="none")
    console.wait("cancel button", lambda: console.is_shown("cancel"))
    console.wait("a card", lambda: console.log())
    console.find("#cancel").click()
    console.wait_end("cancelled")
    assert not console.is_shown("cancel")
    console.check_log(debate_id)
    assert console.stack.get(f"/api/debates/{debate_id}")["status"] \
        == "cancelled"
    console.b.refresh()
    console.wait_end("cancelled")
    console.check_log(debate_id)
    assert "was cancelled" in console.text("notice")


def test_waiting_for_a_runner(chromium):
    with st.Stack(runners=0) as s, Console(chromium, s) as console:
        debate_id = console.ask("Soon?", more=FAST, rounds=1)
        console.wait_end("pending")
        assert "waiting" in console.text("status")
        s.start_runner()
        console.wait_end()
        console.check_log(debate_id)
        # Cancelled before anyone took it up: there is an end and no answer.
        s.runners[0].terminate()
        s.runners[0].wait()
        console.ask("Never?", agents={"demo": 2})
        console.wait("cancel button", lambda: console.is_shown("cancel"))
        console.find("#cancel").click()
        console.wait_end("cancelled")
        assert not console.is_shown("result")


def test_agents_fail(chromium):
    """A failed seat has its card; a debate of nobody says why it failed."""
    with st.Stack(stub=True, ARAGORA_LLM_MAX_ATTEMPTS="1") as s, \
            Console(chromium, s) as console:
        debate_id = console.ask(
            "Who answers?", rounds=1, rule="majority",
            agents={"openai-api": 1, "demo": 2}, more="openai-api|stub-401")
        console.wait_end()
        events = console.check_log(debate_id)
        assert "agent_error" in [e["type"] for e in events.values()]
        console.ask("Nobody?", more="openai-api|stub-401, openai-api|stub-500")
        console.wait_end("failed")
        console.wait("reason", lambda: "too few agents" in
                     console.text("notice"))


def test_keyboard(console):
    console.open().wait_choices()
    # Tab goes from the address bar to the skip link, the brand, the question.
    console.find("body").send_keys(Keys.TAB)
    assert console.b.switch_to.active_element.text == "To the content"
    box = console.find("#question")
    box.send_keys("Keys or mouse?")
    box.send_keys(Keys.CONTROL, Keys.ENTER)
    console.wait_debate()
    console.wait("cancel button", lambda: console.is_shown("cancel"))
    for _ in range(10):
        if console.b.switch_to.active_element == console.find("#cancel"):
            break
        console.b.switch_to.active_element.send_keys(Keys.TAB)
    button = console.b.switch_to.active_element
    assert button == console.find("#cancel")
    assert button.value_of_css_property("outline-style") == "solid"
    button.send_keys(Keys.ENTER)
    console.wait_end("cancelled")
