"""`credbroker exec` gives its child the profile's identity whatever lies around, and is otherwise not there."""

import json
import os
import pathlib
import shlex
import signal
import stat
import sys
import time

from stage import BIN, REGION, VENV, Stage, config, wait_for

SESSION = "arn:aws:sts::123456789012:assumed-role/S3Access/"
HERE = pathlib.Path(__file__).parent


def main():
    with Stage("exec") as stage:
        moto = stage.moto()
        stage.write("daemon/base.json", moto.user)
        reader = {"role_arn": moto.role, "endpoint_url": moto.url, "region": REGION}
        daemon = stage.daemon(config("base.json", {"reader": reader}))
        identity(stage, moto, daemon)
        ticket(stage, daemon)
        status(stage, daemon)
        signals(stage, daemon)
    stage.exit()


def identity(stage, moto, daemon):
    """Real keys of another user lie in every place where an SDK looks first."""
    key, secret = moto.planted["AccessKeyId"], moto.planted["SecretAccessKey"]
    keys = f"aws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
    stage.write("home/.aws/credentials", f"[default]\n{keys}[planted]\n{keys}")
    stage.write("home/.aws/config", f"[default]\nregion = us-west-2\n{keys}[profile planted]\n{keys}")
    token = stage.write("planted-token", "eyJhbGciOiJub25lIn0.e30.")
    planted = daemon.env(
        AWS_PROFILE="planted", AWS_DEFAULT_PROFILE="planted", AWS_ROLE_ARN=moto.role, AWS_ROLE_SESSION_NAME="planted",
        AWS_WEB_IDENTITY_TOKEN_FILE=token, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/planted",
        AWS_CONTAINER_AUTHORIZATION_TOKEN="planted")
    with_keys = {**planted, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "planted",
                 "AWS_SECURITY_TOKEN": "planted"}
    python = [VENV / "python", HERE / "object.py", moto.bucket, "planted"]
    aws = [VENV / "python", VENV / "aws", "sts", "get-caller-identity", "--query", "Arn", "--output", "text"]
    with stage.case("what is planted would win without exec"):
        env = {**with_keys, "AWS_ENDPOINT_URL": moto.url, "AWS_SESSION_TOKEN": "", "AWS_SECURITY_TOKEN": ""}
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
            del env[name]
        done = stage.run(*python, "who", env=env)
        assert done.stdout.strip().endswith(":user/planted"), f"{done.stdout}{done.stderr[-400:]}"
    for what, env in {"files and a profile": planted, "keys in the environment too": with_keys}.items():
        for name, client in {"boto3": python, "aws": aws}.items():
            with stage.case(f"{name} has the profile's identity, planted: {what}"):
                done = stage.run(BIN, "exec", "reader", "--", *client, env=env)
                assert done.stdout.startswith(SESSION), f"{done.stdout}{done.stderr[-400:]}"
    with stage.case("--static gives plain keys with their end"):
        done = stage.run(BIN, "exec", "reader", "--static", "--", *python, env=with_keys)
        assert done.stdout.startswith(SESSION), f"{done.stdout}{done.stderr[-400:]}"
    with stage.case("env gives a shell the same"):
        script = f'eval "$({shlex.quote(BIN)} env reader --shell bash)" && exec {shlex.join(map(str, python))}'
        done = stage.run("bash", "-c", script, env=with_keys)
        assert done.stdout.startswith(SESSION), f"{done.stdout}{done.stderr[-400:]}"
    with stage.case("the child sees the region and no trace of what was planted"):
        seen = child_environment(stage, with_keys)
        assert seen["AWS_REGION"] == seen["AWS_DEFAULT_REGION"] == REGION, seen.get("AWS_REGION")
        assert seen["AWS_EC2_METADATA_DISABLED"] == "true"
        assert seen["AWS_ENDPOINT_URL"] == moto.url
        assert "AWS_CONTAINER_AUTHORIZATION_TOKEN" not in seen
        left = [name for name, value in seen.items() if "planted" in value or value in (key, secret)]
        assert not left, f"still there: {left}"
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
                     "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME",
                     "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
            assert name not in seen, f"{name} is still set"


def child_environment(stage, env, *options):
    """The environment of a child, which it writes down where nobody looks for leaks."""
    place = stage.dir / "seen.json"
    script = f"import json, os; json.dump(dict(os.environ), open({str(place)!r}, 'w'))"
    done = stage.run(BIN, "exec", "reader", *options, "--", sys.executable, "-c", script, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(place.read_text())


def ticket(stage, daemon):
    place = stage.dir / "ticket.json"
    script = (
        "import json, os, stat\n"
        "path = os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']\n"
        "mode = stat.S_IMODE(os.stat(path).st_mode)\n"
        f"json.dump([path, mode, open(path).read()], open({str(place)!r}, 'w'))\n")
    with stage.case("the ticket's file is 0600, one line without its end, and gone afterwards"):
        done = stage.run(BIN, "exec", "reader", "--", sys.executable, "-c", script, env=daemon.env())
        assert done.returncode == 0, done.stderr
        path, mode, text = json.loads(place.read_text())
        stage.secret(text)
        assert mode == 0o600, oct(mode)
        assert text and text == text.strip() and "\n" not in text, "the ticket is not one bare line"
        assert not os.path.exists(path), "the file outlived the child"
        parent = os.path.dirname(path)
        assert not os.path.exists(parent) or stat.S_ISDIR(os.stat(parent).st_mode)
    with stage.case("--env-token gives the ticket in the environment as well"):
        seen = child_environment(stage, daemon.env(), "--env-token")
        stage.secret(seen["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
        assert "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" in seen
    with stage.case("--keep-aws-files leaves the person's own files"):
        seen = child_environment(stage, daemon.env(AWS_CONFIG_FILE="/mine"), "--keep-aws-files")
        assert seen.get("AWS_CONFIG_FILE") == "/mine", seen.get("AWS_CONFIG_FILE")


def status(stage, daemon):
    plain = stage.write("plain", "not a program")
    nobody = stage.env(CREDBROKER_CONTROL=stage.dir / "nobody.sock")
    table = [
        ("the child's status comes through", daemon.env(), ["sh", "-c", "exit 7"], 7),
        ("a success comes through", daemon.env(), ["true"], 0),
        ("a missing command is 127", daemon.env(), ["no-such-command"], 127),
        ("a file that cannot be run is 126", daemon.env(), [plain], 126),
        ("its own failure is 125: no daemon", nobody, ["true"], 125),
    ]
    for name, env, argv, code in table:
        with stage.case(name):
            done = stage.run(BIN, "exec", "reader", "--", *argv, env=env)
            assert done.returncode == code, f"{done.returncode}: {done.stderr}"
            assert len(done.stderr.splitlines()) == (1 if code >= 125 else 0), done.stderr
    with stage.case("its own failure is 125: no such profile"):
        done = stage.run(BIN, "exec", "nobody", "--", "true", env=daemon.env())
        assert done.returncode == 125 and "nobody" in done.stderr, f"{done.returncode}: {done.stderr}"
    with stage.case("a child killed by SIGTERM is 143 to the shell"):
        done = stage.run("sh", "-c", f"{BIN} exec reader -- sh -c 'kill -TERM $$'; echo $?", env=daemon.env())
        assert done.stdout.strip() == "143", done.stdout
    with stage.case("stdin, stdout and stderr are the child's"):
        script = f"echo in | {BIN} exec reader -- sh -c 'cat; echo err >&2'"
        done = stage.run("sh", "-c", script, env=daemon.env())
        assert (done.stdout, done.stderr) == ("in\n", "err\n"), (done.stdout, done.stderr)


def signals(stage, daemon):
    """The child answers each signal in its own way, and exec passes on both."""
    for name, number, code in (("SIGTERM", signal.SIGTERM, 9), ("SIGINT", signal.SIGINT, 8), ("SIGHUP", signal.SIGHUP, 7)):
        with stage.case(f"{name} reaches the child"):
            ready = stage.dir / f"ready-{name}"
            script = (f'trap "exit 9" TERM; trap "exit 8" INT; trap "exit 7" HUP; : > {ready}; '
                      "while :; do sleep 0.1; done")
            child = stage.spawn(f"signal-{name}", [BIN, "exec", "reader", "--", "sh", "-c", script], daemon.env(),
                                start_new_session=True)
            wait_for(ready.exists, "the child", child)
            time.sleep(0.05)
            child.send_signal(number)
            assert child.wait(10) == code, child.returncode


if __name__ == "__main__":
    sys.exit(main())
