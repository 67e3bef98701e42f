# SPDX-License-Identifier: MIT
"""What is done to debates after they were asked: naming, tagging, notes,
archive, forks, taking away. On both databases."""
import asyncio
import concurrent.futures

import httpx
import pytest

import stack as st


@pytest.fixture(name="stack", scope="module", params=["sqlite", "postgresql"])
def fixture_stack(request):
    url = request.getfixturevalue("postgres").database() \
        if request.param == "postgresql" else None
    with st.Stack(database_url=url) as s:
        s.pg_url = url
        yield s


@pytest.fixture(name="debate")
def fixture_debate(stack):
    return stack.wait_end(stack.create(
        seed=3, rounds=1, tags=["a", "b"], metadata={"k": 1}))["debate_id"]


def call(stack, method, path, body=None, status=200, **kw):
    r = httpx.request(method, stack.url(f"/api/debates/{path}"), json=body,
                      trust_env=False, timeout=st.WAIT, **kw)
    assert r.status_code == status, (path, r.status_code, r.text)
    return r.json() if r.content else None


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_change(stack, debate, method):
    before = call(stack, "GET", debate)
    body = call(stack, method, debate, {"title": "Breakfast", "nonsense": 1})
    assert body["success"] and body["updated_fields"] == ["title"]
    after = call(stack, "GET", debate)
    assert after["title"] == "Breakfast" and after["task"] == before["task"]
    assert after["revision"] == before["revision"] + 1
    changed = {"title", "revision", "updated_at"}
    assert {k: v for k, v in after.items() if k not in changed} == \
        {k: v for k, v in before.items() if k not in changed}
    call(stack, method, debate, {"tags": ["x", "y", "x"],
                                 "metadata": {"m": [1]}, "notes": "so"})
    after = call(stack, "GET", debate)
    assert after["tags"] == ["x", "y"] and after["metadata"] == {"m": [1]}
    assert after["title"] == "Breakfast"
    assert [n["note"] for n in
            call(stack, "GET", f"{debate}/notes")["notes"]] == ["so"]
    # The list's tag is the new one.
    assert debate in [d["id"] for d in
                      stack.get("/api/debates?tag=y&limit=100")["debates"]]
    assert debate not in [d["id"] for d in
                          stack.get("/api/debates?tag=a&limit=100")["debates"]]


WRONG = [
    ({"title": "x" * 501}, "title"), ({"title": ""}, "title"),
    ({"title": 3}, "title"), ({"tags": "a"}, "tags"),
    ({"tags": [1]}, "tags"), ({"tags": [""]}, "tags"),
    ({"tags": ["x" * 51]}, "tags"),
    ({"tags": [str(i) for i in range(21)]}, "tags"),
    ({"metadata": []}, "metadata"), ({"metadata": {"k": "x" * 16384}},
                                     "metadata"),
    ({"status": "running"}, "status"), ({"archived": "yes!"}, "archived"),
]


@pytest.mark.parametrize("body,field", WRONG)
def test_wrong_changes(stack, debate, body, field):
    before = call(stack, "GET", debate)
    answer = call(stack, "PATCH", debate, {"title": "new", **body},
                  status=400)
    assert answer["field"] == field
    assert call(stack, "GET", debate) == before


def test_tags_and_metadata(stack, debate):
    assert call(stack, "POST", f"{debate}/tags", {"tags": ["c", "a"]})[
        "tags"] == ["a", "b", "c"]
    assert call(stack, "DELETE", f"{debate}/tags", {"tags": ["a", "z"]})[
        "tags"] == ["b", "c"]
    assert call(stack, "PATCH", f"{debate}/metadata", {"metadata": {"n": 2}})[
        "metadata"] == {"n": 2}
    assert call(stack, "GET", debate)["tags"] == ["b", "c"]
    many = {"tags": [str(i) for i in range(19)]}
    assert call(stack, "POST", f"{debate}/tags", many, status=400)[
        "field"] == "tags"
    assert call(stack, "POST", f"{debate}/tags", {}, status=400)[
        "field"] == "tags"
    assert call(stack, "PATCH", f"{debate}/metadata", {}, status=400)[
        "field"] == "metadata"


def test_changes_at_once_all_hold(stack, debate):
    """Each adds a tag; a refusal (409) is told, never a loss."""
    def add(i):
        r = stack.post(f"/api/debates/{debate}/tags", {"tags": [f"t{i}"]})
        assert r.status_code in (200, 409), r.text
        return f"t{i}" if r.status_code == 200 else None
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = [t for t in pool.map(add, range(16)) if t]
    assert len(done) > 8
    assert sorted(call(stack, "GET", debate)["tags"]) == \
        sorted(done + ["a", "b"])


def test_if_match(stack, debate):
    first = httpx.get(stack.url(f"/api/debates/{debate}"), trust_env=False)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    same = httpx.get(stack.url(f"/api/debates/{debate}"), trust_env=False,
                     headers={"If-None-Match": f'"x", {tag}'})
    assert same.status_code == 304 and not same.content
    assert same.headers["ETag"] == tag
    call(stack, "PATCH", debate, {"title": "one"}, headers={"If-Match": tag})
    answer = call(stack, "PATCH", debate, {"title": "two"}, status=412,
                  headers={"If-Match": tag})
    assert answer["code"] == "PRECONDITION_FAILED"
    assert call(stack, "GET", debate)["title"] == "one"
    newer = httpx.get(stack.url(f"/api/debates/{debate}"), trust_env=False,
                      headers={"If-None-Match": tag})
    assert newer.status_code == 200 and newer.headers["ETag"] != tag
    revision = call(stack, "GET", debate)["revision"]
    call(stack, "PATCH", debate, {"title": "three"},
         headers={"If-Match": f'"{revision}"'})
    call(stack, "PATCH", debate, {"title": "four"},
         headers={"If-Match": "*"})
    for bad in ("3", "x", '"x"', "W/"):
        assert call(stack, "PATCH", debate, {"title": "no"}, status=400,
                    headers={"If-Match": bad})["field"] == "If-Match"


def test_archive(stack, debate):
    def listed(path):
        return [d["id"] for d in stack.get(f"{path}limit=100")["debates"]]
    assert debate in listed("/api/debates?")
    assert call(stack, "POST", f"{debate}/archive")["success"]
    assert call(stack, "GET", debate)["archived"] is True
    assert call(stack, "GET", debate)["status"] == "completed"
    for path in ("/api/debates?", "/api/debates?order_by=confidence&"):
        assert debate not in listed(path)
    assert debate in listed("/api/debates/archived?")
    call(stack, "POST", f"{debate}/archive")  # again: the same
    call(stack, "POST", f"{debate}/restore")
    assert debate in listed("/api/debates?")
    assert debate not in listed("/api/debates/archived?")
    call(stack, "PATCH", debate, {"status": "archived"})
    assert call(stack, "GET", debate)["archived"] is True
    call(stack, "PATCH", debate, {"archived": False})
    body = call(stack, "POST", "archive/batch",
                {"debate_ids": [debate, "adhoc_none"]})
    assert body == {"success": True, "archived_count": 1}
    for bad in ([], ["a b"], [1], "x", ["x"] * 101):
        assert call(stack, "POST", "archive/batch", {"debate_ids": bad},
                    status=400)["field"] == "debate_ids"


def test_what_runs_is_not_archived(stack):
    running = stack.create(rounds=9)
    call(stack, "POST", f"{running}/pause")
    assert call(stack, "POST", f"{running}/start")["success"]
    call(stack, "POST", f"{running}/archive", status=409)
    assert call(stack, "POST", f"{running}/stop")["status"] == "cancelled"
    call(stack, "POST", f"{running}/start", status=409)
    call(stack, "POST", f"{running}/stop", status=409)


def test_notes(stack, debate):
    ids = [call(stack, "POST", f"{debate}/notes", {"note": t}, status=201)[
        "note_id"] for t in ("ä", "b")]
    notes = call(stack, "GET", f"{debate}/notes")["notes"]
    assert [(n["note_id"], n["note"]) for n in notes] == \
        list(zip(ids, ("ä", "b")))
    call(stack, "DELETE", f"{debate}/notes/{ids[0]}")
    call(stack, "DELETE", f"{debate}/notes/{ids[0]}", status=404)
    assert call(stack, "GET", f"{debate}/notes")["total"] == 1
    for bad in ({}, {"note": ""}, {"note": 1}, {"note": "x" * 10001}):
        assert call(stack, "POST", f"{debate}/notes", bad, status=400)[
            "field"] == "note"


def test_fork(stack, debate):
    said = call(stack, "GET", f"{debate}/messages")["messages"]
    fork = call(stack, "POST", f"{debate}/fork",
                {"branch_point": 1, "modified_context": "Mind the cost."},
                status=201)
    assert fork["parent_debate_id"] == debate and fork["success"]
    assert fork["branch_id"] == fork["debate_id"] != debate
    assert fork["branch_point"] == fork["messages_inherited"] == 1
    assert fork["context"].startswith("Mind the cost.")
    assert said[0]["content"] in fork["context"]
    assert all(m["content"] not in fork["context"] for m in said[1:])
    whole = call(stack, "POST", f"{debate}/fork", status=201)
    assert whole["branch_point"] == len(said)
    assert all(m["content"] in whole["context"] for m in said)
    answer = call(stack, "POST", f"{debate}/fork",
                  {"branch_point": len(said) + 1}, status=400)
    assert answer["field"] == "branch_point"
    forks = call(stack, "GET", f"{debate}/forks")
    assert [f["debate_id"] for f in forks["forks"]] == \
        [fork["debate_id"], whole["debate_id"]]
    for f in (fork, whole):
        assert stack.wait_end(f["debate_id"])["status"] == "completed"


def test_clone(stack, debate):
    before = call(stack, "GET", debate)
    clone = call(stack, "POST", f"{debate}/clone", status=201)
    assert clone["debate_id"] != debate
    for key in ("task", "agents", "context", "total_rounds", "metadata"):
        assert clone[key] == before[key]
    assert clone["parent_debate_id"] is None
    asked = stack.post("/api/debates", {"task": "x"}).json()
    other = call(stack, "POST", f"{debate}/clone",
                 {"preserveAgents": False, "preserveContext": False},
                 status=201)
    assert other["agents"] == asked["agents"] and other["context"] == ""


def owners(stack):
    """Every table that holds something of a debate."""
    if stack.pg_url is None:
        names = [r[0] for r in stack.rows(
            "SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return [n for n in names if "debate_id" in [
            r[1] for r in stack.rows(f"PRAGMA table_info({n})")]]
    return [r[0] for r in stack.rows(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON "
        "a.attrelid = c.oid WHERE c.relkind = 'r' AND a.attname = "
        "'debate_id' AND c.relnamespace = 'public'::regnamespace")]


@pytest.mark.parametrize("path", ["", "/permanent"])
def test_delete(stack, debate, path):
    call(stack, "POST", f"{debate}/notes", {"note": "x"}, status=201)
    fork = call(stack, "POST", f"{debate}/fork", status=201)["debate_id"]
    # Ratings come of the first two, budgets were spent by the last.
    kept = {"matches", "match_players", "budget_grants"}
    held = [t for t in owners(stack) if stack.rows(
        f"SELECT 1 FROM {t} WHERE debate_id = '{debate}'")]
    assert {"events", "turns", "debate_notes"} <= set(held)
    answer = call(stack, "DELETE", debate + path)
    assert answer["deleted"] and answer["id"] == debate
    for t in set(owners(stack)) - kept:
        assert not stack.rows(f"SELECT 1 FROM {t} "
                               f"WHERE debate_id = '{debate}'"), t
    for part in ("", "/events", "/notes", "/receipt"):
        call(stack, "GET", debate + part, status=404)
    call(stack, "DELETE", debate, status=404)
    assert stack.wait_end(fork)["parent_debate_id"] == debate


def test_delete_while_it_runs(stack):
    """Who watches is told; the runner goes on with others."""
    debate, deleted = stack.create(rounds=9), []

    def on_event(message):
        if message["type"] == "agent_message" and not deleted:
            deleted.append(call(stack, "DELETE", debate))
    messages = asyncio.run(stack.watch(debate, on_event))
    assert deleted[0]["success"]
    assert messages[-1]["data"]["status"] == "cancelled"
    call(stack, "GET", debate, status=404)
    assert stack.wait_end(stack.create(rounds=1))["status"] == "completed"
    for t in ("events", "turns", "receipts"):
        assert not stack.rows(f"SELECT 1 FROM {t} "
                               f"WHERE debate_id = '{debate}'")
