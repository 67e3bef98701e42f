# SPDX-License-Identifier: MIT
"""Starts what peers.py compares: PostgreSQL, Aragora's workers, php-fpm,
Fastify and FastAPI, and one nginx in front of them."""
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from postgres import Postgres
from stack import clean_environment, cpu_seconds, free_port

HERE = os.path.dirname(os.path.abspath(__file__))
START_SECONDS = 60
PROCESSES = 2  # of each, php-fpm apart
# Of all processes of one together: what Aragora's two do at once, with the
# four threads that each has unless told otherwise.
CONNECTIONS = 8

# What a completed debate of few words says, in a row of Aragora's and in one
# of the peers'.
RESULT = {"consensus": {"reached": True, "confidence": 0.75}}
PEER_TABLE = """
CREATE TABLE peer_debates (id TEXT PRIMARY KEY, task TEXT NOT NULL,
    status TEXT NOT NULL, rounds INT NOT NULL,
    confidence DOUBLE PRECISION NOT NULL, consensus_reached BOOLEAN NOT NULL,
    tags JSON NOT NULL, created_at TEXT NOT NULL, final_answer TEXT NOT NULL);
INSERT INTO peer_debates SELECT 'adhoc_' || lpad(n::text, 8, '0'), '{task}',
    'completed', 1, 0.75, true, '["tea", "coffee"]',
    '2026-01-01T00:00:00.000000Z', repeat('x', {fill})
    FROM generate_series(1, {rows}) AS n;
CREATE ROLE peer LOGIN;
GRANT SELECT ON peer_debates TO peer;
"""
TASK = "Tea or coffee for breakfast?"
ROWS = 2000  # in either table
PEER_ID = "adhoc_00001000"


def find(name):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return shutil.which(name, path=path) or sys.exit(f"no {name}")


def php_fpm():
    found = sorted(glob.glob("/usr/sbin/php-fpm*"))
    return found[-1] if found else sys.exit("no php-fpm")


def fetch(url, body=None):
    """The text of a 2xx."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as r:
        return r.read().decode()


class Servers:
    """with Servers(folder, build) as s: s.urls[name][endpoint],
    s.cpu(name) = seconds of its processes so far. They stay until the end."""

    def __init__(self, folder, build):
        self.folder = folder
        self.build = os.path.abspath(build)
        self.port = free_port()
        self.processes = {}  # name -> [Popen]
        self.workers = []    # process numbers under spawn-fcgi
        self.nginx = None
        self.postgres = Postgres(folder)

    def __enter__(self):
        self.postgres.__enter__()
        try:
            self.start()
        except BaseException:
            self.tell_logs()
            self.__exit__()
            raise
        return self

    def start(self):
        run = self.folder
        self.start_aragora()
        values = {"RUN": run, "HERE": HERE, "PORT": self.port,
                  "USER": "user root;" if os.getuid() == 0 else "",
                  "HEALTH": "x", "ROW": "x"}
        self.start_nginx(values)
        health, row, path = self.make_debate()
        self.make_peer_rows(len(row))
        values.update(HEALTH="x" * len(health), ROW="x" * len(row))
        self.end([self.nginx])
        self.start_nginx(values)
        self.start_php()
        self.start_fastify()
        self.start_fastapi()
        base = f"http://127.0.0.1:{self.port}"
        self.urls = {
            "return 200": {"health": f"{base}/return/health",
                           "row": f"{base}/return/row"},
            "aragora": {"health": f"{base}/api/health", "row": base + path}}
        for name, at in (("php-fpm", "php"), ("fastify", "fastify"),
                         ("fastapi", "fastapi")):
            self.urls[name] = {
                "health": f"{base}/{at}/health",
                "row": f"{base}/{at}/debates/{PEER_ID}"}
        for name, urls in self.urls.items():
            for url in urls.values():
                self.wait_for(name, url)

    # ---- parts ----

    def spawn(self, name, *argv, **env):
        log = open(os.path.join(self.folder, f"{name}.log"), "ab")
        with log:
            p = subprocess.Popen(argv, env={**clean_environment(), **env},
                                 stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log)
        self.processes.setdefault(name, []).append(p)
        return p

    def start_aragora(self):
        """As in production: one role owns, another serves; no transaction
        pooler is between, so statements may stay prepared."""
        self.postgres.prepare_roles()
        env = {**clean_environment(),
               "ARAGORA_DATA_DIR": os.path.join(self.folder, "data"),
               "ARAGORA_DB_PREPARE": "server"}
        subprocess.run(
            [os.path.join(self.build, "aragora"), "migrate"], check=True,
            env={**env, "ARAGORA_DATABASE_URL":
                 self.postgres.url("aragora_owner")},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pids = os.path.join(self.folder, "aragora.pids")
        # spawn-fcgi gives the program /dev/null for standard error.
        script = os.path.join(self.folder, "worker.sh")
        with open(script, "w", encoding="ascii") as f:
            f.write('#!/bin/sh\n'
                    f'exec "$@" 2>>"{self.folder}/aragora.log"\n')
        os.chmod(script, 0o755)
        subprocess.run(
            [find("spawn-fcgi"), "-s", os.path.join(
                self.folder, "aragora.sock"), "-F", str(PROCESSES), "-P",
             pids, "--", script, os.path.join(self.build, "aragora-fcgi")],
            check=True, stdout=subprocess.DEVNULL,
            env={**env, "ARAGORA_DATABASE_URL":
                 self.postgres.url("aragora_app")})
        with open(pids, encoding="ascii") as f:
            self.workers = [int(x) for x in f.read().split()]

    def fill(self, name, values):
        with open(os.path.join(HERE, f"{name}.in"), encoding="ascii") as f:
            text = f.read()
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        return path

    def start_nginx(self, values):
        conf = self.fill("nginx.conf", values)
        self.nginx = self.spawn("nginx", find("nginx"), "-p", self.folder,
                                "-c", conf)
        self.wait_for("nginx",
                      f"http://127.0.0.1:{self.port}/return/health")
        self.wait_for("aragora", f"http://127.0.0.1:{self.port}/api/health")

    def make_debate(self):
        """A debate that came to its end, among others, and what is said of
        it: (text of health, text of the debate, its path)."""
        base = f"http://127.0.0.1:{self.port}"
        made = json.loads(fetch(f"{base}/api/debates", {
            "task": TASK, "agents": ["demo", "demo"], "rounds": 1}))
        one = made["debate_id"]
        self.postgres.psql("-d", "aragora", "-c", f"""
UPDATE debates SET status = 'completed', phase = 'done', round = 1,
    result = '{json.dumps(RESULT)}', confidence = 0.75, consensus_reached = 1,
    started_us = created_us, completed_us = created_us + 1000000;
CREATE TEMPORARY TABLE more AS SELECT d.*, n FROM debates d,
    generate_series(1, {ROWS}) AS n;
UPDATE more SET id = 'adhoc_' || lpad(n::text, 8, '0'),
    slug = 'adhoc_' || lpad(n::text, 8, '0');
ALTER TABLE more DROP COLUMN n;
INSERT INTO debates SELECT * FROM more;""")
        self.postgres.psql("-d", "aragora", "-c", "VACUUM ANALYZE")
        path = f"/api/debates/{one}"
        return fetch(f"{base}/api/health"), fetch(base + path), path

    def make_peer_rows(self, length):
        """Rows whose answers are as long as ours."""
        answer = json.dumps({
            "id": PEER_ID, "task": TASK, "status": "completed", "rounds": 1,
            "confidence": 0.75, "consensus_reached": True,
            "tags": ["tea", "coffee"],
            "created_at": "2026-01-01T00:00:00.000000Z",
            "final_answer": ""}, separators=(",", ":"))
        self.postgres.psql("-d", "postgres", "-c", "CREATE DATABASE peers")
        self.postgres.psql("-d", "peers", "-c", PEER_TABLE.format(
            task=TASK, rows=ROWS, fill=length - len(answer)))
        self.postgres.psql("-d", "peers", "-c", "VACUUM ANALYZE")

    def start_php(self):
        is_root = os.getuid() == 0
        conf = self.fill("php-fpm.conf", {
            "RUN": self.folder, "CONNECTIONS": CONNECTIONS,
            "USER": "user = root" if is_root else ""})
        self.spawn("php-fpm", php_fpm(), "-F", "-y", conf,
                   "-d", "opcache.enable=1", "-d",
                   "opcache.validate_timestamps=0",
                   *(["-R"] if is_root else []),
                   PEER_URL=self.postgres.url("peer", "peers"))

    def start_fastify(self):
        for i in range(PROCESSES):
            self.spawn(
                "fastify", find("node"), os.path.join(HERE, "fastify.mjs"),
                os.path.join(self.build, "npm"),
                os.path.join(self.folder, f"fastify{i + 1}.sock"),
                str(CONNECTIONS // PROCESSES), NODE_ENV="production",
                PEER_URL=self.postgres.url("peer", "peers"))

    def start_fastapi(self):
        for i in range(PROCESSES):
            self.spawn(
                "fastapi", "/usr/bin/python3", "-m", "uvicorn", "--app-dir",
                HERE, "--uds", os.path.join(
                    self.folder, f"fastapi{i + 1}.sock"), "--loop", "uvloop",
                "--http", "httptools", "--no-access-log", "--log-level",
                "warning", "fastapi_app:app", PYTHONDONTWRITEBYTECODE="1",
                PEER_HOST=self.postgres.folder, PEER_USER="peer",
                PEER_DATABASE="peers",
                PEER_CONNECTIONS=str(CONNECTIONS // PROCESSES))

    # ---- life ----

    def wait_for(self, name, url):
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return fetch(url)
            except OSError as e:
                # nginx says 502 where nobody listens yet.
                if isinstance(e, urllib.error.HTTPError) and e.code != 502:
                    sys.exit(f"{name}: {url}: {e}")
                ended = [p for p in self.processes.get(name, [])
                         if p is not self.nginx and p.poll() is not None]
                if ended and name != "nginx" or time.monotonic() > deadline:
                    sys.exit(f"{name} did not come up: {url}: {e}")
            time.sleep(0.1)

    def pids(self, name):
        if name == "aragora":
            return self.workers
        return [p.pid for p in self.processes.get(name, [])
                if p.poll() is None]

    def cpu(self, name):
        """Of nginx and PostgreSQL it is that of all that use them."""
        pids = [self.postgres.pid()] if name == "postgresql" \
            else self.pids(name)
        return sum(cpu_seconds(pid) for pid in pids)

    def tell_logs(self):
        for path in sorted(glob.glob(os.path.join(self.folder, "*.log"))):
            with open(path, encoding="utf-8", errors="replace") as f:
                text = f.read()[-2000:]
            if text:
                print(f"--- {os.path.basename(path)}\n{text}",
                      file=sys.stderr)

    @staticmethod
    def end(processes):
        for p in processes:
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
        for p in processes:
            try:
                p.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()

    def end_workers(self):
        for sig in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.workers:
                try:
                    os.kill(pid, sig)
                except ProcessLookupError:
                    pass
            deadline = time.monotonic() + START_SECONDS
            while any(map(is_alive, self.workers)):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)

    def __exit__(self, *_):
        self.end([p for all_of in self.processes.values() for p in all_of])
        self.end_workers()
        self.postgres.__exit__()


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii",
                  errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
