"""A stage for the client tests: an emulator, daemons and clients on free loopback ports in a throw-away directory.

Used as

    with Stage("exec") as stage:
        with stage.case("the child's status comes through"):
            assert ...
    stage.exit()

Each case prints one line: "ok NAME", "FAILED NAME: why" or "not run NAME: why". What daemons and clients say is kept
in the directory of CREDBROKER_TEST_OUT; every secret a test meets goes to the file of CREDBROKER_TEST_SECRETS, and
leaks.py looks for the latter in the former.
"""

import contextlib
import ctypes
import datetime
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "credbroker"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target")
BIN = os.environ.get("CREDBROKER_TEST_BIN") or str(TARGET / "debug" / "credbroker")
VENV = pathlib.Path(os.environ.get("CREDBROKER_TEST_VENV") or CACHE / "venv") / "bin"
ACCOUNT = "123456789012"
REGION = "eu-west-1"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NotHere(Exception):
    """This machine cannot run the case."""


class Stage:
    """Everything that one script starts and writes; leaving it ends and removes all of that."""

    def __init__(self, name):
        self.name = name
        self.failed = 0
        self._children = []
        self._kept = itertools.count(1)

    def __enter__(self):
        os.umask(0o077)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="credbroker-stage."))
        self.home = self.dir / "home"
        self.home.mkdir()
        out = os.environ.get("CREDBROKER_TEST_OUT")
        self.out = pathlib.Path(out) / self.name if out else self.dir / "out"
        self.out.mkdir(parents=True, exist_ok=True)
        self._secrets = pathlib.Path(os.environ.get("CREDBROKER_TEST_SECRETS") or self.dir / "secrets")
        return self

    def __exit__(self, kind, error, _):
        if kind and issubclass(kind, Exception):
            self.failed += 1
            print(f"FAILED the rest: {' '.join(str(error).split()) or kind.__name__}", flush=True)
            traceback.print_exception(error, limit=-3)
        for child in reversed(self._children):
            end(child)
        shutil.rmtree(self.dir, ignore_errors=True)
        return bool(kind and issubclass(kind, Exception))

    def exit(self):
        sys.exit(1 if self.failed else 0)

    @contextlib.contextmanager
    def case(self, name):
        """A test: passes if its body ends."""
        try:
            yield
        except NotHere as why:
            say(f"not run {name}: {why}")
        except Exception as error:
            self.failed += 1
            why = " ".join(str(error).split()) or type(error).__name__
            say(f"FAILED {name}: {why}")
            traceback.print_exc(limit=-3)
        else:
            say(f"ok {name}")

    @contextlib.contextmanager
    def row(self, fault, done):
        """A case that is a row of docs/RELIABILITY.md: what clients saw is to be put in the `saw` of what it gives."""
        row = {"fault": fault, "done": done, "saw": None, "test": f"{self.name}: {fault}"}
        with self.case(fault):
            yield row
            assert row["saw"], "nothing was seen"
            rows = self.out.parent / "faults"
            rows.mkdir(exist_ok=True)
            (rows / f"{fault}.json").write_text(json.dumps(row))

    def secrets(self):
        """All that was noted so far."""
        return set(self._secrets.read_text().split("\n")) - {""}

    def secret(self, *values):
        """Notes what must be seen nowhere."""
        with open(self._secrets, "a") as file:
            file.writelines(f"{value}\n" for value in values if value)

    def write(self, name, text, mode=0o600):
        """A file in the stage's directory; anything but text is written as JSON."""
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        path.chmod(mode)
        return path

    def env(self, **more):
        """A clean environment: nothing of the machine's own AWS set-up is in it."""
        return {"HOME": str(self.home), "LANG": "C.UTF-8", "PATH": PATH, **{k: str(v) for k, v in more.items()}}

    def spawn(self, name, argv, env=None, **options):
        """Starts what runs until it is ended; its output is kept."""
        log = self.out / f"{name}.log"
        with open(log, "ab") as sink:
            options = {"stdout": sink, "stderr": subprocess.STDOUT, **options}
            child = subprocess.Popen(
                [str(word) for word in argv], env=env or self.env(), stdin=subprocess.DEVNULL,
                preexec_fn=prepare_child, **{"cwd": self.dir, **options})
        child.log = log
        self._children.append(child)
        return child

    def run(self, *argv, env=None, secret_stdout=False, timeout=60, **options):
        """Runs a client to its end and keeps what it said; its stdout not, where secrets belong there."""
        done = subprocess.run(
            [str(word) for word in argv], env=env or self.env(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=timeout, cwd=self.dir, preexec_fn=prepare_child, **options)
        said = "(secret by design)\n" if secret_stdout and done.returncode == 0 else done.stdout
        (self.out / f"run-{next(self._kept):03}.log").write_text(
            f"{argv}\nstatus {done.returncode}\n-- stdout\n{said}\n-- stderr\n{done.stderr}")
        return done

    def moto(self, furnish=None):
        return Moto(self, furnish)

    def daemon(self, config, name="daemon", env=None, within=()):
        return Daemon(self, config, name, env, within)


class Moto:
    """moto in auth mode: signatures, tokens and policies are checked, by somebody who is not us.

    What is in it is made by `furnish`, while everybody may do everything. Without it there is a user who may assume a
    role, the role, which may use S3, a bucket, a user with keys that clients find where they must not look, and one who
    may assume nothing.
    """

    def __init__(self, stage, furnish=None):
        import boto3

        self.stage = stage
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.administrator = {"AWS_ENDPOINT_URL": self.url, "AWS_DEFAULT_REGION": REGION,
                              "AWS_ACCESS_KEY_ID": "setup", "AWS_SECRET_ACCESS_KEY": "setup"}
        stage.spawn("moto", [VENV / "python", "-m", "moto.server", "-H", "127.0.0.1", "-p", port],
                    stage.env(INITIAL_NO_AUTH_ACTION_COUNT=1_000_000))
        wait_for(lambda: listening(port), "moto")
        who = dict(endpoint_url=self.url, region_name=REGION, aws_access_key_id="setup", aws_secret_access_key="setup")
        self.iam, self.s3 = boto3.client("iam", **who), boto3.client("s3", **who)
        (furnish or self._furnish)(self)
        urllib.request.urlopen(urllib.request.Request(
            self.url + "/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}), timeout=10).close()

    def _furnish(self, _):
        # moto compares the principal as a whole: the account's root would let nobody in.
        trust = policy("sts:AssumeRole", Principal={"AWS": [f"arn:aws:iam::{ACCOUNT}:user/broker"]})
        self.role = self.iam.create_role(RoleName="S3Access", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        self.iam.put_role_policy(RoleName="S3Access", PolicyName="p",
                                 PolicyDocument=policy("s3:*", "sts:GetCallerIdentity", Resource="*"))
        self.user = self._user("broker", policy("sts:AssumeRole", Resource=self.role))
        self.planted = self._user("planted", policy("s3:*", "sts:*", Resource="*"))
        self.stranger = self._user("stranger", policy("s3:ListBucket", Resource="*"))
        self.bucket = "bench"
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})

    def _user(self, name, document):
        self.iam.create_user(UserName=name)
        self.iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        self.stage.secret(key["SecretAccessKey"])
        return {"Version": 1, "AccessKeyId": key["AccessKeyId"], "SecretAccessKey": key["SecretAccessKey"]}


class Sandbox:
    """A running `credbroker sandbox` with the users and roles of `text`, ready."""

    def __init__(self, stage, text, name="sandbox", env=None):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        path = stage.write(f"{name}.toml", text)
        argv = [BIN, "sandbox", "--config", path, "--address", f"127.0.0.1:{self.port}"]
        self.process = stage.spawn(name, argv, env)
        wait_for(lambda: listening(self.port), name, self.process)

    def admin(self, method, path, body=None):
        """Asks on the sandbox's own path, as src/sandbox/admin.rs has it."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_sandbox/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


class Daemon:
    """A running `credbroker serve`, ready; `within` is a command that it is run by."""

    def __init__(self, stage, config, name, env, within):
        self.stage, self.name = stage, name
        self.dir = stage.dir / name
        self.control = self.dir / "control.sock"
        self.config = stage.write(f"{name}/config.toml", config)
        self._env, self._within = env, within
        self.start()
        self.wait()

    def start(self):
        """Starts it, again where it has ended."""
        self.process = self.stage.spawn(self.name, [*self._within, BIN, "serve", "--config", self.config], self._env)

    def wait(self):
        """Waits until it is ready."""
        wait_for(self._answers, f"{self.name} (see {self.process.log.name})", self.process)

    def _answers(self):
        return self.control.exists() and self.run("list").returncode == 0

    def env(self, **more):
        return self.stage.env(CREDBROKER_CONTROL=self.control, **more)

    def run(self, *argv, env=None, **options):
        """A command of credbroker's that asks this daemon."""
        return self.stage.run(BIN, *argv, env=env or self.env(), **options)

    def status(self, profile):
        return json.loads(self.run("status", profile, "--json").stdout)

    def stop(self):
        end(self.process)


def config(base, profiles, imds=None, container=None):
    """A daemon's configuration: base keys in the file `base`, and profiles, which stand on them, as tables of (name, keys);
    a key that is None is left out.
    """
    lines = ["[daemon]", 'state_dir = "state"', 'control = "control.sock"', ""]
    lines += ["[[endpoint]]", 'name = "local"', 'kind = "container"',
              f'address = "127.0.0.1:{container or free_port()}"', ""]
    if imds:
        first = next(iter(profiles))
        lines += ["[[endpoint]]", 'name = "metadata"', 'kind = "imds"', f'address = "{imds}"',
                  f'profiles = ["{first}"]', ""]
        # Root, whom the tests may run as, is nobody there without a rule.
        lines += ["[[allow]]", f'profiles = ["{first}"]', f"user = {os.geteuid()}", 'endpoint = "metadata"', ""]
    lines += ["[profile.base]", f'access_key = {{ file = "{base}" }}', ""]
    for name, keys in profiles.items():
        keys = {"source_profile": "base", **keys}
        lines += [f"[profile.{name}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items() if value is not None] + [""]
    return "\n".join(lines)


def located(text, url):
    """A configuration's roles, at another place than AWS."""
    lines = text.splitlines(keepends=True)
    return "".join(line + (f'endpoint_url = "{url}"\n' if line.startswith("role_arn") else "") for line in lines)


def lifetime(stage, daemon, profile):
    """How long the credentials of a profile have to live, in seconds."""
    done = daemon.run("process", profile, secret_stdout=True)
    assert done.returncode == 0, done.stderr
    lent = json.loads(done.stdout)
    stage.secret(lent["SecretAccessKey"], lent["SessionToken"])
    return datetime.datetime.fromisoformat(lent["Expiration"].replace("Z", "+00:00")).timestamp() - time.time()


def say(line):
    """A line of the log at once and as a whole, whatever runs beside this."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def policy(*actions, **more):
    statement = {"Effect": "Allow", "Action": list(actions), **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port, host="127.0.0.1"):
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def wait_for(ready, what, process=None, seconds=30):
    deadline = time.monotonic() + seconds
    while not ready():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}: {tail(process.log)}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def tail(log, lines=3):
    return " | ".join(pathlib.Path(log).read_text(errors="replace").splitlines()[-lines:])


def end(child):
    """Ends a process that was started here."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)


def prepare_child():
    """Runs in a child before its program: nothing outlives a test that is killed, and Ctrl-C means what it does in a
    terminal, even if the tests run in the background, where shells have it ignored.
    """
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1  # prctl(2)
