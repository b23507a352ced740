"""The memory of a running daemon, searched by root for the secrets of a profile that it has let go of.

Each secret is sought in every mapping, in each form in which it travels, and in pieces of sixteen bytes, since what is
overwritten in part is still half a secret. That the search sees anything is shown first: by what is held.
"""

import base64
import json
import os
import pathlib
import re
import socket
import sys
import time
import urllib.parse
import urllib.request

from scenario_mfa import Device
from stage import ACCOUNT, REGION, NotHere, Sandbox, Stage, free_port
from world import BASE, SANDBOX, SECRET, SEED, SERIAL, token

LONG_TERM = "wWm8Tz/memory/test/KEY7Qx+nVp3Lr9Yd0Hs2J"
PIECE = 16


def main():
    with Stage("memory") as stage:
        with stage.case("the daemon's memory can be searched"):
            if os.geteuid() != 0:
                raise NotHere("only root reads the memory of another process")
            search_all(stage)
    stage.exit()


def search_all(stage):
    stage.secret(LONG_TERM, SEED)
    assert len(set(LONG_TERM)) > 20, "a key whose pieces are found by chance"
    sandbox = Sandbox(stage, SANDBOX.replace(SECRET, LONG_TERM))
    stage.write("daemon/base.json", {**BASE, "SecretAccessKey": LONG_TERM})
    stage.write("daemon/seed", SEED)
    web = token(stage, sandbox)
    stage.write("daemon/token", web)
    container, imds = free_port(), free_port()
    place = f'region = "{REGION}"\nendpoint_url = "{sandbox.url}"\n'
    role = f"arn:aws:iam::{ACCOUNT}:role"
    top = f"""
[daemon]
state_dir = "state"
control   = "control.sock"
[[endpoint]]
kind    = "container"
address = "127.0.0.1:{container}"
[[endpoint]]
kind     = "imds"
address  = "127.0.0.1:{imds}"
profiles = ["PROFILE"]
[[allow]]
profiles = ["PROFILE"]
user     = {os.geteuid()}
"""
    gone = f"""
[mfa.me]
serial = "{SERIAL}"
code   = {{ totp = {{ file = "seed" }} }}
[profile.base]
access_key = {{ file = "base.json" }}
[profile.person]
access_key = {{ file = "base.json" }}
mfa        = "me"
[profile.reader]
source_profile = "base"
role_arn       = "{role}/Reader"
{place}
[profile.admin]
source_profile = "person"
role_arn       = "{role}/Admin"
{place}
"""
    stays = f"""
[profile.workload]
role_arn           = "{role}/Workload"
web_identity_token = {{ file = "token" }}
{place}
"""
    device = Device(stage, SEED)
    began = int(time.time()) // 30
    daemon = stage.daemon(top.replace("PROFILE", "reader") + gone + stays)
    memory = Memory(daemon.process.pid)

    lent = {name: json.loads(asked(daemon, "process", name)) for name in ("reader", "admin", "workload")}
    for session in lent.values():
        stage.secret(session["SecretAccessKey"], session["SessionToken"])
    ticket = mint(daemon)
    stage.secret(ticket)
    assert lent["reader"]["SecretAccessKey"] in fetch(container, "GET", "/v1/credentials", {"Authorization": ticket})
    imds_token = fetch(imds, "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    stage.secret(imds_token)
    role_path = "/latest/meta-data/iam/security-credentials/reader"
    assert lent["reader"]["SecretAccessKey"] in fetch(imds, "GET", role_path, {"X-aws-ec2-metadata-token": imds_token})

    of_gone = {
        "the long-term key": LONG_TERM, "the seed": SEED, "the seed's bytes": device.seed,
        "a ticket": ticket, "a metadata token": imds_token,
        **{f"the secret key of {name}": lent[name]["SecretAccessKey"] for name in ("reader", "admin")},
        **{f"the session token of {name}": lent[name]["SessionToken"] for name in ("reader", "admin")},
    }
    held = {"the secret key of workload": lent["workload"]["SecretAccessKey"],
            "the session token of workload": lent["workload"]["SessionToken"]}
    keys = {name: (daemon.dir / "state" / name).read_bytes() for name in ("store.key", "token.key")}

    with stage.case("what is held is found, so that the search is known to see"):
        found = memory.search({**of_gone, **held, **keys})
        print(f"# while all is held: {found}", flush=True)
        for name in ("the secret key of reader", "the session token of admin", *held, *keys):
            assert name in found, f"{name} is not found: the search is blind"
    with stage.case("what is only passed through is gone at once"):
        passing = {name: of_gone[name] for name in
                   ("the long-term key", "the seed", "the seed's bytes", "a ticket", "a metadata token")}
        nothing(memory, {**passing, "the web identity token": web})
    with stage.case("a profile that is forgotten leaves no session"):
        asked(daemon, "forget", "reader")
        nothing(memory, {name: it for name, it in of_gone.items() if "of reader" in name})
    with stage.case("a profile that is logged out leaves neither session nor code"):
        asked(daemon, "logout", "--all")
        asked(daemon, "forget", "admin")
        codes = {f"a code {step}": device.at(step) for step in range(began - 1, int(time.time()) // 30 + 2)}
        nothing(memory, {name: it for name, it in of_gone.items() if "of admin" in name} | codes)
    with stage.case("a profile that a reload takes away leaves nothing at all"):
        for name in ("reader", "admin", "workload"):
            # The code of each half minute is used once.
            until(lambda: daemon.run("process", name, secret_stdout=True).returncode == 0, name, 70)
            session = json.loads(asked(daemon, "process", name))
            stage.secret(session["SecretAccessKey"], session["SessionToken"])
            (held if name == "workload" else of_gone).update({
                f"the next secret key of {name}": session["SecretAccessKey"],
                f"the next session token of {name}": session["SessionToken"]})
        assert "the next secret key of admin" in memory.search(of_gone)
        daemon.config.write_text(top.replace("PROFILE", "workload") + stays)
        until(lambda: "reader" not in asked(daemon, "list"), "the reload", 10)
        nothing(memory, of_gone)
    with stage.case("what the daemon still needs is there, each key in one place"):
        kept = {name: it for name, it in held.items() if "next" in name}
        found = memory.search({**kept, **keys})
        print(f"# at the end: {found}", flush=True)
        assert set(found) == {*kept, *keys}, found
        assert all(sum(found[name].values()) == 1 for name in keys), found


def asked(daemon, *argv):
    done = daemon.run(*argv, secret_stdout=True)
    assert done.returncode == 0, f"{argv}: {done.returncode}: {done.stderr}"
    return done.stdout


def mint(daemon):
    """A ticket for the reader, as `exec` asks for it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(daemon.control))
        body = '{"ttl_seconds":600}'
        connection.sendall((f"POST /v1/profiles/reader/ticket HTTP/1.0\r\nHost: localhost\r\n"
                            f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])["ticket"]


def fetch(port, method, path, headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def until(true, what, seconds):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)


def nothing(memory, secrets):
    """A moment is given to what the daemon does after its answer, such as the end of a connection."""
    deadline = time.monotonic() + 10
    while found := memory.search(secrets):
        assert time.monotonic() < deadline, f"still there: {found}"
        time.sleep(0.2)


class Memory:
    """All that a process has in its memory."""

    def __init__(self, pid):
        self.process = pathlib.Path("/proc", str(pid))

    def mappings(self):
        with open(self.process / "mem", "rb", 0) as memory:
            for line in (self.process / "maps").read_text().splitlines():
                span, rights, *_ = line.split(None, 5)
                name = line.split(None, 5)[5] if len(line.split(None, 5)) > 5 else "anonymous"
                # What cannot be written holds what the program's file holds.
                if "w" not in rights or name in ("[vvar]", "[vsyscall]"):
                    continue
                start, end = (int(bound, 16) for bound in span.split("-"))
                memory.seek(start)
                try:
                    yield name, start, memory.read(end - start)
                except OSError:
                    # Nothing was ever put there.
                    continue

    def search(self, secrets):
        """Which of the secrets are there, and in how many pieces of which mappings."""
        pieces = {name: forms(secret) for name, secret in secrets.items()}
        found = {}
        for mapping, start, content in self.mappings():
            for name, patterns in pieces.items():
                for pattern in patterns:
                    for hit in re.finditer(pattern, content):
                        places = found.setdefault(name, {})
                        places.setdefault(os.path.basename(mapping), set()).add(hit.start() + start >> 8)
                        if os.environ.get("CREDBROKER_TEST_DUMP"):
                            around = content[max(0, hit.start() - 96):hit.end() + 96]
                            print(f"## {name} {mapping} {hit.start() + start:x} {around}", flush=True)
        return {name: {mapping: len(places) for mapping, places in it.items()} for name, it in found.items()}


def forms(secret):
    """Patterns for a secret: as it is and as base64, a URL or JSON carry it, in pieces."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    if len(raw) < PIECE:
        # The digits of a code: in a longer number they are there by chance.
        return [rb"(?<![0-9A-Za-z])" + re.escape(raw) + rb"(?![0-9A-Za-z])"]
    written = [raw]
    if not isinstance(secret, bytes):
        written += [urllib.parse.quote(secret, safe="").encode(), secret.replace("/", "\\/").encode()]
    for offset in range(3):
        written.append(base64.b64encode(b"\0" * offset + raw).rstrip(b"=")[(0, 2, 3)[offset]:-2])
    pieces = {text[at:at + PIECE] for text in written for at in range(0, len(text) - PIECE + 1, PIECE // 2)}
    return [b"|".join(re.escape(piece) for piece in sorted(pieces))]


if __name__ == "__main__":
    sys.exit(main())
