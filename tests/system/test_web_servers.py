# SPDX-License-Identifier: MIT
"""One table for all web servers: the same request, the same answer, whichever
server stands in front and whichever protocol it speaks to the workers. Where a
server decides for itself before a worker is asked, the table says so."""
import asyncio
import contextlib
import os
import signal
import socket
import struct
import threading

import pytest
import web_kit as wk
import websockets

import stack as st

WAYS = [("nginx", "fcgi"), ("nginx", "scgi"), ("apache", "fcgi"),
        ("apache", "fcgid"), ("apache", "scgi"), ("lighttpd", "fcgi"),
        ("lighttpd", "scgi")]
OURS = 20000  # bytes of a body that we take here
SERVERS = 10 << 20  # and that the examples let through
LIMITS = {"ARAGORA_DISABLE_ALL_RATE_LIMITS": "0",
          "ARAGORA_IP_RATE_LIMIT": "120", "ARAGORA_BURST_MULTIPLIER": "10",
          "ARAGORA_RATE_LIMIT_ANONYMOUS": "10000", "ARAGORA_RATE_LIMIT": "10000",
          "ARAGORA_RATE_LIMIT_CREATE": "10000",
          "ARAGORA_RATE_LIMIT_LIST": "10000"}
BURST = 1200
ADDRESS = "203.0.113.77"


@pytest.fixture(name="web", scope="module", params=WAYS,
                ids=["-".join(w) for w in WAYS])
def fixture_web(request):
    with wk.Web(*request.param, ARAGORA_MAX_REQUEST_SIZE=str(OURS), **LIMITS,
                ARAGORA_LOG_LEVEL="INFO") as w:
        yield w


def request(path="/api/health", method="GET", *headers, body=b"",
            version="1.1", host="Host: h"):
    lines = [f"{method} {path} HTTP/{version}", *([host] if host else []),
             *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin1") + body


def post(body, *headers, path="/api/debates"):
    return request(path, "POST", "Content-Type: application/json", *headers,
                   body=body)


def chunked(*pieces, end=b"0\r\n\r\n"):
    return post(b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + end,
                "Transfer-Encoding: chunked")


def sized(body, length=None, path="/api/debates"):
    length = len(body) if length is None else length
    return post(body, f"Content-Length: {length}", path=path)


QUESTION = b'{"task": "Tea or coffee?", "agents": ["demo", "demo"]}'
LARGE = b'{"task": "' + b"x" * OURS + b'"}'

# name: (request, status of all, {server or server-protocol: (status, reason)})
CASES = {
    # ---- paths: we read REQUEST_URI, decoded once ----
    "plain": (request(), 200, {}),
    "version prefix": (request("/api/v1/health"), 200, {}),
    "slash %2f": (request("/api/debates/a%2fb"), 400, {}),
    "only %2f": (request("/api%2fhealth"), 404, {}),
    "encoded twice": (request("/api/debates/a%252fb"), 400, {}),
    "zero %00": (request("/api/debates/a%00b"), 400, {
        "apache": (404, "finds nothing by such a name")}),
    "newline %0a": (request("/api/debates/a%0ab"), 400, {}),
    "broken escape": (request("/api/debates/%zz"), 400, {}),
    "cut escape": (request("/api/debates/%4"), 400, {}),
    "overlong utf-8": (request("/api/debates/%c0%af"), 400, {}),
    "bad utf-8": (request("/api/debates/%ff"), 400, {}),
    "two slashes": (request("/api//health"), 404, {}),
    "two slashes first": (request("//api/health"), 404, {}),
    "dots": (request("/api/debates/../health"), 404, {}),
    "encoded dots": (request("/api/debates/%2e%2e/health"), 404, {}),
    "dots into": (request("/x/../api/health"), 404, {}),
    "dots out": (request("/api/../../../etc/passwd"), 400, {
        "lighttpd": (404, "stays at the top, where there is no etc")}),
    "one dot": (request("/api/./health"), 404, {}),
    "long part": (request("/api/debates/" + "a" * 1000), 400, {}),
    "long path": (request("/api/debates/" + "a" * 7000), 400, {}),
    "too long path": (request("/api/debates/" + "a" * 9000), 414, {
        "lighttpd": (431, "counts the request line as a header field")}),
    "tilde": (request("/api/debates/a~"), 400, {}),
    "query": (request("/api/debates?limit=1&offset=%30"), 200, {}),
    "query with a bad escape": (request("/api/debates?limit=%zz"), 400, {}),
    "no such path": (request("/api/nothing"), 404, {}),
    "absolute": (request("http://h/api/health"), 200, {}),
    # ---- what may come once only ----
    "two Authorization": (request(
        "/api/health", "GET", "Authorization: Bearer a",
        "Authorization: Bearer b"), 400, {}),
    "two equal lengths": (post(
        QUESTION, f"Content-Length: {len(QUESTION)}",
        f"Content-Length: {len(QUESTION)}"), 400, {}),
    "two lengths": (post(QUESTION, f"Content-Length: {len(QUESTION)}",
                         "Content-Length: 5"), 400, {}),
    "two Host": (request("/api/health", "GET", "Host: i"), 400, {}),
    "two keys": (post(QUESTION, f"Content-Length: {len(QUESTION)}",
                      "Idempotency-Key: a", "Idempotency-Key: b"), 400, {}),
    "two of others": (request("/api/health", "GET", "X-Foo: 1", "X-Foo: 2",
                              "Accept: text/html", "Accept: */*"), 200, {}),
    "length and chunks": (post(
        b"5\r\n{}   \r\n0\r\n\r\n", "Content-Length: 5",
        "Transfer-Encoding: chunked"), 400, {
            "apache-scgi": (411, "mod_proxy_scgi sees the chunks only")}),
    # ---- bodies ----
    "body": (sized(QUESTION), 201, {}),
    "no body": (request("/api/debates", "POST"), 400, {
        "lighttpd": (411, "wants the length of every POST")}),
    "empty body": (sized(b""), 400, {}),
    "body over our limit": (sized(LARGE), 413, {}),
    "body over the server's limit": (sized(b"{", SERVERS + 1), 413, {}),
    "chunked body": (chunked(QUESTION[:9], QUESTION[9:]), 201, {
        "apache-scgi": (411, "mod_proxy_scgi wants the length first")}),
    "chunked over our limit": (chunked(LARGE[:9000], LARGE[9000:]), 413, {
        "apache-scgi": (411, "mod_proxy_scgi wants the length first")}),
    "broken chunk": (chunked(end=b"zz\r\n"), 400, {
        "apache-scgi": (411, "mod_proxy_scgi wants the length first")}),
    "body longer than its length": (sized(QUESTION, 9), 400, {}),
    "negative length": (sized(QUESTION, -1), 400, {}),
    "length +1": (sized(QUESTION, "+5"), 400, {}),
    "hexadecimal length": (sized(QUESTION, "0x5"), 400, {}),
    "endless length": (sized(QUESTION, "9" * 30), 400, {}),
    "not JSON": (sized(b"{"), 400, {}),
    # ---- methods ----
    "HEAD": (request(method="HEAD"), 200, {}),
    "HEAD of what is not": (request("/api/nothing", "HEAD"), 404, {}),
    "OPTIONS": (request("/api/debates", "OPTIONS"), 204, {}),
    "unknown method": (request("/api/debates", "BREW"), 405, {
        "lighttpd": (501, "passes on the methods it knows")}),
    "small letters": (request("/api/debates", "get"), 405, {
        "nginx": (400, "reads capital letters only"),
        "lighttpd": (501, "passes on the methods it knows")}),
    "TRACE": (request("/api/debates", "TRACE"), 405, {}),
    "CONNECT": (request("/api/debates", "CONNECT"), 405, {
        "apache": (400, "wants a host and a port")}),
    # ---- headers ----
    "long header": (request("/api/health", "GET", "X-Long: " + "x" * 7000),
                    200, {}),
    "too long header": (request("/api/health", "GET", "X-Long: " + "x" * 9000),
                        400, {"lighttpd": (431, "says it with RFC 6585")}),
    "many headers": (request("/api/health", "GET",
                             *(f"X-H{i}: {i}" for i in range(60))), 200, {}),
    "control character": (request("/api/health", "GET", "X-Bad: a\0b"), 400,
                          {}),
    "space before colon": (request("/api/health", "GET", "X-Bad : a"), 400,
                           {}),
    "no Host": (request(host=None), 400, {}),
    "HTTP/1.0": (request(version="1.0", host=None), 200, {}),
    "Authorization": (request("/api/health", "GET", "Authorization: Bearer x"),
                      200, {}),
    "bad Authorization": (request("/api/debates", "GET",
                                  "Authorization: Bearer x"), 401, {}),
}
# Who says so, when the status is the same: us, with a trace; the others name
# the cases that a server may answer itself.
BY_SERVER = {
    "zero %00", "broken escape", "cut escape", "newline %0a", "dots out",
    "too long path", "two equal lengths", "two lengths", "two Host",
    "length and chunks", "body over the server's limit", "broken chunk",
    "negative length", "length +1", "hexadecimal length", "endless length",
    "TRACE", "CONNECT", "too long header", "control character",
    "space before colon", "no Host", "only %2f", "small letters",
    "two Authorization", "overlong utf-8", "bad utf-8", "no body",
    "unknown method",
    "chunked body", "chunked over our limit", "two slashes first"}


def expected(web, status, others):
    for name in (f"{web.server}-{web.way}", web.server):
        if name in others:
            assert others[name][1]
            return others[name][0]
    return status


@pytest.mark.parametrize("name", CASES)
def test_table(web, name):
    data, status, others = CASES[name]
    answer = wk.parse(web.raw(data))
    assert answer is not None, "no answer"
    told, headers, body = answer
    assert told == expected(web, status, others), (told, headers, body[:300])
    assert data.startswith((b"HEAD", b"OPTIONS")) == (body == b"")
    if name not in BY_SERVER:
        assert "x-trace-id" in headers
        assert headers["x-content-type-options"] == "nosniff"
    # Who calls the API gets JSON, whoever says it.
    if told in (413, 503):
        assert headers["content-type"] == "application/json"


def answer(web, *args, **kw):
    return wk.parse(web.raw(request(*args, **kw)))


def test_duplicate_names_the_header(web):
    told, _, body = answer(web, "/api/health", "GET", "X-API-Key: a",
                           "X-API-Key: b")
    assert told == 400 and b"X_API_KEY was sent more than once" in body


def test_authorization_comes_through(web):
    auth = {"Authorization": f"Bearer {web.token()}"}
    with web.client() as c:
        assert c.get("/api/rate-limits").json()["tier"] == "anonymous"
        r = c.get("/api/rate-limits", headers=auth)
        assert r.json()["tier"] == "authenticated", r.text


def test_no_proxy_from_a_client(web):
    """Proxy: becomes HTTP_PROXY in CGI, which curl believes. Nobody here
    does: not the worker, nor the runner that takes the debate up."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.1)
        port = trap.getsockname()[1]
        headers = {"Proxy": f"http://127.0.0.1:{port}"}
        with web.client(headers=headers) as c:
            r = c.post("/api/debates", json={
                "task": "Tea?", "agents": ["demo", "demo"], "rounds": 1})
            assert r.status_code == 201, r.text
            web.wait_end(r.json()["debate_id"])
        with pytest.raises(TimeoutError):
            trap.accept()
    for pid in web.workers():
        with open(f"/proc/{pid}/environ", "rb") as f:
            assert b"HTTP_PROXY=" not in f.read()


def left(web, **headers):
    with web.client(headers=headers) as c:
        r = c.get("/api/rate-limits")
        return r.json()["limits"]["address"]["remaining"]


def test_address_of_the_client(web):
    """From our own proxy X-Forwarded-For tells the truth; a name that CGI
    cannot tell from it does not."""
    for _ in range(60):
        web.get("/api/debates")
    # Full is who never called.
    assert left(web) < BURST
    assert left(web, **{"X-Forwarded-For": ADDRESS}) == BURST
    assert left(web, **{"X-Real-IP": ADDRESS}) == BURST
    for name in ("X_Forwarded_For", "X_Forwarded-For", "X-Forwarded_For",
                 "X_Real_IP", "X-Real_IP"):
        assert left(web, **{name: ADDRESS}) < BURST, name
    # What the client put before is not believed.
    assert left(web, **{"X-Forwarded-For": f"198.51.100.7, {ADDRESS}"}) == \
        BURST
    # The bucket is that of the last one, not of the first.
    for _ in range(60):
        web.get("/api/debates", headers={
            "X-Forwarded-For": f"{ADDRESS}, 198.51.100.8"})
    assert left(web, **{"X-Forwarded-For": ADDRESS}) == BURST
    assert left(web, **{"X-Forwarded-For": "198.51.100.8"}) < BURST


def count(web):
    return web.rows("SELECT count(*) FROM debates")[0][0]


def test_body_that_ends_early(web):
    """No answer or a refusal; never half of a question."""
    before = count(web)
    got = wk.parse(web.raw(sized(QUESTION, len(QUESTION) + 9),
                           half_close=True))
    assert got is None or got[0] in (400, 408, 500, 503), got
    assert count(web) == before
    assert web.get("/api/health")["status"] == "healthy"


def test_what_follows_a_body_is_no_part_of_it(web):
    before = count(web)
    data = web.raw(sized(QUESTION, len(QUESTION)) + b'{"task": "more"}')
    assert wk.parse(data)[0] == 201
    assert count(web) == before + 1


def test_client_gone(web):
    """In the middle of the answer, again and again; workers stay."""
    pids = web.workers()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", web.port), st.WAIT) as s:
            s.sendall(request("/api/openapi.json"))
            assert s.recv(100)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
    assert web.get("/api/health")["status"] == "healthy"
    assert set(pids) <= set(web.workers())


def test_one_connection_many_requests(web):
    one = request().replace(b"Connection: close\r\n", b"")
    with socket.create_connection(("127.0.0.1", web.port), st.WAIT) as s:
        f = s.makefile("rb")
        for i in range(5):
            s.sendall(one if i < 4 else request())
            assert b" 200 " in f.readline()
            length = None
            while (line := f.readline().strip()):
                name, _, value = line.lower().partition(b":")
                if name == b"content-length":
                    length = int(value)
            if length is not None:
                assert b'"healthy"' in f.read(length)
                continue
            body = b""
            while (size := int(f.readline(), 16)):
                body += f.read(size)
                f.readline()
            f.readline()
            assert b'"healthy"' in body


def test_answers_are_whole(web):
    """A long one, and many at once."""
    results = []

    def ask():
        with web.client() as c:
            results.append(c.get("/api/openapi.json").json()["openapi"])
    threads = [threading.Thread(target=ask) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == ["3.1.0"] * 16


# ---- beside the API ----

def test_websocket(web):
    debate_id = web.create(agents=["demo", "demo"], rounds=1)
    messages = asyncio.run(web.watch(debate_id))
    assert [m["seq"] for m in messages if m.get("seq")] == \
        list(range(1, messages[-1]["seq"] + 1))
    # /api/v1/ws is the bridge's, not the API's.

    async def hello(path):
        async with websockets.connect(
                f"ws://127.0.0.1:{web.port}{path}") as ws:
            return await asyncio.wait_for(ws.recv(), st.WAIT)
    for path in ("/ws", "/ws/", "/api/v1/ws"):
        assert "connection_info" in asyncio.run(hello(path)), path
    r = web.get("/ws", check=False)
    assert r.status_code in (400, 426) and r.json()["code"]


def test_event_stream(web):
    """Piece by piece: the first comes while the debate still goes on."""
    debate_id = web.create(agents=["demo", "demo"], rounds=1)
    with web.client() as c, c.stream(
            "GET", f"/api/debates/{debate_id}/stream",
            headers={"Accept": "text/event-stream"}) as r:
        assert r.status_code == 200
        assert r.headers["Content-Type"].startswith("text/event-stream")
        kinds = []
        for line in r.iter_lines():
            if '"type":"' not in line:
                continue
            kinds.append(line.split('"type":"')[1].split('"')[0])
            if len(kinds) == 1:
                assert web.get(f"/api/debates/{debate_id}")["in_progress"]
            if kinds[-1] == "debate_end":
                break
    assert "debate_start" in kinds


def test_console(web):
    r = web.get("/", check=False)
    assert r.status_code == 200 and "<title>" in r.text
    assert r.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in r.headers["Content-Security-Policy"]
    assert r.headers["X-Content-Type-Options"] == "nosniff"
    for path, kind in (("/app.js", "javascript"), ("/style.css", "text/css"),
                       ("/favicon.svg", "image/svg+xml")):
        r = web.get(path, check=False)
        assert r.status_code == 200 and kind in r.headers["Content-Type"]
    assert web.get("/no-such-file", check=False).status_code == 404


def test_page_of_the_api(web):
    """It has a policy of its own, and no other beside it."""
    r = web.get("/api/docs", check=False)
    assert r.status_code == 200 and "</html>" in r.text
    assert r.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = r.headers.get_list("Content-Security-Policy")
    assert len(policy) == 1 and "'sha256-" in policy[0]


# ---- workers that come and go ----

class Load(threading.Thread):
    """Asks without a pause until told to stop."""

    def __init__(self, web):
        super().__init__()
        self.web, self.is_over = web, threading.Event()
        self.statuses = []

    def run(self):
        with self.web.client() as c:
            while not self.is_over.is_set():
                self.statuses.append(c.get("/api/health").status_code)

    def __exit__(self, *error):
        self.is_over.set()
        self.join()

    def __enter__(self):
        self.start()
        return self


@pytest.mark.parametrize("server, protocol", [
    w for w in WAYS if w[1] != "fcgid"])
def test_drain_under_load(server, protocol):
    """A worker is told to end while everybody asks: nobody notices. Apache
    ends those that it started itself within seconds, whatever they do; it is
    not asked for this."""
    with wk.Web(server, protocol, runners=0) as w:
        with contextlib.ExitStack() as stack:
            loads = [stack.enter_context(Load(w)) for _ in range(4)]
            st.wait_for("load", lambda: all(len(x.statuses) > 20
                                            for x in loads))
            first = w.workers()[0]
            os.kill(first, signal.SIGTERM)
            st.wait_for("end of a worker", lambda: first not in w.workers())
            done = [len(x.statuses) for x in loads]
            st.wait_for("more", lambda: all(
                len(x.statuses) > n + 20 for x, n in zip(loads, done)))
        assert {s for x in loads for s in x.statuses} == {200}
        assert '"drained":"true"' in w.log("fcgi")


def test_multiwatch():
    """It starts a worker again that was killed, and passes the end on."""
    with wk.Web("nginx", "fcgi", spawner="multiwatch", runners=0) as w:
        before = w.workers()
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        st.wait_for("another worker", lambda: len(w.workers()) == 2 and
                    before[0] not in w.workers())
        assert w.get("/api/health")["status"] == "healthy"
        os.kill(w.processes["fcgi"].pid, signal.SIGTERM)
        st.wait_for("the end of all", lambda: not w.workers())
        assert w.processes["fcgi"].wait(st.WAIT) == 0
        # Nobody is there: nginx says so, in JSON.
        r = w.get("/api/health", check=False)
        assert r.status_code == 503 and r.headers["Retry-After"] == "1"
        assert r.json()["code"] == "SERVICE_UNAVAILABLE"


@pytest.mark.parametrize("server, protocol", [
    w for w in WAYS if w[1] != "fcgid"])
def test_no_worker(server, protocol):
    """503 in the shape of ours; it goes on when there is one again."""
    with wk.Web(server, protocol, runners=0) as w:
        for pid in w.workers():
            os.kill(pid, signal.SIGTERM)
        st.wait_for("end of the workers", lambda: not w.workers())
        r = w.get("/api/health", check=False)
        assert r.status_code == 503
        assert r.headers["Content-Type"] == "application/json"
        assert r.json()["code"] == "SERVICE_UNAVAILABLE"
        os.unlink(os.path.join(w.run_dir, "fcgi.sock"))
        w.start_workers()
        st.wait_for("service", w.is_healthy)
