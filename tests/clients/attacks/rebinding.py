"""DNS rebinding: a page whose name now resolves to 127.0.0.1 reaches the daemon, and still sends its own name as Host."""

import shutil

from stage import NotHere

from .scene import REFUSED

GUARD = "src/endpoint/guard.rs"
UNCLEAR = 400
FOREIGN = {
    "another name": "evil.example",
    "another name with our port": "evil.example:{port}",
    "a name that begins with localhost": "localhost.evil.example",
    "a name that begins with 127.0.0.1": "127.0.0.1.evil.example:{port}",
    "a name that ends in localhost": "evil.localhost",
    "localhost with a trailing dot": "localhost.:{port}",
    "127.0.0.1 as a decimal number": "2130706433",
    "127.0.0.1 as a hexadecimal number": "0x7f000001:{port}",
    "127.0.0.1 as octal numbers": "0177.0.0.01",
    "127.0.0.1 in two parts": "127.1:{port}",
    "the unspecified address": "0.0.0.0:{port}",
    "the unspecified IPv6 address": "[::]:{port}",
    "127.0.0.1 mapped into IPv6": "[::ffff:127.0.0.1]:{port}",
    "an IPv6 address without brackets": "::1",
    "an IPv6 address with a zone": "[::1%25lo]:{port}",
    "another machine's private address": "10.0.0.1",
    "a link-local address that is none of AWS's": "169.254.169.253",
    "a user before the address": "evil.example@127.0.0.1:{port}",
    "two names in one header": "127.0.0.1, evil.example",
    "a port that is none": "127.0.0.1:99999",
    "no name at all": "",
    "a name in bytes that are not ASCII": "127.0.0.1\xff",
}


def attacks(suite, scene):
    for what, host in FOREIGN.items():
        with suite.attack("rebinding", f"Host names {what}", GUARD, scene) as attack:
            for door in scene.doors:
                attack.refused(door, door.honest.having("Host", host.format(port=door.place)), REFUSED)
    with suite.attack("rebinding", "Host is sent twice, first ours and then another", GUARD, scene) as attack:
        for door in scene.lending:
            attack.refused(door, door.honest.also("Host", "evil.example"), UNCLEAR)
    with suite.attack("rebinding", "Host is left out", GUARD, scene) as attack:
        for door in scene.lending:
            attack.refused(door, door.honest.without("Host"), UNCLEAR)
    with suite.attack("rebinding", "the target's own host is another, with ours in Host", GUARD, scene) as attack:
        for door in scene.lending:
            ours = door.honest.to(f"http://127.0.0.1:{door.place}{door.honest.target}")
            foreign = door.honest.to(f"http://evil.example{door.honest.target}")
            attack.refused(door, foreign, REFUSED, control=ours)
    with suite.attack("rebinding", "curl asks a name that resolves to 127.0.0.1", GUARD, scene) as attack:
        if not shutil.which("curl"):
            raise NotHere("there is no curl")
        asked = {host: curl(suite, scene, host) for host in ("localhost", "evil.example")}
        assert asked["localhost"].endswith(" 200"), asked["localhost"]
        suite.shows_something(asked["localhost"].encode())
        suite.shows_nothing(asked["evil.example"])
        assert asked["evil.example"].endswith(" 403"), asked["evil.example"][-4:]
        attack.saw = "403"


def curl(suite, scene, host):
    port = scene.container.place
    headers = suite.stage.write("headers", f"Authorization: {scene.ticket}\n")
    done = suite.stage.run(
        "curl", "--silent", "--resolve", f"{host}:{port}:127.0.0.1", "--header", f"@{headers}", "--write-out", " %{http_code}",
        f"http://{host}:{port}/v1/credentials", secret_stdout=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
