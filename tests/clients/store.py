"""Sessions outlive the daemon, however it ends: against the sandbox, which checks real codes and counts every call."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile

import leaks
from scenario_mfa import PERSON, Device
from stage import BIN, REGION, VENV, NotHere, Sandbox, Stage, end, wait_for

# Somebody whom the user database knows, as a session bus wants it.
SOMEBODY = 1
SERIAL = "arn:aws:iam::123456789012:mfa/me"
SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
KEY = {"Version": 1, "AccessKeyId": "AKIAMFAMFAMFAMFAMFA2", "SecretAccessKey": "mfa/EXAMPLEKEY/not/a/secret/aaaaaaaaaaaa"}
ACCOUNT = f"""
[[user]]
name              = "me"
access_key_id     = "{KEY['AccessKeyId']}"
secret_access_key = "{KEY['SecretAccessKey']}"
mfa               = {{ serial = "{SERIAL}", seed = "{SEED}" }}

[[role]]
name  = "Admin"
trust = {{ principals = ["arn:aws:iam::123456789012:user/me"], mfa = true }}

[[role]]
name  = "Reader"
trust = {{ principals = ["arn:aws:iam::123456789012:user/me"] }}
"""
PROFILES = """
[mfa.me]
serial = "arn:aws:iam::123456789012:mfa/me"
code   = "prompt"

[profile.base]
access_key = { file = "base.json" }
mfa        = "me"

[profile.plain]
access_key = { file = "base.json" }

[profile.admin]
source_profile = "base"
role_arn       = "arn:aws:iam::123456789012:role/Admin"
region         = "REGION"
endpoint_url   = "URL"

[profile.reader]
source_profile = "plain"
role_arn       = "arn:aws:iam::123456789012:role/Reader"
region         = "REGION"
endpoint_url   = "URL"
"""
WHO = """
import boto3
print(boto3.Session(profile_name="cb").client("sts").get_caller_identity()["Arn"])
"""


def main():
    with Stage("store") as stage:
        stage.secret(KEY["SecretAccessKey"], SEED)
        sandbox = Sandbox(stage, ACCOUNT)
        device = Device(stage, SEED)
        outlives(stage, sandbox, device)
        torn(stage, sandbox, device)
        keys(stage, sandbox, device)
        keyring(stage)
        memory(stage, sandbox, device)
        full_disk(stage, sandbox)
    stage.exit()


class Kept:
    """A daemon whose state stays where it is, and that is killed and started again."""

    def __init__(self, stage, sandbox, name, store=None, env=None):
        self.stage, self.sandbox, self.name = stage, sandbox, name
        stage.write(f"{name}/base.json", KEY)
        self.start(store, env)

    def start(self, store=None, env=None):
        text = '[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n' + (f'store = "{store}"\n' if store else "")
        text += PROFILES.replace("REGION", REGION).replace("URL", self.sandbox.url)
        self.daemon = self.stage.daemon(text, self.name, self.stage.env(**env) if env else None)
        self.state = self.daemon.dir / "state"

    def kill(self, **start):
        self.daemon.process.send_signal(signal.SIGKILL)
        self.daemon.process.wait(10)
        self.start(**start)

    def log_in(self, device):
        self.stage.write(f"{self.name}/typed", f"{device.fresh()}\n")
        done = self.stage.run("bash", "-c", f'exec "$0" login admin --code - <"{self.daemon.dir}/typed"', BIN,
                              env=self.daemon.env())
        assert done.returncode == 0, done.stderr

    def lent(self, profile):
        done = self.daemon.run("process", profile, secret_stdout=True)
        assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
        lent = json.loads(done.stdout)
        self.stage.secret(lent["SecretAccessKey"], lent["SessionToken"])
        return lent

    def status(self):
        return json.loads(self.daemon.run("status", "--json").stdout)["store"]

    def files(self, pattern="*"):
        return sorted((self.state / "sessions").glob(pattern))

    def needs_a_code(self):
        done = self.daemon.run("process", "admin")
        return done.returncode == PERSON and "MFA code" in done.stderr


def sent(sandbox):
    counts = sandbox.admin("GET", "state")["counts"]
    return {name: counts.get(name, {}).get("succeeded", 0) for name in ("GetSessionToken", "AssumeRole")}


def outlives(stage, sandbox, device):
    kept = Kept(stage, sandbox, "store")
    lent = None
    with stage.case("a code is asked once, and status says where the key is"):
        assert kept.needs_a_code()
        kept.log_in(device)
        lent = kept.lent("admin")
        status = kept.status()
        assert status == {"kind": "sealed", "key": f"the file {kept.state}/store.key", "set_aside": 0}, status
        said = kept.daemon.run("status").stdout
        assert f"sessions are sealed on disk, with the key in the file {kept.state}/store.key\n" in said, said
    calls = sent(sandbox)
    with stage.case("after a SIGKILL the same session is lent, no code is asked, and the STS is not either"):
        wait_for(lambda: len(kept.files()) == 2, "two sealed sessions")
        for _ in range(3):
            kept.kill()
            assert kept.lent("admin") == lent
        assert sent(sandbox) == calls, sent(sandbox)
    with stage.case("status knows the session of the device at once"):
        kept.kill()
        wait_for(lambda: kept.daemon.status("admin")["mfa"]["state"] == "held", "the session")
    with stage.case("boto3 has it too"):
        stage.write("home/.aws/config", f"[profile cb]\nregion = {REGION}\nendpoint_url = {sandbox.url}\n"
                                        f"credential_process = {BIN} process admin\n")
        kept.kill()
        done = stage.run(VENV / "python", "-c", WHO, env=kept.daemon.env())
        assert ":assumed-role/Admin/" in done.stdout, done.stderr[-400:]
        assert sent(sandbox) == calls, sent(sandbox)
    with stage.case("whoever has logged in is safe from the moment on that login says so"):
        kept.daemon.run("logout", "admin")
        assert not kept.files(), kept.files()
        kept.kill()
        assert kept.needs_a_code()
        kept.log_in(device)
        kept.kill()
        calls = sent(sandbox)
        kept.lent("admin")
        assert sent(sandbox)["GetSessionToken"] == calls["GetSessionToken"], sent(sandbox)
    with stage.case("killed at any moment of its start and work, it asks for no code"):
        calls = sent(sandbox)
        for _ in range(12):
            with subprocess.Popen([BIN, "refresh", "admin"], env=kept.daemon.env(), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as asking:
                with subprocess.Popen(["sleep", f"{random.random() / 5:.3f}"]) as pause:
                    pause.wait()
                kept.daemon.process.send_signal(signal.SIGKILL)
                asking.wait(10)
            kept.kill()
            kept.lent("admin")
        assert sent(sandbox)["GetSessionToken"] == calls["GetSessionToken"], sent(sandbox)
        assert kept.status()["set_aside"] == 0, kept.status()
    with stage.case("no secret is in any file of the state directory"):
        secrets = stage.secrets()
        files = [path for path in kept.state.rglob("*") if path.is_file()]
        assert len(files) >= 5 and len(secrets) >= 6, (files, len(secrets))
        found = [leak for path in files for leak in leaks.search(path, secrets)]
        assert not found, found
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in kept.files()), kept.files()
    kept.daemon.stop()


def torn(stage, sandbox, device):
    kept = Kept(stage, sandbox, "torn")
    with stage.case("a torn file is set aside, told of, and costs its session"):
        kept.log_in(device)
        before = kept.lent("admin")
        wait_for(lambda: len(kept.files()) == 2, "two sealed sessions")
        calls = sent(sandbox)
        for path in kept.files():
            path.write_bytes(path.read_bytes()[:-1])
        kept.kill()
        assert kept.needs_a_code()
        assert len(kept.files("*.bad")) == 2 == kept.status()["set_aside"], kept.files()
        log = kept.daemon.process.log.read_text()
        assert log.count("is damaged: it is set aside") == 2, log[-600:]
        kept.log_in(device)
        assert kept.lent("admin")["AccessKeyId"] != before["AccessKeyId"]
        assert sent(sandbox) == {name: count + 1 for name, count in calls.items()}, sent(sandbox)
    kept.daemon.stop()


def keys(stage, sandbox, device):
    kept = Kept(stage, sandbox, "keys")
    secret = os.urandom(48)
    credentials = stage.write("credentials/store.key", "").parent
    (credentials / "store.key").write_bytes(secret)
    with stage.case("a key from systemd wins, and what another has sealed is set aside"):
        kept.log_in(device)
        wait_for(lambda: len(kept.files()) == 1, "a sealed session")
        kept.kill(env={"CREDENTIALS_DIRECTORY": credentials})
        assert kept.status()["key"] == "systemd's credential store.key", kept.status()
        assert kept.needs_a_code()
        assert len(kept.files("*.bad")) == 1, kept.files()
        kept.log_in(device)
        kept.kill(env={"CREDENTIALS_DIRECTORY": credentials})
        kept.lent("admin")
    with stage.case("a key that is none is told of and not replaced"):
        (credentials / "store.key").write_bytes(b"short")
        kept.kill(env={"CREDENTIALS_DIRECTORY": credentials})
        status = kept.status()
        assert status["kind"] == "memory" and "fewer than 32 bytes" in status["trouble"], status
        assert kept.needs_a_code()
        (credentials / "store.key").write_bytes(secret)
        kept.kill(env={"CREDENTIALS_DIRECTORY": credentials})
        kept.lent("admin")
    kept.daemon.stop()


class Person:
    """Somebody who is not root, with a session bus, a keyring and a daemon."""

    def __init__(self, stage):
        self.stage = stage
        # Where others may go: TMPDIR may be for its owner alone.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="credbroker-person.", dir="/tmp"))
        self.prefix = []
        if os.geteuid() == 0:
            self.prefix = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups"]
            os.chown(self.home, SOMEBODY, SOMEBODY)
        self.binary = shutil.copy(BIN, self.home)
        os.chmod(self.binary, 0o755)
        bus = self.home / "bus"
        self.env = stage.env(HOME=self.home, XDG_RUNTIME_DIR=self.home, DBUS_SESSION_BUS_ADDRESS=f"unix:path={bus}",
                             CREDBROKER_CONTROL=self.home / "control.sock", AWS_ACCESS_KEY_ID="AKIAPERSON",
                             AWS_SECRET_ACCESS_KEY="of/a/person")
        config = self.home / "config.toml"
        config.write_text('[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n[profile.base]\n'
                          'access_key = { env = true }\n[profile.reader]\nsource_profile = "base"\n'
                          'role_arn = "arn:aws:iam::123456789012:role/Reader"\n')
        config.chmod(0o644)
        self.spawn("bus", "dbus-daemon", "--session", "--nofork", f"--address=unix:path={bus}")
        wait_for(bus.exists, "a session bus")

    def spawn(self, name, *argv):
        return self.stage.spawn(name, [*self.prefix, *argv], env=self.env)

    def open_keyring(self, is_open):
        daemon = "exec gnome-keyring-daemon --foreground --components=secrets"
        ring = self.spawn("keyring", "bash", "-c", f"{daemon} --unlock <<<hush" if is_open else daemon)
        wait_for(self.has_keyring, "the keyring", ring)
        return ring

    def has_keyring(self):
        asked = ["dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/",
                 "org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"]
        return "boolean true" in self.stage.run(*self.prefix, *asked, env=self.env).stdout

    def serve(self):
        return self.spawn("person", self.binary, "serve", "--config", self.home / "config.toml")

    def store(self):
        done = self.stage.run(BIN, "status", "--json", env=self.env)
        return json.loads(done.stdout)["store"] if done.returncode == 0 else {}


def keyring(stage):
    with stage.case("a person's key is in the keyring, and one that is locked is waited for"):
        for tool in ("dbus-daemon", "gnome-keyring-daemon"):
            if not shutil.which(tool):
                raise NotHere(f"{tool} is missing")
        person = Person(stage)
        try:
            held = {"kind": "sealed", "key": "the keyring", "set_aside": 0}
            ring = person.open_keyring(True)
            for _ in range(2):
                daemon = person.serve()
                wait_for(lambda: person.store() == held, "the key in the keyring", daemon)
                daemon.kill()
                daemon.wait(10)
            assert not (person.home / "state/store.key").exists(), "the key is beside what it seals"
            end(ring)
            ring = person.open_keyring(False)
            daemon = person.serve()
            wait_for(lambda: "the keyring is locked" in person.store().get("trouble", ""), "word of the lock", daemon)
            assert not (person.home / "state/store.key").exists(), "another key was made"
            end(ring)
            ring = person.open_keyring(True)
            wait_for(lambda: person.store() == held, "the key when the keyring is open", daemon)
            end(daemon)
            end(ring)
        finally:
            shutil.rmtree(person.home, ignore_errors=True)


def memory(stage, sandbox, device):
    kept = Kept(stage, sandbox, "memory")
    with stage.case("in memory alone nothing is kept, and what was sealed before is removed"):
        kept.log_in(device)
        wait_for(lambda: len(kept.files()) == 1, "a sealed session")
        kept.kill(store="memory")
        assert kept.status() == {"kind": "memory", "set_aside": 0}, kept.status()
        assert not kept.files() and kept.needs_a_code(), kept.files()
        kept.log_in(device)
        kept.lent("admin")
        kept.kill(store="memory")
        assert not kept.files() and kept.needs_a_code(), kept.files()
    kept.daemon.stop()


def full_disk(stage, sandbox):
    with stage.case("a full disk is told of once and costs nobody a credential"):
        if os.geteuid() != 0:
            raise NotHere("a file system of its own takes root")
        state = stage.dir / "full" / "state"
        state.mkdir(parents=True)
        mounted = stage.run("mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", state)
        if mounted.returncode != 0:
            raise NotHere(f"no file system can be mounted: {mounted.stderr.strip()}")
        try:
            kept = Kept(stage, sandbox, "full")
            kept.lent("reader")
            wait_for(lambda: len(kept.files()) == 1, "a sealed session")
            stage.run("bash", "-c", f"head -c 1M /dev/zero >{state}/filler")
            for _ in range(3):
                before = kept.lent("reader")["AccessKeyId"]
                assert kept.daemon.run("refresh", "reader").returncode == 0
                assert kept.lent("reader")["AccessKeyId"] != before
            trouble = kept.status()["trouble"]
            assert "sessions cannot be written (No space left on device)" in trouble, trouble
            (state / "filler").unlink()
            assert kept.daemon.run("refresh", "reader").returncode == 0
            wait_for(lambda: "trouble" not in kept.status(), "the end of the trouble")
            log = kept.daemon.process.log.read_text()
            assert log.count("cannot be written") == 1 and log.count("kept on disk again") == 1, log[-900:]
            lent = kept.lent("reader")
            kept.kill()
            assert kept.lent("reader") == lent
            kept.daemon.stop()
        finally:
            stage.run("umount", "-l", state)


if __name__ == "__main__":
    sys.exit(main())
