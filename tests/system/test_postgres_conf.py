# SPDX-License-Identifier: MIT
"""conf/postgresql/ and conf/pgbouncer/ on real servers: each file starts one,
the roles serve, and what the README says cannot be is refused."""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import psycopg2
import pytest

import stack as st

CONF = os.path.join(st.SOURCE, "conf/postgresql")
BOUNCER = os.path.join(st.SOURCE, "conf/pgbouncer")
PASSWORDS = {"aragora_owner": "planted-owner-51", "aragora_app":
             "planted-app-52", "aragora_replication": "planted-wal-53"}
# What would make a test of a minute out of one of seconds; nothing it is about.
QUICK = "fsync = off\nlisten_addresses = ''\n"


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


@pytest.fixture(name="folder")
def fixture_folder():
    """One that the servers' user may enter, with a short name for sockets."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="aragora-conf-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def readme_fatal():
    """The server's own words that the README quotes."""
    return re.findall(r"^    FATAL: +(.*)$", read(CONF, "README.md"), re.M)


class Server:
    """A cluster whose configuration is ours, with include_dir as Debian's."""

    def __init__(self, folder, *confs, hba=None, port=5432):
        self.dir = str(folder)
        os.mkdir(self.dir)
        self.port = port
        self.data = os.path.join(self.dir, "data")
        self.bin = max((os.path.join("/usr/lib/postgresql", v, "bin")
                        for v in os.listdir("/usr/lib/postgresql")))
        self.prefix = []
        self.admin = subprocess.check_output(["id", "-un"],
                                             text=True).strip()
        if os.getuid() == 0:
            self.admin = "postgres"
            shutil.chown(self.dir, "postgres")
            self.prefix = ["setpriv", "--reuid=postgres",
                           "--regid=postgres", "--clear-groups"]
        self.must("initdb", "-D", self.data, "-U", self.admin, "-A", "trust",
                  "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        self.configure(*confs)
        if hba:
            self.write("data/pg_hba.conf", hba)

    def configure(self, *confs):
        folder = os.path.join(self.data, "conf.d")
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        for n, conf in enumerate(confs):
            self.write(f"data/conf.d/{n}.conf", conf)
        self.write("data/conf.d/9.conf", QUICK)
        main = os.path.join(self.data, "postgresql.conf")
        if "include_dir = 'conf.d'\n" not in read(main):
            with open(main, "a", encoding="ascii") as f:
                f.write("\ninclude_dir = 'conf.d'\n")

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        if self.prefix:
            shutil.chown(os.path.dirname(path), "postgres")
            shutil.chown(path, "postgres")
        return path

    def run(self, program, *args, **kw):
        return subprocess.run(
            [*self.prefix, os.path.join(self.bin, program), *args], cwd="/",
            capture_output=True, text=True, check=False, **kw)

    def must(self, program, *args, **kw):
        r = self.run(program, *args, **kw)
        assert r.returncode == 0, (program, r.stdout, r.stderr)
        return r.stdout

    def start(self):
        """None, or the log of a server that did not start."""
        log = os.path.join(self.dir, "log")
        r = subprocess.run(
            [*self.prefix, os.path.join(self.bin, "pg_ctl"), "-D", self.data,
             "-w", "-l", log, "-o", f"-k {self.dir} -p {self.port}", "start"],
            cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False)
        return None if r.returncode == 0 else read(log)

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    def psql(self, *args, database="postgres", **kw):
        return self.must("psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h",
                         self.dir, "-p", str(self.port), "-U", self.admin,
                         "-d", database, *args, **kw)

    def roles(self):
        self.psql("-f", "-", input=read(CONF, "roles.sql"))

    def show(self, name):
        return self.psql("-c", f"SHOW {name}").strip()

    def set_up(self):
        """roles.sql, and passwords as an administrator would set them."""
        self.roles()
        self.psql("-c", "CREATE ROLE aragora_replication LOGIN REPLICATION")
        for role, word in PASSWORDS.items():
            self.psql("-c", f"ALTER ROLE {role} PASSWORD '{word}'")

    def url(self, role, host=None, port=None):
        return (f"postgresql://{role}:{PASSWORDS[role]}@/aragora"
                f"?host={host or self.dir}&port={port or self.port}")

    def sql(self, role, *statements):
        """The rows of the last one."""
        with contextlib.closing(psycopg2.connect(self.url(role))) as db:
            db.autocommit = True
            with db.cursor() as c:
                for s in statements:
                    c.execute(s)
                return c.fetchall()


@contextlib.contextmanager
def started(*args, **kw):
    server = Server(*args, **kw)
    try:
        failure = server.start()
        assert failure is None, failure
        yield server
    finally:
        server.stop()


def settings_of(conf):
    return dict(re.findall(r"^(\w+) = '?([^'\n]*?)'?$", read(CONF, conf),
                           re.M))


def hba(server_admin):
    """The example, which names the administrator `postgres`."""
    return re.sub(r"^(local\s+all\s+)postgres", rf"\g<1>{server_admin}",
                  read(CONF, "pg_hba.conf.example"), flags=re.M)


def admin():
    return "postgres" if os.getuid() == 0 else \
        subprocess.check_output(["id", "-un"], text=True).strip()


@pytest.mark.parametrize("conf", ["aragora-single.conf",
                                  "aragora-replicated.conf"])
def test_server_takes_it(folder, conf):
    """Every line is in force, as the server counts it."""
    wanted = settings_of(conf)
    assert len(wanted) > 20
    assert wanted["max_connections"] == "200"
    assert wanted["synchronous_commit"] == "on"
    with started(folder / "pg", read(CONF, conf)) as server:
        rows = server.psql("-F", "\t", "-c",
                           "SELECT name, setting, applied, coalesce(error, '')"
                           " FROM pg_file_settings WHERE sourcefile LIKE"
                           " '%conf.d/0.conf'")
        seen = [line.split("\t") for line in rows.splitlines()]
        assert {r[0]: r[1] for r in seen} == wanted
        # Nothing but what the test itself sets again comes to nothing.
        assert [r[0] for r in seen if r[2] != "t"] == ["fsync"]
        assert not [r for r in seen if r[3]]
        assert server.show("wal_level") == wanted["wal_level"]


def test_minimal_and_replicas_exclude_each_other(folder):
    """As the README says, in the server's words."""
    senders, archive = readme_fatal()
    server = Server(folder / "pg")
    single = read(CONF, "aragora-single.conf")
    replicated = read(CONF, "aragora-replicated.conf")
    try:
        for confs, words in (
                ((replicated, "wal_level = minimal\n"), senders),
                # What the guide says, and nothing else.
                (("wal_level = minimal\n",), senders),
                ((single, "max_wal_senders = 10\n"), senders),
                ((single, "archive_mode = on\n"), archive)):
            server.configure(*confs)
            failure = server.start()
            assert failure is not None and words in failure, failure
            os.unlink(os.path.join(server.dir, "log"))
        server.configure(single)
        assert server.start() is None
    finally:
        server.stop()


def test_roles(folder):
    """The service reads and writes rows of a tenant, and that is all."""
    with started(folder / "pg", read(CONF, "aragora-single.conf"),
                 hba=hba(admin())) as server:
        server.set_up()
        env = {**os.environ, "ARAGORA_DATABASE_URL":
               server.url("aragora_owner")}
        migrate = [st.Stack.program("aragora"), "migrate"]
        subprocess.run(migrate, env=env, check=True, capture_output=True)
        # Again, over what is there: nothing to complain about.
        server.roles()
        for role in ("aragora_owner", "aragora_app"):
            assert server.sql(role, "SELECT rolsuper, rolbypassrls,"
                              " rolcreatedb, rolcreaterole, rolreplication"
                              " FROM pg_roles WHERE rolname = current_user") \
                == [(False,) * 5]
        assert server.sql("aragora_app", "SELECT count(*) FROM debates") \
            == [(0,)]
        for bad in ("CREATE TABLE mine (id INT)",
                    "CREATE SCHEMA mine",
                    "CREATE TEMP TABLE mine (id INT)",
                    "ALTER TABLE debates DISABLE ROW LEVEL SECURITY",
                    "DELETE FROM debates", "TRUNCATE events",
                    "DELETE FROM schema_migrations",
                    "UPDATE schema_migrations SET sha256 = ''",
                    "SET ROLE aragora_owner",
                    "INSERT INTO debates (id, tenant, slug, task, config,"
                    " status, phase, created_us, updated_us) VALUES ('a',"
                    " 'b', 'a', 't', '{}', 'pending', 'new', 1, 1)"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                server.sql("aragora_app", bad)
        # A table of the future is nobody's until its migration says so.
        server.sql("aragora_owner", "CREATE TABLE later (id INT)",
                   "CREATE FUNCTION later() RETURNS INT LANGUAGE sql AS"
                   " 'SELECT 1'", "SELECT 1")
        for bad in ("SELECT * FROM later", "SELECT later()"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                server.sql("aragora_app", bad)
        # Nobody else comes in, and no password means no.
        server.psql("-c", "CREATE ROLE stranger LOGIN PASSWORD 'x'")
        for url in (f"postgresql://stranger:x@/aragora?host={server.dir}",
                    f"postgresql://aragora_app:x@/aragora?host={server.dir}",
                    f"postgresql://aragora_app@/postgres?host={server.dir}"):
            with pytest.raises(psycopg2.OperationalError):
                psycopg2.connect(url)


def granted(server, database):
    """What the service's role may do with which table."""
    return set(server.psql(
        "-XAt", "-c", "SELECT table_name, privilege_type FROM "
        "information_schema.role_table_grants WHERE grantee = 'aragora_app'",
        database=database).split())


def test_roles_after_tables(folder):
    """A database that was migrated before there was a service's role."""
    with started(folder / "pg", read(CONF, "aragora-single.conf")) as server:
        server.psql("-c", "CREATE ROLE aragora_owner LOGIN")
        server.psql("-c", "CREATE DATABASE aragora OWNER aragora_owner")
        env = {**os.environ, "ARAGORA_DATABASE_URL":
               server.url("aragora_owner")}
        subprocess.run([st.Stack.program("aragora"), "migrate"], env=env,
                       check=True, capture_output=True)
        server.set_up()
        with Served(server, server.url("aragora_app")) as s:
            assert s.wait_end(s.create(agents=["demo|fast"] * 2))["status"] \
                == "completed"
        # The same, table by table, as where the role was there first.
        late = granted(server, "aragora")
        server.psql("-c", "CREATE DATABASE other OWNER aragora_owner")
        subprocess.run([st.Stack.program("aragora"), "migrate"],
                       env={**env, "ARAGORA_DATABASE_URL": server.url(
                           "aragora_owner").replace("/aragora?", "/other?")},
                       check=True, capture_output=True)
        assert late == granted(server, "other") != set()


def test_standby(folder):
    """aragora-replicated.conf with the README's pg_basebackup: a replica with
    the same file that follows."""
    conf = read(CONF, "aragora-replicated.conf")
    with started(folder / "pg", conf, hba=hba(admin())) as server:
        server.set_up()
        line = re.search(r"pg_basebackup -D (\S+)(.*?)\n\n",
                         read(CONF, "README.md").replace("\\\n", " "), re.S)
        args = re.sub(r"-d '[^']*'", "", line.group(2)).split()
        assert {"-R", "-C", "-S"} <= set(args)
        copy = folder / "copy"
        copy.mkdir()
        replica = Server.__new__(Server)
        replica.__dict__.update(server.__dict__, dir=str(copy), port=5433,
                                data=os.path.join(str(copy), "data"))
        if replica.prefix:
            shutil.chown(copy, "postgres")
        replica.must("pg_basebackup", "-D", replica.data, *args, "-d",
                     server.url("aragora_replication").replace(
                         "/aragora?", "/?"))
        try:
            assert replica.start() is None
            assert replica.show("transaction_read_only") == "on"
            server.psql("-c", "CREATE TABLE seen AS SELECT 7 AS n",
                        database="aragora")
            st.wait_for("replay", lambda: "7" in replica.run(
                "psql", "-XAt", "-h", replica.dir, "-p", "5433", "-U",
                replica.admin, "-d", "aragora", "-c",
                "SELECT n FROM seen").stdout)
            assert server.psql("-c", "SELECT slot_name, active FROM"
                               " pg_replication_slots").strip() == \
                "aragora_replica1|t"
        finally:
            replica.stop()


class Served(st.Stack):
    """The stack as the service's role, on a database that the owner has
    migrated."""

    def __init__(self, server, url, **kw):
        super().__init__(database_url=url, ARAGORA_ENV="production",
                         owner_url=server.url("aragora_owner"),
                         ARAGORA_DISABLE_ALL_RATE_LIMITS="",
                         **st.MANY, **kw)


@contextlib.contextmanager
def bouncer(server, folder):
    """Ours, on other paths and ports; everything else as it stands."""
    folder.mkdir()
    example = read(BOUNCER, "userlist.txt.example")
    query = re.search(r"^;     (SELECT.*?;)$", example, re.M | re.S).group(1)
    verifier = server.psql("-c", query.replace("\n;", "\n"))
    shape = r'^"aragora_app" "SCRAM-SHA-256\$4096:[^"$:]+\$[^"$:]+:[^"$:]+"\n'
    assert re.fullmatch(shape, verifier)
    users, n = re.subn(shape, lambda m: verifier, example, flags=re.M)
    assert n == 1
    port = st.free_port()
    conf = read(BOUNCER, "pgbouncer.ini")
    for was, now in (
            ("host=127.0.0.1 port=5432",
             f"host={server.dir} port={server.port}"),
            ("listen_port = 6432", f"listen_port = {port}"),
            ("/run/postgresql/pgbouncer.pid", f"{folder}/pid"),
            ("/run/postgresql", str(folder)),
            ("/var/log/postgresql/pgbouncer.log", f"{folder}/log"),
            ("/etc/pgbouncer/userlist.txt", f"{folder}/users")):
        assert was in conf
        conf = conf.replace(was, now)
    # One server connection: whoever leaves something in it leaves it to all.
    assert "default_pool_size = 40" in conf
    conf = conf.replace("default_pool_size = 40", "default_pool_size = 1")
    for name, text in (("ini", conf), ("users", users)):
        (folder / name).write_text(text)
    if server.prefix:
        for path in (folder, folder / "ini", folder / "users"):
            shutil.chown(path, "postgres")
    with subprocess.Popen(
            [*server.prefix, "/usr/sbin/pgbouncer", f"{folder}/ini"], cwd="/",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as p:
        try:
            st.wait_for("pgbouncer", lambda: st.Stack.connects(
                f"{folder}/.s.PGSQL.{port}"))
            yield str(folder), port
        finally:
            st.end(p)
    log = read(str(folder), "log")
    assert "WARNING" not in log and "ERROR" not in log, log


@pytest.mark.parametrize("is_pooled", [False, True])
def test_serves(folder, is_pooled):
    """Migrated as the owner, served as aragora_app in production mode,
    directly and through PgBouncer, with every file as it ships."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(started(
            folder / "pg", read(CONF, "aragora-single.conf"),
            hba=hba(admin())))
        server.set_up()
        where = stack.enter_context(bouncer(server, folder / "b")) \
            if is_pooled else ()
        s = stack.enter_context(Served(
            server, server.url("aragora_app", *where)))
        ids = [s.create(seed=i, agents=["demo|fast"] * 3) for i in range(4)]
        for debate_id in ids:
            assert s.wait_end(debate_id)["status"] == "completed"
            st.check_sequence(s.events(debate_id))
        for name, text in s.logs().items():
            for word in PASSWORDS.values():
                assert word not in text, name
    # Nobody's question is in the server's log.
    assert "Tea or coffee" not in read(server.dir, "log")


def test_owner_does_not_serve(folder):
    """In production the service refuses the owner's role, and says why."""
    with started(folder / "pg", read(CONF, "aragora-single.conf"),
                 hba=hba(admin())) as server:
        server.set_up()
        env = {**os.environ, "ARAGORA_ENV": "production",
               "ARAGORA_DATABASE_URL": server.url("aragora_owner")}
        subprocess.run([st.Stack.program("aragora"), "migrate"], env=env,
                       check=True, capture_output=True)
        r = subprocess.run([st.Stack.program("aragora-runner")], env=env,
                           capture_output=True, text=True, check=False)
        assert r.returncode != 0
        assert "owns the tables" in r.stderr
        assert os.path.exists(os.path.join(
            st.SOURCE, re.search(r"\((conf/\S+)\)", r.stderr).group(1)))
