"""Files that are not what they were: links to a victim's, pipes, open to others, or exchanged at the wrong moment."""

import json
import os
import pathlib
import stat
import threading
import time

from stage import BIN, NotHere, end, wait_for
from world import BASE, SEED, SERIAL

from .household import BOB
from .scene import is_root, profile

FILES, STATE, SEAL, SHELF = "src/files/open.rs", "src/daemon/state.rs", "src/seal.rs", "src/store/shelf.rs"
SOCKET = "src/endpoint/listener/socket.rs"
WRONG, NOT_NOW = 78, 75
LOOSE = {"Version": 1, "AccessKeyId": "AKIAIOSFODNN7LOOSE77", "SecretAccessKey": 40 * "l"}
# What each file is written by or read with; the first that fits.
STOPS = {"lock": STATE, "control.sock.lock": SOCKET, "token.key": SEAL, "store.key": SEAL, "epoch": FILES, "port-local": FILES,
         "sessions/*": FILES, "mfa/codes.json": FILES}


def attacks(suite):
    suite.stage.secret(LOOSE["SecretAccessKey"])
    for name, stops in STOPS.items():
        with suite.attack("file", f"{name} is a symbolic link to another file", stops) as attack:
            attack.saw = linked(suite, name, os.symlink)
        with suite.attack("file", f"{name} is a hard link to another file", stops) as attack:
            attack.saw = linked(suite, name, os.link)
    for name in ("token.key", "store.key", "epoch", "port-local", "sessions/*", "mfa/codes.json", "base.json", "config.toml"):
        with suite.attack("file", f"{name} is a pipe that nobody writes to", FILES) as attack:
            attack.saw = piped(suite, name)
    for name in ("sessions", "mfa"):
        with suite.attack("file", f"the directory {name} is a link to another, with files in it", SHELF) as attack:
            attack.saw = elsewhere(suite, name)
    for what, make in {"a file": lambda path: path.write_text("notes"), "a link to a file": link_to_notes,
                       "a directory": pathlib.Path.mkdir}.items():
        with suite.attack("file", f"at the control socket's place there is {what}", SOCKET) as attack:
            place = Place(suite, f"socket-{what.replace(' ', '-')}")
            make(place.dir / "control.sock")
            assert place.fails() in (WRONG, NOT_NOW), "it serves"
            for notes in ("control.sock", "notes"):
                assert not (place.dir / notes).is_file() or (place.dir / notes).read_text() == "notes", f"{notes} was changed"
            attack.saw = "it does not start, and that stays"
    open_to_others(suite)
    exchanged(suite)


def link_to_notes(path):
    (path.parent / "notes").write_text("notes")
    path.symlink_to(path.parent / "notes")


class Place:
    """A daemon's files, and the daemon, which is started and stopped."""

    def __init__(self, suite, name):
        self.suite, self.stage, self.name = suite, suite.stage, name
        self.dir = self.stage.dir / name
        self.state, self.control = self.dir / "state", self.dir / "control.sock"
        self.stage.write(f"{name}/base.json", BASE)
        self.stage.write(f"{name}/seed", SEED)
        self.config = self.stage.write(f"{name}/config.toml", self.text())
        self.state.mkdir(mode=0o700)
        self.process = None

    def text(self):
        lines = ["[daemon]", 'state_dir = "state"', 'control = "control.sock"']
        for device in ("one", "two"):
            lines += [f"[mfa.{device}]", f'serial = "{SERIAL}-{device}"', 'code = { totp = { file = "seed" } }',
                      f"[profile.base-{device}]", 'access_key = { file = "base.json" }', f'mfa = "{device}"',
                      profile(f"admin-{device}", self.suite.sandbox.url).replace('"base"', f'"base-{device}"')]
        lines += ["[profile.base]", 'access_key = { file = "base.json" }', profile("reader", self.suite.sandbox.url)]
        return "\n".join(lines) + "\n"

    def spawn(self):
        self.process = self.stage.spawn(self.name, [BIN, "serve", "--config", self.config])

    def starts(self):
        """Whether it serves; else it has ended by itself."""
        self.spawn()
        wait_for(lambda: self.process.poll() is not None or self.run("list").returncode == 0, self.name, seconds=60)
        return self.process.poll() is None

    def fails(self):
        """The status it ends with, or None where it serves."""
        if self.starts():
            end(self.process)
            return None
        return self.process.returncode

    def run(self, *argv):
        return self.stage.run(BIN, *argv, env=self.stage.env(CREDBROKER_CONTROL=self.control), secret_stdout=True)

    def exercise(self, device):
        """Has every file read and written that this daemon keeps."""
        self.lent()
        self.run("mfa", "code", f"admin-{device}")
        self.run("logout", "--all")
        self.run("forget", "reader")
        self.lent()

    def lent(self):
        done = self.run("process", "reader")
        if done.returncode == 0:
            lent = json.loads(done.stdout)
            self.suite.secret(lent["SecretAccessKey"], lent["SessionToken"])
        return done

    def furnish(self):
        """Runs once, so that everything is there."""
        assert self.starts(), self.process.log.read_text()
        self.exercise("one")
        end(self.process)

    def find(self, name):
        if name in ("control.sock.lock", "base.json", "config.toml"):
            return self.dir / name
        found = sorted(self.state.glob(name))
        assert found, f"there is no {name}: {sorted(self.state.rglob('*'))}"
        return found[0]


def linked(suite, name, link):
    """Has a file be a link to a victim, which is as the file was; the victim stays so, whatever the daemon does."""
    place = Place(suite, f"{link.__name__}-{name.replace('/', '-').replace('*', 'x')}")
    place.furnish()
    file, victim = place.find(name), place.dir / "victim"
    file.rename(victim)
    link(victim, file)
    before = looked(victim)
    serves = place.starts()
    if serves:
        place.exercise("two")
        assert place.lent().returncode == 0, "it lends nothing"
        end(place.process)
    assert looked(victim) == before, "the victim was changed"
    return "the victim is untouched" + ("" if serves else "; it does not start")


def looked(path):
    found = path.stat()
    return path.read_bytes(), found.st_mode, found.st_uid, found.st_mtime_ns, found.st_ino


def piped(suite, name):
    place = Place(suite, f"pipe-{name.replace('/', '-').replace('*', 'x')}")
    place.furnish()
    file = place.find(name)
    file.unlink()
    os.mkfifo(file, 0o600)
    if not place.starts():
        return "it does not start, at once"
    assert place.lent().returncode == 0, "it lends nothing"
    place.exercise("two")
    end(place.process)
    return "it is not waited for"


def elsewhere(suite, name):
    place = Place(suite, f"directory-{name}")
    place.furnish()
    victim = place.dir / "victim"
    victim.mkdir()
    (victim / "notes").write_text("notes")
    (place.state / name).rename(place.state / f"{name}.old")
    (place.state / name).symlink_to(victim)
    if place.starts():
        place.exercise("two")
        end(place.process)
    assert (victim / "notes").read_text() == "notes", "a file of somebody else's was changed"
    for path in victim.iterdir():
        assert path.name == "notes" or stat.S_IMODE(path.stat().st_mode) == 0o600, f"{path.name} is open to others"
        suite.shows_nothing(path.read_bytes())
    return "its files stay; what is added is sealed, and closed to others"


def open_to_others(suite):
    for what, name, mode, stops in (
        ("the state directory", "state", 0o777, STATE), ("the state directory, to its group", "state", 0o770, STATE),
        ("the key of tickets", "state/token.key", 0o644, SEAL), ("the key of tickets, to its group", "state/token.key", 0o640, SEAL),
        ("a key file", "base.json", 0o644, FILES), ("a key file, to be written", "base.json", 0o622, FILES),
        ("the seed of a device", "seed", 0o604, FILES), ("the configuration, to be written", "config.toml", 0o666, FILES),
    ):
        with suite.attack("file", f"open to others: {what}", stops) as attack:
            place = Place(suite, f"open-{name.replace('/', '-')}-{mode:o}")
            place.furnish()
            (place.dir / name).chmod(mode)
            status = place.fails()
            assert status == WRONG, status
            assert "chmod" in place.process.log.read_text(), "no remedy is named"
            attack.saw = "exit 78"
    with suite.attack("file", "open to others: the key of sealed sessions", SEAL) as attack:
        place = Place(suite, "open-store-key")
        place.furnish()
        (place.state / "store.key").chmod(0o644)
        for path in (place.state / "sessions").iterdir():
            path.unlink()
        assert place.starts() and place.lent().returncode == 0, "it lends nothing"
        time.sleep(0.2)
        end(place.process)
        assert not list((place.state / "sessions").iterdir()), "sessions are sealed with it"
        attack.saw = "nothing is sealed with it"
    for what, name, stops in (("the state directory", "state", STATE), ("the key of tickets", "state/token.key", SEAL),
                              ("a key file", "base.json", FILES), ("the configuration", "config.toml", FILES)):
        with suite.attack("file", f"of another user: {what}", stops) as attack:
            if not is_root():
                raise NotHere("only root can give files away")
            place = Place(suite, f"stranger-{name.replace('/', '-')}")
            place.furnish()
            os.chown(place.dir / name, BOB, BOB)
            if name != "base.json":
                status = place.fails()
                assert status == WRONG and f"user id {BOB}" in place.process.log.read_text(), status
                attack.saw = "exit 78"
                continue
            # Root may look at a configuration for another user, so that this is found when the key is read.
            assert place.starts(), "it does not start"
            place.run("forget", "reader")
            done = place.lent()
            assert done.returncode == WRONG and f"user id {BOB}" in done.stderr, f"{done.returncode}: {done.stderr}"
            end(place.process)
            attack.saw = "it is not used"
    for what, name in (("a key file", "base.json"), ("the configuration", "config.toml")):
        with suite.attack("file", f"open to others: the directory on the way to {what}", FILES) as attack:
            place = Place(suite, f"way-{name}")
            place.furnish()
            (place.dir / "open").mkdir()
            (place.dir / name).rename(place.dir / "open" / name)
            (place.dir / name).symlink_to(f"open/{name}")
            (place.dir / "open").chmod(0o777)
            assert place.fails() == WRONG, "it serves"
            (place.dir / "open").chmod(0o755)
            assert place.starts(), "it was refused for something else"
            end(place.process)
            attack.saw = "exit 78"


def exchanged(suite):
    """Somebody exchanges a file again and again, for the moment between a look at it and its use."""
    with suite.attack("file", "the epoch is exchanged for a link, again and again, while tickets are ended", FILES) as attack:
        place = Place(suite, "exchanged-epoch")
        place.furnish()
        victim = place.dir / "victim"
        victim.write_text("7\n")
        before = looked(victim)
        assert place.starts(), "it does not start"
        with Swapper(place.state / "epoch", lambda path: path.symlink_to(victim)) as swapper:
            for _ in range(60):
                place.run("logout", "--all")
        assert swapper.count > 100, f"only {swapper.count} times"
        assert looked(victim) == before and place.lent().returncode == 0, "the victim was changed"
        end(place.process)
        attack.saw = "the victim is untouched"
    with suite.attack("file", "a key file is exchanged for one that others can write, again and again", FILES) as attack:
        place = Place(suite, "exchanged-key")
        loose = json.dumps(LOOSE)
        place.furnish()
        count = lambda: suite.sandbox.admin("GET", "state")["counts"]["AssumeRole"]["failed"].get("InvalidClientTokenId", 0)
        # Where it is closed to others, that key is used; the STS does not know it.
        suite.stage.write("exchanged-key/base.json", loose)
        assert place.starts(), "it does not start"
        place.run("forget", "reader")
        before = count()
        place.lent()
        assert count() > before, "the key in the file was not used"
        suite.stage.write("exchanged-key/base.json", BASE)
        end(place.process)
        assert place.starts(), "it does not start"
        before = count()

        def swap(path):
            path.write_text(loose)
            path.chmod(0o666)

        def back(path):
            path.write_text(json.dumps(BASE))
            path.chmod(0o600)

        with Swapper(place.dir / "base.json", swap, back) as swapper:
            for _ in range(60):
                place.run("forget", "reader")
                place.lent()
        assert swapper.count > 100, f"only {swapper.count} times"
        assert count() == before, f"{count() - before} times the other key was used"
        end(place.process)
        attack.saw = "the other key is never used"


class Swapper:
    """Exchanges the file at `path`, as fast as it can, by a rename: for what `make` makes, and, where there is `back`, for
    what that makes.
    """

    def __init__(self, path, make, back=None):
        self.path, self.makes, self.count = path, [make] + ([back] if back else []), 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        beside = self.path.with_name("swapped.tmp")
        while not self._over.is_set():
            for make in self.makes:
                beside.unlink(missing_ok=True)
                beside.touch(0o600)
                if len(self.makes) == 1:
                    beside.unlink()
                make(beside)
                beside.rename(self.path)
                self.count += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
