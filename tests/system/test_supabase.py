# SPDX-License-Identifier: MIT
"""conf/supabase on a real PostgreSQL with stand-ins for what Supabase brings:
its roles, its default privileges, auth.jwt() and the way PostgREST asks."""
import json
import os
import subprocess

import psycopg2
import psycopg2.errors
import pytest
from jwt_kit import SECRET, claims, hs256
from stack import SOURCE, Stack

# As a Supabase project is set up: postgres is no superuser there, and what it
# makes in "public" belongs to everybody.
STAND_INS = """
CREATE ROLE anon NOLOGIN NOINHERIT;
CREATE ROLE authenticated NOLOGIN NOINHERIT;
CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT;
GRANT anon, authenticated, service_role TO authenticator;
CREATE ROLE postgres LOGIN CREATEROLE CREATEDB;
"""
OBJECTS = """
CREATE SCHEMA auth;
GRANT USAGE ON SCHEMA auth TO PUBLIC;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
	SELECT coalesce(nullif(current_setting('request.jwt.claim', true), ''),
	    nullif(current_setting('request.jwt.claims', true), ''))::jsonb $$;
ALTER DEFAULT PRIVILEGES FOR ROLE {open} GRANT ALL ON TABLES
	TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {open} GRANT ALL ON FUNCTIONS
	TO anon, authenticated, service_role;
"""


class Project:
    def __init__(self, postgres, open_role):
        self.server = postgres
        self.url = postgres.database()
        self.name = self.url.split("/")[3].split("?")[0]
        self.sql(STAND_INS if not self.rows(
            "SELECT FROM pg_roles WHERE rolname = 'anon'") else "SELECT 1")
        self.sql(f'ALTER DATABASE "{self.name}" OWNER TO postgres')
        self.psql("postgres", "roles.sql", "-v", "owner_password=o", "-v",
                  "app_password=a")
        self.sql(OBJECTS.format(open=open_role))
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith("ARAGORA_")}
        self.migrate()
        self.psql("aragora_owner", "policies.sql")

    def as_role(self, role):
        return f"postgresql://{role}@/{self.name}?host={self.server.dir}"

    def sql(self, text):
        with psycopg2.connect(self.url) as c, c.cursor() as cur:
            cur.execute(text)

    def rows(self, text):
        with psycopg2.connect(self.url) as c, c.cursor() as cur:
            cur.execute(text)
            return cur.fetchall()

    def psql(self, role, script, *args):
        r = subprocess.run(
            [os.path.join(self.server.bin, "psql"), "-qX", *args, "-f",
             os.path.join(SOURCE, "conf/supabase", script),
             self.as_role(role)], capture_output=True, text=True)
        assert r.returncode == 0, r.stderr

    def migrate(self):
        subprocess.run(
            [Stack.program("aragora"), "migrate"], check=True,
            env={**self.env,
                 "ARAGORA_DATABASE_URL": self.as_role("aragora_owner")},
            stdout=subprocess.DEVNULL)

    def rest(self, text, payload, role="authenticated", before=""):
        """One request as PostgREST makes it."""
        c = psycopg2.connect(self.as_role("authenticator"))
        try:
            with c.cursor() as cur:
                cur.execute(
                    "SELECT set_config('role', %s, true), "
                    "set_config('search_path', 'aragora', true), "
                    "set_config('request.jwt.claims', %s, true)",
                    (role, json.dumps(payload)))
                if before:
                    cur.execute(before)
                cur.execute(text)
                return cur.fetchall() if cur.description else cur.rowcount
        finally:
            c.rollback()
            c.close()


@pytest.fixture(scope="module")
def project(postgres):
    """Also where the owner's own defaults are as open as postgres's."""
    p = Project(postgres, "aragora_owner")
    for tenant in ("acme", "user-9"):
        p.sql(f"""
        SET search_path = aragora;
        INSERT INTO debates (id, tenant, slug, task, config, status, phase,
            created_us, updated_us) VALUES ('d_{tenant}', '{tenant}', 's',
            'task of {tenant}', '{{}}', 'completed', 'done', 1, 1);
        INSERT INTO events (debate_id, seq, tenant, type, created_us, data)
            VALUES ('d_{tenant}', 1, '{tenant}', 'debate_start', 1, '{{}}');
        """)
    return p


def test_own_rows_only(project):
    for payload, tenant in ((claims(tenant="acme"), "acme"),
                            (claims(sub="user-9"), "user-9")):
        assert project.rest("SELECT tenant FROM debates", payload) == \
            [(tenant,)]
        assert project.rest("SELECT debate_id FROM events", payload) == \
            [(f"d_{tenant}",)]


NOBODY = {
    "another tenant": claims(tenant="other"),
    "an empty tenant": {**claims(sub="acme"),
                        "app_metadata": {"tenant_id": ""}},
    "the user's own metadata": claims(user_metadata={"tenant_id": "acme"}),
    "a service key": claims(sub="acme", role="service_role"),
    "no claims": {},
}


@pytest.mark.parametrize("name", NOBODY)
def test_nobody(project, name):
    for table in ("debates", "events"):
        assert project.rest(f"SELECT * FROM {table}", NOBODY[name]) == []


def test_the_services_setting_opens_nothing(project):
    """Whoever gets a set_config() through sees no more by it."""
    for table in ("debates", "events"):
        rows = project.rest(
            f"SELECT tenant FROM {table}", claims(tenant="other"),
            before="SELECT set_config('aragora.tenant', 'acme', true)")
        assert rows == []


@pytest.mark.parametrize("statement", [
    "INSERT INTO debates SELECT * FROM debates",
    "UPDATE debates SET task = 'x'",
    "DELETE FROM debates",
    "TRUNCATE debates, events, turns",
    "INSERT INTO events SELECT * FROM events",
    "UPDATE events SET data = 'x'",
    "DELETE FROM events",
    "SELECT * FROM turns",
    "SELECT * FROM tokens",
    "SELECT * FROM runners",
    "SELECT * FROM schema_migrations",
    "CREATE TABLE aragora.mine (id int)",
    "SELECT * FROM aragora_claim('me', 1, 2, 10)",
    "SELECT * FROM aragora_token('', 0)",
    "SELECT aragora_tokens()",
])
def test_no_write_and_nothing_else(project, statement):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        project.rest(statement, claims(tenant="acme"))


def test_anon_gets_nothing(project):
    tables = [name for name, in project.rows(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v', 'm', 'p') "
        "AND relnamespace = 'aragora'::regnamespace")]
    assert {"debates", "users", "schema_migrations"} <= set(tables)
    for table in tables:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            project.rest(f"SELECT * FROM aragora.{table}", {"role": "anon"},
                         role="anon")


def test_every_grant(project):
    """All that the two roles may do with whatever the schema holds."""
    tables = project.rows("""
        SELECT r.rolname, c.relname, p FROM pg_class AS c
        CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE',
            'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
        CROSS JOIN pg_roles AS r
        WHERE c.relnamespace = 'aragora'::regnamespace AND
            c.relkind IN ('r', 'v', 'm', 'p') AND
            r.rolname IN ('anon', 'authenticated') AND
            has_table_privilege(r.oid, c.oid, p)""")
    assert sorted(tables) == [("authenticated", "debates", "SELECT"),
                              ("authenticated", "events", "SELECT")]
    functions = project.rows("""
        SELECT r.rolname, f.proname FROM pg_proc AS f
        CROSS JOIN pg_roles AS r
        WHERE f.pronamespace = 'aragora'::regnamespace AND
            r.rolname IN ('anon', 'authenticated') AND
            has_function_privilege(r.oid, f.oid, 'EXECUTE')""")
    assert {f for _, f in functions} == {"aragora_tenant",
                                         "aragora_jwt_tenant"}
    assert ("anon", "aragora_jwt_tenant") not in functions


def test_the_services_role(project):
    assert project.rows(
        "SELECT rolsuper, rolbypassrls, rolcanlogin FROM pg_roles "
        "WHERE rolname = 'aragora_app'") == [(False, False, True)]
    assert project.rows(
        "SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = "
        "'aragora_app'") == [(0,)]


def test_scripts_may_run_again(project):
    project.psql("postgres", "roles.sql", "-v", "owner_password=o", "-v",
                 "app_password=a")
    project.psql("aragora_owner", "policies.sql")
    test_own_rows_only(project)


def test_service_end_to_end(project):
    """The service as aragora_app in production, users by token: what one
    writes through the API, his tenant reads through the database's REST."""
    with Stack(migrate=False, runners=0, ARAGORA_DB_BACKEND="supabase",
               ARAGORA_ENV="production",
               ARAGORA_DISABLE_ALL_RATE_LIMITS="0",
               ARAGORA_DATABASE_URL=project.as_role("aragora_app"),
               ARAGORA_SUPABASE_JWT_SECRET=SECRET) as s:
        def api(payload):
            return {"headers": {"Authorization": f"Bearer {hs256(payload)}"}}
        ann, eve = claims(sub="ann", tenant="north"), claims(sub="eve")
        r = s.post("/api/debates", {"task": "Walk or bus to work?"},
                   **api(ann))
        assert r.status_code == 201, r.text
        debate = r.json()["debate_id"]
        assert s.get(f"/api/debates/{debate}", check=False,
                     **api(eve)).status_code == 404
        assert s.get("/api/debates", **api(eve))["debates"] == []
        ids = "SELECT id FROM debates"
        assert project.rest(ids, ann) == [(debate,)]
        assert project.rest(ids, eve) == []
