"""docs/guides/enrol-an-mfa-device.md as it stands, with somebody who points a camera at the terminal: against the sandbox, where
it takes a while until a new device is known.
"""

import os
import re

import qr
from mfa_enroll import FIRST, ID, SECOND, SECRET, SERIAL, THIRD, USERS, Phone, Screen, client, key_json, seed_in
from page import Page
from stage import BIN, Sandbox, Stage, located, wait_for

PLACES = '[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n'
SLOW = '[limits]\npropagation = "3s"\n'


def main():
    with Stage("guide_enrol") as stage:
        page = Page(stage, "enrol-an-mfa-device.md", [], folder="guides")
        sandbox = Sandbox(stage, SLOW + USERS)
        stage.secret(SECRET)
        # Where a configuration is looked for depends on who this is.
        stage.write("page/bin/credbroker", f'#!/bin/sh\nexec {BIN} "$@" --config {stage.dir}/here/config.toml\n', 0o700)
        stage.write("here/base.json", key_json(ID, SECRET))
        text = PLACES + located(page.block("", "toml"), sandbox.url)
        stage.write("here/config.toml", text)
        needed(stage, page, sandbox)
        on_a_phone(stage, page)
        for_a_machine(stage, page, text)
        gone_wrong(stage, page, sandbox)
    stage.exit()


def needed(stage, page, sandbox):
    with stage.case("check --policies names what the page says that a user needs"):
        done = page.bash("credbroker check --policies admin", {})
        assert done.returncode == 0, done.stderr
        for action in re.findall(r"`(iam:\w+)`", page.sections[""]):
            assert f'"{action}"' in done.stdout, action


def on_a_phone(stage, page):
    phone = Phone(stage)
    with stage.case("on a phone: the camera reads the seed, and three codes enrol it"):
        screen = begin(stage, page, "On a phone")
        screen.until(FIRST)
        phone.seed = seed_in(qr.on_terminal(screen.said.decode()))
        stage.secret(phone.seed)
        screen.type(phone.code() + "\n")
        screen.answer(SECOND, phone.code())
        screen.answer(THIRD, phone.code())
    with stage.case("until the device is known everywhere, it is said what is waited for"):
        screen.until("a new device takes a while to be known everywhere; trying again")
        screen.answer(THIRD, phone.code())
        status, said = screen.end()
        assert status == 0 and f"{SERIAL} is enabled for me" in said, (status, said[-400:])
    with stage.case("look, and remove"):
        page.console("Look, and remove")


def begin(stage, page, heading):
    """The command under the heading, on a terminal."""
    return Screen(stage, ["/bin/bash", "-c", f"exec {page.block(heading, 'sh')}"], page.env())


def for_a_machine(stage, page, text):
    # The table of the page takes the place of the one before.
    text = re.sub(r"\[mfa\.me\]\n.*\n", page.block("For a machine", "toml"), text)
    stage.write("here/config.toml", text)
    seed = stage.dir / "here/me.seed"
    with stage.case("for a machine: the seed is kept for its owner alone, and nothing is shown"):
        done = page.bash(page.block("For a machine", "sh"), {}, start_new_session=True)
        assert done.returncode == 0 and "are one factor" in done.stdout and "waiting" in done.stderr, done
        stage.secret(seed.read_text().strip())
        assert seed.stat().st_mode & 0o777 == 0o600 and "otpauth" not in done.stdout
    with stage.case("run once more, it changes nothing"):
        page.console("For a machine")
    with stage.case("the daemon answers by itself"):
        daemon = stage.daemon(text, name="here")
        wait_for(lambda: daemon.run("whoami", "admin").returncode == 0, "no session", seconds=90)
        daemon.stop()
    with stage.case("check warns of the two on one disk"):
        done = page.bash("credbroker check", {})
        assert "are one factor" in done.stdout + done.stderr, done
    assert page.bash(f"credbroker mfa remove base {SERIAL} --force --seed", {}, start_new_session=True).returncode == 0


def gone_wrong(stage, page, sandbox):
    """What the page quotes is what is said."""
    quoted = re.findall(r"^\*(.*?)\*", page.sections["When something goes wrong"], re.MULTILINE)
    iam = client(sandbox, "iam")

    def said(*more):
        done = page.bash("credbroker mfa enroll base " + " ".join(more), {}, start_new_session=True)
        assert done.returncode != 0, done
        return done.stderr

    with stage.case("what the page says of what goes wrong is what is said then"):
        made = iam.create_virtual_mfa_device(VirtualMFADeviceName="me")["VirtualMFADevice"]
        stage.secret(made["Base32StringSeed"].decode())
        there = said()
        iam.delete_virtual_mfa_device(SerialNumber=SERIAL)
        sandbox.admin("POST", "faults", {"kind": "server-error", "operation": "EnableMFADevice"})
        sandbox.admin("POST", "faults", {"kind": "server-error", "operation": "DeleteVirtualMFADevice"})
        stays = said()
        sandbox.admin("DELETE", "faults")
        wrong = said("--codes - <<<$'000000\\n000000'")
        for words, message in zip(quoted[1:], (there, stays, wrong), strict=True):
            words = words.replace("The device", f"the device {SERIAL}")
            assert words.lower() in message.lower(), (words, message)
    with stage.case("after all that nothing is left"):
        assert not iam.list_virtual_mfa_devices()["VirtualMFADevices"]
        left = os.listdir(stage.dir / "here") + os.listdir(stage.dir / "here/state/enrolment")
        assert not [name for name in left if "seed" in name], left


if __name__ == "__main__":
    main()
