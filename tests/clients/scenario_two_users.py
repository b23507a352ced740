"""Two IAM users, one that reads and one that writes, as docs/scenarios/read-only-read-write.md has it: against moto in auth
mode; and a key that was just made, against a sandbox that takes seconds to know it.
"""

import json
import sys
import time

from page import Page
from stage import REGION, VENV, Sandbox, Stage, located, wait_for

PAGE = "read-only-read-write.md"
PLACE = '[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n'
NEVER = "AKIASANDBOXEXAMPLE77"


def main():
    with Stage("scenario_two_users") as stage:
        on_moto(stage)
    with Stage("scenario_two_users_sandbox") as sandbox_stage:
        on_sandbox(sandbox_stage)
    stage.failed += sandbox_stage.failed
    stage.exit()


def on_moto(stage):
    page = Page(stage, PAGE, [])
    moto = stage.moto(lambda moto: furnish(stage, page, moto))
    for name in ("reader", "writer"):
        stage.secret(json.loads((page.dir / f"{name}.json").read_text())["SecretAccessKey"])
    daemon = stage.daemon(PLACE + located(page.block("The configuration", "toml"), moto.url), name="page")
    there = {"AWS_ENDPOINT_URL": moto.url, "AWS_DEFAULT_REGION": REGION}
    with stage.case("the writer puts, gets and deletes, the reader gets and is refused, as the page shows"):
        page.console("Who may do what", CREDBROKER_CONTROL=daemon.control, **there)
    script = (
        "import boto3, sys\n"
        "s3 = boto3.client('s3')\n"
        "for call in sys.argv[1:]:\n"
        "    try:\n"
        "        getattr(s3, call)(Bucket='ledger', Key='march')\n"
        "        print(call)\n"
        "    except s3.exceptions.ClientError as error:\n"
        "        print(call, error.response['Error']['Code'])\n")
    may = {
        "writer": ["put_object", "get_object"],
        "reader": ["get_object", "put_object AccessDenied", "delete_object AccessDenied"],
        "writer again": ["delete_object", "put_object", "get_object"],
    }
    files = stage.write("aws-config", "".join(
        f"[profile {name}-cb]\nregion = {REGION}\ncredential_process = {page.dir}/bin/credbroker process {name}\n"
        for name in ("reader", "writer")))
    for who, said in may.items():
        name, calls = who.split()[0], [line.split()[0] for line in said]
        ways = {"exec": ["exec", name, "--", VENV / "python", "-c", script, *calls],
                "credential_process": [VENV / "python", "-c", script, *calls]}
        for way, argv in ways.items():
            with stage.case(f"boto3 over {way}: {who}"):
                if way == "exec":
                    done = daemon.run(*argv, env=daemon.env(**there))
                else:
                    done = stage.run(*argv, env=daemon.env(AWS_CONFIG_FILE=files, AWS_PROFILE=f"{name}-cb", **there))
                assert done.stdout.splitlines() == said, f"{done.stdout}{done.stderr[-400:]}"


def furnish(stage, page, moto):
    with stage.case("an administrator makes the users and their roles, as the page says"):
        page.script("In the account", **moto.administrator)
    moto.s3.create_bucket(Bucket="ledger", CreateBucketConfiguration={"LocationConstraint": REGION})


def on_sandbox(stage):
    page = Page(stage, PAGE, [])
    # A person pastes more slowly than this script.
    sandbox = Sandbox(stage, page.block("Without an account", "toml").replace('"10s"', '"3s"'))
    page.swaps = [("http://127.0.0.1:4566", sandbox.url)]
    with stage.case("a key is made in the sandbox, as the page says"):
        page.script("Without an account")
    text = page.block("The configuration", "toml")
    stage.write("page/reader.json", {"Version": 1, "AccessKeyId": NEVER, "SecretAccessKey": "never"})
    daemon = stage.daemon(PLACE + located(text, sandbox.url), name="page")
    with stage.case("a key that was just made is waited for"):
        page.console("Without an account", CREDBROKER_CONTROL=daemon.control)
        failed = sandbox.admin("GET", "state")["counts"]["AssumeRole"]["failed"]
        assert 1 <= failed["InvalidClientTokenId"] <= 4, failed
    with stage.case("status names the key that is waited for"):
        asking = stage.spawn("asking", [page.dir / "bin" / "credbroker", "process", "reader"], daemon.env())
        wait_for(lambda: daemon.status("reader").get("trouble"), "the first refusal", asking)
        status = daemon.status("reader")
        assert status["state"] == "asking" and NEVER in status["trouble"]["message"], status
        assert asking.poll() is None, "it was told no at once"
    with stage.case("boto3 over exec waits for a second new key"):
        key = {"user": "writer", "access_key_id": "AKIASANDBOXEXAMPLE88", "secret_access_key": 40 * "w"}
        stage.secret(40 * "w")
        sandbox.admin("POST", "keys", key)
        sandbox.admin("DELETE", "keys/AKIASANDBOXEXAMPLE66")
        stage.write("page/writer.json", {"Version": 1, "AccessKeyId": key["access_key_id"],
                                         "SecretAccessKey": key["secret_access_key"]})
        assert daemon.run("forget", "writer").returncode == 0
        script = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
        start = time.monotonic()
        done = daemon.run("exec", "writer", "--", VENV / "python", "-c", script)
        assert ":assumed-role/ledger-writer/" in done.stdout, done.stderr[-400:]
        assert time.monotonic() - start > 1, "it was known at once"
    with stage.case("a key that is never known is refused, and not asked for in a hurry"):
        # Half a minute, less what chance takes off, is about as long as it waits.
        assert asking.wait(30) in (75, 81), asking.returncode
        wait_for(lambda: daemon.status("reader")["state"] == "refused", "the end of patience", seconds=40)
        done = daemon.run("process", "reader")
        assert done.returncode == 81 and NEVER in done.stderr, f"{done.returncode}: {done.stderr}"
        count = sandbox.admin("GET", "state")["counts"]["AssumeRole"]
        assert count["failed"]["InvalidClientTokenId"] <= 4 + 4 + 6, count


if __name__ == "__main__":
    sys.exit(main())
