"""A second opinion on MFA: LocalEmu judges aws:MultiFactorAuthPresent in trust policies. Runs inside mfa_localemu.sh.

It takes any six digits for a code, and its GetSessionToken gives the root's key: so the device is one without a
session, whose codes go with the roles themselves.
"""

import json
import os
import pathlib
import urllib.request

from stage import BIN, REGION, VENV, Stage, wait_for

ACCOUNT = "000000000000"
ROOT_KEY = "AKIAIOSFODNN7EXAMPLE"
SERIAL = f"arn:aws:iam::{ACCOUNT}:mfa/me"
PORT = 4566
URL = f"http://127.0.0.1:{PORT}"
CODE = "246813"
REFUSED, PERSON = 81, 80

CONFIG = f"""
[daemon]
state_dir = "state"
control   = "control.sock"

[mfa.me]
serial  = "{SERIAL}"
session = "off"

[profile.base]
access_key = {{ file = "base.json" }}

[profile.with-code]
access_key   = {{ file = "base.json" }}
mfa          = "me"
role_arn     = "arn:aws:iam::{ACCOUNT}:role/Admin"
endpoint_url = "{URL}"
sts          = "aws"
region       = "{REGION}"

[profile.without-code]
source_profile = "base"
role_arn       = "arn:aws:iam::{ACCOUNT}:role/Admin"
endpoint_url   = "{URL}"
sts            = "aws"
region         = "{REGION}"

[profile.open]
source_profile = "base"
role_arn       = "arn:aws:iam::{ACCOUNT}:role/Open"
endpoint_url   = "{URL}"
sts            = "aws"
region         = "{REGION}"
"""

BUCKET = """
import boto3, sys
s3 = boto3.client("s3")
s3.create_bucket(Bucket=sys.argv[1], CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
print(boto3.client("sts").get_caller_identity()["Arn"])
"""


def main():
    with Stage("mfa_localemu") as stage:
        emulator = stage.spawn("localemu", [os.environ["LOCALEMU"], "start", "--port", PORT],
                               stage.env(IAM_ENFORCEMENT=1))
        wait_for(healthy, "LocalEmu", emulator, 120)
        furnish(stage)
        daemon = stage.daemon(CONFIG)
        script = stage.write("bucket.py", BUCKET)

        def makes(profile, bucket):
            return daemon.run("exec", profile, "--", VENV / "python", script, bucket)

        with stage.case("a role that does not want MFA is assumed without"):
            done = makes("open", "open-bucket")
            assert ":assumed-role/Open/" in done.stdout, done.stderr
        with stage.case("a role that wants MFA is denied to a profile without a device"):
            done = daemon.run("process", "without-code")
            assert (done.returncode, done.stdout) == (REFUSED, ""), done.stderr
            assert "AccessDenied" in daemon.run("status", "without-code").stdout
        with stage.case("a profile with a device waits for its code"):
            done = daemon.run("process", "with-code")
            assert (done.returncode, done.stdout) == (PERSON, ""), done.stderr
            assert SERIAL in done.stderr and "run: credbroker login with-code" in done.stderr, done.stderr
        with stage.case("with the code the role is assumed, by the emulator's own word"):
            stage.secret(CODE)
            typed = stage.write("typed", f"{CODE}\n")
            done = stage.run("sh", "-c", '"$0" login with-code --code - <"$1"', BIN, typed, env=daemon.env())
            assert done.returncode == 0, done.stderr
            done = daemon.run("process", "with-code", secret_stdout=True)
            assert done.returncode == 0, done.stderr
            lent = json.loads(done.stdout)
            stage.secret(lent["SecretAccessKey"], lent["SessionToken"])
            done = daemon.run("whoami", "with-code")
            assert done.returncode == 0 and ":assumed-role/Admin/" in done.stdout, f"{done.stdout}{done.stderr}"
            done = makes("with-code", "admin-bucket")
            assert ":assumed-role/Admin/" in done.stdout, done.stderr
        keeper(stage, daemon)
        with stage.case("the denied profile is still denied"):
            assert daemon.run("process", "without-code").returncode == REFUSED
    stage.exit()


def keeper(stage, daemon):
    """A user who may do what `check --policies` prints for a device of one's own."""
    done = stage.run(BIN, "check", "--policies", "with-code", "--json", "--config", daemon.config)
    assert done.returncode == 0, done.stderr
    [printed] = [one["document"] for one in json.loads(done.stdout)["policies"] if one["purpose"] == "mfa"]
    # To this emulator every request of IAM's is about everything.
    statements = [{**statement, "Resource": "*"} for statement in printed["Statement"]]
    root = iam(ROOT_KEY, "any")
    root.create_user(UserName="keeper")

    def may(statements):
        document = json.dumps({**printed, "Statement": statements})
        root.put_user_policy(UserName="keeper", PolicyName="mfa", PolicyDocument=document)

    may(statements)
    key = root.create_access_key(UserName="keeper")["AccessKey"]
    stage.secret(key["SecretAccessKey"])
    own, serial = iam(key["AccessKeyId"], key["SecretAccessKey"]), f"arn:aws:iam::{ACCOUNT}:mfa/keeper"
    with stage.case("by the printed policy a user enrols a device of their own without a code"):
        own.list_virtual_mfa_devices(AssignmentStatus="Unassigned")
        assert own.create_virtual_mfa_device(VirtualMFADeviceName="keeper")["VirtualMFADevice"]["SerialNumber"] == serial
        own.enable_mfa_device(UserName="keeper", SerialNumber=serial, AuthenticationCode1=CODE, AuthenticationCode2=CODE[::-1])
        assert [it["SerialNumber"] for it in own.list_mfa_devices(UserName="keeper")["MFADevices"]] == [serial]
    with stage.case("by the printed policy nobody takes a device away without a code, for the sake of its condition"):
        try:
            own.deactivate_mfa_device(UserName="keeper", SerialNumber=serial)
        except own.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied", error
        else:
            raise AssertionError("it was taken away")
        may([{name: part for name, part in statement.items() if name != "Condition"} for statement in statements])
        own.deactivate_mfa_device(UserName="keeper", SerialNumber=serial)


def iam(id, secret):
    import boto3

    return boto3.client("iam", endpoint_url=URL, region_name=REGION, aws_access_key_id=id, aws_secret_access_key=secret)


def healthy():
    try:
        with urllib.request.urlopen(f"{URL}/_localemu/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def furnish(stage):
    """A user who may assume any role, and two roles that trust it: one wants MFA."""
    root = iam(ROOT_KEY, "any")
    root.create_user(UserName="me")
    root.put_user_policy(UserName="me", PolicyName="assume", PolicyDocument=document("sts:AssumeRole", Resource="*"))
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/me"}
    wants_mfa = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    for name, more in (("Admin", {"Condition": wants_mfa}), ("Open", {})):
        trust = document("sts:AssumeRole", Principal=principal, **more)
        root.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        root.put_role_policy(RoleName=name, PolicyName="s3", PolicyDocument=document("s3:*", Resource="*"))
    key = root.create_access_key(UserName="me")["AccessKey"]
    stage.secret(key["SecretAccessKey"])
    pathlib.Path(stage.dir / "daemon").mkdir()
    stage.write("daemon/base.json", {"Version": 1, "AccessKeyId": key["AccessKeyId"],
                                     "SecretAccessKey": key["SecretAccessKey"]})


def document(action, **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, **more}]})


main()
