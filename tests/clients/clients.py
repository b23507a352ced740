"""boto3 and the AWS CLI, versions 1 and 2, take the daemon's credentials in all three ways and use them.

The STS and the S3 are moto's, in auth mode: a wrong signature, token or policy is refused there.
"""

import json
import os
import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from stage import BIN, PATH, REGION, VENV, NotHere, Stage, config, free_port

SESSION = "arn:aws:sts::123456789012:assumed-role/S3Access/"
OBJECT = os.path.join(os.path.dirname(__file__), "object.py")


def main():
    with Stage("clients") as stage:
        moto = stage.moto()
        stage.write("daemon/base.json", moto.user)
        imds = free_port()
        reader = {"role_arn": moto.role, "endpoint_url": moto.url, "region": REGION}
        daemon = stage.daemon(config("base.json", {"reader": reader}, imds=f"127.0.0.1:{imds}"))
        remember(stage, daemon)

        files = stage.write("aws-config", f"[profile lent]\nregion = {REGION}\n"
                            f"credential_process = {BIN} process reader\n")
        elsewhere = dict(AWS_ENDPOINT_URL=moto.url, AWS_DEFAULT_REGION=REGION)
        nothing = dict(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
        # The slash is for the CLI of version 2.9, which joins the paths without one.
        over_imds = stage.env(**elsewhere, **nothing, AWS_EC2_METADATA_SERVICE_ENDPOINT=f"http://127.0.0.1:{imds}/")
        over_process = daemon.env(**elsewhere, AWS_CONFIG_FILE=files, AWS_PROFILE="lent")
        over_container = daemon.env()
        ways = {
            "IMDS": (over_imds, []),
            "the container endpoint": (over_container, [BIN, "exec", "reader", "--env-token", "--"]),
            "credential_process": (over_process, []),
        }
        clients = {"boto3": boto3, "aws v1": aws_1, "aws v2": aws_2}
        for client_name, client in clients.items():
            for way, (env, prefix) in ways.items():
                with stage.case(f"{client_name} over {way}"):
                    key = f"{client_name}-{way}".replace(" ", "-")
                    client(stage, moto, env, prefix, key)
        with stage.case("boto3 over the container endpoint's token file alone"):
            done = stage.run(BIN, "exec", "reader", "--", VENV / "python", OBJECT, moto.bucket, "file",
                             env=over_container)
            assert done.stdout.startswith(SESSION), done.stderr[-400:]
        with stage.case("IMDSv2 by hand, and nothing without a token"):
            by_hand(stage, f"http://127.0.0.1:{imds}/latest/")
        with stage.case("one session served them all"):
            issuances = daemon.status("reader")["issuances"]
            assert issuances == 1, f"{issuances} sessions were taken"
    stage.exit()


def remember(stage, daemon):
    """What the daemon hands out is secret from here on."""
    done = daemon.run("process", "reader", secret_stdout=True)
    assert done.returncode == 0, done.stderr
    lent = json.loads(done.stdout)
    stage.secret(lent["SecretAccessKey"], lent["SessionToken"])


def by_hand(stage, url):
    def ask(path, method="GET", **headers):
        return urlopen(Request(url + path, method=method, headers=headers), timeout=5).read().decode()

    token = ask("api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    stage.secret(token)
    with_token = {"X-aws-ec2-metadata-token": token}
    role = ask("meta-data/iam/security-credentials/", **with_token)
    lent = json.loads(ask(f"meta-data/iam/security-credentials/{role}", **with_token))
    stage.secret(lent["SecretAccessKey"], lent["Token"])
    assert lent["Code"] == "Success", lent["Code"]
    try:
        ask("meta-data/iam/security-credentials/")
    except HTTPError as error:
        assert error.code == 401, error.code
    else:
        raise AssertionError("answered without a token")


def boto3(stage, moto, env, prefix, key):
    done = stage.run(*prefix, VENV / "python", OBJECT, moto.bucket, key, env=env)
    assert done.stdout.startswith(SESSION), f"{done.stdout}{done.stderr[-400:]}"


def aws_1(stage, moto, env, prefix, key):
    aws(stage, moto, env, [*prefix, VENV / "python", VENV / "aws"], key)


def aws_2(stage, moto, env, prefix, key):
    program = second_aws()
    aws(stage, moto, env, [*prefix, program], key)


def aws(stage, moto, env, program, key):
    # Before 2.13 the CLI knows no AWS_ENDPOINT_URL.
    program = [*program, "--endpoint-url", moto.url]
    body, back = stage.write(f"{key}.in", key), stage.dir / f"{key}.out"
    place = ["--bucket", moto.bucket, "--key", key]
    for argv in (["s3api", "put-object", *place, "--body", body], ["s3api", "get-object", *place, back]):
        done = stage.run(*program, *argv, env=env)
        assert done.returncode == 0, f"{argv[1]}: {done.stderr[-400:]}"
    assert back.read_text() == key
    done = stage.run(*program, "sts", "get-caller-identity", "--query", "Arn", "--output", "text", env=env)
    assert done.stdout.startswith(SESSION), f"{done.stdout}{done.stderr[-400:]}"


def second_aws():
    """An `aws` of version 2: what is first on a person's own path may be a shim of something else."""
    for directory in PATH.split(":"):
        program = os.path.join(directory, "aws")
        if os.access(program, os.X_OK):
            said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30,
                                  env={"PATH": PATH, "HOME": "/nonexistent"})
            if said.stdout.startswith("aws-cli/2."):
                return program
    raise NotHere("there is no AWS CLI version 2")


if __name__ == "__main__":
    sys.exit(main())
