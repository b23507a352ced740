"""One MFA code for every role behind the device, as docs/scenarios/mfa.md has it: against the sandbox, which checks real
codes, with a person at a real terminal.
"""

import base64
import hashlib
import hmac
import json
import os
import pty
import re
import select
import sys
import time

from page import Page
from stage import BIN, REGION, VENV, Sandbox, Stage, located, prepare_child, wait_for

PAGE = "mfa.md"
SERIAL = "arn:aws:iam::123456789012:mfa/me"
PROMPT = f"MFA code of {SERIAL} (for admin, audit, deploy): "
NEEDED = f"credbroker: an MFA code of {SERIAL} is needed; run: credbroker login"
STEP = 30
PERSON, REFUSED = 80, 81
ROBOT = """
[[user]]
name              = "robot"
access_key_id     = "AKIASANDBOXEXAMPLE99"
secret_access_key = "sandbox/EXAMPLEKEY/not/a/secret/robot000"
mfa               = { serial = "arn:aws:iam::123456789012:mfa/robot", seed = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP" }
"""


def main():
    with Stage("scenario_mfa") as stage:
        page = Page(stage, PAGE, [])
        in_the_account(stage, page)
        text = page.block("Without an account", "toml")
        text = text.replace(':user/me"]', ':user/me", "arn:aws:iam::123456789012:user/robot"]')
        sandbox = Sandbox(stage, text + ROBOT)
        daemon = serve(stage, page, sandbox)
        device = Device(stage, re.search(r'seed = "(\w+)"', text)[1])
        before(stage, page, daemon, sandbox, device)
        logged_in(stage, page, daemon, sandbox, device)
        asked_by_themselves(stage, daemon, device)
        told(stage, daemon)
        robot(stage, page, daemon)
    stage.exit()


class Device:
    """What a person reads codes off (RFC 6238): six digits, another each half minute."""

    def __init__(self, stage, seed):
        self.stage = stage
        self.seed = base64.b32decode(seed)
        self.used = set()

    def at(self, step):
        digest = hmac.digest(self.seed, step.to_bytes(8, "big"), hashlib.sha1)
        at = digest[-1] & 15
        code = f"{(int.from_bytes(digest[at:at + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"
        self.stage.secret(code)
        return code

    def fresh(self):
        """A code that is good and was not used: the sandbox takes those of a step before and after, too."""
        while True:
            now = int(time.time()) // STEP
            for step in (now, now + 1):
                if step not in self.used:
                    self.used.add(step)
                    return self.at(step)
            time.sleep(1)

    def wrong(self):
        """A code that is none of this time."""
        now = int(time.time()) // STEP
        near = {self.at(step) for step in range(now - 3, now + 20)}
        code = next(code for code in ("193847", "204958", "315069") if code not in near)
        self.stage.secret(code)
        return code


def in_the_account(stage, page):
    with stage.case("an administrator makes the roles, as the page says"):
        def furnish(moto):
            moto.iam.create_user(UserName="me")
            page.script("In the account", **moto.administrator)
            role = moto.iam.get_role(RoleName="Deploy")["Role"]
            condition = role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]
            assert condition == {"Bool": {"aws:MultiFactorAuthPresent": "true"}}, condition
        stage.moto(furnish)


def serve(stage, page, sandbox):
    secret = "sandbox/EXAMPLEKEY/not/a/secret/me000000"
    stage.secret(secret)
    stage.write("page/me.json", {"Version": 1, "AccessKeyId": "AKIASANDBOXEXAMPLE88", "SecretAccessKey": secret})
    notify = 'notify = ["sh", "-c", "echo \\"$1\\" >> notified", "sh", "{message}"]\n'
    notify = notify.replace("notified", str(stage.dir / "notified"))
    text = '[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n' + notify + page.block("The configuration", "toml")
    text += "[profile.bare]\naccess_key = { file = \"me.json\" }\n"
    text += "[profile.without]\nsource_profile = \"bare\"\nrole_arn = \"arn:aws:iam::123456789012:role/Admin\"\n"
    text += f'region = "{REGION}"\n'
    return stage.daemon(located(text, sandbox.url), name="page")


def sent(sandbox):
    """How many calls of each kind the sandbox has seen: those that succeeded, and those that did not."""
    counts = sandbox.admin("GET", "state")["counts"]
    return {name: (count["succeeded"], count.get("failed", 0)) for name, count in counts.items()}


def log_in(daemon, code):
    """By a pipe, which has one try."""
    done = daemon.stage.run("bash", "-c", f'exec "$0" login admin --code - <<<"$(cat {daemon.dir / "typed"})"', BIN,
                            env=typed(daemon, code))
    return done


def typed(daemon, code):
    daemon.stage.write("page/typed", f"{code}\n")
    return daemon.env()


def before(stage, page, daemon, sandbox, device):
    with stage.case("without MFA the role is denied"):
        done = daemon.run("process", "without")
        assert done.returncode == REFUSED and "AccessDenied" in done.stderr, f"{done.returncode}: {done.stderr}"
    calls = sent(sandbox)
    with stage.case("without a code every profile says what to run, as the page shows"):
        page.console("Before the code", CREDBROKER_CONTROL=daemon.control)
        for profile in ("admin", "audit", "deploy"):
            done = daemon.run("process", profile)
            assert (done.returncode, done.stdout) == (PERSON, ""), f"{done.returncode}: {done.stderr}"
            assert done.stderr == f"{NEEDED} {profile}\n", done.stderr
        done = daemon.run("exec", "admin", "--", "true")
        assert (done.returncode, done.stderr) == (125, f"{NEEDED} admin\n"), done.stderr
    with stage.case("and nothing is sent"):
        assert sent(sandbox) == calls, sent(sandbox)
    late = device.at(int(time.time()) // STEP - 10)
    for name, code in {"a wrong code": device.wrong(), "a late code": late}.items():
        with stage.case(f"{name} is refused"):
            done = log_in(daemon, code)
            assert (done.returncode, done.stdout) == (PERSON, ""), f"{done.returncode}: {done.stderr}"
            assert "refused" in done.stderr and code not in done.stderr, done.stderr
    with stage.case("a code that was sent is not sent again"):
        calls = sent(sandbox)
        done = log_in(daemon, late)
        assert done.returncode == PERSON and "used already" in done.stderr, f"{done.returncode}: {done.stderr}"
        assert sent(sandbox) == calls, sent(sandbox)


def logged_in(stage, page, daemon, sandbox, device):
    code = device.fresh()
    with stage.case("login at a terminal asks, refuses a wrong code, and takes the next, as the page shows"):
        shown = page.block("Log in", "console").partition("\n")[2]
        person = Person(daemon, "login", "admin")
        person.answer(PROMPT, "12345")
        person.answer(PROMPT, code, times=2)
        status, screen = person.leave()
        assert status == 0 and code not in screen, f"{status}: {screen}"
        screen = screen.replace(f"{PROMPT}\na code has six digits\n", "")
        assert re.fullmatch(re.escape(shown).replace(re.escape("..."), ".*"), screen), screen
    with stage.case("one code opens three roles, in one program after another, as the page shows"):
        for process in range(2):
            for profile in ("admin", "audit", "deploy"):
                lent(stage, daemon.run("process", profile, secret_stdout=True))
        count = sent(sandbox)
        assert count["GetSessionToken"][0] == 1 and count["AssumeRole"][0] == 3, count
    with stage.case("a code that has opened a session opens no other"):
        calls = sent(sandbox)
        done = log_in(daemon, code)
        assert done.returncode == PERSON and "used already" in done.stderr, f"{done.returncode}: {done.stderr}"
        assert sent(sandbox) == calls
    with stage.case("status knows the session, and logout ends it for all, as the page shows"):
        session = daemon.status("deploy")["mfa"]
        assert session["serial"] == SERIAL and session["state"] == "held", session
        page.console("After the code", CREDBROKER_CONTROL=daemon.control)
        assert daemon.status("audit")["mfa"]["state"] == "person_needed"


def asked_by_themselves(stage, daemon, device):
    with stage.case("exec asks by itself"):
        person = Person(daemon, "exec", "audit", "--", "sh", "-c", "echo ran $AWS_REGION")
        person.answer(PROMPT, device.fresh())
        status, screen = person.leave()
        assert (status, screen) == (0, f"{PROMPT}\nran {REGION}\n"), f"{status}: {screen}"
    with stage.case("boto3 has process --prompt ask at its person's terminal"):
        daemon.run("logout", "admin")
        files = stage.write("aws-config", f"[profile admin-cb]\nregion = {REGION}\n"
                            f"credential_process = {BIN} process admin --prompt\n")
        script = ("import botocore.session\n"
                  "found = botocore.session.Session(profile='admin-cb').get_credentials()\n"
                  "print(found.method, found.get_frozen_credentials().access_key[:4])\n")
        env = daemon.env(AWS_CONFIG_FILE=files, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
        person = Person(daemon, "-c", script, program=VENV / "python", env=env)
        person.answer(PROMPT, device.fresh())
        status, screen = person.leave()
        assert (status, screen) == (0, f"{PROMPT}\ncustom-process ASIA\n"), f"{status}: {screen}"
    with stage.case("logout --all ends every ticket, too"):
        done = daemon.run("env", "admin", "--shell", "sh", secret_stdout=True)
        url, ticket = (re.search(rf"export {name}='([^']+)'", done.stdout)[1] for name in (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"))
        stage.secret(ticket)
        header = stage.write("header", f"Authorization: {ticket}\n")
        redeem = ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "-H", f"@{header}", url]
        assert stage.run(*redeem).stdout == "200"
        done = daemon.run("logout", "--all")
        assert done.returncode == 0 and "every ticket has ended" in done.stdout, f"{done.stdout}{done.stderr}"
        assert stage.run(*redeem).stdout == "401"


def told(stage, daemon):
    with stage.case("the log and the notify command say once that a person is needed"):
        daemon.run("process", "audit")
        said = f"the MFA code of {SERIAL} is needed (for admin, audit, deploy); run: credbroker login admin"
        notified = stage.dir / "notified"
        # At the start, and after each of the three logouts that somebody came after.
        wait_for(lambda: notified.exists() and len(notified.read_text().splitlines()) >= 4, "the notification")
        lines = notified.read_text().splitlines()
        assert set(lines) == {said} and len(lines) == 4, lines
        warnings = [line for line in daemon.process.log.read_text().splitlines() if said in line]
        assert len(warnings) == 4 and all("WARN" in line for line in warnings), warnings


def robot(stage, page, first):
    """A machine with a seed of its own asks nobody."""
    secret, seed = "sandbox/EXAMPLEKEY/not/a/secret/robot000", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    stage.secret(secret, seed)
    stage.write("robot/me.json", {"Version": 1, "AccessKeyId": "AKIASANDBOXEXAMPLE99", "SecretAccessKey": secret})
    stage.write("robot/me.seed", f"{seed}\n")
    text = first.config.read_text()
    person = re.search(r"\[mfa\.me\]\n.*\n.*\n", text)[0]
    machine = page.block("A machine that answers for itself", "toml").replace(":mfa/me", ":mfa/robot")
    text = re.sub(r"notify = .*\n", "", text.replace(person, machine))
    daemon = stage.daemon(text, name="robot")
    with stage.case("with the seed nobody is asked"):
        for profile in ("admin", "audit", "deploy"):
            lent(stage, daemon.run("process", profile, secret_stdout=True))
        assert json.loads(daemon.run("login", "--json").stdout) == {"waiting": []}
        done = daemon.run("login", "admin")
        assert done.returncode == 0 and "no person is needed" in done.stdout, f"{done.stdout}{done.stderr}"
    with stage.case("mfa code prints a code, and nothing else, which the daemon then leaves alone"):
        device = Device(stage, seed)
        done = daemon.run("mfa", "code", "admin", secret_stdout=True, timeout=90)
        stage.secret(done.stdout.strip())
        now = int(time.time()) // STEP
        assert done.stdout in [f"{device.at(step)}\n" for step in (now - 1, now)], done.stderr
        again = daemon.run("mfa", "code", "admin", secret_stdout=True, timeout=90)
        stage.secret(again.stdout.strip())
        assert again.returncode == 0 and again.stdout != done.stdout, again.stderr


def lent(stage, done):
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    credentials = json.loads(done.stdout)
    stage.secret(credentials["SecretAccessKey"], credentials["SessionToken"])


class Person:
    """A program at a terminal, and who sits there."""

    def __init__(self, daemon, *argv, program=BIN, env=None):
        self.log = daemon.stage.out / f"terminal-{time.monotonic_ns()}.log"
        self.screen = ""
        words = [str(word) for word in (program, *argv)]
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            try:
                prepare_child()
                os.chdir(daemon.stage.dir)
                os.execve(words[0], words, env or daemon.env())
            finally:
                os._exit(127)

    def answer(self, prompt, code, times=1):
        while self.screen.count(prompt) < times:
            assert self._read(), f"no {prompt!r}: {self.screen!r}"
        os.write(self.terminal, f"{code}\r".encode())

    def leave(self):
        """How it ended, and all that was on the screen."""
        while self._read():
            pass
        os.close(self.terminal)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status), self.screen.replace("\r\n", "\n")

    def _read(self):
        ready, _, _ = select.select([self.terminal], [], [], 60)
        assert ready, f"nothing more comes: {self.screen!r}"
        try:
            said = os.read(self.terminal, 4096).decode()
        except OSError:  # How a terminal says that nobody is at its other end.
            return False
        self.screen += said
        self.log.write_text(self.screen)
        return bool(said)


if __name__ == "__main__":
    sys.exit(main())
