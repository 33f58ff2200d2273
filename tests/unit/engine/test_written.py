"""Programs and filters that a state keeps: read again they are equal, and their memory has the same form."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from support.programs import chains, fits, typical_program

from pfq.codegen.device import Device, Group, compile_device
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook
from pfq.engine.groupmemory import GroupMemory
from pfq.engine.written import name_of, read, read_filter, written, written_filter
from pfq.errors import ProgramError
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.compile import compile_text
from pfq.lang.prims import PRIMS
from pfq.lang.program import Program

ROOT = Path(__file__).parents[3]
BLOCKS = [
    case["core"]
    for file in sorted((ROOT / "tests/lang").glob("*.toml"))
    for case in tomllib.loads(file.read_text())["case"]
    if case.get("table") != "small"
]
REMEMBERING = (
    "flow_inc key_5tuple 1024 60 >-> limit 100 10 >-> steer_flow",
    'filter (addr_in "10.0.0.0/8, 2001:db8::/32") >-> when (bloom_src 1024 ["10.0.0.1"] 32) (log_msg "seen")',
    "unit",
)


def same(program: Program) -> bool:
    """What is read again is equal, places in the text apart, and is written in the same way."""
    name, text = written(program)
    again = read(text)
    return again == program and again.source == program.source and written(again) == (name, text)


@pytest.mark.parametrize("text", BLOCKS)
def test_programs_of_the_language_tests(text: str) -> None:
    assert same(compile_text(text))


@pytest.mark.parametrize("name", sorted(PRIMS))
def test_a_program_with_each_primitive(name: str) -> None:
    assert same(typical_program(PRIMS[name]))


@pytest.mark.parametrize("module", sorted(file.stem for file in (ROOT / "src/pfq/lang/library").glob("*.pfq")))
def test_programs_that_import_the_library(module: str) -> None:
    lines = (ROOT / f"src/pfq/lang/library/{module}.pfq").read_text().splitlines()
    names = [line.split()[0] for line in lines if re.match(r"[a-z]\w* =", line)]
    assert len(names) > 3
    for name in names:
        texts = (f"import {module}\nmain = {form}" for form in (f"when {name} drop", f"filter (addr_in {name})", name))
        assert any(map(is_right, texts)), name


def is_right(text: str) -> bool:
    """It is a program, and read again it is the same."""
    try:
        program = compile_text(text)
    except ProgramError:
        return False
    assert same(program)
    return True


@given(chains(3, 4).map(Program).filter(fits))
@settings(max_examples=100, deadline=None)
def test_any_program(program: Program) -> None:
    assert same(program)


@pytest.mark.parametrize("text", REMEMBERING)
def test_memory_has_the_same_form(text: str) -> None:
    program = compile_text(text)
    again = read(written(program)[1])

    def layout(each: Program) -> str:
        shape = RingShape(16, 128, 96)
        code = compile_device(Device(Hook.TC_INGRESS, (Group(3, each),), 2, (shape,)))
        return GroupMemory.layout_of(code.groups[0])

    assert layout(again) == layout(program)


def test_a_set_is_what_it_was_when_its_file_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "set"
    file.write_text("10.0.0.0/8\n")
    program = compile_text(f'filter (addr_in "{file}")')
    name, text = written(program)
    file.unlink()
    assert read(text) == program
    assert name == name_of(text)


def test_filters() -> None:
    for text in ("tcp port 80", "1,6 0 0 262144"):
        found = BerkeleyFilter.parse(text)
        assert read_filter(written_filter(found)) == found


@pytest.mark.parametrize("text", ["", "{}", '{"main": 1, "source": ""}', '{"main": {"call": "unit"}, "source": ""}'])
def test_what_is_damaged_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        read(text)


def test_a_primitive_that_is_not_there_any_more() -> None:
    _, text = written(compile_text("broadcast"))
    with pytest.raises(KeyError):
        read(text.replace("broadcast", "nothing_like_it"))
