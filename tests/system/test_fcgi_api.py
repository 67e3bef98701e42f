# SPDX-License-Identifier: MIT
"""The REST API through nginx, over kept FastCGI connections and over SCGI."""
import json

import pytest

import fcgi_stack as fs

MAX_BODY = 20000


@pytest.fixture(name="stack", scope="module", params=["fcgi", "scgi"])
def fixture_stack(request):
    with fs.Stack(protocol=request.param, max_request_size=MAX_BODY,
                  allowed_origins="http://page.example",
                  trusted_proxies="127.0.0.1",
                  max_queued_debates=50) as stack:
        yield stack.start_workers().start_nginx()


@pytest.fixture(name="api")
def fixture_api(stack):
    with stack.client() as c:
        yield c


def envelope(response, status, code):
    body = response.json()
    assert response.status_code == status, body
    assert body["code"] == code
    assert isinstance(body["error"], str) and body["error"]
    assert body["message"] == body["error"]
    assert body["trace_id"] == response.headers["X-Trace-Id"]
    for e in body.get("errors", []):
        assert isinstance(e["field"], str) and isinstance(e["message"], str)
    return body


# ---- health ----

@pytest.mark.parametrize("path", ["/healthz", "/health", "/health/live"])
def test_live(api, path):
    r = api.get(path)
    assert r.status_code == 200 and r.json()["status"] == "ok"


@pytest.mark.parametrize("path", ["/readyz", "/health/ready"])
def test_ready(api, path):
    r = api.get(path)
    assert r.status_code == 200
    assert r.json()["status"] == "ready"
    assert r.json()["checks"]["database"] is True
    assert isinstance(r.json()["latency_ms"], (int, float))


@pytest.mark.parametrize("path", ["/api/health", "/api/v1/health",
                                  "/api/v2/health/", "/api/health/detailed"])
def test_health(api, path):
    r = api.get(path)
    body = r.json()
    assert r.status_code == 200
    assert body["status"] == "healthy"
    assert body["database"] == "connected"
    assert body["redis"] == "not_configured"
    assert isinstance(body["active_debates"], int)
    assert isinstance(body["websocket_connections"], int)
    assert body["uptime_seconds"] >= 0
    assert body["timestamp"].endswith("Z")
    if "detailed" in path:
        assert body["checks"]["database"]["status"] == "healthy"


def test_metrics(api):
    r = api.get("/metrics")
    assert r.headers["Content-Type"].startswith("text/plain")
    assert "aragora_http_requests_total" in r.text
    assert api.get("/metrics?token=x").status_code == 401


def test_capabilities(api):
    body = api.get("/api/capabilities").json()
    assert body["version"] and "debates" in body["features"]


# ---- conventions ----

def test_headers(api):
    r = api.get("/api/health")
    assert r.headers["X-Content-Type-Options"] == "nosniff"
    assert r.headers["X-Frame-Options"] == "DENY"
    assert r.headers["Content-Type"] == "application/json"
    assert "Strict-Transport-Security" not in r.headers


def test_trace_id(api):
    ours = api.get("/healthz", headers={"X-Trace-Id": "abc-1.2_3"})
    assert ours.headers["X-Trace-Id"] == "abc-1.2_3"
    ours = api.get("/healthz", headers={"X-Request-ID": "r1"})
    assert ours.headers["X-Trace-Id"] == "r1"
    for bad in ("a b", "x" * 65, "a;b", "<script>"):
        r = api.get("/healthz", headers={"X-Trace-Id": bad})
        assert r.headers["X-Trace-Id"] != bad
        assert len(r.headers["X-Trace-Id"]) == 32


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/nothing", "/api", "/api/v1/none",
                                  "/api/debates/x/none"])
def test_unknown_route(api, method, path):
    envelope(api.request(method, path), 404, "NOT_FOUND")


def test_wrong_method(api):
    r = api.delete("/api/v1/debates")
    envelope(r, 405, "INVALID_VALUE")
    assert r.headers["Allow"] == "GET, HEAD, POST, OPTIONS"
    r = api.request("BREW", "/api/debates")
    assert r.status_code == 405


def test_head(api):
    r = api.head("/api/health")
    assert r.status_code == 200 and r.content == b""


@pytest.mark.parametrize("path", ["/api/debates/%ff", "/api/debates/%zz",
                                  "/api/debates?q=%00", "/api/debates/%0a",
                                  "/api/debates?q=%ed%a0%80"])
def test_bad_escapes(stack, path):
    # The raw line, for clients repair such paths.
    with fs.socket.create_connection(("127.0.0.1", stack.port), 30) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n"
                  "Connection: close\r\n\r\n".encode())
        data = b""
        while part := s.recv(65536):
            data += part
    assert data.startswith(b"HTTP/1.1 400 ")


def test_cors(api):
    allowed = {"Origin": "http://page.example"}
    r = api.get("/healthz", headers=allowed)
    assert r.headers["Access-Control-Allow-Origin"] == "http://page.example"
    assert r.headers["Vary"] == "Origin, Accept"
    r = api.options("/api/v1/debates", headers={
        **allowed, "Access-Control-Request-Method": "POST"})
    assert r.status_code == 204 and r.content == b""
    assert "POST" in r.headers["Access-Control-Allow-Methods"]
    other = {"Origin": "http://evil.example"}
    r = api.get("/healthz", headers=other)
    assert "Access-Control-Allow-Origin" not in r.headers
    r = api.post("/api/debates", headers=other, json={"task": "x"})
    envelope(r, 403, "FORBIDDEN")
    own = {"Origin": str(api.base_url).rstrip("/")}
    r = api.post("/api/debates", headers=own, json={})
    assert r.status_code == 400


EXPOSED = {
    "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
    "RateLimit", "RateLimit-Policy", "Retry-After", "X-Trace-Id",
    "X-Request-ID", "traceparent", "tracestate", "ETag", "Allow",
    "Content-Disposition", "Idempotent-Replayed", "X-Aragora-Position"}
ASKABLE = {
    "Content-Type", "Authorization", "X-API-Key", "Idempotency-Key",
    "X-Trace-Id", "X-Request-ID", "traceparent", "tracestate", "If-Match",
    "If-None-Match", "X-Aragora-Position"}


def words(r, name):
    return {w.strip() for w in r.headers[name].split(",")}


def test_cors_headers(api):
    """What a page may send and read; never with the browser's cookies."""
    allowed = {"Origin": "http://page.example"}
    ask = {"Access-Control-Request-Method": "PATCH",
           "Access-Control-Request-Headers": "if-match, content-type"}
    r = api.options("/api/debates/x", headers={**allowed, **ask})
    assert r.status_code == 204
    assert words(r, "Access-Control-Allow-Methods") == {
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    assert words(r, "Access-Control-Allow-Headers") == ASKABLE
    assert int(r.headers["Access-Control-Max-Age"]) > 0
    for r in (r, api.get("/api/health", headers=allowed),
              api.get("/api/debates/none", headers=allowed)):
        assert words(r, "Access-Control-Expose-Headers") == EXPOSED
        assert "Access-Control-Allow-Credentials" not in r.headers
    # An answer that another origin's page must not reuse from a cache.
    for headers in ({}, {"Origin": "http://evil.example"}):
        r = api.get("/api/health", headers=headers)
        assert "Origin" in words(r, "Vary")
        assert not [h for h in r.headers if h.startswith("access-control")]


@pytest.mark.parametrize("origin", [
    "https://page.example", "http://page.example:81", "http://page.example.x",
    "http://x.page.example", "http://PAGE.example", "http://page.exampl",
    "null", "http://page.example/", "page.example", "x"])
def test_cors_refused(api, origin):
    ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    r = api.options("/api/debates", headers=ask)
    assert r.status_code == 204
    assert "Access-Control-Allow-Origin" not in r.headers
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        r = api.request(method, "/api/debates", headers={"Origin": origin})
        envelope(r, 403, "FORBIDDEN")


def test_problem(api):
    """RFC 9457 for who asks for it; the envelope's members stay."""
    accept = {"Accept": "application/problem+json, application/json;q=0.5"}
    for r, status, title in (
            (api.get("/api/debates/none", headers=accept), 404, "Not Found"),
            (api.post("/api/debates", headers=accept, json={}), 400,
             "Bad Request"),
            (api.delete("/api/debates", headers=accept), 405,
             "Method Not Allowed"),
            (api.get("/api/x%ff", headers=accept), 400, "Bad Request")):
        assert r.headers["Content-Type"] == "application/problem+json"
        body = envelope(r, status, r.json()["code"])
        assert body["type"] == "about:blank" and body["title"] == title
        assert body["status"] == status
        assert body["detail"] == body["message"]
    r = api.get("/api/health", headers=accept)
    assert r.headers["Content-Type"] == "application/json"
    r = api.get("/api/debates/none")
    assert r.headers["Content-Type"] == "application/json"
    assert "detail" not in r.json()


def test_openapi(api):
    doc = api.get("/api/openapi.json").json()
    assert doc["openapi"] == "3.1.0"
    assert doc["paths"]["/api/debates"]["post"]["responses"]["201"]
    text = json.dumps(doc)

    def check_refs(node):
        if isinstance(node, dict):
            if "$ref" in node:
                target = doc
                for part in node["$ref"].lstrip("#/").split("/"):
                    target = target[part]
            for child in node.values():
                check_refs(child)
        elif isinstance(node, list):
            for child in node:
                check_refs(child)

    check_refs(doc)
    assert text.count("operationId") > 20


# ---- request bodies ----

DEEP = '{"a":' * 30 + "1" + "}" * 30


@pytest.mark.parametrize("text, field", [
    (b"{", None), (b"not json", None), (b"[1]", "body"), (b'"x"', "body"),
    (b'{"task":"a","task":"b"}', "task"),
    (b'{"task":"a","context":{"k":1,"k":2}}', "context.k"),
    (b'{"task":"a","seed":NaN}', "seed"),
    (b'{"task":"a","seed":1e999}', "seed"),
    (b'{"task":"\xff"}', "task"),
    (b'{"task":"\\ud800"}', "task"),
    (b'{"task":"a\tb"}', "task"),
    (b'{"task":"a"} x', None),
    (DEEP.encode(), "a.a"),
])
def test_malformed_json(api, text, field):
    r = api.post("/api/v1/debates", content=text,
                 headers={"Content-Type": "application/json"})
    body = envelope(r, 400, "INVALID_JSON")
    assert body["errors"][0]["field"] == body["field"]
    if field is not None:
        assert body["field"].startswith(field), body


def test_too_large(api):
    r = api.post("/api/debates", json={"task": "a" * (MAX_BODY + 1)})
    body = envelope(r, 413, "INVALID_VALUE")
    assert body["field"] == "body"
    assert api.get("/healthz").status_code == 200


def test_missing_and_wrong_fields(api):
    envelope(api.post("/api/debates", json={}), 400, "MISSING_FIELD")
    envelope(api.post("/api/debates"), 400, "MISSING_FIELD")
    r = api.post("/api/debates", json={"task": "x", "priority": "high"})
    assert envelope(r, 400, "INVALID_VALUE")["field"] == "priority"
    r = api.post("/api/debates", json={"task": "x", "priority": 11})
    assert envelope(r, 400, "INVALID_VALUE")["field"] == "priority"


# ---- debates ----

def create(api, task="Is water wet?", **kwargs):
    r = api.post("/api/debates", json={
        "task": task, "agents": ["demo", "demo"], "rounds": 1}, **kwargs)
    assert r.status_code == 201, r.text
    return r.json()


def test_create_and_get(api):
    made = create(api)
    assert made["success"] is True
    assert made["debate_id"] == made["id"]
    assert made["debate_id"].startswith("adhoc_")
    assert made["status"] == "pending"
    assert made["queue_position"] >= 1
    host = str(api.base_url).split("//")[1].rstrip("/")
    assert made["websocket_url"] == \
        f"ws://{host}/ws?debate_id={made['id']}"
    for path in ("/api/debates/", "/api/v1/debates/", "/api/debates/slug/"):
        got = api.get(path + made["id"])
        assert got.status_code == 200
        assert got.json()["task"] == "Is water wet?"
    assert api.get(made["status_url"]).json()["id"] == made["id"]


def test_websocket_url_behind_tls(api):
    made = create(api, headers={"X-Forwarded-Proto": "https"})
    assert made["websocket_url"].startswith("wss://")


def test_legacy_create(api):
    r = api.post("/api/debate", json={"task": "x?", "agents": "demo,demo"})
    assert r.status_code == 201


def test_idempotency(api):
    key = {"Idempotency-Key": "key-1"}
    first = create(api, headers=key)
    again = create(api, headers=key)
    assert again["id"] == first["id"]
    r = api.post("/api/debates", json={"task": "other", "agents": [
        "demo", "demo"]}, headers=key)
    envelope(r, 409, "CONFLICT")
    r = api.post("/api/debates", json={"task": "x"},
                 headers={"Idempotency-Key": "a b"})
    envelope(r, 400, "INVALID_VALUE")


def test_list(api):
    ids = [create(api, f"needle {i}?")["id"] for i in range(3)]
    page = api.get("/api/debates", params={"q": "NEEDLE", "limit": 2}).json()
    assert page["items"] == page["debates"]
    assert [d["id"] for d in page["items"]] == [ids[2], ids[1]]
    assert (page["total"], page["count"], page["limit"], page["offset"],
            page["has_more"]) == (3, 2, 2, 0, True)
    page = api.get("/api/debates", params={
        "q": "needle", "limit": 2, "offset": 2}).json()
    assert [d["id"] for d in page["items"]] == [ids[0]]
    assert page["has_more"] is False
    page = api.get("/api/debates", params={
        "limit": 100000, "offset": "x"}).json()
    assert page["limit"] == 100 and page["offset"] == 0
    page = api.get("/api/debates?status=completed").json()
    assert page["items"] == []
    r = api.get("/api/debates?status=sleeping&since=yesterday")
    body = envelope(r, 400, "INVALID_VALUE")
    assert [e["field"] for e in body["errors"]] == ["status", "since"]


def test_not_found(api):
    for path in ("/api/debates/adhoc_ffffffff",
                 "/api/debates/adhoc_ffffffff/messages",
                 "/api/debates/adhoc_ffffffff/events"):
        envelope(api.get(path), 404, "NOT_FOUND")
    envelope(api.post("/api/debates/adhoc_ffffffff/cancel"), 404,
             "NOT_FOUND")
    envelope(api.get("/api/debates/bad%20id"), 400, "INVALID_VALUE")


def test_messages_and_events_of_a_pending_debate(api):
    made = create(api)
    page = api.get(f"/api/debates/{made['id']}/messages").json()
    assert page["messages"] == page["items"] == []
    assert page["debate_id"] == made["id"] and page["limit"] == 50
    page = api.get(f"/api/debates/{made['id']}/events?since=0").json()
    assert page["events"] == [] and page["next_seq"] == 0
    r = api.get(f"/api/debates/{made['id']}/events?since=-1")
    envelope(r, 400, "INVALID_VALUE")


def test_cancel(api):
    made = create(api)
    r = api.post(f"/api/debates/{made['id']}/cancel")
    assert r.status_code == 200
    assert r.json()["status"] == "cancelled"
    envelope(api.post(f"/api/debates/{made['id']}/cancel"), 409, "CONFLICT")
    assert api.get(f"/api/debates/{made['id']}").json()[
        "status"] == "cancelled"
    page = api.get(f"/api/debates/{made['id']}/events").json()
    assert [e["type"] for e in page["events"]] == ["debate_end"]
    end = page["events"][0]
    assert end["seq"] == page["next_seq"] == 1
    assert end["data"]["status"] == "cancelled"
    assert end["debate_id"] == made["id"]


# ---- agents ----

def test_agents(api):
    page = api.get("/api/v1/agents").json()
    assert page["agents"] == page["items"] and page["total"] >= 1
    for agent in page["agents"]:
        assert agent["name"] == agent["agent_name"] == agent["agent"]
        assert agent["elo"] == agent["elo_rating"] == 1500
        assert agent["win_rate"] == 0 and agent["matches"] == 0
        assert agent["status"] in ("available", "unavailable")
    assert api.get("/api/agents/demo").json()["available"] is True
    envelope(api.get("/api/agents/nobody"), 404, "NOT_FOUND")
    page = api.get("/api/agents?limit=1&offset=1").json()
    assert page["count"] == 1 and page["offset"] == 1


# ---- credentials ----

@pytest.fixture(name="closed", scope="module")
def fixture_closed():
    with fs.Stack(api_token="open-sesame", metrics_token="m-token",
                  max_queued_debates=1) as stack:
        yield stack.start_workers().start_nginx()


def test_credentials(closed):
    with closed.client() as c:
        r = c.get("/api/debates")
        envelope(r, 401, "AUTH_REQUIRED")
        assert r.headers["WWW-Authenticate"] == "Bearer"
        for header in ({"Authorization": "Bearer wrong"},
                       {"Authorization": "Basic b3Blbi1zZXNhbWU="},
                       {"Authorization": "Bearer"},
                       {"X-API-Key": "wrong"}):
            envelope(c.get("/api/debates", headers=header), 401,
                     "INVALID_TOKEN")
            # a bad one is refused where none is needed, but by probes
            envelope(c.get("/api/agents", headers=header), 401,
                     "INVALID_TOKEN")
            assert c.get("/api/health", headers=header).status_code == 200
        for header in ({"Authorization": "Bearer open-sesame"},
                       {"Authorization": "bearer  open-sesame"},
                       {"X-API-Key": "open-sesame"}):
            assert c.get("/api/debates", headers=header).status_code == 200
        assert c.get("/api/agents").status_code == 200
        assert c.get("/api/capabilities").json()["auth_required"] is True


def test_metrics_token(closed):
    with closed.client() as c:
        assert c.get("/metrics").status_code == 401
        for token, status in (("open-sesame", 401), ("m-token", 200)):
            r = c.get("/metrics", headers={
                "Authorization": f"Bearer {token}"})
            assert r.status_code == status


def test_full_queue(closed):
    with closed.client(headers={"X-API-Key": "open-sesame"}) as c:
        create(c)
        r = c.post("/api/debates", json={
            "task": "one more?", "agents": ["demo", "demo"]})
        body = envelope(r, 503, "SERVICE_UNAVAILABLE")
        assert int(r.headers["Retry-After"]) == body["retry_after"] >= 1
        assert "open-sesame" not in closed.logged()
