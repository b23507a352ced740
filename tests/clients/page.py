"""A page of docs/scenarios or docs/guides, carried out as it stands, so that what it promises is what happens.

Its fenced blocks are taken by heading and kind: `sh` is run as one script, `console` command by command with what each
prints, and the others are text to write somewhere. The page's example names become those of the stage, and in what is
printed they become the page's again.
"""

import re
import shlex

from stage import BIN, PATH, ROOT, VENV

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ?")


class Page:
    """The page `name` of the scenarios, or of another folder; `swaps` are pairs of what it writes and what the stage has
    instead, the longest first.
    """

    def __init__(self, stage, name, swaps, folder="scenarios"):
        self.stage = stage
        self.dir = stage.dir / "page"
        self.dir.mkdir()
        self.swaps = swaps
        self.exports = []
        text = (ROOT / "docs" / folder / name).read_text()
        headings = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
        # What stands before the first heading has none.
        self.sections = {"": headings[0], **dict(zip(headings[1::2], headings[2::2]))}
        self.program("credbroker", BIN)
        self.program("python3", VENV / "python")
        self.program("aws", VENV / "python", VENV / "aws")

    def program(self, name, *argv):
        """What a word of the page's commands means here."""
        self.stage.write(f"page/bin/{name}", f'#!/bin/sh\nexec {shlex.join(map(str, argv))} "$@"\n', 0o700)

    def block(self, heading, kind):
        """The blocks of that kind under the heading, joined."""
        found = [text for fence, text in FENCE.findall(self.sections[heading]) if fence == kind]
        assert found, f"no {kind} under {heading}"
        return self.here("".join(found))

    def here(self, text):
        for written, real in self.swaps:
            text = text.replace(written, real)
        return text

    def script(self, heading, **more):
        """Runs the `sh` under the heading; the first command that fails ends it."""
        done = self.bash(f"set -euo pipefail\n{self.block(heading, 'sh')}", more)
        assert done.returncode == 0, f"{heading}: {done.stderr[-400:]}"

    def console(self, heading, **more):
        """Runs each `$ command` of the `console` under the heading; what it prints must be what the page shows, where
        `...` is anything. What is exported holds from there on.
        """
        self.follow(self.transcript(heading), **more)

    def transcript(self, heading):
        """The commands of the `console` under the heading, each with what it prints."""
        return re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", self.block(heading, "console"), re.MULTILINE)

    def follow(self, transcript, **more):
        for command, shown in transcript:
            if command.startswith("export "):
                self.exports.append(command)
                continue
            done = self.bash("\n".join(["exec 2>&1", *self.exports, command]), more)
            expected = re.escape(TIME.sub("TIME", shown)).replace(re.escape("..."), ".*")
            said = TIME.sub("TIME", done.stdout)
            assert re.fullmatch(expected, said), f"{command}: prints {said!r}, on the page {shown!r}"

    def env(self, **more):
        """An environment in which the page's programs are found."""
        return self.stage.env(**{"PATH": f"{self.dir / 'bin'}:{PATH}", **more})

    def bash(self, script, more, **options):
        script = f"cd {shlex.quote(str(self.dir))}\n{script}"
        return self.stage.run("bash", "-c", script, env=self.env(**more), timeout=120, **options)
