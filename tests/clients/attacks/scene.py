"""What is attacked: a daemon with every kind of door, and the honest client that every attack is held against."""

import contextlib
import json
import os
import threading

from judge import Control, exchange
from stage import ACCOUNT, REGION, NotHere, Sandbox, free_port
from world import BASE, SANDBOX, SECRET

from .wire import Request, ask

PROFILES = ("reader", "other")
SERVED, REFUSED = 200, 403


class Door:
    """Where requests come in; `honest` is one that is answered."""

    def __init__(self, name, place, honest):
        self.name, self.place, self.honest = name, place, honest

    def ask(self, request=None):
        request = self.honest if request is None else request
        return ask(self.place, request.raw() if isinstance(request, Request) else request)


class Suite:
    """All attacks of a run: what is secret, and a note of each that was held off."""

    def __init__(self, stage):
        self.stage = stage
        self.sandbox = Sandbox(stage, SANDBOX)
        self.rows = []
        self.skipped = set()  # attacks and classes of them that this machine cannot run
        self._secret = {SECRET}
        self._lock = threading.Lock()
        stage.secret(SECRET)

    def secret(self, *values):
        """Notes what no attack may see."""
        with self._lock:
            self._secret.update(values)
        self.stage.secret(*values)

    def shows_nothing(self, data):
        text = data if isinstance(data, bytes) else data.encode()
        with self._lock:
            shown = [secret for secret in self._secret if secret.encode() in text]
        assert not shown, f"{len(shown)} secrets are shown"

    def shows_something(self, data):
        with self._lock:
            assert any(secret.encode() in data for secret in self._secret), "the honest request lends nothing"

    @contextlib.contextmanager
    def attack(self, kind, name, stops, scene=None):
        """An attack that `stops`, a file, holds off; afterwards the honest client of the scene is still served. What was seen
        of it is put into the `saw` of what this gives.
        """
        attack = Attack(self, kind, name, stops)
        with self.stage.case(f"{kind}: {name}"):
            try:
                yield attack
            except NotHere:
                self.skipped.add(name)
                raise
            assert attack.saw, "nothing was seen"
            if scene is not None:
                scene.serves()
            with self._lock:
                self.rows.append({"kind": kind, "attack": name, "stops": stops, "saw": attack.saw})


class Attack:
    """One attack, under way."""

    def __init__(self, suite, kind, name, stops):
        self.suite, self.kind, self.name, self.stops = suite, kind, name, stops
        self.saw = ""
        self._statuses = set()

    def refused(self, door, request, *statuses, control=None):
        """Sends the honest request, which is answered, and then this one, which is not: its status is one of `statuses`."""
        honest = door.ask(control)
        assert honest and honest.status == SERVED, f"{door.name}: the honest request: {honest and honest.status}"
        answer = door.ask(request)
        assert answer is not None, f"{door.name}: no answer"
        self.suite.shows_nothing(answer.raw)
        assert answer.status in statuses, f"{door.name}: {answer.status}"
        self._statuses.add(answer.status)
        self.saw = ", ".join(map(str, sorted(self._statuses)))


class Scene:
    """A daemon with a container endpoint, three metadata endpoints, one of which serves version 1, and one for monitoring."""

    def __init__(self, suite, name):
        self.suite, self.stage, self.name = suite, suite.stage, name
        self.ports = {kind: free_port() for kind in ("local", "metadata", "neighbour", "old", "metrics")}
        self.daemon = self.stage.daemon(self.text(), name=name)
        self.ticket = self.new_ticket("reader")
        self.container = Door("container", self.ports["local"], Request(
            "GET", "/v1/credentials", (("Host", f"127.0.0.1:{self.ports['local']}"), ("Authorization", self.ticket))))
        self.token = self.new_token()
        self.imds = self._imds("metadata", (("X-aws-ec2-metadata-token", self.token),))
        self.old = self._imds("old", ())
        self.tokens = Door("a token of imds", self.ports["metadata"], self._wish("metadata"))
        self.metrics = Door("metrics", self.ports["metrics"], Request(
            "GET", "/metrics", (("Host", f"127.0.0.1:{self.ports['metrics']}"),)))
        self.lending = (self.container, self.imds, self.old)
        self.doors = (*self.lending, self.tokens, self.metrics)
        for door in self.lending:
            self.learn(door)
        self.learn_other()

    def text(self):
        self.stage.write(f"{self.name}/base.json", BASE)
        lines = ['[daemon]', 'state_dir = "state"', 'control = "control.sock"']
        for name, kind, more in (("local", "container", ""), ("metadata", "imds", 'profiles = ["reader"]\n'),
                                 ("neighbour", "imds", 'profiles = ["reader"]\n'),
                                 ("old", "imds", 'profiles = ["reader"]\nhttp_tokens = "optional"\n'), ("metrics", "metrics", "")):
            lines += [f'[[endpoint]]\nname = "{name}"\nkind = "{kind}"\naddress = "127.0.0.1:{self.ports[name]}"\n{more}']
            if kind == "imds":
                lines += [f'[[allow]]\nprofiles = ["reader"]\nendpoint = "{name}"']
        lines += ['[profile.base]', 'access_key = { file = "base.json" }']
        lines += [profile(name, self.suite.sandbox.url) for name in PROFILES]
        return "\n".join(lines) + "\n"

    def _imds(self, name, headers):
        host = ("Host", f"127.0.0.1:{self.ports[name]}")
        return Door(f"imds {name}", self.ports[name], Request(
            "GET", "/latest/meta-data/iam/security-credentials/reader", (host, *headers)))

    def _wish(self, name):
        return Request("PUT", "/latest/api/token", (("Host", f"127.0.0.1:{self.ports[name]}"),
                                                    ("X-aws-ec2-metadata-token-ttl-seconds", "21600")))

    def new_token(self, name="metadata", seconds=21600):
        wish = self._wish(name).having("X-aws-ec2-metadata-token-ttl-seconds", str(seconds))
        answer = ask(self.ports[name], wish.raw())
        assert answer.status == SERVED, answer.status
        token = answer.body.decode()
        self.suite.secret(token)
        return token

    def new_ticket(self, profile, seconds=43200):
        status, text = self.control("POST", f"/v1/profiles/{profile}/ticket", json.dumps({"ttl_seconds": seconds}))
        assert status == SERVED, f"{status}: {text}"
        ticket = json.loads(text)["ticket"]
        self.suite.secret(ticket)
        return ticket

    def control(self, method, path, body=None):
        status, text = exchange(Control(self.daemon.control), method, path, {}, body)
        return int(status), text

    def learn(self, door, request=None):
        """Has the honest client ask, and notes what it got."""
        answer = door.ask(request)
        assert answer is not None and answer.status == SERVED, f"{door.name}: {answer and answer.raw}"
        lent = json.loads(answer.body)
        self.suite.secret(lent["SecretAccessKey"], lent["Token"])

    def learn_other(self):
        self.learn(self.container, self.container.honest.having("Authorization", self.new_ticket("other")))

    def serves(self):
        """The honest client still gets what is its own, by every door."""
        for door in self.lending:
            answer = door.ask()
            assert answer is not None and answer.status == SERVED, f"afterwards, {door.name}: {answer and answer.status}"
            self.suite.shows_something(answer.raw)
        assert self.daemon.process.poll() is None, "the daemon has ended"


def profile(name, url):
    return "\n".join([f"[profile.{name}]", 'source_profile = "base"', f'role_arn = "arn:aws:iam::{ACCOUNT}:role/Reader"',
                      f'role_session_name = "{name}"', f'region = "{REGION}"', f'endpoint_url = "{url}"', ""])


def is_root():
    return os.geteuid() == 0
