"""Odd requests: paths that mean another place to somebody else, headers twice and torn, and what is no HTTP at all."""

from .scene import SERVED
from .wire import Line, ask, converse

PATH, IMDS, CONTAINER = "src/endpoint/path.rs", "src/endpoint/imds.rs", "src/endpoint/container.rs"
HTTP = "hyper"
BAD, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, METHOD, LARGE = 400, 401, 403, 404, 405, 431
# Ways to write the path of another profile, "other", whose name the endpoint does not serve.
ROLE = "/latest/meta-data/iam/security-credentials/"
PATHS = {
    "another profile's name": ROLE + "other",
    "two dots": ROLE + "reader/../other",
    "encoded dots": ROLE + "reader/%2e%2e/other",
    "an encoded slash": ROLE + "reader%2f..%2fother",
    "capitals": ROLE + "READER",
    "a parameter": ROLE + "reader;v=1",
    "a name that is encoded twice": ROLE + "%2572eader",
    "an encoded zero byte": ROLE + "reader%00",
    "an overlong slash": ROLE + "reader%c0%afother",
    "a broken escape": ROLE + "reader%zz",
    "more segments than there are": ROLE + "reader/x",
    "two dots at the top": "/../" + "latest/meta-data/iam/security-credentials/other",
    "another version of the service": "/1.0/meta-data/iam/security-credentials/reader",
    "capitals at the top": "/LATEST/meta-data/iam/security-credentials/reader",
    "a trailing dot": ROLE + "reader.",
}
# Ways to write a path so that a check of paths might not know it: what is needed is needed all the same.
DISGUISES = {
    "double slashes": "//latest//meta-data//iam//security-credentials//reader",
    "a query": ROLE + "reader?x=/latest/api/token",
    "a fragment": ROLE + "reader#/latest/api/token",
    "its full address": "http://127.0.0.1:{port}" + ROLE + "reader",
    "an https address": "https://127.0.0.1:{port}" + ROLE + "reader",
    "an encoded name": ROLE + "%72eader",
}


def attacks(suite, scene):
    for what, path in PATHS.items():
        with suite.attack("path", f"with a token, the path has {what}", PATH, scene) as attack:
            attack.refused(scene.imds, scene.imds.honest.to(path), NOT_FOUND)
    for what, path in DISGUISES.items():
        with suite.attack("path", f"without a token, the path is written with {what}", IMDS, scene) as attack:
            honest = scene.imds.honest.to(path.format(port=scene.imds.place))
            attack.refused(scene.imds, honest.without("X-aws-ec2-metadata-token"), UNAUTHORIZED, control=honest)
    for what, path in {"a backslash": "\\latest\\meta-data", "a zero byte": ROLE + "reader\0", "a byte above ASCII": ROLE + "\xff",
                       "a space": ROLE + "rea der", "a tab": ROLE + "rea\tder"}.items():
        with suite.attack("path", f"the target has {what} in it", HTTP, scene) as attack:
            attack.refused(scene.imds, scene.imds.honest.to(path), BAD)
    headers(suite, scene)
    foreign(suite, scene)


def headers(suite, scene):
    ticket = scene.container.honest.value("Authorization")
    token = scene.imds.honest.value("X-aws-ec2-metadata-token")
    for what, change, status, stops in (
        ("two Authorization headers, both good", lambda it: it.also("Authorization", ticket), UNAUTHORIZED, CONTAINER),
        ("two Authorization headers, the first good", lambda it: it.also("Authorization", "x"), UNAUTHORIZED, CONTAINER),
        ("a space before a colon", lambda it: it.without("Authorization").also("Authorization ", ticket), BAD, HTTP),
        ("a folded line", lambda it: it.having("Authorization", f"\r\n {ticket}"), BAD, HTTP),
        ("a zero byte in a value", lambda it: it.also("X-Odd", "a\0b"), BAD, HTTP),
        ("a carriage return in a value", lambda it: it.also("X-Odd", "a\rb"), BAD, HTTP),
        ("a name of nothing", lambda it: it.also("", "a"), BAD, HTTP),
        ("a name in bytes above ASCII", lambda it: it.also("X-\xff", "a"), BAD, HTTP),
        ("a name with brackets", lambda it: it.also("X(odd)", "a"), BAD, HTTP),
        ("65 headers", lambda it: many(it, 65), LARGE, "src/endpoint/server/connection.rs"),
        ("a header of 20,000 bytes", lambda it: it.also("X-Odd", "a" * 20_000), LARGE, "src/endpoint/server/connection.rs"),
        ("a header of a megabyte", lambda it: it.also("X-Odd", "a" * 1_000_000), LARGE, "src/endpoint/server/connection.rs"),
        ("a target of 20,000 bytes", lambda it: it.to(it.target + "?" + "a" * 20_000), LARGE, "src/endpoint/server/connection.rs"),
    ):
        with suite.attack("header", f"a good request with {what}", stops, scene) as attack:
            attack.refused(scene.container, change(scene.container.honest), status)
    with suite.attack("header", "a proxy's mark hidden between bare line feeds", "src/endpoint/guard.rs", scene) as attack:
        plain = scene.container.honest.also("X-Odd", "a\nX-Other: 203.0.113.7")
        attack.refused(scene.container, scene.container.honest.also("X-Odd", "a\nX-Forwarded-For: 203.0.113.7"), FORBIDDEN,
                       control=plain)
    with suite.attack("header", "two tokens, both good", IMDS, scene) as attack:
        attack.refused(scene.imds, scene.imds.honest.also("X-aws-ec2-metadata-token", token), UNAUTHORIZED)
    for what, name in (("a ticket as a cookie", "Cookie"), ("a ticket as a proxy's own", "Proxy-Authorization"),
                       ("a ticket under another name", "X-Authorization")):
        with suite.attack("header", f"{what}", CONTAINER, scene) as attack:
            attack.refused(scene.container, scene.container.honest.without("Authorization").also(name, ticket), UNAUTHORIZED)
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
        with suite.attack("method", f"{method} with a good ticket, and with a good token", CONTAINER, scene) as attack:
            attack.refused(scene.container, scene.container.honest.by(method), METHOD)
            attack.refused(scene.imds, scene.imds.honest.by(method), METHOD)
    with suite.attack("method", "X-HTTP-Method-Override makes GET a PUT", IMDS, scene) as attack:
        wish = scene.tokens.honest
        attack.refused(scene.tokens, wish.by("GET").also("X-HTTP-Method-Override", "PUT"), METHOD)


def many(request, count):
    for number in range(count):
        request = request.also(f"X-{number}", "a")
    return request


def foreign(suite, scene):
    """What is not HTTP/1.1, or not only."""
    host = f"Host: 127.0.0.1:{scene.container.place}\r\n"
    ticket = f"Authorization: {scene.ticket}\r\n"
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(505)
    for what, data in (
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)),
        ("a TLS hello", hello),
        ("a request of HTTP/0.9", b"GET /v1/credentials\r\n"),
        ("a version that does not exist", f"GET /v1/credentials HTTP/1.2\r\n{host}{ticket}\r\n".encode()),
        ("an SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("4,096 zero bytes", bytes(4096)),
    ):
        with suite.attack("protocol", f"{what} comes instead of HTTP/1.1", HTTP, scene) as attack:
            answers = converse(scene.container.place, data)
            for answer in answers:
                suite.shows_nothing(answer.raw)
            assert [answer.status for answer in answers] in ([], [BAD]), [answer.status for answer in answers]
            attack.saw = "400" if answers else "the end"
    for what, more in (("HTTP/2", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n"),
                       ("a WebSocket", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")):
        with suite.attack("protocol", f"an upgrade to {what}", HTTP, scene) as attack:
            answer = ask(scene.container.place, f"GET /v1/credentials HTTP/1.1\r\n{host}{more}\r\n".encode())
            assert answer.status == UNAUTHORIZED, answer.status
            suite.shows_nothing(answer.raw)
            attack.saw = "401, and no upgrade"
    with suite.attack("protocol", "good and bad requests are mixed on one connection", CONTAINER, scene) as attack:
        good, bad = scene.container.honest, scene.container.honest.having("Authorization", "cbt1.forged")
        order = [good, bad, bad, good, bad] * 20
        with Line(scene.container.place) as line:
            line.send(b"".join(request.raw() for request in order))
            for request in order:
                answer = line.answer()
                assert answer.status == (SERVED if request is good else UNAUTHORIZED), answer.status
                (suite.shows_something if request is good else suite.shows_nothing)(answer.raw)
        attack.saw = "401 for each bad one"
