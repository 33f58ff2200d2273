"""The file that says what an engine has left, and the programs of its groups next to it.

state            which pins are valid, and all that the engine knew; replaced as a whole
state.programs/  programs of groups, each written once, under names that stand for what is in them
"""

from __future__ import annotations

import json
import logging
import os
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pfq import layout
from pfq.codegen import layouts
from pfq.engine import written
from pfq.engine.keeper import State
from pfq.errors import OutputError, StateError

log = logging.getLogger(__name__)

VERSION: Final = 1
REMEDY: Final = "`pfqd --stop` takes down what is left; then start again"
PROGRAMS: Final = "program names"


class StateFile:
    """One file, and the directory next to it.

    found  what was in the file when it was read, besides what the engine knew; None: there was none
    """

    def __init__(self, path: Path) -> None:
        """Makes the directory, and those above it; raises OutputError."""
        self.path = path
        self._programs = path.with_name(f"{path.name}.programs")
        self._written: set[str] = set()
        try:
            self._programs.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self._programs, error) from error

    def read(self) -> State | None:
        """What is in it, None when there is none; raises StateError when it is not a state."""
        try:
            found = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"cannot read `{self.path}`: {error.strerror}") from error
        except ValueError:
            raise StateError(f"`{self.path}` is damaged", hint=REMEDY) from None
        if not isinstance(found, dict) or not {"version", "boot"} <= found.keys():
            raise StateError(f"`{self.path}` is not what pfqd has written", hint=REMEDY)
        return found

    def is_of_use(self, found: State) -> bool:
        """Whether anything can be there still: it was not taken down, and the kernel is the same."""
        return not found.get("ended") and bool(found["boot"] == boot())

    def check(self, found: State) -> None:
        """Raises StateError when another version of PFQ has written it."""
        if found["version"] != VERSION or found.get("layout") != layout_digest():
            raise StateError(
                f"`{self.path}` was written by another version of PFQ, and its memory has another form", hint=REMEDY
            )
        if not {"pins", "names", "engine"} <= found.keys():
            raise StateError(f"`{self.path}` is damaged", hint=REMEDY)

    def engine(self, found: State) -> State:
        """What the engine knew, with its programs; raises StateError."""
        engine: State = found["engine"]
        names = engine.get(PROGRAMS)
        if not isinstance(names, list):
            raise StateError(f"`{self.path}` is damaged", hint=REMEDY)
        engine["programs"] = {str(name): self._program(str(name)) for name in names}
        self._written = set(engine["programs"])
        return engine

    def _program(self, name: str) -> str:
        path = self._programs / name
        try:
            text = path.read_text("utf-8", "surrogatepass")
        except (OSError, ValueError):
            raise StateError(f"cannot read `{path}`, a program of a group", hint=REMEDY) from None
        if written.name_of(text) != name:
            raise StateError(f"`{path}`, a program of a group, is damaged", hint=REMEDY)
        return text

    def write(self, engine: State, *, pins: list[int], names: set[str], ended: bool = False) -> None:
        """Replaces the file, which is the moment at which a change counts; raises OSError.

        pins, names  which directory of pins, and what in it is valid
        ended        nothing is, and what is there goes
        """
        programs: dict[str, str] = engine.pop("programs", {})
        for name, text in programs.items():
            if name not in self._written:
                _replace(self._programs / name, text)
                self._written.add(name)
        head: dict[str, Any] = {"version": VERSION, "layout": layout_digest(), "boot": boot(), "ended": ended}
        body = {"pins": pins, "names": sorted(names), "engine": engine | {PROGRAMS: sorted(programs)}}
        _replace(self.path, json.dumps(head | body, separators=(",", ":")))
        self._written &= programs.keys()

    def sweep(self) -> None:
        """Removes programs that no group has any more."""
        try:
            for path in self._programs.iterdir():
                if path.name not in self._written:
                    path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot clear `%s`: %s", self._programs, error.strerror)

    def remove(self) -> None:
        """Nothing is left."""
        self._written.clear()
        self.sweep()
        self.path.unlink(missing_ok=True)
        try:
            self._programs.rmdir()
        except OSError as error:
            log.warning("cannot remove `%s`: %s", self._programs, error.strerror)


def layout_digest() -> str:
    """Changes with the form of the memory that engines and programs share."""
    numbers = {name: repr(value) for name, value in sorted(vars(layouts).items()) if name.isupper()}
    tables = (layout.SLOT, layout.PRODUCER, layout.CONSUMER, layout.SLOT_SIZES)
    return sha256(repr((numbers, tables)).encode()).hexdigest()


def boot() -> str:
    """Tells this run of the kernel from all others; pins do not outlive it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _replace(path: Path, text: str) -> None:
    """Replaces a file at once: whoever reads it finds the old text or the new one."""
    new = path.with_name(f"{path.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(text.encode("utf-8", "surrogatepass"))
    os.replace(new, path)


def unwritable(path: Path, error: OSError) -> OutputError:
    """The error for a state that cannot be written."""
    return OutputError(
        f"cannot write `{path}`: {error.strerror}", hint="without it no other process could take over; make room"
    )
