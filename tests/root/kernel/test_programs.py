"""Loading: relocations, calls, debug information, attach types, test runs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from llvmlite import ir
from unit.kernel.llvm import LAYOUT, TRIPLE, compile_ir, returning

from pfq.codegen.spec import MMAPABLE, Hook, MapSpec, MapType, ObjectSpec
from pfq.errors import InternalError, KernelRefusedError, VerifierError
from pfq.kernel import abi, sys
from pfq.kernel.maps import Map
from pfq.kernel.programs import Program, load
from pfq.source import Source, Span

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

FRAME = bytes(range(60))
XDP_DROP, XDP_PASS = 1, 2

COUNTERS = MapSpec("counters", MapType.ARRAY, 4, 64, 1, MMAPABLE, direct=True)
TABLE = MapSpec("table", MapType.ARRAY, 4, 8, 4)


@pytest.fixture
def loaded() -> Iterator[ExitStack]:
    """Closes the maps and programs of a test."""
    with ExitStack() as stack:
        yield stack


def spec(elf: bytes, *maps: MapSpec, hook: Hook = Hook.XDP, **named: object) -> ObjectSpec:
    return ObjectSpec(elf, "entry", hook, maps, **named)  # type: ignore[arg-type]


def test_maps_and_calls_are_relocated(loaded: ExitStack) -> None:
    elf = compile_ir("""
    @counters = external global [64 x i8]
    @table = external global i8

    define internal i32 @late(i32 %x) noinline section "code" {
      %word = load i32, ptr @counters
      %sum = add i32 %word, %x
      ret i32 %sum
    }

    define i32 @entry(ptr %ctx) section "code" {
      %key = alloca i32
      store i32 1, ptr %key
      %value = call ptr inttoptr (i64 1 to ptr)(ptr @table, ptr %key)
      %absent = icmp eq ptr %value, null
      br i1 %absent, label %out, label %found
    found:
      store i64 77, ptr %value
      br label %out
    out:
      store i64 42, ptr getelementptr ([64 x i8], ptr @counters, i64 0, i64 16)
      %a = call i32 @late(i32 5)
      %b = call i32 @other(i32 %a)
      ret i32 %b
    }

    define internal i32 @other(i32 %x) noinline {
      %a = call i32 @late(i32 %x)
      %b = mul i32 %a, 10
      ret i32 %b
    }

    define internal i32 @unused(i32 %x) noinline {
      ret i32 %x
    }
    """)
    maps = {m.name: loaded.enter_context(Map.create(m)) for m in (COUNTERS, TABLE)}
    maps["counters"].update(0, struct.pack("<I", 3).ljust(64, b"\0"))
    program = loaded.enter_context(load(spec(elf, COUNTERS, TABLE), maps, "relocated"))

    assert program.test_run(FRAME).retval == ((3 + 5) + 3) * 10
    assert [maps["table"].lookup(i) for i in range(4)] == [bytes(8), struct.pack("<Q", 77), bytes(8), bytes(8)]
    assert struct.unpack("<8Q", maps["counters"].lookup(0)) == (3, 0, 42, 0, 0, 0, 0, 0)


def test_a_map_that_is_not_given_is_our_fault(loaded: ExitStack) -> None:
    with pytest.raises(InternalError, match="`counters`"):
        load(spec(returning(XDP_PASS, "counters")), {}, "x")


def test_a_missing_entry_is_our_fault() -> None:
    with pytest.raises(InternalError, match="no function `main`"):
        load(ObjectSpec(returning(XDP_PASS), "main", Hook.XDP, ()), {}, "x")


@pytest.mark.parametrize("elf", [b"", b"\x7fELF", returning(2)[:200], bytes(1000)])
def test_a_broken_object_is_our_fault(elf: bytes) -> None:
    with pytest.raises(InternalError, match="cannot be read"):
        load(spec(elf), {}, "x")


# Functions that the kernel verifies by themselves


def with_function(
    calls: int, *, alone: bool = True, named: bool = True, context: str = "xdp_md", reads: int = 16
) -> bytes:
    """An entry that calls `group(ctx, x)` several times, with the debug information that the kernel needs for it.

    The group adds x, 1, and the word at offset `reads` of the context.

    The kernel verifies a function of its own, once and for any argument, when its BTF entry says GLOBAL.
    LLVM writes BTF out of debug information, so this much is needed in the module:

    - the flag "Debug Info Version" and a DICompileUnit (emissionKind FullDebug) in `llvm.dbg.cu`;
    - a DISubprogram on *every* function: the kernel takes records of all functions or of none;
    - in it, spFlags without DISPFlagLocalToUnit: that flag, and not the linkage, makes BTF say STATIC
      and the kernel verify the function anew at every call. (The linkage should be external all the
      same, or LLVM changes the parameters; and the function `noinline`);
    - a type that returns an int, and as first parameter a pointer to a structure whose *name* is the
      context's name in the kernel, `xdp_md` or `__sk_buff`. Its members and size do not matter;
    - all parameters named: BTF takes the names from the DILocalVariables in `retainedNodes`, and the
      kernel refuses a nameless one ("Invalid arg#1");
    - a DILocation on every instruction: they become line_info. The first instruction of each function
      needs one, which LLVM sees to when there is a DISubprogram.
    """
    module = ir.Module()
    module.triple, module.data_layout = TRIPLE, LAYOUT
    info, token = module.add_debug_info, ir.DIToken
    i32 = ir.IntType(32)

    file = info("DIFile", {"filename": "program.pfq", "directory": ""})
    unit = info(
        "DICompileUnit",
        {"language": token("DW_LANG_C11"), "file": file, "emissionKind": token("FullDebug"), "runtimeVersion": 0},
        is_distinct=True,
    )
    module.add_named_metadata("llvm.dbg.cu", unit)
    module.add_named_metadata("llvm.module.flags", [i32(2), "Debug Info Version", i32(3)])
    number = info("DIBasicType", {"name": "int", "size": 32, "encoding": token("DW_ATE_signed")})
    structure = info(
        "DICompositeType",
        {"tag": token("DW_TAG_structure_type"), "name": context, "size": 0, "elements": module.add_metadata([])},
    )
    pointer = info("DIDerivedType", {"tag": token("DW_TAG_pointer_type"), "baseType": structure, "size": 64})

    def function(name: str, line: int, parameters: dict[str, tuple[ir.Type, ir.DIValue]]) -> ir.IRBuilder:
        made = ir.Function(module, ir.FunctionType(i32, [type for type, _ in parameters.values()]), name)
        types = info("DISubroutineType", {"types": module.add_metadata([number, *(t for _, t in parameters.values())])})
        flags = "DISPFlagDefinition" + ("" if alone else " | DISPFlagLocalToUnit")
        fields = {"name": name, "file": file, "line": line, "unit": unit, "type": types, "spFlags": token(flags)}
        subprogram = info("DISubprogram", fields, is_distinct=True)
        if named:
            # A variable refers to its function and the function to its variables: one way by number.
            scope = token(subprogram.get_reference())
            variables = [
                info("DILocalVariable", {"name": n, "arg": i, "scope": scope, "file": file, "line": line, "type": t})
                for i, (n, (_, t)) in enumerate(parameters.items(), start=1)
            ]
            subprogram.operands = (*subprogram.operands, ("retainedNodes", module.add_metadata(variables)))
        made.set_metadata("dbg", subprogram)
        builder = ir.IRBuilder(made.append_basic_block())
        builder.debug_metadata = info("DILocation", {"line": line, "column": 1, "scope": subprogram})
        return builder

    group = function("group", 2, {"ctx": (ir.PointerType(), pointer), "x": (i32, number)})
    group.function.attributes.add("noinline")
    entry = function("entry", 1, {"ctx": (ir.PointerType(), pointer)})
    entry.function.section = "code"

    ctx, x = group.function.args
    word = group.load(group.gep(ctx, [i32(reads)], source_etype=ir.IntType(8)), typ=i32)
    group.ret(group.add(group.add(word, x), i32(1)))

    result = i32(0)
    for _ in range(calls):
        result = entry.call(group.function, [entry.function.args[0], result])
    entry.ret(result)
    text = "\n".join(line for line in str(module).splitlines() if not line.startswith("target "))
    return compile_ir(text)


def verified(elf: bytes, hook: Hook = Hook.XDP) -> tuple[int, int]:
    """(return value, instructions that the verifier looked at)"""
    with load(spec(elf, hook=hook), {}, "global") as program:
        return program.test_run(FRAME).retval, program.info().verified_insns


def test_a_global_function_is_verified_once() -> None:
    retval_1, insns_1 = verified(with_function(1))
    retval_20, insns_20 = verified(with_function(20))
    assert (retval_1, retval_20) == (1, 20)
    assert insns_20 - insns_1 <= 19 * 4, "each call costs its own instructions, not those of the function"

    _, static_1 = verified(with_function(1, alone=False))
    _, static_20 = verified(with_function(20, alone=False))
    assert static_20 - static_1 >= 19 * 6, "the same, verified at every call"


def test_a_global_function_takes_the_context_of_tc() -> None:
    assert verified(with_function(3, context="__sk_buff", reads=8), Hook.TC_INGRESS)[0] == 3


def test_the_context_is_known_by_its_name() -> None:
    with pytest.raises(VerifierError):
        verified(with_function(1, context="packet"))


def test_parameters_need_names() -> None:
    with pytest.raises(KernelRefusedError, match="Invalid arg#1"):
        verified(with_function(1, named=False))


# What a program is loaded as


@pytest.mark.parametrize(
    ("hook", "tcx", "frags", "type", "attach_type"),
    [
        (Hook.XDP, True, True, abi.ProgramType.XDP, abi.AttachType.XDP),
        (Hook.XDP, True, False, abi.ProgramType.XDP, abi.AttachType.XDP),
        (Hook.TC_INGRESS, True, True, abi.ProgramType.SCHED_CLS, abi.AttachType.TCX_INGRESS),
        (Hook.TC_EGRESS, True, True, abi.ProgramType.SCHED_CLS, abi.AttachType.TCX_EGRESS),
        (Hook.TC_INGRESS, False, True, abi.ProgramType.SCHED_CLS, abi.AttachType.NONE),
    ],
)
def test_V6_type_and_attach_type(
    hook: Hook, tcx: bool, frags: bool, type: abi.ProgramType, attach_type: abi.AttachType
) -> None:
    with load(spec(returning(2), hook=hook, frags=frags), {}, "a name of 20 chars", tcx=tcx) as program:
        info = program.info()
        assert (info.type, info.name, program.attach_type) == (type, b"a_name_of_20_ch", attach_type)
        assert program.test_run(FRAME).retval == 2
        assert program.frags == (frags and hook is Hook.XDP)


def test_a_frame_of_9000_bytes() -> None:
    frame = bytes(range(250)) * 36
    with load(spec(returning(2), frags=True), {}, "frags") as program:
        assert program.test_run(frame).data == frame


# Test runs


def test_a_test_run_gives_the_frame_back() -> None:
    elf = compile_ir("""
    define i32 @entry(ptr %ctx) section "code" {
      %cut = call i64 inttoptr (i64 65 to ptr)(ptr %ctx, i32 -20)
      ret i32 7
    }""")  # bpf_xdp_adjust_tail
    with load(spec(elf, frags=False), {}, "cut") as program:
        run = program.test_run(FRAME)
        assert (run.retval, run.data) == (7, FRAME[:40])
        assert program.test_run(FRAME, repeat=9).data == FRAME[:20], "it stays at least as long as the header"


def test_a_test_run_can_name_device_and_queue(netns: object) -> None:
    elf = compile_ir("""
    define i32 @entry(ptr %ctx) section "code" {
      %p = getelementptr i8, ptr %ctx, i64 12
      %ifindex = load i32, ptr %p
      ret i32 %ifindex
    }""")
    with load(spec(elf), {}, "where") as program:
        assert netns.call(program.test_run, FRAME, ifindex=1).retval == 1  # type: ignore[attr-defined]


def test_live_frames_run_as_often_as_told(loaded: ExitStack) -> None:
    counter = MapSpec("counter", MapType.ARRAY, 4, 8, 1, MMAPABLE, direct=True)
    runs = loaded.enter_context(Map.create(counter))
    program = loaded.enter_context(load(spec(returning(XDP_DROP, "counter"), counter), {"counter": runs}, "live"))
    program.test_run(FRAME, repeat=1000, live=True)
    program.test_run(FRAME, repeat=50, live=True, batch=7)
    assert struct.unpack("<Q", runs.lookup(0)) == (1050,)


def test_a_context_of_tc_can_be_given() -> None:
    elf = compile_ir("""
    define i32 @entry(ptr %ctx) section "code" {
      %p = getelementptr i8, ptr %ctx, i64 8
      %mark = load i32, ptr %p
      %more = add i32 %mark, 1
      store i32 %more, ptr %p
      ret i32 %mark
    }""")
    context = struct.pack("<3I", 0, 0, 41).ljust(184, b"\0")
    with load(spec(elf, hook=Hook.TC_INGRESS), {}, "mark") as program:
        run = program.test_run(FRAME, ctx=context)
        assert (run.retval, struct.unpack_from("<I", run.ctx, 8)) == (41, (42,))


def test_a_frame_of_13_bytes_is_refused() -> None:
    with load(spec(returning(2)), {}, "short") as program, pytest.raises(KernelRefusedError, match=r"13 bytes.*EINVAL"):
        program.test_run(FRAME[:13])


# Refusals


def test_a_refusal_names_the_place_in_the_users_program() -> None:
    text = "main =\n  ip >-> steer_flow\n"
    source = Source("bad.pfq", text)
    places = (Span(source, 9, 11), Span(source, 16, 26))
    with pytest.raises(VerifierError) as caught:
        load(spec(with_function(1, reads=5000), places=places), {}, "bad")
    assert caught.value.span == places[1]
    assert str(caught.value).startswith("bad.pfq:2:10: error[PFQ401]: the kernel refused the program:")
    assert "steer_flow" in str(caught.value)


@pytest.mark.slow
def test_a_program_that_is_too_large_to_check() -> None:
    """Before Linux 6.4 the end of the log, with the message, is cut off; so this checks the way round that too."""
    elf = compile_ir("""
    define i32 @entry(ptr %ctx) section "code" {
      br label %again
    again:
      %i = phi i64 [0, %0], [%next, %again]
      %next = add i64 %i, 1
      %word = load volatile i32, ptr %ctx
      %more = icmp ult i64 %next, 4000000
      br i1 %more, label %again, label %out
    out:
      ret i32 2
    }""")
    with pytest.raises(VerifierError, match="the program is too large: the kernel checks at most 1,000,000") as caught:
        load(spec(elf), {}, "large")
    assert "split it" in str(caught.value.hint)
    assert "processed 1000001 insns" in caught.value.log


def test_a_refused_program_leaves_nothing(loaded: ExitStack) -> None:
    before = list(sys.ids(sys.Kind.PROGRAM))
    with pytest.raises(VerifierError):
        load(spec(with_function(1, reads=5000)), {}, "bad")
    assert list(sys.ids(sys.Kind.PROGRAM)) == before


def test_a_closed_program_says_so() -> None:
    program: Program = load(spec(returning(2)), {}, "closed")
    program.close()
    program.close()
    with pytest.raises(ValueError, match="closed"):
        program.test_run(FRAME)
