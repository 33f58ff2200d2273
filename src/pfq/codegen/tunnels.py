"""The code that finds the packet inside a tunnel; it says the same as `pfq.lang.tunnels`."""

from __future__ import annotations

from llvmlite import ir

from pfq.codegen.llvm import I1, I64
from pfq.codegen.reading import Reading, swapped
from pfq.lang.tunnels import (
    ETHERTYPE_ETHERNET,
    ETHERTYPE_IP4,
    ETHERTYPE_IP6,
    GENEVE_BYTES,
    GENEVE_OPTION_WORDS,
    GENEVE_PORT,
    GENEVE_VERSION,
    GRE,
    GRE_BYTES,
    GRE_CHECKSUM,
    GRE_KEY,
    GRE_ROUTING,
    GRE_SEQUENCE,
    GRE_VERSION,
    GTP_BYTES,
    GTP_EXTENDED,
    GTP_OPTIONAL,
    GTP_OPTIONAL_BYTES,
    GTP_PACKET,
    GTP_USER_PORT,
    GTP_VERSION_1,
    GTP_VERSION_AND_TYPE,
    IP6_IN_IP,
    IP_IN_IP,
    MAX_GTP_EXTENSIONS,
    UDP,
    UDP_BYTES,
    VXLAN_BYTES,
    VXLAN_HAS_ID,
    VXLAN_PORT,
)

INNER_KINDS = (ETHERTYPE_IP4, ETHERTYPE_IP6, ETHERTYPE_ETHERNET)


class TunnelCode(Reading):
    """Emits the way from one level to the next."""

    def emit(self, proto: ir.Value, l4: ir.Value, done: ir.Block) -> tuple[ir.Value, ir.Value]:
        """Goes on with (EtherType as loaded, offset) of what the packet carries; to `done` when it is no tunnel."""
        self.done = done
        self.arrivals: list[tuple[ir.Value, ir.Value, ir.Block]] = []
        self.found = self._new_block("carried")
        for number, read in (
            (IP_IN_IP, lambda: self._arrive(I64(swapped(ETHERTYPE_IP4)), l4)),
            (IP6_IN_IP, lambda: self._arrive(I64(swapped(ETHERTYPE_IP6)), l4)),
            (GRE, lambda: self._gre(l4)),
            (UDP, lambda: self._udp(l4)),
        ):
            self._in_case(self._is(proto, number), read)
        self.b.branch(done)
        self.b.position_at_end(self.found)
        kinds, offsets = self.b.phi(I64), self.b.phi(I64)
        for kind, offset, block in self.arrivals:
            kinds.add_incoming(kind, block)
            offsets.add_incoming(offset, block)
        return kinds, self.window.forget(self.b, offsets)

    def _in_case(self, cond: ir.Value, read: object) -> None:
        """Emits `read`, which ends its block, for the case; goes on with the other."""
        this, other = self._new_block("tunnel"), self._new_block("no_such_tunnel")
        self.b.cbranch(cond, this, other)
        self.b.position_at_end(this)
        assert callable(read)
        read()
        self.b.position_at_end(other)

    def _arrive(self, kind: ir.Value, offset: ir.Value) -> None:
        self.arrivals.append((kind, offset, self.b.block))
        self.b.branch(self.found)

    def _known_kind(self, kind: ir.Value) -> None:
        known = I1(0)
        for number in INNER_KINDS:
            known = self.b.or_(known, self._is(kind, swapped(number)))
        self._continue_if(known, self.done)

    def _no_bits(self, value: ir.Value, mask: int) -> None:
        self._continue_if(self._is(self.b.and_(value, I64(mask)), 0), self.done)

    def _gre(self, at: ir.Value) -> None:
        base = self.window.reach(self.b, at, GRE_BYTES, self.done)
        flags, kind = self._bytes(base, 0, 2), self._bytes(base, 2, 2)
        self._no_bits(flags, swapped(GRE_ROUTING | GRE_VERSION))
        self._known_kind(kind)
        size: ir.Value = I64(GRE_BYTES)
        for option in (GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE):
            bit = swapped(option).bit_length() - 1
            size = self.b.add(size, self.b.shl(self.b.and_(self.b.lshr(flags, I64(bit)), I64(1)), I64(2)))
        self._arrive(kind, self.b.add(at, size))

    def _udp(self, at: ir.Value) -> None:
        base = self.window.reach(self.b, at, UDP_BYTES, self.done)
        port, payload = self._bytes(base, 2, 2), self.b.add(at, I64(UDP_BYTES))
        for number, read in ((VXLAN_PORT, self._vxlan), (GENEVE_PORT, self._geneve), (GTP_USER_PORT, self._gtp)):
            self._in_case(self._is(port, swapped(number)), lambda read=read: read(payload))
        self.b.branch(self.done)

    def _vxlan(self, at: ir.Value) -> None:
        base = self.window.reach(self.b, at, VXLAN_BYTES, self.done)
        has_id = self.b.and_(self._bytes(base, 0, 1), I64(VXLAN_HAS_ID))
        self._continue_if(self.b.icmp_unsigned("!=", has_id, I64(0)), self.done)
        self._arrive(I64(swapped(ETHERTYPE_ETHERNET)), self.b.add(at, I64(VXLAN_BYTES)))

    def _geneve(self, at: ir.Value) -> None:
        base = self.window.reach(self.b, at, GENEVE_BYTES, self.done)
        first, kind = self._bytes(base, 0, 1), self._bytes(base, 2, 2)
        self._no_bits(first, GENEVE_VERSION)
        self._known_kind(kind)
        options = self.b.shl(self.b.and_(first, I64(GENEVE_OPTION_WORDS)), I64(2))
        self._arrive(kind, self.b.add(self.b.add(at, I64(GENEVE_BYTES)), options))

    def _gtp(self, at: ir.Value) -> None:
        base = self.window.reach(self.b, at, GTP_BYTES, self.done)
        flags = self._bytes(base, 0, 1)
        version = self.b.and_(flags, I64(GTP_VERSION_AND_TYPE))
        whole = self.b.and_(self._is(version, GTP_VERSION_1), self._is(self._bytes(base, 1, 1), GTP_PACKET))
        self._continue_if(whole, self.done)
        packet, optional = self._new_block("gtp_packet"), self._new_block("gtp_optional")
        start = self.b.add(at, I64(GTP_BYTES))
        plain = self.b.block
        self.b.cbranch(self._is(self.b.and_(flags, I64(GTP_OPTIONAL)), 0), packet, optional)
        self.b.position_at_end(optional)
        behind = self._gtp_extensions(flags, start)
        extended = self.b.block
        self.b.branch(packet)
        self.b.position_at_end(packet)
        offset = self.b.phi(I64)
        offset.add_incoming(start, plain)
        offset.add_incoming(behind, extended)
        at = self.window.forget(self.b, offset)
        version = self.b.lshr(self._bytes(self.window.reach(self.b, at, 1, self.done), 0, 1), I64(4))
        is_ip4, is_ip6 = self._is(version, 4), self._is(version, 6)
        self._continue_if(self.b.or_(is_ip4, is_ip6), self.done)
        self._arrive(self.b.select(is_ip4, I64(swapped(ETHERTYPE_IP4)), I64(swapped(ETHERTYPE_IP6))), at)

    def _gtp_extensions(self, flags: ir.Value, start: ir.Value) -> ir.Value:
        """Walks the extension headers; goes on behind them, at the offset that is the result."""
        base = self.window.reach(self.b, start, GTP_OPTIONAL_BYTES, self.done)
        extended = self.b.icmp_unsigned("!=", self.b.and_(flags, I64(GTP_EXTENDED)), I64(0))
        first = self.b.select(extended, self._bytes(base, 3, 1), I64(0))
        at = self.b.add(start, I64(GTP_OPTIONAL_BYTES))
        walk, header, end = (self._new_block(name) for name in ("gtp_walk", "gtp_extension", "gtp_end"))
        before = self.b.block
        self.b.branch(walk)
        self.b.position_at_end(walk)
        following, offset, steps = (self.b.phi(I64) for _ in range(3))
        for phi, value in ((following, first), (offset, at), (steps, I64(0))):
            phi.add_incoming(value, before)
        self.b.cbranch(self._is(following, 0), end, header)
        self.b.position_at_end(header)
        self._continue_if(self.b.icmp_unsigned("<", steps, I64(MAX_GTP_EXTENSIONS)), self.done)
        words = self._bytes(self.window.reach(self.b, offset, 1, self.done), 0, 1)
        self._continue_if(self.b.icmp_unsigned("!=", words, I64(0)), self.done)
        # Forgotten before it is reached: the verifier must see one number checked and used.
        last = self.window.forget(self.b, self.b.add(offset, self.b.sub(self.b.shl(words, I64(2)), I64(1))))
        base = self.window.reach(self.b, last, 1, self.done)
        block = self.b.block
        for phi, value in (
            (following, self._bytes(base, 0, 1)),
            (offset, self.b.add(last, I64(1))),
            (steps, self.b.add(steps, I64(1))),
        ):
            phi.add_incoming(value, block)
        self.b.branch(walk)
        self.b.position_at_end(end)
        return offset
