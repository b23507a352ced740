"""The shipped units in a real systemd: a machine's service and sockets, and a person's. Runs inside systemd.sh."""

import contextlib
import http.client
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from household import household
from stage import BIN, REGION, Stage, config, listening

ETC = pathlib.Path("/etc/credbroker")
CONTROL = pathlib.Path("/run/credbroker/control.sock")
SERVICE = "credbroker.service"
LOCAL = 'address = "127.0.0.1:9911"'
EC2 = 'address = "169.254.169.254:80"'

# Prints the status of the metadata service's list of roles, and the list.
ROLES = """
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], timeout=10)
c.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
token = c.getresponse().read().decode()
c.request("GET", "/latest/meta-data/iam/security-credentials/", headers={"X-aws-ec2-metadata-token": token})
answer = c.getresponse()
print(answer.status, answer.read().decode())
"""


def main():
    with Stage("systemd") as stage:
        try:
            units(stage)
            moto = stage.moto()
            machine(stage, moto)
            sockets(stage, moto)
            watched(stage, moto)
            broken(stage, moto)
            metadata(stage, moto)
            units_that_ask(stage, moto)
            namespace(stage, moto)
            under_load(stage, moto)
            household(stage, moto, systemctl)
            person(stage, moto)
        finally:
            journal = stage.run("journalctl", "--no-pager", "--boot", "--output", "short-monotonic")
            (stage.out / "journal.log").write_text(journal.stdout)
    stage.exit()


def units(stage):
    with stage.case("systemd finds nothing wrong with the units"):
        system = sorted(pathlib.Path("/usr/lib/systemd/system").glob("credbroker*"))
        user = sorted(pathlib.Path("/usr/lib/systemd/user").glob("credbroker*"))
        assert len(system) >= 3 and len(user) >= 2
        for scope, files in (("--system", system), ("--user", user)):
            done = stage.run("systemd-analyze", "verify", "--man=no", scope, *files,
                             env=stage.env(XDG_RUNTIME_DIR="/run"))
            ours = [line for line in done.stderr.splitlines() if "credbroker" in line]
            assert done.returncode == 0 and not ours, f"{done.returncode}: {done.stderr}"
    with stage.case("sysusers makes the daemon's own user"):
        stage.run("systemd-sysusers", "/usr/lib/sysusers.d/credbroker.conf")
        user = pwd.getpwnam("credbroker")
        assert 0 < user.pw_uid < 1000 and user.pw_shell.endswith("nologin"), user


def machine(stage, moto):
    configure(moto)
    with stage.case("a wrong configuration fails for good, with 78"):
        (ETC / "config.toml").write_text("[profile.x]\nrole_arn = 3\n")
        systemctl(stage, "start", SERVICE, code=1)
        time.sleep(2.5)
        shown = show(stage, "ActiveState", "ExecMainStatus", "NRestarts")
        assert shown == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}, shown
        systemctl(stage, "reset-failed", SERVICE)
    configure(moto)
    with stage.case("it says that it is ready"):
        systemctl(stage, "start", SERVICE)
        assert show(stage, "ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}
    with stage.case("it runs as its own user, with nothing to spare"):
        process = pathlib.Path("/proc", show(stage, "MainPID")["MainPID"])
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
        assert status["Uid"].split()[0] == str(pwd.getpwnam("credbroker").pw_uid), status["Uid"]
        assert int(status["CapBnd"], 16) == 0 and status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        core = next(line for line in (process / "limits").read_text().splitlines() if "core file" in line)
        assert core.split()[4:6] == ["0", "0"], core
        assert (process / "ns/user").readlink() == pathlib.Path("/proc/self/ns/user").readlink()
    with stage.case("root gets credentials over the control socket"):
        lent(stage, stage.run(BIN, "process", "reader", secret_stdout=True))
    with stage.case("another user does not"):
        done = stage.run("runuser", "-u", "daemon", "--", BIN, "process", "reader")
        assert done.returncode == 77 and not done.stdout, f"{done.returncode}: {done.stderr}"
    with stage.case("the journal has fields to look for"):
        def told(*matches):
            argv = ["journalctl", "-q", "--boot", "--output", "json", "-u", SERVICE, *matches]
            return [json.loads(line) for line in stage.run(*argv).stdout.splitlines()]
        until(lambda: told("CREDBROKER_PROFILE=reader"), "the refusal of another user")
        refused = told("CREDBROKER_PROFILE=reader")[-1]
        assert refused["MESSAGE"] == "refused" and refused["PRIORITY"] == "6", refused
        assert refused["CREDBROKER_PEER_UID"] == str(pwd.getpwnam("daemon").pw_uid), refused
        assert told("CREDBROKER_ENDPOINT=local"), "where it listens"
    with stage.case("each endpoint has its share of what LimitNOFILE= gives"):
        samples = probe("/metrics").splitlines()
        places = [line for line in samples if line.startswith("credbroker_connections_max{")]
        assert 'credbroker_connections_max{endpoint="local"} 2048' in places, places
        assert 'credbroker_connections_max{endpoint="control"} 512' in places, places
        assert probe("/healthz") == "ok\n" and probe("/readyz") == "ok\n"
    with stage.case("a reload takes the new configuration in, in the same process"):
        before = show(stage, "MainPID")
        configure(moto, "reader", "second")
        systemctl(stage, "reload", SERVICE)
        until(lambda: "second" in stage.run(BIN, "list").stdout, "the new profile")
        assert show(stage, "MainPID", "ActiveState") == {**before, "ActiveState": "active"}
    with stage.case("a reload of a wrong configuration changes nothing"):
        (ETC / "config.toml").write_text("[profile.x]\nrole_arn = 3\n")
        stage.run("systemctl", "reload", SERVICE)
        time.sleep(1)
        assert show(stage, "MainPID", "ActiveState") == {**before, "ActiveState": "active"}
        assert "second" in stage.run(BIN, "list").stdout
        status = json.loads(stage.run(BIN, "status", "--json").stdout)["configuration"]
        assert any(fault.startswith("/etc/credbroker/config.toml:2:12: ") for fault in status["faults"]), status
        assert "faults: see credbroker status" in show(stage, "StatusText")["StatusText"], show(stage, "StatusText")
    with stage.case("a file that is mended is noticed without a reload"):
        configure(moto, "reader", "third")
        until(lambda: "third" in stage.run(BIN, "list").stdout, "the new profile")
        assert "faults" not in json.loads(stage.run(BIN, "status", "--json").stdout)["configuration"]
        until(lambda: show(stage, "StatusText")["StatusText"] == "lends 2 profiles", "systemd's own word")
        assert show(stage, "MainPID", "ActiveState") == {**before, "ActiveState": "active"}
    with stage.case("it stops at once, and well"):
        began = time.monotonic()
        systemctl(stage, "stop", SERVICE)
        took = time.monotonic() - began
        shown = show(stage, "ActiveState", "Result")
        assert shown == {"ActiveState": "inactive", "Result": "success"} and took < 5, f"{shown} after {took:.1f} s"
        done = stage.run(BIN, "process", "reader")
        assert done.returncode == 69 and not done.stdout, f"{done.returncode}: {done.stderr}"
    with stage.case("keys come as a systemd credential"):
        configure(moto, access_key='{ credential = "base" }')
        (ETC / "base.json").chmod(0o600)
        shutil.chown(ETC / "base.json", "root", "root")
        drop_in = pathlib.Path("/etc/systemd/system/credbroker.service.d/credential.conf")
        drop_in.parent.mkdir()
        drop_in.write_text(f"[Service]\nLoadCredential=base:{ETC}/base.json\n")
        systemctl(stage, "daemon-reload")
        systemctl(stage, "start", SERVICE)
        lent(stage, stage.run(BIN, "process", "reader", secret_stdout=True))
        systemctl(stage, "stop", SERVICE)
    with stage.case("the key of sealed sessions comes as one, too, and they outlive a restart"):
        configure(moto)
        unit = pathlib.Path("/usr/lib/systemd/system", SERVICE).read_text()
        # The unit's own words are taken: what they say is done.
        words = re.search(r"(systemd-creds encrypt .*)\n# (<\(.*?store\.key\.cred)\.", unit)
        done = stage.run("bash", "-c", " ".join(words.groups()))
        assert done.returncode == 0, done.stderr
        drop_in.write_text("[Service]\n" + re.search(r"^#(LoadCredentialEncrypted=store\.key:.*\n)", unit, re.MULTILINE)[1])
        systemctl(stage, "daemon-reload")
        systemctl(stage, "start", SERVICE)
        first = lent(stage, stage.run(BIN, "process", "reader", secret_stdout=True))
        store = json.loads(stage.run(BIN, "status", "--json").stdout)["store"]
        assert store["key"] == "systemd's credential store.key", store
        until(lambda: list(pathlib.Path("/var/lib/credbroker/sessions").glob("*")), "a sealed session")
        systemctl(stage, "restart", SERVICE)
        assert lent(stage, stage.run(BIN, "process", "reader", secret_stdout=True)) == first, "the session was lost"
        systemctl(stage, "stop", SERVICE)
        drop_in.unlink()
        systemctl(stage, "daemon-reload")


def sockets(stage, moto):
    configure(moto, container='socket = "local"')
    with stage.case("the first connection starts it"):
        systemctl(stage, "start", "credbroker.socket", "credbroker-local.socket")
        assert show(stage, "ActiveState") == {"ActiveState": "inactive"}
        lent(stage, stage.run(BIN, "process", "reader", secret_stdout=True))
        assert show(stage, "ActiveState") == {"ActiveState": "active"}
    with stage.case("the container endpoint is the socket that systemd holds"):
        done = stage.run(BIN, "exec", "reader", "--", "sh", "-c", "echo $AWS_CONTAINER_CREDENTIALS_FULL_URI")
        assert done.stdout.strip() == "http://127.0.0.1:9911/v1/credentials", f"{done.stdout}{done.stderr}"
    with stage.case("the sockets outlive it"):
        systemctl(stage, "stop", SERVICE)
        assert CONTROL.is_socket()
        lent(stage, stage.run(BIN, "process", "reader", secret_stdout=True))
        systemctl(stage, "stop", "credbroker.socket", "credbroker-local.socket", SERVICE)
        assert not CONTROL.exists()


def watched(stage, moto):
    configure(moto)
    drop_in = pathlib.Path("/etc/systemd/system/credbroker.service.d/watchdog.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\nWatchdogSec=2s\n")
    systemctl(stage, "daemon-reload")
    systemctl(stage, "start", SERVICE)
    with stage.case("one that works gives signs of life"):
        before = show(stage, "MainPID", "NRestarts")
        time.sleep(5)
        assert show(stage, "MainPID", "NRestarts") == before, show(stage, "MainPID", "NRestarts", "Result")
    with stage.case("one that stands still is killed and started anew"):
        os.kill(int(before["MainPID"]), signal.SIGSTOP)
        until(lambda: show(stage, "NRestarts")["NRestarts"] == "1", "the restart", 30)
        until(lambda: show(stage, "SubState")["SubState"] == "running", "the next daemon", 30)
        assert show(stage, "MainPID")["MainPID"] != before["MainPID"]
        lent(stage, stage.run(BIN, "process", "reader", secret_stdout=True))
    systemctl(stage, "stop", SERVICE)
    drop_in.unlink()
    systemctl(stage, "daemon-reload")


def broken(stage, moto):
    configure(moto)
    good = (ETC / "config.toml").read_text()
    (ETC / "config.toml").write_text("[profile.x]\nrole_arn = 3\n")
    systemctl(stage, "start", "credbroker.socket")
    with stage.case("whoever asks a daemon that cannot start is told why"):
        done = stage.run(BIN, "process", "reader")
        assert done.returncode == 78 and "credbroker check" in done.stderr, f"{done.returncode}: {done.stderr}"
    with stage.case("asking it again and again neither loops nor costs the sockets"):
        deadline = time.monotonic() + 14
        while time.monotonic() < deadline:
            done = stage.run(BIN, "process", "reader")
            assert done.returncode == 78, f"{done.returncode}: {done.stderr}"
            time.sleep(0.2)
        for unit in ("credbroker.socket", "credbroker-local.socket"):
            active = stage.run("systemctl", "is-active", unit).stdout.strip()
            assert active == "active", f"{unit}: {active}"
        until(lambda: show(stage, "ActiveState")["ActiveState"] == "failed", "the end of the last start")
        assert show(stage, "NRestarts") == {"NRestarts": "0"}
    with stage.case("a start after the mending works"):
        (ETC / "config.toml").write_text(good)
        lent(stage, stage.run(BIN, "process", "reader", secret_stdout=True))
    systemctl(stage, "stop", "credbroker.socket", "credbroker-local.socket", SERVICE)


def metadata(stage, moto):
    """The address of EC2's own service, where there is none, and where there is one."""
    with stage.case("the address is not taken where a metadata service answers"):
        stage.run("ip", "address", "add", "169.254.169.254/32", "dev", "lo")
        with socket.create_server(("169.254.169.254", 80)):
            systemctl(stage, "start", "credbroker-imds.socket", code=1)
        said = stage.run("journalctl", "-q", "-o", "cat", "-u", "credbroker-imds-address.service").stdout
        assert "answers at 169.254.169.254 already" in said, said
        assert stage.run("systemctl", "is-active", "credbroker-imds.socket").stdout.strip() != "active"
        stage.run("ip", "address", "delete", "169.254.169.254/32", "dev", "lo")
        stage.run("systemctl", "reset-failed", "credbroker-imds.socket", "credbroker-imds-address.service")
    with stage.case("its socket serves the address, and takes it away again"):
        configure(moto, container=LOCAL, imds=EC2)
        systemctl(stage, "start", "credbroker.socket", "credbroker-imds.socket")
        status, role = imds()
        assert (status, role) == (200, "reader"), f"{status}: {role}"
        systemctl(stage, "stop", "credbroker.socket", "credbroker-local.socket", "credbroker-imds.socket", SERVICE)
        until(lambda: "169.254" not in stage.run("ip", "address", "show", "dev", "lo").stdout, "the end of the address")


def units_that_ask(stage, moto):
    """Services that are lent to by their units, whatever user they run as."""
    configure(moto, container=LOCAL, imds=EC2, rules=['unit = "system.slice/backup.service"'])
    systemctl(stage, "start", "credbroker.socket", "credbroker-imds.socket")

    def asks(unit, *options):
        argv = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--unit={unit}", *options]
        done = stage.run(*argv, "/usr/bin/python3", "-c", ROLES, "169.254.169.254")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
    with stage.case("a service is lent to by its unit"):
        for options in ((), ("--uid=daemon",), ("--property=DynamicUser=yes",)):
            assert asks("backup.service", *options) == "200 reader", options
    with stage.case("another service is not, nor one of the same name elsewhere"):
        assert asks("other.service")[:3] == "404"
        assert asks("other.service", "--uid=daemon")[:3] == "404"
        assert asks("backup.service", "--slice=other.slice")[:3] == "404"
        assert asks("backup-2.service")[:3] == "404"
    with stage.case("a rule that comes later holds"):
        configure(moto, container=LOCAL, imds=EC2, rules=['unit = "system.slice/other.service"'])
        systemctl(stage, "reload", SERVICE)
        until(lambda: asks("other.service") == "200 reader", "the rule")
        assert asks("backup.service")[:3] == "404"
    systemctl(stage, "stop", "credbroker.socket", "credbroker-local.socket", "credbroker-imds.socket", SERVICE)


def namespace(stage, moto):
    """A container's own listener, as docs/guides/containers.md has it."""
    page = (pathlib.Path(__file__).parent / "containers.md").read_text()
    unit, = re.findall(r"^```ini\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    with stage.case("a container asks at a socket that systemd made in its network namespace"):
        for words in (("netns", "add", "app5"), ("-n", "app5", "link", "set", "lo", "up")):
            done = stage.run("ip", *words)
            assert done.returncode == 0, done.stderr
        pathlib.Path("/etc/systemd/system/credbroker-app5.socket").write_text(unit)
        configure(moto, container=LOCAL, imds='socket = "app5"', rules=['endpoint = "metadata"'])
        systemctl(stage, "daemon-reload")
        systemctl(stage, "enable", "--now", "credbroker-app5.socket")
        inside = ["ip", "netns", "exec", "app5"]
        for user in ("root", "daemon"):
            done = stage.run(*inside, "runuser", "-u", user, "--", "/usr/bin/python3", "-c", ROLES, "127.0.0.1:9912")
            assert done.stdout.strip() == "200 reader", f"{user}: {done.stdout}{done.stderr[-400:]}"
        assert not listening(9912), "nothing listens outside"
        systemctl(stage, "disable", "--now", "credbroker-app5.socket", "credbroker.socket")
        systemctl(stage, "stop", SERVICE)


def under_load(stage, moto):
    """Clients of all three endpoints, which are never refused while the daemon goes and comes."""
    configure(moto, container=LOCAL, imds=EC2)
    systemctl(stage, "start", "credbroker.socket", "credbroker-imds.socket", SERVICE)
    ticket = control("POST", "/v1/profiles/reader/ticket", '{"ttl_seconds":3600}')
    assert ticket[0] == 200, ticket
    ticket = json.loads(ticket[1])["ticket"]
    stage.secret(ticket)
    token = imds_token()

    def container():
        connection = http.client.HTTPConnection("127.0.0.1", 9911, timeout=10)
        return fetch(connection, "GET", "/v1/credentials", headers={"Authorization": ticket})

    ways = {"container": container, "control": lambda: control("GET", "/v1/profiles/reader/credentials"),
            "IMDS": lambda: imds(token)}
    with stage.case("no request fails while it is restarted under load"):
        with clients(ways) as counts:
            for _ in range(4):
                time.sleep(0.5)
                before = show(stage, "MainPID")
                systemctl(stage, "restart", SERVICE)
                assert show(stage, "MainPID") != before
            time.sleep(0.5)
        enough(counts)
    with stage.case("no request fails while it is reloaded under load"):
        with clients(ways) as counts:
            for profiles in (("reader", "second"), ("reader",)) * 2:
                configure(moto, *profiles, container=LOCAL, imds=EC2)
                systemctl(stage, "reload", SERVICE)
                time.sleep(0.5)
        enough(counts)
    with stage.case("no request fails while another program takes its place"):
        # More than five starts in ten seconds, these and those before, are systemd's limit.
        systemctl(stage, "reset-failed", SERVICE)
        with clients(ways) as counts:
            time.sleep(0.5)
            beside = pathlib.Path(BIN + ".new")
            shutil.copy(BIN, beside)
            beside.rename(BIN)
            systemctl(stage, "restart", SERVICE)
            running = pathlib.Path("/proc", show(stage, "MainPID")["MainPID"], "exe")
            assert running.stat().st_ino == pathlib.Path(BIN).stat().st_ino
            time.sleep(0.5)
        enough(counts)
    systemctl(stage, "stop", "credbroker.socket", "credbroker-local.socket", "credbroker-imds.socket", SERVICE)


@contextlib.contextmanager
def clients(ways):
    """Two clients of each way, which ask as fast as they are answered; what they got is counted."""
    counts = {name: {} for name in ways}
    over = threading.Event()

    def ask(name, way):
        while not over.is_set():
            try:
                outcome = way()[0]
            except OSError as error:
                outcome = repr(error)
            counts[name][outcome] = counts[name].get(outcome, 0) + 1

    threads = [threading.Thread(target=ask, args=item) for item in ways.items() for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        over.set()
        for thread in threads:
            thread.join()


def enough(counts):
    print(f"# {counts}", flush=True)
    for name, outcomes in counts.items():
        assert set(outcomes) == {200} and outcomes[200] > 50, f"{name}: {outcomes}"


class Local(http.client.HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self):
        super().__init__("localhost", timeout=25)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(CONTROL))


def control(method, path, body=None):
    return fetch(Local(), method, path, body)


def imds_token():
    connection = http.client.HTTPConnection("169.254.169.254", timeout=10)
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
    status, token = fetch(connection, "PUT", "/latest/api/token", headers=headers)
    assert status == 200, status
    return token


def imds(token=None):
    connection = http.client.HTTPConnection("169.254.169.254", timeout=10)
    path = "/latest/meta-data/iam/security-credentials/" + ("reader" if token else "")
    return fetch(connection, "GET", path, headers={"X-aws-ec2-metadata-token": token or imds_token()})


def fetch(connection, method, path, body=None, headers=None):
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Connection": "close", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def person(stage, moto):
    """A laptop: nothing but the person's own files, and the first connection starts the daemon."""
    subprocess.run(["useradd", "--create-home", "ada"], check=True, capture_output=True)
    ada = pwd.getpwnam("ada")
    home = pathlib.Path(ada.pw_dir, ".config/credbroker")
    home.mkdir(parents=True)
    place = home / "base.json"
    place.write_text(json.dumps(moto.user))
    keys = {"reader": {"role_arn": moto.role, "endpoint_url": moto.url, "region": REGION}}
    # Where its sockets and its state are is left to the daemon.
    text = config("base.json", keys, container=9911).split("\n\n", 1)[1]
    (home / "config.toml").write_text(text)
    for path in (home.parent, home, *home.iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.chown(path, ada.pw_uid, ada.pw_gid)
    runtime = f"/run/user/{ada.pw_uid}"

    def as_ada(*argv, **options):
        env = ["env", f"XDG_RUNTIME_DIR={runtime}", f"DBUS_SESSION_BUS_ADDRESS=unix:path={runtime}/bus"]
        env += [f"HOME={ada.pw_dir}"]
        return stage.run("runuser", "-u", "ada", "--", *env, *argv, **options)

    with stage.case("a person's socket starts the person's daemon"):
        systemctl(stage, "start", f"user@{ada.pw_uid}.service")
        done = as_ada("systemctl", "--user", "enable", "--now", "credbroker.socket")
        assert done.returncode == 0, done.stderr
        assert as_ada("systemctl", "--user", "is-active", SERVICE).stdout.strip() == "inactive"
        lent(stage, as_ada(BIN, "process", "reader", secret_stdout=True))
        assert as_ada("systemctl", "--user", "is-active", SERVICE).stdout.strip() == "active"
    with stage.case("what lies in the runtime directory is the person's alone"):
        found = [path for path in pathlib.Path(runtime, "credbroker").rglob("*")]
        assert pathlib.Path(runtime, "credbroker/control.sock") in found, found
        for path in (pathlib.Path(runtime, "credbroker"), *found):
            about = path.lstat()
            assert about.st_uid == ada.pw_uid and not about.st_mode & 0o077, f"{path}: {about.st_mode:o}"
    with stage.case("a person's daemon stops and its socket stays"):
        done = as_ada("systemctl", "--user", "stop", SERVICE)
        assert done.returncode == 0, done.stderr
        # The container endpoint's too: it came along.
        assert listening(9911)
        done = as_ada(BIN, "exec", "reader", "--", "sh", "-c", "echo $AWS_CONTAINER_CREDENTIALS_FULL_URI")
        assert done.stdout.strip() == "http://127.0.0.1:9911/v1/credentials", f"{done.stdout}{done.stderr}"
        lent(stage, as_ada(BIN, "process", "reader", secret_stdout=True))
        systemctl(stage, "stop", f"user@{ada.pw_uid}.service")


def configure(moto, *profiles, access_key=None, container=None, imds=None, rules=()):
    """The files of /etc/credbroker, with the owners and modes that the documentation names."""
    ETC.mkdir(exist_ok=True)
    keys = {"role_arn": moto.role, "endpoint_url": moto.url, "region": REGION}
    text = config("base.json", dict.fromkeys(profiles or ("reader",), keys)).split("\n\n", 1)[1]
    if access_key:
        text = text.replace('{ file = "base.json" }', access_key)
    if container:
        address = next(line for line in text.splitlines() if line.startswith("address = "))
        text = text.replace(address, container)
    if imds:
        text += f'[[endpoint]]\nname = "metadata"\nkind = "imds"\n{imds}\nprofiles = ["reader"]\n'
        for rule in rules or ['user = "root"\nendpoint = "metadata"']:
            text += f'[[allow]]\nprofiles = ["reader"]\n{rule}\n'
    for name, written in (("config.toml", text), ("base.json", json.dumps(moto.user))):
        (ETC / name).write_text(written)
        (ETC / name).chmod(0o640)
        shutil.chown(ETC / name, "root", "credbroker")
    ETC.chmod(0o755)


def probe(path):
    """What the control socket tells monitoring."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(CONTROL))
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, body = answer.split("\r\n\r\n", 1)
    assert " 200 " in head.splitlines()[0], head
    return body


def lent(stage, done):
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    session = json.loads(done.stdout)
    stage.secret(session["SecretAccessKey"], session["SessionToken"])
    assert session["AccessKeyId"].startswith("ASIA"), session["AccessKeyId"]
    assert not done.stderr, done.stderr
    return session["AccessKeyId"]


def systemctl(stage, *argv, code=0):
    done = stage.run("systemctl", *argv)
    log = "" if done.returncode == code else stage.run("journalctl", "-q", "-n", "5", "-o", "cat", "-u", SERVICE).stdout
    assert done.returncode == code, f"systemctl {' '.join(argv)}: {done.returncode}: {done.stderr} {log}"


def show(stage, *names):
    done = stage.run("systemctl", "show", SERVICE, *(f"--property={name}" for name in names))
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def until(true, what, seconds=10):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
