# SPDX-License-Identifier: MIT
"""The console in a real Chromium: ask, watch live, read the result."""
import json
import os
import sys
import tempfile

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
import stack as st  # noqa: E402


@pytest.fixture(name="stack", scope="module")
def fixture_stack():
    with st.Stack() as s:
        yield s


@pytest.fixture(name="browser")
def fixture_browser():
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    profile = tempfile.TemporaryDirectory(prefix="chromium-")
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu",
                 "--disable-quic", "--no-first-run",
                 "--disable-background-networking", "--disable-sync",
                 "--disable-component-update", "--disable-dev-shm-usage",
                 "--window-size=1200,1600",
                 f"--user-data-dir={profile.name}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    b = webdriver.Chrome(service=Service("/usr/bin/chromedriver"),
                         options=options)
    try:
        yield b
        # Errors of scripts and violations of the policy end up here.
        bad = [e for e in b.get_log("browser") if e["level"] == "SEVERE" and
               "/api/" not in e["message"]]
        assert not bad, bad
    finally:
        b.quit()
        profile.cleanup()


def text(browser, element_id):
    return browser.find_element(By.ID, element_id).text


def ask(browser, stack, question, rounds=None, rule=None):
    browser.get(stack.url("/"))
    st.wait_for("agents", lambda: browser.find_elements(
        By.CSS_SELECTOR, "#agents input"))
    browser.find_element(By.ID, "question").send_keys(question)
    if rounds or rule:
        browser.find_element(By.TAG_NAME, "summary").click()
    if rounds:
        browser.find_element(By.ID, "rounds").send_keys(str(rounds))
    if rule:
        Select(browser.find_element(By.ID, "rule")).select_by_visible_text(rule)
    browser.find_element(By.ID, "ask").click()
    st.wait_for("the debate's page",
                lambda: "#/debates/" in browser.current_url)
    return browser.current_url.rsplit("/", 1)[1]


def wait_status(browser, status):
    st.wait_for(status, lambda: text(browser, "status") == status)


def seen(browser):
    """Kinds of cards, in order."""
    return [c.get_attribute("class") for c in
            browser.find_elements(By.CSS_SELECTOR, "#live .card")]


def test_ask_watch_read(browser, stack):
    debate_id = ask(browser, stack, "Tea or coffee for breakfast?", rounds=2,
                    rule="majority")
    assert text(browser, "task") == "Tea or coffee for breakfast?"
    # Words appear while an agent is still writing.
    st.wait_for("streaming", lambda: any(
        e.text for e in browser.find_elements(
            By.CSS_SELECTOR, ".card.streaming .text")))
    wait_status(browser, "completed")
    d = stack.get(f"/api/debates/{debate_id}")
    st.wait_for("answer", lambda: text(browser, "answer"))
    assert text(browser, "answer").split() == d["final_answer"].split()
    assert text(browser, "confidence") == f"{round(d['confidence'] * 100)} %"
    dissent = text(browser, "dissent")
    if d["consensus"]["dissent"]:
        assert d["consensus"]["dissent"][0].split()[0] in dissent
    else:
        assert dissent == "Nobody disagreed."
    cards = seen(browser)
    for kind, count in (("critique", len(d["critiques"])),
                        ("vote", len(d["votes"]))):
        assert sum(kind in c for c in cards) == count
    assert not any("streaming" in c for c in cards)
    assert browser.find_element(By.ID, "demo-note").is_displayed()
    assert not browser.find_element(By.ID, "cancel").is_displayed()
    # It is in the list, and its link works.
    browser.get(stack.url("/"))
    link = st.wait_for("list", lambda: browser.find_elements(
        By.CSS_SELECTOR, f"#recent a[href='#/debates/{debate_id}']"))[0]
    link.click()
    wait_status(browser, "completed")
    st.wait_for("replay", lambda: seen(browser) == cards)


def test_reload_in_the_middle(browser, stack):
    debate_id = ask(browser, stack, "Reload or not?", rounds=3)
    st.wait_for("a critique", lambda: any(
        "critique" in c for c in seen(browser)))
    browser.refresh()
    wait_status(browser, "completed")
    d = stack.get(f"/api/debates/{debate_id}")
    st.wait_for("all critiques, once each", lambda: sum(
        "critique" in c for c in seen(browser)) == len(d["critiques"]))


def test_connection_lost(browser, stack):
    """The bridge dies and comes back: the page goes on where it was."""
    debate_id = ask(browser, stack, "Lost or found?", rounds=3)
    st.wait_for("a critique", lambda: any(
        "critique" in c for c in seen(browser)))
    stack.processes["ws"].kill()
    stack.processes["ws"].wait()
    st.wait_for("notice", lambda: "lost" in text(browser, "notice"))
    stack.start_bridge()
    wait_status(browser, "completed")
    d = stack.get(f"/api/debates/{debate_id}")
    st.wait_for("all critiques, once each", lambda: sum(
        "critique" in c for c in seen(browser)) == len(d["critiques"]))
    assert text(browser, "notice") == ""


def test_cancel(browser, stack):
    debate_id = ask(browser, stack, "Stop or go?", rounds=12)
    button = browser.find_element(By.ID, "cancel")
    st.wait_for("cancel button", button.is_displayed)
    button.click()
    wait_status(browser, "cancelled")
    assert stack.get(f"/api/debates/{debate_id}")["status"] == "cancelled"


def test_errors_name_the_field(browser, stack):
    browser.get(stack.url("/"))
    browser.find_element(By.ID, "ask").click()
    st.wait_for("error", lambda: "task" in text(browser, "error"))
    assert "#/debates/" not in browser.current_url
    browser.get(stack.url("/#/debates/adhoc_00000000"))
    st.wait_for("notice", lambda: "no such debate" in text(browser, "notice"))


def test_hostile_text_is_text(browser, stack):
    """Markup in a question reaches the page through agents' texts as well."""
    hostile = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>"
    debate_id = ask(browser, stack, f"{hostile} or tea?", rounds=1)
    wait_status(browser, "completed")
    assert hostile in text(browser, "task")
    assert hostile in json.dumps(stack.get(f"/api/debates/{debate_id}"))
    assert browser.execute_script("return window.pwned") is None
    assert not browser.find_elements(By.CSS_SELECTOR, "main img, main script")


def test_works_with_the_keyboard(browser, stack):
    browser.get(stack.url("/"))
    box = browser.find_element(By.ID, "question")
    label = browser.find_element(By.CSS_SELECTOR, "label[for=question]")
    assert label.text
    box.send_keys("Keys or mouse?")
    from selenium.webdriver.common.keys import Keys
    box.send_keys(Keys.CONTROL, Keys.ENTER)
    st.wait_for("the debate's page",
                lambda: "#/debates/" in browser.current_url)
    wait_status(browser, "completed")
