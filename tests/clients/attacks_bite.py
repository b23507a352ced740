"""What each check is worth: it is taken out of a copy of the source, and then exactly the attacks that it stops must succeed.

    attacks_bite.py             all of them, some minutes each: a build, and the attacks of docs/ATTACKS.md
    attacks_bite.py --write     docs/ATTACKS.md is made to say what was seen

It is not a part of tests/run. CREDBROKER_BITE_TARGET names a directory for what is built, which a second run goes on with.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from stage import ROOT, VENV

PAGE = ROOT / "docs" / "ATTACKS.md"
BEGIN, END = "<!-- bites: written by attacks_bite.py -->\n", "<!-- end of bites -->\n"
HEAD = "| without | attacks that succeed then | classes |\n|---|---|---|\n"

# What is taken out: what it is, where, the text, what stands in its place, the modules of attacks/ that are run, and the classes of
# the attacks that must be among those that succeed. Others must not.
CHECKS = [
    ("the look at `Host`", "src/endpoint/guard.rs", "            check_host(host, own)?;\n", "            let _ = (host, own);\n",
     ["rebinding", "browser"], {"rebinding", "browser"}),
    ("the look at forwarders' headers", "src/endpoint/guard.rs", "if has(&FORWARDED) || has(&X_FORWARDED_FOR) {",
     "if false && (has(&FORWARDED) || has(&X_FORWARDED_FOR)) {", ["proxies"], {"proxy", "smuggling"}),
    ("the look at browsers' headers", "src/endpoint/guard.rs", "} else if has(&ORIGIN) || FETCH_METADATA.iter().any(has) {",
     "} else if false && (has(&ORIGIN) || FETCH_METADATA.iter().any(has)) {", ["rebinding", "requests", "browser"],
     {"browser", "rebinding", "header"}),
    ("the tag of a ticket", "src/endpoint/ticket.rs", "if !key.verify(LABEL, &[claim], tag) {",
     "if false && !key.verify(LABEL, &[claim], tag) {", ["proofs"], {"ticket"}),
    ("the epoch of a ticket", "src/endpoint/ticket.rs", "if claims.epoch != epoch {", "if false && claims.epoch != epoch {",
     ["proofs", "people"], {"ticket", "another user"}),
    ("the end of a ticket", "src/endpoint/ticket.rs", "} else if claims.expires <= now {", "} else if false && claims.expires <= now {",
     ["proofs", "people"], {"ticket", "another user"}),
    ("the holder of a ticket", "src/policy/access.rs", "(Proof::Ticket(holder), Some(sender)) if sender != *holder && sender != ROOT => {",
     "(Proof::Ticket(holder), Some(sender)) if sender != *holder && sender != ROOT && sender > u32::MAX - 1 => {",
     ["people"], {"another user", "ticket"}),
    ("who a rule names", "src/policy/access.rs", "rule.is_about(profile, action) && self.unmet(rule, caller, user, now).is_none()",
     "rule.is_about(profile, action) && (user.is_some() || self.unmet(rule, caller, user, now).is_none())", ["people"], {"another user"}),
    ("the tag of a metadata token", "src/endpoint/token.rs", "if length != TOKEN_LEN || !key.verify(LABEL, &parts, tag) {",
     "if length != TOKEN_LEN || false && !key.verify(LABEL, &parts, tag) {", ["proofs"], {"token"}),
    ("the listener and the caller in a metadata token", "src/endpoint/imds.rs",
     "Binding { listener: &self.name, holder: Holder::of(caller) }", "Binding { listener: \"any\", holder: Holder::of(&Caller::at_control(0)) }",
     ["proofs", "people"], {"token", "another user"}),
    ("the wish for a metadata token", "src/endpoint/imds.rs", "None if self.token_required => Err(turned_away(\"no token was sent\")),",
     "None if self.token_required && now < SystemTime::UNIX_EPOCH => Err(turned_away(\"no token was sent\")),",
     ["proxies", "proofs", "requests"], {"proxy", "token", "header", "method", "path"}),
    ("the user at the control socket", "src/policy/access.rs", "(Channel::Control, _) => user.is_some_and(|uid| self.is_owner(uid)),",
     "(Channel::Control, _) => user.is_some_and(|uid| self.is_owner(uid) || uid > 0),", ["people"], {"another user"}),
    ("the owner of a secret file", "src/files/open.rs", "Class::Credential | Class::Secret if mode & 0o077 & !of_group != 0 => {",
     "Class::Credential | Class::Secret if mode & 0o077 & !of_group != 0 && mode > 0o7777 => {", ["files"], {"file"}),
]


def main(arguments):
    rows, failed = [], 0
    target = os.environ.get("CREDBROKER_BITE_TARGET")
    with tempfile.TemporaryDirectory(prefix="credbroker-bite.") as scratch:
        copy = pathlib.Path(scratch, "source")
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("target", ".git", "findings"))
        env = {**os.environ, "CARGO_TARGET_DIR": target or str(pathlib.Path(scratch, "target"))}
        whole = None
        for what, file, text, instead, modules, classes in CHECKS:
            path = copy / file
            source = path.read_text()
            try:
                assert source.count(text) == 1, f"{file} has it {source.count(text)} times"
                path.write_text(source.replace(text, instead))
                build(copy, env)
                got_through = attacks(copy, env, modules, scratch)
                kinds = {kind for kind, _ in got_through}
                assert got_through, "every attack was still held off"
                assert kinds <= classes, f"others got through: {sorted(kinds - classes)}"
                rows.append(f"| {what} (`{file}`) | {len(got_through)} | {', '.join(sorted(kinds))} |")
                if "--write" in arguments:
                    write(rows[-1])
                print(f"ok without {what}: {len(got_through)} attacks succeed, of {', '.join(sorted(kinds))}", flush=True)
            except AssertionError as error:
                failed += 1
                print(f"FAILED without {what}: {error}", flush=True)
            finally:
                path.write_text(source)
        build(copy, env)
        whole = attacks(copy, env, sorted({module for *_, modules, _ in CHECKS for module in modules}), scratch)
        if whole:
            failed += 1
        print(f"{'FAILED' if whole else 'ok'} with everything in its place: {len(whole)} attacks succeed", flush=True)
    return 1 if failed else 0


def write(row):
    """Puts a row into the page's table, in the place of the one about the same check."""
    before, rest = PAGE.read_text().split(BEGIN)
    table, after = rest.split(END)
    about = row.split(" | ")[0]
    kept = [it for it in table.splitlines()[len(HEAD.splitlines()):] if not it.startswith(about + " |")]
    PAGE.write_text(before + BEGIN + HEAD + "\n".join([*kept, row]) + "\n" + END + after)


def build(copy, env):
    done = subprocess.run(["cargo", "build", "--quiet", "--locked", "--bin", "credbroker"], cwd=copy, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def attacks(copy, env, modules, scratch):
    """The class and the name of each attack that was not held off."""
    secrets = pathlib.Path(scratch, "secrets")
    secrets.write_text("")
    env = {**env, "CREDBROKER_TEST_BIN": str(pathlib.Path(env["CARGO_TARGET_DIR"], "debug", "credbroker")),
           "CREDBROKER_TEST_OUT": str(pathlib.Path(scratch, "out")), "CREDBROKER_TEST_SECRETS": str(secrets)}
    argv = [str(VENV / "python"), "tests/clients/attacks.py", *modules]
    done = subprocess.run(argv, cwd=copy, env=env, capture_output=True, text=True, timeout=900)
    assert "ok " in done.stdout, done.stdout + done.stderr
    return re.findall(r"^FAILED ([^:]+): (.*)", done.stdout, re.M)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
