"""Another container: a process in a network of its own, with a line to the one in which the daemon serves AWS's address."""

import datetime
import json
import os
import shutil
import subprocess

from stage import BIN, NotHere, wait_for

from .scene import is_root

LISTENER, CONFIG, KERNEL = "src/endpoint/listener.rs", "src/config/endpoint.rs", "the kernel"
PATH = "/latest/meta-data/iam/security-credentials/reader"
PORT = 9911


def attacks(suite):
    with suite.attack("another container", "an endpoint is to listen on every address, or on a public one", CONFIG) as attack:
        for number, address in enumerate(("0.0.0.0:9912", "[::]:9912", "192.0.2.1:9912", "[::ffff:10.77.0.1]:9912")):
            text = f'[[endpoint]]\nkind = "imds"\naddress = "{address}"\nprofiles = ["it"]\n[profile.it]\ncredential_process = ["true"]\n'
            path = suite.stage.write(f"public-{number}/config.toml", text)
            done = suite.stage.run(BIN, "serve", "--config", path)
            assert done.returncode == 78 and f"{path}:3:" in done.stderr, f"{done.returncode}: {done.stderr}"
        attack.saw = "exit 78"
    names = {"at AWS's address": ("169.254.169.254", 80, LISTENER, "closed without a word"),
             "at the address of its network": ("10.77.0.1", PORT, LISTENER, "no connection"),
             "at AWS's address, from that very address": ("169.254.169.254", 80, KERNEL, "no connection")}
    try:
        world = Networks(suite)
    except NotHere as why:
        for name in names:
            with suite.attack("another container", f"asks {name}", LISTENER):
                raise why
        return
    for name, (host, port, stops, seen) in names.items():
        with suite.attack("another container", f"asks {name}", stops) as attack:
            world.serves()
            source = ["--interface", "169.254.169.254"] if "from that very" in name else []
            done = world.curl(world.other, host, port, *source)
            suite.shows_nothing(done.stdout)
            assert done.returncode in ((52, 56) if "closed" in seen else (7, 28, 45)), f"curl ended with {done.returncode}: {done.stdout}"
            attack.saw = seen
            world.serves()


class Networks:
    """Two networks with a line between them; the daemon is in one, and has AWS's address there."""

    def __init__(self, suite):
        if not is_root() or not shutil.which("ip"):
            raise NotHere("only root can make networks, with iproute2")
        self.suite, self.stage = suite, suite.stage
        self.own, self.other = (self.stage.spawn(f"network-{name}", ["unshare", "--net", "sleep", "600"]) for name in "ab")
        for holder in (self.own, self.other):
            wait_for(lambda: is_apart(holder.pid), "a network", holder)
        made = subprocess.run(["ip", "link", "add", "cbveth0", "netns", str(self.own.pid), "type", "veth", "peer", "name", "cbveth1",
                               "netns", str(self.other.pid)], capture_output=True, text=True)
        if made.returncode:
            raise NotHere(f"no veth can be made here: {made.stderr}")
        for holder, lines in ((self.own, ["link set lo up", "addr add 169.254.169.254/32 dev lo", "addr add 10.77.0.1/24 dev cbveth0",
                                          "link set cbveth0 up"]),
                              (self.other, ["link set lo up", "addr add 10.77.0.2/24 dev cbveth1", "link set cbveth1 up",
                                            "route add 169.254.169.254 via 10.77.0.1"])):
            for line in lines:
                self.inside(holder, "ip", *line.split())
        text = self.stage.write("networks/session.json", session())
        self.suite.secret(json.loads(session())["SecretAccessKey"], json.loads(session())["SessionToken"])
        config = '[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n'
        for name, address in (("ec2", "169.254.169.254:80"), ("local", f"127.0.0.1:{PORT}")):
            config += f'[[endpoint]]\nname = "{name}"\nkind = "imds"\naddress = "{address}"\nhttp_tokens = "optional"\nprofiles = ["reader"]\n'
            config += f'[[allow]]\nprofiles = ["reader"]\nendpoint = "{name}"\n'
        config += f'[profile.reader]\ncredential_process = ["cat", "{text}"]\nregion = "eu-west-1"\n'
        self.daemon = self.stage.daemon(config, name="networks", within=["nsenter", "--net", "--target", self.own.pid])
        wait_for(lambda: self.curl(self.own, "169.254.169.254", 80).stdout.endswith(" 200"), "the first answer")
        self.suite.shows_something(self.curl(self.own, "127.0.0.1", PORT).stdout.encode())
        assert self.inside(self.other, "ping", "-c", "1", "-W", "5", "10.77.0.1", check=False).returncode in (0, 127), "there is no line"

    def inside(self, holder, *argv, check=True):
        done = subprocess.run(["nsenter", "--net", "--target", str(holder.pid), *map(str, argv)],
                              capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, f"{argv}: {done.stderr}"
        return done

    def curl(self, holder, host, port, *more):
        return self.inside(holder, "curl", "--silent", "--max-time", 5, *more, "--write-out", " %{http_code}",
                           f"http://{host}:{port}{PATH}", check=False)

    def serves(self):
        for host, port in (("169.254.169.254", 80), ("127.0.0.1", PORT)):
            done = self.curl(self.own, host, port)
            assert done.stdout.endswith(" 200"), f"its own container gets {done.stdout[-4:]} of {host}"


def is_apart(pid):
    return os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")


def session():
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=5)
    return json.dumps({"Version": 1, "AccessKeyId": "ASIAIOSFODNN7NETWORKS", "SecretAccessKey": 40 * "s", "SessionToken": 80 * "t",
                       "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")})
