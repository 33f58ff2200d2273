"""Hand-written XDP programs in C: compiled by clang, linked and loaded like our own objects.

A program is a function `program` in the section `xdp`. What it calls `struct map_def SEC("maps") x`
is a map; every other global variable is the one value of a map of its own, whose address is in the
code, as with our own programs.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sysconfig
from functools import cache
from io import BytesIO
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from pfq.codegen.spec import MMAPABLE, Hook, MapSpec, MapType, ObjectSpec

FOLDER = Path(__file__).parent / "programs"
ENTRY = "program"
FLAGS = ("-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror")
MAP_DEFINITION = struct.Struct("<5I")
SYMBOL_BYTES, SYMBOL_SECTION = 24, 6
"""Bytes of an ELF symbol, and where in it the number of its section is."""
KEY_BYTES = 4
KINDS: dict[int, MapType] = {kind.value: kind for kind in MapType}
"""The kernel has more, which our own programs do not use."""


@cache
def compiler() -> str | None:
    """The C compiler for eBPF: $CLANG or `clang`; None when there is none."""
    return shutil.which(os.environ.get("CLANG", "clang"))


@cache
def compiler_version() -> str:
    """What the compiler says of itself, in one line."""
    command = compiler()
    assert command is not None
    return subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]


@cache
def compiled(name: str) -> ObjectSpec:
    """A program of the folder `programs`."""
    command = compiler()
    assert command is not None, "the caller looks whether there is a compiler"
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    source, system = str(FOLDER / f"{name}.c"), f"/usr/include/{multiarch}"
    done = subprocess.run([command, *FLAGS, "-idirafter", system, "-c", source, "-o", "-"], capture_output=True)
    if done.returncode:
        raise SystemExit(f"{command} cannot compile {source}:\n{done.stderr.decode()}")
    return _read(done.stdout)


def _read(data: bytes) -> ObjectSpec:
    """Finds the maps of an object, and leaves their symbols undefined, which is how our linker knows maps."""
    elf, changed = ELFFile(BytesIO(data)), bytearray(data)
    names = [section.name for section in elf.iter_sections()]
    symbols = elf.get_section_by_name(".symtab")
    assert isinstance(symbols, SymbolTableSection)
    maps = []
    for number, symbol in enumerate(symbols.iter_symbols()):
        index = symbol["st_shndx"]
        if symbol["st_info"]["type"] == "STT_OBJECT" and isinstance(index, int):
            if names[index] == "maps":
                maps.append(_defined(symbol.name, elf.get_section(index).data()[symbol["st_value"] :]))
            else:
                maps.append(_variable(symbol.name, symbol["st_size"]))
            struct.pack_into("<H", changed, symbols["sh_offset"] + number * SYMBOL_BYTES + SYMBOL_SECTION, 0)
    return ObjectSpec(bytes(changed), ENTRY, Hook.XDP, tuple(maps))


def _defined(name: str, definition: bytes) -> MapSpec:
    kind, key_bytes, value_bytes, entries, flags = MAP_DEFINITION.unpack_from(definition)
    return MapSpec(name, KINDS.get(kind, kind), key_bytes, value_bytes, entries, flags)


def _variable(name: str, size: int) -> MapSpec:
    return MapSpec(name, MapType.ARRAY, KEY_BYTES, size, 1, flags=MMAPABLE, direct=True)
