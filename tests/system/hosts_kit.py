# SPDX-License-Identifier: MIT
"""Hosts on one machine: each a network namespace with an address and a data
folder of its own, on one switch, from which it can be cut. They live inside of
a namespace that belongs to the test run (`inside`), so that no name meets that
of another run, and that all of it, processes as well, is gone when the run is,
however it ends."""
import os
import subprocess
import sys

import pytest

import stack as st

NET = "10.77.0."
TESTER = 1  # the test itself, its clients, the models
MARK = "ARAGORA_TEST_HOSTS"  # set inside


def inside(path, timeout):
    """Run the tests of a file inside."""
    enter = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
             "--mount-proc"]
    if os.getuid() != 0:
        enter += ["--user", "--map-current-user", "--keep-caps"]
    r = subprocess.run([*enter, "ip", "link", "set", "lo", "up"], text=True,
                       capture_output=True, check=False)
    if r.returncode != 0:
        pytest.fail("network namespaces cannot be made here: run this as root,"
                    " or let users have namespaces (kernel."
                    f"unprivileged_userns_clone=1): {r.stderr}")
    r = subprocess.run(
        [*enter, sys.executable, "-m", "pytest", "-q", "-x", "-s", "-p",
         "no:cacheprovider", path], env={**os.environ, MARK: "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        timeout=timeout)
    print(r.stdout)
    assert r.returncode == 0, "see above"


def ip(*lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True,
                   check=True)


def mac(number):
    return f"02:00:0a:4d:00:{number:02x}"


class Host:
    """enter: what to put before a command that is to run there."""

    def __init__(self, name, number, folder):
        self.name, self.number = name, number
        self.address = NET + str(number)
        self.data = os.path.join(folder, name)
        os.makedirs(self.data)
        self.holder = subprocess.Popen(["unshare", "--net", "sleep",
                                        "infinity"])
        path = f"/proc/{self.holder.pid}/ns/net"
        own = os.readlink("/proc/self/ns/net")
        st.wait_for("namespace", lambda: os.readlink(path) != own)
        self.enter = ["nsenter", f"--net={path}"]

    def run(self, *argv, text=""):
        subprocess.run([*self.enter, *argv], input=text, text=True, check=True)

    def port(self):
        """The switch's."""
        return f"port{self.number}"


class Network:
    """names: of the hosts. What is cut off vanishes: nothing is refused, and
    every host knows the others' hardware addresses, so that nobody notices
    by that either."""

    def __init__(self, names, folder):
        ip("link set lo up", "link add lan address " + mac(TESTER) +
           " type bridge", "link set lan up",
           f"addr add {NET}{TESTER}/24 dev lan")
        self.hosts = {n: Host(n, TESTER + 1 + i, folder)
                      for i, n in enumerate(names)}
        for h in self.hosts.values():
            ip(f"link add {h.port()} type veth peer name eth0 address "
               f"{mac(h.number)} netns {h.holder.pid}",
               f"link set {h.port()} master lan up")
            h.run("ip", "-batch", "-", text="\n".join([
                "link set lo up", "link set eth0 up",
                f"addr add {h.address}/24 dev eth0",
                *self.neighbours(h.number, "eth0")]))
        ip(*self.neighbours(TESTER, "lan"))

    def neighbours(self, number, device):
        numbers = [TESTER, *(h.number for h in self.hosts.values())]
        return [f"neigh replace {NET}{n} lladdr {mac(n)} nud permanent dev "
                f"{device}" for n in numbers if n != number]

    def __getitem__(self, name):
        return self.hosts[name]

    def cut(self, name):
        ip(f"link set {self.hosts[name].port()} nomaster")

    def heal(self, name):
        ip(f"link set {self.hosts[name].port()} master lan")

    def close(self):
        for h in self.hosts.values():
            h.holder.kill()
            h.holder.wait()
