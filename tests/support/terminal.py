"""Terminal sessions as the manual shows them: `$ command` of anyone or `# command` of root, and what it printed.

A line `...` of the output stands for any number of lines.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pfq
from support.documents import ROOT, Snippet, blocks

_COMMAND = re.compile(r"^([$#]) (\S.*)\n((?:(?![$#] \S).*\n)*)", re.MULTILINE)
_END = "-- end of the output --"


@dataclass(frozen=True)
class Command:
    """A line that was typed, and what is said to come out."""

    prompt: str
    line: str
    output: str

    def gives(self, found: str) -> bool:
        """Whether an output is the one shown."""
        parts = re.split(r"^\.\.\.\n", self.output, flags=re.MULTILINE)
        return re.fullmatch("(?:.*\n)*".join(map(re.escape, parts)), found) is not None


def commands(session: Snippet) -> list[Command]:
    """The commands of a block; all that stands in it must belong to one."""
    found = [Command(*match.groups()) for match in _COMMAND.finditer(session.code)]
    assert "".join(f"{c.prompt} {c.line}\n{c.output}" for c in found) == session.code, session
    return found


def needs_root(session: Snippet) -> bool:
    return any(command.prompt == "#" for command in commands(session))


def lay_out(session: Snippet, folder: Path) -> None:
    """Makes a folder what it is before the session: the captures, and the files that the page has shown so far."""
    (folder / "tests").symlink_to(ROOT / "tests")
    for block in blocks(session.page):
        if block.line < session.line and block.file is not None:
            path = folder / block.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.code, encoding="utf-8")


def run(typed: Sequence[Command], folder: Path, inside: Sequence[str] = ()) -> list[str]:
    """What the commands print, standard error with it, in one shell in the folder.

    inside  a command that runs the shell somewhere else
    """
    script = "".join(f"{command.line}\necho '{_END}'\n" for command in typed)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(pfq.__file__).parents[1]),
        "TZ": "UTC",
        "NO_COLOR": "1",
        "COLUMNS": "100",
    }
    printed = subprocess.run(
        [*inside, "bash", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout
    return printed.split(f"{_END}\n")[:-1]
