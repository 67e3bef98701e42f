# SPDX-License-Identifier: MIT
"""nginx in front of FastCGI or SCGI workers over a SQLite file, all in one
temporary folder, and a FastCGI client that writes records by hand."""
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

import httpx

from stack import BUILD, free_port, wait_for

START_S = 20.0

NGINX = """
daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log warn;
worker_processes 1; {user}
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi; scgi_temp_path {dir}/scgi;
  uwsgi_temp_path {dir}/uwsgi;
  upstream workers {{ server unix:{dir}/worker.sock max_fails=0;
                      {keepalive} }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 64m;
    location = /plain {{ return 200 "ok"; }}
    location / {{ {passing} }}
  }}
}}
"""
PARAMS = ("REQUEST_METHOD $request_method", "REQUEST_URI $request_uri",
          "CONTENT_TYPE $content_type", "REMOTE_ADDR $remote_addr",
          "REQUEST_SCHEME $scheme", "REQUEST_ID $request_id",
          "QUERY_STRING $query_string")


def passing(protocol):
    lines = [f"{'fastcgi' if protocol == 'fcgi' else 'scgi'}_param {p};"
             for p in PARAMS]
    if protocol == "fcgi":
        lines += ["fastcgi_param CONTENT_LENGTH $content_length;",
                  "fastcgi_pass workers;", "fastcgi_keep_conn on;",
                  "fastcgi_next_upstream error timeout;"]
    else:
        lines += ["scgi_param SCGI 1;", "scgi_pass workers;"]
    return "\n".join(lines)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Stack:
    """start_workers() and start_nginx() when wanted; close() ends all."""

    def __init__(self, protocol="fcgi", workers=1, spawner="spawn-fcgi",
                 keepalive=True, **env):
        self.protocol, self.workers = protocol, workers
        self.spawner = spawner
        self.keepalive = "keepalive 32; keepalive_time 1s;" \
            if keepalive and protocol == "fcgi" else ""
        self.dir = tempfile.mkdtemp(prefix="fcgi-")
        self.socket = os.path.join(self.dir, "worker.sock")
        self.log = os.path.join(self.dir, "worker.log")
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith("ARAGORA_")}
        self.env.update(ARAGORA_DATA_DIR=os.path.join(self.dir, "data"),
                        ARAGORA_LOG_LEVEL="INFO")
        self.env.update({f"ARAGORA_{k.upper()}": str(v)
                         for k, v in env.items()})
        self.pids, self.nginx, self.port = [], None, None
        os.makedirs(self.env["ARAGORA_DATA_DIR"])
        subprocess.run([os.path.join(BUILD, "aragora"), "migrate"],
                       env=self.env, check=True, stdout=subprocess.DEVNULL)

    def start_workers(self):
        pid_file = os.path.join(self.dir, "workers.pid")
        program = [os.path.join(BUILD, "aragora-fcgi"), "--protocol",
                   self.protocol]
        # spawn-fcgi gives the program /dev/null for standard error.
        script = os.path.join(self.dir, "worker.sh")
        with open(script, "w", encoding="ascii") as f:
            f.write(f'#!/bin/sh\nexec "$@" 2>>{self.log}\n')
        os.chmod(script, 0o755)
        if self.spawner == "spawn-fcgi":
            subprocess.run(["spawn-fcgi", "-s", self.socket, "-M", "0660",
                            "-F", str(self.workers), "-P", pid_file, "--",
                            script] + program, env=self.env, check=True,
                           stdout=subprocess.DEVNULL)
            with open(pid_file, encoding="ascii") as f:
                self.pids = [int(x) for x in f.read().split()]
        else:
            with open(self.log, "ab") as log:
                p = subprocess.Popen(
                    program + ["--listen", f"unix:{self.socket}"],
                    env=self.env, stdin=subprocess.DEVNULL, stderr=log)
            self.pids = [p.pid]
        wait_for("worker start", lambda: "server.start" in self.logged())
        return self

    def start_nginx(self):
        self.port = free_port()
        conf = os.path.join(self.dir, "nginx.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(NGINX.format(
                dir=self.dir, port=self.port, keepalive=self.keepalive,
                user="user root;" if os.getuid() == 0 else "",
                passing=passing(self.protocol)))
        self.nginx = subprocess.Popen(
            [shutil.which("nginx") or "/usr/sbin/nginx", "-p", self.dir,
             "-c", conf], stderr=subprocess.DEVNULL)
        wait_for("nginx start", self.accepts)
        return self

    def accepts(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def logged(self):
        with contextlib.suppress(OSError):
            with open(self.log, encoding="utf-8") as f:
                return f.read()
        return ""

    def client(self, **kwargs):
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}",
                            timeout=30, trust_env=False, **kwargs)

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(30)
        s.connect(self.socket)
        return s

    def signal(self, number=signal.SIGTERM):
        for pid in self.pids:
            os.kill(pid, number)

    def wait_gone(self, timeout=START_S):
        for pid in self.pids:
            with contextlib.suppress(ChildProcessError):
                wait_for("exit", lambda p=pid: os.waitpid(p, os.WNOHANG)[0],
                         timeout)
                continue
            wait_for("exit", lambda p=pid: not is_alive(p), timeout)
        self.pids = []

    def close(self):
        if self.nginx is not None:
            self.nginx.terminate()
            self.nginx.wait()
        try:
            self.signal()
            self.wait_gone()
        finally:
            for pid in self.pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


# ---- FastCGI by hand ----

BEGIN, ABORT, END, PARAMS_RECORD, STDIN, STDOUT = 1, 2, 3, 4, 5, 6
GET_VALUES = 9


def record(kind, content=b"", request_id=1, version=1, padding=0):
    return struct.pack("!BBHHBx", version, kind, request_id, len(content),
                       padding) + content + b"\0" * padding


def begin(keep=True, role=1):
    return record(BEGIN, struct.pack("!HB5x", role, 1 if keep else 0))


def pair(name, value):
    def size(n):
        return bytes([n]) if n < 128 else struct.pack("!I", n | 0x80000000)
    name, value = name.encode("latin1"), value.encode("latin1")
    return size(len(name)) + size(len(value)) + name + value


def params(uri, method="GET", body=b"", **extra):
    env = {"REQUEST_METHOD": method, "REQUEST_URI": uri,
           "CONTENT_LENGTH": str(len(body)) if body else "",
           "REMOTE_ADDR": "127.0.0.1"}
    env.update(extra)
    data = b"".join(pair(k, v) for k, v in env.items())
    return record(PARAMS_RECORD, data) + record(PARAMS_RECORD)


def request(uri, method="GET", body=b"", keep=True, **extra):
    out = begin(keep) + params(uri, method, body, **extra)
    for i in range(0, len(body), 32768):
        out += record(STDIN, body[i:i + 32768])
    return out + record(STDIN)


def read_exactly(sock, n):
    data = b""
    while len(data) < n:
        part = sock.recv(n - len(data))
        if not part:
            raise EOFError(f"closed after {len(data)} of {n} bytes")
        data += part
    return data


def answer(sock):
    """(status, headers, body) of the next response on the connection."""
    out = b""
    while True:
        head = read_exactly(sock, 8)
        _, kind, _, length, padding = struct.unpack("!BBHHBx", head)
        content = read_exactly(sock, length + padding)[:length]
        if kind == STDOUT:
            out += content
        if kind == END:
            break
    head, _, body = out.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1)
                   for line in head.decode("latin1").split("\r\n"))
    return int(headers["Status"].split()[0]), headers, body
