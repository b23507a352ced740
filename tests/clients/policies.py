"""What `credbroker check --policies` prints for a web identity and for MFA devices, put to the test: the sandbox judges the trust in
a token, and moto in auth mode what a user may do about a device.
"""

import json

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from stage import ACCOUNT, BIN, REGION, Sandbox, Stage

ROLE = f"arn:aws:iam::{ACCOUNT}:role/Job"
SERIAL = f"arn:aws:iam::{ACCOUNT}:mfa/me"
ISSUER, OTHER_ISSUER = "https://token.sandbox.example", "https://other.sandbox.example"
AUDIENCE, OTHER_AUDIENCE = "sts.amazonaws.com", "https://app.example"
SUBJECT, OTHER_SUBJECT = "system:serviceaccount:demo:job", "system:serviceaccount:demo:jobber"
PROVIDERS = "".join(f"""
[[provider]]
issuer     = "{issuer}"
client_ids = ["{AUDIENCE}", "{OTHER_AUDIENCE}"]
key        = "generated"
""" for issuer in (ISSUER, OTHER_ISSUER))
WORKLOAD = """
[profile.job]
role_arn = "{role}"
web_identity_token = {{ file = "token" }}
endpoint_url = "{url}"
"""
DEVICE = """
[profile.base]
access_key = {{ file = "base.json" }}
mfa = "me"
[mfa.me]
serial = "{serial}"
code = {{ totp = {{ file = "me.seed" }} }}
[profile.admin]
source_profile = "base"
role_arn = "{role}"
endpoint_url = "{url}"
"""


def main():
    with Stage("policies") as stage:
        web_identity(stage)
        devices(stage)
    stage.exit()


def printed(stage, name, text, purpose):
    """The document of that purpose which is printed for the last profile of a configuration."""
    config = stage.write(f"{name}/config.toml", '[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n' + text)
    profile = "job" if "profile.job" in text else "admin"
    done = stage.run(BIN, "check", "--policies", profile, "--json", "--config", config)
    assert done.returncode == 0, done.stderr
    [document] = [one["document"] for one in json.loads(done.stdout)["policies"] if one["purpose"] == purpose]
    return document


def web_identity(stage):
    sandbox = Sandbox(stage, PROVIDERS)

    def token(issuer=ISSUER, subject=SUBJECT, audience=AUDIENCE):
        wish = {"issuer": issuer, "subject": subject, "audience": audience}
        made = sandbox.admin("POST", "token", wish)["token"]
        stage.secret(made)
        return made

    good = token()
    stage.write("job/token", good)
    text = WORKLOAD.format(role=ROLE, url=sandbox.url)
    [statement] = printed(stage, "job", text, "trust")["Statement"]
    with stage.case("the trust policy is about the provider of the token, its audience and its subject, and nothing else"):
        assert statement["Effect"] == "Allow" and statement["Action"] == "sts:AssumeRoleWithWebIdentity", statement
        account, _, provider = statement["Principal"]["Federated"].partition(":oidc-provider/")
        assert account == f"arn:aws:iam::{ACCOUNT}" and list(statement["Condition"]) == ["StringEquals"], statement
        equal = statement["Condition"]["StringEquals"]
        assert set(equal) == {f"{provider}:aud", f"{provider}:sub"}, equal
    sandbox.admin("POST", "roles", {"name": "Job", "trust": {
        "provider": f"https://{provider}", "audience": equal[f"{provider}:aud"], "subject": equal[f"{provider}:sub"]}})
    sts = boto3.client("sts", endpoint_url=sandbox.url, region_name=REGION, config=Config(signature_version=UNSIGNED))

    def outcome(token):
        try:
            lent = sts.assume_role_with_web_identity(RoleArn=ROLE, RoleSessionName="me", WebIdentityToken=token)
            stage.secret(lent["Credentials"]["SecretAccessKey"], lent["Credentials"]["SessionToken"])
            return "admitted"
        except ClientError as error:
            return error.response["Error"]["Code"]

    with stage.case("with that trust policy the role is taken with this token"):
        assert outcome(good) == "admitted"
        daemon = stage.daemon('[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n' + text, name="job")
        assert daemon.run("whoami", "job").returncode == 0
        daemon.stop()
    for what, other in (("issuer", {"issuer": OTHER_ISSUER}), ("audience", {"audience": OTHER_AUDIENCE}),
                        ("subject", {"subject": OTHER_SUBJECT})):
        with stage.case(f"with that trust policy a token of another {what} is refused"):
            assert outcome(token(**other)) == "AccessDenied"


# What somebody does about a device of their own, one call after the other, and what it needs.
LIFE = [
    ("iam:GetUser", lambda iam, name: iam.get_user()),
    ("iam:ListVirtualMFADevices", lambda iam, name: iam.list_virtual_mfa_devices(AssignmentStatus="Unassigned")),
    ("iam:CreateVirtualMFADevice", lambda iam, name: iam.create_virtual_mfa_device(VirtualMFADeviceName=f"by-{name}")),
    ("iam:EnableMFADevice", lambda iam, name: iam.enable_mfa_device(
        UserName=name, SerialNumber=device(name), AuthenticationCode1="123456", AuthenticationCode2="654321")),
    ("iam:ListMFADevices", lambda iam, name: iam.list_mfa_devices(UserName=name)),
    ("iam:DeactivateMFADevice", lambda iam, name: iam.deactivate_mfa_device(UserName=name, SerialNumber=device(name))),
    ("iam:DeleteVirtualMFADevice", lambda iam, name: iam.delete_virtual_mfa_device(SerialNumber=device(name))),
]


def device(name):
    return f"arn:aws:iam::{ACCOUNT}:mfa/by-{name}"


def devices(stage):
    text = DEVICE.format(role=ROLE, url="http://127.0.0.1:1", serial=SERIAL)
    stage.write("printed/me.seed", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
    stage.write("printed/base.json", {"Version": 1, "AccessKeyId": "AKIAPRINTEDEXAMPLE22", "SecretAccessKey": "none"})
    document = printed(stage, "printed", text, "mfa")
    actions = {action for statement in document["Statement"] for action in listed(statement)}
    with stage.case("the policy names the calls that are made about a device, and no others"):
        assert actions == {action for action, _ in LIFE}, actions
    users = {}

    def furnish(moto):
        users["exact"] = moto._user("exact", json.dumps(widened(document, actions)))
        for action in actions:
            name = "without-" + action.partition(":")[2]
            users[action] = moto._user(name, json.dumps(widened(document, actions - {action})))
            # Its own calls cannot have made what it is to delete or to give back.
            moto.iam.create_virtual_mfa_device(VirtualMFADeviceName=f"by-{name}")

    moto = stage.moto(furnish)

    def iam(key):
        return boto3.client("iam", endpoint_url=moto.url, region_name=REGION, aws_access_key_id=key["AccessKeyId"],
                            aws_secret_access_key=key["SecretAccessKey"])

    with stage.case("moto: with exactly that policy a device is made, enabled, listed, taken away and deleted"):
        for _, call in LIFE:
            call(iam(users["exact"]), "exact")
    with stage.case("moto: with exactly that policy no key is made"):
        assert refusal(lambda: iam(users["exact"]).create_access_key()).endswith("iam:CreateAccessKey")
    for action, call in LIFE:
        with stage.case(f"moto: without {action} its call is refused"):
            name = "without-" + action.partition(":")[2]
            assert refusal(lambda: call(iam(users[action]), name)).endswith(action)


def listed(statement):
    action = statement["Action"]
    return [action] if isinstance(action, str) else action


def widened(document, actions):
    """The document with these actions of it alone. To moto every request of IAM's is about everything, and no condition holds
    it back.
    """
    statements = [{"Effect": statement["Effect"], "Action": kept, "Resource": "*"} for statement in document["Statement"]
                  if (kept := [action for action in listed(statement) if action in actions])]
    return {**document, "Statement": statements}


def refusal(call):
    """The message of the refusal that comes of a call."""
    try:
        call()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
        return error.response["Error"]["Message"]
    raise AssertionError("it was served")


if __name__ == "__main__":
    main()
