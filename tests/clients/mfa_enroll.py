"""The life of an MFA device by `credbroker mfa`, against the sandbox, which makes real seeds and checks codes as AWS does."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import threading
import time
import urllib.parse

import boto3
import qr
from PIL import Image
from keys import NoIam, key_json
from stage import ACCOUNT, BIN, Sandbox, Stage, prepare_child, wait_for

SERIAL = f"arn:aws:iam::{ACCOUNT}:mfa/me"
ID, SECRET = "AKIAENROLLEXAMPLE222", "enroll/EXAMPLEKEY/not/a/secret/0000000000"
USERS = f"""
[[user]]
name = "me"
access_key_id = "{ID}"
secret_access_key = "{SECRET}"
[[user]]
name = "careful"
access_key_id = "{ID[:-1]}3"
secret_access_key = "{SECRET}"
require_mfa_for_iam = true
[[role]]
name = "Admin"
trust = {{ principals = ["*"], mfa = true }}
"""
BLOCKS = "█▀▄"


def main():
    with Stage("mfa_enroll") as stage:
        sandbox = Sandbox(stage, USERS)
        stage.secret(SECRET)
        by_phone(stage, sandbox)
        by_seed(stage, sandbox)
        careful(stage, sandbox)
        refusals(stage, sandbox)
        half_way(stage, sandbox)
        elsewhere(stage)
    stage.exit()


def client(sandbox, service):
    """boto3, as the user `me`."""
    return boto3.client(service, endpoint_url=sandbox.url, region_name="us-east-1", aws_access_key_id=ID,
                        aws_secret_access_key=SECRET)


class Mfa:
    """`credbroker mfa` with a configuration of its own."""

    def __init__(self, stage, name, url, device="", id=ID, named='mfa = "me"', sts=""):
        self.stage = stage
        self.text = "\n".join([
            "[daemon]", 'state_dir = "state"', 'control = "control.sock"', "[profile.base]",
            'access_key = { file = "base.json" }', named, "[profile.admin]", 'source_profile = "base"',
            f'role_arn = "arn:aws:iam::{ACCOUNT}:role/Admin"', f'endpoint_url = "{url}"', sts, device, ""])
        self.config = stage.write(f"{name}/config.toml", self.text)
        self.dir = self.config.parent
        self.seed = self.dir / "me.seed"
        stage.write(f"{name}/base.json", key_json(id, SECRET))

    def argv(self, what, *more, profile="base"):
        return [str(word) for word in (BIN, "mfa", what, profile, *more, "--config", self.config)]

    def __call__(self, what, *more, **options):
        return self.stage.run(*self.argv(what, *more), start_new_session=True, **options)

    def devices(self):
        done = self("list", "--json")
        assert done.returncode == 0, done.stderr
        return {device["serial"]: device for device in json.loads(done.stdout)["devices"]}


def table(code="", serial=SERIAL):
    return f'[mfa.me]\nserial = "{serial}"\n{code}'


FILE = 'code = { totp = { file = "me.seed" } }'


def totp(seed, at):
    key = base64.b32decode(seed + "=" * (-len(seed) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(at) // 30), hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**6:06}"


class Phone:
    """An app with a seed, that never shows a code twice."""

    def __init__(self, stage, seed=None):
        self.stage, self.seed, self.next = stage, seed, None

    def code(self):
        step = self.next if self.next is not None else int(time.time()) // 30 - 1
        # Codes of the step after this one are taken, too.
        time.sleep(max(0, (step - 1) * 30 - time.time()))
        self.next = step + 1
        code = totp(self.seed, step * 30)
        self.stage.secret(code)
        return code


class Screen:
    """A terminal with a command on it."""

    def __init__(self, stage, argv, env=None):
        self.stage, self.said, self.seen = stage, b"", 0
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            prepare_child()
            os.execve(argv[0], argv, env or stage.env())

    def until(self, text, seconds=60):
        """Reads until `text` is said; without one, until the end."""
        deadline = time.monotonic() + seconds
        while text is None or text.encode() not in self.said[self.seen :]:
            assert time.monotonic() < deadline, f"no {text!r} in {self.said[-300:]!r}"
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                piece = os.read(self.fd, 4096)
            except OSError:  # The other end is closed.
                piece = b""
            if not piece:
                assert text is None, f"no {text!r} in {self.said[-300:]!r}"
                return
            self.said += piece
        self.seen = self.said.index(text.encode(), self.seen) + len(text)

    def type(self, text):
        os.write(self.fd, text.encode())

    def answer(self, question, text):
        self.until(question)
        self.type(text + "\n")

    def end(self):
        self.until(None)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        said = self.said.decode()
        # The picture is the seed, and so is the text.
        plain = re.sub(r"otpauth://\S+", "", "".join(char for char in said if char not in BLOCKS))
        (self.stage.out / f"terminal-{self.pid}.log").write_text(plain)
        return status, said


FIRST, SECOND, THIRD = "The code that the app shows: ", "The code after that one: ", "The next one, to try the device: "


def seed_in(uri):
    parts = urllib.parse.urlsplit(uri.strip())
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp") and f"@{ACCOUNT}" in parts.path, parts[:3]
    return urllib.parse.parse_qs(parts.query)["secret"][0]


def by_phone(stage, sandbox):
    mfa = Mfa(stage, "phone", sandbox.url, table())
    phone = Phone(stage)
    with stage.case("a phone is enrolled on the terminal, and nothing is kept"):
        screen = Screen(stage, mfa.argv("enroll", "--text"))
        screen.until(FIRST)
        uri = re.search(rb"otpauth://\S+", screen.said).group().decode()
        phone.seed = seed_in(uri)
        stage.secret(phone.seed)
        assert qr.on_terminal(screen.said.decode()) == uri, "a camera reads something else than the text says"
        screen.type("12345\n")
        screen.until("six digits")
        screen.answer(FIRST, phone.code())
        screen.answer(SECOND, phone.code())
        screen.answer(THIRD, phone.code())
        status, said = screen.end()
        assert status == 0 and f"{SERIAL} is enabled for me" in said, (status, said)
        assert "one factor" not in said and not mfa.seed.exists(), said
    with stage.case("the device is listed, and the profile's is marked"):
        done = mfa("list")
        header, row = done.stdout.splitlines()
        assert header.startswith("DEVICE") and row.startswith(SERIAL) and row.endswith("the profile's"), done.stdout
        assert mfa.devices()[SERIAL]["named_by_profile"], done.stdout
    with stage.case("a device that is enabled is said to be so, and nothing is changed"):
        before = mfa.devices()
        done = mfa("enroll", "--text", "--codes", "-")
        assert (done.returncode, done.stdout) == (0, f"{SERIAL} is enabled for me already; nothing was changed\n"), done
        assert mfa.devices() == before
    with stage.case("a device of the same name that somebody else made is not taken, and stays"):
        made = client(sandbox, "iam").create_virtual_mfa_device(VirtualMFADeviceName="made")["VirtualMFADevice"]
        seed = made["Base32StringSeed"].decode()
        stage.secret(seed)
        done = mfa("enroll", "--name", "made", "--text", "--codes", "-")
        assert done.returncode == 81 and f"credbroker mfa remove base {made['SerialNumber']}" in done.stderr, done
        assert mfa("remove", made["SerialNumber"]).returncode == 0
    with stage.case("the picture that the sandbox's IAM gives is the code of its seed, to a camera, too"):
        picture = Image.open(io.BytesIO(made["QRCodePNG"]))
        assert qr.in_picture(picture) == f"otpauth://totp/made@{ACCOUNT}?secret={seed}"
    with stage.case("the device of the profile is removed by force alone"):
        done = mfa("remove", SERIAL)
        assert done.returncode == 64 and "--force" in done.stderr, done
        assert SERIAL in mfa.devices()
        assert mfa("remove", SERIAL, "--force").returncode == 0
        assert mfa.devices() == {}
        done = mfa("remove", SERIAL, "--force")
        assert done.returncode == 81 and "NoSuchEntity" in done.stderr, done
    with stage.case("a profile without a device is told the lines, and --name makes one by a pipe"):
        plain = Mfa(stage, "plain", sandbox.url, named="")
        done = plain("enroll")
        assert done.returncode == 78 and "[mfa.me]" in done.stderr and "--name" in done.stderr, done
        child = subprocess.Popen(
            plain.argv("enroll", "--name", "piped", "--text", "--codes", "-"), env=stage.env(), cwd=stage.dir, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=prepare_child,
            start_new_session=True)
        phone = Phone(stage, seed_in(child.stdout.readline()))
        stage.secret(phone.seed)
        codes = "".join(f"{phone.code()}\n" for _ in range(3))
        said, complaint = child.communicate(codes, timeout=60)
        piped = f"arn:aws:iam::{ACCOUNT}:mfa/piped"
        assert child.returncode == 0 and f'[mfa."piped"]\nserial = "{piped}"' in said, (said, complaint)
        assert plain("remove", piped).returncode == 0


def by_seed(stage, sandbox):
    mfa = Mfa(stage, "seed", sandbox.url, table(FILE))
    with stage.case("a seed is kept, shown on request alone, and said to be no second factor beside the key"):
        done = mfa("enroll", timeout=120)
        assert done.returncode == 0, done.stderr
        seed = mfa.seed.read_text().strip()
        stage.secret(seed)
        assert mfa.seed.stat().st_mode & 0o777 == 0o600
        said = done.stdout + done.stderr
        assert "are one factor" in said and "waiting" in said and str(mfa.seed) in said, said
        assert seed not in said and "otpauth" not in said and not set(BLOCKS) & set(said), "the seed was shown"
        assert sorted(os.listdir(mfa.dir)) == ["base.json", "config.toml", "me.seed", "state"], os.listdir(mfa.dir)
    with stage.case("the daemon answers with it, and check says what it is worth"):
        daemon = stage.daemon(mfa.text, name="seed")
        wait_for(lambda: daemon.run("whoami", "admin").returncode == 0, "no session", seconds=90)
        daemon.stop()
        done = stage.run(BIN, "check", "--config", mfa.config)
        assert done.returncode == 0 and "are one factor" in done.stdout + done.stderr, done
    with stage.case("an enabled device keeps its seed, by force, too, and one without its seed is told what to do"):
        for more in ((), ("--force",)):
            done = mfa("enroll", *more)
            assert done.returncode == 0 and "enabled for me already" in done.stdout, done
            assert mfa.seed.read_text().strip() == seed
        mfa.seed.rename(mfa.dir / "elsewhere")
        done = mfa("enroll")
        assert done.returncode == 81 and f"seed is not in {mfa.seed}" in done.stderr and "mfa remove base" in done.stderr, done
        (mfa.dir / "elsewhere").rename(mfa.seed)
    with stage.case("a removed device leaves its seed, and with --seed it does not"):
        done = mfa("remove", SERIAL, "--force")
        assert done.returncode == 0 and f"still in {mfa.seed}" in done.stdout, done
        assert mfa.seed.exists() and mfa.devices() == {}
        done = mfa("enroll")
        assert done.returncode == 78 and "--force" in done.stderr and mfa.seed.read_text().strip() == seed, done
        done = mfa("enroll", "--force", timeout=120)
        assert done.returncode == 0, done.stderr
        new = mfa.seed.read_text().strip()
        stage.secret(new)
        old = mfa.dir / "me.seed.old"
        assert new != seed and old.read_text().strip() == seed and str(old) in done.stdout, done.stdout
        assert mfa("remove", SERIAL, "--force", "--seed").returncode == 0
        assert not mfa.seed.exists() and old.exists() and mfa.devices() == {}


def careful(stage, sandbox):
    mfa = Mfa(stage, "careful", sandbox.url, table(FILE, f"{SERIAL}-careful"), id=f"{ID[:-1]}3")
    with stage.case("where the account demands MFA, the first device needs none, and its end a code"):
        done = mfa("enroll", timeout=120)
        assert done.returncode == 0, done.stderr
        stage.secret(mfa.seed.read_text().strip())
        done = mfa("remove", f"{SERIAL}-careful", "--force", timeout=120)
        assert done.returncode == 0 and "waiting" in done.stderr, done
        assert mfa.devices() == {}


def refusals(stage, sandbox):
    made = lambda: sandbox.admin("GET", "state")["counts"].get("CreateVirtualMFADevice", {"asked": 0})["asked"]
    before = made()
    with stage.case("what cannot be done is refused before a device is made"):
        for device, more, status, words in (
                (table(), (), 80, "run this in a terminal, or with --text"),
                (table(), ("--text",), 80, "--codes -"),
                (table(), ("--codes", "123456"), 64, "--codes -"),
                (table(serial="GAHT12345678"), (), 78, "hardware"),
                (table(FILE, serial=SERIAL.replace("1234", "4321")), (), 78, f'write serial = "{SERIAL}"'),
                (table('code = { totp = { file = "none/me.seed" } }'), (), 78, "nothing can be written"),
                (table('code = { totp = { command = ["cat", "me.seed"] } }'), (), 78, "cannot be put into")):
            done = Mfa(stage, "refused", sandbox.url, device)("enroll", *more)
            assert done.returncode == status and words in done.stderr, (device, done)
        assert made() == before, "a device was made"


def half_way(stage, sandbox):
    devices = lambda: sandbox.admin("GET", "state")["counts"]
    mfa = Mfa(stage, "half-way", sandbox.url, table(FILE))

    def nothing_left():
        assert sorted(os.listdir(mfa.dir)) == ["base.json", "config.toml", "state"], os.listdir(mfa.dir)
        assert os.listdir(mfa.dir / "state/enrolment") == ["base.lock"], os.listdir(mfa.dir / "state/enrolment")
        # One of this name can be made: it is gone, and not just nobody's.
        counts = devices()
        created, deleted = (counts.get(name, {"succeeded": 0})["succeeded"]
                            for name in ("CreateVirtualMFADevice", "DeleteVirtualMFADevice"))
        assert created == deleted and mfa.devices() == {}, (created, deleted)

    for operation, kind, status in (
            ("CreateVirtualMFADevice", {"kind": "server-error", "status": 503}, 75),
            ("EnableMFADevice", {"kind": "server-error", "status": 503}, 75),
            ("EnableMFADevice", {"kind": "reset"}, 75),
            ("GetSessionToken", {"kind": "server-error", "status": 503}, 75)):
        with stage.case(f"{operation} that fails ({kind['kind']}) leaves no device and no seed"):
            sandbox.admin("POST", "faults", {**kind, "operation": operation})
            done = mfa("enroll", timeout=300)
            sandbox.admin("DELETE", "faults")
            assert done.returncode == status and re.search("removed again|nothing is left", done.stderr), done
            nothing_left()
    with stage.case("a removal that fails is tried again, and where that is no use, the command is named"):
        sandbox.admin("POST", "faults", {"kind": "server-error", "status": 503, "operation": "EnableMFADevice"})
        sandbox.admin("POST", "faults", {"kind": "reset", "operation": "DeleteVirtualMFADevice"})
        done = mfa("enroll", timeout=120)
        sandbox.admin("DELETE", "faults")
        command = re.search(r"credbroker (mfa remove base \S+ --force)", done.stderr)
        assert done.returncode == 75 and command and not mfa.seed.exists(), done
        assert stage.run(BIN, *command.group(1).split(), "--config", mfa.config).returncode == 0
        assert mfa.devices() == {} and not mfa.seed.exists()
    with stage.case("a removal that failed is made up for by the next run"):
        sandbox.admin("POST", "faults", {"kind": "server-error", "status": 503, "operation": "EnableMFADevice"})
        sandbox.admin("POST", "faults", {"kind": "reset", "operation": "DeleteVirtualMFADevice"})
        assert mfa("enroll", timeout=120).returncode == 75
        sandbox.admin("DELETE", "faults")
        done = mfa("enroll", timeout=120)
        assert done.returncode == 0 and "an earlier run was stopped before" in done.stderr, done
        stage.secret(mfa.seed.read_text().strip())
        assert mfa("remove", SERIAL, "--force", "--seed").returncode == 0
        nothing_left()
    with stage.case("who breaks off while a code is waited for leaves nothing behind"):
        for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            child = stage.spawn(f"broken-off-{end}", mfa.argv("enroll"), start_new_session=True)
            wait_for(lambda: "waiting" in child.log.read_text(), "no wait", child)
            stage.secret(mfa.seed.read_text().strip())
            child.send_signal(end)
            assert child.wait(20) == 80 and "was removed again" in child.log.read_text(), child.log.read_text()
            nothing_left()
    phone = Mfa(stage, "left", sandbox.url, table())
    for name, key in (("Ctrl-C", "\x03"), ("Ctrl-D", "\x04")):
        with stage.case(f"who leaves the question by {name} leaves no device"):
            screen = Screen(stage, phone.argv("enroll"))
            screen.until(FIRST)
            screen.type(key)
            status, said = screen.end()
            assert status == 80 and "was removed again" in said, (status, said[-400:])
            assert "otpauth" not in said
            nothing_left()
    with stage.case("an end from outside gives the terminal back and leaves no device"):
        screen = Screen(stage, phone.argv("enroll"))
        screen.until(FIRST)
        os.kill(screen.pid, signal.SIGTERM)
        status, said = screen.end()
        assert status == 80 and "was removed again" in said, (status, said[-400:])
        nothing_left()
    with stage.case("wrong codes are asked for again, and then the device is gone"):
        screen = Screen(stage, phone.argv("enroll"))
        for _ in range(4):
            screen.answer(FIRST, "000000")
            screen.answer(SECOND, "000000")
        status, said = screen.end()
        assert status == 81 and "was removed again" in said and "clock" in said, (status, said[-400:])
        nothing_left()


def elsewhere(stage):
    with contextlib.ExitStack() as after:
        server = http.server.HTTPServer(("127.0.0.1", 0), NoIam)
        after.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mfa = Mfa(stage, "elsewhere", f"http://127.0.0.1:{server.server_port}", table(FILE))
        with stage.case("a system without these calls is named as such, in one line"):
            for words in (("list",), ("enroll",), ("remove", SERIAL, "--force")):
                done = mfa(*words)
                assert done.returncode == 81 and "no MFA devices of IAM" in done.stderr, done
                assert done.stderr.count("\n") == 1 and not mfa.seed.exists(), done


if __name__ == "__main__":
    main()
