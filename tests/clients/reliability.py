"""The table of docs/RELIABILITY.md, out of what the tests of this run have noted: every row's test passed, or it is not there.

    reliability.py           a case a row: the page says what the run showed
    reliability.py --write   the page is made to say it
"""

import json
import os
import pathlib
import sys

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "RELIABILITY.md"
# The order of the rows. Each has its test's note in the directory "faults" of CREDBROKER_TEST_OUT.
FAULTS = [
    "STS down for 5 min",
    "STS down for 55 min",
    "STS down for 5 h",
    "STS throttles",
    "STS slow",
    "STS resets connections",
    "STS gives what has expired",
    "STS answers garbage",
    "DNS gone",
    "token file vanished",
    "disk full",
    "store corrupted at 100 random bytes",
    "configuration half-written",
    "clock +2 h",
    "clock -2 h",
    "suspended for 8 h",
    "SIGKILL and restart",
    "5,000 slow connections",
    "file descriptors used up",
]
HEAD = ["| fault | what is done | what clients saw | verdict | shown by |", "|---|---|---|---|---|"]


def main(arguments):
    out = pathlib.Path(os.environ["CREDBROKER_TEST_OUT"])
    notes = [json.loads(path.read_text()) for path in (out / "faults").glob("*.json")]
    rows = {note["fault"]: "| {fault} | {done} | {saw} | held | `{test}` |".format(**note) for note in notes}
    stray = sorted(rows.keys() - set(FAULTS))
    assert not stray, f"no place in the table for: {', '.join(stray)}"
    if arguments == ["--write"]:
        missing = {fault: f"| {fault} | | | not shown | |" for fault in FAULTS}
        put("faults", "\n".join(HEAD + [rows.get(fault, missing[fault]) for fault in FAULTS]))
    said = PAGE.read_text().splitlines()
    failed = 0
    for fault in FAULTS:
        if rows.get(fault) in said:
            print(f"ok {fault}")
        elif fault not in rows and (why := not_run(out, fault)):
            print(f"not run {fault}: {why}")
        else:
            failed += 1
            shown = "its test has noted nothing" if fault not in rows else f"the run showed: {rows[fault]}"
            print(f"FAILED {fault}: {shown}; the page is written by: tests/run faults")
    return 1 if failed else 0


def not_run(out, fault):
    """Why this machine could not run the case of `fault`, if a script says so."""
    begin = f"not run {fault}: "
    lines = (line for log in out.glob("*.log") for line in log.read_text(errors="replace").splitlines())
    return next((line.removeprefix(begin) for line in lines if line.startswith(begin)), None)


def put(name, text):
    """Makes the part `name` of the page hold `text`: what is between its two marks."""
    begin, end = f"<!-- {name}: written by the run -->\n", f"<!-- end of {name} -->"
    page = PAGE.read_text()
    before, rest = page.split(begin)
    PAGE.write_text(before + begin + text + "\n" + end + rest.split(end)[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
