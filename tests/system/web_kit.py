# SPDX-License-Identifier: MIT
"""The stack behind each web server, in the form of the examples under conf/:
only paths, ports and the user are other ones here."""
import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess

import httpx

import stack as st

APACHE_MODULES = os.environ.get("APACHE_MODULES", "/usr/lib/apache2/modules")
APACHE_LOADED = {
    "": ("mpm_event", "authz_core", "alias", "mime", "dir", "headers",
         "proxy", "proxy_http", "proxy_wstunnel", "rewrite"),
    "fcgi": ("proxy_fcgi",), "scgi": ("proxy_scgi",), "fcgid": ("fcgid",)}
# What Debian's apache2.conf and ports.conf say around a site.
APACHE = """
ServerRoot "{dir}"
ServerName localhost
PidFile "{dir}/apache.pid"
Mutex file:{dir} default
ErrorLog "{dir}/server.log"
{user}
{load}
TypesConfig /etc/mime.types
Listen 127.0.0.1:{port}
<Directory />
    AllowOverride None
    Require all denied
</Directory>
{fcgid}
Include "{dir}/site.conf"
"""
NGINX = """
daemon off; pid {dir}/nginx.pid; error_log {dir}/server.log warn; {user}
events {{ worker_connections 512; }}
http {{
  include /etc/nginx/mime.types;
  access_log off;
  client_body_temp_path {dir}/a; proxy_temp_path {dir}/b;
  fastcgi_temp_path {dir}/c; scgi_temp_path {dir}/d; uwsgi_temp_path {dir}/e;
  include {dir}/site.conf;
}}
"""
IS_ROOT = os.getuid() == 0


def program(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def others_may(path):
    """Web servers that are started as root become somebody else."""
    if IS_ROOT:
        os.chmod(path, 0o777)


class Web(st.Stack):
    """server: nginx, apache or lighttpd. protocol: fcgi, scgi, or fcgid, where
    Apache starts the workers. spawner: spawn-fcgi or multiwatch."""

    def __init__(self, server, protocol, spawner="spawn-fcgi", **kw):
        self.server, self.way, self.spawner = server, protocol, spawner
        self.said = ""  # by the server, when it has ended
        super().__init__(protocol="scgi" if protocol == "scgi" else "fcgi",
                         **kw)

    # ---- workers ----

    def start_workers(self):
        path = os.path.join(self.run_dir, "fcgi.sock")
        os.chmod(self.dir, 0o755)
        for d in (self.data, self.run_dir):
            others_may(d)
        if self.way == "fcgid":
            st.wait_for("bridge", lambda: "ws.ready" in self.log("ws"))
            self.open_data()
            return
        if self.spawner == "spawn-fcgi":
            super().start_workers()
        else:
            self.spawn("fcgi", "spawn-fcgi", "-n", "-s", path, "-M", "0660",
                       "--", program("multiwatch"), "-f", "2", "-s", "TERM",
                       "--", self.program("aragora-fcgi"), "--protocol",
                       self.protocol)
            st.wait_for("workers", lambda: len(self.workers()) == 2)
        st.wait_for("socket", lambda: stat.S_ISSOCK(os.stat(path).st_mode)
                    if os.path.exists(path) else False)
        others_may(path)

    def open_data(self):
        for folder, _, names in os.walk(self.data):
            for path in (folder, *(os.path.join(folder, n) for n in names)):
                others_may(path)

    def workers(self):
        """Process ids of the workers of this stack."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    env = f.read()
                exe = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
            except OSError:
                continue
            if exe.removeprefix("lt-") == "aragora-fcgi" and \
                    f"={self.data}\0".encode() in env:
                found.append(int(pid))
        return sorted(found)

    # ---- the web server ----

    def shipped(self, name, **more):
        """An example with the paths of this stack."""
        with open(os.path.join(st.SOURCE, "conf", name),
                  encoding="ascii") as f:
            text = f.read()
        paths = {"/run/aragora/fcgi.sock": f"{self.run_dir}/fcgi.sock",
                 "/run/aragora/scgi.sock": f"{self.run_dir}/fcgi.sock",
                 "/run/aragora/ws.sock": f"{self.run_dir}/ws.sock",
                 "/usr/share/aragora/web": os.path.join(st.SOURCE, "web"),
                 "/usr/share/aragora/conf": os.path.join(st.SOURCE, "conf")}
        for old, new in {**paths, **more}.items():
            assert old in text or old in paths, (name, old)
            text = text.replace(old, new)
        return text

    def write(self, name, text):
        path = os.path.join(self.run_dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        return path

    def start_nginx(self, is_up=None):
        others_may(os.path.join(self.run_dir, "ws.sock"))
        getattr(self, f"start_{self.server}_as_shipped")()
        st.wait_for(self.server, is_up or self.is_healthy)

    def start_nginx_as_shipped(self):
        for name in ("fastcgi_params", "scgi_params"):
            shutil.copy(f"/etc/nginx/{name}", self.run_dir)
        name = "aragora.conf" if self.way == "fcgi" else "aragora-scgi.conf"
        self.write("site.conf", self.shipped(
            f"nginx/{name}", **{"listen 80;": f"listen 127.0.0.1:{self.port};"}
        ))
        path = self.write("nginx.conf", NGINX.format(
            dir=self.run_dir, user="user www-data;" if IS_ROOT else ""))
        self.spawn("nginx", program("nginx"), "-p", self.run_dir, "-c", path)

    def start_apache_as_shipped(self):
        more = {":80>": f":{self.port}>"}
        fcgid = ""
        if self.way == "fcgid":
            # Its settings are those of the file, and of this stack.
            more.update({"/usr/sbin/aragora-fcgi":
                         self.program("aragora-fcgi"),
                         '"/usr/sbin"': f'"{st.BUILD}"',
                         "/var/lib/aragora": self.data})
            fcgid = f'FcgidIPCDir "{self.run_dir}/ipc"\n' \
                f'FcgidProcessTableFile "{self.run_dir}/shm"\n' + "".join(
                    f'FcgidInitialEnv {k} "{v}"\n' for k, v in
                    self.env.items() if k.startswith("ARAGORA_") and
                    k != "ARAGORA_DATA_DIR")
        self.write("site.conf", self.shipped(
            f"apache/aragora-{self.way}.conf", **more))
        self.write("conf-available/aragora-common.conf",
                   self.shipped("apache/aragora-common.conf"))
        load = "\n".join(
            f"LoadModule {m}_module {APACHE_MODULES}/mod_{m}.so"
            for m in APACHE_LOADED[""] + APACHE_LOADED[self.way])
        path = self.write("apache.conf", APACHE.format(
            dir=self.run_dir, port=self.port, load=load, fcgid=fcgid,
            user="User www-data\nGroup www-data" if IS_ROOT else ""))
        self.spawn("nginx", program("apache2"), "-D", "FOREGROUND", "-f", path)

    def start_lighttpd_as_shipped(self):
        os.makedirs(os.path.join(self.run_dir, "uploads"))
        others_may(os.path.join(self.run_dir, "uploads"))
        self.write("aragora-common.conf", self.shipped(
            "lighttpd/aragora-common.conf", **{
                "server.port = 80": "server.bind = \"127.0.0.1\"\n"
                                    f"server.port = {self.port}",
                "/run/lighttpd.pid": f"{self.run_dir}/lighttpd.pid",
                "/var/log/lighttpd/error.log": f"{self.run_dir}/server.log",
                "/var/cache/lighttpd/uploads": f"{self.run_dir}/uploads"}))
        path = self.write("aragora.conf", self.shipped(
            f"lighttpd/aragora-{self.way}.conf"))
        self.write("server.log", "")
        others_may(os.path.join(self.run_dir, "server.log"))
        self.spawn("nginx", program("lighttpd"), "-D", "-f", path)

    def close(self, check=True):
        """Apache ends what it has started."""
        if self.server == "apache":
            st.end(self.processes.get("nginx"), signal.SIGTERM)
        if self.way == "fcgid":
            st.wait_for("workers' end", lambda: not self.workers())
        if self.spawner == "multiwatch":
            st.end(self.processes.get("fcgi"), signal.SIGTERM)
        with contextlib.suppress(OSError):
            with open(os.path.join(self.run_dir, "server.log"),
                      encoding="utf-8", errors="replace") as f:
                self.said = f.read()
        if not check:
            print(self.said[-4000:])
        super().close(check)

    # ---- a client that says exactly what it is told ----

    def raw(self, data, half_close=False, timeout=st.WAIT):
        """The bytes of all answers, until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as s:
            out = b""
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
                while part := s.recv(1 << 16):
                    out += part
            except (ConnectionResetError, BrokenPipeError):
                pass
            return out

    def client(self, **kw):
        return httpx.Client(base_url=self.url(""), trust_env=False,
                            timeout=st.WAIT, **kw)

    def token(self):
        r = subprocess.run(
            [self.program("aragora"), "token", "create", "--name", "t"],
            env=self.env, capture_output=True, text=True, check=True)
        self.open_data()
        return r.stdout.split()[0]


def parse(data):
    """(status, headers in small letters, body) of the first answer; None when
    there is none."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return None
    lines = head.decode("latin1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(lines[0].split()[1]), headers, body


