# SPDX-License-Identifier: MIT
"""Three hosts of workers, two with a bridge, two with a runner, one each for
nginx, PostgreSQL and Redis: no client is tied to one of them, and nothing is
lost, nor done twice, when one is cut off."""
import asyncio
import collections
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import httpx
import pytest
import websockets

import hosts_kit
import stack as st
import steady_kit
import web_kit
from sweep_kit import Database
from test_chaos import is_fenced

WORKERS, BRIDGES, RUNNERS = ("w1", "w2", "w3"), ("b1", "b2"), ("r1", "r2")
LISTS = 30  # that one address may ask for in a minute; twice as many at once
HEARTBEAT_S = 5
END_S = 30  # what an end may take
BODY = {"task": "Is it better to travel or to arrive?", "rounds": 1,
        "agents": ["openai-api|stub-slow@20"] * 2, "consensus": "majority"}
READS = [r for r in steady_kit.READS if not r.startswith(
    ("/api/debates?", "/api/leaderboard", "/api/agents"))]  # lists
NGINX = """
daemon off; pid {dir}/nginx.pid; error_log {dir}/server.log warn; {user}
worker_processes 1; events {{ worker_connections 2048; }}
http {{
  include /etc/nginx/mime.types;
  log_format upstreams '$request_method $uri $upstream_addr $status';
  access_log {dir}/access.log upstreams;
  client_body_temp_path {dir}/a; proxy_temp_path {dir}/b;
  fastcgi_temp_path {dir}/c; scgi_temp_path {dir}/d; uwsgi_temp_path {dir}/e;
  include {dir}/site.conf;
}}
"""

if hosts_kit.MARK not in os.environ:
    def test_in_namespaces():
        hosts_kit.inside(__file__, 10 * st.WAIT)


class Postgres(st.Postgres):
    """On a host."""

    def __init__(self, host):
        self.host = host
        super().__init__()

    def run(self, program, *args):
        subprocess.run([*self.host.enter, *self.prefix,
                        os.path.join(self.bin, program), *args], cwd="/",
                       check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def start(self):
        with open(os.path.join(self.data, "pg_hba.conf"), "a",
                  encoding="ascii") as f:
            f.write(f"host all all {hosts_kit.NET}0/24 trust\n")
        self.run("pg_ctl", "-D", self.data, "-w", "-l",
                 os.path.join(self.dir, "log"), "-o",
                 f"-k {self.dir} -c listen_addresses={self.host.address} "
                 "-c fsync=off", "start")

    def url(self, name, user="aragora"):
        return f"postgresql://{user}@{self.host.address}/{name}"


class Service:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="aragora-hosts-")
        os.chmod(self.dir, 0o755)
        self.processes = {}
        self.network = self.postgres = self.database = None
        try:
            self.network = hosts_kit.Network(
                (*WORKERS, *BRIDGES, *RUNNERS, "front", "db", "redis"),
                self.dir)
            self.start()
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.dir, name)

    def host(self, name):
        return self.network[name]

    def spawn(self, name, *argv, host=None, stdout=None, **env):
        """On the host of that name."""
        h = self.host(host or name)
        with open(self.path(name + ".log"), "ab") as log:
            p = subprocess.Popen(
                [*h.enter, *argv], stderr=log, stdout=log,
                stdin=subprocess.DEVNULL,
                env={**self.env, "ARAGORA_DATA_DIR": h.data, **env})
        self.processes[name] = p
        return p

    def log(self, name):
        with open(self.path(name + ".log"), encoding="utf-8",
                  errors="replace") as f:
            return f.read()

    # ---- parts ----

    def start(self):
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("ARAGORA_", "OPENAI_"))}
        self.postgres = Postgres(self.host("db"))
        self.start_redis()
        self.env.update({
            **st.MANY, "ARAGORA_RATE_LIMIT_LIST": str(LISTS),
            "ARAGORA_DATABASE_URL": self.postgres.database(),
            "ARAGORA_LOG_FORMAT": "json", "ARAGORA_LEASE": "3",
            "ARAGORA_DB_TIMEOUT": "5", "ARAGORA_DB_POOL_TIMEOUT": "5",
            "ARAGORA_WS_HEARTBEAT": str(HEARTBEAT_S),
            "ARAGORA_TRUSTED_PROXIES": self.host("front").address})
        self.start_models()
        subprocess.run([st.Stack.program("aragora"), "receipt", "keygen",
                        "--out", self.path("key")], env=self.env, check=True,
                       stdout=subprocess.DEVNULL)
        self.env["ARAGORA_RECEIPT_KEY_FILE"] = self.path("key")
        self.spawn("migrate", st.Stack.program("aragora"), "migrate",
                   host="r1").wait()
        self.database = Database(self.env, self.dir)
        for name in WORKERS:
            self.start_worker(name)
        for name in BRIDGES:
            # One address has all the clients here.
            self.spawn(name, st.Stack.program("aragora-ws"), "--listen",
                       f"{self.host(name).address}:9001",
                       ARAGORA_DISABLE_ALL_RATE_LIMITS="1")
        for name in RUNNERS:
            self.spawn(name, st.Stack.program("aragora-runner"), "--id", name)
        for names, word in ((WORKERS, "server.start"), (BRIDGES, "ws.ready"),
                            (RUNNERS, "runner.start")):
            for name in names:
                st.wait_for(name, lambda n=name, w=word: w in self.log(n))
        self.start_nginx()

    def start_redis(self):
        address = self.host("redis").address
        self.spawn("redis", shutil.which("redis-server"), "--port", "6379",
                   "--bind", address, "--protected-mode", "no", "--save", "",
                   "--appendonly", "no", "--dir", self.dir)
        self.env["ARAGORA_REDIS_URL"] = f"redis://{address}:6379/0"
        st.wait_for("redis", lambda: self.answers(address, 6379))

    def start_worker(self, name):
        self.spawn(name, st.Stack.program("aragora-fcgi"), "--listen",
                   f"{self.host(name).address}:9000")

    def start_models(self):
        """Beside the test, so that a runner's host is cut from them, too."""
        address = f"{hosts_kit.NET}{hosts_kit.TESTER}"
        with open(self.path("stub.log"), "ab") as log:
            p = subprocess.Popen(
                [st.Stack.program("tests/tools/llm_stub"), "--listen",
                 f"{address}:0"], stdin=subprocess.DEVNULL, stderr=log,
                stdout=subprocess.PIPE)
        self.processes["stub"] = p
        port = p.stdout.readline().decode().split()[-1]
        self.env["OPENAI_BASE_URL"] = f"http://{address}:{port}/openai/v1"
        self.env["OPENAI_API_KEY"] = "sk-planted-secret-7f3a"

    def start_nginx(self):
        """conf/nginx/aragora-hosts.conf; only addresses and times differ."""
        with open(os.path.join(st.SOURCE, "conf/nginx/aragora-hosts.conf"),
                  encoding="ascii") as f:
            text = f.read()
        front = self.host("front").address
        for old, new in (
                *((f"server 10.0.0.{11 + i}:", f"server {self.host(n).address}"
                   ":") for i, n in enumerate(WORKERS)),
                *((f"server 10.0.0.{21 + i}:", f"server {self.host(n).address}"
                   ":") for i, n in enumerate(BRIDGES)),
                ("listen 80;", f"listen {front}:8080;"),
                ("fastcgi_read_timeout 15s;", "fastcgi_read_timeout 6s;"),
                ("proxy_read_timeout 75s;",
                 f"proxy_read_timeout {5 * HEARTBEAT_S // 2}s;"),
                ("/usr/share/aragora/web", os.path.join(st.SOURCE, "web"))):
            assert old in text, old
            text = text.replace(old, new)
        for name, content in (("site.conf", text), ("nginx.conf", NGINX.format(
                dir=self.dir, user="user root;" if web_kit.IS_ROOT else ""))):
            with open(self.path(name), "w", encoding="ascii") as f:
                f.write(content)
        shutil.copy("/etc/nginx/fastcgi_params", self.dir)
        self.spawn("front", web_kit.program("nginx"), "-p", self.dir, "-c",
                   self.path("nginx.conf"))
        self.url = f"http://{front}:8080"
        st.wait_for("nginx", lambda: self.answers(front, 8080))

    @staticmethod
    def answers(address, port):
        with socket.socket() as s:
            s.settimeout(1)
            return s.connect_ex((address, port)) == 0

    # ---- looks ----

    def client(self):
        return httpx.Client(base_url=self.url, trust_env=False,
                            timeout=st.WAIT)

    def served(self, since=0):
        """(offset, [(method, path, the last upstream's host, status)]) that
        nginx logged since that offset."""
        names = {h.address: n for n, h in self.network.hosts.items()}
        with open(self.path("access.log"), encoding="utf-8") as f:
            f.seek(since)
            text = f.read()
            end = f.tell()
        found = []
        for line in text.splitlines():
            method, path, *upstreams, status = line.split(" ")
            last = upstreams[-1].split(":")[0]
            found.append((method, path, names.get(last), int(status)))
        return end, found

    def create(self, **body):
        r = httpx.post(self.url + "/api/debates", json={**BODY, **body},
                       trust_env=False, timeout=st.WAIT)
        assert r.status_code == 201, r.text
        return r.json()["debate_id"]

    def owned(self, name):
        return self.database.rows(
            "SELECT id FROM debates WHERE runner = ? AND lease_until_us > 0",
            name)

    def close(self):
        try:
            for p in reversed(list(self.processes.values())):
                st.end(p)
            if self.database is not None:
                self.database.close()
            if self.postgres is not None:
                self.postgres.close()
        finally:
            if self.network is not None:
                self.network.close()
            logs = {n: self.log(n) for n in self.processes}
            shutil.rmtree(self.dir, ignore_errors=True)
        for name, text in logs.items():
            print(f"---- {name}", text[-1500:], sep="\n")
            assert "Sanitizer" not in text, text
            assert '"level":"error"' not in text, (name, text)


@pytest.fixture(name="service", scope="module")
def start():
    s = Service()
    yield s
    s.close()


# ---- inside ----

def nothing_is_sticky(s):
    """What one host was told, the others know at once."""
    at, _ = s.served()
    key = {"Idempotency-Key": "the-same-everywhere"}
    with s.client() as c:
        made = [c.post("/api/debates", json=BODY, headers=key) for _ in
                range(6)]
        assert {r.status_code for r in made} == {201}, made[0].text
        ids = {r.json()["debate_id"] for r in made}
        assert len(ids) == 1
        path = f"/api/debates/{ids.pop()}"
        for n in range(9):
            assert c.get(path).status_code == 200
            r = c.patch(path, json={"title": f"Title {n}"})
            assert r.status_code == 200, r.text
            assert c.get(path).json()["title"] == f"Title {n}"
            r = c.post(path + "/tags", json={"tags": [f"tag{n}"]})
            assert r.status_code == 200, r.text
            assert f"tag{n}" in c.get(path).json()["tags"]
        open_id = s.create(agents=["openai-api|stub-slow@200"] * 2)
        votes = 0
        for n in range(6):
            r = c.post(f"/api/debates/{open_id}/user-input", json={
                "type": "suggestion", "input": f"Think of {n}."})
            assert r.status_code == 200, r.text
            votes += 1
        assert s.database.rows("SELECT count(*) FROM human_inputs WHERE "
                               "debate_id = ?", open_id) == [(votes,)]
    st.wait_for("access log", lambda: len(s.served(at)[1]) > 50)
    by_kind = collections.defaultdict(set)
    for method, _, host, status in s.served(at)[1]:
        assert status < 300
        by_kind[method].add(host)
    for method in ("GET", "POST", "PATCH"):
        assert by_kind[method] == set(WORKERS), by_kind


def limits_are_counted_once(s):
    """Whichever host is asked."""
    at, _ = s.served()
    begun = time.monotonic()
    with s.client() as c:
        got = [c.get("/api/debates?limit=1").status_code
               for _ in range(5 * LISTS)]
    took = time.monotonic() - begun
    admitted = got.count(200)
    assert set(got) == {200, 429}
    assert 2 * LISTS <= admitted <= 2 * LISTS + took * LISTS / 60 + 1
    st.wait_for("access log", lambda: len(s.served(at)[1]) == len(got))
    for status in (200, 429):
        assert {h for _, _, h, x in s.served(at)[1] if x == status} == \
            set(WORKERS)


async def pieces(s, debate_id):
    """A debate's events, two to a connection."""
    seen = []
    while not seen or seen[-1][1] != "debate_end":
        since = seen[-1][0] if seen else 0
        async with websockets.connect(
                f"ws{s.url[4:]}/ws?debate_id={debate_id}&since={since}") as ws:
            got = 0
            while got < 2 and (not seen or seen[-1][1] != "debate_end"):
                m = json.loads(await asyncio.wait_for(ws.recv(), st.WAIT))
                if "seq" in m:
                    seen.append((m["seq"], m["type"]))
                    got += 1
    return seen


def bridges_take_turns(s):
    """What one began the other goes on with."""
    at, _ = s.served()
    seen = asyncio.run(pieces(s, s.create()))
    assert [n for n, _ in seen] == list(range(1, len(seen) + 1))
    st.wait_for("access log", lambda: {
        h for _, p, h, _ in s.served(at)[1] if p == "/ws"} == set(BRIDGES))


def cut(s, load, name):
    print(f"{load.at()} s: {name} is cut off")
    s.network.cut(name)


def heal(s, load, name):
    print(f"{load.at()} s: {name} is back")
    s.network.heal(name)


def cut_worker(s, load):
    load.burst("before", 18)  # nginx keeps connections to it
    cut(s, load, "w2")
    load.burst("after", 18)
    # Some had been sent there; nothing was asked twice, and none is lost.
    assert load.repeats > 0
    load.more(300)
    at, _ = s.served()
    # nginx knows by now.
    load.more(200)
    hosts = collections.Counter(h for _, _, h, _ in s.served(at)[1])
    assert hosts["w1"] > 0 and hosts["w3"] > 0 and hosts["w2"] == 0, hosts
    heal(s, load, "w2")
    at, _ = s.served()
    st.wait_for("its return", lambda: any(
        h == "w2" and x < 300 for _, _, h, x in s.served(at)[1]))


def replace_worker(s, load):
    """The way it ought to go: told to end, its port refuses, and no request
    fails."""
    before = len(load.failures)
    p = s.processes["w3"]
    p.terminate()
    assert p.wait(END_S) == 0
    load.more(50)
    s.start_worker("w3")
    at, _ = s.served()
    st.wait_for("its successor", lambda: any(
        h == "w3" and x < 300 for _, _, h, x in s.served(at)[1]))
    assert len(load.failures) == before


def cut_bridge(s, load):
    """Its clients come back by the other one while it is still away."""
    def following():
        return sum(not seen or seen[-1][1] != "debate_end"
                   for _, _, seen in load.stories)
    st.wait_for("followers", lambda: following() > 9)
    def broken():
        return {what for at, what, _ in load.failures if at > begun}
    begun, were = load.at(), list(load.stories)
    cut(s, load, "b1")
    st.wait_for("ends without a word", lambda: broken() >= {
        "websocket", "stream"})
    st.wait_for("all that were there", lambda: all(
        seen and seen[-1][1] == "debate_end" for _, _, seen in were))
    heal(s, load, "b1")
    at, _ = s.served()
    st.wait_for("its return", lambda: any(
        h == "b1" and x in (101, 200) for _, _, h, x in s.served(at)[1]))


def cut_runner(s, load):
    """Another takes over when the lease is over; the one that was away
    writes nothing when it is back, and goes on with other debates."""
    st.wait_for("debates in its hands", lambda: len(s.owned("r1")) > 1)
    cut(s, load, "r1")
    held = [i for i, in s.owned("r1")]

    def taken():
        return all(r != "r1" for r, in s.database.rows(
            "SELECT runner FROM debates WHERE id IN (" +
            ",".join("?" * len(held)) + ")", *held))
    st.wait_for("takeover", taken)
    heal(s, load, "r1")
    claims = s.log("r1").count("debate.claim")
    st.wait_for("fencing", lambda: is_fenced(s, "r1"))
    st.wait_for("other debates", lambda: s.log("r1").count(
        "debate.claim") > claims)


def check_debates(s, ids):
    with s.client() as c:
        for debate_id in ids:
            d = c.get(f"/api/debates/{debate_id}").json()
            assert d["status"] == "completed" and d["final_answer"], d
            events = c.get(f"/api/debates/{debate_id}/events?limit=500"
                           ).json()["events"]
            st.check_sequence(events)
            path = s.path("export.json")
            with open(path, "wb") as f:
                f.write(c.get(f"/api/debates/{debate_id}/export").content)
            r = subprocess.run(
                [st.Stack.program("aragora"), "verify", path, "--key",
                 s.path("key.pub")], env=s.env, capture_output=True,
                text=True, check=False)
            assert r.returncode == 0, r.stderr
    # As many as were asked for, and none that nobody knows of.
    assert s.database.rows(
        "SELECT count(*) FROM debates WHERE status <> 'completed'") == [(0,)]


def hosts_are_cut_off(s):
    address, port = s.url[7:].split(":")
    load = steady_kit.Steady(address, int(port), BODY, reads=READS, tries=8)
    try:
        load.more(200)
        cut_worker(s, load)
        replace_worker(s, load)
        cut_bridge(s, load)
        cut_runner(s, load)
        load.finish()
    finally:
        load.close()
        print(load)
    assert load.lost == []
    load.check_stories()
    known = s.database.rows("SELECT count(*) FROM debates WHERE id IN (" +
                            ",".join("?" * len(load.debates)) + ")",
                            *load.debates)
    assert known == [(len(load.debates),)]
    # GETs find another host; a new debate may have to be asked for again.
    for _, what, how in load.failures:
        assert what in ("POST /api/debates", "websocket", "stream"), (
            what, how)
    return load.debates


if hosts_kit.MARK in os.environ:
    def test_hosts(service):
        s = service
        nothing_is_sticky(s)
        limits_are_counted_once(s)
        bridges_take_turns(s)
        ids = hosts_are_cut_off(s)
        check_debates(s, ids)
