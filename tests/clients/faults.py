"""What clients see when something outside the daemon breaks: names, files, disks, and the daemon itself. Each case is a
row of docs/RELIABILITY.md; those in which the STS itself is at fault are in tests/it/faults.rs.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from crowd import Crowd
from judge import GOOD, NOBODY, NOT_NOW, Control, Judge, exchange
from proxy import PASS, REFUSE, Proxy
from scenario_mfa import Device
from stage import ACCOUNT, REGION, NotHere, Sandbox, Stage, config, free_port, wait_for
from world import BASE, LIFE, SANDBOX, SECRET, SEED, SERIAL, token


def main():
    with Stage("faults") as stage:
        stage.secret(SECRET)
        sandbox = Sandbox(stage, SANDBOX)
        # Most of their time they wait for sessions to end.
        with ThreadPoolExecutor() as together:
            list(together.map(lambda row: row(stage, sandbox), [names, tokens, disks, configurations]))
        kills(stage, sandbox)
        stores(stage, sandbox)
        crowds(stage, sandbox)
        descriptors(stage, sandbox)
    stage.exit()


class Scene:
    """A daemon of its own for one row, with sessions of one role, that clients ask for by every way."""

    def __init__(self, stage, sandbox, name, url=None, role="Reader", keys=None, device=None, profiles=("it",), life=LIFE,
                 within=(), **options):
        self.imds = free_port()
        keys = {"role_arn": f"arn:aws:iam::{ACCOUNT}:role/{role}", "duration_seconds": life, "region": REGION,
                "endpoint_url": url or sandbox.url, **(keys or {})}
        roles = {profile: {**keys, "role_session_name": profile} for profile in profiles}
        text = config("base.json", roles, imds=f"127.0.0.1:{self.imds}")
        if device:
            text = text.replace("[profile.base]", f'[mfa.me]\nserial = "{SERIAL}"\n\n[profile.base]\nmfa = "me"')
        stage.write(f"{name}/base.json", BASE)
        self.daemon = stage.daemon(text, name=name, within=within)
        if device:
            code = json.dumps({"code": device.fresh()})
            exchange(Control(self.daemon.control), "POST", f"/v1/profiles/{profiles[0]}/login", {}, code)
        for profile in profiles:
            status, said = exchange(Control(self.daemon.control), "GET", f"/v1/profiles/{profile}/credentials", {})
            assert status == GOOD, f"no first session: {said}"
        self.judge = Judge(stage, self.daemon, sandbox, profiles, imds=self.imds, **options)

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
        keys = {"source_profile": None, "web_identity_token_file": str(path)}
        scene = Scene(stage, sandbox, "tokens", role="Workload", keys=keys)
        with scene.judge:
            scene.judge.wait_for(GOOD, "the first answer")
            path.unlink()
            scene.break_until_not_now(lambda: stage.write("token", token(stage, sandbox)))
        scene.rule()
        row["saw"] = scene.judge.story()


def disks(stage, sandbox):
    done = "the state directory's file system has no room left during a renewal, and has some again then"
    with stage.row("disk full", done) as row:
        state = stage.dir / "disks" / "state"
        state.mkdir(parents=True)
        within = namespace('mount -t tmpfs -o size=256k,mode=700 none "$1"', state)
        scene = Scene(stage, sandbox, "disks", within=within)
        # Seen from outside by way of the process that sees it.
        ballast = f"/proc/{scene.daemon.process.pid}/root{state}/ballast"
        fill(ballast)
        with scene.judge:
            scene.judge.watch(LIFE / 3)
            os.remove(ballast)
            scene.judge.watch(LIFE / 3)
        scene.rule()
        assert scene.judge.sessions() > 2, "nothing was renewed"
        row["saw"] = scene.judge.story()


def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 512)
        except OSError:
            return


def configurations(stage, sandbox):
    done = "the file ends in the middle of each of its values in turn, with SIGHUP each time, and is whole then, with one profile more"
    with stage.row("configuration half-written", done) as row:
        scene = Scene(stage, sandbox, "configurations")
        daemon = scene.daemon
        text = daemon.config.read_text()
        whole = text + text[text.index("[profile.it]"):].replace("[profile.it]", "[profile.more]")
        with scene.judge:
            scene.judge.wait_for(GOOD, "the first answer")
            for value in re.finditer('= ".', whole):
                daemon.config.write_text(whole[: value.end()])
                os.kill(daemon.process.pid, signal.SIGHUP)
                scene.judge.watch(0.2)
            daemon.config.write_text(whole)
            os.kill(daemon.process.pid, signal.SIGHUP)
            wait_for(lambda: "more" in daemon.run("list").stdout, "the whole configuration in force")
        scene.rule()
        row["saw"] = scene.judge.story()


def kills(stage, sandbox):
    done = "a role behind an MFA device, whose code is given once; the daemon is killed at 50 random moments of its first half" \
           " second, and started again"
    with stage.row("SIGKILL and restart", done) as row:
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        moments = random.Random(seed)
        scene = Scene(stage, sandbox, "kills", role="Admin", device=Device(stage, SEED), life=3600, allowed=(GOOD, NOBODY))
        with scene.judge:
            scene.judge.wait_for(GOOD, "the first answer")
            for _ in range(50):
                time.sleep(moments.uniform(0, 0.5))
                scene.daemon.process.kill()
                scene.daemon.process.wait(10)
                scene.daemon.start()
            scene.judge.wait_for(GOOD, "the recovery")
        scene.rule()
        row["saw"] = "200, or no connection while there is no daemon; nobody was asked for a code again"


def stores(stage, sandbox):
    done = "the daemon is stopped, a random byte of each of 100 sealed sessions changed, and the STS cut off; then it is back"
    with stage.row("store corrupted at 100 random bytes", done) as row:
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        line = Proxy(sandbox.port)
        profiles = [f"it{n}" for n in range(101)]
        scene = Scene(stage, sandbox, "stores", line.url, profiles=profiles, life=3600, pause=0.01, clients=8)
        scene.daemon.stop()
        sessions = sorted((scene.daemon.dir / "state" / "sessions").iterdir())
        assert len(sessions) == len(profiles), sessions
        for path in chance.sample(sessions, 100):
            sealed = bytearray(path.read_bytes())
            sealed[chance.randrange(len(sealed))] ^= chance.randrange(1, 256)
            path.write_bytes(sealed)
        line.set(REFUSE)
        scene.daemon.start()
        scene.daemon.wait()
        with scene.judge:
            # So many calls to one STS take turns, and their clients wait for a while each.
            asked = lambda: all(scene.judge.last(("container", profile)) for profile in profiles)
            wait_for(asked, "all have asked", seconds=120)
            line.set(PASS)
            scene.judge.wait_for(GOOD, "the recovery", 180)
        log = scene.rule()
        kept = [profile for profile in profiles if scene.judge.stories()["container", profile] == [GOOD]]
        assert len(kept) == 1 and "set aside" in log, f"{kept} kept"
        row["saw"] = "the untouched session: 200; the others: 503 until the STS is back, then 200"


def crowds(stage, sandbox):
    done = "5,000 connections, at the container endpoint and at IMDS, whose requests trickle and never end, during a renewal"
    with stage.row("5,000 slow connections", done) as row:
        crowded(stage, sandbox, "crowds", 5000, row)


def descriptors(stage, sandbox):
    done = "the daemon may open 256 files, and 1,000 such connections come at once, during a renewal"
    with stage.row("file descriptors used up", done) as row:
        crowded(stage, sandbox, "descriptors", 1000, row, within=["prlimit", "--nofile=256"])


def crowded(stage, sandbox, name, count, row, within=()):
    scene = Scene(stage, sandbox, name, within=within)
    with scene.judge, Crowd([scene.judge.port("it"), scene.imds], count) as crowd:
        assert crowd.all_came.wait(120), "the crowd did not come"
        scene.judge.watch(LIFE / 3)
    scene.rule()
    assert scene.judge.sessions() > 1, "nothing was renewed"
    row["saw"] = scene.judge.story()


def namespace(mounts, *paths):
    """A command that runs its arguments where `mounts` was done, and nobody else sees it."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        raise NotHere("no mount namespace can be made here")
    count = len(paths)
    return [*unshare, "sh", "-c", f'{mounts} && shift {count} && exec "$@"', "sh", *paths]


if __name__ == "__main__":
    sys.exit(main())
