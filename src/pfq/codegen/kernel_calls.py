"""What generated code may ask of the kernel: helper functions and maps, by their numbers and names."""

from __future__ import annotations

from enum import IntEnum

from llvmlite import ir

from pfq.codegen.llvm import I8, I32, I64, PTR


class Helper(IntEnum):
    """Numbers of `enum bpf_func_id` in linux/bpf.h."""

    MAP_LOOKUP_ELEM = 1
    KTIME_GET_NS = 5
    GET_SMP_PROCESSOR_ID = 8
    CLONE_REDIRECT = 13
    SKB_LOAD_BYTES = 26
    SKB_PULL_DATA = 39
    RINGBUF_OUTPUT = 130
    KTIME_GET_COARSE_NS = 160
    XDP_GET_BUFF_LEN = 188
    XDP_LOAD_BYTES = 189
    KTIME_GET_TAI_NS = 208


RB_FORCE_WAKEUP = 2
"""BPF_RB_FORCE_WAKEUP"""

_RESULTS: dict[Helper, ir.Type] = {Helper.MAP_LOOKUP_ELEM: PTR}


class KernelCalls:
    """Emits calls of helpers into one function."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.b = builder

    def call(self, helper: Helper, *args: ir.Value) -> ir.Value:
        """A helper's result: a pointer for a look-up, otherwise a 64-bit number."""
        signature = ir.FunctionType(_RESULTS.get(helper, I64), [arg.type for arg in args])
        function = I64(helper).inttoptr(signature.as_pointer())
        function.function_type = signature  # what llvmlite asks of anything that is called
        return self.b.call(function, args)

    def map(self, name: str) -> ir.Value:
        """A map, or the value of a map that is referred to directly."""
        module = self.b.module
        if name in module.globals:
            return module.globals[name]
        place = ir.GlobalVariable(module, I8, name)
        place.type = PTR
        return place

    def lookup(self, table: ir.Value, key: ir.Value, absent: ir.Block) -> ir.Value:
        """The value (or the inner map) under a 32-bit index; goes to `absent` when there is none."""
        # The slot is in the entry block: elsewhere it would be dynamic stack, which BPF has not.
        with self.b.goto_entry_block():
            slot = self.b.alloca(I32)
        slot.type = PTR
        self.b.store(key, slot, align=4)
        value = self.call(Helper.MAP_LOOKUP_ELEM, table, slot)
        present = self.b.append_basic_block("present")
        self.b.cbranch(self.b.icmp_unsigned("!=", value, PTR(None)), present, absent)
        self.b.position_at_end(present)
        return value

    def cpu(self) -> ir.Value:
        """The number of this CPU, as a 64-bit number."""
        return self.b.and_(self.call(Helper.GET_SMP_PROCESSOR_ID), I64(0xFFFFFFFF))

    def field(self, base: ir.Value, offset: int | ir.Value) -> ir.Value:
        at = I64(offset) if isinstance(offset, int) else offset
        return self.b.gep(base, [at], source_etype=I8)

    def load(self, base: ir.Value, offset: int, kind: ir.IntType) -> ir.Value:
        return self.b.load(self.field(base, offset), typ=kind, align=kind.width // 8)

    def store(self, value: ir.Value, base: ir.Value, offset: int) -> None:
        self.b.store(value, self.field(base, offset), align=value.type.width // 8)

    def add(self, base: ir.Value, offset: int, step: int = 1) -> None:
        """Adds to a 64-bit counter that only this CPU writes."""
        self.store(self.b.add(self.load(base, offset, I64), I64(step)), base, offset)

    def barrier(self) -> None:
        """LLVM keeps loads and stores on their side of this, and forgets what memory holds.

        On x86 that also orders stores as another CPU sees them.
        """
        empty = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", side_effect=True)
        self.b.call(empty, [])

    def within(self, value: ir.Value, least: int, most: int, fail: ir.Block) -> ir.Value:
        """The same number, which the verifier now knows to be in bounds; goes to `fail` when it is not.

        One comparison, because LLVM would join two to one from which Linux 6.1 and 6.12 learn nothing.
        """
        over = self.opaque(self.b.sub(value, I64(least)))
        within = self.b.append_basic_block("within")
        self.b.cbranch(self.b.icmp_unsigned("<=", over, I64(most - least)), within, fail)
        self.b.position_at_end(within)
        return self.b.add(over, I64(least))

    def opaque(self, value: ir.Value) -> ir.Value:
        """The same number; LLVM can no longer tell where it comes from."""
        same = ir.InlineAsm(ir.FunctionType(value.type, [value.type]), "", "=r,0", side_effect=True)
        return self.b.call(same, [value])


class HostCalls(KernelCalls):
    """Memory and numbers of this process, where no verifier looks: LLVM may know all of them."""

    def barrier(self) -> None:
        return

    def opaque(self, value: ir.Value) -> ir.Value:
        return value
