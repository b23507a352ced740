"""Clocks that are wrong, set while the daemon runs, or stopped by a machine's sleep.

The daemon runs under libfaketime, which shows it another time than the sandbox has, and another one while it runs. A client
asks all the while: whatever it gets has a minute and more to live by the clock of its machine, and the STS still takes it.
"""

import contextlib
import datetime
import http.client
import json
import os
import pathlib
import socket
import threading
import time

from stage import ACCOUNT, REGION, NotHere, Sandbox, Stage, end, free_port, wait_for

LIBRARY = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
HOUR = 3600
SECRET = 40 * "k"


def main():
    with Stage("clock") as stage:
        stage.secret(SECRET)
        for name, apart in (("ahead", 2), ("behind", -2)):
            with stage.case(f"a machine whose clock is 2 h {name} from the start"), World(stage, name) as world:
                world.show(machine=apart)
                world.start()
                world.lends()
                assert f"2 h {name}" in world.run("status").stdout, world.run("status").stdout
                assert f"2 h {name}" in world.run("whoami", "it").stdout
        for name, hours in (("forward", 2), ("back", -2)):
            with stage.case(f"the machine's clock is set {name} by 2 h, and right again"), World(stage, name) as world:
                world.start()
                world.lends()
                with world.client():
                    for shown in (hours, 0):
                        before = world.lent()["AccessKeyId"]
                        world.show(machine=shown)
                        world.lends(after=before)
                word = "ahead" if hours > 0 else "behind"
                assert f"2 h {word}" in world.daemon.process.log.read_text()
                assert "this machine's clock" not in world.run("status").stdout
        with stage.case("machine and STS go on together after 8 h, as after a sleep"), World(stage, "sleep") as world:
            world.start()
            before = world.lends()
            with world.client():
                world.show(machine=8, sts=8)
                wait_for(lambda: world.lent()["AccessKeyId"] != before, "a renewal")
                world.lends(after=before)
        late = "both clocks of the machine jump by 8 h, with all its timers late"
        with stage.case(late), World(stage, "stop", steady=True) as world:
            world.start()
            before = world.lends()
            with world.client():
                world.show(machine=8, sts=8)
                world.lends(after=before)
        unasked = "after a sleep an eager profile is renewed though nobody asks"
        with stage.case(unasked), World(stage, "eager", eager=True) as world:
            world.start()
            before = world.lends()
            world.show(machine=8, sts=8)
            issued = world.sandbox_calls()
            wait_for(lambda: world.sandbox_calls() > issued, "a renewal by itself")
            world.lends(after=before)
    stage.exit()


class World:
    """A sandbox and a daemon with clocks of their own, and clients on the daemon's machine."""

    def __init__(self, stage, name, steady=False, eager=False):
        if not LIBRARY.exists():
            raise NotHere(f"{LIBRARY} is missing (package faketime)")
        self.stage, self.name, self.steady, self.eager = stage, name, steady, eager
        self.hours = {"machine": 0, "sts": 0}
        self.daemon = self.sandbox = None
        self.show()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in (self.daemon, self.sandbox):
            if server:
                end(server.process)

    def start(self):
        self.sandbox = Sandbox(self.stage, SANDBOX, f"sandbox-{self.name}", self.env("sts"))
        eager = str(self.eager).lower()
        self.stage.write(f"{self.name}/base.json", {"Version": 1, "AccessKeyId": KEY_ID, "SecretAccessKey": SECRET})
        text = CONFIG.format(port=free_port(), url=self.sandbox.url, eager=eager)
        self.daemon = self.stage.daemon(text, self.name, self.env("machine"))

    def env(self, whose):
        more = {} if self.steady else {"FAKETIME_DONT_FAKE_MONOTONIC": 1}
        return self.stage.env(LD_PRELOAD=LIBRARY, FAKETIME_TIMESTAMP_FILE=self._file(whose), FAKETIME_NO_CACHE=1, **more)

    def show(self, **hours):
        """Sets the clocks that are named, by hours from the real time."""
        for whose in self.hours:
            shown = hours.get(whose, self.hours[whose])
            draft = self.stage.write(f"{self.name}-{whose}.draft", f"{shown * HOUR:+d}\n")
            os.replace(draft, self._file(whose))
            self.hours[whose] = shown

    def now(self):
        return time.time() + self.hours["machine"] * HOUR

    def run(self, *argv, **options):
        env = {**self.env("machine"), "CREDBROKER_CONTROL": str(self.daemon.control)}
        return self.daemon.run(*argv, env=env, **options)

    def lent(self):
        """What a client is lent, which must live on by its clock; `None` for a "not now"."""
        shown = dict(self.hours)
        connection = Unix(self.daemon.control)
        with contextlib.closing(connection):
            connection.request("GET", "/v1/profiles/it/credentials")
            answer = connection.getresponse()
            body = json.loads(answer.read())
        if answer.status != 200:
            assert body["reason"] == "not_now", body
            return None
        self.stage.secret(body["SecretAccessKey"], body["SessionToken"])
        left = expiry(body) - self.now()
        if shown == self.hours:
            assert 60 - 1 <= left <= HOUR + 1, f"{left:.0f} s to live"
        return body

    def lends(self, after=None):
        """Checks that good credentials are lent, others than before, and the STS takes them; gives their key id."""
        done = self.run("process", "it", secret_stdout=True)
        assert done.returncode == 0, done.stderr
        body = json.loads(done.stdout)
        self.stage.secret(body["SecretAccessKey"], body["SessionToken"])
        left = expiry(body) - self.now()
        assert HOUR - 30 <= left <= HOUR + 1, f"{left:.0f} s to live"
        assert body["AccessKeyId"] != after, "not renewed"
        known = self.run("whoami", "it")
        assert known.returncode == 0 and ":assumed-role/It/" in known.stdout, known.stderr
        return body["AccessKeyId"]

    @contextlib.contextmanager
    def client(self):
        """Has a client ask all the while; what it got wrong fails the case."""
        ended, faults, got = threading.Event(), [], []

        def ask():
            while not ended.is_set():
                try:
                    got.append(self.lent())
                except Exception as error:
                    faults.append(error)
                time.sleep(0.02)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        try:
            yield
            time.sleep(1)
        finally:
            ended.set()
            asking.join(30)
        assert not faults, faults[0]
        assert sum(1 for it in got if it) > 20, f"{len(got)} answers"

    def sandbox_calls(self):
        return self.sandbox.admin("GET", "state")["counts"]["AssumeRole"]["asked"]

    def _file(self, whose):
        return self.stage.dir / f"{self.name}-{whose}.time"


class Unix(http.client.HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def expiry(body):
    return datetime.datetime.fromisoformat(body["Expiration"].replace("Z", "+00:00")).timestamp()


KEY_ID = "AKIACLOCKCLOCKCLOCK1"

SANDBOX = f"""
account = "{ACCOUNT}"

[[user]]
name              = "me"
access_key_id     = "{KEY_ID}"
secret_access_key = "{SECRET}"

[[role]]
name  = "It"
trust = {{ principals = ["arn:aws:iam::{ACCOUNT}:user/me"] }}
"""

CONFIG = f"""
[daemon]
state_dir = "state"
control   = "control.sock"

[[endpoint]]
name    = "local"
kind    = "container"
address = "127.0.0.1:{{port}}"

[profile.base]
access_key = {{{{ file = "base.json" }}}}

[profile.it]
source_profile = "base"
role_arn       = "arn:aws:iam::{ACCOUNT}:role/It"
region         = "{REGION}"
endpoint_url   = "{{url}}"
eager          = {{eager}}
"""

if __name__ == "__main__":
    main()
