"""Two people and two services on one machine, of a real systemd: each gets exactly its own, by every way, and the audit tells
the story. A part of systemd.py."""

import json
import pathlib
import pwd
import shutil

from stage import BIN, REGION, config

PEOPLE = ("alice", "bob")
SERVICES = ("backup", "report")
WAYS = ("control", "container", "imds")

# Tries everything by every way, and prints what it got: {way: [profiles]}.
PROBE = r'''
import json, os, subprocess, sys, urllib.error, urllib.request
profiles, program = sys.argv[1].split(","), sys.argv[2]

def fetch(url, method="GET", **headers):
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError:
        return None

got = {"control": [], "container": [], "imds": []}
for profile in profiles:
    if subprocess.run([program, "process", profile], capture_output=True).returncode == 0:
        got["control"].append(profile)
    show = "echo $AWS_CONTAINER_CREDENTIALS_FULL_URI $AWS_CONTAINER_AUTHORIZATION_TOKEN"
    done = subprocess.run([program, "exec", profile, "--env-token", "--", "sh", "-c", show], capture_output=True, text=True)
    if done.returncode == 0:
        url, ticket = done.stdout.split()
        if len(sys.argv) > 3:
            with open(sys.argv[3], "w") as file:
                file.write(f"{url} {ticket}")
        if fetch(url, Authorization=ticket):
            got["container"].append(profile)
base = "http://127.0.0.1:9912/latest/"
token = fetch(base + "api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
roles = base + "meta-data/iam/security-credentials/"
for name in [fetch(roles, **{"X-aws-ec2-metadata-token": token}), *profiles]:
    told = name and fetch(roles + name, **{"X-aws-ec2-metadata-token": token})
    if told and json.loads(told)["Code"] == "Success" and name not in got["imds"]:
        got["imds"].append(name)
print(json.dumps(got))
'''


def household(stage, moto, systemctl):
    etc = pathlib.Path("/etc/credbroker")
    for person in PEOPLE:
        stage.run("useradd", "--create-home", person)
    for service in SERVICES:
        stage.run("useradd", "--system", "--no-create-home", f"svc-{service}")
    owners = (*PEOPLE, *SERVICES)
    keys = {"role_arn": moto.role, "endpoint_url": moto.url, "region": REGION}
    text = config("base.json", {f"of-{owner}": {**keys, "role_session_name": "{caller}"} for owner in owners})
    text = text.split("\n\n", 1)[1]
    address = next(line for line in text.splitlines() if line.startswith("address = "))
    text = text.replace(address, 'address = "127.0.0.1:9911"')
    names = json.dumps([f"of-{owner}" for owner in owners])
    text += f'[[endpoint]]\nname = "metadata"\nkind = "imds"\naddress = "127.0.0.1:9912"\nprofiles = {names}\n'
    for person in PEOPLE:
        text += f'[[allow]]\nprofiles = ["of-{person}"]\nuser = "{person}"\n'
    for service in SERVICES:
        text += f'[[allow]]\nprofiles = ["of-{service}"]\nunit = "system.slice/{service}.service"\n'
    (etc / "config.toml").write_text(text)
    shutil.chown(etc / "config.toml", "root", "credbroker")
    systemctl(stage, "restart", "credbroker.service")
    probe = pathlib.Path("/srv/probe.py")
    probe.write_text(PROBE)
    probe.chmod(0o644)
    python = ["/usr/bin/python3", probe, ",".join(f"of-{owner}" for owner in owners), BIN]

    def as_person(person, *argv):
        return stage.run("runuser", "-u", person, "--", *argv, secret_stdout=True, timeout=120)

    def as_service(unit, user, *argv):
        return stage.run("systemd-run", "--quiet", "--wait", "--pipe", f"--unit={unit}.service", f"--property=User={user}",
                         "--", *argv, secret_stdout=True, timeout=120)

    for person in PEOPLE:
        with stage.case(f"{person} gets {person}'s profile by every way, and no other"):
            stolen = pathlib.Path(f"/home/{person}/ticket")
            found(as_person(person, *python, stolen), f"of-{person}")
            stage.secret(stolen.read_text().split()[1])
    for service in SERVICES:
        with stage.case(f"the service {service} gets its profile by every way, and no other"):
            found(as_service(service, f"svc-{service}", *python), f"of-{service}")
    with stage.case("the user of a service gets nothing outside of it"):
        found(as_service("elsewhere", "svc-backup", *python), None)
    with stage.case("a unit of a person's own that bears a service's name gets what the person gets"):
        uid = pwd.getpwnam("bob").pw_uid
        systemctl(stage, "start", f"user@{uid}.service")
        done = as_person("bob", "env", f"XDG_RUNTIME_DIR=/run/user/{uid}", "systemd-run", "--user", "--quiet", "--wait", "--pipe",
                         "--unit=backup.service", "--", *python)
        found(done, "of-bob")
        systemctl(stage, "stop", f"user@{uid}.service")
    with stage.case("a ticket that somebody else has taken is good for nobody"):
        url, ticket = pathlib.Path("/home/alice/ticket").read_text().split()
        # In a file: a program's arguments are anybody's to read.
        shown = pathlib.Path("/srv/shown")
        shown.write_text(f"Authorization: {ticket}\n")
        shown.chmod(0o644)
        ask = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--header", f"@{shown}", url]
        assert as_person("alice", *ask).stdout == "200"
        assert as_person("bob", *ask).stdout == "403"
        assert as_service("backup", "svc-backup", *ask).stdout == "403"
    with stage.case("the session bears its caller's name at the STS"):
        done = as_person("alice", BIN, "whoami", "of-alice")
        assert done.returncode == 0 and "assumed-role/S3Access/alice" in done.stdout, f"{done.stdout}{done.stderr}"
    with stage.case("check and list say the same"):
        for owner in PEOPLE:
            listed = as_person(owner, BIN, "list").stdout
            assert [name for name in (f"of-{it}" for it in owners) if name in listed] == [f"of-{owner}"], listed
            told = stage.run(BIN, "check", "--as", owner).stdout
            yes = [line.split()[0] for line in told.splitlines() if "  yes" in line and line.split()[0].startswith("of-")]
            assert yes == [f"of-{owner}"], told
    with stage.case("the audit tells the story"):
        def told(*matches):
            argv = ["journalctl", "-q", "--boot", "--output", "json", "-u", "credbroker.service", *matches]
            return [json.loads(line) for line in stage.run(*argv).stdout.splitlines()]
        uids = {person: str(pwd.getpwnam(person).pw_uid) for person in PEOPLE}
        for person in PEOPLE:
            lent = told("MESSAGE=lent", f"CREDBROKER_PEER_UID={uids[person]}")
            assert {it["CREDBROKER_PROFILE"] for it in lent} == {f"of-{person}"}, lent
            assert {it["CREDBROKER_CHANNEL"] for it in lent} == set(WAYS), lent
            assert all(it["CREDBROKER_ACCESS_KEY_ID"].startswith("ASIA") and it["CREDBROKER_EXPIRES"] for it in lent), lent
            refused = told("MESSAGE=refused", f"CREDBROKER_PEER_UID={uids[person]}")
            others = {f"of-{it}" for it in owners if it != person}
            assert others <= {it.get("CREDBROKER_PROFILE") for it in refused}, refused
        for service in SERVICES:
            lent = told("MESSAGE=lent", f"CREDBROKER_PEER_UNIT=system.slice/{service}.service")
            assert {it["CREDBROKER_PROFILE"] for it in lent} == {f"of-{service}"}, lent
            assert {it["CREDBROKER_CHANNEL"] for it in lent} == set(WAYS), lent
        theft = told("MESSAGE=refused", f"CREDBROKER_PEER_UID={uids['bob']}", f"CREDBROKER_TICKET_UID={uids['alice']}")
        assert theft and theft[-1]["CREDBROKER_REASON"] == "the ticket was given to another user", theft
    systemctl(stage, "stop", "credbroker.service")


def found(done, profile):
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    got = json.loads(done.stdout)
    assert got == {way: [profile] if profile else [] for way in WAYS}, got
