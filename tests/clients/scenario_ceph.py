"""A role of a real Ceph gateway is lent as docs/scenarios/ceph-assume-role.md says, and its sessions are renewed.

The users, the role, the configuration and all commands are the page's own.
"""

import datetime
import json
import pathlib
import shutil
import subprocess
import sys
import time

import boto3
from botocore.exceptions import ClientError

from ceph import Ceph
from clients import second_aws
from page import Page
from stage import BIN, VENV, Stage

NAME = "ceph-assume-role.md"
WATCH = pathlib.Path(__file__).with_name("watch.py")
# What a test needs and a page does not: places of its own, and sessions that end while one looks.
DAEMON = """
[daemon]
state_dir = "state"
control = "control.sock"
"""
BRIEF = """
[profile.brief]
source_profile = "tester2"
role_arn = "arn:aws:iam:::role/S3Access"
duration_seconds = 90
endpoint_url = "http://rgw.example:8080"
sts = "ceph"
"""
LIFE = 90


def main():
    with Stage("scenario_ceph") as stage:
        ceph = None
        with stage.case("the gateway starts"):
            ceph = Ceph(stage, shortest=LIFE)
        if ceph:
            scenario(stage, ceph)
    stage.exit()


def scenario(stage, ceph):
    page = Page(stage, NAME, [("https://rgw.example:8443", ceph.tls_url), ("http://rgw.example:8080", ceph.url)])
    page.program("radosgw-admin", *ceph.admin)
    shutil.copy(ceph.ca, page.dir / "rgw-ca.pem")
    with stage.case("users and a role are made as the page says"):
        page.script("The gateway")
        page.script("The role")
        for user in ("tester1", "tester2", "tester3"):
            stage.secret(json.loads((page.dir / f"{user}.json").read_text())["SecretAccessKey"])
    written = [page.block(heading, "toml") for heading in ("credbroker", "Refusals")]
    config = "".join([DAEMON, *written, page.here(BRIEF)])
    daemon = stage.daemon(config, name="page")
    there = {"CREDBROKER_CONTROL": daemon.control}
    stage.write("page/buckets.py", page.block("A bucket", "python"))
    stage.write("page/rclone.sh", page.block("A bucket", "sh"))
    stage.write("page/rights.py", page.block("Reading alone", "python"))
    with stage.case("boto3, rclone and aws make and list buckets"):
        page.console("A bucket", **there)
    with stage.case("a session is lent to who asks"):
        session = lend(stage, daemon)
        assert refusal(ceph, session) is None
    watch = stage.spawn("watch", [BIN, "exec", "brief", "--", VENV / "python", WATCH, "first", LIFE + 5], daemon.env(),
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with stage.case("a session policy makes the same role one for reading alone"):
        page.console("Reading alone", **there)
    with stage.case("the AWS CLI 2 writes with one profile and not with the other"):
        second_cli(stage, daemon, ceph)
    with stage.case("refusals are as the page says"):
        page.console("Refusals", **there)
    with stage.case("a restriction that Ceph ignores is refused before it is asked"):
        ignored(stage, config)
    with stage.case("sessions are renewed without a gap, and each is another"):
        seen = json.loads(watch.communicate(timeout=LIFE + 60)[0])
        assert not seen["failures"], seen["failures"]
        # One is taken every 24 to 28 s.
        assert seen["calls"] > LIFE and len(seen["keys"]) >= 4, seen
        status = daemon.status("brief")
        assert status["issuances"] >= len(seen["keys"]) and not status.get("trouble"), status
    with stage.case("a session that has expired is refused"):
        time.sleep(max(0, session["ends"] - time.time()) + 1)
        assert refusal(ceph, session) == "AccessDenied"
    with stage.case("what is taken from the role is taken from its sessions"):
        before = daemon.status("writer")["issuances"]
        page.script("Sessions")
        done = daemon.run("exec", "writer", "--", VENV / "python", page.dir / "buckets.py")
        assert "An error occurred (AccessDenied)" in done.stderr, done.stderr[-400:]
        assert daemon.status("writer")["issuances"] == before


def lend(stage, daemon):
    """A session as `process` gives it, to be kept beyond its end."""
    done = daemon.run("process", "brief", secret_stdout=True)
    assert done.returncode == 0, done.stderr
    session = json.loads(done.stdout)
    stage.secret(session["SecretAccessKey"], session["SessionToken"])
    ends = datetime.datetime.fromisoformat(session["Expiration"].replace("Z", "+00:00"))
    return {**session, "ends": ends.timestamp()}


def refusal(ceph, session):
    """The gateway's word to who lists the buckets with that session; None where it does not mind."""
    s3 = boto3.client("s3", endpoint_url=ceph.url, region_name="us-east-1",
                      aws_access_key_id=session["AccessKeyId"], aws_secret_access_key=session["SecretAccessKey"],
                      aws_session_token=session["SessionToken"])
    try:
        s3.list_buckets()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def second_cli(stage, daemon, ceph):
    # Before 2.13 it knows no AWS_ENDPOINT_URL.
    aws = [second_aws(), "--endpoint-url", ceph.tls_url]
    put = ["s3api", "put-object", "--bucket", "first", "--key", "two", "--body", stage.write("two", "two")]
    lent = lambda profile: daemon.run("exec", profile, "--env-token", "--", *aws, *put)  # noqa: E731
    assert lent("writer").returncode == 0
    assert lent("reader").returncode != 0


def ignored(stage, config):
    text = config.replace("[profile.writer]", '[profile.writer]\ntags = { team = "a" }')
    path = stage.write("page/ignored.toml", text)
    done = stage.run(BIN, "check", "--config", path)
    assert done.returncode == 78 and "of the kind `ceph` ignores `tags`" in done.stderr, done.stderr


if __name__ == "__main__":
    sys.exit(main())
