# SPDX-License-Identifier: MIT
"""Batches: many questions at once, what they come to, the queue they wait in,
and the message at their end, sent to a real receiver."""
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import signal
import sqlite3
import subprocess
import threading

import psycopg2
import pytest
import stack as st

SECRET = "planted-hook-secret"
LOCAL = {"ARAGORA_WEBHOOK_ALLOW_LOCALHOST": "1"}


@pytest.fixture(name="url", params=["sqlite", "postgresql"])
def fixture_url(request):
    if request.param == "sqlite":
        return None
    return request.getfixturevalue("postgres").database()


def item(i, **more):
    return {"question": f"Is {i} even?", "agents": ["demo", "demo"],
            "rounds": 1, "seed": i, **more}


def submit(s, n=3, path="/api/debates/batch", headers=None, **more):
    r = s.post(path, {"items": [item(i) for i in range(n)], **more},
               headers=headers or {})
    assert r.status_code == 201, r.text
    return r.json()


def wait_batch(s, batch, status):
    def look():
        b = s.get(f"/api/debates/batch/{batch}/status")
        return b if b["status"] == status else None
    return st.wait_for(f"{batch} {status}", look)


class Receiver:
    """Answers with the given statuses, then 200; keeps what came."""

    def __init__(self, statuses=(), held=None):
        self.got = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                n = len(receiver.got)
                receiver.got.append((self.path, dict(self.headers), body))
                if held is not None and n == 0:
                    held.wait(st.WAIT)
                with contextlib.suppress(OSError):
                    self.send_response(
                        statuses[n] if n < len(statuses) else 200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()


# ---- asking ----

def test_life(url):
    """From the request to the results, under both of its names."""
    with st.Stack(database_url=url) as s:
        made = submit(s, 4, metadata={"for": "test"}, priority=3)
        assert made["success"] and made["items_queued"] == 4
        assert made["total_items"] == made["total_jobs"] == 4
        assert made["status_url"].endswith(f"{made['batch_id']}/status")
        assert [j["task"] for j in made["jobs"]] == [
            item(i)["question"] for i in range(4)]
        done = wait_batch(s, made["batch_id"], "completed")
        assert done["completed_items"] == done["completed"] == 4
        assert done["failed_items"] == done["running"] == done["queued"] == 0
        assert done["progress_percent"] == 100
        assert done["metadata"] == {"for": "test"}
        assert done["items"] == done["jobs"]
        for i, (got, job) in enumerate(zip(done["items"], made["jobs"])):
            assert got["index"] == i and got["item_id"] == job["job_id"]
            assert got["debate_id"] == job["debate_id"]
            assert got["status"] == "completed" and got["priority"] == 3
            assert got["agents"] == ["demo", "demo_2"]
            d = s.get(f"/api/debates/{got['debate_id']}")
            assert got["result"]["final_answer"] == d["final_answer"]
            assert got["completed_at"] == d["completed_at"]
        same = s.get(f"/api/batch/{made['batch_id']}")
        assert same["items"] == done["items"]
        results = s.get(f"/api/batch/{made['batch_id']}/results")
        assert [d["status"] for d in results["debates"]] == ["success"] * 4
        assert results["completed_jobs"] == results["total_jobs"] == 4
        r = s.post(f"/api/batch/{made['batch_id']}/cancel")
        assert r.status_code == 200 and r.json()["cancelled_jobs"] == 0
        r = s.post(f"/api/batch/{made['batch_id']}/retry")
        assert r.status_code == 200 and r.json()["retried_count"] == 0


def test_requests_and_lists(url):
    with st.Stack(database_url=url, runners=0) as s:
        r = s.post("/api/v1/batch", {"requests": [item(1), {
            "task": "Tea?", "agents": "demo,demo", "priority": 9}]})
        assert r.status_code == 201, r.text
        first = r.json()["batch_id"]
        assert r.headers["Location"] == r.json()["status_url"]
        ids = [first] + [submit(s, 1)["batch_id"] for _ in range(4)]
        # Without a body it is the list.
        for r in (s.post("/api/debates/batch?limit=2"),
                  s.post("/api/batch?limit=2&status=pending")):
            assert r.status_code == 200
            page = r.json()
            assert [b["batch_id"] for b in page["batches"]] == ids[:2:-1]
            assert page["items"] == page["batches"] and page["total"] == 5
        # Whatever is added in front meanwhile, by cursor each comes once.
        seen, query = [], "?limit=2"
        while query:
            page = s.get("/api/debates/batch" + query)
            seen += [b["batch_id"] for b in page["batches"]]
            assert page["has_more"] == (page["next_cursor"] is not None)
            query = page["has_more"] and \
                f"?limit=2&cursor={page['next_cursor']}"
            submit(s, 1)
        assert seen == ids[::-1]
        assert s.get("/api/batch?status=completed")["total"] == 0
        assert s.get("/api/batch?cursor=x", check=False).status_code == 400
        assert s.get("/api/batch?status=x", check=False).status_code == 400
        b = s.get(f"/api/batch/{first}")
        assert b["items"][1]["priority"] == 9 and b["status"] == "pending"
        assert s.get("/api/batch/batch_none",
                     check=False).status_code == 404


def test_wrong_items(url):
    with st.Stack(database_url=url, runners=0) as s:
        good = item(0)
        for body, field, code in [
                ({}, "items", "MISSING_FIELD"),
                ({"items": []}, "items", "INVALID_VALUE"),
                ({"items": "x"}, "items", "INVALID_VALUE"),
                ({"items": [good] * 1001}, "items", "INVALID_VALUE"),
                ({"items": [good, 7]}, "items[1]", "INVALID_VALUE"),
                ({"items": [good] * 3 + [{"agents": "demo,demo"}]},
                 "items[3].task", "MISSING_FIELD"),
                ({"requests": [good, {**good, "agents": ["x", "demo"]}]},
                 "requests[1].agents", "INVALID_VALUE"),
                ({"items": [{**good, "priority": 11}]}, "items[0].priority",
                 "INVALID_VALUE"),
                ({"items": [{**good, "protocol": {"rounds": "x"}}]},
                 "items[0].protocol.rounds", "INVALID_VALUE"),
                ({"items": [good], "priority": -1}, "priority",
                 "INVALID_VALUE"),
                ({"items": [good], "metadata": []}, "metadata",
                 "INVALID_VALUE"),
                ({"items": [good], "webhook_url": "ftp://x/"}, "webhook_url",
                 "INVALID_VALUE"),
                ({"items": [good], "webhook_headers": {"Host": "x"}},
                 "webhook_headers.Host", "INVALID_VALUE"),
                ({"items": [good], "webhook_headers": {"X": "a\r\nb"}},
                 "webhook_headers.X", "INVALID_VALUE")]:
            r = s.post("/api/debates/batch", body)
            assert r.status_code == 400, r.text
            assert r.json()["code"] == code, r.text
            assert r.json()["errors"][0]["field"] == field, r.text
        # Every wrong item is named.
        r = s.post("/api/batch", {"items": [{}, good, {"task": ""}]})
        assert [e["field"] for e in r.json()["errors"]] == [
            "items[0].task", "items[2].task"]
        assert s.get("/api/debates")["total"] == 0
        assert s.get("/api/batch")["total"] == 0


def test_thousand_or_none(url):
    """1,000 items are one transaction; more than the queue takes are none."""
    with st.Stack(database_url=url, runners=0,
                  ARAGORA_MAX_QUEUED_DEBATES="1000") as s:
        made = submit(s, 999)
        assert s.get("/api/debates?limit=1")["total"] == 999
        r = s.post("/api/debates/batch", {"items": [item(0), item(1)]})
        assert r.status_code == 503, r.text
        assert int(r.headers["Retry-After"]) >= 1
        assert s.get("/api/debates?limit=1")["total"] == 999
        submit(s, 1)
        b = s.get(f"/api/batch/{made['batch_id']}")
        assert b["queued"] == 999
        assert [i["index"] for i in b["items"]] == list(range(999))
        q = s.get("/api/debates/queue/status")
        assert q["pending_count"] == 1000 and not q["active"]
        assert q["max_concurrent"] == 0 and q["total_batches"] == 2
        assert q["status_counts"]["pending"] == 2
        assert q["estimated_completion_time"] is None
        r = s.post(f"/api/batch/{made['batch_id']}/cancel")
        assert r.json()["cancelled_jobs"] == 999
        assert s.get(f"/api/batch/{made['batch_id']}")["status"] == "cancelled"
        assert s.get("/api/batch/queue/status")["pending_count"] == 1


def test_key(url):
    with st.Stack(database_url=url, runners=0) as s:
        key = {"Idempotency-Key": "batch-1"}
        made = submit(s, 3, headers=key)
        again = s.post("/api/debates/batch",
                       {"items": [item(i) for i in range(3)]}, headers=key)
        assert again.status_code == 201 and again.json() == made
        assert again.headers["Idempotent-Replayed"] == "true"
        r = s.post("/api/debates/batch", {"items": [item(9)]}, headers=key)
        assert r.status_code == 409 and r.json()["code"] == "CONFLICT"
        assert s.get("/api/debates")["total"] == 3
        # Known by its batch where the answer was lost.
        execute(s, "UPDATE request_keys SET status = 0, answer = NULL")
        again = s.post("/api/debates/batch",
                       {"items": [item(i) for i in range(3)]}, headers=key)
        assert again.status_code == 201 and again.json() == made
        assert s.get("/api/debates")["total"] == 3


def test_retry(url):
    with st.Stack(database_url=url, runners=0) as s:
        made = submit(s, 3)
        batch, jobs = made["batch_id"], made["jobs"]
        for job in jobs[:2]:
            r = s.post(f"/api/debates/{job['debate_id']}/cancel")
            assert r.status_code == 200, r.text
        r = s.post(f"/api/batch/{batch}/retry", {"onlyFailed": True})
        assert r.json()["retried_count"] == 0
        r = s.post(f"/api/batch/{batch}/retry", {"onlyFailed": 1})
        assert r.status_code == 400
        r = s.post(f"/api/batch/{batch}/retry", {},
                   headers={"Idempotency-Key": "again"})
        assert r.json()["retried_count"] == 2, r.text
        # Not a third time.
        r = s.post(f"/api/batch/{batch}/retry", {},
                   headers={"Idempotency-Key": "again"})
        assert r.json()["retried_count"] == 2
        assert r.headers["Idempotent-Replayed"] == "true"
        assert s.get("/api/debates")["total"] == 5
        b = s.get(f"/api/batch/{batch}")
        assert [i["status"] for i in b["items"]] == ["queued"] * 3
        assert [i["retries"] for i in b["items"]] == [1, 1, 0]
        assert b["items"][0]["debate_id"] != jobs[0]["debate_id"]
        assert b["items"][0]["item_id"] == jobs[0]["job_id"]
        assert b["items"][0]["task"] == jobs[0]["task"]
        s.start_runner()
        wait_batch(s, batch, "completed")


def most_at_once(items):
    """How many were under way together, by what the database says."""
    spans = [(i["started_at"], i["completed_at"]) for i in items]
    return max(sum(a <= start < b for a, b in spans) for start, _ in spans)


def test_max_parallel(url):
    """Two runners keep to it together, one after the other's death too; what
    waits for others of its batch is in nobody's way."""
    with st.Stack(database_url=url, runners=2, ARAGORA_LEASE="2") as s:
        made = submit(s, 8, max_parallel=2)
        path = f"/api/debates/batch/{made['batch_id']}/status"
        other = s.create(agents=["demo", "demo"], rounds=1)
        st.wait_for("two", lambda: s.get(path)["running"] == 2)
        st.end(s.runners.pop(0), signal.SIGKILL)
        assert s.wait_end(other)["status"] == "completed"
        assert s.get(path)["status"] == "processing"
        done = wait_batch(s, made["batch_id"], "completed")
        assert done["max_parallel"] == 2
        assert most_at_once(done["items"]) == 2


def test_any_number_at_once(url):
    with st.Stack(database_url=url) as s:
        made = submit(s, 8)
        done = wait_batch(s, made["batch_id"], "completed")
        assert done["max_parallel"] == 0
        assert most_at_once(done["items"]) == 8


def execute(s, sql):
    """Behind the service's back."""
    url = s.env.get("ARAGORA_DATABASE_URL")
    if url is None:
        with contextlib.closing(sqlite3.connect(
                os.path.join(s.data, "aragora.db"), timeout=st.WAIT)) as c, c:
            c.execute(sql)
        return
    with contextlib.closing(psycopg2.connect(url)) as c, c, c.cursor() as cur:
        cur.execute(sql)


def token(s, tenant):
    """A key of that tenant."""
    r = subprocess.run(
        [s.program("aragora"), "token", "create", "--name", tenant, "--tier",
         "internal"], env=s.env, check=True, capture_output=True, text=True)
    key = [w for w in r.stdout.split() if w.startswith("ara_")]
    execute(s, f"UPDATE tokens SET tenant = '{tenant}' WHERE name = "
               f"'{tenant}'")
    return {"Authorization": f"Bearer {key[0]}"}


def test_tenants(url):
    with st.Stack(database_url=url, runners=0) as s:
        ours, theirs = token(s, "ours"), token(s, "theirs")
        batch = submit(s, 2, headers={**ours, "Idempotency-Key": "k"})[
            "batch_id"]
        for path in (f"/api/batch/{batch}", f"/api/batch/{batch}/results"):
            assert s.get(path, check=False, headers=ours).status_code == 200
            assert s.get(path, check=False, headers=theirs).status_code == 404
        for path in ("cancel", "retry"):
            r = s.post(f"/api/batch/{batch}/{path}", headers=theirs)
            assert r.status_code == 404
        assert s.get("/api/batch", headers=theirs)["total"] == 0
        assert s.get("/api/batch", headers=ours)["total"] == 1
        q = s.get("/api/debates/queue/status", headers=theirs)
        assert q["pending_count"] == q["total_batches"] == 0
        # Their key of the same name is another.
        other = submit(s, 2, headers={**theirs, "Idempotency-Key": "k"})
        assert other["batch_id"] != batch


# ---- the message at its end ----

def hooked(s, receiver, n=2):
    return submit(s, n, webhook_url=receiver.url + "/done?x=1",
                  webhook_headers={"X-Webhook-Secret": SECRET,
                                   "Authorization": "Bearer theirs"})


def wait_hook(s, batch, state):
    def look():
        b = s.get(f"/api/batch/{batch}")
        return b if b["webhook"]["state"] == state else None
    return st.wait_for(f"webhook {state}", look)


def test_webhook(url):
    """Sent once all is over, signed, again until it is taken."""
    with Receiver([500, 302]) as receiver, \
            st.Stack(database_url=url, **LOCAL) as s:
        batch = hooked(s, receiver)["batch_id"]
        b = wait_hook(s, batch, "sent")
        assert b["webhook"]["attempts"] == 3 and b["webhook"]["sent_at"]
        assert len(receiver.got) == 3
        bodies = [json.loads(body) for _, _, body in receiver.got]
        for path, headers, body in receiver.got:
            assert path == "/done?x=1"
            assert headers["Content-Type"] == "application/json"
            assert headers["X-Aragora-Delivery"] == batch
            assert headers["Authorization"] == "Bearer theirs"
            assert SECRET not in str(headers)
            assert headers["X-Aragora-Signature"] == "sha256=" + hmac.new(
                SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert bodies[0]["status"] == "completed"
        assert bodies[0]["batch_id"] == batch
        assert [i["status"] for i in bodies[0]["items"]] == ["completed"] * 2
        assert bodies[0]["items"] == b["items"]
        metrics = s.get("/metrics", check=False).text
        assert 'aragora_webhooks_total{result="sent"} 1' in metrics
        assert 'aragora_webhooks_total{result="failed"} 2' in metrics
        for name in ("fcgi", "runner1"):
            assert SECRET not in s.log(name)


def test_webhook_survives_its_runner(url):
    """Killed while the receiver has not answered: another sends it."""
    held = threading.Event()
    with Receiver(held=held) as receiver, \
            st.Stack(database_url=url, **LOCAL) as s:
        batch = hooked(s, receiver)["batch_id"]
        st.wait_for("first message", lambda: receiver.got)
        st.end(s.runners.pop(), signal.SIGKILL)
        assert s.get(f"/api/batch/{batch}")["webhook"]["state"] == "waiting"
        s.start_runner()
        wait_hook(s, batch, "sent")
        held.set()
        assert len(receiver.got) >= 2
        one, other = (json.loads(body) for _, _, body in receiver.got[:2])
        assert one["items"] == other["items"]
        assert one["webhook"]["attempts"] == 1 < other["webhook"]["attempts"]


def test_webhook_of_cancelled_batch(url):
    with Receiver() as receiver, \
            st.Stack(database_url=url, runners=0, **LOCAL) as s:
        batch = hooked(s, receiver)["batch_id"]
        assert s.post(f"/api/batch/{batch}/cancel").status_code == 200
        s.start_runner()
        wait_hook(s, batch, "sent")
        assert json.loads(receiver.got[0][2])["status"] == "cancelled"


def test_webhook_stays_outside(url):
    """Not to this machine or its network, by address or by name."""
    with Receiver() as receiver, st.Stack(database_url=url) as s:
        port = receiver.server.server_port
        for host in ("127.0.0.1", "localhost", "[::1]", "10.0.0.1",
                     "192.168.1.1", "169.254.169.254", "[fd00::1]",
                     "[::ffff:127.0.0.1]", "0.0.0.0"):
            r = s.post("/api/batch", {
                "items": [item(0)], "webhook_url": f"http://{host}:{port}/"})
            assert r.status_code == 400, host
            assert r.json()["errors"][0]["field"] == "webhook_url"
        # Other spellings of the address, and names that lead there.
        for host in ("2130706433", "127.1", "localhost.localdomain."):
            r = s.post("/api/batch", {
                "items": [item(0)], "webhook_url": f"http://{host}:{port}/"})
            assert r.status_code in (201, 400), r.text
            if r.status_code == 400:
                continue
            batch = r.json()["batch_id"]
            wait_batch(s, batch, "completed")
            st.wait_for("refusal", lambda b=batch: s.get(
                f"/api/batch/{b}")["webhook"]["error"])
        assert not receiver.got
    with st.Stack(database_url=url, runners=0, **LOCAL) as s:
        r = s.post("/api/batch", {"items": [item(0)], "webhook_url":
                                  "http://169.254.169.254/latest"})
        assert r.status_code == 400


def test_webhook_wants_an_answer(url):
    """What nobody listens for is tried again later, and told."""
    port = st.free_port()
    with st.Stack(database_url=url, **LOCAL) as s:
        batch = submit(s, 1, webhook_url=f"http://127.0.0.1:{port}/")[
            "batch_id"]
        b = st.wait_for("tries", lambda: (
            lambda b: b if b["webhook"]["attempts"] >= 2 else None)(
                s.get(f"/api/batch/{batch}")))
        assert b["webhook"]["state"] == "waiting" and b["webhook"]["error"]
