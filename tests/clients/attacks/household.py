"""Users of one machine, real to the kernel, and a daemon that one of them runs. Only root can make them."""

import json
import os
import pathlib
import shutil
import tempfile

from stage import BIN, NotHere, end, free_port, wait_for
from world import BASE

from .scene import PROFILES, is_root, profile

BROKER, ALICE, BOB = 61000, 61001, 61002


class Person:
    """A user: what is run as one has nothing of root's."""

    def __init__(self, house, name, uid):
        self.house, self.name, self.uid = house, name, uid
        self.prefix = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        self.home = house.folder(name, uid, 0o700)

    def env(self, **more):
        return self.house.stage.env(**{"HOME": self.home, **more})

    def run(self, *argv, **options):
        """A command to its end, as this user; what a person sees of a secret is no leak."""
        env = options.pop("env", None) or self.env()
        return self.house.stage.run(*self.prefix, *argv, env=env, secret_stdout=True, **options)

    def credbroker(self, control, *argv, within=()):
        return self.run(*within, self.house.program, *argv, env=self.env(CREDBROKER_CONTROL=control))

    def asks(self, socket, method, path, body=None):
        """The status and text of a request over a Unix socket."""
        more = ["--data", body] if body is not None else []
        done = self.run("curl", "--silent", "--request", method, *more, "--unix-socket", socket,
                        "--write-out", "\n%{http_code}", f"http://credbroker{path}")
        text, _, status = done.stdout.rpartition("\n")
        return int(status or 0), text

    def reads(self, path):
        """What the user reads there; None where the kernel does not let it."""
        done = self.run("head", "--bytes=100000", path)
        assert done.returncode == 0 or "denied" in done.stderr or "not permitted" in done.stderr, done.stderr
        return done.stdout if done.returncode == 0 else None


class House:
    """A place that every user can enter, with the program in it."""

    def __init__(self, suite, name):
        if not is_root():
            raise NotHere("only root can be several users")
        self.suite, self.stage, self.name = suite, suite.stage, name
        # Where others may go: TMPDIR may be for its owner alone.
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="credbroker-house.", dir="/tmp"))
        self.dir.chmod(0o755)
        self.program = self.dir / "credbroker"
        shutil.copy(BIN, self.program)
        self.program.chmod(0o755)
        self.broker, self.alice, self.bob = (
            Person(self, name, uid) for name, uid in (("broker", BROKER), ("alice", ALICE), ("bob", BOB)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)

    def folder(self, name, uid, mode):
        path = self.dir / name
        path.mkdir(exist_ok=True)
        os.chown(path, uid, uid)
        path.chmod(mode)
        return path

    def file(self, path, text, uid, mode=0o600):
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        os.chown(path, uid, uid)
        path.chmod(mode)
        return path

    def daemon(self, owner, name, everybody=False, **options):
        return Tenant(self, owner, name, everybody, **options)


class Tenant:
    """A daemon that `owner` runs, for `everybody` as a machine's, or for that one alone."""

    def __init__(self, house, owner, name, everybody, text="", argv=(), env=None):
        self.house, self.owner, self.name = house, owner, name
        self.dir = house.folder(f"{name}-etc", owner.uid, 0o755)
        self.run_dir = house.folder(f"{name}-run", owner.uid, 0o755 if everybody else 0o700)
        self.state = house.folder(f"{name}-state", owner.uid, 0o700)
        self.control = self.run_dir / "control.sock"
        self.port = free_port()
        house.file(self.dir / "base.json", BASE, owner.uid)
        self.config = house.file(self.dir / "config.toml", self.text() + text, owner.uid, 0o644)
        self.argv = argv
        self.env = owner.env(**({"RUNTIME_DIRECTORY": self.run_dir} if everybody else {}), **(env or {}))
        self.start()
        self.wait()

    def text(self):
        lines = ["[daemon]", f'state_dir = "{self.state}"', f'control = "{self.control}"', "[[endpoint]]", 'name = "local"',
                 'kind = "container"', f'address = "127.0.0.1:{self.port}"', "[profile.base]",
                 'access_key = { file = "base.json" }']
        return "\n".join(lines + [profile(name, self.house.suite.sandbox.url) for name in PROFILES]) + "\n"

    def start(self, within=()):
        self.process = self.house.stage.spawn(
            f"{self.house.name}-{self.name}",
            [*within, *self.owner.prefix, self.house.program, "serve", "--config", self.config, *self.argv], self.env)

    def wait(self):
        wait_for(lambda: self.control.exists() and self.lent("reader") is not None, self.name, self.process)

    def lent(self, name):
        """What the owner gets; None where it gets nothing."""
        done = self.owner.credbroker(self.control, "process", name)
        if done.returncode:
            return None
        lent = json.loads(done.stdout)
        self.house.suite.secret(lent["SecretAccessKey"], lent["SessionToken"])
        return lent

    def serves(self):
        assert self.process.poll() is None, "the daemon has ended"
        assert self.lent("reader"), "afterwards, its owner gets nothing"

    def stop(self):
        end(self.process)

    def ticket(self, name="reader"):
        status, text = self.owner.asks(self.control, "POST", f"/v1/profiles/{name}/ticket", '{"ttl_seconds":3600}')
        assert status == 200, f"{status}: {text}"
        ticket = json.loads(text)["ticket"]
        self.house.suite.secret(ticket)
        return ticket
