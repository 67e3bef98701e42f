# SPDX-License-Identifier: MIT
"""The page itself: what it may load, whom it lets read it, what it says when
something is wrong, and that agents' text stays text."""
import json
import re
import subprocess
import urllib.parse

import httpx
import pytest

import stack as st
from console import FAST, Console

HOSTILE = "<img src=x onerror=window.pwned=1>" \
    "<script>window.pwned=1</script><svg onload=window.pwned=1>" \
    " javascript:window.pwned=1 ${7*7} &lt;b&gt;"
REFUSED = ("400 (Bad Request)", "401 (Unauthorized)", "404 (Not Found)")


# ---- text ----

def test_hostile_question(console):
    """Markup in a question comes back through agents' texts as well."""
    debate_id = console.ask(f"{HOSTILE} or tea?", more=FAST, rounds=1)
    console.wait_end()
    console.check_log(debate_id)
    d = console.check_result(debate_id)
    assert "onerror" in json.dumps(d["messages"])
    assert console.raw("#task") == d["task"]
    assert_harmless(console)
    console.find(".brand").click()
    console.wait("list", lambda: HOSTILE in console.text("recent"))
    assert_harmless(console)


def test_hostile_model(chromium):
    """The same from a model, over tokens, critiques and ballots."""
    with st.Stack(stub=True) as s, Console(chromium, s) as console:
        debate_id = console.ask(HOSTILE, rounds=1, rule="majority",
                                more="openai-api|stub-slow@5,"
                                     "openai-api|stub-slow@5")
        console.wait_end()
        console.check_log(debate_id)
        d = console.check_result(debate_id)
        assert "onerror" in d["final_answer"]
        assert console.js("return window.lengths")
        assert_harmless(console)


def assert_harmless(console):
    assert console.js("return window.pwned") is None
    assert not console.all("main :is(img, script, svg, [href^=javascript])")


def test_right_to_left(console):
    """Each text runs in its own direction."""
    console.ask("האם תה או קפה?", more=FAST, rounds=1)
    console.wait_end()
    assert console.find("#task").value_of_css_property("direction") == "rtl"


# ---- policy ----

def test_policy(shared_stack):
    page = httpx.get(shared_stack.url("/"), trust_env=False)
    policy = dict(p.split(None, 1) for p in
                  page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert "unsafe" not in str(policy) and "frame-ancestors" in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", page.text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page.text)
    types = {"js": "text/javascript", "css": "text/css",
             "svg": "image/svg+xml"}
    for path in re.findall(r'(?:src|href)="([^"#]+)"', page.text):
        assert not re.match(r"[a-z]+:|//", path), path
        r = httpx.get(shared_stack.url("/" + path), trust_env=False)
        assert r.status_code == 200
        assert r.headers["Content-Type"].startswith(
            types[path.rsplit(".", 1)[1]])
    assert httpx.get(shared_stack.url("/Makefile.inc"),
                     trust_env=False).status_code in (200, 404)
    assert httpx.get(shared_stack.url("/nonsense"),
                     trust_env=False).status_code == 404


def test_loads_nothing_from_elsewhere(console):
    console.ask("From here only?", more=FAST, rounds=1)
    console.wait_end()
    names = console.js("return performance.getEntriesByType('resource')"
                       ".map((r) => r.name)")
    hosts = {urllib.parse.urlsplit(n).netloc for n in names}
    assert hosts == {f"127.0.0.1:{console.stack.port}"}


# ---- errors ----

def test_errors_name_the_field(chromium, shared_stack):
    with Console(chromium, shared_stack, expected=REFUSED) as console:
        console.open().wait_choices()
        console.find("#ask").click()
        console.wait("error", lambda: console.is_shown("ask-error"))
        assert console.text("ask-error").startswith("Your question: ")
        box = console.find("#question")
        assert box.get_attribute("aria-invalid") == "true"
        assert console.b.switch_to.active_element == box
        # Several at once; the first one gets the focus, its section is opened.
        console.fill("Alone?", agents={"demo": 1}, more="demo|x|y, nobody")
        console.find("#options > summary").click()
        console.find("#ask").click()
        console.wait("error", lambda: "Agents: " in console.text("ask-error"))
        assert "nobody" in console.text("ask-error")
        assert console.b.switch_to.active_element == console.find("#more")
        assert not box.get_attribute("aria-invalid")
        # What was typed is still there, and can be mended.
        more = console.find("#more")
        more.clear()
        console.seat("demo", 2)
        console.find("#ask").click()
        console.wait_debate()


@pytest.mark.parametrize("debate_id", ["adhoc_00000000", "%E0%A4%A"])
def test_no_such_debate(chromium, shared_stack, debate_id):
    with Console(chromium, shared_stack, expected=REFUSED) as console:
        console.open_debate(debate_id)
        console.wait("notice", lambda: console.text("notice"))
        assert "no such debate" in console.text("notice") or "id" in \
            console.text("notice")
        assert not console.is_shown("result") and not console.is_shown("cancel")


def test_server_gone(chromium):
    with st.Stack() as s, \
            Console(chromium, s, expected=("net::ERR_",)) as console:
        console.open().wait_choices()
        st.end(s.processes["nginx"])
        console.find("#question").send_keys("Anybody?")
        console.find("#ask").click()
        console.wait("error", lambda: "cannot be reached" in
                     console.text("ask-error"))
        assert console.find("#question").get_property("value") == "Anybody?"
        console.wait("health", lambda: console.text("health") ==
                     "not reachable")


def test_how_many_run(chromium, shared_stack):
    """The server's count is told where debates are asked for, not beside one
    that may have begun after it."""
    with Console(chromium, shared_stack) as console:
        console.open().wait_choices()
        console.wait("count", lambda: re.fullmatch(
            r"\d+ running", console.text("health")))
        console.ask("Is it counted?", agents={"demo": 2}, rounds=1)
        console.wait("no count", lambda: console.text("health") == "")
        console.wait_end()
        console.open().wait_choices()
        console.wait("count", lambda: re.fullmatch(
            r"\d+ running", console.text("health")))


# ---- tokens ----

def test_token(chromium):
    with st.Stack(ARAGORA_AUTH_REQUIRED="1") as s:
        key = subprocess.run(
            [s.program("aragora"), "token", "create", "--name", "browser"],
            env=s.env, text=True, capture_output=True, check=True
        ).stdout.strip()
        with Console(chromium, s, expected=REFUSED) as console:
            use_token(console, key)
        for name, text in s.logs().items():
            assert key not in text, name


def use_token(console, key):
    bearer = {"headers": {"Authorization": f"Bearer {key}"}}
    # Without one, the list is refused and the token is asked for.
    console.open()
    console.wait("token field", lambda: console.is_shown("token-form"))
    give_token(console, "ara_wrong")
    console.wait("refusal", lambda: "does not accept" in
                 console.text("token-hint"))
    give_token(console, key)
    console.wait("acceptance", lambda: console.text("recent") ==
                 "None yet.")
    assert not console.is_shown("token-form")
    debate_id = console.ask("Let in?", agents={"demo": 2}, rounds=1)
    console.wait_end()
    assert console.js("return window.lengths") != {}  # over the WebSocket
    console.check_log(debate_id, **bearer)
    console.check_result(debate_id, **bearer)
    console.b.refresh()  # kept as long as the tab
    console.wait_end()
    assert console.js("return Object.keys(localStorage)") == []
    assert console.js("return document.cookie") == ""
    console.find("#forget").click()
    console.wait("token field", lambda: console.is_shown("token-form"))


def give_token(console, token):
    console.find("#token").send_keys(token)
    console.find("#token-form button").click()


# ---- for everyone ----

def test_names(console):
    """Whatever can be operated says what it is."""
    def check():
        for node in console.all("button, input, select, textarea, a, summary"):
            if node.is_displayed():
                assert node.accessible_name.strip(), \
                    node.get_attribute("outerHTML")
    console.open().wait_choices()
    console.find("#options > summary").click()
    check()
    assert console.find("html").get_attribute("lang") == "en"
    console.ask("Named?", agents={"demo": 3}, rounds=1)
    console.wait_end()
    check()
    # What happens is told to those who do not see it: short, and politely.
    log = console.find("#announcer")
    assert log.get_attribute("aria-live") == "polite"
    told = log.get_property("textContent")
    assert "votes for" in told and "The debate is over" in told
    # Headings go down one step at a time.
    levels = console.js("""return [...document.querySelectorAll(
        "#debate-page h1, #debate-page h2, #debate-page h3, #debate-page h4")]
        .filter((h) => h.checkVisibility()).map((h) => Number(h.tagName[1]))""")
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:])), levels


@pytest.mark.parametrize("width", [320, 700, 1600])
def test_narrow_and_wide(console, width):
    """Nothing sticks out, however long the words are."""
    console.cdp("Emulation.setDeviceMetricsOverride", width=width, height=800,
                deviceScaleFactor=1, mobile=False)
    sticks_out = "return document.documentElement.scrollWidth > innerWidth"
    console.open().wait_choices()
    console.find("#options > summary").click()
    assert not console.js(sticks_out)
    console.ask("W" * 300 + " or tea?", more=FAST, rounds=1, rule="majority")
    console.wait_end()
    assert not console.js(sticks_out)


def test_dark_and_still(console):
    def brightness(name):
        rgb = re.findall(r"\d+", console.find("body")
                         .value_of_css_property(name))
        return sum(int(x) for x in rgb[:3])
    for scheme in ("light", "dark"):
        console.cdp("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"}])
        console.open()
        assert (brightness("background-color") > brightness("color")) == \
            (scheme == "light")
    console.ask("Still?", agents={"demo": 2}, rounds=12)
    console.wait("writing", lambda: console.js("""
        const node = document.querySelector("#log .writing .text");
        return node && getComputedStyle(node, "::after").animationName"""))
    names = console.js("""return [...document.querySelectorAll(
        "#log .writing .text")].map(
        (n) => getComputedStyle(n, "::after").animationName)""")
    assert set(names) <= {"none"}
    console.find("#cancel").click()
    console.wait_end("cancelled")


def test_contrast(console):
    """WCAG AA: 4.5 to 1 for every text, in both schemes."""
    console.ask("Readable?", more=FAST, rounds=1, rule="majority")
    console.wait_end()
    for scheme in ("light", "dark"):
        console.cdp("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])
        assert console.js(CONTRAST) == []


CONTRAST = """
const numbers = (c) => c.match(/[\\d.]+/g).map(Number);
const light = (c) => {
  const [r, g, b] = numbers(c).slice(0, 3).map((x) => x / 255)
      .map((x) => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
};
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if (numbers(c)[3] !== 0) return c;
  }
  return "rgb(255, 255, 255)";
};
const bad = [];
for (const e of document.querySelectorAll("body *")) {
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  if (!own || !e.checkVisibility() || e.closest(".unseen, .skip")) continue;
  const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) bad.push(`${e.className} ${ratio.toFixed(2)}`);
}
return [...new Set(bad)];
"""
