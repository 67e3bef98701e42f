# SPDX-License-Identifier: MIT
"""An OpenTelemetry collector that takes OTLP over HTTP in JSON, holds every
message against that mapping to the letter, and can be told to misbehave."""
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = "/v1/traces"
INT64 = re.compile(r"-?(0|[1-9][0-9]{0,18})")
KINDS = {1: "internal", 2: "server", 3: "client"}


def keys(value, needed, allowed=()):
    """An object of exactly these members."""
    assert isinstance(value, dict), value
    assert set(needed) <= set(value) <= set(needed) | set(allowed), value
    return value


def is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def read_attributes(rows):
    """{key: value} of KeyValues; 64-bit numbers come as texts."""
    out = {}
    assert isinstance(rows, list)
    for row in rows:
        keys(row, ("key", "value"))
        assert isinstance(row["key"], str) and row["key"], row
        assert row["key"] not in out, row
        assert len(row["value"]) == 1, row
        (kind, value), = row["value"].items()
        if kind == "intValue":
            assert isinstance(value, str) and INT64.fullmatch(value), row
            value = int(value)
        else:
            assert kind == "stringValue" and isinstance(value, str), row
        out[row["key"]] = value
    return out


def read_id(text, digits):
    assert re.fullmatch(f"[0-9a-f]{{{digits}}}", text), text
    assert text != "0" * digits
    return text


def read_nanos(text):
    assert isinstance(text, str) and re.fullmatch(r"[1-9][0-9]{18}", text)
    return int(text)


class Span:
    """One span; attributes as a dictionary, times in nanoseconds."""

    def __init__(self, j, resource):
        keys(j, ("traceId", "spanId", "flags", "name", "kind",
                 "startTimeUnixNano", "endTimeUnixNano", "attributes"),
             ("parentSpanId", "status"))
        self.trace = read_id(j["traceId"], 32)
        self.id = read_id(j["spanId"], 16)
        self.parent = read_id(j["parentSpanId"], 16) \
            if "parentSpanId" in j else None
        assert self.parent != self.id
        assert is_int(j["flags"]) and 0 <= j["flags"] < 2**32
        assert j["flags"] & 1, "not sampled, but exported"
        assert is_int(j["kind"])
        self.kind = KINDS[j["kind"]]
        self.name = j["name"]
        assert isinstance(self.name, str) and self.name
        self.start = read_nanos(j["startTimeUnixNano"])
        self.end = read_nanos(j["endTimeUnixNano"])
        assert self.start <= self.end
        self.attributes = read_attributes(j["attributes"])
        self.is_error = "status" in j
        if self.is_error:
            keys(j["status"], ("code",))
            assert is_int(j["status"]["code"]) and j["status"]["code"] == 2
            assert self.attributes["error.type"]
        self.resource = resource

    def __getitem__(self, key):
        return self.attributes.get(key)

    def __repr__(self):
        return f"{self.name} {self.id} of {self.parent} {self.attributes}"


def no_twins(pairs):
    out = dict(pairs)
    assert len(out) == len(pairs), pairs
    return out


def read_message(body):
    """The spans of one ExportTraceServiceRequest."""
    spans = []
    message = json.loads(body.decode("utf-8", "strict"),
                         object_pairs_hook=no_twins)
    for part in keys(message, ("resourceSpans",))["resourceSpans"]:
        keys(part, ("resource", "scopeSpans"))
        resource = read_attributes(
            keys(part["resource"], ("attributes",))["attributes"])
        assert resource["service.name"] and resource["service.instance.id"]
        for scope in part["scopeSpans"]:
            keys(scope, ("scope", "spans"))
            keys(scope["scope"], ("name", "version"))
            assert scope["scope"]["name"] == "aragora"
            spans += [Span(s, resource) for s in scope["spans"]]
    assert spans
    return spans


class Collector:
    """behave: "ok", "hang", "slow", "garbage", or a function of the handler
    that answers by itself."""

    def __init__(self, behave="ok", context=None):
        self.behave = behave
        self.spans, self.faults, self.bodies, self.headers = [], [], [], []
        self.times = []
        self.n_connections = 0
        self.is_over = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        if context is not None:
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True,
                do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.scheme = "http" if context is None else "https"
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def handler(collector):  # pylint: disable=no-self-argument
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                collector.n_connections += 1

            def do_POST(self):
                collector.take(self)

            def log_message(self, *args):
                pass

            def answer(self, status, body=b"{}", **headers):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)
        return Handler

    def take(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.times.append(time.monotonic())
        self.bodies.append(body)
        self.headers.append(dict(handler.headers))
        try:
            assert handler.path == PATH, handler.path
            assert handler.headers["Content-Type"] == "application/json"
            spans = read_message(body)
        except Exception as e:  # pylint: disable=broad-except
            self.faults.append(f"{e!r}: {body[:2000]!r}")
            handler.answer(400)
            return
        if callable(self.behave):
            if not self.behave(handler):
                return
        elif self.behave == "hang":
            self.is_over.wait()
            handler.close_connection = True
            return
        elif self.behave == "garbage":
            handler.wfile.write(bytes(range(256)) * 64)
            handler.close_connection = True
            return
        elif self.behave == "slow":
            self.is_over.wait(0.7)
        self.spans += spans
        if not callable(self.behave):
            handler.answer(200)

    def of(self, trace):
        return [s for s in list(self.spans) if s.trace == trace]

    def close(self):
        self.is_over.set()
        self.server.shutdown()
        self.server.server_close()
        assert not self.faults, self.faults

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        self.close()
