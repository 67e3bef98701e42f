# SPDX-License-Identifier: MIT
"""The stack that `aragora serve` starts, for the measurements of this folder:
SQLite in a folder of its own, a free port, no Redis."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

START_SECONDS = 30


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def clean_environment():
    """Nobody's settings but ours, and no limits on how often we ask."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("ARAGORA_")
           and k not in ("DATABASE_URL", "REDIS_URL", "ENVIRONMENT")}
    env["ARAGORA_DISABLE_ALL_RATE_LIMITS"] = "1"
    return env


class Stack:
    """with Stack(build_dir) as s: s.url, s.process"""

    def __init__(self, build):
        self.program = os.path.join(os.path.abspath(build), "aragora")
        if not os.access(self.program, os.X_OK):
            sys.exit(f"no program {self.program}: build first, or --build DIR")

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="aragora-load-")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(os.path.join(self.folder, "serve.log"), "w",
                        encoding="utf-8")
        self.process = subprocess.Popen(
            [self.program, "serve", "--port", str(self.port),
             "--data", os.path.join(self.folder, "data")],
            env=clean_environment(), stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log)
        try:
            self.wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def wait(self):
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(self.url + "/api/health") as r:
                    if json.load(r)["status"] == "healthy":
                        return
            except (urllib.error.URLError, OSError, ValueError):
                pass
            if self.process.poll() is not None or \
                    time.monotonic() > deadline:
                with open(self.log.name, encoding="utf-8") as f:
                    sys.stderr.write(f.read())
                sys.exit("the stack did not come up")
            time.sleep(0.1)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def cpu_seconds(pid, name=""):
    """Processor time of the process and all below it whose command line holds
    name: unlike requests per second, hardly moved by what else runs here."""
    total = 0
    for one, line in tree_of(pid):
        if name in line:
            with open(f"/proc/{one}/stat", encoding="utf-8") as f:
                fields = f.read().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def tree_of(pid):
    """The process and all below it: [(pid, name)]."""
    children = {}
    names = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8") as f:
                head, _, rest = f.read().rpartition(")")
            with open(f"/proc/{entry}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue  # gone meanwhile
        parent = int(rest.split()[1])
        children.setdefault(parent, []).append(int(entry))
        names[int(entry)] = line or head.split("(", 1)[1]
    out, todo = [], [pid]
    while todo:
        one = todo.pop(0)
        out.append((one, names.get(one, "?")))
        todo += sorted(children.get(one, []))
    return out
