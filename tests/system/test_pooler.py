# SPDX-License-Identifier: MIT
"""Production on PostgreSQL: the service as a role that row level security
holds, behind PgBouncer in transaction mode with one server connection that all
processes share."""
import asyncio
import concurrent.futures
import os
import re
import subprocess

import pytest

import stack as st

PRODUCTION = {**st.MANY, "ARAGORA_ENV": "production",
              "ARAGORA_DISABLE_ALL_RATE_LIMITS": ""}


@pytest.fixture(name="pooled")
def fixture_pooled(postgres):
    owner, app = postgres.roles()
    pooler = st.Pooler(postgres)
    yield owner, pooler.url(app), app
    pooler.close()


def name_of(url):
    return url.split("/")[3].split("?")[0]


@pytest.mark.parametrize("redis", (False, True))
@pytest.mark.parametrize("prepare", ("unnamed", "server"))
def test_debates_through_a_pooler(pooled, postgres, prepare, redis):
    """Debates side by side, watched to their end, over a single server
    connection; what is left in that session is nothing."""
    owner, url, _ = pooled
    with st.Stack(database_url=url, owner_url=owner, redis=redis,
                  ARAGORA_DB_PREPARE=prepare, **PRODUCTION) as s:
        ids = [s.create(seed=n, rounds=1) for n in range(4)]

        async def watch_all():
            return await asyncio.gather(*(s.watch(i) for i in ids))
        for debate_id, messages in zip(ids, asyncio.run(watch_all())):
            stored = [m for m in messages if "seq" in m]
            st.check_sequence(stored)
            assert [e["seq"] for e in s.events(debate_id)] == \
                [e["seq"] for e in stored]
            assert s.wait_end(debate_id)["status"] == "completed"
        assert s.get("/api/debates")["total"] == len(ids)
        database = name_of(url)
        sessions = postgres.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE usename ="
            f" 'aragora_app' AND datname = '{database}'")
        assert sessions == "1"
        if prepare == "server":
            assert "store.prepare" in s.log("runner1")
        look = subprocess.run(
            [os.path.join(postgres.bin, "psql"), "-qAtX", url, "-c",
             "SELECT coalesce(current_setting('aragora.tenant', true), ''),"
             " current_setting('statement_timeout'),"
             " (SELECT count(*) FROM pg_prepared_statements WHERE name <>"
             " 'aragora_probe')"], check=True, capture_output=True, text=True)
        assert look.stdout.strip() == "|0|0"


def test_many_requests_through_a_pooler(pooled):
    """Creates and reads side by side: all answered, each debate once."""
    owner, url, _ = pooled
    with st.Stack(database_url=url, owner_url=owner, runners=0,
                  **PRODUCTION) as s, \
            concurrent.futures.ThreadPoolExecutor(8) as pool:
        def create_and_read(n):
            debate_id = s.create(task=f"Question {n}")
            assert s.get(f"/api/debates/{debate_id}")["task"] == \
                f"Question {n}"
            return debate_id
        ids = set(pool.map(create_and_read, range(60)))
        assert len(ids) == 60
        assert s.get("/api/debates")["total"] == 60


@pytest.mark.parametrize("program", ("aragora-fcgi", "aragora-runner",
                                     "aragora-ws"))
def test_wrong_role_is_refused(postgres, tmp_path, program):
    """No process serves in production as a role above row level security."""
    owner, app = postgres.roles()
    superuser = re.sub("aragora_app@", "aragora@", app)
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("ARAGORA_")}
    env.update(ARAGORA_ENV="production", ARAGORA_DATA_DIR=str(tmp_path))
    top = os.environ["top_builddir"]
    subprocess.run([os.path.join(top, "aragora"), "migrate"], check=True,
                   env={**env, "ARAGORA_DATABASE_URL": owner},
                   stdout=subprocess.DEVNULL)
    argv = [os.path.join(top, program)]
    if program != "aragora-runner":
        argv += ["--listen", f"unix:{tmp_path}/sock"]
    for url, why in ((owner, "owns the tables"), (superuser, "superuser")):
        r = subprocess.run(argv, env={**env, "ARAGORA_DATABASE_URL": url},
                           stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, check=False)
        assert r.returncode != 0
        assert why in r.stderr, r.stderr
        assert url not in r.stderr
