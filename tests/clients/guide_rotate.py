"""docs/guides/rotate-a-key.md, carried out as it stands, against the sandbox: the days between its steps pass by faketime and
the sandbox's own clock. The timer's units are read by systemd, and their command line is run.
"""

import json
import pathlib
import shlex
import shutil
import sys

from keys import key_json
from page import Page
from rotating import Client, Clock
from stage import BIN, ROOT, NotHere, Sandbox, Stage, located

OLD, NEW = "AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"
SECRET = "guide/EXAMPLEKEY/not/a/secret/0000000000"
SANDBOX = f"""
[[user]]
name = "me"
access_key_id = "{OLD}"
secret_access_key = "{SECRET}"
[[role]]
name = "Reader"
trust.principals = ["*"]
"""
PLACE = '[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n'


def main():
    with Stage("guide_rotate") as stage:
        stage.secret(SECRET)
        sandbox = Sandbox(stage, SANDBOX)
        page = Page(stage, "rotate-a-key.md", [], folder="guides")
        clock = Clock(stage, sandbox, "now")
        text = PLACE + located(page.block("The profile", "toml"), sandbox.url)
        file = stage.write("page/base.json", key_json(OLD, SECRET))
        daemon = stage.daemon(text, name="page", env=stage.env(**clock.env()))
        timed = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in clock.env().items())
        stage.write("page/bin/credbroker", f'#!/bin/sh\nexec env {timed} {BIN} "$@" --config {daemon.config}\n', 0o700)
        client = Client(daemon)

        def follow(heading):
            with stage.case(f"{heading}: as the page shows"):
                page.console(heading)

        follow("The profile")
        follow("See what it would do")
        page.swaps = [(NEW, "...")]
        follow("Begin")
        key = json.loads(file.read_text())
        stage.secret(key["SecretAccessKey"])
        page.swaps = [(NEW, key["AccessKeyId"])]
        for heading, days in (("A day later", 1), ("A week after that", 7), ("Every 90 days by itself", 0)):
            client.skip(lambda days=days: clock.pass_days(days))
            follow(heading)
        with stage.case("in the end there is the new key alone, and whoever asked throughout was served"):
            assert key["AccessKeyId"] != OLD and [one["access_key_id"] for one in sandbox.admin("GET", "state")["keys"]] == [
                key["AccessKeyId"]]
            client.check()
        with stage.case("the timer of the page is one that systemd takes"):
            timer(stage, page)
        with stage.case("the command line of its service does what the page says"):
            [line] = [line.partition("=")[2] for line in (ROOT / UNITS / f"{TEMPLATE}.service").read_text().splitlines()
                      if line.startswith("ExecStart=")]
            line = line.replace("%I", "base").replace("--config /etc/credbroker/config.toml", "")
            done = page.bash(line, {})
            assert done.returncode == 0 and "is young enough" in done.stdout, done
    stage.exit()


UNITS, TEMPLATE = "systemd/system", "credbroker-keys-rotate@"


def timer(stage, page):
    if not shutil.which("systemd-analyze"):
        raise NotHere("no systemd-analyze")
    name = f"{TEMPLATE}base.timer"
    assert f"systemctl enable --now {name}" in page.block("Every 90 days by itself", "sh")
    units = stage.dir / "units"
    units.mkdir()
    for kind in ("service", "timer"):
        text = (ROOT / UNITS / f"{TEMPLATE}.{kind}").read_text()
        (units / f"{TEMPLATE}.{kind}").write_text(text.replace("ExecStart=credbroker", f"ExecStart={pathlib.Path(BIN).resolve()}"))
    done = stage.run("systemd-analyze", "verify", "--man=no", units / name, env=stage.env(SYSTEMD_UNIT_PATH=f"{units}:"))
    assert done.returncode == 0 and name not in done.stderr, done


if __name__ == "__main__":
    sys.exit(main())
