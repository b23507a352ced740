"""What the tests of rotations share: a client that asks a daemon throughout, and days that pass at once for the sandbox and
for programs of ours.
"""

import glob
import threading

from stage import wait_for


class Client(threading.Thread):
    """Asks a daemon for new credentials, again and again. Where codes are `shared` with who rotates, it may be told once to
    try again, and does: a code is good for one, the next comes within half a minute, and it is waited for 20 seconds."""

    def __init__(self, daemon, profile="reader", shared=False):
        super().__init__(daemon=True)
        self.tries = 3 if shared else 1
        self.asked, self.failures, self.is_over, self.turn = 0, [], threading.Event(), threading.Lock()
        self.lender, self.profile = daemon, profile
        self.start()

    def run(self):
        while not self.is_over.wait(0.2):
            with self.turn:
                for _ in range(self.tries):
                    done = self.lender.run("refresh", self.profile)
                    if done.returncode != 75:
                        break
            self.asked += 1
            if done.returncode != 0:
                self.failures.append(done.stderr)

    def skip(self, jump):
        """Has `jump` let days pass at once, and asks on when the daemon has the sessions anew that ended with them."""
        with self.turn:
            jump()
            wait_for(lambda: self.lender.run("refresh", self.profile).returncode == 0, "the daemon is not back", seconds=90)

    def stop(self):
        """Asks no more."""
        self.is_over.set()
        self.join(60)

    def check(self):
        """Stops, and makes sure that it was served every time."""
        self.stop()
        assert self.asked > 3 and not self.failures, (self.asked, self.failures[:3])


class Clock:
    """The clock of a sandbox, and of programs that run with `env`."""

    def __init__(self, stage, sandbox, name):
        self.file, self.sandbox, self.days = stage.write(name, "+0d"), sandbox, 0
        sandbox.admin("POST", "clock", {"offset": "+0d"})

    def env(self, *preload):
        library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        assert library, "faketime is not installed"
        return {"LD_PRELOAD": " ".join([*map(str, preload), *library]), "FAKETIME_TIMESTAMP_FILE": self.file,
                "FAKETIME_NO_CACHE": 1}

    def pass_days(self, days):
        self.days += days
        self.file.write_text(f"+{self.days}d")
        self.sandbox.admin("POST", "clock", {"offset": f"+{self.days}d"})
