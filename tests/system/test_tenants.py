# SPDX-License-Identifier: MIT
"""Tenants and workspaces: who sees and changes which, quotas that hold, plans
that count, on both databases."""
import concurrent.futures

import pytest

import stack as st
from account_kit import Caller, login, operator, register, user

DEBATE = {"task": "Tea or coffee?", "agents": ["demo", "demo"]}
KINDS = ("tenants", "workspaces")


@pytest.fixture(name="stack", scope="module", params=["sqlite", "postgresql"])
def fixture_stack(request):
    if request.param == "postgresql":
        owner, app = request.getfixturevalue("postgres").roles()
        s = st.Stack(database_url=app, owner_url=owner, runners=0)
    else:
        s = st.Stack(runners=0)
    with s:
        s.boss = operator(s)
        yield s


@pytest.mark.parametrize("kind", KINDS)
def test_operator(stack, kind):
    boss, base = stack.boss, f"/api/{kind}"
    made = boss.post(base, {
        "name": "Acme", "slug": f"acme-{kind}", "plan": "starter",
        "settings": {"a": 1}, "quotas": {"debates_per_month": 3}}, 201)
    assert made["name"] == "Acme" and made["slug"] == f"acme-{kind}"
    assert made["plan"] == "starter" and made["status"] == "active"
    assert made["settings"] == {"a": 1} and made["owner_id"] is None
    path = f"{base}/{made['id']}"
    assert boss.get(path)["id"] == made["id"]
    listed = boss.get(f"{base}?limit=100")
    assert listed[kind] == listed["items"]
    assert listed["limit"] == 100 and boss.get(base)["limit"] == 50
    assert made["id"] in [t["id"] for t in listed["items"]]
    r = boss.ask("POST", base, {"name": "B", "slug": f"acme-{kind}"}, 409)
    assert r.json()["code"] == "CONFLICT"
    got = boss.ask("PATCH", path, {"name": "New", "plan": "enterprise",
                                   "slug": f"new-{kind}"}, 200).json()
    assert (got["name"], got["plan"]) == ("New", "enterprise")
    assert boss.get(f"{path}/quotas")["quotas"]["debates_per_month"] == 3
    assert boss.post(f"{path}/suspend")["status"] == "suspended"
    assert made["id"] in [t["id"] for t in boss.get(
        f"{base}?status=suspended&limit=100")["items"]]
    assert boss.post(f"{path}/reactivate")["status"] == "active"
    assert boss.ask("DELETE", path, expect=200).json()["deleted"] is True
    assert boss.get(path)["status"] == "deleted"
    boss.ask("POST", f"{path}/reactivate", expect=409)
    boss.get(f"{base}/org_unknown", expect=404)
    for action in ("suspend", "reactivate"):
        boss.ask("POST", f"{base}/default/{action}", expect=409)
    boss.ask("DELETE", f"{base}/default", expect=409)


@pytest.mark.parametrize("body, field", [
    ({}, "name"), ({"name": ""}, "name"), ({"name": "n" * 101}, "name"),
    ({"name": "x", "slug": "A b"}, "slug"), ({"name": 1}, "name"),
    ({"name": "x", "plan": "gold"}, "plan"),
    ({"name": "x", "settings": []}, "settings"),
    ({"name": "x", "settings": {"x": "y" * 16384}}, "settings"),
    ({"name": "x", "quotas": 1}, "quotas"),
    ({"name": "x", "quotas": {"usd_day": -1}}, "usd_day"),
    ({"name": "x", "quotas": {"tokens_day": 1.5}}, "tokens_day"),
    ({"name": "x", "owner_id": "user_no"}, "owner_id"),
])
def test_bad_bodies(stack, body, field):
    r = stack.boss.ask("POST", "/api/tenants", body, expect=400)
    assert r.json()["errors"][0]["field"] == field


def test_who_may_what(stack):
    """The matrix of roles over one tenant, and of somebody else."""
    ann = register(stack, "ann@example.org")
    path = f"/api/tenants/{ann.tenant}"
    people = {r: user(stack, f"{r}@matrix.org", r, ann.tenant)
              for r in ("admin", "member", "viewer")}
    people["owner"] = ann
    other = register(stack, "eve@example.org")
    for role, who in people.items():
        admin = role in ("owner", "admin")
        for part in ("", "/quotas", "/usage", "/members"):
            who.get(path + part)
        only = who.get("/api/tenants")
        assert [t["id"] for t in only["tenants"]] == [ann.tenant]
        assert only["total"] == 1
        assert who.get("/api/tenants?offset=1")["count"] == 0
        assert who.get("/api/tenants?status=suspended")["total"] == 0
        r = who.ask("PATCH", path, {"name": f"by {role}"})
        assert r.status_code == (200 if admin else 403)
        for method, part, body in (
                ("POST", "/suspend", None), ("POST", "/reactivate", None),
                ("PUT", "/quotas", {"usd_day": 1000})):
            who.ask(method, path + part, body, expect=403)
        who.ask("POST", "/api/tenants", {"name": "x"}, expect=403)
        who.ask("PATCH", path, {"plan": "enterprise"}, expect=403)
        r = who.ask("PATCH", path, {"owner_id": people["member"].id})
        assert r.status_code == (200 if role == "owner" else 403)
        if role != "owner":
            who.ask("DELETE", path, expect=403)
        who.get(f"/api/tenants/{other.tenant}", expect=404)
        # A key of a lower scope does less.
        if admin:
            who.key(scopes=["write"]).ask(
                "PATCH", path, {"name": "x"}, expect=403)
            who.key(scopes=["admin"]).ask(
                "PATCH", path, {"name": "x"}, expect=200)
    members = ann.get(f"{path}/members?limit=2")
    assert members["total"] == 4 and members["count"] == 2
    assert members["members"] == members["items"]
    assert members["members"][0]["email"] == "ann@example.org"
    assert members["has_more"] is True
    for part in ("", "/quotas", "/usage", "/members"):
        other.get(path + part, expect=404)
        stack.boss.get(path + part)
    Caller(stack).get(path, expect=401)
    ann.ask("DELETE", path, expect=200)
    for who in people.values():
        r = who.ask("GET", "/api/debates", expect=403)
        assert r.json()["error"] == "the tenant is deleted"
    r = stack.post("/api/auth/login", {"email": "ann@example.org",
                                       "password": "correct-horse-battery"})
    assert r.status_code == 403


def test_suspended_callers(stack):
    ann = register(stack, "sus@example.org")
    key = ann.key(scopes=["admin"])
    path = f"/api/tenants/{ann.tenant}"
    stack.boss.post(f"{path}/suspend")
    for who in (ann, key):
        for ask in (("GET", "/api/debates"), ("GET", "/api/agents"),
                    ("GET", "/api/auth/me"), ("POST", "/api/auth/logout"),
                    ("POST", "/api/debates", DEBATE)):
            r = who.ask(*ask, expect=403)
            assert r.json()["code"] == "FORBIDDEN"
    for path_, body in (("/api/auth/refresh",
                         {"refresh_token": ann.refresh_token}),
                        ("/api/auth/login",
                         {"email": "sus@example.org",
                          "password": "correct-horse-battery"})):
        assert stack.post(path_, body).status_code == 403
    assert ann.ask("GET", "/api/health").status_code == 200
    stack.boss.post(f"{path}/reactivate")
    assert ann.post("/api/debates", DEBATE, 201)
    assert login(stack, "sus@example.org").get("/api/debates")["total"] == 1


def test_quotas(stack):
    ann = register(stack, "quota@example.org")
    path = f"/api/tenants/{ann.tenant}/quotas"
    none = dict.fromkeys(("debates_per_month", "usd_day", "usd_month",
                          "tokens_day", "tokens_month"))
    assert ann.get(path) == {"tenant_id": ann.tenant, "quotas": none}
    some = {"debates_per_month": 2, "usd_day": 0.5, "tokens_month": 10 ** 9}
    got = stack.boss.ask("PUT", path, some, 200).json()
    assert got["quotas"] == {**none, **some}
    assert ann.get(path) == got
    got = stack.boss.ask("PUT", path, {"quotas": {"usd_day": None}}, 200)
    assert got.json()["quotas"] == {**none, **some, "usd_day": None}
    for body, field in (({"usd_day": "x"}, "usd_day"),
                        ({"debates_per_month": 1.5}, "debates_per_month"),
                        ({"tokens_day": -1}, "tokens_day")):
        r = stack.boss.ask("PUT", path, body, expect=400)
        assert r.json()["field"] == field


def test_debates_of_a_month(stack):
    """Exactly as many as the quota says, also side by side; then 402."""
    ann = register(stack, "month@example.org")
    stack.boss.ask("PUT", f"/api/tenants/{ann.tenant}/quotas",
                   {"debates_per_month": 3}, expect=200)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(lambda _: ann.ask(
            "POST", "/api/debates", DEBATE).status_code, range(6)))
    assert sorted(codes) == [201] * 3 + [402] * 3
    r = ann.ask("POST", "/api/debates", DEBATE, expect=402).json()
    assert r["code"] == "QUOTA_EXCEEDED" and r["unit"] == "debates"
    assert r["period"] == "month" and r["resets_at"].endswith("Z")
    usage = ann.get(f"/api/tenants/{ann.tenant}/usage")
    assert usage["debates_this_month"] == usage["debates_per_month"] == 3
    bob = register(stack, "month2@example.org")
    assert bob.post("/api/debates", DEBATE, 201)
    stack.boss.ask("PUT", f"/api/tenants/{ann.tenant}/quotas",
                   {"debates_per_month": None}, expect=200)
    assert ann.post("/api/debates", DEBATE, 201)


def test_plans_are_tiers(stack):
    """What a plan makes of its users and their keys."""
    ann = register(stack, "plan@example.org")
    key = ann.key()
    for plan, tier in (("free", "authenticated"),
                       ("starter", "authenticated"),
                       ("professional", "premium"), ("enterprise", "premium"),
                       ("premium", "premium")):
        stack.boss.ask("PATCH", f"/api/tenants/{ann.tenant}", {"plan": plan},
                       expect=200)
        for who in (ann, key):
            assert who.get("/api/rate-limits")["tier"] == tier
            me = who.get("/api/auth/me")
            assert me["plan"] == plan and me["tier"] == tier
    assert stack.boss.get("/api/rate-limits")["tier"] == "internal"
    assert Caller(stack).get("/api/rate-limits")["tier"] == "anonymous"
