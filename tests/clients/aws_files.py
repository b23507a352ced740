"""The AWS shared files as botocore understands them, and as we do.

For every profile of every case, botocore's own credential chain is driven to its end: its calls to STS and to IAM Identity
Center are answered here, before they are sent, and written down with address, region, key and parameters. What it did is
compared with the plan that `credbroker check --json` shows for the same files.

The cases are the files in aws-files/, written by hand, and files from a seeded generator. DIFFERENCES says where we
differ from botocore on purpose.
"""

import hashlib
import io
import json
import os
import pathlib
import random
import re
import signal
import sys
import urllib.parse

from stage import ACCOUNT, BIN, ROOT, Stage, wait_for

DIFFERENCES = {
    "session": "A device is asked once: one GetSessionToken session serves its profiles, where botocore sends a code with each role",
    "later device": "A role that is assumed with another role's session is sent no code: a session has no device",
    "region": "Without a region STS is asked in that of the role's partition, where botocore asks sts.amazonaws.com, or refuses to ask an address of one's own",
    "elsewhere": "AWS's ranges of durations and ids bind where the STS is AWS, in botocore everywhere",
    "portal": "IAM Identity Center is asked at its own address, in botocore at the profile's endpoint_url if there is one",
    "host": "A request to an address of AWS's is signed for the region in the address, where botocore signs for the profile's",
    "refused": "What STS is known to refuse is left out, where botocore sends it",
    "odd": "A setting that is wrong leaves a profile out even where no STS is asked for it",
    "token": "A key with a session token is left out: nobody knows how long it lives",
    "nowhere": "A profile without credentials has none, where botocore goes on to the container's and the instance's",
    "client": "A profile whose credential_process asks credbroker is left out, being our client",
    "key": "A key alone is a source, never handed out; with mfa_serial or session_token a session of its user is",
    "broken": "The rest of a file is read where botocore refuses the whole for one line",
}
CASES = pathlib.Path(__file__).with_name("aws-files")
GENERATED = 60
SEED = 20260101
DEFAULT_NAME = re.compile(r"botocore-session-\d+")
SESSIONS = {"ASIAECS", "ASIAIMDS", "ASIASSO", "ASIALOGIN"}


def main():
    with Stage("aws_files") as stage:
        prepare(stage)
        botocore = Botocore()
        seen = set()
        for path in sorted(CASES.iterdir()):
            with stage.case(path.stem.replace("-", " ")):
                seen |= compare(stage, botocore, read_case(path))
        for number in range(GENERATED):
            with stage.case(f"generated files, number {number}"):
                seen |= compare(stage, botocore, generate(random.Random(SEED + number)))
        with stage.case("a daemon without a configuration lends what the files have, and reads them anew"):
            serve(stage)
        with stage.case("every difference that is written down is there"):
            assert seen == set(DIFFERENCES), f"not seen: {set(DIFFERENCES) - seen}, not written: {seen - set(DIFFERENCES)}"
    stage.exit()


def serve(stage):
    """`credbroker serve` with nothing but a home: a profile behind a real STS, then one more after SIGHUP."""
    moto = stage.moto()
    key = moto.user
    role = f"[profile {{}}]\nsource_profile = default\nrole_arn = {moto.role}\nendpoint_url = {moto.url}\nregion = eu-west-1\n"
    config = stage.write("case/config", role.format("'team a:b/c'"))
    stage.write("case/credentials", f"[default]\naws_access_key_id = {key['AccessKeyId']}\n"
                                    f"aws_secret_access_key = {key['SecretAccessKey']}\n")
    env = {**world(stage), "STATE_DIRECTORY": f"{stage.dir}/state", "RUNTIME_DIRECTORY": f"{stage.dir}/run",
           "CREDBROKER_CONTROL": f"{stage.dir}/run/control.sock"}
    (stage.dir / "run").mkdir()
    daemon = stage.spawn("serve", [BIN, "serve"], env)
    listed = lambda: stage.run(BIN, "list", env=env).stdout
    wait_for(lambda: "team a:b/c" in listed(), "the daemon", daemon)
    done = stage.run(BIN, "process", "team a:b/c", env=env, secret_stdout=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["AccessKeyId"].startswith("ASIA")
    config.write_text(config.read_text() + role.format("more"))
    daemon.send_signal(signal.SIGHUP)
    wait_for(lambda: "more" in listed(), "the new profile", daemon)


def prepare(stage):
    """The world that both look at: a home, programs, a CA, keys in the environment, a sign-in."""
    stage.write("bin/creds", """#!/bin/sh
printf '{"Version": 1, "AccessKeyId": "%s", "SecretAccessKey": "x", "SessionToken": "x", "Expiration": "2099-01-01T00:00:00Z"}' "$1"
""", 0o700)
    stage.write("credbroker", """#!/bin/sh
printf '{"Version": 1, "AccessKeyId": "AKIAOURS", "SecretAccessKey": "x", "SessionToken": "x", "Expiration": "2099-01-01T00:00:00Z"}'
""", 0o700)
    stage.write("ca.pem", (ROOT / "tests/it/config/ca.pem").read_text())
    stage.write("token", "a.b.c")
    for name in ("corp", "https://legacy.awsapps.com/start"):
        digest = hashlib.sha1(name.encode()).hexdigest()
        stage.write(f"home/.aws/sso/cache/{digest}.json", {
            "startUrl": "https://corp.awsapps.com/start", "region": "eu-west-1", "accessToken": "t",
            "expiresAt": "2099-01-01T00:00:00Z"})
    for name in list(os.environ):
        if name.startswith("AWS_"):
            del os.environ[name]
    os.environ.update(world(stage))


def world(stage):
    return {
        "HOME": str(stage.home), "PATH": f"{stage.dir}/bin:/usr/bin:/bin", "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/",
        "AWS_CONFIG_FILE": str(stage.dir / "case/config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(stage.dir / "case/credentials"),
        "XDG_CONFIG_HOME": str(stage.dir / "none"), "AWS_EC2_METADATA_DISABLED": "true",
    }


def read_case(path):
    """A case's parts by name: `config`, `credentials`, and, where botocore refuses those, `repaired config`."""
    parts = {}
    for part in re.split(r"^--- ", path.read_text(), flags=re.M)[1:]:
        name, text = part.split("\n", 1)
        parts[name.strip()] = text
    return parts


def compare(stage, botocore, parts):
    """Fails where the two differ without a reason; the reasons that were met."""
    place(stage, parts.get("config"), parts.get("credentials"))
    done = stage.run(BIN, "check", "--config", stage.write("ours.toml", OURS), "--json", env=world(stage))
    assert done.returncode in (0, 78), done.stderr
    ours = json.loads(done.stdout)
    reasons = set()
    if any(part.startswith("repaired") for part in parts):
        whole = botocore.names()
        assert isinstance(whole, Exception), "botocore reads the file as it is"
        assert any("AWS's own tools may read nothing" in line for line in ours["faults"]), ours["faults"]
        reasons.add("broken")
        place(stage, parts.get("repaired config", parts.get("config")),
              parts.get("repaired credentials", parts.get("credentials")))
    names = botocore.names()
    if isinstance(names, Exception):
        raise names
    plans = {plan["name"]: plan for plan in ours["profiles"] if plan["name"] != "ours"}
    assert set(plans) | set(ours["sources"]) - {"base"} <= set(names), "profiles out of nowhere"
    for name in names:
        mine = plans.get(name, "source" if name in ours["sources"] else None)
        theirs = botocore.resolve(name)
        try:
            reasons |= judge(botocore, mine, theirs)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}\nours {json.dumps(mine)}\nbotocore {theirs}\n{ours['faults']}") from None
        shown = name.replace("'", "\\'").replace('"', '\\"')
        reported = any(f"`{shown}`" in line for line in ours["faults"])
        quiet = theirs.get("nothing") or theirs.get("base") == "AKIAOURS"
        assert mine or reported or quiet, f"{name} is left out and nobody is told: {ours['faults']}"
    return reasons


# One profile of ours keeps the configuration legal where the AWS files have none to lend.
OURS = """[daemon]
aws_profiles = true
[profile.base]
access_key = { env = true }
[profile.ours]
source_profile = "base"
role_arn = "arn:aws:iam::123456789012:role/ours"
"""


def place(stage, config, credentials):
    for name, text in (("config", config), ("credentials", credentials)):
        path = stage.write(f"case/{name}", (text or "").replace("{DIR}", str(stage.dir)))
        if text is None:
            path.unlink()


def judge(botocore, mine, theirs):
    """Whether our plan `mine` is what botocore did; the differences that are on purpose."""
    if theirs.get("error") == "NoRegionError" and mine and not theirs["profile"].get("region"):
        assert all(hop["sts"]["endpoint_url"] and hop["sts"]["region"] == "us-east-1" for hop in mine["hops"])
        return {"region"}
    if theirs.get("error") == "ParamValidationError" and mine:
        assert all(hop["sts"]["kind"] != "aws" for hop in mine["hops"] if "sts" in hop), theirs["message"]
        return {"elsewhere"}
    if "error" in theirs:
        assert mine is None, f"botocore refuses it: {theirs['message']}"
        return set()
    if theirs.get("nothing"):
        assert mine is None, "botocore finds nothing in it"
        return {"nowhere"}
    if theirs["base"] == "AKIAOURS":
        assert mine is None, "it asks ourselves"
        return {"client"}
    if theirs.get("token"):
        assert mine is None, "it is a session"
        return {"token"}
    if refused(theirs):
        assert mine is None, "STS would refuse it"
        return {"refused"}
    if mine is None and not theirs["calls"] and theirs["profile"].keys() & {"sts_regional_endpoints", "services"}:
        return {"odd"}
    assert mine is not None, "botocore has credentials for it"
    if theirs["base"] and theirs["base"].startswith("AKIA") and not theirs["calls"]:
        if mine != "source":
            [hop] = mine["hops"]
            assert hop["call"] == "GetSessionToken"
            assert (hop["mfa"] or {}).get("serial") == theirs["profile"].get("mfa_serial")
            assert hop["mfa"] or theirs["profile"].get("session_token") == "true"
        else:
            assert "mfa_serial" not in theirs["profile"] and "session_token" not in theirs["profile"]
        return {"key"}
    assert mine != "source"
    return judge_plan(botocore, mine, theirs)


def judge_plan(botocore, mine, theirs):
    reasons = set()
    hops = [dict(hop) for hop in mine["hops"]]
    if hops[0].get("call") == "GetSessionToken":
        session = hops.pop(0)
        assert hops and not hops[0]["mfa"] and session["mfa"]["code"] == "prompt" and session["duration_seconds"] == 43200
        hops[0]["mfa"] = session["mfa"]
        reasons.add("session")
    base = mine["base"]
    if hops[0].get("provider"):
        base = hops.pop(0)
    if theirs["sso"] and "endpoint_url" in theirs["profile"]:
        theirs["sso"][2] = base["sso_region"]
        reasons.add("portal")
    judge_base(base, theirs)
    assert len(hops) == len(theirs["calls"]), "as many hops"
    for number, (hop, call) in enumerate(zip(hops, theirs["calls"])):
        same(hop["call"], call["Action"])
        same(hop["role_arn"], call["RoleArn"])
        same(hop["duration_seconds"], call.get("DurationSeconds") and int(call["DurationSeconds"]))
        same(hop["external_id"], "ExternalId" in call)
        name = call["RoleSessionName"]
        same(hop["role_session_name"], default_name() if DEFAULT_NAME.fullmatch(name) else name)
        serial = call.get("SerialNumber")
        if serial and (number or theirs["base"] in SESSIONS or not theirs["base"]):
            reasons.add("later device")
            serial = None
        same((hop.get("mfa") or {}).get("serial"), serial)
        reasons |= judge_sts(botocore, hop["sts"], call, theirs["profile"])
    return reasons


def judge_base(base, theirs):
    key = theirs["base"]
    if base is None:
        assert key is None, "a token starts it"
    elif base.get("key") == "aws_profile":
        assert key.startswith("AKIA"), key
        same(base["name"], theirs["owner"])
    elif base["provider"] == "credential_process":
        assert key.startswith("ASIAPROC"), key
    elif base["provider"] == "sso":
        same([base["sso_account_id"], base["sso_role_name"], base["sso_region"]], theirs["sso"])
    elif base["provider"] == "login":
        same(base["login_session"], theirs["login"])
    else:
        same(base["provider"], {"AKIAENV": "Environment", "ASIAECS": "EcsContainer", "ASIAIMDS": "Ec2InstanceMetadata"}.get(key))


def judge_sts(botocore, sts, call, profile):
    reasons = set()
    same(sts["ca_bundle"], call["verify"])
    unsigned = call["Action"] == "AssumeRoleWithWebIdentity"
    if not profile.get("region") and not sts["endpoint_url"]:
        # What they ask then is the same for every partition.
        url, region = botocore.endpoint(None, sts)
        same(url, call["url"])
        assert unsigned or region == call["region"]
        partition = call["RoleArn"].split(":")[1]
        same(sts["region"], {"aws": "us-east-1", "aws-cn": "cn-northwest-1", "aws-us-gov": "us-gov-west-1"}[partition])
        return {"region"}
    url, region = botocore.endpoint(sts["region"], sts)
    same(url, call["url"])
    if region != call["region"] and not unsigned:
        assert "amazonaws" in url and url.split(".")[1] in (region, "amazonaws"), (region, call["region"])
        reasons.add("host")
    return reasons


def refused(theirs):
    """Whether STS is known to refuse one of the calls (its service model, and the limit of role chaining)."""
    for number, call in enumerate(theirs["calls"]):
        is_aws = "amazonaws" in call["url"] or "api.aws" in call["url"]
        seconds = int(call.get("DurationSeconds", 3600))
        chained = number > 0 or theirs["base"] in SESSIONS
        partition, account = call["RoleArn"].split(":")[1], call["RoleArn"].split(":")[4]
        aws_cn = ".cn/" in call["url"] + "/"
        legal = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
        if is_aws and not 900 <= seconds <= 43200 or is_aws and chained and seconds > 3600:
            return True
        if is_aws and (not re.fullmatch(r"\d{12}", account) or (partition == "aws-cn") != aws_cn and theirs["profile"].get("region")):
            return True
        if not legal.fullmatch(call["RoleSessionName"]) or "u2f/" in call.get("SerialNumber", "") and not chained:
            return True
        if is_aws and "ExternalId" in call and not re.fullmatch(r"[\w+=,.@:/-]{2,1224}", call["ExternalId"], re.ASCII):
            return True
    return False


def same(ours, theirs):
    assert ours == theirs, f"ours {ours!r}, botocore's {theirs!r}"


def default_name():
    import getpass
    import pwd
    import socket

    user = pwd.getpwuid(os.geteuid()).pw_name or getpass.getuser()
    name = f"{user}-{socket.gethostname().split('.')[0]}"
    return re.sub(r"[^A-Za-z0-9_=,.@-]", "-", name)[:64]


class Botocore:
    """botocore with its own files, chain, clients and signatures, and answers from here."""

    def __init__(self):
        import botocore.credentials as credentials
        import botocore.endpoint
        import botocore.loaders
        import botocore.session
        from botocore.credentials import Credentials

        self.sessions = botocore.session
        self.loader = botocore.loaders.create_loader()
        self.endpoints = {}
        self.calls = []
        self.plain = self._session(None)
        assert self.plain.available_profiles == []
        given = lambda key: lambda *_: Credentials(key, "x", "x", method="elsewhere")
        credentials.ContainerProvider.load = given("ASIAECS")
        credentials.InstanceMetadataProvider.load = given("ASIAIMDS")
        # Its signature needs a library that is not here; who signs in is not what is compared.
        credentials.EC = credentials.EC or object
        fetcher = credentials.LoginCredentialFetcher
        fetcher.load_cached_credentials = fetcher.refresh_credentials = lambda this: self._login(this._session_name)
        begin = credentials.AssumeRoleProvider.__init__
        credentials.AssumeRoleProvider.__init__ = (
            lambda *args, **options: begin(*args, **{**options, "prompter": lambda *_: "123456"}))
        original = botocore.endpoint.EndpointCreator.create_endpoint

        def create_endpoint(this, *args, **options):
            self.verify = options.get("verify")
            return original(this, *args, **options)

        botocore.endpoint.EndpointCreator.create_endpoint = create_endpoint

    def names(self):
        """The profiles of the files, or why it reads none."""
        import botocore.exceptions

        try:
            return self._session(None).available_profiles
        except botocore.exceptions.ConfigParseError as error:
            return error

    def resolve(self, name):
        """Where the credentials of a profile come from, call by call."""
        from botocore.exceptions import BotoCoreError

        self.calls, self.sso, self.login = [], None, None
        session = self._session(name)
        profile = session.full_config["profiles"][name]
        try:
            found = session.get_credentials()
            key = found.get_frozen_credentials().access_key if found else None
        except (BotoCoreError, OSError, AttributeError, ValueError) as error:
            return {"error": type(error).__name__, "message": str(error), "profile": profile}
        signers = [call.pop("signer") for call in self.calls]
        base = signers[0] if signers else key
        where = self._owner(session, base)
        nothing = not self.calls and (found is None or found.method == "elsewhere")
        return {
            "nothing": nothing, "base": base, "calls": self.calls, "profile": profile, "sso": self.sso, "login": self.login,
            "owner": where[0], "token": where[1],
        }

    def endpoint(self, region, sts):
        """The address and the region of the signature that these settings come to."""
        key = (region, sts["endpoint_url"], sts["use_fips_endpoint"], sts["use_dualstack_endpoint"])
        if key not in self.endpoints:
            from botocore.config import Config

            self.calls = []
            options = Config(use_fips_endpoint=key[2], use_dualstack_endpoint=key[3])
            client = self.plain.create_client("sts", region_name=region, endpoint_url=key[1], config=options,
                                           aws_access_key_id="AKIA", aws_secret_access_key="x")
            client.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/x", RoleSessionName="xx")
            self.endpoints[key] = (self.calls[0]["url"], self.calls[0]["region"])
        return self.endpoints[key]

    def _session(self, profile):
        session = self.sessions.Session(profile=profile)
        session.register_component("data_loader", self.loader)
        session.register("before-send.sts", self._sts)
        session.register("before-send.sso", self._identity_center)
        return session

    def _owner(self, session, key):
        """The profile whose key it is, and whether a session token stands beside it."""
        for name, profile in session.full_config["profiles"].items():
            if profile.get("aws_access_key_id") == key:
                return name, "aws_session_token" in profile or "aws_security_token" in profile
        return None, False

    def _sts(self, request, **_):
        body = request.body.decode() if isinstance(request.body, bytes) else request.body
        call = {key: values[0] for key, values in urllib.parse.parse_qs(body, keep_blank_values=True).items()}
        signed = re.search(r"Credential=([^/]+)/\d+/([^/]+)/sts/", str(request.headers.get("Authorization", "")))
        call["signer"], region = signed.groups() if signed else (None, None)
        call["url"], call["verify"] = request.url.rstrip("/"), self.verify if isinstance(self.verify, str) else None
        call["region"] = region
        self.calls.append(call)
        action = call["Action"]
        return answer(request.url, f"""<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>
<Credentials><AccessKeyId>ASIASTS{len(self.calls)}</AccessKeyId><SecretAccessKey>x</SecretAccessKey>
<SessionToken>x</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
<AssumedRoleUser><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser>
</{action}Result></{action}Response>""")

    def _identity_center(self, request, **_):
        url = urllib.parse.urlsplit(request.url)
        asked = urllib.parse.parse_qs(url.query)
        region = re.match(r"portal\.sso(?:-fips)?\.([^.]+)\.", url.hostname)
        self.sso = [asked["account_id"][0], asked["role_name"][0], region and region[1]]
        return answer(request.url, json.dumps({"roleCredentials": {
            "accessKeyId": "ASIASSO", "secretAccessKey": "x", "sessionToken": "x", "expiration": 4070908800000}}))

    def _login(self, name):
        self.login = name
        return {"access_key": "ASIALOGIN", "secret_key": "x", "token": "x", "account_id": None,
                "expiry_time": "2099-01-01T00:00:00Z"}


def answer(url, text):
    from botocore.awsrequest import AWSResponse

    class Raw(io.BytesIO):
        def stream(self, **_):
            yield self.read()

    return AWSResponse(url, 200, {}, Raw(text.encode()))


def generate(dice):
    """Files that hang together more often than not."""
    names = dice.sample(["default", "a", "b", "c", "team x", "d/e:f", "ö", "g.h"], dice.randint(2, 7))
    config, credentials = [], []
    for name in names:
        own = profile_lines(dice, names)
        keys = []
        if dice.random() < 0.35:
            keys = [f"aws_access_key_id = AKIA{dice.randrange(10**6)}", "aws_secret_access_key = hush"]
            if dice.random() < 0.1:
                keys.pop()
            if dice.random() < 0.1:
                keys.append("aws_session_token = hush")
        in_config = [line for line in own if dice.random() < 0.9]
        in_credentials = [line for line in own if line not in in_config]
        (in_credentials if dice.random() < 0.7 else in_config).extend(keys)
        header = name if name == "default" and dice.random() < 0.8 else f"profile {dice.choice(QUOTES)(name)}"
        if in_config or dice.random() < 0.3:
            config += [dice.choice(["", "# hush", "; hush\n"]), f"[{header}]", *in_config]
        if in_credentials:
            credentials += ["", f"[{name}]", *in_credentials]
    config += ["", "[services local]", "sts =", "  endpoint_url = http://127.0.0.1:9/sts", "s3 =", "  endpoint_url = http://127.0.0.1:8",
               "", "[sso-session corp]", "sso_region = eu-west-1", "sso_start_url = https://corp.awsapps.com/start"]
    return {"config": "\n".join(config) + "\n", "credentials": "\n".join(credentials) + "\n"}


QUOTES = [lambda it: f'"{it}"', lambda it: f"'{it}'", lambda it: it.replace(" ", "\\ ")]


def profile_lines(dice, names):
    maybe = lambda chance, *lines: [dice.choice(lines)] if dice.random() < chance else []
    role = f"arn:aws:iam::{ACCOUNT}:role/r{dice.randrange(3)}"
    lines = maybe(0.6, "region = eu-west-1", "region=us-east-1", "Region : ap-south-1", "region = me-south-1")
    lines += maybe(0.15, "endpoint_url = http://127.0.0.1:7", "services = local", "services = none",
                   "ignore_configured_endpoint_urls = true")
    lines += maybe(0.1, "sts_regional_endpoints = legacy", "sts_regional_endpoints = regional", "sts_regional_endpoints = x")
    lines += maybe(0.1, "use_fips_endpoint = true", "use_dualstack_endpoint = true", "use_fips_endpoint = no")
    lines += maybe(0.1, "ca_bundle = {DIR}/ca.pem")
    lines += maybe(0.3, "output = json", "s3 =\n  max_concurrent_requests = 20\n  addressing_style = path", "cli_pager =")
    kind = dice.random()
    if kind < 0.55:
        lines += [f"role_arn = {role}"]
        lines += maybe(0.9, *[f"source_profile = {name}" for name in names]) or maybe(
            0.8, "credential_source = Environment", "credential_source = Ec2InstanceMetadata",
            "credential_source = EcsContainer", "credential_source = environment")
        lines += maybe(0.3, "duration_seconds = 3600", "duration_seconds = 900", "duration_seconds = 7200",
                       "duration_seconds = 60", "duration_seconds = soon")
        lines += maybe(0.3, "role_session_name = me@host", "role_session_name = x y", "role_session_name = me")
        lines += maybe(0.2, "external_id = a:b/c", "external_id = x")
        lines += maybe(0.3, f"mfa_serial = arn:aws:iam::{ACCOUNT}:mfa/me", "mfa_serial = GAHT12345678",
                       f"mfa_serial = arn:aws:iam::{ACCOUNT}:u2f/user/me/default-ABC")
        lines += maybe(0.1, "web_identity_token_file = {DIR}/token")
    elif kind < 0.65:
        lines += ["credential_process = creds 'ASIAPROC ESS' x"]
    elif kind < 0.8:
        lines += [f"sso_account_id = {ACCOUNT}", *maybe(0.9, "sso_role_name = Admin"), *maybe(0.9, "sso_session = corp")]
    elif kind < 0.9:
        lines += maybe(0.7, f"mfa_serial = arn:aws:iam::{ACCOUNT}:mfa/me", "session_token = true")
    elif kind < 0.95:
        lines += [f"login_session = arn:aws:iam::{ACCOUNT}:user/me"]
    return lines


if __name__ == "__main__":
    sys.exit(main())
