"""Objects from the compiler are laid out for the kernel; no kernel needed."""

from __future__ import annotations

import struct

import pytest
from unit.kernel.llvm import compile_ir

from pfq.errors import InternalError
from pfq.kernel import elf
from pfq.kernel.elf import Image, MapReference, link

PROGRAM = """
@first = external global [64 x i8]
@second = external global i8

define internal i32 @helper(i32 %x) noinline section "code" {
  %a = load i32, ptr getelementptr ([64 x i8], ptr @first, i64 0, i64 24)
  %b = add i32 %a, %x
  ret i32 %b
}

define i32 @entry(ptr %ctx) section "code" {
  %a = call i32 @helper(i32 1)
  %b = call i32 @far(i32 %a)
  ret i32 %b
}

define internal i32 @far(i32 %x) noinline {
  %a = load i8, ptr @second
  %b = zext i8 %a to i32
  %c = add i32 %b, %x
  ret i32 %c
}

define i32 @never(i32 %x) noinline { ret i32 %x }
"""


def instructions(image: Image) -> list[tuple[int, int, int, int]]:
    """(opcode, source register, offset, immediate) of each"""
    return [(op, regs >> 4, off, imm) for op, regs, off, imm in struct.iter_unpack("<BBhi", image.insns)]


def test_the_entry_comes_first_and_only_what_it_needs_follows() -> None:
    image = link(compile_ir(PROGRAM), "entry")
    assert [name for _, name in image.functions] == ["entry", "helper", "far"]
    assert image.functions[0][0] == 0


def test_calls_go_to_the_functions() -> None:
    image = link(compile_ir(PROGRAM), "entry")
    starts = {name: start for start, name in image.functions}
    calls = [(at, at + 1 + imm) for at, (op, src, _, imm) in enumerate(instructions(image)) if (op, src) == (0x85, 1)]
    assert [target for _, target in calls] == [starts["helper"], starts["far"]]


def test_maps_are_named() -> None:
    image = link(compile_ir(PROGRAM), "entry")
    assert [(reference.name, reference.offset) for reference in image.map_references] == [("first", 0), ("second", 0)]
    code = instructions(image)
    assert all(code[reference.insn][0] == 0x18 for reference in image.map_references)
    assert all(isinstance(reference, MapReference) for reference in image.map_references)


def test_an_offset_into_the_value_is_in_the_instruction() -> None:
    """The format has it so. LLVM 22 does not make use of it: it adds the offset later."""
    whole = compile_ir("@first = external global i8\ndefine ptr @entry(ptr %c) { ret ptr @first }")
    load, exit = bytes([0x18]) + bytes(15), bytes([0x95])
    assert whole.count(load + exit) == 1
    image = link(whole.replace(load + exit, struct.pack("<BBhi", 0x18, 0, 0, 24) + bytes(8) + exit), "entry")
    assert image.map_references == (MapReference(0, "first", 24),)


def test_calls_to_helpers_stay_as_they_are() -> None:
    image = link(
        compile_ir("define i64 @entry(ptr %c) { %r = call i64 inttoptr (i64 5 to ptr)() ret i64 %r }"), "entry"
    )
    assert instructions(image) == [(0x85, 0, 0, 5), (0x95, 0, 0, 0)]


def test_without_debug_information_there_is_none() -> None:
    image = link(compile_ir(PROGRAM), "entry")
    assert (image.btf, image.func_info, image.line_info) == (b"", b"", b"")
    assert image.line_of(0) is None


def test_the_line_of_an_instruction_is_that_of_the_last_record_before_it() -> None:
    records = [(0, 0, 0, 3 << 10 | 7), (4, 0, 0, 5 << 10), (6, 0, 0, 0)]
    image = Image(b"", (), (), b"", b"", b"".join(struct.pack("<4I", *record) for record in records))
    assert [image.line_of(insn) for insn in range(8)] == [3, 3, 3, 3, 5, 5, None, None]


DEBUGGED = """
define i32 @entry(ptr %c) !dbg !10 {{
  %r = call i32 @second(i32 3), !dbg !12
  ret i32 %r, !dbg !12
}}
define i32 @second(i32 %x) noinline {second} {{
  %y = mul i32 %x, 5
  ret i32 %y
}}
!llvm.dbg.cu = !{{!0}}
!llvm.module.flags = !{{!2}}
!0 = distinct !DICompileUnit(language: DW_LANG_C11, file: !1, emissionKind: FullDebug)
!1 = !DIFile(filename: "a.pfq", directory: "")
!2 = !{{i32 2, !"Debug Info Version", i32 3}}
!3 = !DIBasicType(name: "int", size: 32, encoding: DW_ATE_signed)
!4 = !DISubroutineType(types: !{{!3}})
!10 = distinct !DISubprogram(name: "entry", file: !1, line: 1, unit: !0, type: !4, spFlags: DISPFlagDefinition)
!11 = distinct !DISubprogram(name: "second", file: !1, line: 8, unit: !0, type: !4, spFlags: DISPFlagDefinition)
!12 = !DILocation(line: 2, scope: !10)
"""


def test_debug_information_moves_with_the_functions() -> None:
    image = link(compile_ir(DEBUGGED.format(second="!dbg !11")), "entry")
    starts = {name: start for start, name in image.functions}
    assert starts["second"] > 0
    assert [insn for insn, _ in struct.iter_unpack("<2I", image.func_info)] == [0, starts["second"]]
    assert (image.line_of(0), image.line_of(starts["second"])) == (2, 8)
    assert image.btf[:2] == b"\x9f\xeb"


def test_debug_information_of_some_functions_only_is_our_fault() -> None:
    with pytest.raises(InternalError, match=r"only some functions have debug information; look at `second`"):
        link(compile_ir(DEBUGGED.format(second="")), "entry")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "declare i32 @absent(i32)\ndefine i32 @entry(ptr %c) { %r = call i32 @absent(i32 1) ret i32 %r }",
            "calls `absent`",
        ),
        ("@own = global i32 7\ndefine ptr @entry(ptr %c) { ret ptr @own }", "refers to `own`, which is not a map"),
    ],
)
def test_what_cannot_be_linked_is_our_fault(text: str, message: str) -> None:
    with pytest.raises(InternalError, match=message):
        link(compile_ir(text), "entry")


def test_any_cut_of_an_object_is_refused_without_a_traceback() -> None:
    whole = compile_ir(PROGRAM)
    assert elf.link(whole, "entry")
    for length in range(0, len(whole), 7):
        with pytest.raises(InternalError):
            link(whole[:length], "entry")
