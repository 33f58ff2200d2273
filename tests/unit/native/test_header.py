"""The C header says what the layout says, and the library exports what its map names."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from pfq import layout
from pfq._libpfq import ffi, lib

NATIVE = Path(__file__).parents[3] / "native"
STRUCTS = {
    "struct pfq_slot": (layout.SLOT, layout.SLOT_HEADER_BYTES),
    "struct pfq_producer": (layout.PRODUCER, layout.PRODUCER_BYTES),
    "struct pfq_consumer": (layout.CONSUMER, layout.CONSUMER_BYTES),
    "struct pfq_record": (layout.RECORD, layout.RECORD_BYTES),
    "struct pfq_headers": (layout.HEADERS, layout.HEADERS_BYTES),
}


@pytest.mark.parametrize("struct", STRUCTS)
def test_structs_are_those_of_the_layout(struct: str) -> None:
    members, size = STRUCTS[struct]
    assert ffi.sizeof(struct) == size
    found = {name: field for name, field in ffi.typeof(struct).fields if not name.startswith("reserved")}
    assert {name: (field.offset, field.type.cname) for name, field in found.items()} == {
        member.name: (member.offset, f"uint{member.bits}_t" if member.bits <= 64 else f"uint8_t[{member.bits // 8}]")
        for member in members
    }


def test_header_and_layout_have_one_version() -> None:
    header = (NATIVE / "include/pfq/ring.h").read_text()
    assert f"#define PFQ_LAYOUT_VERSION {layout.VERSION}\n" in header


def test_header_has_the_version_of_the_project() -> None:
    header = (NATIVE / "include/pfq/pfq.h").read_text()
    version = tomllib.loads((NATIVE.parent / "pyproject.toml").read_text())["project"]["version"]
    major, minor, patch = version.split(".")
    assert f'#define PFQ_VERSION "{version}"\n' in header
    for name, number in (("MAJOR", major), ("MINOR", minor), ("PATCH", patch)):
        assert f"#define PFQ_VERSION_{name} {number}\n" in header


def functions(header: Path) -> set[str]:
    """What a header declares between its marks."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text().partition("/* declarations: begin */")[2], flags=re.DOTALL)
    return set(re.findall(r"\b(pfq_\w+)\([^)]*\);", text.partition("#pragma GCC visibility pop")[0]))


def declared() -> set[str]:
    return {name for header in (NATIVE / "include/pfq").glob("*.h") for name in functions(header)}


def test_python_sees_all_but_the_client() -> None:
    client = functions(NATIVE / "include/pfq/pfq.h")
    assert {name for name in declared() if hasattr(lib, name)} == declared() - client
    assert len(client) >= 49


def test_map_names_every_function_of_the_headers() -> None:
    listed = set(re.findall(r"(pfq_\w+);", (NATIVE / "libpfq.map").read_text()))
    assert listed == declared()
    assert len(listed) >= 9


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm (binutils) is not installed")
def test_library_exports_nothing_else() -> None:
    library = files("pfq") / "lib" / "libpfq.so.1"
    printed = subprocess.run(["nm", "-D", "--defined-only", str(library)], capture_output=True, text=True, check=True)
    exported = {line.split()[-1] for line in printed.stdout.splitlines()}
    assert exported == {f"{name}@@LIBPFQ_1.0" for name in declared()} | {"LIBPFQ_1.0"}
