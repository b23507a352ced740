"""`credbroker keys rotate`, stopped by Ctrl-C, while a client asks the daemon throughout: against the sandbox and against
moto. keys_killed.py kills it.
"""

import datetime
import json
import os
import signal
import time

from keys import ID, SECRET, USERS, Keys, fresh, key_json
from rotating import Client
from stage import BIN, Sandbox, Stage, policy, tail


def main():
    with Stage("keys_rotate") as stage:
        sandbox = Sandbox(stage, USERS)
        stage.secret(SECRET)
        life(stage, sandbox)
        stopped(stage, sandbox)
        on_moto(stage)
    stage.exit()


class Rotation(Keys):
    """A rotation of the key in base.json, whose waits can be made to be over."""

    def __init__(self, stage, name, url, key, **more):
        super().__init__(stage, name, url, '{ file = "base.json" }', **more)
        self.file = self.put("base.json", key)
        self.journal = self.dir / "state/rotation/base.json"

    def rotate(self, *more):
        # --now waits for a minute without use.
        done = self("rotate", *more, timeout=150)
        self.note()
        return done

    def note(self):
        """Notes the secret of the key in use."""
        self.stage.secret(json.loads(self.file.read_text())["SecretAccessKey"])

    def stored(self):
        return json.loads(self.file.read_text())["AccessKeyId"]

    def progress(self):
        return json.loads(self.journal.read_text())

    def pass_days(self, days):
        """Has the journal say that it came there so long ago."""
        progress = self.progress()
        since = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
        self.journal.write_text(json.dumps({**progress, "since": since.strftime("%Y-%m-%dT%H:%M:%SZ")}))

    def is_tidy(self):
        left = {name for name in os.listdir(self.dir) if name.endswith(".new")}
        return not left and not self.journal.exists()


def life(stage, sandbox):
    keys = Rotation(stage, "rotation", sandbox.url, key_json())
    with stage.case("a rehearsal tells of every step and makes no key"):
        done = keys.rotate("--dry-run")
        assert done.returncode == 0 and f"turn {ID} off" in done.stdout and f"delete {ID}" in done.stdout, done
        assert list(keys.keys()) == [ID] and not keys.journal.exists()
    with stage.case("a young key is left alone until it is due"):
        done = keys.rotate("--max-age", "90d", "--json")
        said = json.loads(done.stdout)
        assert done.returncode == 0 and said["state"] == "not_due" and said["due"], done
        assert list(keys.keys()) == [ID]
    with stage.case("a new key is proven and put in place, and the old one still works"):
        done = keys.rotate()
        assert done.returncode == 0 and "run this again in " in done.stdout, done
        new = keys.stored()
        assert new != ID and set(keys.keys()) == {ID, new}, keys.keys()
        assert keys.progress()["state"] == "retiring" and keys.journal.stat().st_mode & 0o777 == 0o600
        assert SECRET not in keys.journal.read_text()
    with stage.case("nothing is done before it is due"):
        assert keys.rotate().returncode == 0
        assert keys.keys()[ID]["status"] == "Active"
    with stage.case("--now turns the old key off after a minute without use"):
        done = keys.rotate("--now")
        assert done.returncode == 0 and "is turned off" in done.stdout, done
        assert keys.keys()[ID]["status"] == "Inactive" and keys.progress()["state"] == "off"
    ending(stage, "", keys, new)


def ending(stage, where, keys, new):
    with stage.case(f"{where}after its grace period the old key is deleted, and nothing is left over"):
        keys.pass_days(8)
        done = keys.rotate("--json")
        assert done.returncode == 0 and json.loads(done.stdout)["state"] == "done", done
        assert list(keys.keys()) == [new] == [keys.stored()] and keys.is_tidy(), os.listdir(keys.dir)


def stopped(stage, sandbox):
    fresh(sandbox)
    keys = Rotation(stage, "stopped", sandbox.url, key_json())
    daemon = stage.daemon(keys.text, name="stopped")
    client = Client(daemon)

    with stage.case("Ctrl-C stops it between two steps, and says that nothing is lost"):
        child = stage.spawn("rotate-stopped", [BIN, "keys", "rotate", "base", "--now", "--config", keys.config])
        time.sleep(3)
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 75 and "nothing lost" in tail(child.log), tail(child.log)
    with stage.case("it ends with the new key alone in use"):
        done = keys.rotate("--now")
        assert done.returncode == 0 and keys.keys()[ID]["status"] == "Inactive", done
    time.sleep(2.5)  # Until the old key is known to be off.
    ending(stage, "stopped, ", keys, keys.stored())
    with stage.case("a client that asks throughout never sees a failure"):
        client.check()


def on_moto(stage):
    user = {}

    def furnish(moto):
        user.update(moto._user("keeper", policy("iam:*", "sts:*", Resource="*")))

    moto = stage.moto(furnish)
    keys = Rotation(stage, "moto-rotation", moto.url, user)
    old = user["AccessKeyId"]
    with stage.case("moto: a new key is made, proven and put in place"):
        done = keys.rotate()
        new = keys.stored()
        assert done.returncode == 0 and set(keys.keys()) == {old, new} and new != old, done
    with stage.case("moto: the old key is turned off"):
        done = keys.rotate("--now")
        assert done.returncode == 0 and keys.keys()[old]["status"] == "Inactive", done
    ending(stage, "moto: ", keys, new)


if __name__ == "__main__":
    main()
