"""The groups of a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pfq.codegen.layouts import MAX_GROUPS
from pfq.daemon.config.places import Input, Output, Place, read_inputs, read_outputs
from pfq.daemon.config.values import Faults, Section
from pfq.engine.policy import PolicyName
from pfq.errors import PfqError, UsageError
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.compile import compile_file, compile_text
from pfq.lang.group import vlan_filter
from pfq.lang.program import Program

POLICIES: Final = ("shared", "restricted")


@dataclass(frozen=True, slots=True)
class ManagedGroup:
    """A group that is there as long as the configuration has it.

    file  where its program was read from
    """

    number: int
    program: Program
    policy: PolicyName = "shared"
    filter: BerkeleyFilter | None = None
    vlans: frozenset[int] | None = None
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    file: Path | None = field(default=None, compare=False)

    @property
    def places(self) -> list[Place]:
        """The devices that it is about."""
        return [*(each.place for each in self.inputs), *(each.place for each in self.outputs)]


def read_groups(faults: Faults, groups: list[Any], folder: Path) -> list[ManagedGroup]:
    """All `[[group]]`; those with faults are left out."""
    found = []
    numbers: set[int] = set()
    for at, values in enumerate(groups):
        before = len(faults.found)
        section = Section(faults, values, ("group", at), "a group")
        number = section.integer("number", 0, MAX_GROUPS - 1)
        made = _group(section, number, folder)
        section.end()
        if number in numbers:
            section.fault("number", f"there are two groups {number}", "give one of them another number")
        if len(faults.found) == before:
            found.append(made)
        numbers |= {number} - {None}
    return found


def _group(section: Section, number: int, folder: Path) -> ManagedGroup:
    program, file = _program(section, folder)
    return ManagedGroup(
        number,
        program,
        section.choice("policy", POLICIES, "shared"),
        _filter(section),
        _vlans(section),
        tuple(read_inputs(section)),
        tuple(read_outputs(section)),
        file,
    )


def _program(section: Section, folder: Path) -> tuple[Program, Path | None]:
    text, name = section.text("program"), section.text("program_file")
    try:
        if text is not None and name is not None:
            section.fault("program_file", "a group has `program` or `program_file`, not both", "take one of them out")
        elif name is not None:
            return compile_file(folder / name), folder / name
        elif text is not None:
            return _inline(section, text, folder), None
    except PfqError as error:
        section.faults.take(error, section.at("program" if name is None else "program_file"))
    return compile_text("unit"), None if name is None else folder / name


def _inline(section: Section, text: str, folder: Path) -> Program:
    """A program in the configuration: its faults have the lines that they have there."""
    span = section.faults.places.value(*section.at("program"))
    assert span is not None
    source, opened = span.source, text
    if span.text.startswith(('"""', "'''")):
        above = span.line - 1 + span.text[3:].startswith(("\n", "\r\n"))
    else:
        above, opened = span.line - 1, " " * span.column + text
    return Program(compile_text("\n" * above + opened, source.name, folder=folder).main, text)


def _filter(section: Section) -> BerkeleyFilter | None:
    text = section.text("filter")
    try:
        return None if text is None else BerkeleyFilter.of(text)
    except PfqError as error:
        section.faults.take(error, section.at("filter"))
        return None


def _vlans(section: Section) -> frozenset[int] | None:
    try:
        return vlan_filter(section.items("vlans", None))
    except UsageError as error:
        section.fault("vlans", error.message, "0 is for packets without a tag, -1 for all ids from 1 to 4094: [0, 10]")
        return None
