"""What goes wrong, and how it is said: one line on stderr, nothing on stdout, and an exit code to act on."""

import json
import socket
import sys

from stage import ACCOUNT, BIN, REGION, Stage, config, free_port, lifetime, listening, wait_for

ROLE = f"arn:aws:iam::{ACCOUNT}:role/S3Access"
OK, USAGE, NO_DAEMON, NOT_NOW, CONFIG, REFUSED = 0, 64, 69, 75, 78, 81


def main():
    with Stage("bad_input") as stage:
        usage(stage)
        files(stage)
        faults_together(stage)
        sockets(stage)
        answers(stage)
        clock(stage)
        programs(stage)
    stage.exit()


def fails(stage, name, argv, code, *words, env=None):
    """A case: the command fails with `code`, in one line that has all of `words`."""
    with stage.case(name):
        refused(stage.run(BIN, *argv, env=env), code, *words)


def refused(done, code, *words):
    assert done.returncode == code, f"exit {done.returncode}, not {code}: {done.stderr}"
    assert not done.stdout, f"stdout: {done.stdout}"
    lines = done.stderr.splitlines()
    assert len(lines) == 1, f"{len(lines)} lines: {done.stderr}"
    missing = [word for word in words if word.lower() not in lines[0].lower()]
    assert not missing, f"no word of {missing}: {lines[0]}"


def usage(stage):
    fails(stage, "no command", [], USAGE, "--help")
    fails(stage, "an unknown command", ["statu"], USAGE, "status")
    fails(stage, "a missing argument", ["process"], USAGE, "PROFILE")
    fails(stage, "an unknown option", ["list", "--al"], USAGE, "--al")
    nobody = stage.env(CREDBROKER_CONTROL=stage.dir / "nobody.sock")
    for argv in (["process", "reader"], ["list"], ["status"], ["refresh", "reader"], ["whoami", "reader"]):
        fails(stage, f"no daemon: {argv[0]}", argv, NO_DAEMON, "systemctl --user enable --now credbroker.socket",
              env=nobody)


def files(stage):
    """A fault of a file is one line that says what, then its place and the remedy, as a compiler shows them."""
    missing = stage.dir / "missing.toml"
    broken = stage.write("broken.toml", "[daemon]\nstate_dir = \"state\n")
    for command in ("serve", "check"):
        with stage.case(f"no configuration: {command}"):
            said = faulty(stage.run(BIN, command, "--config", missing))
            assert said.startswith(f"error: {missing} does not exist; write one"), said
        with stage.case(f"broken TOML: {command}"):
            said = faulty(stage.run(BIN, command, "--config", broken))
            assert said.startswith("error: ") and "broken.toml:2:" in said, said


def faulty(done):
    assert done.returncode == CONFIG and not done.stdout, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stderr


def faults_together(stage):
    """Every fault of a file is told at once, each at its place; the lines are numbered by hand below."""
    secret = "kJ4vS0mEs3cr3tkJ4vS0mEs3cr3tkJ4vS0mEs3cr"
    stage.secret(secret)
    stage.write("loose.json", {"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": secret}, 0o644)
    stage.write("sound.json", {"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": secret})
    text = "\n".join([
        "[daemon]",
        'stat_dir = "state"',  # 2: unknown, and one letter from state_dir
        "[profile.base]",
        'access_key = { file = "loose.json" }',  # 4: others can read it
        "[profile.a]",
        'source_profile = "b"',  # 6: a loop, with 9
        f'role_arn = "{ROLE}"',
        "[profile.b]",
        'source_profile = "a"',
        f'role_arn = "{ROLE}"',
        "[profile.c]",
        'source_profile = "nobody"',  # 12: no such source
        f'role_arn = "{ROLE}"',
        "[profile.d]",
        'access_key = { file = "sound.json" }',
        f'role_arn = "{ROLE}"',
        "duration_seconds = 60",  # 17: below AWS's shortest
        "[profile.e]",
        f'aws_secret_access_key = "{secret}"',  # 19: a secret in plain text
    ])
    path = stage.write("faults.toml", text + "\n")
    done = stage.run(BIN, "check", "--config", path)
    with stage.case("all faults at once"):
        assert secret not in faulty(done), "a secret is quoted"
    faults = {"an unknown key": [2], "a loose secret file": [4], "a loop": [6, 9], "a missing source": [12],
              "a value out of range": [17], "a secret in plain text": [19]}
    for name, lines in faults.items():
        with stage.case(f"{name} is told at its place"):
            assert any(f"faults.toml:{line}:" in done.stderr for line in lines), done.stderr
    with stage.case("serve refuses the same, before anything is bound"):
        assert "faults.toml:19:" in faulty(stage.run(BIN, "serve", "--config", path))
        assert not list(stage.dir.rglob("*.sock"))


def sockets(stage):
    stage.write("base.json", {"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": 40 * "x"})
    profiles = {"reader": {"role_arn": ROLE, "region": REGION}}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path = stage.write("taken.toml", config("base.json", profiles, container=port))
        fails(stage, "a port that is taken", ["serve", "--config", path], NOT_NOW, f"127.0.0.1:{port}", "something else listens")
    text = config("base.json", profiles).replace('"control.sock"', '"/proc/credbroker/control.sock"')
    path = stage.write("socket.toml", text)
    fails(stage, "a socket path that cannot be written", ["serve", "--config", path], CONFIG, "/proc/credbroker")


def answers(stage):
    moto = stage.moto()
    stage.write("daemon/base.json", moto.user)
    stage.write("daemon/stranger.json", moto.stranger)
    here = {"role_arn": moto.role, "endpoint_url": moto.url, "region": REGION}
    nowhere = {**here, "endpoint_url": f"http://127.0.0.1:{free_port()}"}
    text = config("base.json", {"reader": here, "nowhere": nowhere})
    text += "[profile.stranger]\naccess_key = { file = \"stranger.json\" }\n"
    text += "[profile.closed]\nsource_profile = \"stranger\"\n"
    text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in here.items())
    daemon = stage.daemon(text)
    env = daemon.env()
    fails(stage, "an unknown profile, and the nearest", ["process", "raeder"], CONFIG, "raeder", "reader", env=env)
    fails(stage, "keys are never handed out", ["process", "base"], CONFIG, "base", env=env)
    fails(stage, "the STS refuses", ["process", "closed"], REFUSED, "AccessDenied", "S3Access", env=env)
    fails(stage, "the STS cannot be reached", ["process", "nowhere"], NOT_NOW, nowhere["endpoint_url"][7:], env=env)
    fails(stage, "refresh says the same", ["refresh", "closed"], REFUSED, "AccessDenied", env=env)
    with stage.case("one profile's trouble is not another's"):
        done = daemon.run("process", "reader", secret_stdout=True)
        assert done.returncode == OK and not done.stderr, done.stderr
        lent = json.loads(done.stdout)
        stage.secret(lent["SecretAccessKey"], lent["SessionToken"])
    with stage.case("status exits by the profile's state"):
        for profile, code in (("reader", OK), ("closed", REFUSED), ("nowhere", NOT_NOW)):
            done = daemon.run("status", profile)
            assert done.returncode == code, f"{profile}: {done.returncode}: {done.stdout}{done.stderr}"


def clock(stage):
    """An STS whose clock is an hour ahead, which is what it looks like when ours is an hour behind."""
    secret = 40 * "c"
    stage.secret(secret)
    sts = stage.write("sandbox.toml", "\n".join([
        f'account = "{ACCOUNT}"',
        "[clock]",
        'offset = "+1h"',
        "[[user]]",
        'name = "broker"',
        'access_key_id = "AKIAIOSFODNN7EXAMPLE"',
        f'secret_access_key = "{secret}"',
        "[[role]]",
        'name = "S3Access"',
        f'trust = {{ principals = ["arn:aws:iam::{ACCOUNT}:user/broker"] }}',
    ]) + "\n")
    port = free_port()
    server = stage.spawn("sandbox", [BIN, "sandbox", "--config", sts, "--address", f"127.0.0.1:{port}"])
    with stage.case("a clock that is off by an hour"):
        wait_for(lambda: listening(port), "the sandbox", server)
        stage.write("late/base.json", {"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": secret})
        reader = {"role_arn": ROLE, "endpoint_url": f"http://127.0.0.1:{port}", "region": REGION}
        daemon = stage.daemon(config("base.json", {"reader": reader}), name="late")
        left = lifetime(stage, daemon, "reader")
        assert 3500 < left <= 3601, f"{left} s to live by our clock"
        for command in (["status"], ["whoami", "reader"]):
            assert "60 min behind" in daemon.run(*command).stdout, command


def programs(stage):
    """A credential_process that gives nothing: why is told, without what it was given or what it printed."""
    argument, printed = "passphrase-1f3a", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYNOBODYSKEY"
    stage.secret(argument, printed)
    key = {"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": printed}
    ended = {**key, "SessionToken": "token", "Expiration": "2020-01-01T00:00:00Z"}
    scripts = {
        "hangs": "sleep 1000",
        "garbage": f"echo '{printed} is no JSON'",
        "megabyte": "head -c 1000000 /dev/zero",
        "key": f"echo '{json.dumps(key)}'",
        "ended": f"echo '{json.dumps(ended)}'",
        "sealed": "echo \"the vault is sealed for $0\" >&2; exit 2",
        "circle": f"exec {BIN} process circle --control {stage.dir / 'programs' / 'control.sock'}",
    }
    text = '[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n'
    for name, script in scripts.items():
        text += f"[profile.{name}]\ncredential_process = {json.dumps(['sh', '-c', script, argument])}\n"
        text += f"eager = {json.dumps(name == 'hangs')}\n"
    daemon = stage.daemon(text, name="programs")
    who = "the credential_process sh (3 arguments)"
    for name, code, words in [
        ("garbage", CONFIG, ["no JSON object"]),
        ("megabyte", CONFIG, ["more than 64000 bytes"]),
        ("key", CONFIG, ["long-term key", "never lent", "role_arn"]),
        ("ended", NOT_NOW, ["expired at 2020-01-01T00:00:00Z"]),
        ("sealed", NOT_NOW, ["exit status: 2", "the vault is sealed for ****"]),
    ]:
        fails(stage, f"a credential_process: {name}", ["process", name], code, who, *words, env=daemon.env())
    with stage.case("a credential_process that asks the daemon that runs it"):
        refused(daemon.run("process", "circle"), CONFIG, "waits for this very program", "source_profile")
    with stage.case("a credential_process that hangs"):
        # The first who asks may be told after 20 s that it takes longer; the daemon gives up after 30.
        tries = [daemon.run("process", "hangs") for _ in range(2)]
        for done in tries:
            refused(done, NOT_NOW)
        assert any(f"{who} did not end within 30 s" in done.stderr for done in tries), tries[-1].stderr


if __name__ == "__main__":
    sys.exit(main())
