"""From a user to a role to a second role, as docs/scenarios/switch-role.md has it: against moto in auth mode, where the
roles open a bucket, and against the sandbox, which is strict about names, trust and durations.
"""

import json
import sys

from page import Page
from stage import REGION, VENV, Sandbox, Stage, lifetime, located

PAGE = "switch-role.md"
PLACE = '[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n'
HOUR = 3600


def main():
    with Stage("scenario_switch_role") as stage:
        on_moto(stage)
    with Stage("scenario_switch_role_sandbox") as sandbox_stage:
        on_sandbox(sandbox_stage)
    stage.failed += sandbox_stage.failed
    stage.exit()


def on_moto(stage):
    # moto names a role's session by its own ARN, where AWS takes the role's for all of them.
    role, session = ('{"AWS": "arn:aws:iam::123456789012:role/Developer"}',
                     '{"AWS": "arn:aws:sts::123456789012:assumed-role/Developer/alice"}')
    page = Page(stage, PAGE, [(role, session)])
    moto = stage.moto(lambda moto: furnish(stage, page, moto))
    stage.secret(json.loads((page.dir / "alice.json").read_text())["SecretAccessKey"])
    daemon = stage.daemon(PLACE + located(page.block("The configuration", "toml"), moto.url), name="page")
    there = {"AWS_ENDPOINT_URL": moto.url, "AWS_DEFAULT_REGION": REGION}
    with stage.case("without the role denied, with it allowed, with the second role more, as the page shows"):
        page.console("Without the role, and with it", CREDBROKER_CONTROL=daemon.control, **there)
    script = (
        "import boto3, sys\n"
        "s3 = boto3.client('s3')\n"
        "try:\n"
        "    getattr(s3, sys.argv[1])(Bucket='releases', **eval(sys.argv[2]))\n"
        "except s3.exceptions.ClientError as error:\n"
        "    sys.exit(error.response['Error']['Code'])\n")
    put, get = ("put_object", dict(Key="version", Body="2")), ("get_object", dict(Key="version"))
    for profile, (call, arguments), said in (
            ("developer", get, ""), ("developer", put, "AccessDenied\n"),
            ("deployer", put, ""), ("deployer", get, "AccessDenied\n")):
        with stage.case(f"boto3 as {profile}: {call} is {'refused' if said else 'allowed'}"):
            done = daemon.run("exec", profile, "--", VENV / "python", "-c", script, call, repr(arguments),
                              env=daemon.env(**there))
            assert done.stderr == said, done.stderr[-400:]
    with stage.case("each role was assumed once"):
        for profile in ("developer", "deployer"):
            issuances = daemon.status(profile)["issuances"]
            assert issuances == 1, f"{profile}: {issuances} sessions"


def furnish(stage, page, moto):
    """What the page has an administrator do, and a bucket with an object."""
    with stage.case("an administrator makes the user and the roles, as the page says"):
        page.script("In the account", **moto.administrator)
    moto.s3.create_bucket(Bucket="releases", CreateBucketConfiguration={"LocationConstraint": REGION})
    moto.s3.put_object(Bucket="releases", Key="notes.txt", Body="notes\n")


def on_sandbox(stage):
    page = Page(stage, PAGE, [])
    sections = page.block("Without an account", "toml").partition("[profile.straight]")
    sandbox = Sandbox(stage, sections[0])
    stage.write("page/alice.json", {"Version": 1, "AccessKeyId": "AKIASANDBOXEXAMPLE44",
                                    "SecretAccessKey": "sandbox/EXAMPLEKEY/not/a/secret/alice000"})
    text = PLACE + page.block("The configuration", "toml")
    two_hours = text.replace('role_session_name = "alice-deploys"', "duration_seconds = 7200")
    assert two_hours != text
    stage.write("page/two-hours.toml", two_hours)
    text += "[profile.an-hour]\nsource_profile = \"alice\"\nrole_arn = \"arn:aws:iam::123456789012:role/Developer\"\n"
    text += f'region = "{REGION}"\n' + "".join(sections[1:])
    daemon = stage.daemon(located(text, sandbox.url), name="page")
    page.swaps = [("http://127.0.0.1:4566", sandbox.url)]
    with stage.case("check knows that a chained role lasts an hour at most"):
        page.console("How long a session lasts")
    with stage.case("names and refusals are as the page shows"):
        page.console("Without an account", CREDBROKER_CONTROL=daemon.control)
    for profile, seconds in (("developer", 12 * HOUR), ("an-hour", HOUR), ("deployer", HOUR)):
        with stage.case(f"{profile} lasts {seconds // HOUR} h"):
            left = lifetime(stage, daemon, profile)
            assert seconds - 120 < left <= seconds, left
    for profile, code in (("straight", 81), ("long", 78)):
        with stage.case(f"exit {code} for {profile}"):
            done = daemon.run("process", profile)
            assert (done.returncode, done.stdout) == (code, ""), f"{done.returncode}: {done.stderr}"
    with stage.case("the first role was assumed once for both roads"):
        count = sandbox.admin("GET", "state")["counts"]["AssumeRole"]
        roles = sorted(one["arn"] for one in sandbox.admin("GET", "state")["sessions"])
        name = "arn:aws:sts::123456789012:assumed-role/"
        assert roles[0] == f"{name}Deployer/alice-deploys" and f"{name}Developer/alice" in roles, roles
        assert count["succeeded"] == len(roles) == 3, count


if __name__ == "__main__":
    sys.exit(main())
