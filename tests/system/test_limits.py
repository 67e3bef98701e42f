# SPDX-License-Identifier: MIT
"""Rate limits over real workers: one bound for all of them, on one host and
over Redis; what a client is told; Redis that is away."""
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

import fcgi_stack as fs

WORKERS = 8
LIST = "/api/debates"
READ = "/api/agents/demo"
ADDRESS = "203.0.113.9"


class Redis:
    """In a stack's folder, on a Unix socket."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "redis.sock")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [shutil.which("redis-server"), "--port", "0", "--unixsocket",
             self.path, "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL)
        fs.wait_for("redis", lambda: self.ask("PING") == "PONG")

    def ask(self, *command):
        r = subprocess.run(["redis-cli", "-s", self.path, *command],
                           capture_output=True, text=True, check=False)
        return r.stdout.strip()

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


class Stack(fs.Stack):
    """Limits are on; one request of a minute comes back at a time that does
    not matter here."""

    def __init__(self, redis=False, **env):
        env = {"disable_all_rate_limits": "0", "ip_rate_limit": "10000",
               "rate_limit_anonymous": "6", "burst_multiplier": "10", **env}
        workers = env.pop("workers", WORKERS)
        super().__init__(workers=workers, fcgi_threads=2, **env)
        self.redis = None
        if redis:
            self.redis = Redis(self.dir)
            self.env["ARAGORA_REDIS_URL"] = f"unix:{self.redis.path}"
        self.start_workers()

    def ask(self, uri=LIST, method="GET", body=b"", address=ADDRESS, **extra):
        with self.connect() as s:
            s.sendall(fs.request(uri, method, body, keep=False,
                                 REMOTE_ADDR=address, **extra))
            status, headers, text = fs.answer(s)
        return status, headers, json.loads(text)

    def token(self, *args):
        r = subprocess.run(
            [os.path.join(fs.BUILD, "aragora"), "token", "create", "--name",
             "t", *args], env=self.env, capture_output=True, text=True,
            check=True)
        return {"HTTP_AUTHORIZATION": f"Bearer {r.stdout.split()[0]}"}

    def close(self):
        try:
            super().close()
        finally:
            if self.redis:
                self.redis.stop()


def storm(stack, threads=WORKERS, each=25, **kw):
    """Statuses of requests that come at once, and the seconds they took."""
    statuses, lock = [], threading.Lock()

    def run():
        for _ in range(each):
            status = stack.ask(**kw)[0]
            with lock:
                statuses.append(status)
    start = time.monotonic()
    all_of = [threading.Thread(target=run) for _ in range(threads)]
    for t in all_of:
        t.start()
    for t in all_of:
        t.join()
    return statuses, time.monotonic() - start


def check_bound(statuses, seconds, burst, per_minute, refused=(429,)):
    """Exactly a burst, and what the time gave back."""
    assert {200, 429} <= set(statuses) <= {200, *refused}
    admitted = statuses.count(200)
    assert admitted <= burst + seconds * per_minute / 60
    assert admitted + statuses.count(503) >= burst


@pytest.mark.parametrize("redis", [False, True], ids=["host", "redis"])
def test_one_bound_for_all_workers(redis):
    # Who gets no answer from Redis in time is not admitted by this host's own
    # count: the bound holds on a machine that is too busy as well.
    with Stack(redis, rate_limit_strict="1") as s:
        statuses, seconds = storm(s)
        check_bound(statuses, seconds, 60, 6, (429, 503) if redis else (429,))
        # Somebody else is not concerned; the addresses of a /64 are one.
        assert s.ask(address="203.0.113.10")[0] == 200
        statuses, seconds = [], time.monotonic()
        for i in range(100):
            statuses.append(s.ask(address=f"2001:db8:1:2::{i + 1:x}")[0])
        check_bound(statuses, time.monotonic() - seconds, 60, 6)
        assert s.ask(address="2001:db8:1:3::1")[0] == 200
        if redis:
            keys = s.redis.ask("KEYS", "*").split()
            assert keys
            for key in keys:
                assert key.startswith("aragora:ratelimit:")
                assert "203.0.113" not in key
                assert 0 < int(s.redis.ask("PTTL", key)) <= 600000


def test_what_is_told():
    with Stack(workers=1) as s:
        status, h, _ = s.ask()
        assert status == 200
        assert h["X-RateLimit-Limit"] == "6"
        assert h["X-RateLimit-Remaining"] == "59"
        assert int(h["X-RateLimit-Reset"]) > time.time()
        assert h["RateLimit-Policy"] == '"default";q=6;w=60'
        assert h["RateLimit"].startswith('"default";r=59;t=')
        # Four reads of one thing cost what one list costs.
        left = [int(s.ask(READ)[1]["X-RateLimit-Remaining"])
                for _ in range(4)]
        assert left == [58, 58, 58, 58]
        # Asking for the state costs nothing.
        for _ in range(3):
            status, h, d = s.ask("/api/rate-limits")
            assert status == 200 and "X-RateLimit-Limit" not in h
            assert d["limits"]["caller"]["remaining"] == 58
            assert d["tier"] == "anonymous" and d["limited"]
        while status == 200:
            status, h, d = s.ask()
        assert status == 429
        assert d["code"] == "RATE_LIMITED" and "rate" in d["error"].lower()
        assert d["remaining"] == 0 and d["limit"] == 6
        assert d["retry_after"] == int(h["Retry-After"]) >= 1
        assert h["X-RateLimit-Remaining"] == "0"
        assert h["RateLimit"].startswith('"default";r=0;t=')
        _, h, d = s.ask(HTTP_ACCEPT="application/problem+json")
        assert h["Content-Type"] == "application/problem+json"
        assert d["type"].endswith("#quota-exceeded") and d["status"] == 429
        assert d["violated-policies"] == ["default"]
        # These are not limited at all.
        for uri in ("/healthz", "/readyz"):
            assert s.ask(uri)[0] == 200


def counters(s):
    """aragora_rate_limited_total by its label, and the buckets held."""
    with s.connect() as c:
        c.sendall(fs.request("/metrics", keep=False))
        text = fs.answer(c)[2].decode()
    out = {k: int(v) for k, v in re.findall(
        r'^aragora_rate_limited_total\{limit="(\w+)"\} (\d+)$', text, re.M)}
    return out, int(re.search(r"^aragora_rate_limit_keys (\d+)$", text,
                              re.M)[1])


def test_what_refused_is_counted():
    """By the limit that had the longest to wait; the sum is the old figure.
    """
    with Stack(ip_rate_limit="7") as s:
        assert sum(counters(s)[0].values()) == 0
        refused = [s.ask()[0] for _ in range(66)].count(429)
        assert refused > 0
        # Reads take from the address and the caller; an address of its own
        # with a token has the limit of the address before it.
        token = s.token()
        by_address = [s.ask(address="203.0.113.77", **token)[0]
                      for _ in range(76)].count(429)
        assert by_address > 0
        counts, _ = counters(s)
        assert set(counts) == {
            "address", "anonymous", "authenticated", "premium", "list",
            "create", "login", "refresh", "keys"}
        assert counts["anonymous"] == refused
        assert counts["address"] == by_address
        assert sum(counts.values()) == refused + by_address
        assert s.ask("/api/metrics", address="203.0.113.78")[2][
            "rate_limited"] == refused + by_address
        fs.wait_for("the buckets", lambda: counters(s)[1] >= 4)


def test_retry_after_is_enough():
    with Stack(workers=1, rate_limit_anonymous="60",
               burst_multiplier="1") as s:
        status = 200
        while status == 200:
            status, h, _ = s.ask()
        time.sleep(int(h["Retry-After"]))
        assert s.ask()[0] == 200


def test_tiers():
    with Stack(workers=1, rate_limit="7", rate_limit_premium="8",
               rate_limit_list="9") as s:
        for args, limit in (([], "7"), (["--tier", "premium"], "8")):
            auth = s.token(*args)
            assert s.ask(**auth)[1]["X-RateLimit-Limit"] == limit
        internal = s.token("--tier", "internal")
        status, h, _ = s.ask(**internal)
        assert status == 200 and "X-RateLimit-Limit" not in h
        statuses, _ = storm(s, each=50, **internal)
        assert set(statuses) == {200}
        # A token's bucket goes with it from one address to another.
        auth = s.token()
        left = [int(s.ask(READ, address=f"198.51.100.{i}", **auth)
                    [1]["X-RateLimit-Remaining"]) for i in range(1, 9)]
        assert left == [69] * 4 + [68] * 4


def test_create_has_a_limit_of_its_own():
    with Stack(workers=1, rate_limit_create="1", burst_multiplier="2",
               rate_limit_anonymous="100") as s:
        body = json.dumps({"task": "How often?",
                           "agents": ["demo", "demo"]}).encode()
        statuses = [s.ask(method="POST", body=body)[0] for _ in range(4)]
        assert statuses == [201, 201, 429, 429]
        assert s.ask()[0] == 200


def test_headers_that_lie_gain_nothing():
    with Stack(workers=1, trusted_proxies="127.0.0.1") as s:
        statuses, start = [], time.monotonic()
        for i in range(100):
            statuses.append(s.ask(HTTP_X_FORWARDED_FOR=f"198.51.100.{i}",
                                  HTTP_X_REAL_IP=f"198.51.100.{i}")[0])
        check_bound(statuses, time.monotonic() - start, 60, 6)
        # From our own proxy they tell the truth.
        assert s.ask(address="127.0.0.1",
                     HTTP_X_FORWARDED_FOR="198.51.100.200")[0] == 200
        assert s.ask(address="127.0.0.1",
                     HTTP_X_FORWARDED_FOR=f"8.8.8.8, {ADDRESS}")[0] == 429


def test_guessing_credentials_is_limited():
    with Stack(workers=1, ip_rate_limit="5", burst_multiplier="1") as s:
        statuses = [s.ask(HTTP_AUTHORIZATION="Bearer wrong")[0]
                    for _ in range(8)]
        assert statuses == [401] * 5 + [429] * 3


def test_redis_restarts_empty():
    """Scripts and counts are gone; it goes on with new ones."""
    with Stack(redis=True, workers=1) as s:
        storm(s, threads=2, each=40)
        assert s.ask()[0] == 429
        s.redis.stop()
        s.redis.start()
        fs.wait_for("Redis' count", lambda: s.ask()[0] == 200)
        fs.wait_for("the news", lambda: s.redis.ask("KEYS", "*") != "")
        s.redis.ask("SCRIPT", "FLUSH")
        assert s.ask()[0] == 200


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.parametrize("mode,env", [
    ("local", {"expected_hosts": "4"}), ("strict", {"rate_limit_strict": "1"}),
    ("open", {"rate_limit_fail_open": "1"})], ids=lambda x: x
    if isinstance(x, str) else "")
def test_redis_is_away(how, mode, env):
    with Stack(redis=True, workers=2, redis_failure_threshold="2", **env) as s:
        assert s.ask()[0] == 200
        if how == "killed":
            s.redis.stop()
        else:
            s.redis.process.send_signal(signal.SIGSTOP)
        if mode == "strict":
            status, h, d = s.ask()
            assert status == 503 and d["code"] == "SERVICE_UNAVAILABLE"
            assert int(h["Retry-After"]) >= 1
            assert set(storm(s)[0]) == {503}
        elif mode == "open":
            statuses, _ = storm(s)
            assert set(statuses) == {200}
            assert "X-RateLimit-Limit" not in s.ask()[1]
        else:
            # A host's share: a quarter of the burst and of the rate, and
            # one of them is taken already.
            statuses, seconds = storm(s)
            check_bound(statuses, seconds, 14, 6 / 4)
            # What other hosts let through meanwhile is not known.
            h = s.ask()[1]
            assert h["X-RateLimit-Limit"] and "RateLimit" not in h
            assert "RateLimit-Policy" not in h
        lost = s.logged().count('"redis.lost"')
        assert 1 <= lost <= 2, s.logged()  # once a worker
        if how == "killed":
            s.redis.start()
        else:
            s.redis.process.send_signal(signal.SIGCONT)

        def is_back():
            for _ in range(4):
                s.ask()
            return s.logged().count('"redis.found"') == lost
        fs.wait_for("Redis again", is_back)
        assert "RateLimit" in s.ask(READ, address="198.51.100.77")[1]
