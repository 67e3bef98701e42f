# SPDX-License-Identifier: MIT
"""/api/docs: the whole description as one page without a script, that loads
nothing and says what /api/openapi.json says."""
import base64
import hashlib
import html
import html.parser
import json
import re
import shlex
import urllib.parse

import jsonschema
import pytest

import fcgi_stack as fs

VOID = {"meta"}
PREFIX = "/a&b"


class Page(html.parser.HTMLParser):
    """Fails at a tag that is not closed where it must be."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links = [], set(), [], []
        self.sections, self.pres, self.style = {}, {}, ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        assert all(v is not None or k == "open" for k, v in attrs.items())
        assert not [k for k in attrs if k.startswith("on")]
        assert not {"src", "srcset", "style", "action", "data"} & set(attrs)
        self.tags.add(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if "href" in attrs:
            assert tag == "a"
            self.links.append(attrs["href"])
        if tag not in VOID:
            self.open.append((tag, attrs.get("id")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        sections = [i for tag, i in self.open if tag == "section"]
        if sections:
            self.sections[sections[-1]] = \
                self.sections.get(sections[-1], "") + data
            if self.open[-1][0] == "pre":
                self.pres[sections[-1]] = \
                    self.pres.get(sections[-1], "") + data
        if self.open and self.open[-1][0] == "style":
            self.style += data


class Served:
    def __init__(self, prefix):
        with fs.Stack(url_prefix=prefix, allowed_origins="") as stack:
            stack.start_workers().start_nginx()
            with stack.client() as c:
                self.answer = c.get(prefix + "/api/docs")
                assert self.answer.status_code == 200, self.answer.text
                self.again = c.get(prefix + "/api/docs", headers={
                    "If-None-Match": self.answer.headers["ETag"]})
                self.refused = c.get(prefix + "/api/docs", headers={
                    "Authorization": "Bearer no-such-token"})
                self.document = c.get(prefix + "/api/openapi.json").json()
        self.prefix = prefix
        self.page = Page(self.answer.text)
        self.operations = [
            (path, method, op)
            for path, item in self.document["paths"].items()
            for method, op in item.items()]


@pytest.fixture(name="served", scope="module", params=["", PREFIX])
def fixture_served(request):
    return Served(request.param)


def test_it_loads_nothing(served):
    page, headers = served.page, served.answer.headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert not page.tags & {"script", "link", "img", "iframe", "object",
                            "embed", "form", "base", "svg", "video", "audio"}
    assert "url(" not in page.style and "@import" not in page.style
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest())
    policy = headers.get_list("Content-Security-Policy")
    assert len(policy) == 1
    parts = dict(p.strip().split(" ", 1) for p in policy[0].split(";"))
    assert parts.pop("style-src") == f"'sha256-{digest.decode()}'"
    assert parts.pop("default-src") == "'none'"
    assert set(parts.values()) == {"'none'"}
    assert "prefers-color-scheme:dark" in page.style


def test_it_is_kept_and_asked_for_as_the_document(served):
    assert served.again.status_code == 304 and served.again.content == b""
    assert served.refused.status_code == 401
    item = served.document["paths"]
    docs, twin = (item[p]["get"] for p in ("/api/docs", "/api/openapi.json"))
    for name in ("x-auth", "x-rate", "x-needs", "security"):
        assert docs[name] == twin[name]
    assert list(docs["responses"]["200"]["content"]) == ["text/html"]


def test_every_link_leads_somewhere(served):
    page = served.page
    assert len(set(page.ids)) == len(page.ids)
    away = [link for link in page.links if not link.startswith("#")]
    assert away == [served.prefix + "/api/openapi.json"]
    assert {link[1:] for link in page.links} - set(page.ids) == {
        away[0][1:]}


def test_every_operation_is_there(served):
    for path, method, op in served.operations:
        name = op["operationId"]
        text = served.page.sections[name]
        assert "#" + name in served.page.links
        said = [path, method.upper(), op["summary"], op["x-rate"],
                "credential: " + op["x-auth"]]
        for p in op["parameters"]:
            if "$ref" not in p:
                said += [p["name"], p.get("description", "")]
                said += [str(p["schema"][k]) for k in (
                    "minimum", "maximum", "maxLength", "default")
                    if k in p["schema"]]
                said += p["schema"].get("enum", [])
        content = [a for c, a in op["responses"].items() if c[0] == "2"]
        content += [op["requestBody"]] if "requestBody" in op else []
        for kind, shape in [x for c in content
                            for x in c["content"].items()]:
            said.append(shape["schema"].get("$ref", kind).split("/")[-1])
        said += [c for c in op["responses"] if c[0] == "2"]
        for word in said:
            assert word in text, (name, word)
    for tag in served.document["tags"]:
        assert "tag-" + tag["name"] in served.page.ids
        assert html.escape(tag["description"]).replace(
            "&#x27;", "&#39;") in served.answer.text


def test_every_schema_is_there(served):
    for name, schema in served.document["components"]["schemas"].items():
        text = served.page.sections["schema-" + name]
        assert schema["description"] in text
        for part in schema.get("allOf", [schema]):
            assert part.get("$ref", "").split("/")[-1] in text
            for key, member in part.get("properties", {}).items():
                assert key in text and member.get("description", "") in text


def test_examples_are_requests_of_the_document(served):
    """Words of a shell; the body is what its schema asks for."""
    for path, method, op in served.operations:
        words = shlex.split(served.page.pres[op["operationId"]])
        options = dict(zip(words[1:], words[2:]))
        url = urllib.parse.urlsplit(next(
            w for w in words if w.startswith("$ARAGORA")))
        assert words[0] == "curl"
        assert options.get("-X", "GET") == method.upper()
        assert url.path == "$ARAGORA" + re.sub(
            r"{(\w+)}", lambda m: m.group(1).upper(), path)
        assert set(urllib.parse.parse_qs(url.query)) == {
            p["name"] for p in op["parameters"]
            if p.get("in") == "query" and p["required"]}
        assert ("Authorization: Bearer $TOKEN" in words) == (
            op["x-auth"] in ("user", "known", "metrics"))
        assert ("-d" in words) == ("requestBody" in op)
        if "requestBody" in op:
            schema = op["requestBody"]["content"]["application/json"]
            jsonschema.Draft202012Validator(
                {**schema["schema"],
                 "components": served.document["components"]}
            ).validate(json.loads(options["-d"]))


def test_text_is_escaped(served):
    text = served.answer.text
    assert "&#39;" in text and "&quot;$ARAGORA" in text
    if served.prefix:
        assert html.escape(PREFIX) in text and PREFIX not in text
