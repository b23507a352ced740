"""A crowd that says nothing, half of it, or too slowly; and who has something to ask meanwhile.

An honest client fetches credentials by each of the three ways all the while, as an SDK does: a new connection each time,
a second of patience (the commands, which use the control socket, have five), and two more tries. It must always get
them.
"""

import http.client
import json
import os
import pathlib
import re
import resource
import selectors
import socket
import sys
import threading
import time

from prometheus_client.parser import text_string_to_metric_families

from stage import ACCOUNT, REGION, Sandbox, Stage, config, free_port, wait_for

ROLE = f"arn:aws:iam::{ACCOUNT}:role/S3Access"
SECRET = 40 * "l"
# docs/guides/monitoring.md: what a connection costs at most, and what the daemon has without any.
CONNECTION, BASE = 40 << 10, 64 << 20


def main():
    with Stage("load") as stage:
        raise_limit()
        sandbox = Sandbox(stage, "\n".join([
            f'account = "{ACCOUNT}"', "[[user]]", 'name = "broker"', 'access_key_id = "AKIAIOSFODNN7EXAMPLE"',
            f'secret_access_key = "{SECRET}"', "[[role]]", 'name = "S3Access"',
            f'trust = {{ principals = ["arn:aws:iam::{ACCOUNT}:user/broker"] }}']) + "\n")
        stage.secret(SECRET)
        few = House(stage, sandbox, "few", 1024)
        metrics(stage, few)
        for mode, count in (("silent", 5000), ("half", 5000), ("trickle", 5000), ("deaf", 1000)):
            crowded(stage, few, mode, count)
        no_descriptors(stage, few)
        recovered(stage, few)
        few.daemon.stop()
        many(stage, House(stage, sandbox, "many", 16384))
    stage.exit()


class House:
    """A daemon with every kind of endpoint, which may open `limit` files."""

    def __init__(self, stage, sandbox, name, limit):
        self.stage = stage
        self.ports = {kind: free_port() for kind in ("container", "imds", "metrics")}
        key = {"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": SECRET}
        stage.write(f"{name}/base.json", key)
        reader = {"role_arn": ROLE, "endpoint_url": sandbox.url, "region": REGION}
        text = config("base.json", {"reader": reader}, f"127.0.0.1:{self.ports['imds']}", self.ports["container"])
        text += f'[[endpoint]]\nkind = "metrics"\naddress = "127.0.0.1:{self.ports["metrics"]}"\n'
        self.daemon = stage.daemon(text, name=name, within=["prlimit", f"--nofile={limit}:{limit}"])
        answer = self.control("POST", "/v1/profiles/reader/ticket", json.dumps({"ttl_seconds": 3600}))
        self.ticket = answer["ticket"]
        stage.secret(self.ticket)
        # The process that serves: prlimit has become it.
        self.pid = self.daemon.process.pid

    def control(self, method, path, body=None):
        connection = Unix(self.daemon.control)
        return self.answer(connection, method, path, body)

    def tcp(self, kind, method, path, headers=None, parse=json.loads):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[kind], timeout=1)
        return self.answer(connection, method, path, None, headers, parse)

    @staticmethod
    def answer(connection, method, path, body, headers=None, parse=json.loads):
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            text = response.read().decode()
            if response.status != 200:
                raise OSError(f"{method} {path}: {response.status} {text}")
            return parse(text)
        finally:
            connection.close()

    def by_container(self):
        return self.tcp("container", "GET", "/v1/credentials", {"Authorization": self.ticket})

    def by_imds(self):
        ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = {"X-aws-ec2-metadata-token": self.tcp("imds", "PUT", "/latest/api/token", ttl, str)}
        return self.tcp("imds", "GET", "/latest/meta-data/iam/security-credentials/reader", token)

    def by_control(self):
        return self.control("GET", "/v1/profiles/reader/credentials")

    def metrics(self):
        """The samples, by name and labels."""
        text = self.tcp("metrics", "GET", "/metrics", parse=str)
        return {(sample.name, *sorted(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(text) for sample in family.samples}

    def connections(self):
        return sum(value for (name, *_), value in self.metrics().items() if name == "credbroker_connections")

    def memory(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def addresses(self):
        return [f"{self.ports['container']}", f"{self.ports['imds']}", str(self.daemon.control)]


class Honest:
    """Fetches by each way, again and again, until it is left."""

    def __init__(self, house):
        self.ways = {"container": house.by_container, "imds": house.by_imds, "control": house.by_control}
        self.house, self.answers, self.failures, self.tries, self.worst = house, 0, [], 0, 0.0
        self.over = threading.Event()

    def __enter__(self):
        self.threads = [threading.Thread(target=self.poll, args=way) for way in self.ways.items()]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def poll(self, name, fetch):
        while not self.over.wait(0.1):
            begun, why = time.monotonic(), []
            for _ in range(3):
                try:
                    lent = fetch()
                    assert lent["AccessKeyId"].startswith("ASIA"), f"{name}: {list(lent)}"
                    self.house.stage.secret(lent["SecretAccessKey"], lent.get("Token") or lent.get("SessionToken"))
                    self.answers += 1
                    break
                except (OSError, http.client.HTTPException) as error:
                    why.append(f"{name}: {error!r}")
            else:
                self.failures.append(why)
            self.tries += len(why)
            self.worst = max(self.worst, time.monotonic() - begun)

    def check(self):
        assert not self.failures, f"{len(self.failures)} of {self.answers}: {self.failures[0]}"
        assert self.answers >= 30, f"only {self.answers} answers"
        return f"{self.answers} answers, {self.tries} second tries, the slowest after {self.worst:.2f} s"


class Unix(http.client.HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(str(self.path))


def metrics(stage, house):
    with stage.case("metrics are read by the parser of Prometheus's own client"):
        house.by_container()
        samples = house.metrics()
        version = house.daemon.run("--version").stdout.split()[-1]
        assert samples["credbroker_build_info", ("version", version)] == 1
        assert samples["credbroker_requests_total", ("endpoint", "local"), ("status", "200")] >= 1
        assert samples["credbroker_profiles", ("state", "held")] == 1
        left = samples["credbroker_credentials_remaining_seconds", ("profile", "reader")]
        assert 0 < left <= 3600, left
        count = samples["credbroker_sts_request_duration_seconds_count", ("operation", "AssumeRole")]
        assert count >= 1, count
    with stage.case("a probe finds the daemon alive and ready"):
        for path in ("/healthz", "/readyz"):
            assert house.tcp("metrics", "GET", path, parse=str) == "ok\n", path


def crowded(stage, house, mode, count):
    with stage.case(f"{count:,} connections, {MODES[mode]}"):
        with Crowd(stage, house, mode, count) as crowd:
            with Honest(house) as honest:
                crowd.stays(12)
                memory, connections = house.memory(), house.connections()
            said = honest.check()
        bound = BASE + 768 * CONNECTION
        assert connections <= 768, f"{connections} connections"
        assert memory <= bound, f"{memory >> 20} MiB, more than {bound >> 20}"
        print(f"   {mode}: {said}; {connections:.0f} connections, {memory >> 20} MiB", flush=True)


def no_descriptors(stage, house):
    """The limit is lowered under the daemon's feet to what it has open, which no budget foresees."""
    with stage.case("no file descriptor is left"):
        before = house.metrics()
        soft, hard = resource.prlimit(house.pid, resource.RLIMIT_NOFILE)
        with Crowd(stage, house, "silent", 1000) as crowd:
            crowd.stays(3)
            resource.prlimit(house.pid, resource.RLIMIT_NOFILE, (house.descriptors(), hard))
            try:
                with Honest(house) as honest:
                    crowd.stays(10)
                said = honest.check()
            finally:
                resource.prlimit(house.pid, resource.RLIMIT_NOFILE, (soft, hard))
        errors = sum(value - before.get(key, 0) for key, value in house.metrics().items()
                     if key[0] == "credbroker_accept_errors_total")
        assert errors > 0, "the limit was never met"
        print(f"   no descriptors: {said}; {errors:.0f} failed accepts", flush=True)


def recovered(stage, house):
    with stage.case("afterwards it is as before"):
        # Who was cut is gone at once; who kept quiet has ten seconds.
        wait_for(lambda: house.connections() <= 3, "the crowd's connections", seconds=30)
        assert house.descriptors() < 100, house.descriptors()
        with Honest(house) as honest:
            time.sleep(3)
        assert not honest.tries, honest.failures
        honest.check()


def many(stage, house):
    with stage.case("as many connections as there can be cost what is written down"):
        with Crowd(stage, house, "half", 6600) as crowd:
            with Honest(house) as honest:
                crowd.stays(15)
                connections, memory = house.connections(), house.memory()
            said = honest.check()
        bound = BASE + int(connections) * CONNECTION
        assert 4000 <= connections <= 4672, f"{connections} connections"
        assert memory <= bound, f"{memory >> 20} MiB for {connections:.0f} connections, more than {bound >> 20}"
        print(f"   {said}; {connections:.0f} connections, {memory >> 20} MiB", flush=True)
    house.daemon.stop()


MODES = {
    "silent": "which say nothing",
    "half": "which begin a request and stop",
    "trickle": "which send a byte now and then",
    "deaf": "which ask and never read",
}


class Crowd:
    """A process with many connections, which come again when they are closed."""

    def __init__(self, stage, house, mode, count):
        self.process = stage.spawn(f"crowd-{mode}-{count}", [
            sys.executable, __file__, "crowd", mode, count, *house.addresses()])

    def __enter__(self):
        wait_for(lambda: "all here" in self.process.log.read_text(), "the crowd", self.process, 60)
        return self

    def stays(self, seconds):
        time.sleep(seconds)
        assert self.process.poll() is None, self.process.log.read_text()

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def crowd(mode, count, *places):
    raise_limit()
    first = {"silent": b"", "half": b"GET /v1/credentials HTT", "trickle": b"G",
             "deaf": b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 10}[mode]
    selector, open_ones, told, met = selectors.DefaultSelector(), set(), False, 0
    next_byte = next_round = time.monotonic()
    while True:
        # Who was closed comes again, but not at once: these are slow clients, not a flood.
        begins = not told or time.monotonic() > next_round
        if begins:
            next_round = time.monotonic() + 0.5
        while begins and len(open_ones) < count:
            connection = come(places[met % len(places)], first, mode == "deaf")
            met += 1
            if connection is None:
                break
            open_ones.add(connection)
            selector.register(connection, selectors.EVENT_READ)
        if not told and met >= count:
            print("all here", flush=True)
            told = True
        # The deaf do not read either: one that was closed is found when it is written to.
        for key, _ in () if mode == "deaf" else selector.select(0.05):
            leave(key.fileobj, selector, open_ones) if gone(key.fileobj) else None
        if mode in ("trickle", "deaf") and time.monotonic() > next_byte:
            next_byte = time.monotonic() + 5
            for connection in list(open_ones):
                try:
                    connection.send(b"x" if mode == "trickle" else first)
                except BlockingIOError:
                    pass
                except OSError:
                    leave(connection, selector, open_ones)
        elif mode == "deaf":
            time.sleep(0.05)


def come(place, first, deaf):
    family = socket.AF_INET if place.isdigit() else socket.AF_UNIX
    connection = socket.socket(family)
    try:
        if deaf:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.settimeout(0.5)
        connection.connect(("127.0.0.1", int(place)) if place.isdigit() else place)
        connection.setblocking(False)
        if first:
            connection.send(first)
        return connection
    except OSError:
        connection.close()
        return None


def gone(connection):
    try:
        return not connection.recv(65536)
    except BlockingIOError:
        return False
    except OSError:
        return True


def leave(connection, selector, open_ones):
    selector.unregister(connection)
    open_ones.discard(connection)
    connection.close()


def raise_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    if sys.argv[1:2] == ["crowd"]:
        crowd(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
    main()
