"""Requests as bytes, so that an attack sends exactly what it says, and the answers to them."""

import dataclasses
import re
import socket

# A busy machine is waited for; what is to be refused is refused at once.
PATIENCE = 30


@dataclasses.dataclass(frozen=True)
class Request:
    """A request, whose copies differ in one thing."""

    method: str
    target: str
    headers: tuple = ()
    version: str = "HTTP/1.1"

    def to(self, target):
        return dataclasses.replace(self, target=target)

    def by(self, method):
        return dataclasses.replace(self, method=method)

    def also(self, name, value):
        return dataclasses.replace(self, headers=(*self.headers, (name, value)))

    def without(self, name):
        return dataclasses.replace(self, headers=tuple(it for it in self.headers if it[0].lower() != name.lower()))

    def having(self, name, value):
        """With that value for the header, wherever it stood."""
        assert any(it[0].lower() == name.lower() for it in self.headers), f"no {name} to put another in the place of"
        return dataclasses.replace(
            self, headers=tuple((it[0], value) if it[0].lower() == name.lower() else it for it in self.headers))

    def value(self, name):
        return next(value for it, value in self.headers if it.lower() == name.lower())

    def raw(self, body=b""):
        lines = [f"{self.method} {self.target} {self.version}", *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("latin-1") + body


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer: its status, and all bytes of it."""

    status: int
    raw: bytes

    @property
    def body(self):
        return self.raw.split(b"\r\n\r\n", 1)[1]


class Line:
    """One connection: to a port, an address of both, or the path of a Unix socket."""

    def __init__(self, place):
        if isinstance(place, int):
            place = ("127.0.0.1", place)
        family = socket.AF_INET if isinstance(place, tuple) else socket.AF_UNIX
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(place if isinstance(place, tuple) else str(place))
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        """The next answer; None where the connection ends before it."""
        while b"\r\n\r\n" not in self.rest:
            if not self._more():
                return None
        head, _ = self.rest.split(b"\r\n\r\n", 1)
        status = int(re.match(rb"HTTP/1\.[01] (\d{3})", head)[1])
        length = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
        end = len(head) + 4 + (int(length[1]) if length else 0)
        while len(self.rest) < end:
            if not self._more():
                return None
        raw, self.rest = self.rest[:end], self.rest[end:]
        return Answer(status, raw)

    def _more(self):
        try:
            got = self.socket.recv(65536)
        except ConnectionError:
            return False
        self.rest += got
        return bool(got)


def ask(place, data):
    """The answer to one request; None where there is none."""
    with Line(place) as line:
        try:
            line.send(data)
        except ConnectionError:
            pass  # It was refused before all of it had come; the answer may be there.
        return line.answer()


def converse(place, data):
    """All answers to what is sent and to a last request that ends the connection: what is taken for a request of its own,
    and what is not, shows in their number.
    """
    with Line(place) as line:
        try:
            line.send(data + LAST)
        except ConnectionError:
            pass
        answers = []
        while (answer := line.answer()) is not None:
            answers.append(answer)
        return answers


LAST = b"GET /the-last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
