"""Tickets and tokens that were stolen, changed, made up or used up."""

import base64
import json
import time

from stage import end, wait_for

from .scene import REFUSED, SERVED, Scene
from .wire import Line

TICKET, TOKEN, IMDS, EPOCH = "src/endpoint/ticket.rs", "src/endpoint/token.rs", "src/endpoint/imds.rs", "src/endpoint/epoch.rs"
BAD, UNAUTHORIZED, FORBIDDEN, METHOD = 400, 401, 403, 405
NAME = "X-aws-ec2-metadata-token"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
# As src/endpoint/ticket.rs lays it out: user, end, epoch, nonce, profile, tag.
USER, ENDS, ISSUE, NONCE, TAG = slice(0, 4), slice(4, 12), slice(12, 20), slice(20, 36), slice(-32, None)


def attacks(suite, scene):
    neighbour = Scene(suite, "stranger")
    forged(suite, scene, "ticket", TICKET, scene.container, "Authorization", neighbour.ticket, "cbt1.")
    forged(suite, scene, "token", TOKEN, scene.imds, NAME, neighbour.token, "")
    tickets(suite, scene)
    tokens(suite, scene)
    revoked(suite, neighbour)


def forged(suite, scene, kind, stops, door, header, strangers, prefix):
    """What holds for both: nothing but the very bytes that were given out is good."""
    proof = door.honest.value(header)
    other = scene.new_ticket("other") if prefix else scene.new_token()
    raw = unpacked(proof, prefix)
    half = len(raw) // 2

    def packed(data):
        return prefix + base64.urlsafe_b64encode(data).decode().rstrip("=")

    with suite.attack(kind, f"a {kind} is cut off, at every length", stops, scene) as attack:
        each(attack, suite, door, header, [proof[:length] for length in range(len(proof))])
    with suite.attack(kind, f"a {kind} is longer, by any character", stops, scene) as attack:
        each(attack, suite, door, header, [proof + more for more in ("A", "=", "==", "AAAA", ".", "%00", proof, "A" * 2000)])
    with suite.attack(kind, f"each bit of a {kind} is flipped in turn", stops, scene) as attack:
        flipped = (bytearray(raw) for _ in range(8 * len(raw)))
        flips = []
        for place, data in enumerate(flipped):
            data[place // 8] ^= 1 << place % 8
            flips.append(packed(data))
        each(attack, suite, door, header, flips)
    with suite.attack(kind, f"the halves of a {kind} change places", stops, scene) as attack:
        each(attack, suite, door, header, [packed(raw[half:] + raw[:half]), packed(raw[-32:] + raw[:-32]), packed(raw[::-1])])
    with suite.attack(kind, f"one {kind}'s claim with another one's tag", stops, scene) as attack:
        each(attack, suite, door, header, [packed(raw[:-32] + unpacked(other, prefix)[-32:]),
                                           packed(unpacked(other, prefix)[:-32] + raw[-32:])])
    with suite.attack(kind, f"a {kind} with no tag, and with one of zeros", stops, scene) as attack:
        each(attack, suite, door, header, [packed(raw[:-32]), packed(raw[:-32] + bytes(32)), packed(raw[:-1] + b"\0" * 33)])
    with suite.attack(kind, f"a {kind} of another daemon", "src/daemon/state.rs", scene) as attack:
        each(attack, suite, door, header, [strangers])
    with suite.attack(kind, f"a {kind} with a scheme, quoted, or in other letters", stops, scene) as attack:
        each(attack, suite, door, header,
             [f"Bearer {proof}", f"Basic {proof}", f'"{proof}"', proof.swapcase(), proof + ",", f"{proof}, {proof}", f"{proof};"])
    with suite.attack(kind, f"a {kind} that is empty, and none at all", stops, scene) as attack:
        each(attack, suite, door, header, ["", prefix])
        attack.refused(door, door.honest.without(header), UNAUTHORIZED)
    with suite.attack(kind, f"a {kind} in the query and in the path", stops, scene) as attack:
        bare = door.honest.without(header)
        for target in (f"{bare.target}?{header}={proof}", f"{bare.target}?token={proof}", f"{bare.target}#{proof}"):
            attack.refused(door, bare.to(target), UNAUTHORIZED)


def unpacked(proof, prefix):
    text = proof.removeprefix(prefix)
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def each(attack, suite, door, header, values):
    """Sends each in the place of the good one, over one connection: a thousand are soon done."""
    attack.refused(door, door.honest.having(header, values[0]), UNAUTHORIZED)
    with Line(door.place) as line:
        for value in values:
            line.send(door.honest.having(header, value).raw())
            answer = line.answer()
            assert answer is not None and answer.status == UNAUTHORIZED, f"{answer and answer.status} for {len(value)} characters"
            suite.shows_nothing(answer.raw)


def tickets(suite, scene):
    door, raw = scene.container, unpacked(scene.ticket, "cbt1.")
    assert raw[36:-32] == b"reader", "the layout of tickets is another"

    def changed(place, value, profile=b"reader"):
        data = bytearray(raw[:36] + profile + raw[-32:])
        data[place] = value
        return "cbt1." + base64.urlsafe_b64encode(bytes(data)).decode().rstrip("=")

    for what, value in {
        "another user": changed(USER, (0 if int.from_bytes(raw[USER], "big") else 1000).to_bytes(4, "big")),
        "a later end": changed(ENDS, (int.from_bytes(raw[ENDS], "big") + 3600).to_bytes(8, "big")),
        "another epoch": changed(ISSUE, (int.from_bytes(raw[ISSUE], "big") + 1).to_bytes(8, "big")),
        "another profile": changed(NONCE, raw[NONCE], b"other"),
    }.items():
        with suite.attack("ticket", f"a ticket is made to name {what}", TICKET, scene) as attack:
            each(attack, suite, door, "Authorization", [value])
    with suite.attack("ticket", "a token of a metadata endpoint is shown as a ticket", "src/seal.rs", scene) as attack:
        each(attack, suite, door, "Authorization", [scene.token, f"cbt1.{scene.token}"])
    with suite.attack("ticket", "a ticket is used after its end", TICKET, scene) as attack:
        used_up(attack, door, "Authorization", scene.new_ticket("reader", seconds=2))
    with suite.attack("ticket", "a ticket is shown at a metadata endpoint", TOKEN, scene) as attack:
        each(attack, suite, scene.imds, NAME, [scene.ticket, scene.ticket.removeprefix("cbt1.")])
    for ttl in (0, -1, 43201, 1 << 64, "3600", None, 1.5):
        with suite.attack("ticket", f"a ticket is asked for with the life {json.dumps(ttl)}", "src/endpoint/control.rs", scene) as attack:
            scene.new_ticket("reader", seconds=43200)
            status, text = scene.control("POST", "/v1/profiles/reader/ticket", json.dumps({"ttl_seconds": ttl}))
            assert status == BAD, f"{status}: {text}"
            attack.saw = str(status)


def used_up(attack, door, header, proof):
    """Until its end it is good; afterwards not."""
    request = door.honest.having(header, proof)
    assert door.ask(request).status == SERVED, "it was never good"
    time.sleep(2.1)
    attack.refused(door, request, UNAUTHORIZED)


def tokens(suite, scene):
    for ttl in ("0", "-1", "+1", "21601", "1.0", "1e3", "0x10", "", "abc", "60s", "60 60", "6\u00b9", "99999999999999999999"):
        with suite.attack("token", f"a token is asked for with the life {ttl!r}", TOKEN, scene) as attack:
            attack.refused(scene.tokens, scene.tokens.honest.having(TTL, ttl), BAD)
    with suite.attack("token", "a token is asked for with two lives, and with none", IMDS, scene) as attack:
        attack.refused(scene.tokens, scene.tokens.honest.also(TTL, "60"), BAD)
        attack.refused(scene.tokens, scene.tokens.honest.without(TTL), BAD)
    with suite.attack("token", "a token is asked for by GET and by POST", IMDS, scene) as attack:
        for method in ("GET", "POST", "HEAD"):
            attack.refused(scene.tokens, scene.tokens.honest.by(method), METHOD)
    with suite.attack("token", "a token is asked for at a dated version", IMDS, scene) as attack:
        attack.refused(scene.tokens, scene.tokens.honest.to("/2021-03-23/api/token"), FORBIDDEN)
    with suite.attack("token", "a token of another listener with the same profiles", TOKEN, scene) as attack:
        each(attack, suite, scene.imds, NAME, [scene.new_token("neighbour"), scene.new_token("old")])
    with suite.attack("token", "a bad token where none is needed", IMDS, scene) as attack:
        attack.refused(scene.old, scene.old.honest.also(NAME, scene.token), UNAUTHORIZED)
    with suite.attack("token", "a token is used after its end", TOKEN, scene) as attack:
        used_up(attack, scene.imds, NAME, scene.new_token(seconds=2))


def revoked(suite, scene):
    with suite.attack("ticket", "a stolen ticket is used after `logout`", EPOCH) as attack:
        stolen = scene.ticket
        assert scene.container.ask().status == SERVED, "it was never good"
        done = scene.daemon.run("logout", "--all")
        assert done.returncode == 0, done.stderr
        attack.refused(scene.container, scene.container.honest.having("Authorization", stolen), UNAUTHORIZED,
                       control=scene.container.honest.having("Authorization", scene.new_ticket("reader")))
    with suite.attack("ticket", "a stolen ticket is used after `logout` and a restart of the daemon", EPOCH) as attack:
        end(scene.daemon.process)
        scene.daemon.start()
        scene.daemon.wait()
        attack.refused(scene.container, scene.container.honest.having("Authorization", stolen), UNAUTHORIZED,
                       control=scene.container.honest.having("Authorization", scene.new_ticket("reader")))
    with suite.attack("ticket", "a ticket for a profile that is there no more", "src/endpoint/desk.rs") as attack:
        kept, gone = scene.new_ticket("reader"), scene.new_ticket("other")
        request = scene.container.honest.having("Authorization", gone)
        assert scene.container.ask(request).status == SERVED, "it was never good"
        text = scene.daemon.config.read_text()
        scene.daemon.config.write_text(text[: text.index("[profile.other]")])
        until_gone(scene)
        attack.refused(scene.container, request, 404, REFUSED, control=scene.container.honest.having("Authorization", kept))


def until_gone(scene):
    wait_for(lambda: "other" not in scene.daemon.run("list").stdout, "the profile is gone")
