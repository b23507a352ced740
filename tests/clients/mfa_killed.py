"""`credbroker mfa enroll`, killed by SIGKILL at every step that it makes, and run again: one device is left, which works, and
no seed but its own.

Steps in the file system are stopped at by kill_at.c, those at IAM and STS by a gate in front of a sandbox. The lives of all
are lived side by side, as each waits for codes.
"""

import concurrent.futures
import contextlib
import os
import re
import signal
import subprocess

from gate import Gate
from mfa_enroll import FILE, FIRST, ID, SECOND, SECRET, SERIAL, THIRD, USERS, Mfa, Phone, Screen, client, seed_in, table
from stage import ROOT, Sandbox, Stage, tail

JOURNAL = "enrolment/base.json"
# What the file for the seed holds before: the seed of RFC 6238, appendix B.
ANOTHER = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
QUESTIONS = (FIRST, SECOND, THIRD)
# What an enrolment does, and the call that does it, the how many-th of its kind.
STEPS = [
    ("the beginning is written down", f"rename {JOURNAL}", 1),
    ("the device is made", "CreateVirtualMFADevice", 1),
    ("that is written down", f"rename {JOURNAL}", 2),
    ("another seed is put aside", "rename me.seed.old", 1),
    ("the seed is put in place", "rename me.seed", 1),
    ("the device is enabled", "EnableMFADevice", 1),
    ("the device is tried", "GetSessionToken", 1),
    ("the journal is removed", f"unlink {JOURNAL}", 1),
]
# What it does when the device cannot be tried.
BACK = [
    ("the device is taken away again", "DeactivateMFADevice", 1),
    ("the device is deleted again", "DeleteVirtualMFADevice", 1),
    ("the other seed is put back", "rename me.seed", 2),
    ("the journal is removed after all that", f"unlink {JOURNAL}", 1),
]


def main():
    with Stage("mfa_killed") as stage, concurrent.futures.ThreadPoolExecutor(10) as side_by_side:
        stage.secret(SECRET)
        library = stage.dir / "kill_at.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library,
                        ROOT / "tests/clients/kill_at.c", "-ldl"], check=True)
        lives = [(f"killed {when} {name}", side_by_side.submit(live, stage, library, number, when, call, count, fails))
                 for number, (name, call, count, fails, when) in enumerate(
                     (*step, fails, when) for steps, fails in ((STEPS, False), (BACK, True))
                     for step in steps for when in ("before", "after"))]
        on_the_phone = [(f"killed while the person {name}", side_by_side.submit(by_phone, stage, number, question))
                        for number, (name, question) in enumerate((("sets up the app", FIRST), ("waits for a code", SECOND),
                                                                   ("is to try the device", THIRD)))]
        for name, life in lives + on_the_phone:
            with stage.case(f"{name}, it ends with one device that works"):
                life.result()
    stage.exit()


def live(stage, library, number, when, call, count, fails):
    """One run that is killed there, and one that is not; `fails` where no code is taken in the first."""
    name = f"killed-{number}"
    sandbox = Sandbox(stage, USERS, name=f"{name}-sandbox")
    with contextlib.closing(Gate(sandbox.url)) as gate:
        mfa = Mfa(stage, name, gate.url, table(FILE))
        mfa.seed.write_text(ANOTHER)
        mfa.seed.chmod(0o600)
        if fails:
            sandbox.admin("POST", "faults", {"kind": "server-error", "status": 500, "operation": "GetSessionToken"})
        is_of_files = " " in call
        env = stage.env(LD_PRELOAD=library, KILL_AT=f"{when} {call} {count}") if is_of_files else stage.env()
        if not is_of_files:
            gate.arm(when, call, count)
        child = stage.spawn(f"{name}-first", mfa.argv("enroll", "--force"), env, start_new_session=True)
        gate.pid = child.pid
        status = child.wait(300)
        assert status == -signal.SIGKILL, f"it never came there: {status}: {tail(child.log)}"
        gate.arm("", "", 0)
        note_seeds(stage, mfa)
        sandbox.admin("DELETE", "faults")
        again = stage.spawn(f"{name}-again", mfa.argv("enroll", "--force"), start_new_session=True)
        status, said = again.wait(120), again.log.read_text()
        note_seeds(stage, mfa)
        assert status == 0 and f"{SERIAL} is enabled for me" in said, (status, said)
    tidy(mfa, sandbox, ["base.json", "config.toml", "me.seed", "me.seed.old", "state"])
    assert (mfa.dir / "me.seed.old").read_text() == ANOTHER
    assert takes_codes(stage, sandbox, mfa.seed.read_text().strip()), "the device takes no code of its seed"


def by_phone(stage, number, question):
    """A person at a terminal, killed while a question is on it, and another time not."""
    name = f"killed-phone-{number}"
    sandbox = Sandbox(stage, USERS, name=f"{name}-sandbox")
    mfa = Mfa(stage, name, sandbox.url, table())
    phone = Phone(stage)

    def asked(first, last):
        """A terminal on which all is answered from one question to another, which is not."""
        screen = Screen(stage, mfa.argv("enroll", "--text"))
        screen.until(first)
        if first == FIRST:
            phone.seed, phone.next = seed_in(re.search(rb"otpauth://\S+", screen.said).group().decode()), None
            stage.secret(phone.seed)
        for following in QUESTIONS[QUESTIONS.index(first) + 1 : QUESTIONS.index(last) + 1]:
            screen.type(phone.code() + "\n")
            screen.until(following)
        return screen

    screen = asked(FIRST, question)
    os.kill(screen.pid, signal.SIGKILL)
    assert screen.end()[0] == -signal.SIGKILL
    # A device that is enabled is not made anew.
    screen = asked(THIRD if question == THIRD else FIRST, THIRD)
    screen.type(phone.code() + "\n")
    status, said = screen.end()
    assert status == 0 and f"{SERIAL} is enabled for me" in said, (status, said[-400:])
    tidy(mfa, sandbox, ["base.json", "config.toml", "state"])


def tidy(mfa, sandbox, files):
    assert sorted(os.listdir(mfa.dir)) == files, os.listdir(mfa.dir)
    assert os.listdir(mfa.dir / "state/enrolment") == ["base.lock"], os.listdir(mfa.dir / "state/enrolment")
    devices = client(sandbox, "iam").list_virtual_mfa_devices()["VirtualMFADevices"]
    assert [(it["SerialNumber"], it["User"]["UserName"]) for it in devices] == [(SERIAL, "me")], devices


def takes_codes(stage, sandbox, seed):
    """Whether a session is got with a code of `seed`; those of a run before are spent."""
    sts, phone = client(sandbox, "sts"), Phone(stage, seed)
    for _ in range(4):
        with contextlib.suppress(sts.exceptions.ClientError):
            sts.get_session_token(SerialNumber=SERIAL, TokenCode=phone.code())
            return True
    return False


def note_seeds(stage, mfa):
    stage.secret(*(seed for path in mfa.dir.glob("*me.seed*") if (seed := path.read_text().strip()) != ANOTHER))


if __name__ == "__main__":
    main()
