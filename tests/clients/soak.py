"""A soak: clients that never stop ask a daemon by every way, while faults come and go at random.

    soak.py [SECONDS [SEED]]            two minutes, and any seed, where they are left out
    soak.py --record [SECONDS [SEED]]   the same, and its summary goes into docs/RELIABILITY.md

Every answer is judged; the daemon's memory and file descriptors must be at the end what they were in the beginning.
"""

import contextlib
import os
import pathlib
import random
import signal
import statistics
import sys
import threading
import time

import proxy
from crowd import Crowd
from judge import GOOD, NOT_NOW, Judge
from reliability import put
from stage import ACCOUNT, REGION, Sandbox, Stage, config, free_port, wait_for
from world import BASE, LIFE, SANDBOX, SECRET, token

ROLES = 5
MIB = 1024
# The longest pause after throttling, and what a busy machine adds to it.
RECOVERY = 330


def main(arguments):
    record = arguments[:1] == ["--record"]
    arguments = arguments[record:]
    seconds = int(arguments[0]) if arguments else 120
    seed = int(arguments[1]) if len(arguments) > 1 else random.randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    with Stage("soak") as stage:
        stage.secret(SECRET)
        soak = Soak(stage, random.Random(seed))
        with stage.case(f"{seconds} s of faults at random"):
            soak.run(seconds)
            summary = soak.summary(seconds, seed)
            print(summary, flush=True)
            if record:
                put("soak", summary)
    stage.exit()


class Soak:
    """One daemon, its STS behind a bad line, its clients, and what goes wrong."""

    def __init__(self, stage, chance):
        self.stage, self.chance = stage, chance
        self.sandbox = Sandbox(stage, SANDBOX)
        self.line = proxy.Proxy(self.sandbox.port)
        self.token = stage.write("token", token(stage, self.sandbox))
        role = {"duration_seconds": LIFE, "region": REGION, "endpoint_url": self.line.url}
        roles = {f"role{n}": {"role_arn": f"arn:aws:iam::{ACCOUNT}:role/Reader", **role,
                              "role_session_name": f"role{n}"} for n in range(ROLES)}
        chained = {"role_arn": f"arn:aws:iam::{ACCOUNT}:role/Chained", "source_profile": "role0", **role}
        workload = {"role_arn": f"arn:aws:iam::{ACCOUNT}:role/Workload", "source_profile": None,
                    "web_identity_token_file": str(self.token), **role}
        profiles = {**roles, "chained": chained, "workload": workload}
        imds = free_port()
        self.text = config("base.json", profiles, imds=f"127.0.0.1:{imds}")
        stage.write("daemon/base.json", BASE)
        self.daemon = stage.daemon(self.text)
        self.pid = self.daemon.process.pid
        self.judge = Judge(stage, self.daemon, self.sandbox, list(profiles), imds=imds, clients=4, pause=0.03)
        self.faults = 0
        self.memory = []

    def run(self, seconds):
        descriptors = self.descriptors()
        end = time.monotonic() + seconds
        with self.judge:
            # Each once, so that all memory that any of them takes has been taken.
            for fault in self.chance.sample(list(FAULTS), len(FAULTS)):
                self.go_wrong([fault], 1)
            samples = threading.Thread(target=self.sample, args=(end,))
            samples.start()
            while time.monotonic() < end:
                self.go_wrong(self.chance.sample(list(FAULTS), self.chance.choice([1, 1, 2])), self.chance.uniform(1, 12))
                self.judge.watch(self.chance.uniform(0, 8))
                self.judge.prove()
            samples.join()
            self.judge.wait_for(GOOD, "the recovery", RECOVERY)
        self.judge.rule()
        assert "panicked" not in self.daemon.process.log.read_text(), "it panicked"
        self.flat()
        wait_for(lambda: self.descriptors() <= descriptors + 2, "all connections closed", seconds=90)

    def go_wrong(self, faults, seconds):
        print(f"{self.resident()} KiB; {' and '.join(faults)} for {seconds:.1f} s", flush=True)
        with contextlib.ExitStack() as under_way:
            for fault in faults:
                under_way.enter_context(FAULTS[fault](self))
                self.faults += 1
            self.judge.watch(seconds)

    def sample(self, end):
        while time.monotonic() < end:
            self.memory.append(self.resident())
            time.sleep(1)

    def resident(self):
        """The memory that the daemon has written to, in KiB: without the program, which comes in as it is run."""
        lines = pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def flat(self):
        """Within ten minutes everything has happened more than once, and memory grows no more; until then it has a bound."""
        early, late = self.levels()
        most = early * 1.1 + 2 * MIB if len(self.memory) >= 600 else 16 * MIB
        assert late <= most, f"its memory grew from {early} KiB to {late} KiB"

    def levels(self):
        """The memory in the first quarter of the time, after everything has happened once, and in the last."""
        quarter = len(self.memory) // 4
        return (int(statistics.median(part)) for part in (self.memory[:quarter], self.memory[-quarter:]))

    def summary(self, seconds, seed):
        early, late = self.levels()
        answers = self.judge.answers
        slowest = ", ".join(f"{way} {took:.1f} s" for way, took in sorted(self.judge.slowest.items()))
        return "\n".join([
            f"- {seconds // 60} minutes, seed {seed}: {self.faults} faults of {len(FAULTS)} kinds",
            f"- {sum(answers.values())} answers: {answers[GOOD]} good, {answers[NOT_NOW]} \"not now\", 0 wrong;"
            f" the slowest: {slowest}",
            f"- {self.judge.sessions()} sessions lent, each proved to be of one issuance",
            f"- memory {early / MIB:.1f} MiB in the first quarter, {late / MIB:.1f} MiB in the last",
        ])


@contextlib.contextmanager
def line(soak, mode):
    yield soak.line.set(mode)
    soak.line.set(proxy.PASS)


@contextlib.contextmanager
def sick(soak, **fault):
    yield soak.sandbox.admin("POST", "faults", fault)
    soak.sandbox.admin("DELETE", "faults")


@contextlib.contextmanager
def token_vanishes(soak):
    yield soak.token.unlink()
    soak.stage.write("token", token(soak.stage, soak.sandbox))


@contextlib.contextmanager
def configuration_breaks(soak):
    soak.daemon.config.write_text(soak.text[: soak.chance.randrange(len(soak.text))])
    yield os.kill(soak.pid, signal.SIGHUP)
    soak.daemon.config.write_text(soak.text)
    os.kill(soak.pid, signal.SIGHUP)


@contextlib.contextmanager
def daemon_stands_still(soak):
    os.kill(soak.pid, signal.SIGSTOP)
    time.sleep(2)
    yield os.kill(soak.pid, signal.SIGCONT)


@contextlib.contextmanager
def clients_dawdle(soak):
    with Crowd([soak.judge.port("role0")], 200):
        yield


FAULTS = {
    "the line refuses": lambda soak: line(soak, proxy.REFUSE),
    "the line hangs": lambda soak: line(soak, proxy.HANG),
    "the line cuts answers": lambda soak: line(soak, proxy.CUT),
    "the line trickles": lambda soak: line(soak, proxy.TRICKLE),
    "the STS throttles": lambda soak: sick(soak, kind="throttling"),
    "the STS fails": lambda soak: sick(soak, kind="server-error", status=503),
    "the STS resets connections": lambda soak: sick(soak, kind="reset"),
    "the STS answers garbage": lambda soak: sick(soak, kind="garbage"),
    "the STS floods": lambda soak: sick(soak, kind="huge"),
    "the STS gives what has expired": lambda soak: sick(soak, kind="expired"),
    "the STS takes 30 s": lambda soak: sick(soak, kind="delay", delay="30s"),
    "the STS takes 2 s": lambda soak: sick(soak, kind="delay", delay="2s"),
    "the token vanishes": token_vanishes,
    "the configuration breaks": configuration_breaks,
    "the daemon stands still": daemon_stands_still,
    "clients dawdle": clients_dawdle,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
