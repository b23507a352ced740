"""Requests that somebody sends on for somebody else: through a proxy that says so, through a server that fetches what it is
told to, and hidden in another request's body.
"""

import http.client
import http.server
import threading
import urllib.request

from .scene import REFUSED, SERVED
from .wire import ask, converse

GUARD, IMDS, REPLY, HTTP = "src/endpoint/guard.rs", "src/endpoint/imds.rs", "src/endpoint/reply.rs", "hyper"
MARKS = {
    "X-Forwarded-For": ("X-Forwarded-For", "203.0.113.7"),
    "X-Forwarded-For in capitals": ("X-FORWARDED-FOR", "203.0.113.7"),
    "an empty X-Forwarded-For": ("X-Forwarded-For", ""),
    "X-Forwarded-For with our own address": ("X-Forwarded-For", "127.0.0.1"),
    "Forwarded": ("Forwarded", "for=203.0.113.7;proto=https"),
}
BAD, UNAUTHORIZED, METHOD = 400, 401, 405


def attacks(suite, scene):
    for what, (name, value) in MARKS.items():
        with suite.attack("proxy", f"a request bears {what}", GUARD, scene) as attack:
            for door in scene.doors:
                attack.refused(door, door.honest.also(name, value), REFUSED)
    for mark in ("X-Forwarded-For", "Forwarded"):
        with suite.attack("proxy", f"a real reverse proxy adds {mark}", GUARD, scene) as attack:
            for door in scene.lending:
                with Forwarder(door.place, None) as plain, Forwarder(door.place, mark) as marking:
                    honest = ask(plain.port, door.honest.raw())
                    assert honest.status == SERVED, f"without the mark: {honest.status}"
                    suite.shows_something(honest.body)
                    answer = ask(marking.port, door.honest.raw())
                    assert answer.status == REFUSED, answer.status
                    suite.shows_nothing(answer.raw)
            attack.saw = "403"
    fetchers(suite, scene)
    smuggled(suite, scene)


def fetchers(suite, scene):
    """A server that fetches the URL it is told to: it sends GET, and no header that the attacker chose (SSRF)."""
    base = f"http://127.0.0.1:{scene.imds.place}"
    for what, path in (("credentials", "/latest/meta-data/iam/security-credentials/reader"),
                       ("the names of profiles", "/latest/meta-data/iam/security-credentials/"),
                       ("a token", "/latest/api/token")):
        with suite.attack("proxy", f"a server that fetches any URL is sent for {what}", IMDS, scene) as attack:
            control = fetch(f"http://127.0.0.1:{scene.old.place}{path}") if what != "a token" else None
            assert control is None or control[0] == SERVED, "version 1 lends to such a server"
            status, text = fetch(base + path)
            assert status == (METHOD if what == "a token" else UNAUTHORIZED), status
            suite.shows_nothing(text)
            attack.saw = str(status)
    with suite.attack("proxy", "a server that fetches any URL is sent for a ticket's credentials",
                      "src/endpoint/container.rs", scene) as attack:
        status, text = fetch(f"http://127.0.0.1:{scene.container.place}/v1/credentials")
        assert status == UNAUTHORIZED, status
        suite.shows_nothing(text)
        attack.saw = str(status)


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def smuggled(suite, scene):
    """Behind a request that a proxy has marked comes one without the mark: hidden in the first one's body, which the proxy
    took for that, or sent right after it on the proxy's own connection.
    """
    hidden = scene.container.honest.raw()
    marked = scene.container.honest.also("X-Forwarded-For", "203.0.113.7")
    length, chunked, end = str(len(hidden)), ("Transfer-Encoding", "chunked"), b"0\r\n\r\n"
    bodies = {
        "right after it": ([], hidden, REFUSED),
        "in a body by its length": ([("Content-Length", length)], hidden, REFUSED),
        "in a body with its length twice": ([("Content-Length", length), ("Content-Length", length)], hidden, REFUSED),
        "in a body with two lengths": ([("Content-Length", length), ("Content-Length", "0")], hidden, BAD),
        "in a body with a list of lengths": ([("Content-Length", "0, 0")], hidden, BAD),
        "in a body with a signed length": ([("Content-Length", "+0")], hidden, BAD),
        "in a body with a hexadecimal length": ([("Content-Length", "0x0")], hidden, BAD),
        "in a body with a length after a tab": ([("Content-Length", "\t0")], hidden, REFUSED),
        "in a body whose proxy goes by length (CL.TE)":
            ([("Content-Length", str(5 + len(hidden))), ("Transfer-Encoding", "chunked")], end + hidden, REFUSED),
        "in a body whose proxy goes by chunks (TE.CL)":
            ([("Transfer-Encoding", "chunked"), ("Content-Length", "4")], b"%x\r\n%s\r\n" % (len(hidden), hidden) + end, REFUSED),
        "in a body with two encodings (TE.TE)":
            ([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "cow")], end + hidden, BAD),
        "in a body with an encoding that only looks chunked": ([("Transfer-Encoding", "xchunked")], end + hidden, BAD),
        "in a body with an encoding after a vertical tab": ([("Transfer-Encoding", "\x0bchunked")], end + hidden, BAD),
        "in a body with an encoding whose colon comes after a space": ([("Transfer-Encoding ", "chunked")], end + hidden, BAD),
        "in a body with an encoding on a folded line": ([("Transfer-Encoding", "\r\n chunked")], end + hidden, BAD),
        "in a body that is chunked and then not": ([("Transfer-Encoding", "chunked, identity")], end + hidden, BAD),
        "behind a chunk with an extension": ([chunked], b"0;a=b\r\n\r\n" + hidden, REFUSED),
        "behind a chunk with a line feed in its extension": ([chunked], b"0;a\nb\r\n\r\n" + hidden, REFUSED),
        "behind a chunk between bare line feeds": ([chunked], b"0\n\n" + hidden, REFUSED),
        "behind a chunk whose size overflows": ([chunked], b"10000000000000000\r\n" + hidden, REFUSED),
        "behind a chunk with a negative size": ([chunked], b"-1\r\n" + hidden, REFUSED),
        "behind trailers": ([chunked], b"0\r\nX: y\r\n\r\n" + hidden, REFUSED),
    }
    for what, (headers, body, status) in bodies.items():
        stops = HTTP if status == BAD else REPLY
        with suite.attack("smuggling", f"another request comes {what}", stops, scene) as attack:
            # On a connection of its own the hidden one is answered.
            suite.shows_something(scene.container.ask(hidden).raw)
            request = marked
            for name, value in headers:
                request = request.also(name, value)
            answers = converse(scene.container.place, request.raw(body))
            for answer in answers:
                suite.shows_nothing(answer.raw)
            assert [answer.status for answer in answers] == [status], [answer.status for answer in answers]
            attack.saw = f"{status}, and the end"


class Forwarder:
    """A small reverse proxy, which adds a header, or none; Host is that of the server behind it, as many set it."""

    def __init__(self, port, mark):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                there = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                headers = {**dict(self.headers), "Host": f"127.0.0.1:{port}"}
                if mark:
                    headers[mark] = f"for={self.client_address[0]}" if mark == "Forwarded" else self.client_address[0]
                there.request(self.command, self.path, None, headers)
                answer = there.getresponse()
                text = answer.read()
                self.send_response_only(answer.status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
                there.close()

            do_PUT = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
