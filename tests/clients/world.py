"""What the daemons of faults.py and soak.py are served by: a sandbox with one key, its MFA device, a few roles and an OpenID
provider.
"""

from stage import ACCOUNT

SECRET = 40 * "f"
BASE = {"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": SECRET}
# Renewed after 24 s and lent for 30: sessions so short that their ends can be waited for.
LIFE = 90
ISSUER, AUDIENCE = "https://token.sandbox.example", "sts.amazonaws.com"
SERIAL, SEED = f"arn:aws:iam::{ACCOUNT}:mfa/broker", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
SANDBOX = f"""
account = "{ACCOUNT}"
[limits]
min_duration = "1m"
[[user]]
name              = "broker"
access_key_id     = "{BASE['AccessKeyId']}"
secret_access_key = "{SECRET}"
mfa               = {{ serial = "{SERIAL}", seed = "{SEED}" }}
[[role]]
name             = "Reader"
trust.principals = ["arn:aws:iam::{ACCOUNT}:user/broker"]
[[role]]
name             = "Chained"
trust.principals = ["arn:aws:iam::{ACCOUNT}:role/Reader"]
[[role]]
name  = "Admin"
trust = {{ principals = ["arn:aws:iam::{ACCOUNT}:user/broker"], mfa = true }}
[[role]]
name  = "Workload"
trust = {{ provider = "{ISSUER}" }}
[[provider]]
issuer     = "{ISSUER}"
client_ids = ["{AUDIENCE}"]
key        = "generated"
"""


def token(stage, sandbox):
    """A web identity token that the sandbox takes."""
    made = sandbox.admin("POST", "token", {"issuer": ISSUER, "subject": "workload", "audience": AUDIENCE})["token"]
    stage.secret(made)
    return made
