# SPDX-License-Identifier: MIT
"""Receipts through the real programs: sealed by the runner, exported by the
API and by the command, verified offline, on each database."""
import csv
import io
import json
import os
import random
import stat
import subprocess

import httpx
import pytest

import stack as st


def run(env, *args, **kw):
    return subprocess.run([st.Stack.program("aragora"), *args], env=env,
                          text=True, capture_output=True, check=False, **kw)


def clean():
    return {k: v for k, v in os.environ.items()
            if not k.startswith(("ARAGORA_", "OPENAI_"))}


@pytest.fixture(name="key")
def fixture_key(tmp_path):
    path = str(tmp_path / "receipt.pem")
    r = run(clean(), "receipt", "keygen", "--out", path)
    assert r.returncode == 0, r.stderr
    return path, r.stdout.strip()


def get(s, path, accept="*/*", status=200):
    r = httpx.get(s.url(path), headers={"Accept": accept}, trust_env=False)
    assert r.status_code == status, r.text
    return r


def verify(data, key, tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(data)
    return run(clean(), "verify", str(path), "--key", key + ".pub")


def test_keygen(key, tmp_path):
    path, key_id = key
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert len(key_id) == 16
    before = open(path, "rb").read()
    r = run(clean(), "receipt", "keygen", "--out", path)
    assert r.returncode != 0 and "exists" in r.stderr
    assert open(path, "rb").read() == before
    env = {**clean(), "ARAGORA_RECEIPT_KEY_FILE": path}
    r = run(env, "receipt", "keys")
    assert r.stdout.startswith(f"{key_id} signs\n-----BEGIN PUBLIC KEY")
    assert "PRIVATE" not in r.stdout
    assert "PRIVATE KEY" not in run(env, "config").stdout
    bad = tmp_path / "bad.pem"
    bad.write_text("none\n")
    env["ARAGORA_RECEIPT_KEY_FILE"] = str(bad)
    r = run(env, "receipt", "keys")
    assert r.returncode == 78 and "ARAGORA_RECEIPT_KEY" in r.stderr


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_export_and_verify(request, key, tmp_path, database):
    url = request.getfixturevalue("postgres").database() \
        if database == "postgresql" else None
    path, key_id = key
    with st.Stack(database_url=url, ARAGORA_RECEIPT_KEY_FILE=path) as s:
        assert get(s, "/api/receipts/keys").json()["keys"][0]["kid"] == key_id
        debate_id = s.create(seed=5, rounds=2, task="=Tea <or> coffee?")
        ended = s.wait_end(debate_id)
        receipt = st.wait_for(
            "receipt", lambda: get(s, f"/api/debates/{debate_id}/receipt")
            .json())
        events = s.events(debate_id)
        assert receipt["signed"] and receipt["key_id"] == key_id
        assert receipt["receipt"]["events"] == len(events)
        assert json.loads(receipt["receipt_text"]) == receipt["receipt"]
        assert "tenant" not in receipt["receipt_text"]

        # The file, from the API in both spellings and from the command.
        base = f"/api/debates/{debate_id}/export"
        raw = get(s, base).content
        assert get(s, base + "/json").content == raw
        r = run(s.env, "export", debate_id)
        assert r.returncode == 0 and r.stdout.encode() == raw
        file = json.loads(raw)
        assert [e["seq"] for e in file["events"]] == \
            [e["seq"] for e in events]
        assert file["receipt"] == receipt["receipt"]
        assert file["final_answer"] == ended["final_answer"]
        r = verify(raw, path, tmp_path)
        assert r.returncode == 0, r.stderr
        assert debate_id in r.stdout and key_id in r.stdout
        answer = httpx.post(s.url("/api/receipts/verify"), content=raw,
                            trust_env=False).json()
        assert answer["valid"] and answer["events"] == len(events)

        # Samples of changed bytes, through command and API.
        pick = random.Random(7)
        for i in sorted(pick.sample(range(len(raw)), 25)):
            other = bytearray(raw)
            other[i] ^= 1 << pick.randrange(7)
            r = verify(bytes(other), path, tmp_path)
            assert r.returncode == 1 and r.stderr, i
        lines = raw.split(b"\n")
        at = [i for i, x in enumerate(lines) if x.startswith(b'{"seq"')]
        swapped = list(lines)
        swapped[at[1]], swapped[at[2]] = lines[at[2]], lines[at[1]]
        for changed, event in (
                (swapped, 2), (lines[:at[3]] + lines[at[3] + 1:], 4),
                (lines[:at[3]] + [lines[at[3]]] + lines[at[3]:], 5)):
            body = b"\n".join(changed)
            r = verify(body, path, tmp_path)
            assert r.returncode == 1 and f"at event {event}:" in r.stderr
            answer = httpx.post(s.url("/api/receipts/verify"), content=body,
                                trust_env=False).json()
            assert not answer["valid"] and answer["event"] == event
        r = verify(raw[:-200], path, tmp_path)
        assert r.returncode == 1
        other = str(tmp_path / "other.pem")
        assert run(clean(), "receipt", "keygen", "--out",
                   other).returncode == 0
        r = verify(raw, other, tmp_path)
        assert r.returncode == 1 and "no key with the id" in r.stderr

        formats(s, base, debate_id, ended)


def formats(s, base, debate_id, ended):
    """Types, names, both forms of the answer."""
    for name, kind, suffix in (("csv", "text/csv", "-summary.csv"),
                               ("html", "text/html", ".html"),
                               ("md", "text/markdown", ".md"),
                               ("markdown", "text/markdown", ".md"),
                               ("txt", "text/plain", ".txt")):
        r = get(s, f"{base}?format={name}")
        assert r.headers["content-type"] == kind + "; charset=utf-8"
        assert r.headers["content-disposition"] == \
            f'attachment; filename="debate-{debate_id}{suffix}"'
        assert get(s, f"{base}/{name}").content == r.content
        wrapped = get(s, f"{base}?format={name}", "application/json").json()
        assert wrapped["content"].encode() == r.content
        assert wrapped["size_bytes"] == len(r.content)
        assert wrapped["filename"] == f"debate-{debate_id}{suffix}"
        assert wrapped["debate_id"] == debate_id
    page = get(s, f"{base}?format=html").text
    assert "<script" not in page and "<or>" not in page and "//" not in page
    wrapped = get(s, base, "application/json, */*").json()
    assert wrapped["content"].encode() == get(s, base).content
    assert wrapped["final_answer"] == ended["final_answer"]
    assert wrapped["messages"] == ended["messages"]
    rows = {t: list(csv.reader(io.StringIO(
        get(s, f"{base}?format=csv&table={t}").text, newline="")))
            for t in ("summary", "messages", "critiques", "votes")}
    assert rows["summary"][0] == ["field", "value"]
    assert ["task", "'=Tea <or> coffee?"] in rows["summary"]
    assert rows["messages"][0] == ["round", "agent", "role", "content",
                                   "timestamp"]
    assert len(rows["critiques"]) == 1 + len(ended["critiques"])
    assert len(rows["votes"]) == 1 + len(ended["votes"])
    assert all(len(r) == len(t[0]) for t in rows.values() for r in t)
    for bad in (f"{base}?format=pdf", f"{base}/pdf", f"{base}/docx"):
        error = get(s, bad, status=400).json()
        assert error["field"] == "format" and "markdown" in error["message"]
    assert get(s, f"{base}?format=csv&table=x", status=400).json()[
        "field"] == "table"
    get(s, "/api/debates/adhoc_none/export", status=404)


def test_unsigned_and_unfinished(tmp_path, key):
    with st.Stack() as s:
        assert get(s, "/api/receipts/keys").json() == {"keys": [],
                                                      "signed": False}
        debate_id = s.create(rounds=12)
        get(s, f"/api/debates/{debate_id}/receipt", status=409)
        r = verify(get(s, f"/api/debates/{debate_id}/export").content,
                   key[0], tmp_path)
        assert r.returncode == 1 and "not finished" in r.stderr
        assert s.post(f"/api/debates/{debate_id}/cancel").status_code == 200
        receipt = get(s, f"/api/debates/{debate_id}/receipt").json()
        assert not receipt["signed"] and receipt["algorithm"] == "none"
        assert receipt["receipt"]["status"] == "cancelled"
        r = verify(get(s, f"/api/debates/{debate_id}/export").content,
                   key[0], tmp_path)
        assert r.returncode == 1 and "not signed" in r.stderr


def test_rotation(tmp_path, key):
    """What the earlier key signed verifies under the later one's server."""
    path, key_id = key
    fresh = str(tmp_path / "fresh.pem")
    fresh_id = run(clean(), "receipt", "keygen", "--out", fresh).stdout.strip()
    both = tmp_path / "both.pem"
    both.write_text(open(fresh).read() + open(path + ".pub").read())
    files = []
    with st.Stack(ARAGORA_RECEIPT_KEY_FILE=path) as s:
        debate_id = s.create(agents=["demo|fast"] * 2)
        s.wait_end(debate_id)
        files.append(get(s, f"/api/debates/{debate_id}/export").content)
    with st.Stack(ARAGORA_RECEIPT_KEY_FILE=str(both)) as s:
        keys = get(s, "/api/receipts/keys").json()["keys"]
        assert [(k["kid"], k["signs"]) for k in keys] == \
            [(fresh_id, True), (key_id, False)]
        debate_id = s.create(agents=["demo|fast"] * 2)
        s.wait_end(debate_id)
        files.append(get(s, f"/api/debates/{debate_id}/export").content)
        for body, signer in zip(files, (key_id, fresh_id)):
            answer = httpx.post(s.url("/api/receipts/verify"), content=body,
                                trust_env=False).json()
            assert answer["valid"] and answer["key_id"] == signer
    assert verify(files[1], path, tmp_path).returncode == 1
