"""Looks in all that the tests' programs said for every secret the tests met, and for what looks like one.

Each is sought as it is and as a URL, base64 or JSON would carry it. First a secret is planted in each form, so that
a search which finds nothing is known to have looked.
"""

import base64
import functools
import json
import os
import pathlib
import re
import sys
import tempfile
import urllib.parse

# What nobody has to tell us: a secret next to its name.
SHAPES = [
    re.compile(rb"""(?i)secret_?access_?key["']?\s*[:=>]\s*["']?[A-Za-z0-9/+]{40}"""),
    re.compile(rb"""(?i)session_?token["']?\s*[:=>]\s*["']?[A-Za-z0-9/+=]{60}"""),
    re.compile(rb"""(?i)x-aws-ec2-metadata-token["']?\s*[:=]\s*["']?[A-Za-z0-9_=+/.-]{20}"""),
]
# Shorter ones, such as the six digits of a code, are in every log by chance: they count only as whole words.
SHORT = 12


def main():
    out = pathlib.Path(os.environ["CREDBROKER_TEST_OUT"])
    secrets = set(pathlib.Path(os.environ["CREDBROKER_TEST_SECRETS"]).read_text().split("\n")) - {""}
    failed = not planted_leaks_are_seen()
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    leaks = [leak for path in files for leak in search(path, secrets)]
    for leak in leaks:
        print(f"FAILED a secret in what was said: {leak}")
    if len(files) < 5 or len(secrets) < 3:
        print(f"FAILED there is too little to look at: {len(files)} files, {len(secrets)} secrets")
    elif not leaks:
        print(f"ok none of {len(secrets)} secrets is in {len(files)} logs")
        return 1 if failed else 0
    return 1


def planted_leaks_are_seen():
    secret, code = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLE==", "492039"
    forms = {
        "as it is": f"key {secret} used", "in a URL": f"?k={urllib.parse.quote(secret, safe='')}&",
        "in base64": base64.b64encode(f"id:{secret}".encode()).decode(), "in JSON": json.dumps(secret).replace("/", "\\/"),
        "as a code": f"code {code}.", "by its shape": '"SecretAccessKey":"' + 40 * "x" + '"',
        "as a token": "X-aws-ec2-metadata-token: " + 40 * "y",
    }
    missed = []
    with tempfile.TemporaryDirectory() as place:
        for form, text in forms.items():
            log = pathlib.Path(place) / "planted.log"
            log.write_text(f"before\n{text}\nafter\n")
            if not list(search(log, {secret, code})):
                missed.append(form)
        log.write_text("order 14920391 is no code\n")
        if list(search(log, {secret, code})):
            missed.append("a number that is no code")
    print(f"FAILED a planted leak is not seen: {', '.join(missed)}" if missed else "ok planted leaks are seen")
    return not missed


def search(path, secrets):
    """Names each place at which a secret, in any form, is in the file; never the secret."""
    text = path.read_bytes()
    for secret in secrets:
        for pattern in patterns(secret):
            found = pattern.search(text)
            if found:
                yield place(path, text, found)
                break
    for shape in SHAPES:
        found = shape.search(text)
        if found:
            yield place(path, text, found)


@functools.cache
def patterns(secret):
    if len(secret) < SHORT:
        return [re.compile(rb"(?<![A-Za-z0-9])" + re.escape(secret.encode()) + rb"(?![A-Za-z0-9])")]
    forms = {secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret), json.dumps(secret)[1:-1],
             secret.replace("/", "\\/")}
    # In base64 a text looks different at each of three offsets, but for its ends.
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + secret.encode()).decode().rstrip("=")
        forms.add(encoded[(0, 2, 3)[offset]:-2])
    return [re.compile(re.escape(form.encode())) for form in forms]


def place(path, text, found):
    return f"{path.parent.name}/{path.name}:{text.count(10, 0, found.start()) + 1}"


if __name__ == "__main__":
    sys.exit(main())
