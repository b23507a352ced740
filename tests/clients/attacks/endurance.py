"""Too much, and too slow: what never ends, what is never taken, and what is larger than anything honest."""

import json
import pathlib
import socket
import time

from judge import Control, exchange

from .scene import SERVED, Scene
from .wire import Line, ask

PULSE, CONNECTION, CONTROL = "src/endpoint/server/pulse.rs", "src/endpoint/server/connection.rs", "src/endpoint/control.rs"
CROWD = "src/endpoint/server/crowd.rs"
UNAUTHORIZED, LARGE, BAD = 401, 413, 400
# A request has ten seconds, an answer too; the rest is for a busy machine.
CUT = 60


def attacks(suite):
    scene = Scene(suite, "endurance")
    slow(suite, scene)
    bodies(suite, scene)
    many(suite, scene)


def slow(suite, scene):
    whole = scene.container.honest.raw()
    with suite.attack("endurance", "100 requests trickle, a byte at a time (Slowloris)", PULSE, scene) as attack:
        lines = [Line(scene.container.place) for _ in range(100)]
        began = time.monotonic()
        for byte in whole * 10:
            open_ones = [line for line in lines if trickle(line, bytes([byte]))]
            if not open_ones:
                break
            if byte % 8 == 0:
                scene.serves()
            time.sleep(0.5)
            assert time.monotonic() - began < CUT, f"{len(open_ones)} are still open"
            lines = open_ones
        attack.saw = "cut off; others are served meanwhile"
    for what, sent in (("half of a request", whole[: len(whole) // 2]), ("nothing", b"")):
        with suite.attack("endurance", f"a client sends {what}, and shuts its side", CONNECTION, scene) as attack:
            with Line(scene.container.place) as line:
                line.send(sent)
                line.socket.shutdown(socket.SHUT_WR)
                answer = line.answer()
                assert answer is None or answer.status == BAD, answer.status
            attack.saw = "the end"
    with suite.attack("endurance", "a client resets its connection amid the answer, 200 times", CONNECTION, scene) as attack:
        for _ in range(200):
            with Line(scene.container.place) as line:
                line.send(whole)
                line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        attack.saw = "others are served"


def trickle(line, byte):
    """Whether the line still takes a byte."""
    try:
        line.socket.setblocking(False)
        line.socket.send(byte)
        return line.socket.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def bodies(suite, scene):
    bad = scene.container.honest.having("Authorization", "cbt1.forged")
    with suite.attack("endurance", "a body of a terabyte is announced", CONNECTION, scene) as attack:
        before = memory(scene)
        with Line(scene.container.place) as line:
            line.send(bad.also("Content-Length", str(1 << 40)).raw())
            assert line.answer().status == UNAUTHORIZED
            sent = pour(line, 64 << 20)
        assert sent < 64 << 20, "all of it was taken"
        assert memory(scene) - before < 16 << 10, f"{memory(scene) - before} KiB more"
        attack.saw = "401, and the end"
    with suite.attack("endurance", "chunks come without an end", CONNECTION, scene) as attack:
        with Line(scene.container.place) as line:
            line.send(bad.also("Transfer-Encoding", "chunked").raw(b"5\r\nhello\r\n"))
            assert line.answer().status == UNAUTHORIZED
            sent = pour(line, 64 << 20, b"1000\r\n" + bytes(4096) + b"\r\n")
        assert sent < 64 << 20, "all of it was taken"
        attack.saw = "401, and the end"
    for what, headers, body in (("by its length", [("Content-Length", "100000")], b"x" * 100_000),
                                ("in chunks", [("Transfer-Encoding", "chunked")], b"ffff\r\n" + bytes(65535) + b"\r\n10\r\n" + bytes(16))):
        with suite.attack("endurance", f"the control socket gets a body that is too long, {what}", CONTROL, scene) as attack:
            head = "POST /v1/profiles/reader/ticket HTTP/1.1\r\nHost: x\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
            answer = ask(scene.daemon.control, head.encode() + b"\r\n" + body)
            assert answer.status == LARGE, answer.status
            attack.saw = "413"
    with suite.attack("endurance", "the control socket gets a body that does not come", CONTROL, scene) as attack:
        answer = ask(scene.daemon.control, b"POST /v1/profiles/reader/ticket HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        assert answer.status == BAD, answer.status
        attack.saw = "400"
    for what, body in {"no JSON": "ttl", "an array": "[]", "another type": '{"ttl_seconds":{}}', "depth without end": "[" * 60_000,
                       "bytes that are no text": b"\xff\xfe"}.items():
        with suite.attack("endurance", f"the control socket gets a body of {what}", CONTROL, scene) as attack:
            status, text = exchange(Control(scene.daemon.control), "POST", "/v1/profiles/reader/ticket", {}, body)
            assert status == str(BAD), f"{status}: {text}"
            suite.shows_nothing(text)
            json.loads(text)
            attack.saw = status


def pour(line, most, piece=bytes(1 << 16)):
    """Sends as much as is taken; how much that was."""
    line.socket.settimeout(CUT)
    sent = 0
    try:
        while sent < most:
            sent += line.socket.send(piece)
    except OSError:
        pass
    return sent


def many(suite, scene):
    with suite.attack("endurance", "answers without end are asked for, and none is taken", PULSE, scene) as attack:
        before = memory(scene)
        with Line(scene.container.place) as line:
            pour(line, 1 << 30, scene.container.honest.raw() * 100)
        assert memory(scene) - before < 16 << 10, f"{memory(scene) - before} KiB more"
        attack.saw = "cut off"
    with suite.attack("endurance", "2,500 connections say nothing", CROWD, scene) as attack:
        lines = []
        for _ in range(2500):
            lines.append(Line(scene.container.place))
            if len(lines) % 500 == 0:
                scene.serves()
        for line in lines:
            line.socket.close()
        attack.saw = "others are served"
    with suite.attack("endurance", "5,000 forged tickets in a row", "src/endpoint/ticket.rs", scene) as attack:
        bad = scene.container.honest.having("Authorization", "cbt1." + "A" * 120).raw()
        with Line(scene.container.place) as line:
            for _ in range(50):
                line.send(bad * 100)
                assert all(line.answer().status == UNAUTHORIZED for _ in range(100))
        assert scene.container.ask().status == SERVED
        attack.saw = "401 for each"


def memory(scene):
    """What the daemon has resident, in KiB."""
    text = pathlib.Path(f"/proc/{scene.daemon.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0])
