# SPDX-License-Identifier: MIT
"""`aragora eval` against the stub's calculating process: the ordering of the
protocols, figures that agree with what the stub counted, runs that are
interrupted and go on, and questions that are refused."""
import contextlib
import json
import math
import os
import random
import resource
import signal
import subprocess

import httpx
import pytest

import stack as st

P = 0.6  # how often one answer is right
MODEL = f"openai-api|stub-arith:{P}"
PRICE_IN, PRICE_OUT = 1, 2  # micro-dollars a token
RARE = 1e-4  # what may be left to chance


class Stub:
    def __init__(self, path):
        self.log = str(path / "stub.json")
        self.process = subprocess.Popen(
            [st.Stack.program("tests/tools/llm_stub"), "--listen",
             "127.0.0.1:0", "--log", self.log], stdout=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        assert line.startswith("listening on "), line
        self.url = f"http://127.0.0.1:{line.split()[-1]}"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(
            ("ARAGORA_", "OPENAI_", "ANTHROPIC_"))}
        self.env.update(
            OPENAI_BASE_URL=self.url + "/openai/v1",
            OPENAI_API_KEY="sk-planted-secret-7f3a",
            ANTHROPIC_BASE_URL=self.url + "/anthropic",
            ANTHROPIC_API_KEY="sk-planted-secret-8a40",
            ARAGORA_DATA_DIR=str(path / "data"),
            ARAGORA_LLM_PRICES=f"openai/stub-arith:{P}={PRICE_IN}/{PRICE_OUT}")

    def requests(self):
        return httpx.get(f"{self.url}/_stub/requests", trust_env=False).json()

    def answered(self):
        with open(self.log, encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def close(self):
        st.end(self.process)


@contextlib.contextmanager
def stub_in(path):
    path.mkdir(exist_ok=True)
    s = Stub(path)
    try:
        yield s
    finally:
        s.close()


@pytest.fixture(name="stub")
def fixture_stub(tmp_path):
    with stub_in(tmp_path / "stub") as s:
        yield s


def sums(path, n):
    draw = random.Random(7)
    with open(path, "w", encoding="utf-8") as f:
        for i in range(n):
            a, b, c = (draw.randint(10, 99) for _ in range(3))
            f.write(json.dumps({
                "id": f"q{i}", "question": f"What is {a} * {b} - {c}?",
                "answer": a * b - c,
                "domain": "even" if i % 2 == 0 else "odd"}) + "\n")
    return str(path)


def command(path, protocols, *args, agents=",".join([MODEL] * 3)):
    return [st.Stack.program("aragora"), "eval", str(path), "--protocols",
            protocols, "--agents", agents, *args]


def run(stub, *args, code=0, **kw):
    env = {**stub.env, **kw.pop("env", {})}
    r = subprocess.run(command(*args, **kw), env=env, text=True,
                       capture_output=True, check=False)
    assert r.returncode == code, r.stdout + r.stderr
    return r


def report(stub, *args, **kw):
    return json.loads(run(stub, *args, "--json", **kw).stdout)


def by_name(found):
    return {p["protocol"]: p for p in found["protocols"]}


# ---- 200 questions, once ----

N = 200
PROTOCOLS = "single,self_consistency,council,moa,debate,debate_judge,cascade"


@pytest.fixture(name="whole", scope="module")
def fixture_whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("eval")
    questions = sums(path / "q.jsonl", N)
    with stub_in(path / "stub") as stub:
        first = report(stub, questions, PROTOCOLS)
        yield {"report": first, "answered": stub.answered(),
               "requests": stub.requests(), "questions": questions,
               "path": path}


def binomial_range(n, p, rare):
    """The counts that together are all but `rare` probable."""
    share = [math.comb(n, k) * p**k * (1 - p)**(n - k) for k in range(n + 1)]
    low = next(k for k in range(n) if sum(share[:k + 1]) > rare / 2)
    high = next(k for k in range(n, 0, -1) if sum(share[k:]) > rare / 2)
    return low, high


def test_single_is_right_as_often_as_it_should(whole):
    single = by_name(whole["report"])["single"]
    low, high = binomial_range(N, P, RARE)
    assert low <= single["right"] <= high
    assert single["interval"][0] < single["accuracy"] < single["interval"][1]
    assert single["questions"] == N and single["abstentions"] == 0


def test_ordering(whole):
    """One answer, the most frequent of three, a debate; a council between
    the two or above."""
    found = by_name(whole["report"])
    right = {name: p["right"] for name, p in found.items()}
    assert right["single"] < right["self_consistency"] < right["debate"]
    assert right["self_consistency"] < right["council"]
    for name in ("self_consistency", "council", "moa", "debate",
                 "debate_judge", "cascade"):
        against = found[name]["against_first"]
        assert against["questions"] == N
        assert against["gained"] - against["lost"] == \
            right[name] - right["single"]
        assert against["difference"] == pytest.approx(
            (right[name] - right["single"]) / N)
        assert against["interval"][0] > 0 and against["p"] < RARE
    assert whole["report"]["complete"] and \
        not whole["report"]["interrupted"]


def test_before_and_after(whole):
    """The same seats answer first, whatever the protocol makes of it."""
    found = by_name(whole["report"])
    for p in found.values():
        assert p["right"] == p["before_right"] + p["wrong_to_right"] - \
            p["right_to_wrong"]
    three = [found[name]["before_right"] for name in (
        "self_consistency", "council", "moa", "debate")]
    assert len(set(three)) == 1
    assert found["single"]["before_right"] == found["single"]["right"]
    # Of two who differ the earlier one counts.
    assert found["debate_judge"]["before_right"] == found["single"]["right"]
    assert found["single"]["wrong_to_right"] == 0
    assert found["debate"]["wrong_to_right"] > \
        found["debate"]["right_to_wrong"] > 0


def test_domains(whole):
    for p in whole["report"]["protocols"]:
        assert set(p["domains"]) == {"even", "odd"}
        assert sum(d["right"] for d in p["domains"].values()) == p["right"]
        assert {d["questions"] for d in p["domains"].values()} == {N // 2}


def test_calls(whole):
    """As the table of protocols says, where no answer changes the number."""
    calls = {name: p["calls"] for name, p in by_name(
        whole["report"]).items()}
    assert calls["single"] == N
    assert calls["single"] < calls["self_consistency"] < calls["council"] < \
        calls["moa"] < calls["cascade"] < calls["debate"]
    assert calls["self_consistency"] >= 3 * N
    assert calls["debate"] >= 16 * N  # 3 + 6 + 3 + 3 + 1


def test_costs_are_the_stubs(whole):
    found = whole["report"]["protocols"]
    seen = whole["answered"]
    assert all(x["outcome"] == "ok" for x in seen)
    assert sum(p["calls"] for p in found) == len(seen)
    assert sum(p["requests"] for p in found) == whole["requests"]["total"]
    for key in ("tokens_in", "tokens_out"):
        assert sum(p[key] for p in found) == sum(x[key] for x in seen)
    assert sum(p["cost_udollar"] for p in found) == sum(
        x["tokens_in"] * PRICE_IN + x["tokens_out"] * PRICE_OUT
        for x in seen)
    assert not any(p["calls_without_price"] for p in found)


def test_again_and_with_another_seed(whole, stub):
    """The same seed gives the same figures; another one does not."""
    some = "single,debate"
    before = by_name(whole["report"])
    questions = whole["questions"]
    again = report(stub, questions, some, "--jobs", "3")
    for name, p in by_name(again).items():
        assert p == before[name]
    other = report(stub, questions, "single", "--seed", "1")
    assert other["seed"] == 1
    assert other["protocols"][0]["right"] != before["single"]["right"]
    low, high = binomial_range(N, P, RARE)
    assert low <= other["protocols"][0]["right"] <= high


def test_table(stub, tmp_path):
    r = run(stub, sums(tmp_path / "q", 4), "single,debate:rounds=2")
    assert r.stderr == ""
    lines = r.stdout.splitlines()
    names = [x.split()[0] for x in lines if x]
    assert names.count("single") == 2 and names.count("debate:rounds=2") == 3
    assert "the same model" in r.stdout  # a debate of one model with itself


# ---- going on ----

def lines_of(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return f.read().splitlines()


def start_and_stop(stub, questions, protocols, out, sig, n):
    """Sends sig when the file has n lines."""
    p = subprocess.Popen(
        command(questions, protocols, "--out", out, "--jobs", "4", "--json"),
        env=stub.env, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    try:
        st.wait_for("lines", lambda: len(lines_of(out)) >= n)
        p.send_signal(sig)
        stdout, _ = p.communicate(timeout=st.WAIT)
    finally:
        st.end(p, signal.SIGKILL)
    return p.returncode, stdout


GOING_ON = "single,self_consistency,debate"


@pytest.fixture(name="forty", scope="module")
def fixture_forty(tmp_path_factory):
    path = tmp_path_factory.mktemp("forty")
    questions = sums(path / "q.jsonl", 40)
    with stub_in(path / "stub") as stub:
        yield questions, report(stub, questions, GOING_ON), stub.requests()


def test_interrupted(forty, stub, tmp_path):
    """Twice, in the middle: in the end no figure differs and no call was made
    twice."""
    questions, whole, requests = forty
    out = str(tmp_path / "out.jsonl")
    total = requests["total"]
    for part in (total // 3, 2 * total // 3):
        code, stdout = start_and_stop(
            stub, questions, GOING_ON, out, signal.SIGINT, part)
        found = json.loads(stdout)
        assert code == 1 and found["interrupted"] and not found["complete"]
        assert 0 < found["protocols"][0]["questions"] < 40
        calls = [x for x in map(json.loads, lines_of(out))
                 if x["kind"] == "call"]
        assert len(calls) == stub.requests()["total"]
        assert sum(p["calls"] for p in found["protocols"]) == len(calls)
    found = report(stub, questions, GOING_ON, "--out", out)
    assert found == whole
    assert stub.requests() == requests
    # all is known: nothing is asked
    assert report(stub, questions, GOING_ON, "--out", out) == whole
    assert stub.requests() == requests


def test_killed(forty, stub, tmp_path):
    """What was under way is lost, and asked for again; nothing else."""
    questions, whole, requests = forty
    out = str(tmp_path / "out.jsonl")
    start_and_stop(stub, questions, GOING_ON, out, signal.SIGKILL,
                   requests["total"] // 2)
    # and cut off in the middle of a line
    with open(out, "rb+") as f:
        f.truncate(os.path.getsize(out) - 7)
    kept = sum('"kind":"call"' in x for x in lines_of(out)[:-1])
    made = stub.requests()["total"]
    found = report(stub, questions, GOING_ON, "--out", out)
    assert found == whole
    assert stub.requests()["total"] == made + requests["total"] - kept
    assert made - kept <= 4 + 1  # under way, and the one cut off
    assert all(json.loads(x) for x in lines_of(out))


def test_more_protocols_later(stub, tmp_path):
    """Lines of other protocols and seeds are no hindrance and no help."""
    questions = sums(tmp_path / "q", 5)
    out = str(tmp_path / "out")
    report(stub, questions, "single", "--out", out)
    assert stub.requests()["total"] == 5
    report(stub, questions, "single,council", "--out", out)
    made = stub.requests()["total"]
    assert made >= 5 + 5 * 7  # 3 + 3 + 1
    report(stub, questions, "single", "--out", out, "--seed", "9")
    assert stub.requests()["total"] == made + 5


def test_a_corrected_key_costs_nothing(stub, tmp_path):
    out = str(tmp_path / "out")
    line = {"id": "x", "question": "What is 20 + 1?", "answer": "22"}
    wrong = tmp_path / "wrong"
    wrong.write_text(json.dumps(line))
    env = {"ARAGORA_LLM_PRICES": ""}
    args = {"agents": "openai-api|stub-arith:1", "env": env}
    first = report(stub, wrong, "single", "--out", out, **args)
    assert first["protocols"][0]["right"] == 0
    wrong.write_text(json.dumps({**line, "answer": 21}))
    second = report(stub, wrong, "single", "--out", out, **args)
    assert second["protocols"][0]["right"] == 1
    assert second["protocols"][0]["calls_without_price"] == 1
    assert stub.requests()["total"] == 1


def test_a_second_process_is_refused(stub, tmp_path):
    questions = sums(tmp_path / "q", 1)
    out = str(tmp_path / "out")
    p = subprocess.Popen(
        command(questions, "single", "--out", out,
                agents="openai-api|stub-slow-ttfb@60000"), env=stub.env,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        st.wait_for("a call", lambda: stub.requests()["total"] == 1)
        r = run(stub, questions, "single", "--out", out, code=69)
        assert "another process writes to it" in r.stderr
        # The first signal waits for the answer, the second does not.
        p.send_signal(signal.SIGINT)
        assert b"once more" in p.stderr.readline()
        assert p.poll() is None
        p.send_signal(signal.SIGINT)
        stdout, _ = p.communicate(timeout=st.WAIT)
        assert p.returncode == 1 and b"run it again" in stdout
    finally:
        st.end(p, signal.SIGKILL)


@pytest.mark.parametrize("text", [
    "notes of mine", "notes of mine\n", '{"a": 1}\n', '{"kind":"call"}\nx\n'])
def test_another_file_is_not_touched(stub, tmp_path, text):
    out = tmp_path / "notes"
    out.write_text(text)
    r = run(stub, sums(tmp_path / "q", 1), "single", "--out", str(out),
            code=64)
    assert f"line {text.count(chr(10)) or 1}: " in r.stderr
    assert out.read_text() == text
    assert stub.requests()["total"] == 0


# ---- as many samples as cost the same ----

def test_same_tokens(stub, tmp_path):
    questions = sums(tmp_path / "q", 12)
    env = {"ARAGORA_MAX_AGENTS_PER_DEBATE": "50"}
    found = report(stub, questions, "debate,self_consistency", "--samples",
                   "debate", "--out", str(tmp_path / "out"), env=env)
    names = by_name(found)
    tokens = {name: p["tokens_in"] + p["tokens_out"]
              for name, p in names.items()}
    samples = names["self_consistency"]["samples"]
    assert names["self_consistency"]["calls"] >= 12 * samples
    # half a sample is the most that rounding makes of it
    assert abs(tokens["debate"] / tokens["self_consistency"] - 1) < \
        0.5 / samples + 0.02
    note = next(x for x in found["notes"] if "self_consistency" in x)
    assert f"{samples} seats" in note
    made = stub.requests()["total"]
    again = report(stub, questions, "debate,self_consistency", "--samples",
                   "debate", "--out", str(tmp_path / "out"), env=env)
    assert again == found and stub.requests()["total"] == made
    # not so many are allowed, and that is said
    short = report(stub, questions, "debate,self_consistency", "--samples",
                   "debate")
    assert by_name(short)["self_consistency"]["samples"] == 10
    assert tokens["debate"] > sum(
        by_name(short)["self_consistency"][k]
        for k in ("tokens_in", "tokens_out"))


# ---- no answer ----

def test_abstentions(stub, tmp_path):
    """A text that gives no clear answer gives none."""
    path = tmp_path / "q"
    path.write_text(json.dumps({
        "id": 1, "question": "Which one?", "choices": ["tea", "coffee"],
        "answer": "coffee"}))
    found = report(stub, path, "single,debate",
                   agents=",".join(["openai-api|stub-ok"] * 3))
    for p in found["protocols"]:
        assert p["abstentions"] == p["questions"] == 1
        assert p["right"] == p["failed"] == 0


def test_failures(stub, tmp_path):
    """They are no results, and asked again the next time."""
    questions = sums(tmp_path / "q", 3)
    out = str(tmp_path / "out")
    for i in range(2):
        found = report(stub, questions, "debate", "--out", out, code=1,
                       agents=",".join(["openai-api|stub-401"] * 3))
        p = found["protocols"][0]
        assert p["failed"] == 3 and p["questions"] == 0
        assert p["calls"] == 9 * (i + 1) == stub.requests()["total"]
        assert not found["complete"]
    assert {json.loads(x)["kind"] for x in lines_of(out)} == {"call"}


def test_different_models(stub, tmp_path):
    found = report(
        stub, sums(tmp_path / "q", 2), "debate",
        agents=f"{MODEL},anthropic-api|stub-arith:{P},{MODEL}")
    assert found["notes"] == [] and found["complete"]


def test_embeddings(stub, tmp_path):
    """They are calls like others: counted, kept, and not made again."""
    questions = sums(tmp_path / "q", 3)
    out = str(tmp_path / "out")
    env = {"ARAGORA_EMBEDDING_MODEL": "openai-api|text-embedding-3-small"}
    found = report(stub, questions, "debate", "--out", out, env=env)
    kinds = {x["task"] for x in map(json.loads, lines_of(out))
             if x["kind"] == "call"}
    assert "embed" in kinds and found["complete"]
    total = stub.requests()["total"]
    assert found["protocols"][0]["requests"] == total
    # without the results, all of it is put together from the calls
    with open(out, encoding="utf-8") as f:
        calls = [x for x in f if '"kind":"call"' in x]
    with open(out, "w", encoding="utf-8") as f:
        f.writelines(calls)
    assert report(stub, questions, "debate", "--out", out, env=env) == found
    assert stub.requests()["total"] == total


# ---- refused ----

GOOD = {"id": "a", "question": "What is 1 + 1?", "answer": 2}
BAD = [
    ("{", "", "at byte"),
    ("[]", "", "must be a JSON object, not an array"),
    ('{"id": "a", "id": "b"}', "", "duplicate"),
    ({**GOOD, "choise": []}, "", "'choise' is not a known field"),
    ({**GOOD, "id": None}, "id", "is required"),
    ({**GOOD, "id": 1.5}, "id", "must be a string, not"),
    ({**GOOD, "id": " "}, "id", "must not be empty"),
    ({**GOOD, "id": "x" * 129}, "id", "at most 128 bytes, not 129"),
    ({"id": "b", "answer": 2}, "question", "is required"),
    ({**GOOD, "question": 7}, "question", "must be a string, not"),
    ({"id": "b", "question": "x"}, "answer", "is required"),
    ({**GOOD, "answer": True}, "answer", "must be a string or a number"),
    ({**GOOD, "answer": []}, "answer", "must be a string, not an array"),
    ({**GOOD, "answer": "..."}, "answer", "not one answer"),
    ({**GOOD, "choices": "ab"}, "choices", "2 to 26 strings"),
    ({**GOOD, "choices": ["a"]}, "choices", "2 to 26 strings"),
    ({**GOOD, "choices": ["a", 1]}, "choices", "entry 1 must be a string"),
    ({**GOOD, "choices": ["a", "a"]}, "choices", "0 and 1 are the same"),
    ({**GOOD, "choices": ["x", "y"]}, "answer", "none of the choices"),
    ({**GOOD, "domain": 5}, "domain", "must be a string, not"),
    ({**GOOD, "domain": "x" * 65}, "domain", "at most 64 bytes, not 65"),
    (GOOD, "id", "is that of line 1 too"),
    ({**GOOD, "id": "z", "question": "x" * 10001}, "question",
     "at most 10000 are allowed"),
]


@pytest.mark.parametrize("line,field,reason", BAD)
def test_bad_line(stub, tmp_path, line, field, reason):
    path = tmp_path / "q"
    text = line if isinstance(line, str) else json.dumps(line)
    path.write_text(f"{json.dumps(GOOD)}\n\n{text}\n")
    r = run(stub, path, "single", code=64)
    told = [x for x in r.stderr.splitlines() if "line 3: " in x]
    assert len(told) == 1, r.stderr
    said = told[0].split("line 3: ")[1]
    assert reason in said
    assert said.startswith(f"{field}: ") or not field
    assert r.stdout == "" and stub.requests()["total"] == 0


def test_all_bad_lines_are_told(stub, tmp_path):
    path = tmp_path / "q"
    path.write_text("x\n" * 25)
    r = run(stub, path, "single", code=64)
    assert r.stderr.count(": line ") == 20 and "5 more" in r.stderr


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_no_question(stub, tmp_path, text):
    path = tmp_path / "q"
    path.write_text(text)
    assert "no question" in run(stub, path, "single", code=64).stderr


@pytest.mark.parametrize("protocols,args,reason", [
    ("quarrel", (), "protocol.preset"),
    ("debate:rounds", (), "'rounds' is not KEY=VALUE"),
    ("debate:colour=red", (), "protocol.colour"),
    ("debate:rounds=many", (), "protocol.rounds"),
    ("moa:consensus=majority", (), "cannot be chosen"),
    ("single,single", (), "'single' is there twice"),
    (",", (), "names no protocol"),
    ("single", ("--samples", "x"), "neither a number"),
    ("single", ("--samples", "1"), "neither a number"),
    ("self_consistency", ("--samples", "99"), "samples"),
    ("self_consistency", ("--samples", "self_consistency"), "own measure"),
    ("single", ("--seed", "-1"), "--seed"),
    ("single", ("--jobs", "0"), "--jobs"),
    ("single", ("--nonsense",), "bad option"),
    ("single", ("more",), "expected FILE.jsonl"),
    ("single", ("--agents", "nobody"), "nobody")])
def test_bad_options(stub, tmp_path, protocols, args, reason):
    r = run(stub, sums(tmp_path / "q", 1), protocols, *args, code=64)
    assert reason in r.stderr and r.stdout == ""
    assert stub.requests()["total"] == 0


def test_unreadable(stub, tmp_path):
    assert "No such file" in run(
        stub, tmp_path / "none", "single", code=69).stderr
    r = run(stub, sums(tmp_path / "q", 1), "single", "--out",
            str(tmp_path / "no" / "out"), code=69)
    assert "No such file" in r.stderr


def limited(args, env, size, **kw):
    """A process whose files get no larger than size, until it may."""
    return subprocess.Popen(
        args, env=env, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        restore_signals=False,  # an error, and not SIGXFSZ
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)), **kw)


def test_no_room(stub, tmp_path):
    """What cannot be kept is not paid for any longer."""
    out = tmp_path / "out"
    p = limited(command(sums(tmp_path / "q", 50), "single", "--out", str(out),
                        "--jobs", "2"), stub.env, 2000)
    _, stderr = p.communicate(timeout=st.WAIT)
    assert p.returncode == 69 and "--out: " in stderr
    assert stub.requests()["total"] < 50
    # With room it goes on. One line was cut off, and one call was under way.
    report(stub, tmp_path / "q", "single", "--out", str(out))
    assert 50 <= stub.requests()["total"] <= 50 + 2


def test_room_again(stub, tmp_path):
    """Nothing is written behind a line that was cut off."""
    out = tmp_path / "out"
    agents = "openai-api|stub-arith:1,openai-api|stub-slow-ttfb@2000"
    p = limited(command(sums(tmp_path / "q", 1), "self_consistency", "--out",
                        str(out), agents=agents), stub.env, 100)
    try:
        st.wait_for("a part of a line", lambda: os.path.exists(out) and
                    os.path.getsize(out) == 100)
        resource.prlimit(p.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        p.communicate(timeout=st.WAIT)
    finally:
        st.end(p, signal.SIGKILL)
    assert p.returncode == 69 and stub.requests()["total"] == 2
    assert os.path.getsize(out) == 100
    report(stub, tmp_path / "q", "single", "--out", str(out))
    assert all(json.loads(x) for x in lines_of(out))


def test_no_plain_file(stub, tmp_path):
    r = run(stub, sums(tmp_path / "q", 1), "single", "--out", "/dev/zero",
            code=69)
    assert "is not a plain file" in r.stderr
