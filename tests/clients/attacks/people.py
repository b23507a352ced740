"""Another user of the machine, who asks the daemon, looks at its files and processes, or takes its place."""

import os
import stat

from stage import NotHere, end, free_port, wait_for

from .household import House

ACCESS, PEER, KERNEL = "src/policy/access.rs", "src/endpoint/listener.rs", "the kernel"
SOCKET, CLIENT, STATE = "src/endpoint/listener/socket.rs", "src/cli/client/socket.rs", "src/daemon/state.rs"
SERVED, FORBIDDEN = 200, 403
NO, CONFIG, NOT_NOW = 77, 78, 75
OPEN = {
    "credentials": ("GET", "/v1/profiles/reader/credentials", None),
    "the state of a profile": ("GET", "/v1/profiles/reader/status", None),
    "what clients of a profile are told": ("GET", "/v1/profiles/reader/client", None),
    "a ticket": ("POST", "/v1/profiles/reader/ticket", '{"ttl_seconds":60}'),
    "a renewal": ("POST", "/v1/profiles/reader/refresh", ""),
    "that a session is forgotten": ("POST", "/v1/profiles/reader/forget", ""),
    "that a session is ended": ("POST", "/v1/profiles/reader/logout", ""),
}

KIND = "another user"

def attacks(suite):
    with House(suite, "people") as house:
        machine = house.daemon(house.broker, "machine", everybody=True)
        asking(suite, house, machine)
        stealing(suite, house, machine)
        ruled(suite, house)
        namespaces(suite, house, machine)
        own = house.daemon(house.alice, "own")
        looking(suite, house, own)


def asking(suite, house, machine):
    bob, broker = house.bob, house.broker
    for what, (method, path, body) in OPEN.items():
        with suite.attack("another user", f"asks the machine's daemon for {what}", ACCESS, machine) as attack:
            status, text = broker.asks(machine.control, method, path, body)
            assert status == SERVED, f"its own user: {status}: {text}"
            status, text = bob.asks(machine.control, method, path, body)
            assert status == FORBIDDEN, f"{status}: {text}"
            suite.shows_nothing(text)
            attack.saw = str(status)
    for what, path in {"a query": "reader/credentials?user=root", "an encoded name": "%72eader/credentials",
                       "slashes": "/reader//credentials", "two dots": "x/../reader/credentials"}.items():
        with suite.attack("another user", f"asks for credentials by a path with {what}", ACCESS, machine) as attack:
            status, text = bob.asks(machine.control, "GET", f"/v1/profiles/{path}")
            assert status == FORBIDDEN, f"{status}: {text}"
            suite.shows_nothing(text)
            attack.saw = str(status)
    with suite.attack("another user", "guesses the names of profiles", "src/endpoint/control.rs", machine) as attack:
        there, not_there = (bob.asks(machine.control, "GET", f"/v1/profiles/{name}/credentials") for name in ("reader", "raeder"))
        assert there[0] == not_there[0] == FORBIDDEN, f"{there} {not_there}"
        assert there[1].replace("reader", "raeder") == not_there[1], f"{there[1]} is not {not_there[1]}"
        attack.saw = "403 for both"
    for what, path in {"lists the profiles": "/v1/profiles", "looks at the state of all": "/v1/status", "reads the metrics": "/metrics",
                       "looks for what waits for a person": "/v1/waiting"}.items():
        with suite.attack("another user", what, ACCESS, machine) as attack:
            status, text = broker.asks(machine.control, "GET", path)
            assert status == SERVED and ("reader" in text or path == "/v1/waiting"), text
            status, text = bob.asks(machine.control, "GET", path)
            assert status == SERVED and "reader" not in text and "config.toml" not in text, text
            suite.shows_nothing(text)
            attack.saw = "200, and no profile"
    for command in (["process", "reader"], ["whoami", "reader"], ["env", "reader"], ["refresh", "reader"], ["login", "reader"]):
        with suite.attack("another user", f"runs `credbroker {' '.join(command)}`", ACCESS, machine) as attack:
            done = bob.credbroker(machine.control, *command)
            assert done.returncode == NO and not done.stdout, f"{done.returncode}: {done.stdout}{done.stderr}"
            suite.shows_nothing(done.stderr)
            attack.saw = "exit 77"
    with suite.attack("another user", "runs `credbroker exec reader`", ACCESS, machine) as attack:
        done = bob.credbroker(machine.control, "exec", "reader", "--", "env")
        assert done.returncode == 125 and not done.stdout, f"{done.returncode}: {done.stdout}{done.stderr}"
        attack.saw = "exit 125, and no child"
    with suite.attack("another user", "ends everybody's tickets by `logout --all`", ACCESS, machine) as attack:
        ticket = machine.ticket()
        bob.credbroker(machine.control, "logout", "--all")
        status = bob_shows(house, machine, ticket)
        assert status == SERVED, f"the ticket was ended: {status}"
        broker.credbroker(machine.control, "logout", "--all")
        assert bob_shows(house, machine, ticket) == 401, "its own user's logout ends none"
        attack.saw = "they stay good"


def stealing(suite, house, machine):
    """A ticket that somebody else has got hold of: the kernel's word on who shows it comes on top."""
    with suite.attack("another user", "shows a ticket that was given to somebody else", ACCESS, machine) as attack:
        ticket = machine.ticket()
        assert bob_shows(house, machine, ticket) == SERVED, "its own user is not served"
        status = shows(house, house.bob, machine, ticket)
        assert status == FORBIDDEN, status
        attack.saw = str(status)


def ruled(suite, house):
    """At a metadata endpoint: whom a rule names, and who is like that one but for one thing."""
    port = free_port()
    text = "\n".join(['[[endpoint]]', 'name = "metadata"', 'kind = "imds"', f'address = "127.0.0.1:{port}"', 'profiles = ["reader"]',
                      'http_tokens = "optional"', '[[allow]]', 'profiles = ["reader"]', f'user = {house.alice.uid}', ''])
    ruled = house.daemon(house.broker, "ruled", everybody=True, text=text)
    url = f"http://127.0.0.1:{port}/latest/meta-data/iam/security-credentials/"

    def status(person, *more, path=""):
        argv = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", *more, url + path]
        return int((person.run(*argv) if person else house.stage.run(*argv)).stdout)

    for name, person in (("another user", house.bob), ("root, by TCP,", None)):
        for what, path in (("the role", ""), ("the credentials", "reader")):
            with suite.attack("another user", f"{name} asks a metadata endpoint for {what} of whom a rule names", ACCESS, ruled) as attack:
                assert status(house.alice, path=path) == SERVED, "whom the rule names is not served"
                assert status(house.broker, path=path) == SERVED, "the daemon's own user is not served"
                assert status(person, path=path) == 404
                attack.saw = "404"
    with suite.attack("another user", "shows the metadata token of whom a rule names", "src/endpoint/token.rs", ruled) as attack:
        put = ["--request", "PUT", "--header", "X-aws-ec2-metadata-token-ttl-seconds: 60"]
        token = house.alice.run("curl", "--silent", *put, f"http://127.0.0.1:{port}/latest/api/token").stdout
        suite.secret(token)
        shown = ["--header", f"X-aws-ec2-metadata-token: {token}"]
        assert status(house.alice, *shown) == SERVED, "its own user is not served"
        assert status(house.bob, *shown) == 401
        attack.saw = "401"
    ruled.stop()


def bob_shows(house, machine, ticket):
    """What the daemon's own user is told for a ticket."""
    return shows(house, house.broker, machine, ticket)


def shows(house, person, machine, ticket):
    """What a user is told for a ticket."""
    headers = house.file(person.home / "headers", f"Authorization: {ticket}\n", person.uid)
    done = person.run("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--header", f"@{headers}",
                      f"http://127.0.0.1:{machine.port}/v1/credentials")
    return int(done.stdout)


def namespaces(suite, house, machine):
    with suite.attack("another user", "is root in a user namespace of its own", PEER, machine) as attack:
        inside = ["unshare", "--user", "--map-root-user"]
        seen = house.bob.run(*inside, "id", "-u")
        if seen.returncode:
            raise NotHere("users cannot make namespaces here")
        assert seen.stdout == "0\n", seen.stdout
        done = house.bob.credbroker(machine.control, "process", "reader", within=inside)
        assert done.returncode == NO and not done.stdout, f"{done.returncode}: {done.stdout}{done.stderr}"
        attack.saw = "exit 77"


def looking(suite, house, own):
    alice, bob = house.alice, house.bob
    with suite.attack("another user", "asks a person's own daemon", SOCKET, own) as attack:
        done = bob.credbroker(own.control, "process", "reader")
        assert done.returncode == NO and "is not open to you" in done.stderr, f"{done.returncode}: {done.stderr}"
        mode = stat.S_IMODE(own.control.stat().st_mode)
        assert mode == 0o600, f"the socket has mode {mode:o}"
        attack.saw = "exit 77"
    alice.run("sh", "-c", f'printf %s "$(date)" > {own.state}/probe')
    files = sorted(path for path in own.state.rglob("*") if path.is_file())
    assert {"token.key", "store.key", "lock"} <= {path.name for path in files} and any("sessions" in str(it) for it in files), files
    with suite.attack("another user", "reads the files of the state directory", STATE, own) as attack:
        own.state.chmod(0o755)  # Its files keep out others by themselves, too.
        (own.state / "probe").unlink()
        for path in files:
            if path.name != "probe":
                assert bob.reads(path) is None, f"{path.name} is read"
        own.state.chmod(0o700)
        attack.saw = "denied by their modes"
    with suite.attack("another user", "serves its own profiles with a person's state directory", STATE, own) as attack:
        text = own.config.read_text().replace(str(own.control), str(bob.home / "control.sock"))
        config = house.file(bob.home / "config.toml", text.replace("base.json", str(bob.home / "base.json")), bob.uid)
        house.file(bob.home / "base.json", "{}", bob.uid)
        done = bob.run(house.program, "serve", "--config", config)
        assert done.returncode in (NOT_NOW, CONFIG), f"{done.returncode}: {done.stderr}"
        attack.saw = f"exit {done.returncode}"
    pid = own.process.pid
    for name in ("environ", "mem", "maps", "smaps", "io", "stack", "auxv", "syscall"):
        with suite.attack("another user", f"reads /proc/PID/{name} of the daemon", KERNEL, own) as attack:
            assert bob.reads(f"/proc/{pid}/{name}") is None, "it is read"
            attack.saw = "denied"
    with suite.attack("another user", "lists /proc/PID/fd of the daemon", KERNEL, own) as attack:
        assert bob.run("ls", f"/proc/{pid}/fd").returncode, "it is listed"
        attack.saw = "denied"
    with suite.attack("another user", "kills, stops and reloads the daemon", KERNEL, own) as attack:
        for signal in ("KILL", "STOP", "HUP", "TERM"):
            assert bob.run("sh", "-c", f"kill -{signal} {pid}").returncode, f"{signal} came through"
        attack.saw = "denied"
    with suite.attack("another user", "looks for the ticket of an `exec` in its files, its environment and `ps`",
                      "src/cli/exec/scratch.rs", own) as attack:
        child = house.stage.spawn("exec", [*alice.prefix, house.program, "exec", "reader", "--env-token", "--", "sleep", "600"],
                                  alice.env(CREDBROKER_CONTROL=own.control))
        wait_for(lambda: children(child.pid), "the child of exec")
        inner = children(child.pid)[0]
        told = dict(it.split("=", 1) for it in open(f"/proc/{inner}/environ").read().split("\0") if "=" in it)
        file, ticket = told["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"], told["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        suite.secret(ticket, open(file).read())
        assert alice.reads(file), "its own user does not read the ticket"
        assert bob.reads(file) is None and bob.reads(f"/proc/{inner}/environ") is None
        suite.shows_nothing(bob.run("ps", "-e", "-o", "args").stdout)
        end(child)
        assert not os.path.exists(file), "the ticket's file outlives exec"
        attack.saw = "denied, and not shown"
    taking(suite, house, own)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def taking(suite, house, own):
    """Takes the place of the daemon: its socket, or its port."""
    alice, bob = house.alice, house.bob
    shared = house.folder("shared", 0, 0o1777)
    fake = Fake(house, bob, shared / "control.sock")
    for who, person in (("a person", alice), ("root", None)):
        with suite.attack("another user", f"serves a false control socket, and {who} asks there", CLIENT, own) as attack:
            asked = person.credbroker(fake.path, "process", "reader") if person else house.stage.run(
                house.program, "process", "reader", env=house.stage.env(CREDBROKER_CONTROL=fake.path))
            assert asked.returncode == NO and f"user id {bob.uid} answers" in asked.stderr, f"{asked.returncode}: {asked.stderr}"
            assert not asked.stdout and not fake.heard(), "something was said to it"
            attack.saw = "exit 77, and nothing is said to it"
    with suite.attack("another user", "serves a false control socket, to which the right place is linked", CLIENT, own) as attack:
        link = alice.home / "linked.sock"
        link.unlink(missing_ok=True)
        link.symlink_to(fake.path)
        asked = alice.credbroker(link, "process", "reader")
        assert asked.returncode == NO and not asked.stdout and not fake.heard(), f"{asked.returncode}: {asked.stderr}"
        attack.saw = "exit 77, and nothing is said to it"
    with suite.attack("another user", "has a socket where the daemon is to serve", SOCKET, own) as attack:
        refused_place(house, own, fake.path, "something else listens")
        attack.saw = "it does not start"
    fake.end()
    with suite.attack("another user", "has the directory where the daemon is to serve", SOCKET, own) as attack:
        refused_place(house, own, house.folder("bobs", bob.uid, 0o755) / "control.sock", f"user id {bob.uid}")
        attack.saw = "it does not start"
    with suite.attack("another user", "can write to the directory where the daemon is to serve", SOCKET, own) as attack:
        refused_place(house, own, house.folder("open", alice.uid, 0o777) / "control.sock", "chmod go-w")
        attack.saw = "it does not start"


def refused_place(house, own, control, why):
    """The daemon does not serve at `control`."""
    name = control.parent.name
    state = house.folder(f"{name}-state", own.owner.uid, 0o700)
    text = own.config.read_text().replace(str(own.control), str(control)).replace(str(own.state), str(state))
    config = house.file(own.dir / f"{name}.toml", text.replace(f":{own.port}", f":{free_port()}"), own.owner.uid)
    done = own.owner.run(house.program, "serve", "--config", config, timeout=120)
    assert done.returncode in (NOT_NOW, CONFIG) and why in done.stderr, f"{done.returncode}: {done.stderr}"


class Fake:
    """A control socket that another user serves, and what it hears."""

    SCRIPT = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
import os
os.chmod(sys.argv[1], 0o666)
listener.listen()
while True:
    line, _ = listener.accept()
    line.settimeout(5)
    try:
        heard = line.recv(1000)
    except OSError:
        heard = b""
    if heard:
        open(sys.argv[2], "ab").write(heard)
        line.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\n{}")
    line.close()
"""

    def __init__(self, house, person, path):
        self.path, self.log = path, person.home / "heard"
        self.process = house.stage.spawn("fake", [*person.prefix, "python3", "-c", self.SCRIPT, path, self.log], person.env())
        wait_for(path.exists, "the false socket", self.process)
        wait_for(lambda: stat.S_IMODE(path.stat().st_mode) == 0o666, "its mode", self.process)
        assert person.run("true").returncode == 0

    def heard(self):
        return self.log.exists() and self.log.read_bytes()

    def end(self):
        end(self.process)
