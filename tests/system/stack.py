# SPDX-License-Identifier: MIT
"""The whole stack for one test: nginx with the tree's own configuration,
aragora-fcgi under spawn-fcgi, aragora-ws, runners, over SQLite or PostgreSQL,
with or without Redis, and the model stub. Every process belongs to the test
and is ended by it."""
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

import httpx
import psycopg2
import websockets

BUILD = os.path.abspath(os.environ.get("top_builddir", "build"))
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
WAIT = 60  # seconds after which something did not happen


def wait_for(what, check, timeout=WAIT):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        result = check()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {timeout} s")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def end(process, sig=signal.SIGTERM):
    if process is None or process.poll() is not None:
        return
    process.send_signal(sig)
    try:
        process.wait(WAIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Postgres:
    """A cluster of its own on a Unix socket."""

    def __init__(self):
        bins = sorted(
            os.path.join("/usr/lib/postgresql", v, "bin")
            for v in (os.listdir("/usr/lib/postgresql")
                      if os.path.isdir("/usr/lib/postgresql") else []))
        assert bins, "no PostgreSQL under /usr/lib/postgresql"
        self.bin = bins[-1]
        self.dir = tempfile.mkdtemp(prefix="aragora-pg-")
        self.count = 0
        self.prefix = []
        if os.getuid() == 0:
            shutil.chown(self.dir, "postgres")
            self.prefix = ["setpriv", "--reuid=postgres", "--regid=postgres",
                           "--clear-groups"]
        self.data = os.path.join(self.dir, "data")
        self.run("initdb", "-D", self.data, "-U", "aragora", "-A", "trust",
                 "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        self.start()

    def run(self, program, *args):
        subprocess.run(
            [*self.prefix, os.path.join(self.bin, program), *args], cwd="/",
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self):
        self.run("pg_ctl", "-D", self.data, "-w", "-l",
                 os.path.join(self.dir, "log"), "-o",
                 f"-k {self.dir} -c listen_addresses= -c fsync=off", "start")

    def stop(self, mode="immediate"):
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def database(self):
        """URL of a new, empty database."""
        return self.url(self.create(self.name()))

    def name(self):
        """Of a database that does not exist."""
        self.count += 1
        return f"test{self.count}"

    def create(self, name):
        self.run("createdb", "-h", self.dir, "-U", "aragora", name)
        return name

    def url(self, name, user="aragora"):
        return f"postgresql://{user}@/{name}?host={self.dir}"

    def restart(self, mode="immediate"):
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-l",
                 os.path.join(self.dir, "log"), "restart")

    def sql(self, text, database="postgres"):
        """As the superuser; the first cell as text."""
        r = subprocess.run(
            [os.path.join(self.bin, "psql"), "-qAtX", "-v", "ON_ERROR_STOP=1",
             "-h", self.dir, "-U", "aragora", "-d", database, "-c", text],
            check=True, capture_output=True, text=True)
        return r.stdout.strip()

    def roles(self):
        """A new database as production has it: (URL of the owner of the
        tables, URL of the service's role)."""
        url = self.database()
        name = url.split("/")[3].split("?")[0]
        for role in ("aragora_owner", "aragora_app"):
            if not self.sql(f"SELECT 1 FROM pg_roles WHERE rolname='{role}'"):
                self.sql(f"CREATE ROLE {role} LOGIN")
            # What another test set for it is not for this database.
            self.sql(f"ALTER ROLE {role} RESET ALL")
            self.sql(f"ALTER ROLE {role} INHERIT")
        self.sql(f"ALTER DATABASE {name} OWNER TO aragora_owner")
        return tuple(url.replace("aragora@", f"{role}@")
                     for role in ("aragora_owner", "aragora_app"))

    def close(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class Pooler:
    """PgBouncer in transaction mode before a Postgres; every database and role
    of it share at most `size` server connections each."""

    def __init__(self, postgres, size=1):
        self.dir = os.path.join(postgres.dir, f"pooler{id(self):x}")
        os.makedirs(self.dir)
        with open(os.path.join(self.dir, "users"), "w",
                  encoding="ascii") as f:
            f.write('"aragora_app" ""\n"aragora" ""\n')
        ini = os.path.join(self.dir, "ini")
        with open(ini, "w", encoding="ascii") as f:
            f.write(f"""[databases]
* = host={postgres.dir}
[pgbouncer]
unix_socket_dir = {self.dir}
listen_port = 5432
listen_addr =
auth_type = trust
auth_file = {self.dir}/users
pool_mode = transaction
default_pool_size = {size}
server_login_retry = 1
logfile = {self.dir}/log
""")
        if os.getuid() == 0:
            for path in (self.dir, ini):
                shutil.chown(path, "postgres")
        self.process = subprocess.Popen(
            [*postgres.prefix, shutil.which("pgbouncer", path=os.environ[
                "PATH"] + ":/usr/sbin"), "-q", ini], cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        wait_for("pooler", lambda: os.path.exists(
            os.path.join(self.dir, ".s.PGSQL.5432")))
        self.behind = postgres.dir

    def url(self, url):
        return url.replace(f"host={self.behind}", f"host={self.dir}")

    def close(self):
        end(self.process)


# Where the stub speaks which dialect.
STUB_PATHS = {
    "OPENAI_BASE_URL": "/openai/v1",
    "OPENROUTER_BASE_URL": "/openrouter/api/v1",
    "ANTHROPIC_BASE_URL": "/anthropic",
    "GEMINI_BASE_URL": "/gemini/v1beta",
    "MISTRAL_BASE_URL": "/mistral/v1",
    "XAI_BASE_URL": "/xai/v1",
    "DEEPSEEK_BASE_URL": "/deepseek",
    "GROQ_BASE_URL": "/groq/openai/v1",
    "OLLAMA_HOST": "/ollama",
    "VLLM_BASE_URL": "/vllm/v1",
    "LLAMACPP_BASE_URL": "/llamacpp/v1",
    "LM_STUDIO_HOST": "/lmstudio",
}


# Production cannot switch the limits off.
MANY = {f"ARAGORA_{name}": "10000" for name in (
    "RATE_LIMIT", "RATE_LIMIT_ANONYMOUS", "IP_RATE_LIMIT", "RATE_LIMIT_CREATE",
    "RATE_LIMIT_LIST")}


class Stack:
    def __init__(self, database_url=None, redis=False, protocol="fcgi",
                 stub=False, runners=1, expected_errors=(), owner_url=None,
                 migrate=True, is_broken=False, **env):
        """owner_url: who migrates, if not the service. is_broken: the
        database is not there, or not as it should be."""
        self.dir = tempfile.mkdtemp(prefix="aragora-")
        self.data = os.path.join(self.dir, "data")
        self.run_dir = os.path.join(self.dir, "run")
        for d in (self.data, self.run_dir):
            os.makedirs(d)
        self.protocol = protocol
        self.expected_errors = expected_errors
        self.processes, self.runners = {}, []
        self.worker_pids = []
        self.port = free_port()
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("ARAGORA_", "OPENAI_", "OTEL_",
                                         "REDIS_"))}
        self.env.update(ARAGORA_DATA_DIR=self.data, ARAGORA_LOG_FORMAT="json",
                        ARAGORA_LEASE="2",
                        ARAGORA_DISABLE_ALL_RATE_LIMITS="1")
        if database_url:
            self.env["ARAGORA_DATABASE_URL"] = database_url
        self.redis_socket = os.path.join(self.run_dir, "redis.sock")
        if redis:
            self.env["ARAGORA_REDIS_URL"] = f"unix:{self.redis_socket}"
        self.env.update(env)
        try:
            if redis:
                self.start_redis()
            if stub:
                self.start_stub()
            if migrate and not is_broken:
                self.migrate(owner_url)
            self.start_bridge()
            self.start_workers()
            self.start_nginx(self.is_answering if is_broken
                             else self.is_healthy)
            for _ in range(runners):
                self.start_runner()
        except BaseException:
            self.close(check=False)
            raise

    @staticmethod
    def program(name):
        return os.path.join(BUILD, name)

    def log_path(self, name):
        return os.path.join(self.run_dir, f"{name}.log")

    def spawn(self, name, *argv, stdout=None):
        with open(self.log_path(name), "ab") as log:
            p = subprocess.Popen(argv, env=self.env, stderr=log,
                                 stdout=stdout or log,
                                 stdin=subprocess.DEVNULL)
        self.processes[name] = p
        return p

    # ---- parts ----

    def migrate(self, owner_url=None):
        owner = {"ARAGORA_DATABASE_URL": owner_url} if owner_url else {}
        subprocess.run([self.program("aragora"), "migrate"],
                       env={**self.env, **owner}, check=True,
                       stdout=subprocess.DEVNULL)

    def start_redis(self):
        self.spawn("redis", shutil.which("redis-server"), "--port", "0",
                   "--unixsocket", self.redis_socket, "--save", "",
                   "--appendonly", "no", "--dir", self.run_dir)
        wait_for("redis", lambda: self.connects(self.redis_socket))

    def stop_redis(self):
        end(self.processes.pop("redis"), signal.SIGKILL)

    def start_stub(self):
        self.stub_log = os.path.join(self.run_dir, "stub.json")
        p = self.spawn("stub", self.program("tests/tools/llm_stub"),
                       "--listen", "127.0.0.1:0", "--log", self.stub_log,
                       stdout=subprocess.PIPE)
        line = p.stdout.readline().decode()
        assert line.startswith("listening on "), line
        self.stub_url = f"http://127.0.0.1:{line.split()[-1]}"
        for name, path in STUB_PATHS.items():
            self.env[name] = self.stub_url + path
        self.env.setdefault("OPENAI_API_KEY", "sk-planted-secret-7f3a")

    def stub_requests(self):
        return httpx.get(f"{self.stub_url}/_stub/requests",
                         trust_env=False).json()

    def start_bridge(self):
        path = os.path.join(self.run_dir, "ws.sock")
        self.spawn("ws", self.program("aragora-ws"), "--listen",
                   f"unix:{path}")
        wait_for("bridge", lambda: self.connects(path))

    def start_workers(self):
        """Under the real spawn-fcgi, which hides standard error."""
        path = os.path.join(self.run_dir, "fcgi.sock")
        pids = os.path.join(self.run_dir, "fcgi.pids")
        script = os.path.join(self.run_dir, "worker.sh")
        with open(script, "w", encoding="ascii") as f:
            f.write(f'#!/bin/sh\nexec "$@" 2>>{self.log_path("fcgi")}\n')
        os.chmod(script, 0o755)
        subprocess.run(
            ["spawn-fcgi", "-s", path, "-F", "2", "-P", pids, "--", script,
             self.program("aragora-fcgi"), "--protocol", self.protocol],
            env=self.env, check=True, stdout=subprocess.DEVNULL)
        with open(pids, encoding="ascii") as f:
            self.worker_pids = [int(x) for x in f.read().split()]

    def start_nginx(self, is_up=None):
        """conf/nginx/serve.conf.in as `aragora serve` fills it in."""
        with open(os.path.join(SOURCE, "conf/nginx/serve.conf.in"),
                  encoding="ascii") as f:
            conf = f.read()
        values = {"USER": "user root;" if os.getuid() == 0 else "",
                  "RUN": self.run_dir, "WEB": os.path.join(SOURCE, "web"),
                  "LISTEN": f"127.0.0.1:{self.port}", "MAX_BODY": "10485760",
                  "TLS": "", "TLS_FILES": ""}
        for name, value in values.items():
            conf = conf.replace(f"@{name}@", value)
        if self.protocol == "scgi":
            conf = conf.replace("fastcgi_keep_conn on;", "") \
                       .replace("fastcgi_temp_path", "x_temp_path") \
                       .replace("fastcgi_", "scgi_") \
                       .replace("x_temp_path", "fastcgi_temp_path") \
                       .replace("keepalive 64;", "") \
                       .replace("CONTENT_LENGTH $content_length", "SCGI 1")
        path = os.path.join(self.run_dir, "nginx.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(conf)
        self.spawn("nginx", shutil.which("nginx") or "/usr/sbin/nginx", "-p",
                   self.run_dir, "-c", path)
        wait_for("API", is_up or self.is_healthy)

    def is_answering(self):
        """Workers behind nginx, with a database or without."""
        with contextlib.suppress(httpx.HTTPError):
            return self.get("/healthz", check=False).status_code == 200
        return False

    def is_healthy(self):
        with contextlib.suppress(httpx.HTTPError):
            return self.get("/api/health", check=False).status_code == 200
        return False

    def start_runner(self):
        n = len(self.runners) + 1
        while f"runner{n}" in self.processes and \
                self.processes[f"runner{n}"].poll() is None:
            n += 1  # one before it has ended
        name = f"runner{n}"
        p = self.spawn(name, self.program("aragora-runner"), "--id", name)
        self.runners.append(p)
        wait_for("runner", lambda: "runner.start" in self.log(name))
        return p

    @staticmethod
    def connects(path):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(path) == 0

    # ---- clients ----

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path, check=True, **kw):
        r = httpx.get(self.url(path), trust_env=False, timeout=WAIT, **kw)
        assert not check or r.status_code == 200, (path, r.status_code, r.text)
        return r if not check else r.json()

    def post(self, path, body=None, **kw):
        return httpx.post(self.url(path), json=body, trust_env=False,
                          timeout=WAIT, **kw)

    def create(self, task="Tea or coffee for breakfast?", **body):
        r = self.post("/api/debates", {"task": task, **body})
        assert r.status_code == 201, r.text
        return r.json()["debate_id"]

    def events(self, debate_id):
        """The whole stored log, page by page."""
        events, since = [], 0
        while True:
            page = self.get(f"/api/debates/{debate_id}/events"
                            f"?since={since}&limit=50")["events"]
            if not page:
                return events
            events += page
            since = page[-1]["seq"]

    def rows(self, sql):
        """What the service's database answers."""
        url = self.env.get("ARAGORA_DATABASE_URL")
        if url is None:
            with contextlib.closing(sqlite3.connect(
                    os.path.join(self.data, "aragora.db"))) as c:
                return c.execute(sql).fetchall()
        with contextlib.closing(psycopg2.connect(url)) as c, \
                c.cursor() as cur:
            cur.execute(sql)
            return cur.fetchall()

    def wait_end(self, debate_id):
        def ended():
            d = self.get(f"/api/debates/{debate_id}")
            return None if d["in_progress"] else d
        return wait_for(f"end of {debate_id}", ended)

    async def watch(self, debate_id, on_event=None, query=""):
        """Every message until debate_end."""
        messages = []
        url = f"ws://127.0.0.1:{self.port}/ws?debate_id={debate_id}{query}"
        async with websockets.connect(url, max_size=1 << 20) as ws:
            while True:
                m = json.loads(await asyncio.wait_for(ws.recv(), WAIT))
                messages.append(m)
                if on_event:
                    on_event(m)
                if m["type"] == "debate_end":
                    return messages

    # ---- the end ----

    def log(self, name):
        with contextlib.suppress(OSError):
            with open(self.log_path(name), encoding="utf-8",
                      errors="replace") as f:
                return f.read()
        return ""

    def logs(self):
        names = ["fcgi", *self.processes]
        return {n: self.log(n) for n in dict.fromkeys(names)}

    def close(self, check=True):
        for p in self.runners:
            with contextlib.suppress(ProcessLookupError):
                p.send_signal(signal.SIGCONT)
        end(self.processes.get("nginx"), signal.SIGQUIT)
        for pid in self.worker_pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for p in self.processes.values():
            end(p)
        for pid in self.worker_pids:
            wait_for("worker exit", lambda p=pid: not os.path.exists(
                f"/proc/{p}") or self.is_zombie(p))
        logs = self.logs()
        shutil.rmtree(self.dir, ignore_errors=True)
        if not check:
            print("\n".join(f"---- {n}\n{t[-4000:]}" for n, t in logs.items()))
            return
        for name, text in logs.items():
            assert "Sanitizer" not in text, text
            for line in text.splitlines():
                if '"level":"error"' in line:
                    assert any(e in line for e in self.expected_errors), \
                        f"{name}: {line}"

    @staticmethod
    def is_zombie(pid):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                return f.read().rsplit(")", 1)[1].split()[0] == "Z"
        return True

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        self.close(check=kind is None)


# ---- what must hold of any finished debate ----

def check_sequence(events):
    """1..N, each once, in order; begins and ends as it must."""
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    types = [e["type"] for e in events]
    assert types[0] == "debate_start"
    assert types[-1] == "debate_end"
    assert types.count("debate_start") == types.count("debate_end") == 1
    seen = set()
    for e in events:
        if e["type"] in ("agent_message", "critique", "revision", "vote",
                         "synthesis"):
            key = (e["type"], e.get("round"), e.get("agent"),
                   e["data"].get("target"), e["data"].get("role"))
            assert key not in seen, f"twice: {key}"
            seen.add(key)
    return types
