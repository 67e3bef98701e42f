# SPDX-License-Identifier: MIT
"""The files for systemd and its relatives: read by its own tools, scored, and
the programs started as it starts them."""
import contextlib
import glob
import os
import re
import signal
import socket
import subprocess

import pytest

import stack as st

CONF = os.path.join(st.SOURCE, "conf")
SCORE = 2.0


@pytest.fixture(name="units", scope="module")
def fill_in(tmp_path_factory):
    """The units as they are installed, with the programs of this build."""
    out = tmp_path_factory.mktemp("units")
    values = {"bindir": st.BUILD, "sbindir": st.BUILD, "sysconfdir": "/etc"}
    for path in glob.glob(os.path.join(CONF, "systemd", "*")):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        assert not re.search(r"@\w+@", text), path
        name = os.path.basename(path).removesuffix(".in")
        (out / name).write_text(text, encoding="utf-8")
    return out


def run(*argv, **kw):
    return subprocess.run(argv, capture_output=True, text=True, check=False,
                          **kw)


def names(units):
    """Of units that can be started: a template with an instance."""
    return [str(p).replace("@.", "@1.") for p in sorted(units.iterdir())]


def test_verify(units):
    r = run("systemd-analyze", "--man=no", "verify", *names(units))
    assert r.returncode == 0 and r.stderr == "", r.stderr


def test_verify_can_fail(units, tmp_path):
    """What is wrong in a unit is seen by this test's tool."""
    text = (units / "aragora-ws.service").read_text(encoding="utf-8")
    (tmp_path / "aragora-bad.service").write_text(
        text.replace("Type=notify", "Tpye=notify"), encoding="utf-8")
    r = run("systemd-analyze", "--man=no", "verify",
            str(tmp_path / "aragora-bad.service"))
    assert "Tpye" in r.stderr


def test_hardening(units):
    services = [n for n in names(units) if n.endswith(".service")]
    assert len(services) == 4
    for path in services:
        r = run("systemd-analyze", "--no-pager", "security", "--offline=yes",
                f"--threshold={int(SCORE * 10)}",
                path.replace("@1.", "@."))
        score = re.search(r"Overall exposure level.*: ([\d.]+)", r.stdout)
        assert r.returncode == 0, (path, r.stdout[-300:], r.stderr)
        assert float(score[1]) < SCORE, path


def test_an_upgrade_migrates(units):
    """Whoever restarts the target restarts all of it, the migration before
    the programs, though it counts as running since the last start."""
    for path in units.iterdir():
        text = path.read_text(encoding="utf-8")
        if path.name == "aragora.target":
            continue
        assert "PartOf=aragora.target\n" in text, path.name
        if path.suffix == ".service" and "migrate" not in path.name:
            after = re.search(r"^After=(.*)$", text, re.M)[1].split()
            assert "aragora-migrate.service" in after, path.name


def test_settings_are_settings(units):
    """Variables that the units set are in the table."""
    known = run(st.Stack.program("aragora"), "config").stdout
    for path in units.iterdir():
        for name in re.findall(r"^Environment=(\w+)=",
                               path.read_text(encoding="utf-8"), re.M):
            assert f"\n{name}=" in "\n" + known, (path.name, name)


def test_users_and_folders(tmp_path):
    (tmp_path / "etc").mkdir()
    for tool, argv in (("systemd-sysusers", ()),
                       ("systemd-tmpfiles", ("--create",))):
        conf = os.path.join(CONF, tool.removeprefix("systemd-"),
                            "aragora.conf")
        if tool == "systemd-tmpfiles":
            etc = tmp_path / "etc"
            groups = (etc / "group").read_text(encoding="utf-8")
            if "adm:" not in groups:
                (etc / "group").write_text(groups + "adm:x:4:\n",
                                           encoding="utf-8")
        r = run(tool, f"--root={tmp_path}", *argv, conf)
        assert r.returncode == 0, r.stderr
    passwd = (tmp_path / "etc/passwd").read_text(encoding="utf-8")
    user = next(x for x in passwd.splitlines() if x.startswith("aragora:"))
    assert user.endswith("/usr/sbin/nologin")
    uid = int(user.split(":")[2])
    for name, mode in (("run", 0o755), ("var/lib", 0o750),
                       ("var/log", 0o750)):
        s = (tmp_path / name / "aragora").stat()
        assert s.st_mode & 0o777 == mode and s.st_uid == uid


def test_logrotate(tmp_path):
    """A program goes on writing into the file that was turned."""
    log, state = tmp_path / "x.log", tmp_path / "state"
    with open(os.path.join(CONF, "logrotate", "aragora"),
              encoding="utf-8") as f:
        text = f.read()
    assert "su aragora adm" in text
    text = text.replace("/var/log/aragora/*.log", str(log)) \
               .replace("\tsu aragora adm\n", "")
    conf = tmp_path / "conf"
    conf.write_text(text, encoding="utf-8")
    conf.chmod(0o644)
    with open(log, "ab") as f:
        f.write(b"before\n")
        f.flush()
        r = run("/usr/sbin/logrotate", "-f", "-s", str(state), str(conf))
        assert r.returncode == 0, r.stderr
        f.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "x.log.1").read_bytes() == b"before\n"


class Manager:
    """What a service manager hears."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(st.WAIT)

    def hear(self, word):
        """Up to the message that has this line."""
        heard = []
        while not heard or word not in heard[-1].splitlines():
            heard.append(self.socket.recv(4096).decode())
        return heard

    def close(self):
        self.socket.close()


@contextlib.contextmanager
def managed(tmp_path, program, **env):
    manager = Manager(tmp_path / "notify")
    where = str(tmp_path / "listen")
    argv = [st.Stack.program(program)]
    if program != "aragora-runner":
        argv = ["systemd-socket-activate", "-l", where,
                "-E", "NOTIFY_SOCKET", "-E", "WATCHDOG_USEC",
                "-E", "ARAGORA_DATA_DIR", *argv]
    env = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": manager.path,
           "ARAGORA_DATA_DIR": str(tmp_path / "data"),
           "WATCHDOG_USEC": "200000", **env}
    subprocess.run([st.Stack.program("aragora"), "migrate"], env=env,
                   check=True, stdout=subprocess.DEVNULL)
    with open(tmp_path / "log", "wb") as log:
        p = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL,
                             stdout=log, stderr=log)
    try:
        if program != "aragora-runner":
            st.wait_for("the socket", lambda: os.path.exists(where))
            with socket.socket(socket.AF_UNIX) as c:
                c.connect(where)  # it is started by the first connection
                yield p, manager
        else:
            yield p, manager
    finally:
        st.end(p)
        manager.close()


@pytest.mark.parametrize("program", [
    "aragora-fcgi", "aragora-ws", "aragora-runner"])
def test_notifies(tmp_path, program):
    """Ready when it serves, alive again and again, stopping at the end."""
    with managed(tmp_path, program) as (p, manager):
        ready = manager.hear("READY=1")[-1]
        assert "STATUS=" in ready
        for _ in range(3):
            manager.hear("WATCHDOG=1")
        p.send_signal(signal.SIGHUP)
        manager.hear("WATCHDOG=1")  # which does not end it
        p.send_signal(signal.SIGTERM)
        stopping = manager.hear("STOPPING=1")[-1]
        assert "EXTEND_TIMEOUT_USEC=" in stopping
        assert p.wait(st.WAIT) == 0, (tmp_path / "log").read_text()


def test_stuck_worker(tmp_path):
    """A worker that is stopped says nothing: the manager will restart it."""
    with managed(tmp_path, "aragora-runner") as (p, manager):
        manager.hear("READY=1")
        manager.hear("WATCHDOG=1")
        p.send_signal(signal.SIGSTOP)
        manager.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                manager.socket.recv(4096)
        p.send_signal(signal.SIGCONT)
        manager.socket.settimeout(st.WAIT)
        manager.hear("WATCHDOG=1")
