# SPDX-License-Identifier: MIT
"""The routes of memory, on both databases: what is kept and given back, what
is pushed out and when, and that no tenant sees another's."""
import concurrent.futures
import contextlib
import datetime
import itertools
import json
import sqlite3

import httpx
import jwt_kit as jwt
import psycopg2
import pytest
import stack as st

TIERS = ["fast", "medium", "slow", "glacial"]
# The table of the design, written down here once more.
TTL = dict(zip(TIERS, (60, 3600, 86400, 604800)))
BYTES = dict(zip(TIERS, (10 << 10, 100 << 10, 1 << 20, 10 << 20)))
ITEMS = dict(zip(TIERS, (100, 500, 1000, 5000)))
DAY_US = 86400 * 10 ** 6


@pytest.fixture(name="stack", scope="module", params=["sqlite", "postgresql"])
def fixture_stack(request):
    url = request.getfixturevalue("postgres").database() \
        if request.param == "postgresql" else None
    with st.Stack(database_url=url,
                  ARAGORA_SUPABASE_JWT_SECRET=jwt.SECRET) as s:
        s.client = httpx.Client(base_url=s.url(""), trust_env=False,
                                timeout=st.WAIT)
        s.tenants = itertools.count()
        yield s
        s.client.close()


class Memory:
    """One tenant's."""

    def __init__(self, s, tenant=None):
        self.s = s
        self.tenant = tenant or f"tenant{next(s.tenants)}"
        token = jwt.hs256(jwt.claims(sub="user", tenant=self.tenant))
        self.headers = {"Authorization": f"Bearer {token}"}

    def call(self, method, path, body=None, status=200, **query):
        r = self.s.client.request(method, f"/api/memory/{path}", json=body,
                                  params=query, headers=self.headers)
        assert r.status_code == status, (method, path, r.status_code, r.text)
        return r.json()

    def get(self, path, status=200, **query):
        return self.call("GET", path, None, status, **query)

    def post(self, path, body=None, status=200):
        return self.call("POST", path, body, status)

    def put(self, key, body, status=200):
        return self.call("PUT", key, body, status)

    def store(self, key, value="x", status=200, **more):
        return self.post("store", {"key": key, "value": value, **more},
                         status)

    def read(self, key, status=200, **query):
        return self.get("retrieve", status, key=key, **query)

    def keys(self, **query):
        return {e["key"] for e in self.get(
            "entries", limit=100, **query)["entries"]}

    def delete(self, key, **query):
        return self.call("DELETE", "delete", key=key, **query)["deleted"]


@pytest.fixture(name="m")
def fixture_m(stack):
    return Memory(stack)


def run_sql(s, statement):
    url = s.env.get("ARAGORA_DATABASE_URL")
    db = psycopg2.connect(url) if url else sqlite3.connect(
        f"{s.data}/aragora.db", timeout=st.WAIT)
    with contextlib.closing(db):
        db.cursor().execute(statement)
        db.commit()


def seconds(entry, since="updated_at"):
    """How long an entry is kept from then on."""
    at = [datetime.datetime.fromisoformat(entry[k].replace("Z", "+00:00"))
          for k in (since, "expires_at")]
    return (at[1] - at[0]).total_seconds()


def wrong(r, field, code="INVALID_VALUE"):
    assert (r["code"], r["field"]) == (code, field), r
    assert r["errors"][0]["field"] == field and r["errors"][0]["message"]


# ---- one entry ----

@pytest.mark.parametrize("value", [
    "text", "", "τέξτ \U0001f410 \"quoted\"\n", 0, -1.5, 2 ** 53, True, False,
    [], [1, "two", None], {}, {"a": {"b": [{"c": None}]}}])
def test_a_value_comes_back_as_it_was(m, value):
    m.store("k", value, tags=["one", "two"], metadata={"n": 1, "o": {"p": []}},
            importance=0.25, agent="demo", surprise_score=1)
    e = m.read("k")
    assert e["value"] == value and isinstance(e["value"], type(value))
    assert e["content"] == value if isinstance(value, str) else \
        json.loads(e["content"]) == value
    assert (e["tags"], e["metadata"]) == (["one", "two"],
                                          {"n": 1, "o": {"p": []}})
    assert (e["importance"], e["surprise_score"]) == (0.25, 1)
    assert (e["agent"], e["tier"], e["key"]) == ("demo", "medium", "k")
    assert e["id"] == e["memory_id"] and e["source_debate_id"] is None


def test_a_key_has_one_entry(m):
    first = m.store("k", 1)
    again = m.store("k", 2, tier="slow")
    assert first["created"] is True and again["created"] is False
    assert first["id"] == again["id"] and again["tier"] == "slow"
    e = m.read(first["id"])
    assert (e["value"], e["tier"]) == (2, "slow")
    assert (e["update_count"], e["consolidation_count"]) == (0, 1)
    m.store("k", 3, tier="slow")
    assert m.read("k")["update_count"] == 1
    assert m.get("stats")["total_entries"] == 1


@pytest.mark.parametrize("key", ["k", "a b/c?d=e&f#g", "ключ", "x" * 256,
                                 "100%", "a:b|c", "..", "stats"])
def test_any_key(m, key):
    m.store(key, "v")
    assert m.read(key)["key"] == key
    assert m.delete(key) is True
    m.read(key, status=404)


def test_what_is_not_there(m):
    assert m.read("none", status=404)["code"] == "NOT_FOUND"
    assert m.delete("none") is False
    m.put("none", {"value": 1}, status=404)
    for verb in ("promote", "demote"):
        m.post(f"none/{verb}", {}, status=404)
    m.post("none/move", {"to_tier": "slow"}, status=404)
    m.call("DELETE", "continuum/none", status=404)


def test_only_in_its_tier(m):
    m.store("k", tier="slow")
    assert m.read("k", tier="slow")["tier"] == "slow"
    m.read("k", tier="fast", status=404)
    assert m.delete("k", tier="fast") is False
    assert m.delete("k", tier="slow") is True


@pytest.mark.parametrize("body,field", [
    ({"value": 1}, "key"), ({"key": "k"}, "value"),
    ({"key": "k", "value": None}, "value"), ({}, "key"), (None, "key")])
def test_missing(m, body, field):
    wrong(m.post("store", body, status=400), field, "MISSING_FIELD")


@pytest.mark.parametrize("field,value", [
    ("key", ""), ("key", "x" * 257), ("key", 5), ("key", "a\nb"),
    ("tier", "warm"), ("tier", 1), ("importance", 1.1), ("importance", -0.1),
    ("importance", "high"), ("ttl_seconds", 0), ("ttl_seconds", -1),
    ("ttl_seconds", 365 * 86400 + 1), ("ttl_seconds", 1.5),
    ("tags", "one"), ("tags", [1]), ("tags", [""]), ("tags", ["x" * 51]),
    ("tags", ["t"] * 21), ("metadata", []), ("metadata", "x"),
    ("metadata", {"x": "y" * 16384}), ("surprise_score", 2),
    ("source_debate_id", "a b"), ("agent", "x" * 129), ("agent", {}),
    ("domain", "x" * 65)])
def test_refused(m, field, value):
    wrong(m.post("store", {"key": "k", "value": "v", field: value},
                 status=400), field)
    assert m.keys() == set()
    if field != "key":
        m.store("k")
        wrong(m.put("k", {field: value}, status=400), field)


def test_no_object(m):
    r = m.s.client.post("/api/memory/store", content="[1]", headers={
        **m.headers, "Content-Type": "application/json"})
    assert r.status_code == 400 and r.json()["code"] == "INVALID_JSON"


def test_nobody(stack):
    for method, path in (("POST", "store"), ("GET", "entries"),
                         ("DELETE", "delete?key=k"), ("PUT", "k")):
        r = stack.client.request(method, f"/api/memory/{path}")
        assert r.status_code == 401, path


def test_every_version_of_the_path(m):
    m.store("k", 1)
    for version in ("", "v1/", "v2/"):
        r = m.s.client.get(f"/api/{version}memory/retrieve?key=k",
                           headers=m.headers)
        assert r.json()["value"] == 1


# ---- changing ----

def test_update(m):
    m.store("k", {"a": 1, "b": {"c": 2}}, tags=["t"], metadata={"m": 1},
            importance=0.9, ttl_seconds=500)
    before = m.read("k")
    e = m.put("k", {"value": {"b": 3}, "merge": True})
    assert e["updated"] is True and (e["key"], e["tier"]) == ("k", "medium")
    e = m.read("k")
    assert e["value"] == {"a": 1, "b": 3}
    assert (e["tags"], e["metadata"], e["importance"]) == \
        (["t"], {"m": 1}, 0.9)
    # It lives no longer for that.
    assert e["expires_at"] == before["expires_at"]
    assert e["created_at"] == before["created_at"] != e["updated_at"]
    m.put("k", {"value": "text"})
    e = m.read("k")
    assert (e["value"], e["tags"], e["update_count"]) == ("text", ["t"], 2)
    m.put("k", {"tags": [], "importance": 0})
    e = m.read("k")
    assert (e["value"], e["tags"], e["importance"]) == ("text", [], 0)
    m.put("k", {"tier": "slow"})
    e = m.read("k")
    assert (e["tier"], seconds(e)) == ("slow", TTL["slow"])
    m.put("k", {"ttl_seconds": 7})
    assert seconds(m.read("k")) == 7


def test_merge_needs_objects(m):
    m.store("k", "text")
    wrong(m.put("k", {"value": {"a": 1}, "merge": True}, status=400), "merge")
    wrong(m.put("k", {"value": "b", "merge": "yes"}, status=400), "merge")
    m.store("k", {"a": 1})
    wrong(m.put("k", {"value": [1], "merge": True}, status=400), "merge")
    assert m.read("k")["value"] == {"a": 1}


def test_nobodys_change_is_lost(m):
    """Through all workers at once."""
    m.store("k", {})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: m.put("k", {
            "value": {f"m{i}": i}, "merge": True}), range(40)))
    assert m.read("k")["value"] == {f"m{i}": i for i in range(40)}
    assert m.read("k")["update_count"] == 40


# ---- tenants ----

def test_tenants_are_apart(stack):
    one, two = Memory(stack), Memory(stack)
    mine = one.store("k", "mine", tags=["shared"])["id"]
    theirs = two.store("k", "theirs", tags=["shared"])["id"]
    assert one.read("k")["value"] == "mine"
    assert two.read("k")["value"] == "theirs"
    two.read(mine, status=404)
    assert two.delete(mine) is False
    two.put(mine, {"value": 1}, status=404)
    two.post(f"{mine}/promote", {}, status=404)
    two.call("DELETE", f"continuum/{mine}", status=404)
    found = two.get("search", q="shared")["results"]
    assert [e["id"] for e in found] == [theirs]
    assert [e["id"] for e in two.post("export")["entries"]] == [theirs]
    assert two.get("stats")["total_entries"] == 1
    two.post("prune", {"min_importance": 1})
    assert two.keys() == set() and one.keys() == {"k"}
    assert one.get("analytics")["totals"]["deleted"] == 0
    assert two.get("analytics")["totals"]["deleted"] == 1


# ---- sizes, eviction, time ----

@pytest.mark.parametrize("tier", TIERS[:3])
def test_an_entry_as_large_as_its_tier(m, tier):
    m.store("k", "", tier=tier)
    room = BYTES[tier] - m.read("k")["size_bytes"]
    wrong(m.store("k", "x" * (room + 1), tier=tier, status=400), "value")
    assert m.read("k")["value"] == ""
    m.store("k", "x" * room, tier=tier)
    assert m.read("k")["size_bytes"] == BYTES[tier]
    stats = m.get("tier-stats")[tier]
    assert (stats["count"], stats["size_bytes"], stats["limit_bytes"]) == \
        (1, BYTES[tier], BYTES[tier])
    # One more pushes it out.
    m.store("other", "y", tier=tier)
    assert m.keys() == {"other"}


def test_the_largest_tier(m):
    for i in range(3):
        m.store(f"k{i}", "x" * (4 << 20), tier="glacial", importance=i / 4)
    stats = m.get("tier-stats")["glacial"]
    assert m.keys() == {"k1", "k2"}
    assert stats["size_bytes"] <= stats["limit_bytes"] == BYTES["glacial"]


def test_the_least_important_goes_then_the_oldest(m):
    text = "x" * 2400
    for key, importance in (("old", 0.3), ("low", 0.1), ("high", 0.9),
                            ("new", 0.3)):
        m.store(key, text, tier="fast", importance=importance)
    order = []
    for i in range(4):
        before = m.keys()
        m.store(f"more{i}", text, tier="fast", importance=1)
        gone = before - m.keys()
        assert len(gone) == 1
        order += gone
    assert order == ["low", "old", "new", "high"]
    # A new one stays, however little it matters.
    m.store("last", text, tier="fast", importance=0)
    assert "last" in m.keys() and len(m.keys()) == 4


def test_as_many_as_the_tier_holds(m):
    m.post("import", {"data": [
        {"key": f"k{i}", "value": "", "tier": "fast",
         "importance": 0.1 if i == 7 else 0.5} for i in range(ITEMS["fast"])]})
    assert m.get("tiers/fast/stats")["count"] == ITEMS["fast"]
    m.store("one more", "", tier="fast")
    assert m.get("tiers/fast/stats")["count"] == ITEMS["fast"]
    m.read("k7", status=404)
    m.store("and one", "", tier="fast")
    m.read("k0", status=404)
    assert m.get("archive-stats")["evicted"] == 2


@pytest.mark.parametrize("tier", TIERS)
def test_time_to_live(m, tier):
    m.store("k", tier=tier)
    m.store("own", tier=tier, ttl_seconds=5)
    assert seconds(m.read("k")) == TTL[tier]
    assert seconds(m.read("own")) == 5


def test_expired(m):
    m.store("k", "word", ttl_seconds=1, tier="slow")
    m.store("stays", "word", tier="slow")
    st.wait_for("its end", lambda: m.s.client.get(
        "/api/memory/retrieve?key=k", headers=m.headers).status_code == 404)
    assert m.keys() == {"stays"}
    assert [e["key"] for e in m.get("search", q="word", include_expired=True)[
        "results"]] == ["stays"]
    assert m.get("tier/slow")["total"] == 1
    assert m.get("stats")["total_entries"] == 1
    assert len(m.post("export")["entries"]) == 1
    m.put("k", {"value": 1}, status=404)
    m.post("k/promote", {}, status=404)
    assert m.delete("k") is False
    assert m.store("k", "new")["created"] is True
    gone = m.get("archive-stats")
    assert (gone["expired"], gone["by_tier"]["slow"]) == (1, 1)


def test_swept_by_the_runner(m):
    """Though nobody asks for it."""
    m.store("k", ttl_seconds=1)
    st.wait_for("the sweep", lambda: not m.s.rows(
        f"SELECT 1 FROM memories WHERE tenant = '{m.tenant}'"),
        timeout=2 * st.WAIT)


# ---- moving ----

def test_step_by_step(m):
    m.store("k", tier="glacial", ttl_seconds=9)
    for old, new in (("glacial", "slow"), ("slow", "medium"),
                     ("medium", "fast")):
        r = m.post("k/promote", {"reason": "asked for often"})
        assert r["promoted"] is True and r["success"] is True
        assert (r["old_tier"], r["new_tier"]) == (old, new)
        # With the time of where it is now.
        assert seconds({**m.read("k"), "now": r["expires_at"]},
                       "accessed_at") <= TTL[new]
        assert m.read("k")["expires_at"] == r["expires_at"]
    assert m.post("k/promote", status=409)["code"] == "CONFLICT"
    assert m.read("k")["consolidation_count"] == 3
    r = m.post("k/demote", {"target_tier": "slow"})
    assert (r["old_tier"], r["new_tier"]) == ("fast", "slow")
    wrong(m.post("k/demote", {"target_tier": "fast"}, status=400),
          "target_tier")
    m.post("k/demote")
    m.post("k/demote", status=409)
    assert m.get("tiers")["transitions_24h"] == 5


def test_move(m):
    m.store("k", tier="fast")
    r = m.post("k/move", {"from_tier": "fast", "to_tier": "glacial"})
    assert r["moved"] is True and r["key"] == "k"
    assert (r["from_tier"], r["to_tier"]) == ("fast", "glacial")
    m.post("k/move", {"from_tier": "fast", "to_tier": "slow"}, status=409)
    m.post("k/move", {"target_tier": "glacial"}, status=409)
    assert m.post("k/move", {"target_tier": "slow"})["to_tier"] == "slow"
    wrong(m.post("k/move", {}, status=400), "to_tier", "MISSING_FIELD")
    wrong(m.post("k/move", {"to_tier": "warm"}, status=400), "to_tier")


def test_too_large_for_there(m):
    m.store("k", "x" * (BYTES["fast"] + 1), tier="medium")
    wrong(m.post("k/promote", status=400), "target_tier")
    assert m.read("k")["tier"] == "medium"


@pytest.mark.parametrize("word", [
    "store", "retrieve", "delete", "search", "query", "entries", "tier",
    "tiers", "tier-stats", "stats", "pressure", "archive-stats", "analytics",
    "continuum", "critiques", "import", "export", "prune", "compact",
    "vacuum", "rebuild-index", "sync", "context", "cross-debate", "snapshots",
    "viewer", "semantic-search", "search-index", "search-timeline",
    "consolidate"])
def test_words_that_are_no_keys_in_paths(m, word):
    e = m.store(word, "v")
    m.put(word, {"value": "w"}, status=404)
    m.post(f"{word}/promote", {}, status=404)
    m.post(f"{word}/move", {"to_tier": "slow"}, status=404)
    assert m.read(word)["value"] == "v"
    # By its id it is like any other.
    m.put(e["id"], {"value": "w"})
    assert m.read(word)["value"] == "w"


@pytest.mark.parametrize("tier,surprise,to", [
    ("fast", 0.99, "fast"), ("medium", 0.7, "medium"),
    ("medium", 0.71, "fast"), ("slow", 0.6, "slow"), ("slow", 0.61, "medium"),
    ("glacial", 0.5, "glacial"), ("glacial", 0.51, "slow")])
def test_surprise_promotes_after_a_day(m, tier, surprise, to):
    """And when the index was out of date, rebuilding it says so."""
    m.store("k", tier=tier, surprise_score=surprise, ttl_seconds=10 ** 6)
    assert m.post("consolidate")["entries_processed"] == 0
    run_sql(m.s, f"UPDATE memories SET moved_us = moved_us - {DAY_US} "
                 f"WHERE tenant = '{m.tenant}'")
    r = m.post("rebuild-index")
    assert r["entries_indexed"] == 1
    assert r["entries_repaired"] == (to != tier)
    r = m.post("continuum/consolidate", {})
    assert r["success"] is True
    assert r["entries_promoted"] == r["entries_processed"] == (to != tier)
    assert r["entries_consolidated"] == r["entries_promoted"]
    assert m.read("k")["tier"] == to
    # Not again before another day.
    assert m.post("sync")["entries_processed"] == 0


@pytest.mark.parametrize("tier,surprise,to", [
    ("fast", 0.79, "medium"), ("fast", 0.8, "fast"),
    ("medium", 0.69, "slow"), ("medium", 0.7, "medium"),
    ("slow", 0.59, "glacial"), ("slow", 0.6, "slow"),
    ("glacial", 0, "glacial")])
def test_what_is_often_seen_sinks(m, tier, surprise, to):
    m.store("k", tier=tier, surprise_score=surprise, ttl_seconds=1000)
    for i in range(10):
        assert m.post("consolidate")["entries_demoted"] == 0
        m.put("k", {"value": i})
    assert m.post("consolidate")["entries_demoted"] == (to != tier)
    e = m.read("k")
    assert (e["tier"], e["update_count"]) == (to, 0 if to != tier else 10)


# ---- finding ----

@pytest.fixture(name="library")
def fixture_library(m):
    for key, text, more in (
            ("a", "Sessions are kept in PostgreSQL.",
             {"tier": "slow", "importance": 0.9, "agent": "demo"}),
            ("b", "Sessions are kept in Redis, and expire.",
             {"tier": "fast", "importance": 0.2}),
            ("c", "The kitchen is painted green.",
             {"tier": "glacial", "tags": ["Sessions"], "importance": 0.5}),
            ("d", "Nothing of that sort.", {"tier": "medium"})):
        m.store(key, text, **more)
    return m


def found(r):
    assert r["results"] == r["entries"]
    assert r["count"] == len(r["results"])
    return [e["key"] for e in r["results"]]


def test_search(library):
    r = library.get("search", q="sessions redis")
    assert found(r) == ["b", "a", "c"] and r["items"] == r["results"]
    assert [e["similarity"] for e in r["results"]] == [1, 0.5, 0.5]
    assert r["query"] == "sessions redis" and r["total"] == 3
    assert r["tiers_searched"] == TIERS
    assert found(library.get("search", query="SESSIONS kept", sort="recency")
                 ) == ["c", "b", "a"]
    assert found(library.get("search", q="sessions", sort="importance")) == \
        ["a", "c", "b"]
    assert found(library.get("search", q="nowhere")) == []
    assert found(library.get("search", q="greek green")) == ["c"]


@pytest.mark.parametrize("query,keys", [
    ({"tier": "fast,slow"}, ["a", "b"]), ({"tiers": "glacial"}, ["c"]),
    ({"tiers": "fast", "tier": "slow"}, ["b"]), ({"agent": "demo"}, ["a"]),
    ({"agent": "nobody"}, []), ({"min_importance": 0.5}, ["a", "c"]),
    ({"min_importance": 0.51}, ["a"]), ({"limit": 1}, ["a"]),
    ({"limit": 1, "offset": 2}, ["b"]), ({"offset": 9}, [])])
def test_search_filters(library, query, keys):
    r = library.get("search", q="sessions", sort="importance", **query)
    assert found(r) == keys
    if "limit" in query:
        assert r["total"] == 3 and r["has_more"] == (not r["offset"])
    if "tiers" in query:
        assert r["tiers_searched"] == r["filters"]["tiers"] == \
            [query["tiers"]]


@pytest.mark.parametrize("query,field,code", [
    ({}, "query", "MISSING_FIELD"), ({"q": ""}, "query", "MISSING_FIELD"),
    ({"q": "x", "tier": "warm"}, "tier", "INVALID_VALUE"),
    ({"q": "x", "tiers": "fast,warm"}, "tiers", "INVALID_VALUE"),
    ({"q": "x", "sort": "age"}, "sort", "INVALID_VALUE"),
    ({"q": "x", "min_importance": 2}, "min_importance", "INVALID_VALUE"),
    ({"q": "x" * 2001}, "q", "INVALID_VALUE")])
def test_search_refused(m, query, field, code):
    wrong(m.get("search", status=400, **query), field, code)


def test_query_by_body(library):
    for name in ("query", "prompt", "q"):
        assert found(library.post("query", {name: "Redis", "limit": 5})) == \
            ["b"]
    wrong(library.post("query", {}, status=400), "query", "MISSING_FIELD")
    wrong(library.post("query", {"query": "x", "limit": "many"}, status=400),
          "limit")


def test_semantic_search(library):
    r = library.post("semantic-search", {
        "query": "where session data is kept in postgres", "limit": 2})
    assert found(r)[0] == "a" and r["query_time_ms"] >= 0
    shares = [e["similarity"] for e in r["results"]]
    assert shares == sorted(shares, reverse=True) and 0.05 <= shares[-1] <= 1
    same = library.post("semantic-search", {
        "query": "The kitchen is painted green.", "min_similarity": 0.99})
    assert found(same) == ["c"] and same["results"][0]["similarity"] == \
        pytest.approx(1, abs=0.001)
    assert found(library.post("semantic-search", {"query": "zzz qqq"})) == []
    wrong(library.post("semantic-search", {}, status=400), "query",
          "MISSING_FIELD")
    wrong(library.post("semantic-search", {
        "query": "x", "min_similarity": 1.5}, status=400), "min_similarity")


def test_continuum(m):
    e = m.post("continuum/store", {"content": "Tea is kept warm.",
                                   "tags": ["tea"], "importance": 0.8})
    assert e["success"] is True and e["tier"] == "medium" and e["created_at"]
    assert m.read(e["id"])["key"] == e["id"]
    m.post("continuum/store", {"content": "Coffee is not.", "tier": "slow"})
    wrong(m.post("continuum/store", {}, status=400), "content",
          "MISSING_FIELD")
    wrong(m.post("continuum/store", {"content": 5}, status=400), "content")
    r = m.get("continuum/retrieve", query="tea")
    assert r["memories"] == r["entries"] == r["results"]
    assert [x["id"] for x in r["memories"]] == [e["id"]]
    assert (r["query"], r["count"], r["limit"]) == ("tea", 1, 10)
    assert r["tiers"] == TIERS
    r = m.get("continuum/retrieve")
    assert [x["importance"] for x in r["memories"]] == [0.8, 0.5]
    assert m.get("continuum/retrieve", tiers="slow,fast")["total"] == 1
    assert m.get("continuum/retrieve", min_importance=0.6)["total"] == 1
    wrong(m.get("continuum/retrieve", status=400, tiers="x"), "tiers")
    assert m.get("continuum/stats")["total_entries"] == 2
    assert m.call("DELETE", f"continuum/{e['id']}")["success"] is True
    m.read(e["id"], status=404)


def test_lists(m):
    for i in range(25):
        m.store(f"k{i:02}", i, tier="fast" if i % 2 else "slow")
    seen = []
    while True:
        page = m.get("entries", limit=10, offset=len(seen))
        assert page["entries"] == page["items"] and page["total"] == 25
        seen += [e["key"] for e in page["entries"]]
        if not page["has_more"]:
            break
    assert seen == [f"k{i:02}" for i in reversed(range(25))]
    r = m.get("tier/fast", limit=5)
    assert (r["tier"], r["total"], len(r["entries"])) == ("fast", 12, 5)
    assert m.get("entries", tier="slow")["total"] == 13
    wrong(m.get("tier/warm", status=400), "tier")
    wrong(m.get("tiers/warm/stats", status=400), "tier")
    wrong(m.get("entries", status=400, tier="warm"), "tier")


# ---- figures ----

def test_figures(m):
    m.store("a", "x" * 100, tier="fast", importance=0.2, surprise_score=0.4)
    m.store("b", "x" * 300, tier="fast", importance=0.4, surprise_score=0.6)
    m.store("c", "y", tier="glacial", importance=0.9)
    m.post("c/promote")
    m.read("a")
    m.read("none", status=404)
    tiers = m.get("tiers")
    assert [t["tier"] for t in tiers["tiers"]] == TIERS
    for t in tiers["tiers"]:
        assert t["ttl_seconds"] == TTL[t["id"]]
        assert t["size_limit_bytes"] == BYTES[t["id"]]
        assert t["limit"] == ITEMS[t["id"]]
        assert t["count"] == t["entry_count"]
        assert t["utilization_pct"] == pytest.approx(t["utilization"] * 100)
        assert m.get(f"tiers/{t['id']}/stats") == t
    assert tiers["total_memories"] == 3 and tiers["transitions_24h"] == 1
    fast = tiers["tiers"][0]
    size = sum(m.read(k)["size_bytes"] for k in "ab")
    assert (fast["count"], fast["size_bytes"]) == (2, size)
    assert fast["utilization"] == pytest.approx(size / BYTES["fast"])
    assert fast["avg_importance"] == pytest.approx(0.3)
    assert fast["avg_surprise"] == pytest.approx(0.5)
    assert fast["oldest_entry"] == m.read("a")["created_at"]
    assert fast["newest_entry"] == m.read("b")["created_at"]
    assert tiers["tiers"][2]["avg_consolidation"] == 1
    assert tiers["tiers"][3]["oldest_entry"] is None
    by_name = m.get("tier-stats")
    assert [by_name[t]["count"] for t in TIERS] == [2, 0, 1, 0]
    assert by_name["tiers"] == tiers["tiers"]
    stats = m.get("stats")
    assert stats["total_entries"] == 3
    assert stats["tier_counts"] == {
        "fast": 2, "medium": 0, "slow": 1, "glacial": 0}
    assert stats["storage_bytes"] == size + m.read("c")["size_bytes"]
    assert stats["consolidation_rate"] == pytest.approx(1 / 3)
    assert stats["avg_importance"] == pytest.approx(0.5)
    # Five reads, and one of what was not there.
    assert stats["cache_hit_rate"] == pytest.approx(5 / 6)
    assert stats["health_status"] == "healthy"


@pytest.mark.parametrize("entries,level,status,health", [
    (49, "low", "normal", "healthy"), (50, "medium", "elevated", "healthy"),
    (80, "high", "high", "degraded"), (90, "critical", "critical", "critical")])
def test_pressure(m, entries, level, status, health):
    m.post("import", {"target_tier": "fast", "data": [
        {"key": f"k{i}", "value": ""} for i in range(entries)]})
    r = m.get("pressure")
    assert r["utilization"] == r["pressure"] == entries / 100
    assert (r["pressure_level"], r["status"]) == (level, status)
    assert r["by_tier"]["fast"]["entries"] == r["total_memories"] == entries
    assert r["tier_utilization"] == {
        "fast": entries / 100, "medium": 0, "slow": 0, "glacial": 0}
    assert r["cleanup_recommended"] is (entries >= 80)
    assert len(r["recommendations"]) == (entries >= 80)
    assert m.get("stats")["health_status"] == health


def test_what_happened(m):
    m.store("a", tier="slow")
    m.store("a", tier="slow")
    m.post("a/promote")
    m.post("a/demote")
    m.read("a")
    m.read("b", status=404)
    m.delete("a")
    r = m.get("analytics")
    wanted = {"stored": 1, "updated": 1, "promoted": 1, "demoted": 1,
              "hits": 1, "misses": 1, "deleted": 1, "expired": 0,
              "evicted": 0}
    assert r["totals"] == wanted and r["granularity"] == "hour"
    assert {k: sum(p[k] for p in r["points"]) for k in wanted} == wanted
    daily = m.get("analytics", granularity="day",
                  start_time="2026-01-01T00:00:00Z")
    assert daily["totals"] == wanted
    assert all("T00:00:00" in p["timestamp"] for p in daily["points"])
    past = m.get("analytics", end_time="2026-01-01T00:00:00Z")
    assert past["points"] == [] and set(past["totals"].values()) == {0}
    wrong(m.get("analytics", status=400, granularity="week"), "granularity")
    wrong(m.get("analytics", status=400, start_time="yesterday"),
          "start_time")
    wrong(m.get("analytics", status=400, start_time="2026-01-02T00:00:00Z",
                end_time="2026-01-01T00:00:00Z"), "start_time")


# ---- critiques, import, export, upkeep ----

def test_critiques(m):
    for i, agent in enumerate(("demo", "gemini", "demo")):
        r = m.post("critiques", {
            "critique": f"Too vague, {i}.", "agent": agent, "score": i,
            "target_agent": "mistral", "debate_id": "adhoc_1"}, status=201)
        assert r["stored"] is True and r["id"]
    m.store("no critique", domain="critique")
    r = m.get("critiques")
    assert [c["critique"] for c in r["critiques"]] == [
        f"Too vague, {i}." for i in (2, 1, 0)]
    assert r["total"] == 3 and r["items"] == r["critiques"]
    c = r["critiques"][0]
    assert (c["agent"], c["target_agent"], c["debate_id"], c["score"]) == \
        ("demo", "mistral", "adhoc_1", 2)
    assert m.get("critiques", agent="demo")["total"] == 2
    assert m.get("critiques", limit=1, offset=1)["critiques"] == \
        r["critiques"][1:2]
    other = Memory(m.s)
    assert other.get("critiques")["total"] == 0
    # They are entries like others, and go as those do.
    other.post("import", {"data": m.post("export")["entries"]})
    assert other.get("critiques")["total"] == 3


@pytest.mark.parametrize("field,value,code", [
    ("critique", None, "MISSING_FIELD"), ("agent", None, "MISSING_FIELD"),
    ("critique", "", "INVALID_VALUE"), ("agent", "", "INVALID_VALUE"),
    ("critique", ["x"], "INVALID_VALUE"), ("score", "9", "INVALID_VALUE"),
    ("score", 10.5, "INVALID_VALUE"), ("debate_id", "a b", "INVALID_VALUE"),
    ("target_agent", 1, "INVALID_VALUE")])
def test_critiques_refused(m, field, value, code):
    body = {"critique": "c", "agent": "demo", field: value}
    wrong(m.post("critiques", body, status=400), field, code)


def test_out_and_in_again(m):
    m.store("a", {"n": [1, None]}, tags=["t"], metadata={"x": 1},
            importance=0.1, surprise_score=0.9, tier="glacial",
            agent="demo", source_debate_id="adhoc_1", domain="law")
    m.store("b", "text", tier="fast")
    out = m.post("export", {})
    assert (out["format"], out["total"]) == ("json", 2)
    assert [e["key"] for e in m.post("export", {"tier": "fast"})[
        "entries"]] == ["b"]
    wrong(m.post("export", {"tier": "warm"}, status=400), "tier")
    other = Memory(m.s)
    r = other.post("import", {"entries": out["entries"]})
    assert (r["imported"], r["skipped"], r["errors"]) == (2, 0, [])
    own = {"id", "memory_id", "created_at", "updated_at", "accessed_at",
           "expires_at"}

    def shown(memory):
        return sorted(({k: v for k, v in e.items() if k not in own}
                       for e in memory.post("export")["entries"]),
                      key=lambda e: e["key"])
    assert shown(other) == shown(m)


def test_import_tells_what_became_of_each(m):
    m.store("there", "old")
    data = [{"key": "there", "value": "new"}, {"key": "k", "value": 1},
            {"content": "without a key"}, {"key": "k2"}, 5,
            {"key": "k3", "value": 1, "importance": 7},
            {"key": "big", "value": "x" * BYTES["fast"], "tier": "fast"}]
    r = m.post("import", {"data": data})
    assert (r["imported"], r["skipped"], r["failed"]) == (2, 1, 4)
    assert r["success"] is False
    assert {e["index"]: e["field"] for e in r["errors"]} == {
        3: "value", 4: "entry", 5: "importance", 6: "value"}
    assert m.read("there")["value"] == "old" and m.read("k")["value"] == 1
    r = m.post("import", {"data": data[:2], "overwrite": True,
                          "target_tier": "slow"})
    assert (r["imported"], r["success"]) == (2, True)
    e = m.read("there")
    assert (e["value"], e["tier"]) == ("new", "slow")


@pytest.mark.parametrize("body,field,code", [
    ({}, "data", "MISSING_FIELD"), ({"data": []}, "data", "INVALID_VALUE"),
    ({"data": {"key": "k"}}, "data", "INVALID_VALUE"),
    ({"data": [{}] * 6601}, "data", "INVALID_VALUE"),
    ({"data": [{}], "target_tier": "warm"}, "target_tier", "INVALID_VALUE"),
    ({"data": [{}], "overwrite": "yes"}, "overwrite", "INVALID_VALUE")])
def test_import_refused(m, body, field, code):
    wrong(m.post("import", body, status=400), field, code)


def test_prune(m):
    for key, importance, tier in (("low", 0.1, "slow"), ("mid", 0.5, "slow"),
                                  ("other", 0.1, "medium")):
        m.store(key, importance=importance, tier=tier)
    assert m.post("prune")["removed"] == 0
    assert m.post("prune", {"min_importance": 0.5, "tier": "slow",
                            "older_than_seconds": 60})["removed"] == 0
    size = m.read("low")["size_bytes"]
    r = m.post("prune", {"min_importance": 0.5, "tier": "slow"})
    assert (r["success"], r["pruned"], r["removed"]) == (True, 1, 1)
    assert r["pruned_bytes"] == size and m.keys() == {"mid", "other"}
    wrong(m.post("prune", {"min_importance": 5}, status=400),
          "min_importance")
    wrong(m.post("prune", {"tier": "warm"}, status=400), "tier")
    wrong(m.post("prune", {"older_than_seconds": -1}, status=400),
          "older_than_seconds")


@pytest.mark.parametrize("word", ["compact", "vacuum"])
def test_only_what_nobody_sees(m, word):
    m.store("stays", importance=0)
    m.store("gone")
    run_sql(m.s, "UPDATE memories SET expires_us = 1, due_us = 1 WHERE "
                 f"tenant = '{m.tenant}' AND memory_key = 'gone'")
    run_sql(m.s, "INSERT INTO memory_tallies (tenant, hour_us, kind, tier, n) "
                 f"VALUES ('{m.tenant}', 0, 'stored', 1, 5)")
    r = m.post(word)
    # The runner may have been faster.
    gone = m.get("archive-stats")["expired"]
    assert r["success"] is True and r["pruned"] == 0 and gone == 1
    assert r["expired"] == r["removed"] and r["removed"] <= 1
    assert m.keys() == {"stays"}
    assert m.get("analytics", start_time="1970-01-01T00:00:01Z")[
        "totals"]["stored"] == 2


# ---- what debates leave ----

def test_a_debates_conclusion(m):
    r = m.s.client.post("/api/debates", headers=m.headers, json={
        "task": "Tea or coffee?", "agents": ["demo"] * 2, "rounds": 1,
        "domain": "kitchen"})
    debate = r.json()["debate_id"]
    st.wait_for("its end", lambda: not m.s.client.get(
        f"/api/debates/{debate}", headers=m.headers).json()["in_progress"])
    e = m.read(f"debate:{debate}")
    assert (e["tier"], e["source_debate_id"]) == ("slow", debate)
    assert e["domain"] == e["metadata"]["domain"] == "kitchen"
    assert e["value"]["question"] == "Tea or coffee?"
    assert m.get("search", q="coffee")["total"] == 1
    # A change leaves the rest of it as it is.
    m.put(e["key"], {"importance": 1})
    assert m.read(e["key"])["value"] == e["value"]
    critique = m.post("critiques", {"critique": "c", "agent": "demo",
                                    "debate_id": debate}, status=201)["id"]
    m.store("mine")
    m.s.client.delete(f"/api/debates/{debate}", headers=m.headers)
    assert m.keys() == {"mine"}
    m.read(critique, status=404)
