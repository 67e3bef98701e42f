# SPDX-License-Identifier: MIT
"""Health over several hosts: what each tells is counted over all of them.
Two sets of worker, bridge and runner, each with a data folder and a host name
of its own, over one PostgreSQL and one Redis."""
import asyncio
import contextlib
import datetime
import json
import os
import signal
import subprocess

import httpx
import pytest
import websockets

import fcgi_stack as fs
import stack as st

GUIDE = {"status", "version", "uptime_seconds", "active_debates",
         "websocket_connections", "database", "redis"}
OURS = {"timestamp", "schema", "schema_range"}
# A silent bridge is counted for 30 s; it tells and workers look every 5 s.
LONG = 150


class Host(st.Stack):
    """Its bridge and its runner see a host name of their own."""

    def __init__(self, name, url, first=None, **env):
        self.name = name
        if first:
            env["ARAGORA_REDIS_URL"] = f"unix:{first.redis_socket}"
        super().__init__(database_url=url, redis=first is None,
                         migrate=first is None, **env)

    def spawn(self, name, *argv, stdout=None):
        if os.path.basename(argv[0]) in ("aragora-ws", "aragora-runner"):
            user = [] if os.getuid() == 0 else ["--map-root-user"]
            argv = ["unshare", *user, "--uts", "sh", "-c",
                    'hostname "$0" && exec "$@"', self.name, *argv]
            if "--id" in argv:
                argv[-1] = f"{self.name}-{argv[-1]}"
        return super().spawn(name, *argv, stdout=stdout)

    def bridge(self):
        return self.processes["ws"]

    def health(self):
        return self.get("/api/health")

    def metric(self, series):
        """None = the series is not there."""
        for line in self.get("/metrics", check=False).text.splitlines():
            if line.startswith(series + " "):
                return float(line.rsplit(" ", 1)[1])
        return None


@pytest.fixture(name="server", scope="module")
def fixture_server():
    server = st.Postgres()
    yield server
    server.close()


@pytest.fixture(name="hosts")
def fixture_hosts(server):
    url = server.database()
    with Host("host-a", url) as a, Host("host-b", url, first=a) as b:
        yield a, b


@contextlib.asynccontextmanager
async def sockets(host, n):
    url = f"ws://127.0.0.1:{host.port}/ws"
    opened = [await websockets.connect(url) for _ in range(n)]
    try:
        yield opened
    finally:
        await asyncio.gather(*(ws.close() for ws in opened))


async def until(what, check, timeout=LONG):
    """As wait_for, while the sockets live on."""
    return await asyncio.to_thread(st.wait_for, what, check, timeout)


def everywhere(hosts, n):
    return lambda: all(
        h.health()["websocket_connections"] == n for h in hosts)


def command(host, *args):
    r = subprocess.run([st.Stack.program("aragora"), *args], env=host.env,
                       capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    return r.stdout


def test_sockets_are_counted_everywhere(hosts):
    a, b = hosts

    async def run():
        async with sockets(a, 3) as first, sockets(b, 2):
            await first[0].send(json.dumps(
                {"type": "subscribe", "debate_id": "adhoc_00000000"}))
            await until("5 sockets on both", everywhere(hosts, 5))
            await asyncio.to_thread(figures)
        await until("no socket", everywhere(hosts, 0))

    def figures():
        for h, own in ((a, 3), (b, 2)):
            assert h.metric("aragora_websocket_connections") == own
            assert h.metric("aragora_websocket_connections_cluster") == 5
            assert h.metric("aragora_bridges") == 2
            d = h.get("/api/metrics")
            assert d["websocket_connections"] == 5
            assert d["websocket_connections_here"] == own
            part = h.get("/api/health/detailed")["checks"]["bridges"]
            assert part["status"] == "healthy" and part["count"] == 2
            assert part["websocket_connections"] == 5
            assert part["this_host"]["websocket_connections"] == own
        # The busiest host is what a rule of scaling looks at.
        look = json.loads(command(b, "scaling", "--seconds", "1", "--json"))
        assert look["signals"]["websockets"]["now"] == 3
        told = command(b, "doctor")
        assert " on host-a: 3 WebSockets, 0 event streams" in told
        assert " on host-b: 2 WebSockets, 0 event streams" in told

    asyncio.run(run())


def test_event_streams_and_subscriptions(hosts):
    """Streams are counted beside the sockets, not as such."""
    a, b = hosts
    for h in hosts:
        h.runners[0].send_signal(signal.SIGSTOP)
    debate = a.create(agents=["demo", "demo"], rounds=1)

    def bridges():
        return b.get("/api/health/components")["components"]["components"][
            "bridges"]
    with httpx.stream("GET", a.url(f"/api/debates/{debate}/stream"),
                      headers={"Accept": "text/event-stream"},
                      trust_env=False, timeout=st.WAIT) as stream:
        assert stream.status_code == 200
        d = st.wait_for("the stream", lambda: bridges()[
            "event_streams"] and bridges(), LONG)
        assert d["event_streams"] == d["subscriptions"] == 1
        assert d["websocket_connections"] == 0
    d = st.wait_for("no stream", lambda: bridges()[
        "event_streams"] == 0 and bridges(), LONG)
    assert d["subscriptions"] == 0


def test_killed_bridge_is_forgotten(hosts):
    """Its sockets are counted until its row is too old, whatever its host;
    one that takes its place is counted at once."""
    a, b = hosts

    async def run():
        async with sockets(a, 3), sockets(b, 1):
            await until("4 sockets on both", everywhere(hosts, 4))
            a.bridge().kill()
            a.bridge().wait()
            assert len(a.rows("SELECT id FROM bridges")) == 2
            await until("the killed one is forgotten", everywhere(hosts, 1))
            await until("its row is swept", lambda: len(
                a.rows("SELECT id FROM bridges")) == 1)
            assert a.metric("aragora_websocket_connections") == 0
            os.unlink(os.path.join(a.run_dir, "ws.sock"))
            a.start_bridge()
            async with sockets(a, 2):
                await until("3 sockets on both", everywhere(hosts, 3))

    asyncio.run(run())


def test_drained_bridge_is_gone_at_once(hosts):
    a, b = hosts

    async def run():
        async with sockets(a, 1), sockets(b, 4):
            await until("5 sockets on both", everywhere(hosts, 5))
            b.bridge().terminate()
            status = await asyncio.to_thread(b.bridge().wait, LONG)
            assert status == 0
            assert a.rows("SELECT host, connections FROM bridges") == [
                ("host-a", 1)]
            await until("1 socket on both", everywhere(hosts, 1), st.WAIT)

    asyncio.run(run())


def test_the_guides_fields(hosts):
    """Exactly these, and what the contract adds; debates of both hosts."""
    for h in hosts:
        d = h.health()
        assert set(d) == GUIDE | OURS, d
        assert d["status"] == "healthy" and d["version"]
        assert d["database"] == d["redis"] == "connected"
        for key in ("uptime_seconds", "active_debates",
                    "websocket_connections"):
            assert type(d[key]) is int and d[key] >= 0, (key, d)
        assert datetime.datetime.fromisoformat(
            d["timestamp"].replace("Z", "+00:00"))
        for path in ("/healthz", "/health/live", "/api/health/live"):
            assert h.get(path) == {"status": "ok"}
        ready = h.get("/readyz")
        assert ready["status"] == "ready"
        assert ready["checks"] == {"database": True, "accepting": True}


def test_runners_and_debates_of_both_hosts(server):
    url = server.database()
    with Host("host-a", url, stub=True, ARAGORA_MAX_CONCURRENT_DEBATES="1",
              ARAGORA_LEASE="30") as a, \
            Host("host-b", url, first=a, ARAGORA_MAX_CONCURRENT_DEBATES="1",
                 ARAGORA_LEASE="30", **{
                     k: a.env[k] for k in st.STUB_PATHS},
                 OPENAI_API_KEY="sk-x") as b:
        hosts = (a, b)
        st.wait_for("both runners on both hosts", lambda: all(
            h.get("/api/health/workers")["workers"]["count"] == 2
            for h in hosts))
        # Three debates whose models never begin to speak: one for each
        # runner, one waits.
        for _ in range(3):
            a.create(agents=["openai-api|stub-firstslow"] * 2, rounds=1)
        st.wait_for("both drive one", lambda: all(
            h.health()["active_debates"] == 2 for h in hosts))
        for h in hosts:
            assert h.metric("aragora_debates_active") == 1
            assert h.metric("aragora_debates_running") == 2
            assert h.metric("aragora_debates_capacity") == 1
            assert h.metric("aragora_debates_capacity_cluster") == 2
            assert h.metric("aragora_runners") == 2
            assert h.get("/api/health/workers")["workers"]["capacity"] == 2

        def oldest(h):
            return h.get("/api/health/job-queue")["job_queue"]
        st.wait_for("the age of the queue", lambda: all(
            oldest(h)["pending"] == 1 and oldest(h)["oldest_seconds"] > 2
            for h in hosts))
        assert 2 < a.metric("aragora_queue_oldest_seconds") < 3600
        look = json.loads(command(b, "scaling", "--seconds", "1", "--json"))
        assert look["oldest_queued_seconds"] > 2
        assert "debates 1.50 is above 0.8 (the first of the queue has " \
            "waited " in look["reason"]
        assert a.get("/api/metrics/debate")["oldest_queued_seconds"] > 2


def test_database_that_hangs_for_bridges(hosts, server):
    """A bridge that cannot tell of itself serves all the same."""
    a, b = hosts
    name = a.env["ARAGORA_DATABASE_URL"].split("/")[3].split("?")[0]
    lock = subprocess.Popen(
        [os.path.join(server.bin, "psql"), "-qAtX", "-h", server.dir, "-U",
         "aragora", "-d", name], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    try:
        lock.stdin.write("BEGIN; LOCK TABLE bridges IN ACCESS EXCLUSIVE "
                         "MODE; SELECT 'locked';\n")
        lock.stdin.flush()
        assert lock.stdout.readline() == "locked\n"
        for h in hosts:
            debate = h.create(agents=["demo", "demo"], rounds=1)
            st.check_sequence([m for m in asyncio.run(h.watch(debate))
                               if "seq" in m])
            assert h.health()["status"] == "healthy"
    finally:
        lock.stdin.close()
        lock.wait()

    async def run():
        async with sockets(b, 1):
            await until("it is told again", everywhere(hosts, 1))
    asyncio.run(run())


def test_database_is_away(server):
    """This host's figure is told instead; a bridge that cannot take its row
    away ends in time."""
    own = st.Postgres()
    try:
        with Host("host-a", own.database()) as a:
            async def run():
                async with sockets(a, 2):
                    await until("2 sockets", everywhere([a], 2))
                    own.stop()

                    def unhealthy():
                        r = a.get("/api/health", check=False)
                        return r.status_code == 503 and r.json()
                    d = await until("unhealthy", unhealthy)
                    assert d["status"] == "unhealthy"
                    assert d["database"] == "disconnected"
                    assert d["websocket_connections"] == 2
                    a.bridge().terminate()
                    status = await asyncio.to_thread(a.bridge().wait, LONG)
                    assert status == 0
            asyncio.run(run())
            own.start()
            st.wait_for("healthy", a.is_healthy, LONG)
    finally:
        own.close()


def test_draining_worker():
    """It lives, is not ready, and says so on the connections it has."""
    with fs.Stack(spawner="listen", fcgi_threads=2) as stack:
        stack.start_workers()
        kept = [stack.connect() for _ in range(3)]
        for s in kept:
            s.sendall(fs.request("/healthz"))
            assert fs.answer(s)[0] == 200
        stack.signal(signal.SIGTERM)
        fs.wait_for("drain", lambda: "server.drain" in stack.logged())
        for s, path, expected, members in (
                (kept[0], "/health/ready", 503,
                 {"status": "not_ready"}),
                (kept[1], "/health/live", 200,
                 {"status": "ok", "reason": "draining"}),
                (kept[2], "/api/health", 200, {"status": "degraded"})):
            s.sendall(fs.request(path))
            status, _, text = fs.answer(s)
            body = json.loads(text)
            assert status == expected, (path, status, text)
            assert members.items() <= body.items(), (path, text)
