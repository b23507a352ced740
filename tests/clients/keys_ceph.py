"""The life of an access key of a real Ceph gateway by `credbroker keys`: made, rotated while a client asks the daemon
throughout, killed on the way, deleted; and the refusals.
"""

import json
import os
import random
import shlex
import signal
import subprocess
import time

import boto3

from ceph import Ceph
from keys import Keys
from keys_rotate import Rotation
from page import Page
from rotating import Client
from stage import BIN, Stage

ROLE = "arn:aws:iam:::role/S3Access"
CAPS = '--caps="users=*"'


def main():
    with Stage("keys_ceph") as stage:
        ceph = None
        with stage.case("the gateway starts"):
            ceph = Ceph(stage)
        if ceph:
            refusals(stage, ceph)
            life(stage, ceph)
            rotation(stage, ceph)
            killed(stage, ceph)
            guide(stage, ceph)
    stage.exit()


def admin(stage, ceph, *words):
    """`radosgw-admin`; what it says, secrets and all."""
    done = subprocess.run([str(word) for word in (*ceph.admin, *words)], env=stage.env(), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-400:]
    said = json.loads(done.stdout)
    for key in said.get("keys", []):
        stage.secret(key["secret_key"])
    return said


def user(stage, ceph, name, *words):
    """A user of the gateway, and its key in the form of `credential_process`."""
    made = admin(stage, ceph, "user", "create", "--uid", name, "--display-name", name, *words)["keys"][0]
    return {"Version": 1, "AccessKeyId": made["access_key"], "SecretAccessKey": made["secret_key"]}


def there(ceph, tls=False):
    return ['sts = "ceph"', *([f'ca_bundle = "{ceph.ca}"'] if tls else [])]


def opens(ceph, key):
    """Whether the gateway knows the key."""
    s3 = boto3.client("s3", endpoint_url=ceph.url, region_name="us-east-1", aws_access_key_id=key["AccessKeyId"],
                      aws_secret_access_key=key["SecretAccessKey"])
    try:
        s3.list_buckets()
    except s3.exceptions.ClientError:
        return False
    return True


def refusals(stage, ceph):
    key = user(stage, ceph, "team$poor")
    keys = Keys(stage, "poor", ceph.url, '{ file = "base.json" }', role=ROLE, there=there(ceph))
    keys.put("base.json", key)
    with stage.case("who lacks the capability is told the command that grants it, and it does"):
        for what in ("list", "create", "rotate"):
            done = keys(what)
            assert done.returncode == 81 and "the user team$poor lacks the capability" in done.stderr, done
        command = done.stderr.split("with: ")[1].strip()
        assert command == f"radosgw-admin caps add --uid='team$poor' {CAPS}", command
        admin(stage, ceph, *shlex.split(command)[1:])
        assert list(keys.keys()) == [key["AccessKeyId"]], keys.keys()
    with stage.case("a key of a tenant's user is made and deleted"):
        done = keys("create", "--print", secret_stdout=True)
        made = json.loads(done.stdout)
        stage.secret(made["SecretAccessKey"])
        assert opens(ceph, made) and made["AccessKeyId"] in keys.keys()
        assert keys("delete", made["AccessKeyId"]).returncode == 0 and not opens(ceph, made)
    with stage.case("a secret that is another one's, and a key that is nobody's, are told from that"):
        for wrong in ({**key, "SecretAccessKey": "wrong"}, {**key, "AccessKeyId": "NOBODY"}):
            keys.put("base.json", wrong)
            done = keys("list", timeout=120)
            assert done.returncode in (75, 81) and "know" in done.stderr and "caps" not in done.stderr, done
        keys.put("base.json", key)
    with stage.case("a user who is suspended is told so"):
        admin(stage, ceph, "user", "suspend", "--uid", "team$poor")
        done = keys("list")
        assert done.returncode == 81 and "UserSuspended" in done.stderr, done


def life(stage, ceph):
    old = user(stage, ceph, "keeper", "--caps", "users=*")
    stranger = user(stage, ceph, "stranger")
    keys = Keys(stage, "life", ceph.tls_url, '{ file = "base.json" }', role=ROLE, there=there(ceph, tls=True))
    file = keys.put("base.json", old)
    id = old["AccessKeyId"]
    with stage.case("the key is listed, with a dash for what the gateway does not tell"):
        done = keys("list")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[1].split() == [id, "-", "-", "-", "-", "-", "in", "use"], done.stdout
        assert keys.keys() == {id: {"access_key_id": id, "status": None, "created": None, "in_use": True}}
    with stage.case("a new key goes straight to its file, works at once, and its secret is nowhere else"):
        done = keys("create")
        assert done.returncode == 0, done.stderr
        made = json.loads(file.read_text())
        stage.secret(made["SecretAccessKey"])
        assert made["AccessKeyId"] in done.stdout and made["AccessKeyId"] != id, done.stdout
        assert f"credbroker keys delete base {id}" in done.stdout and "last-used" not in done.stdout, done.stdout
        assert file.stat().st_mode & 0o777 == 0o600
        assert made["SecretAccessKey"] not in done.stdout + done.stderr
        assert set(keys.keys()) == {id, made["AccessKeyId"]} and opens(ceph, made) and opens(ceph, old)
    with stage.case("the gateway's log has the id of the new key, and not its secret"):
        log = (stage.out / "radosgw.log").read_text(errors="replace")
        assert f"access-key={made['AccessKeyId']}&generate-key=true" in log and made["SecretAccessKey"] not in log
    with stage.case("a user may have more than two keys"):
        done = keys("create", "--print", secret_stdout=True)
        third = json.loads(done.stdout)
        stage.secret(third["SecretAccessKey"])
        assert done.returncode == 0 and len(keys.keys()) == 3, done.stderr
    with stage.case("no key is turned off or on here, and the error names the way out"):
        for what in ("deactivate", "activate"):
            done = keys(what, id)
            assert done.returncode == 81 and "`credbroker keys delete`" in done.stderr, done
        assert opens(ceph, old)
    with stage.case("nobody keeps when a key was used, which is said"):
        done = keys("last-used")
        assert done.returncode == 81 and "does not keep when a key was last used" in done.stderr, done
    with stage.case("keys are deleted, but not the one in use, one that is gone, or somebody else's"):
        done = keys("delete", made["AccessKeyId"])
        assert done.returncode == 64 and "--force" in done.stderr, done
        for gone in (id, third["AccessKeyId"]):
            assert keys("delete", gone).returncode == 0
        for nobodys in (id, stranger["AccessKeyId"]):
            done = keys("delete", nobodys)
            assert done.returncode == 81 and "keys list" in done.stderr, done
        assert list(keys.keys()) == [made["AccessKeyId"]] and not opens(ceph, old)
        assert opens(ceph, made) and opens(ceph, stranger)


def rotation(stage, ceph):
    old = user(stage, ceph, "rotated", "--caps", "users=*")
    keys = Rotation(stage, "rotation", ceph.url, old, role=ROLE, there=there(ceph))
    id = old["AccessKeyId"]
    with stage.case("a rehearsal tells of every step, and that nobody tells of a use, and makes no key"):
        done = keys.rotate("--dry-run")
        assert done.returncode == 0 and f"delete {id}" in done.stdout and f"turn {id} off" not in done.stdout, done
        assert "does not tell" in done.stdout and list(keys.keys()) == [id] and not keys.journal.exists(), done
    with stage.case("a new key is proven and put in place, and the old one is kept for a week"):
        done = keys.rotate("--max-age", "90d")
        assert done.returncode == 0 and "run this again in 6 days" in done.stdout, done
        assert f"credbroker keys delete base {id}" in done.stdout, done
        new = keys.stored()
        assert new != id and set(keys.keys()) == {id, new} and opens(ceph, old), keys.keys()
        assert keys.progress()["state"] == "retiring"
    with stage.case("then the old key is deleted"):
        keys.pass_days(8)
        done = keys.rotate("--json")
        assert done.returncode == 0 and json.loads(done.stdout)["state"] == "done", done
        assert list(keys.keys()) == [new] and not opens(ceph, old)
    with stage.case("since when the new one is in use is remembered for the next time"):
        done = keys.rotate("--max-age", "90d", "--json")
        assert done.returncode == 0 and json.loads(done.stdout)["state"] == "not_due", done
        assert list(keys.keys()) == [new] == [keys.stored()]
        keys.pass_days(91)
        done = keys.rotate("--max-age", "90d")
        assert done.returncode == 0 and keys.stored() != new, done


def killed(stage, ceph):
    old = user(stage, ceph, "killed", "--caps", "users=*")
    role(stage, ceph, "killed")
    other = admin(stage, ceph, "key", "create", "--uid", "killed", "--key-type", "s3", "--access-key", "OTHER",
                  "--gen-secret")
    assert len(other["keys"]) == 2
    keys = Rotation(stage, "killed", ceph.url, old, role=ROLE, there=there(ceph))
    daemon = stage.daemon(keys.text, name="killed")
    client = Client(daemon)

    def kill(when):
        child = stage.spawn("rotate-killed", [BIN, "keys", "rotate", "base", "--config", keys.config])
        deadline = time.monotonic() + 20
        while not when() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        keys.note()
        assert keys.stored() in keys.keys() and len(keys.keys()) <= 3, keys.keys()

    def is_at(state):
        try:
            return keys.progress()["state"] == state
        except (FileNotFoundError, json.JSONDecodeError):
            return False

    for state in ("making", "staged", "retiring"):
        with stage.case(f"killed when it is {state}, it goes on from there"):
            kill(lambda state=state: is_at(state))
    with stage.case("killed at any time, rotation after rotation, it goes on from there"):
        for _ in range(12):
            if is_at("retiring"):
                keys.pass_days(8)
            until = time.monotonic() + random.uniform(0, 3)
            kill(lambda until=until: time.monotonic() > until)
    with stage.case("it ends with the new key in use, and the one that it is not about untouched"):
        for _ in range(3):
            if is_at("retiring"):
                keys.pass_days(8)
            done = keys.rotate("--json")
            assert done.returncode == 0, done
            if json.loads(done.stdout)["state"] == "done":
                break
        assert set(keys.keys()) == {"OTHER", keys.stored()} and keys.stored() != old["AccessKeyId"], keys.keys()
        assert opens(ceph, json.loads(keys.file.read_text()))
        assert not [name for name in os.listdir(keys.dir) if name.endswith(".new")]
    with stage.case("a client that asks throughout never sees a failure"):
        client.stop()
        assert client.asked > 20 and not client.failures, (client.asked, client.failures[:3])


def guide(stage, ceph):
    swaps = [("https://rgw.example:8443", ceph.url), ("--uid=USER", "--uid=careful"),
             ("keys rotate base", "keys rotate base --config config.toml")]
    page = Page(stage, "rotate-a-key.md", swaps, "guides")
    page.program("radosgw-admin", *ceph.admin)
    heading = "On a Ceph gateway"
    old = user(stage, ceph, "careful")
    base = stage.write("page/base.json", old)
    config = stage.write("page/config.toml", '[daemon]\nstate_dir = "state"\n' + page.block(heading, "toml"))
    with stage.case("the guide's way: the capability is there for the time of a run alone"):
        page.script(heading)
        new = json.loads(base.read_text())
        stage.secret(new["SecretAccessKey"])
        assert new["AccessKeyId"] != old["AccessKeyId"] and opens(ceph, new) and opens(ceph, old)
        done = stage.run(BIN, "keys", "list", "base", "--config", config)
        assert done.returncode == 81 and "--uid=careful" in done.stderr, done


def role(stage, ceph, name):
    """A role that the user may assume."""
    maker = user(stage, ceph, "maker", "--caps", "roles=*")
    iam = boto3.client("iam", endpoint_url=ceph.url, region_name="us-east-1", aws_access_key_id=maker["AccessKeyId"],
                       aws_secret_access_key=maker["SecretAccessKey"])
    trust = {"Effect": "Allow", "Principal": {"AWS": [f"arn:aws:iam:::user/{name}"]}, "Action": ["sts:AssumeRole"]}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [trust]}, separators=(",", ":"))
    iam.create_role(RoleName="S3Access", AssumeRolePolicyDocument=trust)


if __name__ == "__main__":
    main()
