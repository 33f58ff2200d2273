"""The C header says what the layout says, and the library exports what its map names."""

from __future__ import annotations

import re
import shutil
import subprocess
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
    header = (NATIVE / "include/pfq/pfq.h").read_text()
    assert f"#define PFQ_LAYOUT_VERSION {layout.VERSION}\n" in header


def declared() -> set[str]:
    text = "".join(header.read_text() for header in (NATIVE / "include/pfq").glob("*.h"))
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return {name for name in re.findall(r"\b(pfq_\w+)\(", code) if hasattr(lib, name)}


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
