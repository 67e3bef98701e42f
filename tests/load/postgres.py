# SPDX-License-Identifier: MIT
"""A PostgreSQL cluster of its own for the measurements of this folder."""
import os
import shutil
import subprocess
import sys

ROLES = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__)))), "conf/postgresql/roles.sql")


class Postgres:
    """On a Unix socket in folder, with nothing tuned but what would make a
    small table's figures those of its checkpoints. with Postgres(folder)"""

    def __init__(self, folder):
        root = "/usr/lib/postgresql"
        versions = sorted(os.listdir(root) if os.path.isdir(root) else [],
                          key=float)
        if not versions:
            sys.exit(f"no PostgreSQL under {root}")
        self.bin = os.path.join(root, versions[-1], "bin")
        self.folder = os.path.join(folder, "pg")
        self.data = os.path.join(self.folder, "data")
        os.mkdir(self.folder)
        self.prefix = []
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
            self.prefix = ["setpriv", "--reuid=postgres",
                           "--regid=postgres", "--clear-groups"]
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust",
                 "-E", "UTF8", "--locale=C.UTF-8")

    def run(self, program, *args):
        subprocess.run([*self.prefix, os.path.join(self.bin, program), *args],
                       cwd="/", check=True, stdout=subprocess.DEVNULL)

    def __enter__(self):
        self.run("pg_ctl", "-D", self.data, "-w", "-l",
                 os.path.join(self.folder, "log"), "-o",
                 f"-k {self.folder} -c listen_addresses= -c fsync=on "
                 "-c synchronous_commit=on -c max_wal_size=4GB", "start")
        return self

    def __exit__(self, *_):
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    def pid(self):
        with open(os.path.join(self.data, "postmaster.pid"),
                  encoding="ascii") as f:
            return int(f.readline())

    def psql(self, *args):
        self.run("psql", "-qX", "-h", self.folder, "-U", "postgres", "-v",
                 "ON_ERROR_STOP=1", *args)

    def prepare_roles(self):
        """Those of production, and their database."""
        with open(ROLES, "rb") as f:
            subprocess.run(
                [*self.prefix, os.path.join(self.bin, "psql"), "-qX", "-h",
                 self.folder, "-U", "postgres", "-v", "ON_ERROR_STOP=1",
                 "-d", "postgres"], cwd="/", check=True, stdin=f,
                stdout=subprocess.DEVNULL)

    def url(self, role, database="aragora"):
        return f"postgresql://{role}@/{database}?host={self.folder}"
