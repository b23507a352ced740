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

# The lines to paste: those indented ones that start as a shell's do.
COMMAND = re.compile(r"^ +(?:\$ )?(credbroker |aws |curl |export |python3 |[A-Z_]+=)")
SECRET = re.compile(r'"(?:SecretAccessKey|SessionToken|Token)"\s*:\s*"([^"]+)"')
RENEWAL = 120  # seconds until one must have been seen


def main():
    with Stage("demo") as stage:
        place = stage.dir / "demo"
        # An `aws` that is new enough to be shown is the one beside boto3.
        env = stage.env(PATH=f"{VENV}:{PATH}")
        began = time.monotonic()
        demo = stage.spawn("demo", [BIN, "demo", "--dir", place], env, start_new_session=True)
        guide = read_guide(demo)
        control = {**env, "CREDBROKER_CONTROL": str(place / "control.sock")}
        wait_for(lambda: stage.run(BIN, "list", env=control).returncode == 0, "the demo's daemon", demo)

        with stage.case("it explains all three ways"):
            for word in ("credbroker whoami demo-reader", "credbroker exec demo-reader -- ", "credential_process",
                         "/latest/api/token"):
                assert word in guide, f"no word of {word}"
        pasted(stage, guide, env)
        profiles(stage, control)
        process_profile(stage, guide, control)
        metadata(stage, control)
        with stage.case("a renewal is seen within two minutes"):
            def renewed():
                status = stage.run(BIN, "status", "demo-reader", "--json", env=control)
                return json.loads(status.stdout)["issuances"] > 1
            left = RENEWAL - (time.monotonic() - began)
            wait_for(lambda: renewed() and "renew" in said_since(demo, guide), "a renewal", demo, seconds=left)
        with stage.case("it shows what happens to each profile"):
            said = said_since(demo, guide)
            missing = [name for name in PROFILES if name not in said]
            assert not missing, f"nothing was said of {missing}"
        with stage.case("Ctrl-C ends all of it"):
            interrupted(demo)
            assert not (place / "control.sock").exists(), "the control socket is still there"
        throw_away(stage)
    stage.exit()


def read_guide(demo):
    """What the demo prints before anything happens."""
    wait_for(lambda: "Ctrl-C" in demo.log.read_text(), "the demo's guide", demo)
    return demo.log.read_text().partition("Ctrl-C")[0]


def said_since(demo, guide):
    return demo.log.read_text()[len(guide):]


def lines_to_paste(guide):
    return [line.strip().removeprefix("$ ") for line in guide.splitlines() if COMMAND.match(line)]


def paste(stage, lines, env):
    """Runs the lines one after another in one shell, as a person would: (line, status, output) of each."""
    mark = "@@ status"
    script = "".join(f"{line}\nprintf '\\n{mark} %s\\n' $?\n" for line in lines)
    done = stage.run("bash", "-c", script, env=env, secret_stdout=True, timeout=120)
    stage.secret(*SECRET.findall(done.stdout))
    pieces = re.split(rf"\n{mark} (\d+)\n", done.stdout)
    return list(zip(lines, map(int, pieces[1::2]), pieces[:-1:2], strict=True)), done.stderr


def pasted(stage, guide, env):
    lines = lines_to_paste(guide)
    with stage.case("there is something to paste for each way"):
        assert len(lines) >= 7, lines
    results, stderr = paste(stage, lines, env)
    for number, (line, status, output) in enumerate(results, 1):
        with stage.case(f"pasted {number}: {line[:70]}"):
            assert status == 0, f"{status}: {stderr[-400:]}"
            if not re.match(r"export |[A-Z_]+=", line):
                assert output.strip(), "it said nothing"
            if "whoami" in line or "get-caller-identity" in line:
                assert ":assumed-role/" in output, output
            if "security-credentials" in line:
                assert json.loads(output)["Code"] == "Success"
            if " process " in line:
                assert json.loads(output)["Version"] == 1


def profiles(stage, control):
    for profile in PROFILES:
        with stage.case(f"{profile} is somebody"):
            done = stage.run(BIN, "whoami", profile, env=control)
            assert done.returncode == 0 and ":assumed-role/" in done.stdout, f"{done.stdout}{done.stderr}"


def process_profile(stage, guide, control):
    with stage.case("the AWS profile works in boto3"):
        path = re.search(r"export AWS_CONFIG_FILE=(\S+)", guide)[1].strip("'")
        name = re.search(r"\[profile ([^\]]+)\]", pathlib.Path(path).read_text())[1]
        taken_by_boto3(stage, {**control, "AWS_CONFIG_FILE": path, "AWS_PROFILE": name}, "custom-process")


def metadata(stage, control):
    with stage.case("the IMDS endpoint works in boto3"):
        status = json.loads(stage.run(BIN, "status", "--json", env=control).stdout)
        address = next(one["address"] for one in status["endpoints"] if one["kind"] == "imds")
        where = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{address}/", "AWS_CONFIG_FILE": os.devnull}
        taken_by_boto3(stage, {**control, **where, "AWS_DEFAULT_REGION": REGION}, "iam-role")


def taken_by_boto3(stage, env, method):
    script = (
        "import json, botocore.session\n"
        "c = botocore.session.Session().get_credentials()\n"
        "f = c.get_frozen_credentials()\n"
        "print(json.dumps([c.method, f.access_key, f.secret_key, f.token]))\n")
    done = stage.run(VENV / "python", "-c", script, env=env, secret_stdout=True)
    assert done.returncode == 0, done.stderr[-400:]
    found, key, secret, token = json.loads(done.stdout)
    stage.secret(secret, token)
    assert found == method and key.startswith("ASIA"), (found, key)


def throw_away(stage):
    """Without --dir, all that the demo writes is in a place of its own, and gone at the end."""
    with stage.case("without --dir nothing is left"):
        places = [stage.dir / name for name in ("temporary", "runtime", "fresh-home")]
        for place in places:
            place.mkdir(0o700)
        temporary, runtime, home = places
        env = stage.env(TMPDIR=temporary, XDG_RUNTIME_DIR=runtime, HOME=home)
        demo = stage.spawn("demo-throw-away", [BIN, "demo"], env, start_new_session=True)
        lines = lines_to_paste(read_guide(demo))
        until = next(number for number, line in enumerate(lines, 1) if "whoami" in line)
        results, stderr = paste(stage, lines[:until], env)
        assert ":assumed-role/" in results[-1][2], stderr
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


PROFILES = ("demo-reader", "demo-writer", "demo-chain", "demo-workload")

if __name__ == "__main__":
    sys.exit(main())
