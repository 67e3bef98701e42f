# SPDX-License-Identifier: MIT
"""The comparison with other servers (tests/load/peers) compares like with
like, and comes to its report. How fast they are is not what this looks at."""
import json
import os
import re
import subprocess

import httpx
import pytest

import stack as st

PROGRAM = os.path.join(st.SOURCE, "tests/load/peers/peers.py")
PEERS = ["php-fpm", "fastify", "fastapi"]
NAMES = ["return 200", "aragora", *PEERS]


def command(*args):
    return ["/usr/bin/python3", "-B", PROGRAM, "--build", st.BUILD, *args]


@pytest.fixture(scope="module")
def urls():
    p = subprocess.Popen(command("--hold"), stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True)
    try:
        line = p.stdout.readline()
        assert line, f"ended with {p.wait()}"
        yield json.loads(line)
    finally:
        p.stdin.close()
        assert p.wait(st.WAIT) == 0


def get(url, **kw):
    return httpx.get(url, trust_env=False, timeout=st.WAIT, **kw)


def shape(value):
    """Names and types."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    return type(value).__name__


def test_health_is_the_same_everywhere(urls):
    answers = {n: get(urls[n]["health"]) for n in NAMES}
    ours = answers["aragora"]
    for name, r in answers.items():
        assert r.status_code == 200, name
        assert abs(len(r.content) - len(ours.content)) <= 8, (name, r.text)
        assert r.headers["Content-Type"].startswith("application/json"), name
    for name in PEERS:
        assert shape(answers[name].json()) == shape(ours.json()), name
        stamp = answers[name].json()["timestamp"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stamp)


def test_rows_are_as_long_everywhere(urls):
    answers = {n: get(urls[n]["row"]) for n in NAMES}
    ours = answers["aragora"]
    assert ours.json()["status"] == "completed"
    assert 1000 < len(ours.content) < 2000
    for name, r in answers.items():
        assert r.status_code == 200, name
        assert len(r.content) == len(ours.content), (name, r.text)
    for name in PEERS:
        assert answers[name].json() == answers["fastify"].json(), name


@pytest.mark.parametrize("name", ["aragora", *PEERS])
def test_rows_come_from_the_database(urls, name):
    """Another key is another row, and one that is not there is none."""
    url = urls[name]["row"]
    head = url.rsplit("/", 1)[0]
    other = get(f"{head}/adhoc_00000007")
    assert other.status_code == 200
    assert other.json()["id"] == "adhoc_00000007" != url.rsplit("/", 1)[1]
    assert get(f"{head}/adhoc_none").status_code == 404


def test_report():
    r = subprocess.run(
        command("--rounds", "1", "--seconds", "1", "--connections", "4"),
        capture_output=True, text=True, check=False, timeout=600)
    assert r.returncode == 0, r.stdout + r.stderr
    health, row = r.stdout.split("\nrow:\n")
    for part in (health, row):
        for name in NAMES:
            line = re.search(
                rf"^  {name} +(\d+) .* ([\d.]+) x +([\d.]+): "
                r"([\d.]+) \+ ([\d.]+) \+ ([\d.]+)$", part, re.M)
            assert line, (name, r.stdout)
            rate, ratio, total, *parts = map(float, line.groups())
            assert rate > 0
            assert abs(total - sum(parts)) < 0.3
            assert (name != "aragora") or ratio == 1
    # Whoever reads a row makes the database work.
    for name in ("aragora", *PEERS):
        assert not re.search(rf"^  {name} .*\+ 0\.0$", row, re.M), r.stdout


def test_a_failing_peer_makes_it_worthless(tmp_path):
    """An answer but 2xx ends the comparison."""
    folder = tmp_path / "tests/load"
    os.makedirs(tmp_path / "tests")
    subprocess.run(["cp", "-r", os.path.join(st.SOURCE, "tests/load"),
                    folder], check=True)
    app = folder / "peers" / "fastapi_app.py"
    text = app.read_text(encoding="utf-8")
    assert '    return UJSONResponse(dict(found))\n' in text
    # Its first answers are good.
    app.write_text(text.replace(
        '    return UJSONResponse(dict(found))\n',
        '    app.state.n = getattr(app.state, "n", 0) + 1\n'
        '    return UJSONResponse(dict(found), 200 if app.state.n < 5 '
        'else 500)\n'), encoding="utf-8")
    os.makedirs(tmp_path / "conf/postgresql")
    roles = "conf/postgresql/roles.sql"
    subprocess.run(["cp", os.path.join(st.SOURCE, roles), tmp_path / roles],
                   check=True)
    r = subprocess.run(
        ["/usr/bin/python3", "-B", folder / "peers/peers.py", "--build",
         st.BUILD, "--rounds", "1", "--seconds", "1", "--only", "fastapi"],
        capture_output=True, text=True, check=False, timeout=600)
    assert r.returncode != 0
    assert "Non-2xx" in r.stderr, r.stdout + r.stderr
