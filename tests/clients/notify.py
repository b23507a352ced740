"""What the daemon says to the manager that starts it, word for word: the protocol of Type=notify and, for systemd 253 and
newer, of Type=notify-reload (sd_notify(3), systemd.service(5)), whose manager this is."""

import os
import signal
import socket
import sys
import time

from stage import BIN, Stage, config, end, free_port, wait_for

ROLE = "arn:aws:iam::123456789012:role/S3Access"


class Manager:
    """Listens at a NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))

    def hear(self, *keys, seconds=20):
        """The next message that says any of `keys`, as a dict, and what was said before it; signs of life left aside."""
        before = []
        deadline = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            lines = self.socket.recv(4096).decode().splitlines()
            message = dict(line.split("=", 1) for line in lines)
            if set(keys) & set(message):
                return message, before
            before.append(message)


def main():
    with Stage("notify") as stage:
        secret = "wJalrXUtnFEMI/K7MDENG/notifysecret0001"
        stage.secret(secret)
        stage.write("notify/base.json", {"Version": 1, "AccessKeyId": "AKIANOTIFY", "SecretAccessKey": secret})
        # Nobody answers there; readiness does not wait for an STS.
        good = config("base.json", {"reader": {"role_arn": ROLE, "endpoint_url": f"http://127.0.0.1:{free_port()}"}})
        path = stage.write("notify/config.toml", good)
        manager = Manager(stage.dir / "notify.sock")
        # As NotifyAccess=main has it: a manager takes word of the main process alone, and a watchdog is that process's.
        daemon = stage.spawn("daemon", ["sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh", BIN, "serve", "--config", path],
                             stage.env(NOTIFY_SOCKET=manager.path, WATCHDOG_USEC=2_000_000))
        try:
            with stage.case("it is ready when it serves, and says so with a line for systemctl status"):
                message, before = manager.hear("READY")
                assert message["READY"] == "1" and "profile" in message["STATUS"], message
                assert not any("RELOADING" in it or "STOPPING" in it for it in before), before
                assert (stage.dir / "notify/control.sock").exists()
            with stage.case("it gives signs of life, twice in the time of the watchdog or more often"):
                manager.hear("WATCHDOG")
                start = time.monotonic()
                manager.hear("WATCHDOG")
                assert time.monotonic() - start < 2, time.monotonic() - start
            for name, text in [("good", good.replace("reader", "writer")), ("wrong", "[profile.x]\nrole_arn = 1\n")]:
                with stage.case(f"a reload with a {name} file begins and ends as Type=notify-reload wants it"):
                    path.write_text(text)
                    sent = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                    os.kill(daemon.pid, signal.SIGHUP)
                    message, before = manager.hear("RELOADING")
                    # Without the time, or with one from before the signal, systemd takes no READY=1 for the reload's end.
                    assert message["RELOADING"] == "1" and "READY" not in message, message
                    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                    assert sent <= int(message["MONOTONIC_USEC"]) <= now, (sent, message, now)
                    message, before = manager.hear("READY", "STOPPING")
                    assert message.get("READY") == "1", message
                    assert not any("RELOADING" in it for it in before), before
                    assert ("fault" in message["STATUS"] or "wrong" in message["STATUS"]) == (name == "wrong"), message
            with stage.case("it says that it stops before it does"):
                daemon.terminate()
                message, _ = manager.hear("STOPPING")
                assert message["STOPPING"] == "1", message
                wait_for(lambda: daemon.poll() is not None, "its end")
                assert daemon.returncode == 0, daemon.returncode
        finally:
            end(daemon)
    stage.exit()


if __name__ == "__main__":
    sys.exit(main())
