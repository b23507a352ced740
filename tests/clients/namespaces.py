"""Callers in containers, which are other network and user namespaces here: by address, token, ticket and a listener of their own,
as docs/guides/containers.md has it; and everybody who is refused. Runs inside namespaces.sh.

    far 10.88.7.2 -- 10.88.7.1 app 10.88.5.2 -- 10.88.5.1 machine 10.88.6.1 -- 10.88.6.2 other
"""

import ctypes
import json
import os
import secrets
import socket
import subprocess
import sys

from stage import BIN, LIBC, REGION, VENV, Daemon, Stage, config, free_port

GATE = "10.88.5.1"
LINK = "169.254.7.1"
EC2 = "169.254.169.254"
ALICE = 4242
PORT = 9912
ROLES = "/latest/meta-data/iam/security-credentials/"
CLONE_NEWNET = 0x40000000

# Asks for a path of the metadata service and prints the status and the body, or that nobody answers.
ASK = """
import http.client, sys
host, port, source, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def fetch(method, path, headers):
    c = http.client.HTTPConnection(host, port, timeout=3, source_address=("", source) if source else None)
    try:
        c.request(method, path, headers=headers)
        answer = c.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, "nobody answers"
    finally:
        if source:
            c.sock.setsockopt(1, 13, b"\\1\\0\\0\\0\\0\\0\\0\\0")
        c.close()
status, token = fetch("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
if status == 200:
    status, token = fetch("GET", path, {"X-aws-ec2-metadata-token": token})
print(status, token)
"""

TICKETED = """
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=5)
c.request("GET", sys.argv[3], headers={"Authorization": sys.stdin.read()})
answer = c.getresponse()
body = answer.read().decode()
print(answer.status, body)
"""


def main():
    with Stage("namespaces") as stage:
        lay_out(stage)
        moto = stage.moto()
        stage.write("daemon/base.json", moto.user)
        token = secrets.token_hex(32)
        stage.secret(token)
        stage.write("daemon/app.token", token + "\n")
        ports = {"local": free_port(), "gate": 9914}
        daemon = Housed(stage, written(moto, ports), listener("app", "127.0.0.1", PORT))
        by_address(stage)
        by_token(stage, ports, token)
        by_ticket(stage, daemon, ports)
        by_listener(stage)
        by_user(stage)
        unmapped(stage, moto)
    stage.exit()


def written(moto, ports):
    role = {"role_arn": moto.role, "endpoint_url": moto.url, "region": REGION}
    text = config("base.json", {"reader": role, "second": role}, container=ports["local"])
    for name, where in (("bridge", f'address = "{GATE}:{PORT}"'), ("host", f'address = "127.0.0.1:{PORT}"'),
                        ("link", f'address = "{LINK}:{PORT}"'), ("ec2", f'address = "{EC2}:80"'),
                        ("app", 'socket = "app"')):
        text += f'[[endpoint]]\nname = "{name}"\nkind = "imds"\n{where}\nprofiles = ["second", "reader"]\n'
    text += f'[[endpoint]]\nname = "gate"\nkind = "container"\naddress = "{GATE}:{ports["gate"]}"\n'
    for rule in ('source = "10.88.5.2"', 'endpoint = "app"', 'token = { file = "app.token" }'):
        text += f'[[allow]]\nprofiles = ["reader"]\n{rule}\n'
    return text + f'[[allow]]\nprofiles = ["second"]\nuser = {ALICE}\n'


class Housed(Daemon):
    """A daemon that is handed `socket`, as systemd hands one over."""

    def __init__(self, stage, text, socket):
        self._socket = socket
        super().__init__(stage, text, "daemon", None, ())

    def start(self):
        hand_over = 'exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=app exec "$@"'
        fd = self._socket.fileno()
        argv = ["bash", "-c", hand_over, fd, BIN, "serve", "--config", self.config]
        self.process = self.stage.spawn(self.name, argv, pass_fds=[fd])


def lay_out(stage):
    """The namespaces and what is between them."""
    def ip(*words, within=None):
        done = stage.run("ip", *(["-n", within] if within else []), *words, env=stage.env(PATH=os.environ["PATH"]))
        assert done.returncode == 0, f"ip {words}: {done.stderr}"

    for name in ("app", "other", "far"):
        ip("netns", "add", name)
        ip("link", "set", "lo", "up", within=name)
    for here, name, net in ((None, "app", "10.88.5"), (None, "other", "10.88.6"), ("app", "far", "10.88.7")):
        ip("link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name, within=here)
        ip("address", "add", f"{net}.1/30", "dev", f"to-{name}", within=here)
        ip("link", "set", f"to-{name}", "up", within=here)
        ip("address", "add", f"{net}.2/30", "dev", "eth0", within=name)
        ip("link", "set", "eth0", "up", within=name)
        ip("route", "add", "default", "via", f"{net}.1", within=name)
    ip("route", "add", "10.88.7.0/30", "via", "10.88.5.2")
    ip("address", "add", f"{LINK}/32", "dev", "to-app")
    ip("address", "add", f"{EC2}/32", "dev", "lo")
    inside("app", lambda: open("/proc/sys/net/ipv4/ip_forward", "w").write("1"))


def inside(name, do):
    """Does something in a network namespace, and comes back."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{name}") as there:
        assert LIBC.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            return do()
        finally:
            assert LIBC.setns(home.fileno(), CLONE_NEWNET) == 0


def listener(name, address, port):
    return inside(name, lambda: socket.create_server((address, port)))


def run(stage, place, *argv, uid=None, **options):
    """Runs a program in a namespace, or on the machine, as root or somebody else."""
    within = ["ip", "netns", "exec", place] if place else []
    within += ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups"] if uid else []
    return stage.run(*within, *argv, env=stage.env(PATH=os.environ["PATH"]), **options)


def ask(stage, place, host, port, path=ROLES, source=0, **options):
    """The status and the body that a client in `place` gets."""
    done = run(stage, place, "/usr/bin/python3", "-c", ASK, host, port, source, path, secret_stdout=True, **options)
    assert done.returncode == 0, done.stderr[-400:]
    status, _, body = done.stdout.strip().partition(" ")
    if body.startswith("{"):
        lent = json.loads(body)
        stage.secret(lent["SecretAccessKey"], lent["Token"])
    return int(status), body


def by_address(stage):
    with stage.case("a container is known by its address"):
        assert ask(stage, "app", GATE, PORT) == (200, "reader")
        status, body = ask(stage, "app", GATE, PORT, ROLES + "reader")
        assert status == 200 and json.loads(body)["Code"] == "Success"
    with stage.case("boto3 in a container needs no more than the address"):
        script = "import botocore.session as s; c = s.get_session().get_credentials(); print(c.method)"
        done = stage.run("ip", "netns", "exec", "app", VENV / "python", "-c", script, env=stage.env(
            PATH=os.environ["PATH"], AWS_EC2_METADATA_SERVICE_ENDPOINT=f"http://{GATE}:{PORT}/"))
        assert done.stdout.strip() == "iam-role", f"{done.stdout}{done.stderr[-400:]}"
    with stage.case("a container at another address gets nothing"):
        assert ask(stage, "other", GATE, PORT)[0] == 404
        assert ask(stage, "far", GATE, PORT)[0] == 404
    with stage.case("at EC2's own address neighbours get no answer"):
        for place in ("app", "other"):
            assert ask(stage, place, EC2, 80)[0] == 0, place
        assert ask(stage, None, EC2, 80, uid=ALICE) == (200, "second")
    with stage.case("what a link-local address answers goes no further than its link"):
        assert ask(stage, "app", LINK, PORT) == (200, "reader")
        assert ask(stage, "far", LINK, PORT)[0] == 0


def by_token(stage, ports, token):
    with stage.case("a container that has a token shows it"):
        for place in ("app", "other"):
            assert redeem(stage, place, ports["gate"], token, "/v1/credentials/reader") == 200, place
    with stage.case("a wrong token, or one for another profile, gets nothing"):
        assert redeem(stage, "app", ports["gate"], token[:-1] + "x", "/v1/credentials/reader") == 401
        assert redeem(stage, "app", ports["gate"], token, "/v1/credentials/second") == 403


def by_ticket(stage, daemon, ports):
    with stage.case("a ticket of `exec --env-token` is good in a container"):
        script = 'printf %s "$AWS_CONTAINER_AUTHORIZATION_TOKEN"'
        done = daemon.run("exec", "reader", "--env-token", "--", "sh", "-c", script, secret_stdout=True)
        assert done.returncode == 0 and done.stdout, done.stderr
        stage.secret(done.stdout)
        assert redeem(stage, "other", ports["gate"], done.stdout, "/v1/credentials") == 200
        assert redeem(stage, "other", ports["gate"], done.stdout[:-1], "/v1/credentials") == 401
    with stage.case("a ticket that the machine's other users got hold of is good for nothing"):
        assert redeem(stage, None, ports["gate"], done.stdout, "/v1/credentials", uid=ALICE) == 403


def redeem(stage, place, port, shown, path, **options):
    within = ["ip", "netns", "exec", place] if place else []
    if "uid" in options:
        within += ["setpriv", "--reuid", options["uid"], "--regid", options["uid"], "--clear-groups"]
    argv = [str(word) for word in [*within, "/usr/bin/python3", "-c", TICKETED, GATE, port, path]]
    done = subprocess.run(argv, input=shown, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-400:]
    status, _, body = done.stdout.strip().partition(" ")
    if status == "200":
        lent = json.loads(body)
        stage.secret(lent["SecretAccessKey"], lent["Token"])
    return int(status)


def by_listener(stage):
    with stage.case("a container is known by a listener of its own"):
        assert ask(stage, "app", "127.0.0.1", PORT) == (200, "reader")
        assert ask(stage, "app", "127.0.0.1", PORT, uid=ALICE) == (200, "reader"), "no user is known there"
    with stage.case("a client there that has the ports of a user's connection here is not that user"):
        with as_user(ALICE, lambda: socket.create_connection(("127.0.0.1", PORT))) as kept:
            port = kept.getsockname()[1]
            assert ask(stage, None, "127.0.0.1", PORT, uid=ALICE) == (200, "second")
            assert ask(stage, "app", "127.0.0.1", PORT, source=port) == (200, "reader")


def as_user(uid, do):
    """Does something as another user of the machine: a socket belongs to whom its maker is then."""
    os.seteuid(uid)
    try:
        return do()
    finally:
        os.seteuid(0)


def by_user(stage):
    with stage.case("a user of the machine is known at a bridge's address, too"):
        assert ask(stage, None, GATE, PORT, uid=ALICE) == (200, "second")
    with stage.case("a user of a container is no user of the machine"):
        assert ask(stage, "other", GATE, PORT, uid=ALICE)[0] == 404
    with stage.case("root in a user's container is that user"):
        within = ["setpriv", "--reuid", ALICE, "--regid", ALICE, "--clear-groups", "unshare", "--user", "--map-root-user"]
        argv = [*within, "/usr/bin/python3", "-c", ASK, "127.0.0.1", PORT, 0, ROLES]
        done = stage.run(*argv, env=stage.env(PATH=os.environ["PATH"]))
        assert done.stdout.strip() == "200 second", f"{done.stdout}{done.stderr[-400:]}"


def unmapped(stage, moto):
    """A daemon in a user namespace that maps root alone."""
    within = ["unshare", "--user", "--map-root-user"]
    with stage.case("whom a daemon's user namespace does not know is nobody"):
        stage.write("walled/base.json", moto.user)
        role = {"role_arn": moto.role, "endpoint_url": moto.url, "region": REGION}
        port = free_port()
        text = config("base.json", {"reader": role}, imds=f"127.0.0.1:{port}")
        text += f'[[allow]]\nprofiles = ["reader"]\nuser = {ALICE}\n'
        walled = stage.daemon(text, "walled", within=within)
        assert ask(stage, None, "127.0.0.1", port, uid=ALICE)[0] == 404
        assert ask(stage, None, "127.0.0.1", port) == (200, "reader")
        assert "other users are not known" in walled.process.log.read_text()
    with stage.case("`check` says that it would know nobody there"):
        done = stage.run(*within, BIN, "check", "--config", walled.config)
        assert done.returncode == 0 and "other users are not known" in done.stderr, done.stderr
        here = stage.run(BIN, "check", "--config", walled.config)
        assert "other users are not known" not in here.stderr, here.stderr


if __name__ == "__main__":
    sys.exit(main())
