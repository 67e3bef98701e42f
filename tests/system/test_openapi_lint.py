# SPDX-License-Identifier: MIT
"""The served description: every row of routes.def and nothing else, and what
Redocly's recommended rules say to it (tests/npm/redocly.yaml)."""
import copy
import json
import os
import re
import subprocess

import pytest

import fcgi_stack as fs

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = os.path.join(os.path.dirname(HERE), "npm", "redocly.yaml")
# scripts/check puts tests/npm there.
MODULES = os.path.join(fs.BUILD, "npm", "node_modules")
PREFIX = "/debates"


@pytest.fixture(name="document", scope="module", params=["", PREFIX])
def fixture_document(request):
    with fs.Stack(url_prefix=request.param) as stack:
        stack.start_workers().start_nginx()
        with stack.client() as c:
            yield c.get(request.param + "/api/openapi.json").json()


def operations(document):
    return [(method, path, op) for path, item in document["paths"].items()
            for method, op in item.items()]


def test_every_route_is_told(document):
    listed = subprocess.run(
        [os.path.join(fs.BUILD, "aragora"), "routes"], check=True,
        capture_output=True, text=True).stdout.splitlines()
    rows = [line.split(None, 3) for line in listed]
    assert len(rows) > 200
    told = [(method.upper(), path, op["x-auth"], op["summary"])
            for method, path, op in operations(document)]
    assert sorted(map(tuple, rows)) == sorted(told)
    assert {t["name"] for t in document["tags"]} == {
        op["tags"][0] for _, _, op in operations(document)}


def test_operations_tell_how_they_fail(document):
    for method, path, op in operations(document):
        answers, where = set(op["responses"]), f"{method} {path}"
        assert {"400", "default"} <= answers, where
        assert ("401" in answers) == (op["x-auth"] != "open"), where
        assert ("403" in answers) == (
            op.get("x-needs", "read") != "read"), where
        assert ("404" in answers) == ("{" in path), where
        assert ("413" in answers) == (method != "get"), where
        assert ("429" in answers) == (op["x-rate"] != "none"), where
        assert {p["name"] for p in op["parameters"]
                if p.get("in") == "path"} == \
            set(re.findall(r"{(\w+)}", path)), where


def lint(document, folder):
    """The severe ones first."""
    assert os.path.isdir(os.path.join(MODULES, "@redocly")), \
        "npm's Redocly is not installed: scripts/check packages"
    path = os.path.join(folder, "openapi.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(document, f)
    r = subprocess.run(
        ["node", os.path.join(HERE, "clients", "node_lint.js"), path, CONFIG],
        capture_output=True, text=True, check=False,
        env={**os.environ, "NODE_PATH": MODULES, "REDOCLY_TELEMETRY": "off"})
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def test_lint(document, tmp_path):
    assert lint(document, tmp_path) == []


def test_lint_finds_what_is_wrong(document, tmp_path):
    """It is the rules that pass the document, not their absence."""
    wrong = copy.deepcopy(document)
    wrong["paths"]["/api/debates"]["get"]["operationId"] = "createDebate"
    wrong["paths"]["/api/debates"]["post"]["tags"] = ["unheard-of"]
    health = wrong["paths"]["/api/health"]["get"]
    del health["security"]
    health["responses"] = {"200": {"description": ""}}
    del wrong["paths"]["/api/debates/{id}"]["get"]["parameters"][0]
    wrong["components"]["schemas"]["Debate"]["$ref"] = \
        "#/components/schemas/None"
    assert {p["rule"] for p in lint(wrong, tmp_path)} >= {
        "operation-operationId-unique", "operation-tag-defined",
        "security-defined", "operation-4xx-response",
        "path-parameters-defined", "no-unresolved-refs"}
