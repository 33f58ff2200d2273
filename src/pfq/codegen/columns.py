"""Reading the headers of a run of packets: a function of this process that leaves `HEADERS` for each record.

What a field means is what the primitive of that name means: the code is made by the same lowering functions, on
the same reading of headers.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from threading import Lock
from typing import Final

import llvmlite.binding as binding
from llvmlite import ir

from pfq.codegen.arithmetic import Surroundings
from pfq.codegen.data import DataPlan
from pfq.codegen.emitter import CodeEmitter
from pfq.codegen.facts import Facts, L3Offset, L4Offset
from pfq.codegen.headers import HeaderCode
from pfq.codegen.layouts import MAX_FACTS
from pfq.codegen.llvm import I8, I16, I64, PTR, host_machine, new_module, optimised, stack_slot
from pfq.codegen.native import HostWindow
from pfq.codegen.places import Nowhere
from pfq.codegen.reading import swapped
from pfq.lang.packet import HEADER_WINDOW, TCP, UDP, VLAN_TYPES
from pfq.lang.prims import PRIMS, headers, properties, steering
from pfq.layout import (
    HAS_ETHER_TYPE,
    HAS_FLOW_HASH,
    HAS_PORTS,
    HAS_PROTO,
    HAS_TAG,
    HEADERS,
    HEADERS_BYTES,
    RECORD,
    RECORD_BYTES,
    Member,
)

ENTRY: Final = "read_headers"
VLAN_ID: Final = 0xFFF
IP4_PREFIX: Final = 0xFFFF0000
"""Bytes 8 to 11 of ::ffff:a.b.c.d, as little endian."""

_FIELDS: Final = {member.name: member for member in HEADERS}
_RECORD: Final = {member.name: member for member in RECORD}


@dataclass
class RecordWindow(HostWindow):
    """The frame of a record; `context` is the record."""

    def stripped_tag(self, b: ir.IRBuilder) -> tuple[ir.Value, ir.Value]:
        tci = loaded(b, self.context, _RECORD["vlan_tci"])
        there = b.icmp_unsigned("!=", tci, I64(0))
        return b.select(there, b.or_(tci, I64(1 << 16)), I64(0)), I64(swapped(VLAN_TYPES[0]))


def loaded(b: ir.IRBuilder, base: ir.Value, member: Member) -> ir.Value:
    """A member of a structure, as a 64-bit number."""
    place = b.gep(base, [I64(member.offset)], source_etype=I8)
    value = b.load(place, typ=ir.IntType(member.bits), align=member.bits // 8)
    return value if member.bits == 64 else b.zext(value, I64)


def columns_module() -> ir.Module:
    """The function `void read_headers(records, u64 count, headers)`."""
    module = new_module("pfq_columns", host_machine())
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR, I64, PTR]), ENTRY)
    for pointer in (0, 2):
        function.args[pointer].add_attribute("noalias")
    records, count, out = function.args
    start, loop, body, end = (function.append_basic_block(name) for name in ("start", "loop", "body", "end"))
    b = ir.IRBuilder(start)
    slots = stack_slot(b, ir.ArrayType(I64, MAX_FACTS))
    b.branch(loop)

    b.position_at_end(loop)
    index = b.phi(I64)
    index.add_incoming(I64(0), start)
    b.cbranch(b.icmp_unsigned("<", index, count), body, end)
    ir.IRBuilder(end).ret_void()

    decide = function.append_basic_block("decide")
    at_decide = ir.IRBuilder(decide)
    b.position_at_end(body)
    record = b.gep(records, [b.mul(index, I64(RECORD_BYTES))], source_etype=I8)
    row = b.gep(out, [b.mul(index, I64(HEADERS_BYTES))], source_etype=I8)
    facts = Facts()
    Row(at_decide, facts, slots, row).emit()
    index.add_incoming(at_decide.add(index, I64(1)), at_decide.block)
    at_decide.branch(loop)
    HeaderCode(b, facts, slots, _window(b, record)).emit()
    b.branch(decide)
    return module


def _window(b: ir.IRBuilder, record: ir.Value) -> RecordWindow:
    frame = b.inttoptr(loaded(b, record, _RECORD["data"]), PTR)
    frame.type = PTR
    captured = loaded(b, record, _RECORD["caplen"])
    short = b.icmp_unsigned("<", captured, I64(HEADER_WINDOW))
    return RecordWindow(frame, b.select(short, captured, I64(HEADER_WINDOW)), record, frame)


class Row:
    """Emits the writing of one packet's `HEADERS` from its facts."""

    def __init__(self, b: ir.IRBuilder, facts: Facts, slots: ir.Value, row: ir.Value) -> None:
        self.b = b
        self.row = row
        self.e = CodeEmitter(b, facts, DataPlan(), Nowhere(), Surroundings(row, slots, row, row, row, I64(0)))
        self.has: ir.Value = I64(0)

    def emit(self) -> None:
        """All fields; 0 where the packet does not have one."""
        e = self.e
        for side in ("src", "dst"):
            self._address(side)
        version = e.select(e.is_ip(4), e.number(4), e.select(e.is_ip(6), e.number(6), e.number(0)))
        self._put("ip_version", version)
        self._put("flow_hash", self._note(HAS_FLOW_HASH, *self._flow_hash()))
        self._put("ether_type", self._note(HAS_ETHER_TYPE, *e.ethertype()))
        self._put("proto", self._note(HAS_PROTO, *e.l4_proto()))
        tci = self._note(HAS_TAG, *e.tag())
        self._put("vlan_tci", tci)
        self._put("vlan", self.b.and_(tci, I64(VLAN_ID)))
        self._put("ttl", self._property("ip_hop"))
        self._put("tos", properties.lower_traffic_class(e))
        self._put("tcp_flags", self._property("tcp_flags"))
        self._put("is_fragment", self.b.zext(e.is_fragment(), I64))
        self._transport()
        self._store(self.has, _FIELDS["has"].offset, I16)  # and the byte behind it, the last one

    def _transport(self) -> None:
        e = self.e
        flow = headers.lower_flow(e)
        for name, offset in (("src_port", 0), ("dst_port", 2)):
            self._put(name, e.select(flow, e.load("l4", offset, 2), e.number(0)))
        self._note(HAS_PORTS, flow, e.number(0))
        self._put("payload_len", self._property("payload_len"))
        l3, to_l4 = e._fact(L3Offset()), e._fact(L4Offset())
        l4 = e.select(e.compare("!=", to_l4, e.number(0)), e.add(l3, to_l4), e.number(0))
        own = e.select(
            headers.lower_proto(e, TCP, headers.TCP_BYTES),
            properties.lower_tcp_header_length(e),
            e.number(headers.UDP_BYTES),
        )
        self._put("l3_offset", l3)
        self._put("l4_offset", l4)
        self._put("payload_offset", e.select(flow, e.add(l4, own), e.number(0)))

    def _address(self, side: str) -> None:
        """The address in two words, in the order in which it lies in memory."""
        e = self.e
        at = {"src": (12, 8), "dst": (16, 24)}[side]
        four = e.or_bits(e.shl(e.load_raw("ip4", at[0], 4), 32), e.number(IP4_PREFIX))
        low = e.select(e.is_ip(4), four, e.load_raw("ip6", at[1] + 8, 8))
        for offset, word in ((0, e.load_raw("ip6", at[1], 8)), (8, low)):
            self._store(word, _FIELDS[side].offset + offset, I64)

    def _flow_hash(self) -> tuple[ir.Value, ir.Value]:
        """What `steer_flow` steers by, as a property."""
        e = self.e
        shown = e.both(
            e.either(*(e.is_transport(proto, steering.PORTS_BYTES) for proto in (TCP, UDP))),
            e.negated(e.is_fragment()),
        )
        addresses = steering.lower_addresses(e)
        ports = e.xor(e.load_raw("l4", 0, 2), e.load_raw("l4", 2, 2))
        alone = e.both(steering.any_ip(e), e.negated(steering.lower_has_ports(e)))
        return e.either(shown, alone), e.select(shown, e.xor(addresses, ports), addresses)

    def _property(self, name: str) -> ir.Value:
        present, value = PRIMS[name].lower(self.e)
        return self.e.select(present, value, I64(0))

    def _note(self, bit: int, present: ir.Value, value: ir.Value) -> ir.Value:
        """The value, 0 when it is not there; its bit says whether it is."""
        self.has = self.b.or_(self.has, self.b.select(present, I64(bit), I64(0)))
        return self.e.select(present, value, I64(0))

    def _put(self, name: str, value: ir.Value) -> None:
        self._store(value, _FIELDS[name].offset, ir.IntType(_FIELDS[name].bits))

    def _store(self, value: ir.Value, offset: int, kind: ir.IntType) -> None:
        place = self.b.gep(self.row, [I64(offset)], source_etype=I8)
        number = value if kind == I64 else self.b.trunc(value, kind)
        self.b.store(number, place, align=kind.width // 8)


class HeaderReader:
    """The function, compiled for this machine; calling it is safe in several threads, which it does not hold up."""

    def __init__(self) -> None:
        machine = host_machine()
        self._engine = binding.create_mcjit_compiler(optimised(columns_module(), machine), machine)
        self._engine.finalize_object()
        signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p)
        self._function = signature(self._engine.get_function_address(ENTRY))

    def read(self, records: int, count: int, out: int) -> None:
        """Fills `count` `HEADERS` at an address from as many records at another."""
        self._function(records, count, out)


_lock = Lock()
_reader: HeaderReader | None = None


def header_reader() -> HeaderReader:
    """The one of this process, compiled when it is first asked for."""
    global _reader
    with _lock:
        if _reader is None:
            _reader = HeaderReader()
        return _reader
