# SPDX-License-Identifier: MIT
"""The served document against the server: requests made from it, right and
wrong ones, get no 5xx and nothing that the document does not tell."""
import json
import tempfile
import urllib.parse

import httpx
import hypothesis
import jsonschema
import pytest
import stack as st
from account_kit import PASSWORD, login, operator, register
from hypothesis import configuration, strategies

# Nothing is left in the sources.
HOME = tempfile.TemporaryDirectory()
configuration.set_hypothesis_home_dir(HOME.name)

EXAMPLES = 30  # per operation
RIGHT = 3  # of four inputs
# What a 5xx may be: the state of the service itself.
PROBES = {"/readyz", "/health/ready", "/api/health/ready"}
QUEUE = "1000000"  # never full
AGENTS = ["openai-api", "anthropic-api", "gemini"]
KEYS = {"OPENAI_API_KEY": "sk-planted-1", "ANTHROPIC_API_KEY": "sk-planted-2",
        "GEMINI_API_KEY": "sk-planted-3"}
# Values by the names of parameters and members; the rest is of the schema.
NAMED = {
    "name": AGENTS, "opponent": AGENTS, "agent": AGENTS, "agent_a": AGENTS,
    "agent_b": AGENTS, "agent1": AGENTS, "agent2": AGENTS,
    "agents": ["gemini,openai-api", "demo,demo"], "domain": ["storage"],
    "format": ["json", "csv", "markdown"], "task": ["Tea or coffee?"],
    "topic": ["Tea or coffee?"],
    "question": ["Tea or coffee?"], "consensus": ["majority", "judge"],
    "status": ["completed", "archived"], "type": ["suggestion", "context"],
    "seed": [0, 7], "intensity": [1, 10], "priority": [0, 10], "budget_limit_usd": [0, 99.5],
    "budget_limit_tokens": [0, 10 ** 6], "budget_limit_seconds": [0, 3600],
    "protocol": [{"preset": "debate"}, {"rounds": 2}], "context": ["At home."],
    "items": [[{"task": "Tea or coffee?", "agents": "demo,demo"}]],
    "requests": [[{"question": "Tea?", "agents": ["demo", "demo"]}] * 2],
    "webhook_url": ["https://hooks.example.org/"],
    "since": [0, "2026-01-01T00:00:00Z"], "input": ["Think of the cost."],
    "password": [PASSWORD], "current_password": [PASSWORD],
    "new_password": ["another-password"], "scopes": [["read"], ["write"]],
    "expires_at": ["2030-01-01T00:00:00Z"], "expires_in": [3600],
    "avatar_url": ["https://example.org/a.png", ""],
    "key": ["tea", "coffee"], "tier": ["medium", "slow"],
    "tiers": ["fast,slow", "medium"], "target_tier": ["slow", "glacial"],
    "to_tier": ["glacial"], "from_tier": ["medium"], "query": ["tea warm"],
    "q": ["tea"], "start_time": ["2026-01-01T00:00:00Z"],
    "end_time": ["2027-01-01T00:00:00Z"], "value": ["warm", {"cups": 2}],
    "data": [[{"key": "milk", "value": "cold"}, {"content": "no sugar"}]],
    "ttl_seconds": [60, 3600], "importance": [0, 0.5], "tags": [["tea"]],
    "elo_change": [12, -2.5], "source_debate_id": ["adhoc_1"], "debate_id": ["adhoc_1"],
}

anything = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() |
    strategies.floats(allow_nan=False, allow_infinity=False) |
    strategies.text(max_size=20),
    lambda inner: strategies.lists(inner, max_size=3) |
    strategies.dictionaries(strategies.text(max_size=8), inner, max_size=3),
    max_leaves=6)


def often(right, wrong):
    return strategies.integers(0, RIGHT).flatmap(
        lambda n: right if n else wrong)


class Document:
    def __init__(self, s):
        self.text = s.get("/api/openapi.json")
        self.schemas = self.text["components"]["schemas"]
        # What takes away comes last.
        self.operations = sorted(
            ((path, method) for path, item in self.text["paths"].items()
             for method in item), key=lambda o: (o[1] == "delete", o))
        self.named = {}

    def operation(self, path, method):
        return self.text["paths"][path][method]

    def resolve(self, part):
        while "$ref" in part:
            at = self.text
            for name in part["$ref"].split("/")[1:]:
                at = at[name]
            part = at
        if "allOf" not in part:
            return part
        whole = {"type": "object", "properties": {}, "required": []}
        for one in map(self.resolve, part["allOf"]):
            whole["properties"].update(one.get("properties", {}))
            whole["required"] += one.get("required", [])
        return whole

    def check(self, schema, value):
        jsonschema.Draft202012Validator(
            {**schema, "components": self.text["components"]}).validate(value)

    # ---- what may be sent ----

    def value(self, schema, name=None):
        schema = self.resolve(schema)
        if name in self.named:
            return strategies.sampled_from(self.named[name])
        if "enum" in schema:
            return strategies.sampled_from(schema["enum"])
        kind = schema.get("type")
        if kind == "integer":
            return strategies.integers(schema.get("minimum", -5),
                                       schema.get("maximum", 2 ** 40))
        if kind == "number":
            return strategies.floats(-1e6, 1e6)
        if kind == "boolean":
            return strategies.booleans()
        if kind == "array":
            return strategies.lists(self.value(schema.get("items", {})),
                                    max_size=4)
        if kind == "object":
            return self.object(schema)
        if kind == "string":
            return strategies.text(
                max_size=min(schema.get("maxLength", 40), 40))
        return anything

    def object(self, schema):
        """Members of the schema, or some of them of the wrong type."""
        right = {k: self.value(v, k)
                 for k, v in schema.get("properties", {}).items()}
        mixed = {k: often(v, anything) for k, v in right.items()}
        needed = {k: right.pop(k) for k in schema.get("required", [])}
        return strategies.fixed_dictionaries(needed, optional=right) | \
            strategies.fixed_dictionaries({}, optional=mixed)

    def path_text(self, name):
        """The web server itself refuses a zero byte."""
        text = strategies.text(strategies.characters(
            blacklist_characters="\0"), min_size=1, max_size=20)
        if name not in self.named:
            return text
        return often(strategies.sampled_from(self.named[name]), text)

    def requests(self, path, method):
        op = self.operation(path, method)
        parameters = [self.resolve(p) for p in op["parameters"]]
        parts = {"path": {}, "query": {}, "header": {}}
        for p in parameters:
            if p["in"] == "path":
                parts["path"][p["name"]] = self.path_text(p["name"])
            elif p["in"] == "query":
                parts["query"][p["name"]] = often(
                    self.value(p["schema"], p["name"]),
                    strategies.text(max_size=20))
        body = strategies.none()
        if "requestBody" in op:
            schema = op["requestBody"]["content"]["application/json"]["schema"]
            body = often(self.value(schema).map(json.dumps),
                         anything.map(json.dumps) |
                         strategies.text(max_size=30))
        return strategies.tuples(
            strategies.fixed_dictionaries(parts["path"]),
            strategies.fixed_dictionaries({}, optional=parts["query"]), body)


def text_of(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def url_of(path, names, query):
    for name, value in names.items():
        path = path.replace("{" + name + "}", urllib.parse.quote(
            value.encode("utf-8", "replace"), safe=""))
    pairs = {k: text_of(v).encode("utf-8", "replace")
             for k, v in query.items()}
    return path + ("?" + urllib.parse.urlencode(pairs) if pairs else "")


@pytest.fixture(name="stack", scope="module", params=["sqlite", "postgresql"])
def fixture_stack(request):
    url = request.getfixturevalue("postgres").database() \
        if request.param == "postgresql" else None
    with st.Stack(database_url=url, stub=True,
                  ARAGORA_MAX_QUEUED_DEBATES=QUEUE,
                  ARAGORA_MEMORY_PROFILING="true", **KEYS) as s:
        seats = [f"{a}|stub-arith:0.6" for a in AGENTS]
        s.ended = [s.create(task=f"What is {i} + 30?", agents=seats, rounds=1,
                            seed=i, consensus="majority", domain="storage",
                            tags=["json"]) for i in range(4)]
        for i in s.ended:
            s.wait_end(i)
        # Nothing else ends while it is asked about.
        st.end(s.runners.pop())
        s.archived = s.ended.pop()
        assert s.post(f"/api/debates/{s.archived}/archive").status_code == 200
        s.document = Document(s)
        s.people, s.operator = 0, operator(s)
        s.client = httpx.Client(base_url=s.url(""), trust_env=False,
                                timeout=st.WAIT)
        yield s
        s.client.close()


def prepare_person(s, path, method):
    """Somebody with a session and a key, for what only they may ask."""
    s.client.headers.pop("Authorization", None)
    if path == "/api/metrics/memory":  # for operators alone
        s.client.headers["Authorization"] = f"Bearer {s.operator.token}"
        return {}
    if not path.startswith(("/api/auth/", "/api/user", "/api/tenants",
                            "/api/workspaces")):
        return {}
    known = s.document.operation(path, method).get("x-auth") == "known"
    if path.startswith(("/api/tenants", "/api/workspaces")):
        if not known:
            return {}
        s.client.headers["Authorization"] = f"Bearer {s.operator.token}"
        s.people += 1
        return {"id": [s.operator.post("/api/tenants", {"name": "T"},
                                       201)["id"] for _ in range(3)],
                "slug": [f"s{s.people}-{i}" for i in range(9)],
                "plan": ["starter", "enterprise"], "settings": [{"a": 1}],
                "quotas": [{"usd_day": 1.5, "debates_per_month": None}],
                "debates_per_month": [7, None], "usd_day": [0.5, None],
                "usd_month": [9], "tokens_day": [10 ** 6],
                "tokens_month": [None]}
    s.people += 1
    email = f"person{s.people}@example.org"
    ann = register(s, email)
    ids = []
    named = {"email": [email], "refresh_token": [ann.refresh_token]}
    if path.endswith("/register"):
        named["email"] = [f"new{i}-{email}" for i in range(20)]
    if "api-keys" in path:
        ids = [ann.post("/api/auth/api-keys", {"name": "k"}, 201)["id"]
               for _ in range(3)]
    elif "sessions" in path:
        login(s, email)
        ids = [x["id"] for x in ann.get("/api/auth/sessions")["sessions"]
               if not x["current"]]
    if known:
        s.client.headers["Authorization"] = f"Bearer {ann.token}"
    return {**named, **({"id": ids} if ids else {})}


def remember(s):
    """What operations on memory find; the ids of it."""
    ids = []
    for key in NAMED["key"]:
        r = s.post("/api/memory/store", {"key": key, "value": {"of": key}})
        assert r.status_code == 200, r.text
        ids.append(r.json()["id"])
    return ids


def prepare(s, path, method):
    """Debates in every state for one operation."""
    person = prepare_person(s, path, method)
    waiting, paused = s.create(agents=["demo"] * 2), s.create(
        agents=["demo"] * 2)
    assert s.post(f"/api/debates/{paused}/pause").status_code == 200
    r = s.post(f"/api/debates/{waiting}/notes", {"note": "Read it."})
    assert r.status_code == 201, r.text
    ids = [waiting, paused]
    if method != "delete":
        ids += [s.ended[0], s.archived]
    part = (path.split("/") + [""] * 2)[2]
    for name in ("batch", "export/batch"):
        part = name if f"/{name}/{{id}}" in path else part
    batch = s.post("/api/batch", {"items": [
        {"task": "Tea?", "agents": "demo,demo"}]}).json()
    export = s.post("/api/debates/export/batch", {"debate_ids": ids}).json()
    matches = [m["match_id"] for m in s.get("/api/matches/recent")["matches"]]
    s.document.named = {
        **NAMED, "id": {"matches": matches, "tenants": ["default"],
                        "workspaces": ["default"],
                        "batch": [batch["batch_id"]],
                        "export/batch": [export["job_id"]],
                        "memory": remember(s)}.get(part, ids),
        "debate_id": ids,
        "slug": ids, "note": [r.json()["note_id"]], "debate_ids": [ids],
        **person}


def check_answer(doc, path, method, r):
    responses = doc.operation(path, method)["responses"]
    told = responses.get(str(r.status_code))
    if r.status_code >= 500:
        assert r.status_code == 503 and path in PROBES, r.text
    if told is None:
        assert r.status_code >= 400, (r.status_code, r.text)
        told = responses["default"]
    content = doc.resolve(told)["content"]
    kind = r.headers["content-type"].split(";")[0]
    assert kind in content, (r.status_code, kind, r.text)
    doc.check(content[kind]["schema"],
              r.json() if kind == "application/json" else r.text)
    if r.status_code == 400:
        error = r.json()
        assert error["message"] and error["error"] == error["message"]


def check_kept(s, path, urls):
    """What carries an ETag is told to, and is 304 with no body to whoever has
    it; nothing else is. (An export carries one once its debate has ended.)"""
    op = s.document.operation(path, "get")
    asks = [p for p in map(s.document.resolve, op["parameters"])
            if p["name"] == "If-None-Match"]
    tagged = [u for u in urls if "etag" in s.client.get(u).headers]
    if not tagged:
        assert "304" not in op["responses"] and not asks, "has no ETag"
        return
    assert "304" in op["responses"] and asks, "does not tell of its ETag"
    assert "ETag" in op["responses"]["200"]["headers"]
    told = s.document.resolve(op["responses"]["304"])
    again = s.client.get(tagged[0], headers={"If-None-Match": "*"})
    assert again.status_code == 304 and not again.content, again.status_code
    assert {name.lower() for name in told["headers"]} <= set(again.headers)


def asker(s, path, method, seen):
    """Asks for one operation in many ways."""
    doc = s.document

    @hypothesis.settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(doc.requests(path, method))
    def ask(request):
        names, query, body = request
        url = url_of(path, names, query)
        r = s.client.request(
            method.upper(), url,
            content=body.encode("utf-8", "replace") if body else None,
            headers={"Content-Type": "application/json",
                     "Accept": "application/json"})
        seen.setdefault(r.status_code // 100, []).append(url)
        try:
            check_answer(doc, path, method, r)
        except (AssertionError, jsonschema.ValidationError) as e:
            why = getattr(e, "message", e)
            raise AssertionError(
                f"{method} {url} {body} -> {r.status_code}: {why}") from e

    return ask


def test_requests_of_the_document(stack):
    wrong = []
    for path, method in stack.document.operations:
        seen = {}  # requests by class of answer
        prepare(stack, path, method)
        try:
            asker(stack, path, method, seen)()
            if method == "get" and 2 in seen:
                check_kept(stack, path, seen[2])
        except AssertionError as e:
            wrong.append(f"{method} {path}: {e}")
        # Each was also asked something that it understood.
        if 2 not in seen:
            wrong.append(f"{method} {path}: only {list(seen)}")
    assert not wrong, "\n\n".join(wrong)
