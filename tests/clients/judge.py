"""The judge: asks a daemon by every way, again and again, and holds each answer to what every answer must be.

    judge = Judge(stage, daemon, sandbox, ["reader"], imds=9912)
    with judge:                 # clients ask as long as this lasts
        ...                     # what goes wrong
    judge.rule()                # fails with all that was wrong

A good answer has a minute and more to live, is whole, and is of one issuance by the sandbox's own word. "Not now" is
honest only while no session that was lent has a minute left. Either comes within its way's deadline.
"""

import collections
import datetime
import hashlib
import http.client
import json
import socket
import subprocess
import threading
import time

from stage import BIN, prepare_child

LEAST = 60
# What each way may take, in seconds: its own patience, and what a busy machine adds to it.
DEADLINES = {"container": 0.9 + 5, "imds": 0.45 + 5, "process": 20 + 5}
GOOD, NOT_NOW, NOBODY = "200", "503", "no connection"
PROCESS_STATUS = {0: GOOD, 75: NOT_NOW, 69: NOBODY}


class Judge:
    """Clients that ask one daemon for `profiles`; and, with `imds`, for the first of them at the metadata endpoint that has
    this port.
    """

    def __init__(self, stage, daemon, sandbox, profiles, imds=None, clients=2, pause=0.1, allowed=(GOOD, NOT_NOW)):
        self.stage, self.daemon, self.sandbox = stage, daemon, sandbox
        self.allowed = set(allowed)
        self.answers = collections.Counter()
        self.wrong = []
        self.slowest = collections.Counter()
        self._lock = threading.Lock()
        self._stories = collections.defaultdict(list)
        self._best = collections.Counter()  # by profile: until when what was lent lives
        self._unproven = {}
        self._issued = {}
        self._over = threading.Event()
        self._tickets = {profile: ticket(daemon.control, profile) for profile in profiles}
        stage.secret(*(it["ticket"] for it in self._tickets.values()))
        tours = [[(self._container, "container", profile) for profile in profiles]] * clients
        if imds:
            self._imds_port = imds
            tours += [[(self._imds, "imds", profiles[0])]] * clients
        # A process each is dear: once a second.
        self._threads = [threading.Thread(target=self._client, args=(tour, pause), daemon=True) for tour in tours]
        self._quick = {(way, profile) for tour in tours for _, way, profile in tour}
        process = [(self._process, "process", profile) for profile in profiles]
        self._threads.append(threading.Thread(target=self._client, args=(process, 1), daemon=True))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def watch(self, seconds):
        self._over.wait(seconds)

    def wait_for(self, status, what, seconds=60):
        """Waits until the last answer of every story is `status`."""
        deadline = time.monotonic() + seconds
        while {self.last(key) for key in self._quick} != {status}:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {seconds} s: {self.stories()}")
            time.sleep(0.05)

    def last(self, key):
        with self._lock:
            return self._stories[key][-1] if key in self._stories else None

    def stories(self):
        """What each quick way saw of each profile: the statuses in turn."""
        with self._lock:
            return {key: list(story) for key, story in self._stories.items() if key[0] != "process"}

    def story(self):
        """The one story that all the quick ways saw."""
        stories = {", ".join(story) for story in self.stories().values()}
        assert len(stories) == 1, f"the ways saw different things: {self.stories()}"
        return stories.pop()

    def sessions(self):
        """How many were lent."""
        with self._lock:
            return len(self._issued) + len(self._unproven)

    def prove(self):
        """Has the sandbox say of all that was lent which values belong together."""
        with self._lock:
            unproven, self._unproven = self._unproven, {}
        if not unproven:
            return
        for session in self.sandbox.admin("GET", "state")["sessions"]:
            self._issued[session["access_key_id"]] = session["digest"], session["expires"]
        for key, (document, digest) in unproven.items():
            issued = self._issued.get(key)
            if issued is None:
                self._object(f"{key} was lent and never issued")
            elif issued != (digest, document["Expiration"]):
                self._object(f"{key}: values of more than one issuance")

    def rule(self):
        """Fails where anything was wrong."""
        self.prove()
        assert self.answers[GOOD], f"nobody had a good answer: {dict(self.answers)}"
        assert not self.wrong, f"{len(self.wrong)} wrong answers: {'; '.join(self.wrong[:5])}"

    def _client(self, tour, pause):
        while not self._over.is_set():
            for ask, way, profile in tour:
                began, sent = time.monotonic(), time.time()
                best = self._best[profile]
                try:
                    status, text = ask(profile)
                except (ConnectionError, FileNotFoundError, http.client.RemoteDisconnected):
                    status, text = NOBODY, ""
                except Exception as error:
                    status, text = f"{type(error).__name__}: {error}", ""
                self._answer(way, profile, status, text, best, sent, time.monotonic() - began)
                if self._over.wait(pause):
                    return

    def _answer(self, way, profile, status, text, best, sent, took):
        now = time.time()
        if took > DEADLINES[way]:
            self._object(f"{way} took {took:.1f} s to say {status}")
        if status == GOOD:
            self._lent(way, profile, text, sent)
        elif status == NOT_NOW and best - now >= LEAST:
            self._object(f"{way}: not now, with {best - now:.0f} s left of a session of {profile}")
        if status not in self.allowed:
            self._object(f"{way} said {status} for {profile}")
        with self._lock:
            self.answers[status] += 1
            self.slowest[way] = max(self.slowest[way], took)
            story = self._stories[way, profile]
            if not story or story[-1] != status:
                story.append(status)

    def _lent(self, way, profile, text, sent):
        try:
            document = json.loads(text)
            token = document["SessionToken" if way == "process" else "Token"]
            key, secret = document["AccessKeyId"], document["SecretAccessKey"]
            ends = datetime.datetime.fromisoformat(document["Expiration"].replace("Z", "+00:00")).timestamp()
        except (KeyError, ValueError) as error:
            return self._object(f"{way}: a torn answer: {error!r}")
        # The daemon decided after this was sent: it had no more to live then than it has here.
        if ends - sent < LEAST:
            self._object(f"{way}: {ends - sent:.0f} s to live")
        digest = hashlib.sha256(f"{key}\n{secret}\n{token}\n".encode()).hexdigest()
        with self._lock:
            self._best[profile] = max(self._best[profile], ends)
            first = key not in self._issued and key not in self._unproven
            seen = self._issued.get(key) or self._unproven.get(key)
            if first:
                self._unproven[key] = document, digest
        if first:
            self.stage.secret(secret, token)
        elif digest not in seen:
            self._object(f"{way}: {key} came with other values before")

    def _object(self, what):
        with self._lock:
            self.wrong.append(f"{time.strftime('%H:%M:%S')} {what}")

    def port(self, profile):
        """The container endpoint's, for those who hold a ticket for `profile`."""
        return int(self._tickets[profile]["url"].split(":")[2].split("/")[0])

    def _container(self, profile):
        connection = http.client.HTTPConnection("127.0.0.1", self.port(profile), timeout=30)
        return exchange(connection, "GET", "/v1/credentials", {"Authorization": self._tickets[profile]["ticket"]})

    def _imds(self, profile):
        connection = http.client.HTTPConnection("127.0.0.1", self._imds_port, timeout=30)
        status, token = exchange(connection, "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        assert status == GOOD, f"the token's status is {status}"
        status, text = exchange(connection, "GET", f"/latest/meta-data/iam/security-credentials/{profile}",
                                {"X-aws-ec2-metadata-token": token})
        code = json.loads(text)["Code"] if status == GOOD else "Success"
        return (status if code == "Success" else f"200 with the code {code}"), text

    def _process(self, profile):
        done = subprocess.run([BIN, "process", profile], env=self.daemon.env(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, preexec_fn=prepare_child)
        if "gave no answer" in done.stderr:
            return NOBODY, ""
        return PROCESS_STATUS.get(done.returncode, f"exit {done.returncode}: {done.stderr}"), done.stdout


class Control(http.client.HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, path):
        super().__init__("credbroker", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ticket(control, profile):
    status, text = exchange(Control(control), "POST", f"/v1/profiles/{profile}/ticket", {}, '{"ttl_seconds":43200}')
    assert status == GOOD, f"no ticket for {profile}: {status}"
    return json.loads(text)


def exchange(connection, method, path, headers, body=None):
    """One request."""
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return str(answer.status), answer.read().decode()
