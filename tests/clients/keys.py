"""The life of an access key by `credbroker keys`: against the sandbox, which is strict about keys and about MFA, and
against moto, whose IAM somebody else wrote.
"""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import pty
import re
import select
import signal
import struct
import threading
import time

from stage import ACCOUNT, BIN, Sandbox, Stage, policy, prepare_child, tail, wait_for

ROLE = f"arn:aws:iam::{ACCOUNT}:role/Reader"
SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
SERIAL = f"arn:aws:iam::{ACCOUNT}:mfa/me"
ID, SECRET = "AKIAKEYSEXAMPLE22222", "keys/EXAMPLEKEY/not/a/secret/number00000"
USERS = f"""
[limits]
propagation = "2s"
[[user]]
name = "me"
access_key_id = "{ID}"
secret_access_key = "{SECRET}"
[[user]]
name = "careful"
access_key_id = "{ID[:-1]}3"
secret_access_key = "{SECRET}"
mfa = {{ serial = "{SERIAL}", seed = "{SEED}" }}
require_mfa_for_iam = true
[[role]]
name = "Reader"
trust.principals = ["*"]
"""
WAITING = "IAM does not know the key {} yet; waiting"


def main():
    with Stage("keys") as stage:
        sandbox = Sandbox(stage, USERS)
        stage.secret(SECRET)
        life(stage, sandbox)
        aws_files(stage, sandbox)
        refusals(stage, sandbox)
        unkept(stage, sandbox)
        mfa(stage, sandbox)
        elsewhere(stage)
        on_moto(stage)
    stage.exit()


class Keys:
    """`credbroker keys` with a configuration of its own; `there` are more lines of what is at `url`."""

    def __init__(self, stage, name, url, access_key, more="", role="", there=()):
        self.stage = stage
        self.text = "\n".join([
            "[daemon]", 'state_dir = "state"', 'control = "control.sock"', "[profile.base]",
            f"access_key = {access_key}", more, "[profile.reader]", 'source_profile = "base"',
            f'role_arn = "{role or ROLE}"', f'endpoint_url = "{url}"', *there, ""])
        self.config = stage.write(f"{name}/config.toml", self.text)
        self.dir = self.config.parent

    def __call__(self, what, *more, env=None, profile="base", **options):
        return self.stage.run(BIN, "keys", what, profile, *more, "--config", self.config, env=env, **options)

    def keys(self):
        done = self("list", "--json")
        assert done.returncode == 0, done.stderr
        return {key["access_key_id"]: key for key in json.loads(done.stdout)["keys"]}

    def put(self, name, text):
        return self.stage.write(f"{self.dir.name}/{name}", text)


def key_json(id=ID, secret=SECRET):
    return {"Version": 1, "AccessKeyId": id, "SecretAccessKey": secret}


def life(stage, sandbox):
    keys = Keys(stage, "life", sandbox.url, '{ file = "base.json" }')
    file = keys.put("base.json", key_json())
    daemon = stage.daemon(keys.text, name="life")
    with stage.case("the one key is listed and marked"):
        done = keys("list")
        assert done.returncode == 0, done.stderr
        header, row = done.stdout.splitlines()
        assert header.startswith("KEY ") and row.startswith(ID) and row.endswith("in use"), done.stdout
        assert keys("list", profile="reader").stdout.split()[:7] == done.stdout.split()[:7]
    with stage.case("a new key goes straight to its file, and its secret nowhere else"):
        assert daemon.run("whoami", "reader").returncode == 0
        done = keys("create")
        assert done.returncode == 0, done.stderr
        made = json.loads(file.read_text())
        stage.secret(made["SecretAccessKey"])
        assert made["AccessKeyId"] in done.stdout and made["AccessKeyId"] != ID, done.stdout
        assert f"credbroker keys deactivate base {ID}" in done.stdout, done.stdout
        assert file.stat().st_mode & 0o777 == 0o600 and set(made) == set(key_json()), made.keys()
        assert made["SecretAccessKey"] not in done.stdout + done.stderr
        assert not [name for name in os.listdir(file.parent) if name.startswith(".")], os.listdir(file.parent)
    new = made["AccessKeyId"]
    with stage.case("who looks before the new key is known sees what is waited for, and then the keys"):
        done = keys("list")
        assert done.returncode == 0 and set(done.stderr.splitlines()) == {WAITING.format(new)}, done
        assert new in done.stdout and ID in done.stdout, done.stdout
    with stage.case("the daemon uses the new key without a reload, as soon as it is known"):
        wait_for(lambda: daemon.run("refresh", "reader").returncode == 0, "the daemon has no use of the key")
        assert keys.keys()[new]["last_used"], keys.keys()
    with stage.case("a third key is refused with the name of the one to delete"):
        done = keys("create")
        assert done.returncode == 81, done
        assert f"credbroker keys delete base {ID}" in done.stderr and f"{new} (in use here)" in done.stderr, done.stderr
        assert json.loads(file.read_text()) == made
    with stage.case("the key in use is neither turned off nor deleted by mistake"):
        for what in ("deactivate", "delete"):
            done = keys(what, new)
            assert done.returncode == 64 and "--force" in done.stderr, done
        assert keys.keys()[new]["status"] == "Active"
    with stage.case("the old key is turned off, on, off and deleted"):
        for what, status in (("deactivate", "Inactive"), ("activate", "Active"), ("deactivate", "Inactive")):
            done = keys(what, ID)
            assert done.returncode == 0, done.stderr
            assert keys.keys()[ID]["status"] == status
        time.sleep(2.5)  # Until the old key is known to be off: what is lent now is lent with the new one.
        assert daemon.run("refresh", "reader").returncode == 0
        uses = keys("last-used")
        assert uses.returncode == 0 and uses.stdout.startswith("KEY ") and ID in uses.stdout, uses
        assert keys("delete", ID).returncode == 0
        assert list(keys.keys()) == [new]
        done = keys("delete", ID)
        assert done.returncode == 81 and "NoSuchEntity" in done.stderr and "keys list" in done.stderr, done
    with stage.case("the key in use can be turned off by force, and then opens nothing"):
        assert keys("deactivate", new, "--force").returncode == 0
        time.sleep(2.5)
        done = keys("list")
        assert done.returncode == 81 and f"IAM does not know the key {new}, and half a minute did not help" in done.stderr, done
        assert "was it deleted or turned off" in done.stderr and WAITING.format(new) in done.stderr, done.stderr
    with stage.case("who breaks off the wait leaves at once, whatever was asked"):
        for what in ("list", "create"):
            child = stage.spawn(f"impatient-{what}", [BIN, "keys", what, "base", "--config", keys.config])
            wait_for(lambda: WAITING.format(new) in child.log.read_text(), "no wait", child)
            child.send_signal(signal.SIGINT)
            assert child.wait(2) in (-signal.SIGINT, 80), tail(child.log)
        assert sandbox.admin("GET", "state")["counts"]["CreateAccessKey"]["succeeded"] == 1


def fresh(sandbox):
    """The users with one key each, known at once."""
    sandbox.admin("POST", "reset")


def aws_files(stage, sandbox):
    fresh(sandbox)
    keys = Keys(stage, "aws", sandbox.url, '{ aws_profile = "work" }')
    before = (
        "# mine, since 2019\r\n[default]\naws_access_key_id = AKIAOTHEROTHEROTHER1\naws_secret_access_key=other\n\n"
        f"[work]\n\tregion=eu-west-1\naws_secret_access_key={SECRET}\n; the id comes last\nAWS_ACCESS_KEY_ID  :  {ID}  \n\n[last]")
    file = keys.put("credentials", before)
    with stage.case("a key in the AWS credentials file changes, and no other byte does"):
        done = keys("create", env=stage.env(AWS_SHARED_CREDENTIALS_FILE=file, AWS_CONFIG_FILE=keys.dir / "none"))
        assert done.returncode == 0, done.stderr
        after = file.read_bytes().decode()
        id, secret = (re.search(rf"\[work\].*?{name}\s*[:=]\s*(\S+)", after, re.S | re.I).group(1)
                      for name in ("aws_access_key_id", "aws_secret_access_key"))
        stage.secret(secret)
        assert id != ID and id in done.stdout and secret != SECRET, done.stdout
        assert after.replace(id, ID).replace(secret, SECRET) == before, "other bytes changed"


def refusals(stage, sandbox):
    fresh(sandbox)
    made = lambda: sandbox.admin("GET", "state")["counts"].get("CreateAccessKey", {"asked": 0})["asked"]
    with stage.case("what takes no key is refused before one is made, with the line that moves it"):
        environment = stage.env(AWS_ACCESS_KEY_ID=ID, AWS_SECRET_ACCESS_KEY=SECRET)
        script = stage.write("print-key", f"#!/bin/sh\necho '{json.dumps(key_json())}'\n", mode=0o700)
        for access_key in ("{ env = true }", f'{{ command = ["{script}"] }}'):
            done = Keys(stage, "moved", sandbox.url, access_key)("create", env=environment)
            assert done.returncode == 78, done
            assert 'access_key = { file = "base.json" }' in done.stderr and "> base.json)" in done.stderr, done.stderr
        assert made() == 0, made()
    with stage.case("the line that moves a key does, and the key is replaced there"):
        moved = Keys(stage, "moved", sandbox.url, '{ file = "base.json" }')
        line = re.search(r"with: (\(umask.*\.json\))", done.stderr).group(1)
        assert stage.run("sh", "-c", f"cd {moved.dir} && {line}").returncode == 0
        assert moved("create").returncode == 0
        stage.secret(json.loads((moved.dir / "base.json").read_text())["SecretAccessKey"])
    with stage.case("--print gives the new key and puts it nowhere"):
        fresh(sandbox)
        keys = Keys(stage, "printed", sandbox.url, '{ file = "base.json" }')
        file = keys.put("base.json", key_json())
        done = keys("create", "--print", secret_stdout=True)
        assert done.returncode == 0, done.stderr
        printed = json.loads(done.stdout)
        stage.secret(printed["SecretAccessKey"])
        assert printed["AccessKeyId"] in keys.keys() and json.loads(file.read_text()) == key_json()


def unkept(stage, sandbox):
    fresh(sandbox)
    keys = Keys(stage, "unkept", sandbox.url, '{ file = "base.json" }')
    file = keys.put("base.json", key_json())
    with stage.case("who breaks off while a key is made has it all the same"):
        sandbox.admin("POST", "faults", {"kind": "delay", "delay": "2s", "operation": "CreateAccessKey", "times": 1})
        child = stage.spawn("broken-off", [BIN, "keys", "create", "base", "--config", keys.config])
        time.sleep(1)
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 0, tail(child.log)
        made = json.loads(file.read_text())
        stage.secret(made["SecretAccessKey"])
        assert made["AccessKeyId"] != ID and made["AccessKeyId"] in child.log.read_text(), child.log.read_text()
        fresh(sandbox)
        keys.put("base.json", key_json())
    with stage.case("a key that cannot be written down is deleted again"):
        argv = f"trap '' XFSZ; ulimit -f 0; exec {BIN} keys create base --config {keys.config}"
        done = stage.run("bash", "-c", argv)
        assert done.returncode == 78 and "was deleted again" in done.stderr, done
        assert list(keys.keys()) == [ID] and json.loads(file.read_text()) == key_json()
        assert sorted(os.listdir(keys.dir)) == ["base.json", "config.toml"], os.listdir(keys.dir)
        assert sandbox.admin("GET", "state")["counts"]["CreateAccessKey"]["succeeded"] == 1


def mfa(stage, sandbox):
    fresh(sandbox)
    device = f'mfa = "me"\n[mfa.me]\nserial = "{SERIAL}"\n'
    plain = Keys(stage, "careful-alone", sandbox.url, '{ file = "base.json" }')
    keys = Keys(stage, "careful", sandbox.url, '{ file = "base.json" }', more=device)
    for one in (plain, keys):
        one.put("base.json", key_json(id=f"{ID[:-1]}3"))
    with stage.case("where the account demands MFA, a profile without a device is told so"):
        done = plain("list")
        assert done.returncode == 81 and "mfa = ..." in done.stderr, done
    with stage.case("where the account demands MFA and there is no terminal, nobody can answer"):
        done = keys("list", start_new_session=True)
        assert done.returncode == 80 and SERIAL in done.stderr, done
    with stage.case("where the account demands MFA, the code is asked for on the terminal"):
        status, said = on_terminal(stage, [BIN, "keys", "create", "base", "--config", keys.config], totp)
        assert status == 0 and said.count(f"MFA code of {SERIAL}: ") == 1, (status, said)
        made = json.loads((keys.dir / "base.json").read_text())
        stage.secret(made["SecretAccessKey"])
        assert made["AccessKeyId"] in said and made["SecretAccessKey"] not in said, said
    with stage.case("what is no code is not sent"):
        status, said = on_terminal(stage, [BIN, "keys", "list", "base", "--config", keys.config], lambda: "12345")
        assert status == 80 and "six digits" in said, (status, said)


def totp(now=None):
    counter = struct.pack(">Q", int(now or time.time()) // 30)
    digest = hmac.new(base64.b32decode(SEED), counter, hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**6:06}"


def on_terminal(stage, argv, answer, env=None):
    """Runs a command on a terminal of its own and answers its first question; its status, and all that it said."""
    pid, terminal = pty.fork()
    if pid == 0:
        prepare_child()
        os.execve(argv[0], [str(word) for word in argv], env or stage.env())
    said, deadline, answered = b"", time.monotonic() + 30, False
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # The other end is closed.
            break
        if not piece:
            break
        said += piece
        if not answered and b"MFA code of" in said and said.endswith(b": "):
            answered = True
            os.write(terminal, answer().encode() + b"\n")
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    (stage.out / f"terminal-{pid}.log").write_bytes(said)
    return status, said.decode()


class NoIam(http.server.BaseHTTPRequestHandler):
    """Says what a Ceph gateway says of a call that it does not have."""

    def do_POST(self):
        body = b"<Error><Code>MethodNotAllowed</Code><Message></Message><RequestId>tx1</RequestId></Error>"
        self.send_response(405)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def elsewhere(stage):
    with contextlib.ExitStack() as after:
        server = http.server.HTTPServer(("127.0.0.1", 0), NoIam)
        after.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        keys = Keys(stage, "elsewhere", url, '{ file = "base.json" }')
        keys.put("base.json", key_json())
        with stage.case("a system without these calls is named as such"):
            done = keys("list")
            assert done.returncode == 81 and "there are no access keys of IAM" in done.stderr, done
        keys.config.write_text(keys.text + 'sts = "minio"\n')
        with stage.case("MinIO is not even asked, and the error says what to do there"):
            done = keys("list")
            assert done.returncode == 78 and "mc admin accesskey" in done.stderr, done


def on_moto(stage):
    user = {}

    def furnish(moto):
        user.update(moto._user("keeper", policy("iam:*", "sts:*", Resource="*")))

    moto = stage.moto(furnish)
    keys = Keys(stage, "moto", moto.url, '{ file = "base.json" }')
    file = keys.put("base.json", user)
    old = user["AccessKeyId"]
    with stage.case("moto: the key is listed with its use"):
        keys("list")
        listed = keys.keys()
        assert list(listed) == [old] and listed[old]["in_use"] and listed[old]["status"] == "Active", listed
        assert listed[old]["last_used"]["service"] == "iam", listed
    with stage.case("moto: a new key is made, put into the file, and works"):
        done = keys("create")
        assert done.returncode == 0, done.stderr
        made = json.loads(file.read_text())
        stage.secret(made["SecretAccessKey"])
        new = made["AccessKeyId"]
        listed = keys.keys()
        assert set(listed) == {old, new} and listed[new]["in_use"] and not listed[old]["in_use"], listed
        assert f"the key of keeper in {file} now" in done.stdout, done.stdout
    with stage.case("moto: a third key is refused, and the old one goes"):
        done = keys("create")
        assert done.returncode == 81 and f"credbroker keys delete base {old}" in done.stderr, done
        assert keys("deactivate", old).returncode == 0
        assert keys.keys()[old]["status"] == "Inactive"
        assert keys("activate", old).returncode == 0
        assert keys.keys()[old]["status"] == "Active"
        assert keys("delete", old).returncode == 0
        assert list(keys.keys()) == [new]


if __name__ == "__main__":
    main()
