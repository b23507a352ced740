"""boto3 against the sandbox: what the SDK signs is accepted, what it is refused is understood.

Run with SANDBOX_URL naming a sandbox that holds config/examples/sandbox.toml, or with CREDBROKER_TEST_BIN, the path of the
credbroker binary, which is then started and ended. Needs boto3. Ends with "N passed" and status 0, or with an assertion.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import struct
import subprocess
import sys
import time
import urllib.request
import zlib

for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import boto3  # noqa: E402
from botocore import UNSIGNED  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402

DEMO = ("AKIASANDBOXEXAMPLE22", "sandbox/EXAMPLEKEY/not/a/secret/demo0000")
ADMIN = ("AKIASANDBOXEXAMPLE33", "sandbox/EXAMPLEKEY/not/a/secret/admin000")
SERIAL = "arn:aws:iam::123456789012:mfa/admin"
SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
ROLE = "arn:aws:iam::123456789012:role/"


def client(url, keys, region="eu-west-1", service="sts", **options):
    config = Config(retries={"total_max_attempts": 1}, **options)
    access_key_id, secret_access_key, *token = keys or (None, None)
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        aws_session_token=token[0] if token else None,
        config=config,
    )


def held(answer):
    credentials = answer["Credentials"]
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    return tuple(credentials[name] for name in names)


def admin(url, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/_sandbox/{path}", data=data, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def refused(code, status, words, call, **parameters):
    try:
        call(**parameters)
    except ClientError as error:
        answer = error.response
        assert answer["Error"]["Code"] == code, answer
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == status, answer
        assert words in answer["Error"]["Message"], answer
        return
    raise AssertionError(f"{code} was expected")


def totp(at, seed=SEED):
    counter = struct.pack(">Q", int(at) // 30)
    digest = hmac.new(base64.b32decode(seed), counter, hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**6:06}"


def identity(url):
    answer = client(url, DEMO).get_caller_identity()
    assert answer["Arn"] == "arn:aws:iam::123456789012:user/demo", answer
    assert answer["Account"] == "123456789012", answer
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-requestid"] == answer["ResponseMetadata"]["RequestId"], answer
    refused(
        "SignatureDoesNotMatch", 403, "does not match the signature you provided",
        client(url, (DEMO[0], "wrong")).get_caller_identity,
    )
    refused(
        "InvalidClientTokenId", 403, "security token included in the request is invalid",
        client(url, ("AKIASTRANGERSTRANGER", "x")).get_caller_identity,
    )


def roles(url):
    first = client(url, DEMO).assume_role(
        RoleArn=ROLE + "Reader",
        RoleSessionName="boto+test@host",
        DurationSeconds=7200,
        ExternalId="a:/b",
        SourceIdentity="alice",
        Policy='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}',
        PolicyArns=[{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
        Tags=[{"Key": "team", "Value": "infra + söhne"}],
        TransitiveTagKeys=["team"],
    )
    assert first["AssumedRoleUser"]["Arn"].endswith("assumed-role/Reader/boto+test@host"), first
    assert first["SourceIdentity"] == "alice" and 0 < first["PackedPolicySize"] <= 100, first
    chained = client(url, held(first), region="ap-south-1")
    second = chained.assume_role(RoleArn=ROLE + "chained/Deployer", RoleSessionName="boto")
    third = client(url, held(second)).assume_role(RoleArn=ROLE + "Writer", RoleSessionName="boto")
    who = client(url, held(third)).get_caller_identity()["Arn"]
    assert who == "arn:aws:sts::123456789012:assumed-role/Writer/boto", who
    refused(
        "ValidationError", 400, "1 hour session limit for roles assumed by role chaining",
        chained.assume_role,
        RoleArn=ROLE + "Writer", RoleSessionName="boto", DurationSeconds=3601,
    )
    refused(
        "AccessDenied", 403, "is not authorized to perform: sts:AssumeRole on resource: " + ROLE + "Admin",
        client(url, DEMO).assume_role,
        RoleArn=ROLE + "Admin", RoleSessionName="boto",
    )


def mfa(url):
    now = time.time()
    code = totp(now)
    user = client(url, ADMIN)
    session = user.get_session_token(SerialNumber=SERIAL, TokenCode=code)
    answer = client(url, held(session)).assume_role(RoleArn=ROLE + "Admin", RoleSessionName="boto")
    assert answer["AssumedRoleUser"]["Arn"].endswith("/Admin/boto"), answer
    refused(
        "AccessDenied", 403, "invalid MFA one time pass code",
        user.get_session_token, SerialNumber=SERIAL, TokenCode=code,
    )
    refused(
        "AccessDenied", 403, "Please verify your MFA serial number is valid",
        user.get_session_token, SerialNumber=SERIAL + "-other", TokenCode=code,
    )
    next_code = totp(now + 30)
    answer = user.assume_role(
        RoleArn=ROLE + "Admin", RoleSessionName="boto", SerialNumber=SERIAL, TokenCode=next_code
    )
    refused(
        "AccessDenied", 403, "Cannot call GetSessionToken with session credentials",
        client(url, held(answer)).get_session_token,
    )


def access_keys(url):
    iam = client(url, DEMO, "us-east-1", "iam")
    assert iam.get_user()["User"]["Arn"] == "arn:aws:iam::123456789012:user/demo"
    made = iam.create_access_key()["AccessKey"]
    assert (made["UserName"], made["Status"]) == ("demo", "Active"), made
    key = {"AccessKeyId": made["AccessKeyId"]}
    refused("LimitExceeded", 409, "AccessKeysPerUser: 2", iam.create_access_key)
    assert "LastUsedDate" not in iam.get_access_key_last_used(**key)["AccessKeyLastUsed"]
    client(url, (made["AccessKeyId"], made["SecretAccessKey"])).get_caller_identity()
    used = iam.get_access_key_last_used(**key)["AccessKeyLastUsed"]
    assert (used["ServiceName"], used["Region"]) == ("sts", "eu-west-1"), used
    iam.update_access_key(Status="Inactive", **key)
    listed = [page["AccessKeyMetadata"] for page in iam.get_paginator("list_access_keys").paginate(PaginationConfig={"PageSize": 1})]
    assert sorted(one["Status"] for page in listed for one in page) == ["Active", "Inactive"], listed
    refused(
        "InvalidClientTokenId", 403, "security token included in the request is invalid",
        client(url, (made["AccessKeyId"], made["SecretAccessKey"])).get_caller_identity,
    )
    iam.delete_access_key(**key)
    refused("NoSuchEntity", 404, "cannot be found", iam.delete_access_key, **key)
    refused("AccessDenied", 403, "on resource: user admin", iam.list_access_keys, UserName="admin")


def devices(url):
    iam = client(url, DEMO, "us-east-1", "iam")
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="boto")["VirtualMFADevice"]
    serial, seed = device["SerialNumber"], device["Base32StringSeed"].decode()
    side, height = struct.unpack(">II", device["QRCodePNG"][16:24])
    assert device["QRCodePNG"].startswith(b"\x89PNG") and side == height, device["QRCodePNG"][:32]
    data = device["QRCodePNG"][41:-16]
    assert len(zlib.decompress(data)) == side * (1 + (side + 7) // 8), (side, len(data))
    now = time.time()
    enable = {"UserName": "demo", "SerialNumber": serial}
    refused(
        "InvalidAuthenticationCode", 403, "not valid", iam.enable_mfa_device,
        AuthenticationCode1="000000", AuthenticationCode2="000000", **enable,
    )
    codes = {"AuthenticationCode1": totp(now - 30, seed), "AuthenticationCode2": totp(now, seed)}
    iam.enable_mfa_device(**enable, **codes)
    assert [one["SerialNumber"] for one in iam.list_mfa_devices()["MFADevices"]] == [serial]
    code = totp(now + 30, seed)
    session = client(url, DEMO).get_session_token(SerialNumber=serial, TokenCode=code)
    with_mfa = client(url, held(session), "us-east-1", "iam")
    refused("DeleteConflict", 409, "Must deactivate first", with_mfa.delete_virtual_mfa_device, SerialNumber=serial)
    with_mfa.deactivate_mfa_device(SerialNumber=serial)
    refused("EntityTemporarilyUnmodifiable", 409, "used before", iam.enable_mfa_device, **enable, **codes)
    unassigned = iam.list_virtual_mfa_devices(AssignmentStatus="Unassigned")["VirtualMFADevices"]
    assert [one["SerialNumber"] for one in unassigned] == [serial], unassigned
    with_mfa.delete_virtual_mfa_device(SerialNumber=serial)
    without = client(url, held(client(url, DEMO).get_session_token()), "us-east-1", "iam")
    refused("InvalidClientTokenId", 403, "is invalid", without.list_access_keys)


def web_identity(url):
    wish = {
        "issuer": "https://token.sandbox.example",
        "subject": "system:serviceaccount:demo:boto",
        "audience": "sts.amazonaws.com",
    }
    token = admin(url, "POST", "token", wish)["token"]
    anonymous = client(url, None, signature_version=UNSIGNED)
    parameters = {"RoleArn": ROLE + "Workload", "RoleSessionName": "boto"}
    answer = anonymous.assume_role_with_web_identity(WebIdentityToken=token, **parameters)
    assert answer["SubjectFromWebIdentityToken"] == wish["subject"], answer
    who = client(url, held(answer)).get_caller_identity()["Arn"]
    assert who == "arn:aws:sts::123456789012:assumed-role/Workload/boto", who
    head, body, _ = token.split(".")
    refused(
        "InvalidIdentityToken", 400, "signature",
        anonymous.assume_role_with_web_identity,
        WebIdentityToken=f"{head}.{body}.{'A' * 86}", **parameters,
    )


def clock(url):
    user = client(url, DEMO)
    session = client(url, held(user.get_session_token(DurationSeconds=900)))
    session.get_caller_identity()
    admin(url, "POST", "clock", {"offset": "+1h"})
    try:
        # botocore reads the clock of the server from no answer of STS: it stays an hour behind.
        refused("SignatureDoesNotMatch", 403, "Signature expired", user.get_caller_identity)
    finally:
        admin(url, "POST", "clock", {"offset": "0s"})
    user.get_caller_identity()


def faults(url):
    user = client(url, DEMO)
    before = admin(url, "GET", "state")["counts"]["GetCallerIdentity"]
    admin(url, "POST", "faults", {"kind": "throttling", "operation": "GetCallerIdentity", "times": 2})
    refused("Throttling", 400, "Rate exceeded", user.get_caller_identity)
    refused("Throttling", 400, "Rate exceeded", user.get_caller_identity)
    user.get_caller_identity()
    after = admin(url, "GET", "state")["counts"]["GetCallerIdentity"]
    assert after["asked"] - before["asked"] == 3, (before, after)
    assert after["succeeded"] - before["succeeded"] == 1, (before, after)
    admin(url, "POST", "faults", {"kind": "server-error", "status": 503})
    refused("ServiceUnavailable", 503, "temporary failure", user.get_caller_identity)
    admin(url, "DELETE", "faults")
    user.get_caller_identity()


def run(url):
    # Codes that an earlier run spent are good again.
    admin(url, "POST", "reset")
    tests = [identity, roles, mfa, access_keys, devices, web_identity, clock, faults]
    for test in tests:
        test(url)
        print(f"ok {test.__name__}")
    print(f"{len(tests)} passed")


def main():
    url = os.environ.get("SANDBOX_URL")
    if url:
        return run(url)
    with subprocess.Popen([os.environ["CREDBROKER_TEST_BIN"], "sandbox"], stdout=subprocess.PIPE, text=True) as process:
        try:
            first = process.stdout.readline()
            run(re.search(r"http://\S+", first).group())
        finally:
            process.terminate()
    assert process.returncode == 0, process.returncode


if __name__ == "__main__":
    main()
