"""Reads the relocatable objects that LLVM's `bpfel` back end writes.

An object has one or more sections with code, each holding functions one after another. Calls and
map references are left open; `link` lays the functions a program needs behind its entry, closes
the calls, and says where maps are referred to. Debug information moves along with the functions.
"""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import Section, SymbolTableSection

from pfq.errors import InternalError
from pfq.kernel.abi import INSN_BYTES, OP_CALL, OP_LD_IMM64, PSEUDO_CALL

R_BPF_64_64 = 1
R_BPF_64_32 = 10
SHF_EXECINSTR = 4

_INSN = struct.Struct("<BBhi")
"""opcode, registers (source in the upper half), jump offset, immediate value"""


@dataclass(frozen=True, slots=True)
class Symbol:
    """Something a relocation refers to: a place in a section, or (section None) a map by its name."""

    name: str
    section: str | None
    offset: int


@dataclass(slots=True)
class CodeSection:
    """A section with instructions. Offsets are in bytes from its start."""

    code: bytes
    relocations: dict[int, tuple[int, Symbol]] = field(default_factory=dict)
    funcs: dict[int, bytes] = field(default_factory=dict)
    """func_info records, without the instruction offset"""
    lines: dict[int, bytes] = field(default_factory=dict)
    """line_info records, without the instruction offset"""


@dataclass(frozen=True, slots=True)
class Function:
    """The bytes [start, end) of a section."""

    name: str
    section: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MapReference:
    """Instruction number `insn` (two slots long) loads map `name`, or the address `offset` bytes into its value."""

    insn: int
    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Image:
    """A program ready for the kernel but for its maps.

    insns           instructions, the entry function first
    map_references  where maps are to be put in
    functions       (first instruction, name), ascending
    btf             type information; empty when the object has none
    func_info, line_info  the kernel's records, ascending
    """

    insns: bytes
    map_references: tuple[MapReference, ...]
    functions: tuple[tuple[int, str], ...]
    btf: bytes
    func_info: bytes
    line_info: bytes

    def line_of(self, insn: int) -> int | None:
        """The source line of an instruction, from 1; None without debug information."""
        records = list(struct.iter_unpack("<4I", self.line_info))
        at = bisect_right([record[0] for record in records], insn) - 1
        return (records[at][3] >> 10) or None if at >= 0 else None


def link(elf: bytes, entry: str) -> Image:
    """The program that starts at function `entry`, with the functions it needs behind it."""
    try:
        sections, functions, btf = _read(elf)
    except (ELFError, struct.error, KeyError, IndexError) as error:
        raise InternalError(f"the compiler wrote an object that cannot be read: {error!r}") from error
    by_place = {(f.section, f.start): f for f in functions}
    start = next((f for f in functions if f.name == entry), None)
    if start is None:
        raise InternalError(f"the compiled object has no function `{entry}`")
    return _Linker(sections, by_place, btf).link(start)


class _Linker:
    def __init__(self, sections: Mapping[str, CodeSection], by_place: Mapping[tuple[str, int], Function], btf: bytes):
        self.sections = sections
        self.by_place = by_place
        self.btf = btf
        self.placed: dict[Function, int] = {}
        self.insns = bytearray()
        self.calls: list[tuple[int, Function]] = []
        self.map_references: list[MapReference] = []
        self.func_info = bytearray()
        self.line_info = bytearray()

    def link(self, entry: Function) -> Image:
        self.place(entry)
        for at, target in self.calls:  # grows while functions are placed
            if target not in self.placed:
                self.place(target)
            opcode, registers, offset, _ = _INSN.unpack_from(self.insns, at * INSN_BYTES)
            relative = self.placed[target] - at - 1
            _INSN.pack_into(self.insns, at * INSN_BYTES, opcode, registers, offset, relative)
        return Image(
            bytes(self.insns),
            tuple(self.map_references),
            tuple((base, function.name) for function, base in self.placed.items()),
            self.btf if self.func_info else b"",
            bytes(self.func_info),
            bytes(self.line_info),
        )

    def place(self, function: Function) -> None:
        base = self.placed[function] = len(self.insns) // INSN_BYTES
        section = self.sections[function.section]
        self.insns += section.code[function.start : function.end]
        self.move_debug_info(section, function, base)
        at = function.start
        while at < function.end:
            opcode, registers, _, value = _INSN.unpack_from(section.code, at)
            insn = base + (at - function.start) // INSN_BYTES
            relocation = section.relocations.get(at)
            if opcode == OP_CALL and (registers >> 4 == PSEUDO_CALL or relocation):
                self.calls.append((insn, self.callee(function, at, value, relocation)))
            elif relocation:
                self.refer(insn, opcode, value, relocation, function)
            at += INSN_BYTES * (2 if opcode == OP_LD_IMM64 else 1)

    def callee(self, caller: Function, at: int, value: int, relocation: tuple[int, Symbol] | None) -> Function:
        """A call inside a section has the distance in `value`; one with a relocation, the place behind its symbol."""
        if relocation is None:
            place = (caller.section, at + (value + 1) * INSN_BYTES)
        else:
            kind, symbol = relocation
            if kind != R_BPF_64_32 or symbol.section is None:
                raise InternalError(f"`{caller.name}` calls `{symbol.name}`, which the object does not contain")
            place = (symbol.section, symbol.offset + (value + 1) * INSN_BYTES)
        if place not in self.by_place:
            raise InternalError(f"`{caller.name}` calls {place}, where no function begins")
        return self.by_place[place]

    def refer(self, insn: int, opcode: int, value: int, relocation: tuple[int, Symbol], function: Function) -> None:
        kind, symbol = relocation
        if kind != R_BPF_64_64 or opcode != OP_LD_IMM64 or symbol.section is not None:
            raise InternalError(f"`{function.name}` refers to `{symbol.name}`, which is not a map (relocation {kind})")
        self.map_references.append(MapReference(insn, symbol.name, value))

    def move_debug_info(self, section: CodeSection, function: Function, base: int) -> None:
        # The kernel wants records for all functions of a program or for none.
        known = function.start in section.funcs
        if base > 0 and known != bool(self.func_info):
            raise InternalError(f"only some functions have debug information; look at `{function.name}`")
        if not known:
            return
        self.func_info += struct.pack("<I", base) + section.funcs[function.start]
        for offset in sorted(section.lines):
            if function.start <= offset < function.end:
                insn = base + (offset - function.start) // INSN_BYTES
                self.line_info += struct.pack("<I", insn) + section.lines[offset]


def _read(data: bytes) -> tuple[dict[str, CodeSection], list[Function], bytes]:
    elf = ELFFile(io.BytesIO(data))
    names = [section.name for section in elf.iter_sections()]
    symtab = elf.get_section_by_name(".symtab")
    if elf["e_machine"] != "EM_BPF" or not isinstance(symtab, SymbolTableSection):
        raise ELFError("not a BPF object with a symbol table")
    sections = {
        section.name: CodeSection(section.data())
        for section in elf.iter_sections()
        if section["sh_flags"] & SHF_EXECINSTR and section["sh_size"]
    }
    for section in elf.iter_sections():
        if isinstance(section, RelocationSection) and names[section["sh_info"]] in sections:
            _read_relocations(section, symtab, names, sections[names[section["sh_info"]]])
    btf, ext = elf.get_section_by_name(".BTF"), elf.get_section_by_name(".BTF.ext")
    if btf is not None and ext is not None:
        _read_ext(ext, btf, sections)
    return sections, _functions(symtab, names, sections), btf.data() if btf is not None else b""


def _read_relocations(
    section: RelocationSection, symtab: SymbolTableSection, names: list[str], into: CodeSection
) -> None:
    for relocation in section.iter_relocations():
        symbol = symtab.get_symbol(relocation["r_info_sym"])
        index = symbol["st_shndx"]
        target = None if index == "SHN_UNDEF" else names[index]
        into.relocations[relocation["r_offset"]] = (
            relocation["r_info_type"],
            Symbol(symbol.name, target, symbol["st_value"]),
        )


def _functions(symtab: SymbolTableSection, names: list[str], sections: Mapping[str, CodeSection]) -> list[Function]:
    found = []
    for symbol in symtab.iter_symbols():
        if symbol["st_info"]["type"] == "STT_FUNC" and isinstance(symbol["st_shndx"], int):
            section = names[symbol["st_shndx"]]
            if section in sections:
                start = symbol["st_value"]
                found.append(Function(symbol.name, section, start, start + symbol["st_size"]))
    return found


def _read_ext(ext: Section, btf: Section, sections: Mapping[str, CodeSection]) -> None:
    """.BTF.ext: a header, then one table of func_info and one of line_info, each divided by section."""
    data, types = ext.data(), btf.data()
    header_len, func_off, func_len, line_off, line_len = struct.unpack_from("<5I", data, 4)
    for name, offset, record in _records(data, types, header_len + func_off, func_len):
        if name in sections:
            sections[name].funcs[offset] = record
    for name, offset, record in _records(data, types, header_len + line_off, line_len):
        if name in sections:
            sections[name].lines[offset] = record


def _records(data: bytes, types: bytes, at: int, length: int) -> list[tuple[str, int, bytes]]:
    """(section, offset in it, rest of the record) of one table of .BTF.ext."""
    if not length:
        return []
    end = at + length
    (record_bytes,) = struct.unpack_from("<I", data, at)
    at += 4
    out = []
    while at < end:
        name_off, count = struct.unpack_from("<2I", data, at)
        at += 8
        name = _btf_string(types, name_off)
        for _ in range(count):
            (offset,) = struct.unpack_from("<I", data, at)
            out.append((name, offset, data[at + 4 : at + record_bytes]))
            at += record_bytes
    return out


def _btf_string(types: bytes, offset: int) -> str:
    header_len, _, _, str_off, _ = struct.unpack_from("<5I", types, 4)
    start = header_len + str_off + offset
    return types[start : types.index(b"\0", start)].decode()
