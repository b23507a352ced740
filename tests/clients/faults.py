"""What clients see when something outside the daemon breaks: names, files, disks, and the daemon itself. Each case is a
row of docs/RELIABILITY.md; those in which the STS itself is at fault are in tests/it/faults.rs.
"""

import os
import random
import signal
import subprocess
import sys
import time

from judge import GOOD, NOBODY, NOT_NOW, Judge
from proxy import Proxy
from stage import ACCOUNT, REGION, NotHere, Sandbox, Stage, config, free_port, wait_for
from world import BASE, LIFE, SANDBOX, SECRET, token


def main():
    with Stage("faults") as stage:
        stage.secret(SECRET)
        sandbox = Sandbox(stage, SANDBOX)
        names(stage, sandbox)
        tokens(stage, sandbox)
        disks(stage, sandbox)
        configurations(stage, sandbox)
        kills(stage, sandbox)
    stage.exit()


class Scene:
    """A daemon of its own for one row, with one profile, `it`, that clients ask for by every way."""

    def __init__(self, stage, sandbox, name, url=None, keys=None, within=(), **options):
        self.imds = free_port()
        role = {"role_arn": f"arn:aws:iam::{ACCOUNT}:role/Reader", **(keys or {}), "duration_seconds": LIFE,
                "region": REGION, "endpoint_url": url or sandbox.url}
        stage.write(f"{name}/base.json", BASE)
        self.text = config("base.json", {"it": role}, imds=f"127.0.0.1:{self.imds}")
        self.daemon = stage.daemon(self.text, name=name, within=within)
        assert self.daemon.run("process", "it", secret_stdout=True).returncode == 0, "no first session"
        self.judge = Judge(stage, self.daemon, sandbox, ["it"], imds=self.imds, **options)

    def break_until_not_now(self, mend):
        """With the fault there already: waits until what was held has ended, and then, mended, for a good answer."""
        self.judge.wait_for(NOT_NOW, "what was held has ended", LIFE)
        self.judge.watch(2)
        mend()
        self.judge.wait_for(GOOD, "the recovery")

    def rule(self):
        self.judge.rule()
        log = self.daemon.process.log.read_text()
        assert "panicked" not in log, "it panicked"
        return log


def names(stage, sandbox):
    done = "the STS's name is known no more, and the connection to it is cut, until what was held has ended"
    with stage.row("DNS gone", done) as row:
        hosts = stage.write("hosts", "127.0.0.1 sts.test\n", 0o644)
        resolver = stage.write("resolv.conf", "nameserver 127.0.0.1\n", 0o644)
        line = Proxy(sandbox.port)
        within = namespace('mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf', hosts, resolver)
        scene = Scene(stage, sandbox, "names", f"http://sts.test:{line.port}", within=within)
        with scene.judge:
            scene.judge.wait_for(GOOD, "the first answer")
            hosts.write_text("")
            line.drop()
            scene.break_until_not_now(lambda: hosts.write_text("127.0.0.1 sts.test\n"))
        scene.rule()
        row["saw"] = scene.judge.story()


def tokens(stage, sandbox):
    done = "the web identity token's file is removed until what was held has ended, and is written anew then"
    with stage.row("token file vanished", done) as row:
        path = stage.write("token", token(stage, sandbox))
        keys = {"role_arn": f"arn:aws:iam::{ACCOUNT}:role/Workload", "source_profile": None, "web_identity_token_file": str(path)}
        scene = Scene(stage, sandbox, "tokens", keys=keys)
        with scene.judge:
            scene.judge.wait_for(GOOD, "the first answer")
            path.unlink()
            scene.break_until_not_now(lambda: stage.write("token", token(stage, sandbox)))
        scene.rule()
        row["saw"] = scene.judge.story()


def disks(stage, sandbox):
    done = "the state directory's file system is full from before the first session until after a renewal"
    with stage.row("disk full", done) as row:
        state = stage.dir / "disks" / "state"
        state.mkdir(parents=True)
        within = namespace('mount -t tmpfs -o size=256k,mode=700 none "$1"', state)
        scene = Scene(stage, sandbox, "disks", within=within)
        # Seen from outside by way of the process that sees it.
        ballast = f"/proc/{scene.daemon.process.pid}/root{state}/ballast"
        fill(ballast)
        with scene.judge:
            scene.judge.wait_for(GOOD, "the first answer")
            scene.judge.watch(LIFE / 3)
            os.remove(ballast)
            scene.judge.watch(1)
        scene.rule()
        assert scene.judge.sessions() > 1, "nothing was renewed"
        row["saw"] = scene.judge.story()


def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 512)
        except OSError:
            return


def configurations(stage, sandbox):
    done = "the file is written anew in 20 pieces, with SIGHUP after each, and then whole, with one profile more"
    with stage.row("configuration half-written", done) as row:
        scene = Scene(stage, sandbox, "configurations")
        daemon = scene.daemon
        whole = scene.text + scene.text[scene.text.index("[profile.it]"):].replace("[profile.it]", "[profile.more]")
        with scene.judge:
            scene.judge.wait_for(GOOD, "the first answer")
            for part in range(20):
                daemon.config.write_text(whole[: len(whole) * part // 20])
                os.kill(daemon.process.pid, signal.SIGHUP)
                scene.judge.watch(0.2)
            daemon.config.write_text(whole)
            os.kill(daemon.process.pid, signal.SIGHUP)
            wait_for(lambda: "more" in daemon.run("list").stdout, "the whole configuration in force")
        scene.rule()
        row["saw"] = scene.judge.story()


def kills(stage, sandbox):
    done = "the daemon is killed at 50 random moments of its first half second, and started again"
    with stage.row("SIGKILL and restart", done) as row:
        scene = Scene(stage, sandbox, "kills", allowed=(GOOD, NOT_NOW, NOBODY))
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        moments = random.Random(seed)
        with scene.judge:
            scene.judge.wait_for(GOOD, "the first answer")
            for _ in range(50):
                time.sleep(moments.uniform(0, 0.5))
                scene.daemon.process.kill()
                scene.daemon.process.wait(10)
                scene.daemon.start()
            scene.judge.wait_for(GOOD, "the recovery")
        scene.rule()
        row["saw"] = "200, or no connection while there is no daemon"


def namespace(mounts, *paths):
    """A command that runs its arguments where `mounts` was done, and nobody else sees it."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        raise NotHere("no mount namespace can be made here")
    count = len(paths)
    return [*unshare, "sh", "-c", f'{mounts} && shift {count} && exec "$@"', "sh", *paths]


if __name__ == "__main__":
    sys.exit(main())
