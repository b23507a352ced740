"""What the daemon and its clients keep to themselves, seen by other processes of the same user: their memory, their
environment, their last moments, and what their own children are given.
"""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import sys
import tempfile

from stage import BIN, REGION, NotHere, Sandbox, Stage, end, wait_for
from world import BASE, SANDBOX, SECRET

SOMEBODY = 54_321
# What each of these shows: secrets, or where they lie.
CLOSED = ("mem", "environ", "maps", "auxv", "fd")
LOOK = """
import os, sys
process = "/proc/" + sys.argv[1] + "/"
for name in sys.argv[2:]:
    try:
        os.listdir(process + name) if name == "fd" else open(process + name, "rb").close()
    except PermissionError:
        continue
    print(name)
"""


def main():
    with Stage("confinement") as stage:
        stage.secret(SECRET)
        sandbox = Sandbox(stage, SANDBOX)
        with Person(stage, sandbox) as person:
            closed(stage, person)
            cores(stage, person)
            children(stage, person)
            given_up(stage, person)
    stage.exit()


class Person:
    """Somebody who is not root, with a daemon and a directory of their own."""

    def __init__(self, stage, sandbox):
        self.stage = stage
        # Where others may go: TMPDIR may be for its owner alone.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="credbroker-person.", dir="/tmp"))
        self.prefix = []
        if os.geteuid() == 0:
            self.prefix = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups", "--"]
        self.binary = shutil.copy(BIN, self.home)
        os.chmod(self.binary, 0o755)
        self.env = stage.env(HOME=self.home, CREDBROKER_CONTROL=self.home / "control.sock", HELD="in-the-environment")
        self.write("base.json", json.dumps(BASE))
        self.write("config.toml", f"""
[daemon]
state_dir = "state"
control   = "control.sock"
[profile.base]
access_key = {{ file = "base.json" }}
[profile.reader]
source_profile = "base"
role_arn       = "arn:aws:iam::123456789012:role/Reader"
region         = "{REGION}"
endpoint_url   = "{sandbox.url}"
""")
        self.plain = (self.home / "config.toml").read_text()
        self.own(self.home)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.home, ignore_errors=True)

    def own(self, path):
        if self.prefix:
            os.chown(path, SOMEBODY, SOMEBODY)

    def write(self, name, text, mode=0o600):
        path = self.home / name
        path.write_text(text)
        path.chmod(mode)
        self.own(path)
        return path

    def argv(self, *argv):
        return [*map(str, self.prefix), *map(str, argv)]

    def run(self, *argv, **options):
        return self.stage.run(*self.argv(*argv), env=self.env, **options)

    @contextlib.contextmanager
    def process(self, name, *argv):
        """One that runs until it is ended; it is itself what was started, not a parent of it."""
        child = self.stage.spawn(name, self.argv(*argv), env=self.env, cwd=self.home)
        try:
            yield child
        finally:
            child.send_signal(signal.SIGCONT)
            end(child)

    @contextlib.contextmanager
    def daemon(self, *argv):
        with self.process("daemon", self.binary, "serve", "--config", self.home / "config.toml", *argv) as child:
            wait_for(lambda: self.run(self.binary, "list").returncode == 0, "the daemon", child)
            yield child

    def sees(self, pid):
        """What another process of theirs can look into."""
        done = self.run(sys.executable, "-c", LOOK, pid, *CLOSED)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()


def closed(stage, person):
    with stage.case("what is not closed is seen, so that what is not seen is closed"):
        with person.process("open", "sleep", "60") as child:
            # Its parent's memory is seen until the program is there.
            wait_for(lambda: pathlib.Path("/proc", str(child.pid), "comm").read_text() == "sleep\n", "the program")
            assert person.sees(child.pid) == list(CLOSED), person.sees(child.pid)
    with person.daemon() as daemon:
        with stage.case("no process of its user looks into the daemon"):
            assert person.sees(daemon.pid) == []
        daemon.send_signal(signal.SIGSTOP)
        # Each waits for a daemon that says nothing.
        waiting = {
            "process": ["process", "reader"], "process --prompt": ["process", "reader", "--prompt"],
            "exec": ["exec", "reader", "--", "true"], "env": ["env", "reader", "--static"],
            "whoami": ["whoami", "reader"], "login": ["login", "reader"], "status": ["status"], "list": ["list"],
            "mfa code": ["mfa", "code", "reader"],
        }
        for name, argv in waiting.items():
            with stage.case(f"nor into a client: {name}"):
                looked_into(person, name, argv)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = (person.home / "config.toml").read_text()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        person.write("silent.toml", "".join(
            f'endpoint_url = "{url}"\n' if line.startswith("endpoint_url") else line
            for line in text.splitlines(keepends=True)))
        with stage.case("nor into a client: keys"):
            looked_into(person, "keys", ["keys", "list", "base", "--config", person.home / "silent.toml"])


def looked_into(person, name, argv):
    with person.process(f"waiting-{name.replace(' ', '-')}", person.binary, *argv) as client:
        wait_for(lambda: asks(client.pid), f"{name} at the daemon", client)
        assert person.sees(client.pid) == []


def asks(pid):
    """Whether a process has a socket: it has come as far as its question."""
    fds = pathlib.Path("/proc", str(pid), "fd")
    with contextlib.suppress(OSError):
        return any(os.readlink(fd).startswith("socket:") for fd in fds.iterdir())


def cores(stage, person):
    def dumps(child):
        # As at the end of a panic; of a SIGSEGV that somebody sent Rust's own handler takes the first.
        child.send_signal(signal.SIGABRT)
        _, status = os.waitpid(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == -signal.SIGABRT, child.returncode
        return os.WCOREDUMP(status)

    limits = resource.getrlimit(resource.RLIMIT_CORE)
    with stage.case("no core file is left of a daemon that crashes, nor of a client"):
        hard = limits[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        with person.process("crashing-sleep", "sleep", "60") as child:
            wait_for(lambda: pathlib.Path("/proc", str(child.pid), "comm").read_text() == "sleep\n", "the program")
            if not dumps(child):
                raise NotHere("no program leaves a core file here")
        for core in person.home.glob("core*"):
            core.unlink()
        with person.daemon() as daemon:
            shown = pathlib.Path("/proc", str(daemon.pid), "limits").read_text().splitlines()
            core = next(line for line in shown if "core file" in line)
            assert core.split()[4:6] == ["0", "0"], core
            daemon.send_signal(signal.SIGSTOP)
            with person.process("crashing-client", person.binary, "process", "reader") as client:
                wait_for(lambda: asks(client.pid), "the question", client)
                assert not dumps(client), "a client left a core file"
            daemon.send_signal(signal.SIGCONT)
            assert not dumps(daemon), "the daemon left a core file"
        assert not list(person.home.rglob("core*")), list(person.home.rglob("core*"))
    resource.setrlimit(resource.RLIMIT_CORE, limits)


def children(stage, person):
    """The daemon is started with all that a service may have in its environment; its command tells what came through."""
    planted = {
        "AWS_ACCESS_KEY_ID": "AKIAPLANTED", "AWS_SECRET_ACCESS_KEY": "planted/secret/key", "AWS_SESSION_TOKEN": "planted",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "planted-ticket", "NOTIFY_SOCKET": str(person.home / "notify"),
        "LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "WATCHDOG_USEC": "90000000", "WATCHDOG_PID": "1",
        "CREDENTIALS_DIRECTORY": str(person.home), "LD_PRELOAD": "", "JOURNAL_STREAM": "1:2", "INVOCATION_ID": "planted",
    }
    stage.secret(planted["AWS_SECRET_ACCESS_KEY"], planted["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
    tell = person.write("tell", "#!/bin/sh\nenv >~/seen-env\nls -l /proc/self/fd >~/seen-fds\nexit 1\n", 0o700)
    text = (person.home / "config.toml").read_text()
    person.write("config.toml", text.replace('{ file = "base.json" }', f'{{ command = ["{tell}"] }}'))
    with stage.case("a command of the configuration gets a clean environment and no descriptor of the daemon's"):
        person.env.update(planted)
        with person.daemon():
            done = person.run(person.binary, "process", "reader")
            assert done.returncode != 0, "a command that fails gave a key"
            seen = dict(line.split("=", 1) for line in (person.home / "seen-env").read_text().splitlines())
            # The shell sets these itself.
            assert set(seen) - {"PWD", "SHLVL", "_"} == {"CREDBROKER_PROCESS_OF", "HOME", "LANG", "PATH"}, sorted(seen)
            fds = (person.home / "seen-fds").read_text().splitlines()[1:]
            targets = [line.split(" -> ")[1] for line in fds]
            # Its own three, and the directory that `ls` reads.
            assert len(targets) == 4 and not any(target.startswith(("socket:", "anon")) for target in targets), targets


def given_up(stage, person):
    """What the daemon gives up for good where no command is configured."""
    def told():
        return json.loads(person.run(person.binary, "status", "--json").stdout)

    def kernel(pid):
        return dict(line.split(":\t", 1) for line in pathlib.Path("/proc", str(pid), "status").read_text().splitlines() if ":\t" in line)

    plain = person.plain
    person.write("config.toml", plain)
    command = plain.replace('{ file = "base.json" }', '{ command = ["/bin/cat", "base.json"] }')
    with person.daemon() as daemon:
        with stage.case("without a command it gives up system calls that it never makes, and to write elsewhere"):
            confinement = told()["confinement"]
            assert confinement["system_calls"]["on"] and confinement["writing"]["on"], confinement
            state = kernel(daemon.pid)
            assert state["Seccomp"] == "2" and state["NoNewPrivs"] == "1", state
            for thread in pathlib.Path("/proc", str(daemon.pid), "task").iterdir():
                assert kernel(thread.name)["Seccomp"] == "2", thread
            assert person.run(person.binary, "process", "reader", secret_stdout=True).returncode == 0
        with stage.case("a command that comes later waits for the next start, and says so"):
            person.write("config.toml", command)
            daemon.send_signal(signal.SIGHUP)
            wait_for(lambda: any("next start" in it for it in told()["configuration"].get("pending", [])), "the word of it")
        person.write("config.toml", plain)
    person.write("config.toml", command)
    with person.daemon() as daemon:
        with stage.case("with a command it says why it gives up nothing"):
            confinement = told()["confinement"]
            assert not confinement["system_calls"]["on"] and "runs a command" in confinement["system_calls"]["why"], confinement
            assert kernel(daemon.pid)["Seccomp"] == "0", kernel(daemon.pid)["Seccomp"]
            assert "system calls are not confined: the profile" in person.run(person.binary, "status").stdout
    person.write("config.toml", plain)


if __name__ == "__main__":
    sys.exit(main())
