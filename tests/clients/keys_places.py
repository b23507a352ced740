"""`credbroker keys rotate` wherever a key can be kept: in a file, in AWS's two files, in a real keyring, behind two commands,
and for a user whose account demands MFA. Against the sandbox, each with a daemon that uses the key while a client asks it
throughout. Days pass by faketime, and the sandbox's own clock.
"""

import json
import os
import re
import time

from keys import SEED, Keys, key_json, on_terminal, totp
from rotating import Client, Clock
from stage import ACCOUNT, BIN, NotHere, Sandbox, Stage, end, wait_for

SANDBOX = """
[limits]
propagation = "1s"
[[role]]
name = "Reader"
trust.principals = ["*"]
"""
PASSWORD = "of the login keyring"
# A session bus that starts nothing by itself.
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>{bus}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""


def main():
    with Stage("keys_places") as stage:
        sandbox = Sandbox(stage, SANDBOX)
        in_a_file(stage, sandbox)
        in_aws_files(stage, sandbox)
        behind_commands(stage, sandbox)
        in_a_keyring(stage, sandbox)
        with_codes(stage, sandbox)
        with_a_person(stage, sandbox)
    stage.exit()


class Place(Keys):
    """A user whose key is kept in one way, and a daemon that lends with it."""

    made = 0

    def __init__(self, stage, sandbox, name, access_key, more="", user=(), env=()):
        super().__init__(stage, name, sandbox.url, access_key, more)
        Place.made += 1
        self.name, self.sandbox, self.env, self.has_device = name, sandbox, dict(env), bool(user)
        self.clock = Clock(stage, sandbox, f"{name}.now")
        self.old = key_json(f"AKIAPLACESEXAMPLE{Place.made:0>3}", f"places/EXAMPLEKEY/not/a/secret/{Place.made:0>12}")
        stage.secret(self.old["SecretAccessKey"])
        sandbox.admin("POST", "users", {"name": name, "access_key_id": self.old["AccessKeyId"],
                                        "secret_access_key": self.old["SecretAccessKey"], **dict(user)})

    def start(self):
        time.sleep(1.5)  # Until the key is known; asking would take a code of the device.
        self.daemon = self.stage.daemon(self.text, name=self.name, env=self.environment())

    def environment(self):
        return self.stage.env(**self.env, **self.clock.env())

    def __call__(self, what, *more, **options):
        return super().__call__(what, *more, env=self.environment(), **options)

    def rotate(self):
        done = self("rotate")
        assert done.returncode == 0, done.stderr
        return done

    def key_ids(self):
        return [key["access_key_id"] for key in self.sandbox.admin("GET", "state")["keys"] if key["user"] == self.name]

    def new_id(self):
        [new] = set(self.key_ids()) - {self.old["AccessKeyId"]}
        return new

    def live(self, stored, check=lambda: None):
        """The whole life of a key: `stored` says which is kept there, and `check` looks at what else there is."""
        stage, name, old = self.stage, self.name, self.old["AccessKeyId"]
        self.start()
        client = Client(self.daemon, shared=self.has_device)
        with stage.case(f"{name}: a new key is made, proven and put in place"):
            done = self.rotate()
            assert "run this again in " in done.stdout and stored() == self.new_id(), done
            check()
        if not self.has_device:  # A session that was got with the old key and a code would end with that key.
            with stage.case(f"{name}: the daemon uses it, without a reload"):
                self.sandbox.admin("POST", f"keys/{old}", {"active": False})
                time.sleep(1.5)  # Until the old key is known to be off.
                done = self.daemon.run("refresh", "reader")
                assert done.returncode == 0, done.stderr
                self.sandbox.admin("POST", f"keys/{old}", {"active": True})
                time.sleep(1.5)
        with stage.case(f"{name}: the old key is turned off, and deleted"):
            for state in ([False, True], [True]):
                client.skip(lambda: self.clock.pass_days(8))
                self.rotate()
                keys = self.sandbox.admin("GET", "state")["keys"]
                assert sorted(key["active"] for key in keys if key["user"] == name) == state, keys
            assert self.key_ids() == [stored()] == [self.new_id()], self.key_ids()
            check()
        with stage.case(f"{name}: nothing is left over"):
            assert os.listdir(self.dir / "state/rotation") == ["base.lock"], os.listdir(self.dir / "state/rotation")
            left = {name for name in os.listdir(self.dir) if "new" in name}
            assert not left, left
        with stage.case(f"{name}: a client that asks throughout never sees a failure"):
            client.check()
        self.daemon.stop()


def in_a_file(stage, sandbox):
    place = Place(stage, sandbox, "file", '{ file = "base.json" }')
    file = place.put("base.json", place.old)

    def stored():
        key = json.loads(file.read_text())
        stage.secret(key["SecretAccessKey"])
        return key["AccessKeyId"]

    def check():
        assert file.stat().st_mode & 0o777 == 0o600

    place.live(stored, check)


def in_aws_files(stage, sandbox):
    for name, file, header in (("credentials", "credentials", "work"), ("config", "config", "profile work")):
        at = stage.dir / name
        files = dict(AWS_SHARED_CREDENTIALS_FILE=at / "credentials", AWS_CONFIG_FILE=at / "config")
        place = Place(stage, sandbox, name, '{ aws_profile = "work" }', env=files)
        id, secret = place.old["AccessKeyId"], place.old["SecretAccessKey"]
        before = (f"# mine, since 2019\r\n[default]\naws_access_key_id = AKIAOTHEROTHEROTHER1\naws_secret_access_key=other\n\n"
                  f"[{header}]\n\tregion=eu-west-1\naws_secret_access_key={secret}\n; the id comes last\n"
                  f"AWS_ACCESS_KEY_ID  :  {id}  \n\n[last]")
        written = place.put(file, before)
        if name == "config":
            place.put("credentials", "[default]\naws_access_key_id = AKIAOTHEROTHEROTHER2\naws_secret_access_key = other\n")

        def key():
            text = written.read_bytes().decode()
            key = [re.search(rf"work\].*?{what}\s*[:=]\s*(\S+)", text, re.S | re.I).group(1)
                   for what in ("aws_access_key_id", "aws_secret_access_key")]
            stage.secret(key[1])
            return text, *key

        def check():
            text, new_id, new_secret = key()
            assert text.replace(new_id, id).replace(new_secret, secret) == before, "other bytes changed"

        place.live(lambda: key()[1], check)


def behind_commands(stage, sandbox):
    show = stage.write("show-key", '#!/bin/sh\nexec cat "$1"\n', 0o700)
    # Whoever calls it is killed as the file KILL says: before it has stored the key, or after.
    store = stage.write("store-key", """#!/bin/sh
        umask 077
        cat > "$1.take" || exit
        kill=$(cat "$1.kill" 2>/dev/null)
        rm -f "$1.kill"
        [ "$kill" = before ] && kill -9 $PPID
        [ "$kill" = in ] && { rm "$1.take"; kill -9 $PPID; exit 1; }
        mv "$1.take" "$1"
        [ "$kill" = after ] && kill -9 $PPID
        exit 0
        """, 0o700)
    at = stage.dir / "command"
    command = f'{{ command = ["{show}", "{at}/kept"], store_command = ["{store}", "{at}/kept"] }}'
    place = Place(stage, sandbox, "command", command)
    kept = place.put("kept", place.old)

    def stored():
        key = json.loads(kept.read_text())
        stage.secret(key["SecretAccessKey"])
        return key["AccessKeyId"]

    def check():
        # A key is never among the arguments or in the environment of a command.
        assert not [name for name in os.listdir(at) if name.startswith("kept.")], os.listdir(at)

    for when in ("in place of storing", "before storing", "after storing"):
        with stage.case(f"command: killed {when}, it goes on from there"):
            place.put("kept.kill", when.split()[0])
            done = place("rotate")
            assert done.returncode == -9, done
            staged = place.dir / "state/rotation/base.new"
            assert staged.stat().st_mode & 0o777 == 0o600
            stage.secret(json.loads(staged.read_text())["SecretAccessKey"])
            wait_for(lambda: stored() != place.old["AccessKeyId"] or when.startswith("in"), "the store has not gone on")
            assert len(place.key_ids()) == 2
            place.rotate()
            assert stored() == place.new_id() and not staged.exists()
            sandbox.admin("DELETE", f"keys/{place.new_id()}")
            place.put("kept", place.old)
            (place.dir / "state/rotation/base.json").unlink()
    with stage.case("command: a store that fails leaves the old key in use, and the new one staged"):
        failing = Place(stage, sandbox, "failing", command.replace(str(store), "/bin/false").replace("command/kept", "failing/kept"))
        failing.put("kept", failing.old)
        done = failing("rotate")
        assert done.returncode == 75 and "store_command /bin/false" in done.stderr, done
        stage.secret(json.loads((failing.dir / "state/rotation/base.new").read_text())["SecretAccessKey"])
        assert json.loads((failing.dir / "kept").read_text()) == failing.old and len(failing.key_ids()) == 2
        done = failing("create")
        assert done.returncode == 81, done
    place.live(stored, check)


class Keyring:
    """A real keyring on a session bus of its own, open."""

    def __init__(self, stage):
        self.stage, self.dir = stage, stage.dir / "session"
        self.dir.mkdir(mode=0o700)
        bus = f"unix:path={self.dir}/bus"
        self.env = dict(XDG_RUNTIME_DIR=self.dir, DBUS_SESSION_BUS_ADDRESS=bus, XDG_DATA_HOME=self.dir / "data")
        config = stage.write("bus.conf", BUS.format(bus=bus))
        try:
            self.bus = stage.spawn("bus", ["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={config}"])
        except FileNotFoundError as missing:
            raise NotHere(str(missing)) from missing
        wait_for((self.dir / "bus").exists, "the session bus", self.bus)
        self.open()

    def open(self):
        self.child = self.stage.spawn("keyring", ["bash", "-c", f"exec gnome-keyring-daemon --foreground --unlock "
                                                  f"--components=secrets <<<'{PASSWORD}'"], self.stage.env(**self.env))
        wait_for(lambda: self.tool("search", "service", "none").returncode == 0, "the keyring", self.child)

    def close(self):
        """As after a start of the machine: it is there, and locked."""
        end(self.child)
        self.child = self.stage.spawn("keyring", ["gnome-keyring-daemon", "--foreground", "--components=secrets"],
                                      self.stage.env(**self.env))
        wait_for(lambda: self.tool("search", "service", "credbroker").returncode == 0, "the keyring", self.child)

    def tool(self, *argv, secret=None):
        self.stage.write("given", secret or "")
        return self.stage.run("bash", "-c", 'exec secret-tool "$@" < given', "bash", *argv,
                              env=self.stage.env(**self.env), secret_stdout=True)


def in_a_keyring(stage, sandbox):
    with stage.case("keyring: it opens"):
        keyring = Keyring(stage)
    if not hasattr(keyring, "child"):
        return
    place = Place(stage, sandbox, "keyring", '{ keyring = "base" }', env=keyring.env)
    with stage.case("keyring: without the item, the line that stores it is told"):
        done = place("list")
        assert done.returncode == 78 and "secret-tool store --label=credbroker service credbroker name base" in done.stderr, done
        line = re.search(r"secret-tool (store .*)", done.stderr).group(1).split()
        assert keyring.tool(*line, secret=json.dumps(place.old)).returncode == 0

    def stored():
        key = json.loads(keyring.tool("lookup", "service", "credbroker", "name", "base").stdout)
        stage.secret(key["SecretAccessKey"])
        return key["AccessKeyId"]

    def check():
        found = keyring.tool("search", "--all", "service", "credbroker")
        assert (found.stdout + found.stderr).count("attribute.name = ") == 1, "a second item is left"

    place.live(stored, check)
    with stage.case("keyring: a text that is INI stays INI, and create puts a key there, too"):
        ini = "[default]\naws_access_key_id = {AccessKeyId}\naws_secret_access_key = {SecretAccessKey}\n# mine\n"
        key = json.loads(keyring.tool("lookup", "service", "credbroker", "name", "base").stdout)
        assert keyring.tool("store", "--label=credbroker", "service", "credbroker", "name", "base",
                            secret=ini.format(**key)).returncode == 0
        done = place("create")
        assert done.returncode == 0 and "in the keyring's item base now" in done.stdout, done
        after = keyring.tool("lookup", "service", "credbroker", "name", "base").stdout
        new_id, new_secret = re.search(r"id = (\S+)\n.*key = (\S+)\n", after).groups()
        stage.secret(new_secret)
        assert new_id != key["AccessKeyId"] and new_id in done.stdout, done
        assert after == ini.format(AccessKeyId=new_id, SecretAccessKey=new_secret), "other bytes changed"
    daemon = stage.daemon(place.text, name="keyring", env=place.environment())
    with stage.case("keyring: while it is locked nobody waits for a person, and what is lent stays"):
        wait_for(lambda: daemon.run("refresh", "reader").returncode == 0, "the new key is not known")
        keyring.close()
        began = time.monotonic()
        for done in (place("list"), daemon.run("refresh", "reader")):
            assert done.returncode == 75 and "the keyring is locked" in done.stderr, done
        assert time.monotonic() - began < 10
        assert daemon.run("process", "reader", secret_stdout=True).returncode == 0
    with stage.case("keyring: once it is open again, it is used again"):
        end(keyring.child)
        keyring.open()
        wait_for(lambda: daemon.run("refresh", "reader").returncode == 0, "the keyring is not used")
    with stage.case("keyring: nobody on the bus who keeps secrets, and no bus at all, are told apart"):
        end(keyring.child)
        done = place("list")
        assert done.returncode == 75 and "install gnome-keyring" in done.stderr, done
        end(keyring.bus)
        done = place("list")
        assert done.returncode == 75 and "no session bus answers" in done.stderr, done


def device(name):
    return {"mfa": {"serial": f"arn:aws:iam::{ACCOUNT}:mfa/{name}", "seed": SEED}, "require_mfa_for_iam": True}


def with_codes(stage, sandbox):
    user = device("codes")
    more = f'mfa = "me"\n[mfa.me]\nserial = "{user["mfa"]["serial"]}"\ncode = {{ totp = {{ file = "me.seed" }} }}\n'
    place = Place(stage, sandbox, "codes", '{ file = "base.json" }', more=more, user=user)
    file = place.put("base.json", place.old)
    place.put("me.seed", SEED)
    stage.secret(SEED)

    def stored():
        key = json.loads(file.read_text())
        stage.secret(key["SecretAccessKey"])
        return key["AccessKeyId"]

    place.live(stored)


def with_a_person(stage, sandbox):
    user = device("person")
    serial = user["mfa"]["serial"]
    more = f'mfa = "me"\n[mfa.me]\nserial = "{serial}"\n'
    place = Place(stage, sandbox, "person", '{ file = "base.json" }', more=more, user=user)
    file = place.put("base.json", place.old)
    argv = [BIN, "keys", "rotate", "base", "--config", place.config]
    code = lambda: totp(time.time() + place.clock.days * 86400)
    with stage.case("person: without a terminal nobody can answer, and no key is made"):
        done = place("rotate", start_new_session=True)
        assert done.returncode == 80 and serial in done.stderr and len(place.key_ids()) == 1, done
    with stage.case("person: the code is asked for once a run, and the key is replaced"):
        for keys in (2, 2, 1):
            status, said = on_terminal(stage, argv, code, env=place.environment())
            assert status == 0 and said.count(f"MFA code of {serial}: ") == 1, (status, said)
            assert len(place.key_ids()) == keys, (said, place.key_ids())
            place.clock.pass_days(8)
        key = json.loads(file.read_text())
        stage.secret(key["SecretAccessKey"])
        assert place.key_ids() == [key["AccessKeyId"]] != [place.old["AccessKeyId"]]
    daemon = stage.daemon(place.text, name="person", env=place.environment())
    with stage.case("person: the daemon uses it, with a code of its own"):
        done = stage.run("bash", "-c", f'printf %s {code()} | exec "$@"', "bash", BIN, "login", "reader", "--code", "-",
                         env=daemon.env())
        assert done.returncode == 0 and daemon.run("refresh", "reader").returncode == 0, done


if __name__ == "__main__":
    main()
