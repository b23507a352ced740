"""`credbroker keys rotate`, killed by SIGKILL at every step that it makes, with one key and with two, and run again: against
the sandbox, with a daemon that uses the key, and a client that asks the daemon throughout.

Steps in the file system are stopped at by kill_at.c, those at IAM and STS by a gate in front of the sandbox: before the
request gets there, or after it was obeyed and before the answer is back. Days pass by faketime, and the sandbox's own clock.
"""

import contextlib
import json
import os
import signal
import subprocess

from gate import Gate
from keys import Keys, key_json
from rotating import Client, Clock
from stage import BIN, ROOT, Sandbox, Stage, tail

SANDBOX = """
[limits]
propagation = "1s"
[[role]]
name = "Reader"
trust.principals = ["*"]
"""
# As the timer has it: a key that was just made is left alone.
TERMS = ["--max-age", "20d"]
JOURNAL, STAGED, PLACE = "rotation/base.json", "base.json.base.new", "keys/base.json"
# What a rotation does: in which run, its name, and the call that does it, the how many-th of its kind in that run.
BEGIN = [
    ("the keys are listed", "ListAccessKeys", 1),
    ("their last use is asked for", "GetAccessKeyLastUsed", 1),
    ("the keys are written down", f"rename {JOURNAL}", 1),
    ("the new key is made", "CreateAccessKey", 1),
    ("the new key is staged", f"rename {STAGED}", 1),
    ("the staging is written down", f"rename {JOURNAL}", 2),
    ("the new key is tried at the STS", "GetCallerIdentity", 1),
    ("the new key is tried at the STS again", "GetCallerIdentity", 3),
    ("the new key is tried at IAM", "ListAccessKeys", 2),
    ("the new key takes its place", f"rename {PLACE}", 1),
    ("the staged key is removed", f"unlink {STAGED}", 1),
    ("the old key's retirement is written down", f"rename {JOURNAL}", 3),
]
LATER = [
    [("the old key is turned off", "UpdateAccessKey", 1), ("it is written down that the old key is off", f"rename {JOURNAL}", 1)],
    [("the old key is deleted", "DeleteAccessKey", 1), ("the journal is removed", f"unlink {JOURNAL}", 1)],
]
# Where there is a second key, which is turned off, it goes first, and the journal begins anew.
SPARE = [
    ("the spare key is written down", f"rename {JOURNAL}", 1),
    ("the spare key is deleted", "DeleteAccessKey", 1),
    ("the spare key's journal is removed", f"unlink {JOURNAL}", 1),
]


def main():
    with Stage("keys_killed") as stage:
        sandbox = Sandbox(stage, SANDBOX)
        library = stage.dir / "kill_at.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library,
                        ROOT / "tests/clients/kill_at.c", "-ldl"], check=True)
        for start, runs in (("one key", [BEGIN, *LATER]), ("two keys", [with_spare(), *LATER])):
            for number, steps in enumerate(runs):
                for name, call, count in steps:
                    for when in ("before", "after"):
                        with stage.case(f"{start}, killed {when} {name}"):
                            with contextlib.closing(Life(stage, sandbox, library, start)) as life:
                                live(life, number, when, call, count)
    stage.exit()


def with_spare():
    """The first run where a spare key goes first: the journal is written once more."""
    return SPARE + [(name, call, count + (call == f"rename {JOURNAL}")) for name, call, count in BEGIN[2:]]


class Life(Keys):
    """A user, a daemon that lends with its key, and a clock of their own."""

    made = 0

    def __init__(self, stage, sandbox, library, start):
        Life.made += 1
        name = self.user = f"user-{Life.made}"
        self.sandbox = sandbox
        self.clock = Clock(stage, sandbox, f"{name}/now")
        self.library = library
        self.gate = Gate(sandbox.url)
        super().__init__(stage, f"{name}/keys", self.gate.url, '{ file = "base.json" }')
        self.old = self.key(stage, name, "OLD")
        sandbox.admin("POST", "users", {"name": name, "access_key_id": self.old["AccessKeyId"],
                                        "secret_access_key": self.old["SecretAccessKey"]})
        if start == "two keys":
            spare = self.key(stage, name, "SPARE")
            sandbox.admin("POST", "keys", {"user": name, "access_key_id": spare["AccessKeyId"],
                                           "secret_access_key": spare["SecretAccessKey"]})
            sandbox.admin("POST", f"keys/{spare['AccessKeyId']}", {"active": False})
        self.file = stage.write(f"{name}/keys/base.json", self.old)
        self.journal = self.dir / "state" / JOURNAL
        self.clock.pass_days(30)
        text = self.text.replace(self.gate.url, sandbox.url).replace("base.json", str(self.file))
        self.daemon = stage.daemon(text, name=f"daemon-{Life.made}", env=self.env())
        self.client = Client(self.daemon)

    @staticmethod
    def key(stage, user, kind):
        key = key_json(f"AKIA{kind}{Life.made:0>11}"[:20], f"{kind}/EXAMPLEKEY/not/a/secret/{user:0>16}"[:40])
        stage.secret(key["SecretAccessKey"])
        return key

    def env(self, **more):
        return self.stage.env(**self.clock.env(self.library), **more)

    def rotate(self):
        done = self("rotate", *TERMS, env=self.env())
        self.note()
        return done

    def killed(self, when, call, count):
        """Begins a run that is killed there."""
        is_of_files = " " in call
        if not is_of_files:
            self.gate.arm(when, call, count)
        env = self.env(**({"KILL_AT": f"{when} {call} {count}"} if is_of_files else {}))
        child = self.stage.spawn("killed", [BIN, "keys", "rotate", "base", *TERMS, "--config", self.config], env)
        self.gate.pid = child.pid
        status = child.wait(60)
        self.gate.arm("", "", 0)
        self.note()
        assert status == -signal.SIGKILL, f"it never came there: {status}: {tail(child.log)}"

    def note(self):
        self.stage.secret(*(json.loads(path.read_text())["SecretAccessKey"]
                            for path in self.dir.glob("base.json*") if path.exists()))

    def close(self):
        self.client.stop()
        self.daemon.stop()
        self.gate.server.shutdown()
        self.gate.server.server_close()


def live(life, number, when, call, count):
    """Rotates a key, where the run of that number is killed at a step first; all must be well then."""
    for run in range(3):
        if run == number:
            life.killed(when, call, count)
        done = life.rotate()
        assert done.returncode == 0, done.stderr
        if run < 2:
            life.client.skip(lambda: life.clock.pass_days(8))
    left = [key["access_key_id"] for key in life.sandbox.admin("GET", "state")["keys"] if key["user"] == life.user]
    stored = json.loads(life.file.read_text())["AccessKeyId"]
    assert left == [stored] != [life.old["AccessKeyId"]], (left, stored)
    assert sorted(os.listdir(life.dir)) == ["base.json", "config.toml", "state"], os.listdir(life.dir)
    assert os.listdir(life.journal.parent) == ["base.lock"], os.listdir(life.journal.parent)
    # The old key is gone: what a session is got with now is the new one.
    done = life.daemon.run("refresh", "reader")
    assert done.returncode == 0, done.stderr
    life.client.check()


if __name__ == "__main__":
    main()
