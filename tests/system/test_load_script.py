# SPDX-License-Identifier: MIT
"""scripts/load_test.js is a script that k6 would run: under a stand-in for k6
it does its requests, judges its thresholds, and fails when it should."""
import json
import os
import re
import subprocess

import pytest

import stack as st

SCRIPT = os.path.join(st.SOURCE, "scripts/load_test.js")
SHIM = os.path.join(st.SOURCE, "tests/load/k6_shim.mjs")


@pytest.fixture(scope="module")
def stack():
    with st.Stack() as s:
        yield s


def run(url, *args, script=SCRIPT, **env):
    env = {"BASE_URL": url, "MIN_RPS": "0", **env}
    r = subprocess.run(
        ["node", SHIM, *args, *(x for k, v in env.items()
                                for x in ("-e", f"{k}={v}")), script],
        capture_output=True, text=True, check=False, timeout=600)
    return r


def edited(tmp_path, *changes):
    with open(SCRIPT, encoding="utf-8") as f:
        text = f.read()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "load_test.js"
    path.write_text(text, encoding="utf-8")
    return str(path)


# How long requests take is not what this looks at.
PATIENT = [('["p(50)<200", "p(95)<500", "p(99)<2000"]', '["p(50)<600000"]'),
           ('["p(95)<2000"]', '["p(95)<600000"]')]


def test_runs(stack, tmp_path):
    """Every check holds; debates are made and driven to their end."""
    summary = tmp_path / "slo.json"
    script = edited(tmp_path, *PATIENT,
                    ("CREATE_SHARE = 0.05", "CREATE_SHARE = 0.5"))
    r = run(stack.url(""), "--vus", "3", "--iterations", "8", script=script,
            SUMMARY=str(summary))
    assert r.returncode == 0, r.stdout + r.stderr
    done, of = map(int, re.search(r"checks (\d+)/(\d+)", r.stdout).groups())
    assert done == of >= 3 * 8 * 4 * 2
    assert "FAILED" not in r.stdout
    metrics = json.loads(summary.read_text(encoding="utf-8"))["metrics"]
    made = metrics["debates_created"]["values"]["count"]
    assert made > 0
    assert stack.get("/api/debates?limit=1")["total"] >= made
    assert metrics["http_reqs"]["values"]["count"] == \
        1 + 3 * 8 * 4 + 2 * made


@pytest.mark.parametrize("change, crossed", [
    (("b.agents.length > 0", "false"), "bad_answers"),
    (('["rate<0.01"],\n    http_reqs', '["rate<0"],\n    http_reqs'),
     "http_req_failed"),
    (('["p(50)<600000"]', '["p(50)<0"]'), "http_req_duration")])
def test_thresholds_bite(stack, tmp_path, change, crossed):
    script = edited(tmp_path, *PATIENT, change)
    r = run(stack.url(""), "--vus", "1", "--iterations", "1", script=script)
    assert r.returncode == 99, r.stdout + r.stderr
    assert re.search(rf"FAILED {crossed}", r.stdout)


def test_rate_bites(stack, tmp_path):
    script = edited(tmp_path, *PATIENT)
    r = run(stack.url(""), "--vus", "1", "--iterations", "1", script=script,
            MIN_RPS="10000000")
    assert r.returncode == 99 and "FAILED http_reqs" in r.stdout


def test_nobody_there():
    r = run(f"http://127.0.0.1:{st.free_port()}")
    assert r.returncode == 107 and "answers 0" in r.stderr
