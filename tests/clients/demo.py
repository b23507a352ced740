"""`credbroker demo`, as a newcomer meets it: what it prints is really pasted and run, a renewal is awaited, Ctrl-C
leaves nothing behind."""

import json
import os
import pathlib
import re
import signal
import sys
import time

from stage import BIN, PATH, REGION, VENV, Stage, wait_for

# What a pasted line starts with; a block of them is pasted as one.
COMMAND = re.compile(r"^\s*(?:\$ )?((?:\S*/)?credbroker |aws |curl |eval |export |[A-Za-z_]+=|python3? |\S*/python3? )")
SECRET = re.compile(r'"(?:SecretAccessKey|SessionToken|Token)"\s*:\s*"([^"]+)"')
SHORT_LIFE = 120  # seconds until a renewal must have been seen


def main():
    with Stage("demo") as stage:
        place = stage.dir / "demo"
        programs = stage.dir / "bin"
        programs.mkdir()
        (programs / "credbroker").symlink_to(BIN)
        demo = stage.spawn("demo", [BIN, "demo", "--dir", place], start_new_session=True)
        began = time.monotonic()
        # The second terminal: the program is on its PATH, and Debian's own Python.
        env = stage.env(PATH=f"{programs}:{PATH}")
        control = {**env, "CREDBROKER_CONTROL": str(place / "control.sock")}
        wait_for(lambda: stage.run(BIN, "list", env=control).returncode == 0, "the demo", demo)
        wait_for(lambda: blocks(demo.log.read_text()), "the demo's instructions", demo)
        time.sleep(0.5)
        guide = demo.log.read_text()

        with stage.case("it explains all three ways"):
            for word in ("credbroker whoami demo-reader", "exec", "credential_process", "AWS_EC2_METADATA_SERVICE_ENDPOINT"):
                assert word in guide, f"no word of {word}"
        pasted(stage, guide, env)
        profiles(stage, control)
        process_profile(stage, guide, env)
        metadata(stage, control, env)
        with stage.case("a renewal is seen within two minutes"):
            def renewed():
                return json.loads(stage.run(BIN, "status", "demo-reader", "--json", env=control).stdout)["renewals"] > 1
            wait_for(lambda: renewed() and "renewed" in demo.log.read_text(), "a renewal", demo,
                     seconds=SHORT_LIFE - (time.monotonic() - began))
        with stage.case("its logs show each lease"):
            said = demo.log.read_text()
            assert "demo-reader" in said.replace(guide, ""), "nothing was said of demo-reader"
        with stage.case("Ctrl-C ends all of it"):
            interrupted(demo)
            assert not (place / "control.sock").exists()
        throw_away(stage)
    stage.exit()


def blocks(text):
    """The pasteable blocks of what was printed: runs of lines that are commands, ends of lines with \\ joined."""
    found, block = [], []
    for line in text.replace("\\\n", " ").splitlines() + [""]:
        if COMMAND.match(line):
            block.append(line.strip().removeprefix("$ "))
        elif block:
            found.append("\n".join(block))
            block = []
    return found


def pasted(stage, guide, env):
    for number, block in enumerate(blocks(guide), 1):
        first = block.splitlines()[0]
        with stage.case(f"pasted {number}: {first[:60]}"):
            done = stage.run("bash", "-c", f"set -e -o pipefail\n{block}", env=env, secret_stdout=True)
            stage.secret(*SECRET.findall(done.stdout))
            assert done.returncode == 0, f"{done.returncode}: {done.stderr[-400:]}"
            assert done.stdout.strip() or first.startswith("export"), "it said nothing"


def profiles(stage, control):
    for profile in ("demo-reader", "demo-writer", "demo-chain", "demo-workload"):
        with stage.case(f"{profile} is somebody"):
            done = stage.run(BIN, "whoami", profile, env=control)
            assert done.returncode == 0 and ":assumed-role/" in done.stdout, f"{done.stdout}{done.stderr}"


def process_profile(stage, guide, env):
    """The printed profile, put into a file of AWS's."""
    with stage.case("the printed profile works in boto3"):
        found = re.search(r"^\s*(\[profile [^\]]+\](?:\n\s*\w+ *=.*)+)", guide, re.MULTILINE)
        assert found, "no [profile ...] is printed"
        text = "\n".join(line.strip() for line in found[1].splitlines())
        name = re.match(r"\[profile ([^\]]+)\]", text)[1]
        path = stage.write("aws-config", text + "\n")
        script = (
            "import json, sys, botocore.session\n"
            "c = botocore.session.Session(profile=sys.argv[1]).get_credentials()\n"
            "f = c.get_frozen_credentials()\n"
            "print(json.dumps([c.method, f.access_key, f.secret_key, f.token]))\n")
        done = stage.run(VENV / "python", "-c", script, name, env={**env, "AWS_CONFIG_FILE": str(path)},
                         secret_stdout=True)
        assert done.returncode == 0, done.stderr[-400:]
        method, key, secret, token = json.loads(done.stdout)
        stage.secret(secret, token)
        assert method == "custom-process" and key.startswith("ASIA"), (method, key)


def metadata(stage, control, env):
    """boto3 finds credentials at the address that the demo serves IMDS on."""
    with stage.case("the IMDS endpoint works in boto3"):
        status = json.loads(stage.run(BIN, "status", "--json", env=control).stdout)
        address = next(one["address"] for one in status["endpoints"] if one["kind"] == "imds")
        script = (
            "import json, botocore.session\n"
            "c = botocore.session.Session().get_credentials()\n"
            "f = c.get_frozen_credentials()\n"
            "print(json.dumps([c.method, f.access_key, f.secret_key, f.token]))\n")
        where = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{address}/", "AWS_CONFIG_FILE": os.devnull,
                 "AWS_DEFAULT_REGION": REGION}
        done = stage.run(VENV / "python", "-c", script, env={**env, **where}, secret_stdout=True)
        assert done.returncode == 0, done.stderr[-400:]
        method, key, secret, token = json.loads(done.stdout)
        stage.secret(secret, token)
        assert method == "iam-role" and key.startswith("ASIA"), (method, key)


def throw_away(stage):
    """Without --dir, all that the demo writes is in places of its own, and gone at the end."""
    with stage.case("without --dir nothing is left"):
        places = [stage.dir / name for name in ("temporary", "runtime", "fresh-home")]
        for place in places:
            place.mkdir(0o700)
        temporary, runtime, home = places
        env = stage.env(TMPDIR=temporary, XDG_RUNTIME_DIR=runtime, HOME=home)
        demo = stage.spawn("demo-throw-away", [BIN, "demo"], env, start_new_session=True)
        wait_for(lambda: blocks(demo.log.read_text()), "the demo's instructions", demo)
        time.sleep(1)
        block = next(block for block in blocks(demo.log.read_text()) if "whoami" in block)
        done = stage.run("bash", "-c", block, env=stage.env(PATH=f"{stage.dir}/bin:{PATH}", XDG_RUNTIME_DIR=runtime))
        assert ":assumed-role/" in done.stdout, f"{done.stdout}{done.stderr}"
        interrupted(demo)
        left = [str(path) for place in places for path in place.rglob("*")]
        assert not left, f"left: {left}"


def interrupted(demo):
    """Ctrl-C: the terminal signals the whole session; the demo ends well and nobody of the session is left."""
    os.killpg(demo.pid, signal.SIGINT)
    code = demo.wait(10)
    assert code == 0, f"exit {code}"
    left = members(demo.pid)
    assert not left, f"still running: {left}"


def members(session):
    """The processes of a session, by the kernel's word (proc_pid_stat(5), field 6)."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(session) and fields[0] != "Z":
            found.append(path.parent.name)
    return found


if __name__ == "__main__":
    sys.exit(main())
