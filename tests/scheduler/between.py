# SPDX-License-Identifier: Apache-2.0
"""A server between the service and the API server of a test, that writes down each request and does to chosen ones what
networks and servers do: lose the answer, lose the request, hold it, answer something else, fall silent."""
import http.client
import http.server
import json
import socketserver
import threading
import time

import kit

# What becomes of a request.
LOSE_ANSWER = "carried out, and the connection ends without an answer"
LOSE_REQUEST = "the connection ends, and nothing was carried out"
SILENT = "carried out, and never answered"


class Answer:
    """This instead of the server's."""

    def __init__(self, status, reason="", headers=None, message=""):
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message or f"the {reason} text", "reason": reason, "code": status}
        self.status, self.headers, self.body = status, headers or {}, json.dumps(body).encode()


def forbidden(verb, resource):
    """As the API server's authorizer says it."""
    return Answer(403, "Forbidden", message=f'{resource} is forbidden: User "u" cannot {verb} resource "{resource}" in API group "" at the cluster scope')


class Hold:
    """Not passed on before release(); seen is set when it has come. With `answer` it is the answer that is held."""

    def __init__(self, then=None, answer=False):
        self.seen, self.open, self.then, self.answer = threading.Event(), threading.Event(), then, answer

    def wait_seen(self):
        assert self.seen.wait(kit.LIMIT_S), "the request to hold never came"

    def release(self):
        self.open.set()


class Request:
    def __init__(self, handler, body):
        self.method, self.body = handler.command, body
        self.path, _, self.query = handler.path.partition("?")
        self.headers = {k.lower(): v for k, v in handler.headers.items()}
        self.at = time.monotonic()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.method} {self.path}?{self.query}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, headers, body):
        self.send_response_only(status)
        for k, v in {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(body)

    def pass_on(self, r):
        c = http.client.HTTPConnection("127.0.0.1", self.server.api_port)
        headers = {k: v for k, v in r.headers.items() if k not in ("host", "connection", "content-length", "accept-encoding")}
        c.request(r.method, r.path + ("?" + r.query if r.query else ""), r.body or None, headers)
        return c, c.getresponse()

    def stream(self, upstream):
        self.send_response_only(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while data := upstream.read1(1 << 16):
            self.wfile.write(b"%x\r\n" % len(data) + data + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def serve(self):
        r = Request(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        what = self.server.between.decide(r)
        if isinstance(what, Hold) and what.answer:
            c, upstream = self.pass_on(r)
            text = upstream.read()
            c.close()
            what.seen.set()
            what.open.wait(kit.LIMIT_S)
            self.reply(upstream.status, {}, text)
            return
        if isinstance(what, Hold):
            hold = what
            hold.seen.set()
            hold.open.wait(kit.LIMIT_S)
            what = hold.then
        if isinstance(what, Answer):
            self.reply(what.status, what.headers, what.body)
            return
        if what == LOSE_REQUEST:
            self.close_connection = True
            return
        c, upstream = self.pass_on(r)
        try:
            if what == LOSE_ANSWER:
                upstream.read()
                self.close_connection = True
            elif what == SILENT:
                upstream.read()
                self.server.between.closing.wait(kit.LIMIT_S)
                self.close_connection = True
            elif "watch=1" in r.query and upstream.status == 200:
                self.stream(upstream)
            else:
                kept = {k: v for k, v in upstream.getheaders() if k.lower() == "retry-after"}
                self.reply(upstream.status, kept, upstream.read())
        finally:
            c.close()

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # whoever hangs up


class Between:
    """Stands before the API server of a world from now on: for services that are started later."""

    def __init__(self, world):
        self.requests, self.rules, self.lock, self.closing = [], [], threading.Condition(), threading.Event()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.between, self.server.api_port = self, world.api_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        with open(world.config) as f:
            text = f.read()
        with open(world.config, "w") as f:
            f.write(text.replace(f":{world.api_port}", f":{self.server.server_address[1]}"))

    def on(self, method, path, what, times=None, query=""):
        """The next `times` (None: all) such requests, path and query given in part, meet this fate."""
        rule = [method, path, query, what, times]
        with self.lock:
            self.rules.append(rule)
        return what

    def forget(self):
        with self.lock:
            self.rules.clear()

    def decide(self, r):
        with self.lock:
            self.requests.append(r)
            self.lock.notify_all()
            for rule in self.rules:
                method, path, query, what, times = rule
                if r.method == method and path in r.path and query in r.query and times != 0:
                    if times is not None:
                        rule[4] -= 1
                    return what() if callable(what) else what
        return None

    def seen(self, method, path, query=""):
        with self.lock:
            return [r for r in self.requests if r.method == method and path in r.path and query in r.query]

    def until(self, n, method, path, query="", limit=kit.LIMIT_S):
        """Waits until there were so many."""
        end = time.monotonic() + limit
        while len(self.seen(method, path, query)) < n:
            with self.lock:
                left = end - time.monotonic()
                assert left > 0, (method, path, query, self.requests[-8:])
                self.lock.wait(min(left, 0.2))
        return self.seen(method, path, query)

    def close(self):
        self.closing.set()
        for rule in self.rules:
            if isinstance(rule[3], Hold):
                rule[3].release()
        self.server.shutdown()
        self.server.server_close()
