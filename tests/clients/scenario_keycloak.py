"""A client of a real Keycloak has a role of a real Ceph gateway, as docs/scenarios/ceph-web-identity.md says.

The realm, the provider, the role, the configuration and all commands are the page's own; the tokens live for less than
a session, and both for so little that several follow one another while one looks.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import time

from bad_input import refused
from ceph import Ceph
from keycloak import Keycloak
from page import Page
from stage import BIN, VENV, Stage, end

NAME = "ceph-web-identity.md"
WATCH = pathlib.Path(__file__).with_name("watch.py")
# What a test needs and a page does not: places of its own, and sessions that end while one looks.
DAEMON = """
[daemon]
state_dir = "state"
control = "control.sock"
"""
# A session of that length is renewed after 24 to 28 s, and its token is dead by then.
LIFE, TOKEN_LIFE, WATCHED = 90, 8, 34


def main():
    with Stage("scenario_keycloak") as stage:
        keycloak = None
        with stage.case("a gateway and Keycloak start"):
            ceph = Ceph(stage, shortest=LIFE)
            page, keycloak = both(stage, ceph)
        if keycloak:
            scenario(stage, page, keycloak)
    stage.exit()


def both(stage, ceph):
    """The page, with the gateway and with a Keycloak whose realms are the page's and one with its keys swapped."""
    page = Page(stage, NAME, [("https://rgw.example:8443", ceph.tls_url)])
    page.program("radosgw-admin", *ceph.admin)
    page.script("Keycloak")
    secret = (page.dir / "portal-secret").read_text().strip()
    stage.secret(secret)
    realm = page.block("Keycloak", "json").replace('"accessTokenLifespan": 300', f'"accessTokenLifespan": {TOKEN_LIFE}')
    swapped = realm.replace('"demo"', '"swapped"').replace('["100"]', '["300"]')
    keycloak = Keycloak(stage, [realm, swapped], PORTAL_SECRET=secret)
    print(f"Keycloak was up after {keycloak.seconds:.1f} s", flush=True)
    page.swaps += [("https://sso.example", keycloak.url), ("sso.example", f"127.0.0.1:{keycloak.port}"),
                   ("sso.internal", f"localhost:{keycloak.port}"), ("/etc/credbroker", str(page.dir))]
    shutil.copy(ceph.ca, page.dir / "rgw-ca.pem")
    shutil.copy(keycloak.ca, page.dir / "sso-ca.pem")
    return page, keycloak


def scenario(stage, page, keycloak):
    with stage.case("a provider and a role are made as the page says"):
        page.script("Its keys")
        page.script("The gateway")
        stage.secret(json.loads((page.dir / "tester1.json").read_text())["SecretAccessKey"])
    plain = page.block("credbroker", "toml")
    brief = plain.replace("profile.portal", "profile.brief").replace("role_arn", f"duration_seconds = {LIFE}\nrole_arn")
    # The realm whose key for encryption comes first.
    swapped = plain.replace("profile.portal", "profile.swapped").replace("/Portal", "/Swapped").replace("/demo", "/swapped")
    others = [page.block(heading, "toml") for heading in ("Refusals", "Tokens from elsewhere")]
    daemon = stage.daemon("\n".join([DAEMON, plain, brief, swapped, *others]), name="page")
    there = {"CREDBROKER_CONTROL": daemon.control}
    with stage.case("client credentials, a token, a role, a bucket"):
        page.console("A bucket", **there)
    watch = stage.spawn("watch", [BIN, "exec", "brief", "--", VENV / "python", WATCH, "orders", WATCHED],
                        daemon.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with stage.case("refusals are as the page says"):
        page.console("Refusals", **there)
    with stage.case("a key that is not the first is refused, though all else is the same"):
        first_key(page, daemon, there)
    with stage.case("a command may bring the token"):
        stage.write("page/token.sh", page.block("Tokens from elsewhere", "sh"))
        page.console("Tokens from elsewhere", **there)
    with stage.case("sessions are renewed without a gap, though no token outlives one"):
        seen = json.loads(watch.communicate(timeout=2 * WATCHED)[0])
        assert not seen["failures"], seen["failures"]
        assert seen["calls"] > WATCHED and len(seen["keys"]) >= 2, seen
    with stage.case("a secret that is no longer good is told, and its successor taken at once"):
        secret = keycloak.new_secret("demo", "customer-portal")
        stage.secret(secret)
        refusal, success = page.transcript("A new secret")
        time.sleep(TOKEN_LIFE)
        page.follow([refusal], **there)
        stage.write("page/portal-secret", secret + "\n")
        page.follow([success], **there)
    with stage.case("while Keycloak is down, what is held is lent"):
        end(keycloak.process)
        time.sleep(TOKEN_LIFE)
        page.console("Tokens and sessions", **there)
    with stage.case("and where nothing is held, nothing is waited for in vain"):
        assert daemon.run("forget", "portal").returncode == 0
        refused(daemon.run("process", "portal"), 75, f"{keycloak.url}/realms/demo cannot be reached")
    with stage.case("no token is in any log"):
        logs = [path for path in stage.out.rglob("*.log") if b"eyJ" in path.read_bytes()]
        assert not logs, logs


def first_key(page, daemon, there):
    """The other realm is registered, and trusted by a role, as the first one is."""
    script = re.sub(r"^.*user create.*$", "", page.block("The gateway", "sh"), flags=re.MULTILINE)
    script = script.replace("realms/demo", "realms/swapped").replace("--role-name Portal", "--role-name Swapped")
    done = page.bash(f"set -euo pipefail\n{script}", there)
    assert done.returncode == 0, done.stderr[-400:]
    done = page.bash("! " + page.block("Its keys", "sh").replace("realms/demo", "realms/swapped"), there)
    assert done.returncode == 0, "the key that signs comes first"
    refused(daemon.run("process", "swapped"), 81, "AccessDenied", "role/Swapped")


if __name__ == "__main__":
    sys.exit(main())
