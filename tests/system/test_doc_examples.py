# SPDX-License-Identifier: MIT
"""The examples in the documents, run as they stand: each fenced block whose
first line says `LANGUAGE run`. The blocks of one page and language are one
program; http://localhost:8080 is the stack of the test. An `output` block
behind one says what it prints. While one that says `resume` runs, the bridge
is killed: its events must come once and in order all the same.

Blocks that say another word (`run restore`) are run by a test of that word."""
import fnmatch
import json
import os
import re
import signal
import subprocess
import sys

import pytest

import stack as st

sys.path.insert(0, os.path.join(st.SOURCE, "tests", "browser"))
import console as co  # noqa: E402

BASE = "http://localhost:8080"
EVENT = re.compile(r"(\d+) ([a-z_]+)( \w*)?$")
# What Chromium itself says about a bridge that is killed.
NETWORK = ("net::ERR_", "WebSocket connection to", "503 (Service", "502 (Bad")


class Block:
    def __init__(self, language, words, text):
        self.language, self.words, self.text = language, words, text
        self.output = None


def blocks(page):
    """Those of a page that are to be run."""
    out, fence, lines = [], None, []
    with open(os.path.join(st.SOURCE, page), encoding="utf-8") as f:
        for line in f.read().splitlines():
            if fence is None and line.startswith("```"):
                fence, lines = line[3:].split(), []
            elif line == "```":
                if fence == ["output"]:
                    out[-1].output = lines
                elif fence[1:2] == ["run"]:
                    out.append(Block(fence[0], fence[2:], "\n".join(lines)))
                fence = None
            elif fence is not None:
                lines.append(line)
    return out


def of(page, language, *words):
    found = [b for b in blocks(page) if b.language == language
             and set(words) <= set(b.words)
             and (words or set(b.words) <= {"resume"})]
    assert found, (page, language, words)
    return found


def pages():
    """Every page with such blocks."""
    names = ["README.md"] + [f"docs/{n}" for n in sorted(
        os.listdir(os.path.join(st.SOURCE, "docs"))) if n.endswith(".md")]
    return {n: blocks(n) for n in names if blocks(n)}


def marker(i):
    return f"=== {i}"


def split(lines):
    """What each block printed."""
    out = []
    for line in lines:
        if line.startswith("=== "):
            out.append([])
        else:
            out[-1].append(line)
    return out


def check_output(block, printed):
    if block.output is not None:
        assert len(printed) == len(block.output), printed
        for line, wanted in zip(printed, block.output):
            assert fnmatch.fnmatchcase(line, re.sub(
                r"([\[\]])", r"[\1]", wanted).replace("...", "*"))


def check_events(printed):
    """Numbers grow, without a gap where all types are told."""
    events = [m.groups() for m in map(EVENT.match, printed) if m]
    seqs = [int(e[0]) for e in events]
    types = [e[1] for e in events]
    assert types[-1] == "debate_end", printed
    assert seqs == sorted(set(seqs))
    if "round_start" in types:
        assert seqs == list(range(1, len(seqs) + 1))
    return types


@pytest.fixture(name="stack", scope="module")
def fixture_stack():
    with st.Stack() as stack:
        yield stack


def environment(stack, **more):
    return {**stack.env, "PATH": f"{st.BUILD}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1", "no_proxy": "127.0.0.1,localhost",
            **more}


def restart_bridge(stack):
    st.end(stack.processes["ws"], signal.SIGKILL)
    os.unlink(os.path.join(stack.run_dir, "ws.sock"))
    stack.start_bridge()


def shell(stack, found, **env):
    text = "set -eu\n" + "".join(
        f"echo '{marker(i)}'\n{b.text}\n" for i, b in enumerate(found))
    r = subprocess.run(["bash", "-c", text.replace(BASE, stack.url(""))],
                       env=environment(stack, **env), capture_output=True,
                       text=True, timeout=300, check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    printed = split(r.stdout.splitlines())
    for block, lines in zip(found, printed, strict=True):
        check_output(block, lines)
    return printed


def test_nothing_is_left_out():
    """Every block has a language and words that some test here runs."""
    known = {("docs/api.md", "sh"), ("docs/api.md", "js"),
             ("docs/api.md", "python"), ("docs/operations.md", "sh")}
    for page, found in pages().items():
        for b in found:
            assert (page, b.language) in known, (page, b.language)
            assert set(b.words) <= {"resume", "restore", "postgresql"}


def test_curl(stack):
    printed = shell(stack, of("docs/api.md", "sh"))
    types = [line.split()[1] for line in printed[0]
             if line.startswith("event: ")]
    assert types[-1] == "debate_end" and "vote" in types
    result = json.loads("\n".join(
        line for line in printed[0] if not line.startswith("event: ")))
    assert result["status"] == "completed" and result["final_answer"]
    assert any("Tea or coffee for breakfast?" in line for line in printed[2])
    assert json.loads(printed[4][-1])["role"]


def test_python(stack):
    found = of("docs/api.md", "python")
    program = "".join(f"print('{marker(i)}')\n{b.text}\n"
                      for i, b in enumerate(found))
    killed, lines = 0, []
    with subprocess.Popen(
            [sys.executable, "-c", program.replace(BASE, stack.url(""))],
            env=environment(stack), stdout=subprocess.PIPE, text=True) as p:
        for line in p.stdout:
            lines.append(line.rstrip("\n"))
            # With the first event of each block the bridge goes.
            if marker(killed) in lines and EVENT.match(lines[-1]):
                restart_bridge(stack)
                killed += 1
    assert p.returncode == 0 and killed == len(found) == 2
    first, second = split(lines)
    assert first.pop() == "completed"
    for printed in (first, second):
        assert {"round_start", "critique", "vote"} <= set(
            check_events(printed))


@pytest.fixture(name="page")
def fixture_page(stack):
    with co.Chromium() as chromium, \
            co.Console(chromium, stack, expected=NETWORK) as console:
        yield console.open()


def test_javascript(stack, page):
    """In a real browser, on a page of the server."""
    found = of("docs/api.md", "js")
    program = "".join(f"console.log('{marker(i)}');\n{b.text}\n"
                      for i, b in enumerate(found))
    page.js("""
        window.told = [];
        console.log = (...x) => told.push(x.join(" "));
        const Async = (async () => {}).constructor;
        new Async(arguments[0])().then(() => told.push("done"),
            (e) => told.push("failed: " + e));""",
            program.replace(BASE, stack.url("")))
    for i in range(len(found)):
        def has_begun(i=i):
            printed = split(page.js("return told"))
            return len(printed) > i and len(printed[i]) > 0
        page.wait(f"events of block {i}", has_begun)
        restart_bridge(stack)
    page.wait("end", lambda: page.js("return told")[-1][:4] in
              ("done", "fail"))
    lines = page.js("return told")
    assert lines.pop() == "done", lines
    whole, some = split([line.strip() for line in lines])
    assert {"round_start", "critique", "vote"} <= set(check_events(whole))
    assert set(check_events(some)) == {"agent_message", "vote", "debate_end"}


def test_backup_and_restore(tmp_path):
    with st.Stack() as stack:
        env = {"BACKUP": str(tmp_path)}
        debate = stack.create("Is it in the backup?", rounds=1,
                              agents=["demo|fast", "demo|fast"])
        stack.wait_end(debate)
        shell(stack, of("docs/operations.md", "sh"), **env)
        later = stack.create("And this one?", rounds=1,
                             agents=["demo|fast", "demo|fast"])
        stack.wait_end(later)
    data = tmp_path / "data"
    data.mkdir()
    (data / "aragora.db").write_bytes(b"damaged")
    (data / "aragora.db-wal").write_bytes(b"old")
    env = environment(stack, BACKUP=str(tmp_path), ARAGORA_DATA_DIR=str(data))
    text = "\n".join(b.text for b in of("docs/operations.md", "sh",
                                        "restore"))
    r = subprocess.run(["bash", "-euc", text], env=env, capture_output=True,
                       text=True, check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    shown = {i: subprocess.run(
        [st.Stack.program("aragora"), "export", i, "--format", "txt"],
        env=env, capture_output=True, text=True, check=False)
        for i in (debate, later)}
    assert "Is it in the backup?" in shown[debate].stdout
    assert shown[later].returncode != 0


def test_backup_of_postgresql(tmp_path):
    postgres = st.Postgres()
    try:
        owner, app = postgres.roles()
        with st.Stack(database_url=app, owner_url=owner) as stack:
            debate = stack.create("Is it in the dump?", rounds=1, agents=[
                "demo|fast", "demo|fast"])
            stack.wait_end(debate)
            new = postgres.database()
            name = new.split("/")[3].split("?")[0]
            postgres.sql(f"ALTER DATABASE {name} OWNER TO aragora_owner")

            def role(url, who):
                return re.sub(r"//\w+@", f"//{who}@", url)

            shell(stack, of("docs/operations.md", "sh", "postgresql"),
                  BACKUP=str(tmp_path), ADMIN_URL=role(app, "aragora"),
                  NEW_URL=new, NEW_OWNER_URL=role(new, "aragora_owner"),
                  PATH=f"{st.BUILD}:{postgres.bin}:{os.environ['PATH']}")
            shown = subprocess.run(
                [stack.program("aragora"), "export", debate, "--format",
                 "txt"], env={**stack.env, "ARAGORA_DATABASE_URL": role(
                     new, "aragora_app")},
                capture_output=True, text=True, check=False)
            assert "Is it in the dump?" in shown.stdout, shown.stderr
    finally:
        postgres.close()
