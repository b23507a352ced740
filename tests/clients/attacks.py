"""Attacks on the program from outside, each with a control: the same request, file or caller but for the one thing that is
attacked is answered before and after it.

    attacks.py                  all of them; docs/ATTACKS.md says what they showed
    attacks.py --write          the page is made to say it
    attacks.py CLASS...         only these modules of attacks/

CREDBROKER_TEST_BIN names the program: a debug build, or a release build as anyone has it.
"""

import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

from attacks import browser, endurance, files, leaks, networks, people, proofs, proxies, rebinding, requests, squatters
from attacks.scene import Scene, Suite
from stage import NotHere, Stage, say

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "ATTACKS.md"
HEAD = ["| class | attack | what stops it | what is seen |", "|---|---|---|---|"]
BEGIN, END = "<!-- attacks: written by the run -->\n", "<!-- end of attacks -->\n"
# On one daemon, one after another; and each with daemons of its own, beside the others.
ON_ONE = {"rebinding": rebinding, "proxies": proxies, "requests": requests, "proofs": proofs}
BESIDE = {"browser": browser, "people": people, "squatters": squatters, "networks": networks, "files": files, "leaks": leaks, "endurance": endurance}
CLASSES = {**ON_ONE, **BESIDE}
# The order of the table.
KINDS = ["rebinding", "proxy", "browser", "smuggling", "path", "header", "method", "protocol", "ticket", "token", "another user", "squatter",
         "another container", "file", "leak", "endurance"]


def main(arguments):
    wanted = [name for name in arguments if name != "--write"] or list(CLASSES)
    with Stage("attacks") as stage:
        suite = Suite(stage)
        lanes = [[module for name, module in ON_ONE.items() if name in wanted]]
        lanes += [[module] for name, module in BESIDE.items() if name in wanted]
        with ThreadPoolExecutor() as together:
            list(together.map(lambda lane: run(suite, lane), filter(None, lanes)))
        if wanted == list(CLASSES):
            page(suite, write="--write" in arguments)
    stage.exit()


def run(suite, lane):
    if lane[0] in BESIDE.values():
        try:
            lane[0].attacks(suite)
        except NotHere as why:
            say(f"not run {lane[0].KIND}: {why}")
            suite.skipped.add(lane[0].KIND)
    else:
        scene = Scene(suite, "house")
        for module in lane:
            module.attacks(suite, scene)


def page(suite, write):
    """The table is what this run has shown, and no other; what could not be run here is left as it is."""
    with suite.stage.case("docs/ATTACKS.md says what was seen"):
        rows = sorted(suite.rows, key=lambda row: KINDS.index(row["kind"]))
        shown = ["| {kind} | {attack} | `{stops}` | {saw} |".format(**row) for row in rows]
        assert len({(row["kind"], row["attack"]) for row in rows}) == len(rows), "two attacks have one name"
        before, table = PAGE.read_text().split(BEGIN)
        table, after = table.split(END)
        if write:
            assert not suite.skipped, f"not all could be run: {suite.skipped}"
            table = "\n".join([*HEAD, *shown]) + "\n"
            PAGE.write_text(before + BEGIN + table + END + after)
        said = table.splitlines()[len(HEAD):]
        unsaid = [row for row in shown if row not in said]
        assert not unsaid, f"not on the page, which is written by attacks.py --write: {unsaid[0]}"
        unseen = [row for row in said if row not in shown and not suite.skipped & set(row.strip("| ").split(" | "))]
        assert not unseen, f"on the page, and not seen: {unseen[0]}"
        assert len(said) >= 60, f"{len(said)} attacks"


if __name__ == "__main__":
    main(sys.argv[1:])
