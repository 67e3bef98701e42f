# SPDX-License-Identifier: MIT
"""The console as a person uses it: what is on the page, and what they do."""
import contextlib
import os
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

import stack as st

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking", "--disable-sync",
         "--disable-component-update", "--disable-dev-shm-usage",
         "--no-proxy-server", "--window-size=1200,1000")

# Runs in every page before its own scripts: writes down violations of the
# policy, and every text that an agent was seen writing.
WITNESS = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
    (e) => violations.push(`${e.violatedDirective} ${e.blockedURI}`));
window.lengths = {};
new MutationObserver(() => {
  for (const card of document.querySelectorAll("#log .card.writing")) {
    const who = card.querySelector(".chip").textContent;
    const n = card.querySelector(".text").textContent.length;
    const seen = lengths[who] = lengths[who] || [];
    if (n && seen[seen.length - 1] !== n) seen.push(n);
  }
}).observe(document, { childList: true, subtree: true, characterData: true });
"""

# Agents that do not take their time.
FAST = "demo|fast,demo|fast,demo|fast"

# Events that become cards of the log, and the class of their card.
CARDS = {"agent_message": ("proposer", "judge"), "critique": ("critique",),
         "revision": ("changed", "kept"), "vote": ("vote",),
         "synthesis": ("synthesis",), "agent_error": ("failure",)}


class Chromium:
    def __enter__(self):
        os.environ["no_proxy"] = "127.0.0.1,localhost"
        self.profile = tempfile.TemporaryDirectory(
            prefix="chromium-", ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in FLAGS:
            options.add_argument(flag)
        options.add_argument(f"--user-data-dir={self.profile.name}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(
            service=Service("/usr/bin/chromedriver"), options=options)
        self.home = self.driver.current_window_handle
        return self

    def __exit__(self, *error):
        self.driver.quit()
        self.profile.cleanup()


class Console:
    """A tab of its own. At its end nothing unexpected may have been logged by
    the browser, and the page's policy must not have been violated."""

    def __init__(self, chromium, stack, expected=()):
        self.chromium = chromium
        self.b = chromium.driver
        self.stack = stack
        self.expected = expected

    def __enter__(self):
        self.b.switch_to.new_window("tab")
        self.tab = self.b.current_window_handle
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=WITNESS)
        self.b.get_log("browser")
        return self

    def use(self):
        """This tab, when there are several."""
        self.b.switch_to.window(self.tab)

    def __exit__(self, kind, *error):
        self.use()
        logged = self.b.get_log("browser")
        try:
            if kind:
                print(self.find("body").text, logged, sep="\n")
                return
            assert self.js("return window.violations") == []
            unexpected = [e for e in logged
                          if e["level"] in ("SEVERE", "WARNING") and
                          not any(x in e["message"] for x in self.expected)]
            assert not unexpected, unexpected
        finally:
            self.b.close()
            self.b.switch_to.window(self.chromium.home)

    def cdp(self, command, **params):
        return self.b.execute_cdp_cmd(command, params)

    def js(self, script, *args):
        return self.b.execute_script(script, *args)

    # ---- looking ----

    def find(self, selector):
        return self.b.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.b.find_elements(By.CSS_SELECTOR, selector)

    def text(self, element_id):
        return self.find(f"#{element_id}").text

    def raw(self, selector):
        """Text content as it is in the document, white space and all."""
        return self.find(selector).get_property("textContent")

    def is_shown(self, element_id):
        return self.find(f"#{element_id}").is_displayed()

    def is_status(self, status):
        """pending, running, completed, failed, cancelled"""
        return status in self.find("#status").get_attribute("class").split()

    def log(self):
        """[(seq, classes, who, text)] of the log's cards."""
        return [tuple(x) for x in self.js("""
            return [...document.querySelectorAll("#log .card")].map((c) => [
                Number(c.dataset.seq || 0), c.className.split(" "),
                c.querySelector(".chip").textContent, c.textContent]);""")]

    def has_card(self, *kinds):
        return any(set(kinds) & set(classes) for _, classes, _, _ in self.log())

    # ---- doing ----

    def open(self, path="/"):
        self.b.get(self.stack.url(path))
        return self

    def open_debate(self, debate_id):
        self.open(f"/#/debates/{debate_id}")
        return self

    def wait(self, what, check):
        return st.wait_for(what, check)

    def wait_choices(self):
        self.wait("agents", lambda: self.all("#agents input"))

    def seat(self, agent, count):
        box = self.find(f"#agents input[data-agent='{agent}']")
        box.clear()
        box.send_keys(str(count))

    def fill(self, question, agents=None, rounds=None, rule=None, more=None):
        self.wait_choices()
        self.find("#question").send_keys(question)
        if not self.find("#options").get_attribute("open"):
            self.find("#options > summary").click()
        for agent, count in (agents or {}).items():
            self.seat(agent, count)
        if more:
            self.find("#more").send_keys(more)
        if rounds:
            self.find("#rounds").send_keys(str(rounds))
        if rule:
            Select(self.find("#rule")).select_by_visible_text(rule)

    def ask(self, question, **choices):
        """The id of the debate whose page is shown then."""
        self.open().fill(question, **choices)
        self.find("#ask").click()
        return self.wait_debate()

    def wait_debate(self):
        self.wait("debate page", lambda: "#/debates/" in self.b.current_url)
        return self.b.current_url.rsplit("/", 1)[1]

    def wait_end(self, status="completed"):
        self.wait(status, lambda: self.is_status(status))

    # ---- what must hold of the page of a debate that is over ----

    def check_log(self, debate_id, **get):
        """Every event that has a card has one, in its phase's place, with its
        whole text; nobody is still writing."""
        events = {e["seq"]: e for e in self.events(debate_id, **get)
                  if e["type"] in CARDS}
        self.wait("all cards", lambda: len(self.log()) == len(events))
        cards = self.log()
        assert sorted(seq for seq, *_ in cards) == sorted(events)
        for seq, classes, who, text in cards:
            e = events[seq]
            assert set(classes) & set(CARDS[e["type"]]), (seq, classes)
            assert who == e["agent"]
            for words in self.words(e["data"]):
                assert words in text, (seq, words)
        assert not self.all("#log .writing")
        return events

    def events(self, debate_id, **get):
        page = self.stack.get(
            f"/api/debates/{debate_id}/events?limit=500", **get)
        return page["events"]

    @staticmethod
    def words(data):
        if data.get("issues"):
            return data["issues"] + data["suggestions"]
        with contextlib.suppress(KeyError):
            return [data["content"]]
        return [data.get("reasoning") or data.get("message")]

    def check_result(self, debate_id, **get):
        d = self.stack.get(f"/api/debates/{debate_id}", **get)
        consensus = d["consensus"]
        self.wait("result", lambda: self.is_shown("result"))
        percent = lambda x: f"{int(x * 100 + 0.5)} %"
        assert self.raw("#answer") == d["final_answer"]
        assert self.text("confidence") == percent(d["confidence"])
        assert self.text("agreement") == percent(consensus["agreement"])
        assert self.text("consensus") == \
            f"{'reached' if consensus['reached'] else 'not reached'}" \
            f" ({consensus['method']})"
        supporters = [c.text for c in self.all("#supporters .chip")]
        assert supporters == consensus["supporting_agents"]
        views = [(c.find_element(By.CSS_SELECTOR, ".chip").text,
                  c.find_element(By.CSS_SELECTOR, ".text")
                  .get_property("textContent"))
                 for c in self.all("#dissent .card")]
        assert [f"{who}: {text}" for who, text in views] == \
            consensus["dissent"]
        if not views:
            assert self.text("dissent") == "Nobody disagreed."
        assert not self.is_shown("cancel")
        return d
