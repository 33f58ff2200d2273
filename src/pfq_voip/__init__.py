"""Telephony over IP: predicates, filters and steering for RTP, RTCP and SIP.

PFQ finds this package like any other that adds primitives, by its entry point; nothing in PFQ imports it.

Media streams do not say what they are, so this is a guess from ports and the first bytes (RFC 3550):

- SIP is TCP or UDP on port 5060 or 5061;
- RTP and RTCP are UDP on two ports from 1024 on, version 2: on odd ports RTCP, when it is a sender report; on even
  ones RTP, when the payload type is one in use; when only one of them is odd, RTP.

20 bytes of layer 4 must be there. Only the first fragment of a datagram has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from functools import reduce
from typing import Final

from pfq.primitives import (
    TCP,
    UDP,
    Code,
    Emitter,
    Fanout,
    Machine,
    Prim,
    broadcast,
    folded,
    lower_broadcast,
    lower_proto,
    number,
    pair,
    raw,
    steer,
)

NEEDED_BYTES: Final = 20
"""A UDP header with an RTP header, or a TCP header."""
SIP_PORT: Final = 5060
"""The next one is SIP's too, over TLS."""
FIRST_MEDIA_PORT: Final = 1024
FLAGS_AT, TYPE_AT = 8, 9
"""Behind the UDP header: version and flags; RTP's marker and payload type, or RTCP's packet type."""
VERSION: Final = 2
SENDER_REPORT: Final = 200
PAYLOAD_TYPES: Final = ((0, 18), (25, 26), (28, 28), (31, 34), (96, 255))
"""Ranges of the type byte; from 128 on the marker is set."""


class Kind(Enum):
    """What a packet of a call is."""

    RTP = "media"
    RTCP = "a report about media"
    SIP = "signalling"


MEDIA: Final = (Kind.RTP, Kind.RTCP)


def kind_of(m: Machine) -> Kind | None:
    udp = m.headers.transport(UDP, NEEDED_BYTES)
    segment = udp or m.headers.transport(TCP, NEEDED_BYTES)
    if segment is None:
        return None
    ports = number(segment[0:2]), number(segment[2:4])
    if SIP_PORT in ports or SIP_PORT + 1 in ports:
        return Kind.SIP
    if udp is None or min(ports) < FIRST_MEDIA_PORT or udp[FLAGS_AT] >> 6 != VERSION:
        return None
    match ports[0] % 2 + ports[1] % 2:
        case 2:
            return Kind.RTCP if udp[TYPE_AT] == SENDER_REPORT else None
        case 0:
            return Kind.RTP if any(low <= udp[TYPE_AT] <= high for low, high in PAYLOAD_TYPES) else None
        case _:
            return Kind.RTP


def lower_kinds(e: Emitter) -> dict[Kind, Code]:
    """For each kind the truth whether the packet is of it."""
    ports = e.load("l4", 0, 2), e.load("l4", 2, 2)
    on_sip = e.either(*(e.compare("==", e.bits(port, e.number(0xFFFE)), e.number(SIP_PORT)) for port in ports))
    udp = lower_proto(e, UDP, NEEDED_BYTES)
    high = e.both(*(e.compare(">=", port, e.number(FIRST_MEDIA_PORT)) for port in ports))
    version = e.compare("==", e.shr(e.load("l4", FLAGS_AT, 1), 6), e.number(VERSION))
    media = e.both(e.both(udp, e.negated(on_sip)), e.both(high, version))
    both_odd, one_odd = is_odd(e, e.bits(*ports)), is_odd(e, e.xor(*ports))
    type_byte = e.load("l4", TYPE_AT, 1)
    stream = e.either(one_odd, e.both(e.negated(both_odd), in_ranges(e, type_byte)))
    report = e.both(both_odd, e.compare("==", type_byte, e.number(SENDER_REPORT)))
    return {
        Kind.RTP: e.both(media, stream),
        Kind.RTCP: e.both(media, report),
        Kind.SIP: e.both(e.either(udp, lower_proto(e, TCP, NEEDED_BYTES)), on_sip),
    }


def is_odd(e: Emitter, value: Code) -> Code:
    return e.compare("==", e.bits(value, e.number(1)), e.number(1))


def in_ranges(e: Emitter, type_byte: Code) -> Code:
    known = e.truth(False)
    for low, high in PAYLOAD_TYPES:
        above, below = e.compare(">=", type_byte, e.number(low)), e.compare("<=", type_byte, e.number(high))
        known = e.either(known, e.both(above, below))
    return known


def lower_any(e: Emitter, kinds: Iterable[Kind]) -> Code:
    found = lower_kinds(e)
    return reduce(e.either, (found[kind] for kind in kinds))


def call_hash(m: Machine) -> int:
    """The same for both directions, and for a stream on the ports (p, q) and its reports on (p + 1, q + 1), p, q even.

    Each port is read as it lies in memory and loses its lowest bit. In the reports one more bit differs in both
    ports; that cancels out.
    """
    ip, ports = m.headers.ip, m.headers.udp
    if ip is None or ports is None:
        return 0
    addresses = folded(ip.src + ip.dst)
    halves = addresses ^ addresses >> 16
    return halves ^ halves >> 8 ^ raw(ports[0:2]) >> 1 ^ raw(ports[2:4]) >> 1


def lower_call_hash(e: Emitter) -> Code:
    addresses = e.xor(e.address_hash("src"), e.address_hash("dst"))
    halves = e.xor(addresses, e.shr(addresses, 16))
    ports = e.xor(e.shr(e.load_raw("l4", 0, 2), 1), e.shr(e.load_raw("l4", 2, 2), 1))
    return e.xor(e.xor(halves, e.shr(halves, 8)), ports)


def steer_rtp(m: Machine) -> bool:
    return kind_of(m) in MEDIA and steer(m, call_hash(m))


def steer_voip(m: Machine) -> bool:
    return broadcast(m) if kind_of(m) is Kind.SIP else steer_rtp(m)


def lower_steer_rtp(e: Emitter) -> None:
    e.branch(lower_any(e, MEDIA), lambda: e.fanout(Fanout.STEER, lower_call_hash(e)), e.drop)


def lower_steer_voip(e: Emitter) -> None:
    e.branch(lower_any(e, [Kind.SIP]), lambda: lower_broadcast(e), lambda: lower_steer_rtp(e))


def rows(name: str, what: str, *kinds: Kind) -> tuple[Prim, Prim]:
    """Predicate and filter for some kinds."""
    return pair(f"is_{name}", name, "", what, lambda m: kind_of(m) in kinds, lambda e: lower_any(e, kinds))


ROWS: Final = (
    *rows("rtp", "looks like RTP", Kind.RTP),
    *rows("rtcp", "looks like an RTCP sender report", Kind.RTCP),
    *rows("sip", "is TCP or UDP on a port of SIP, 5060 or 5061", Kind.SIP),
    *rows("voip", "looks like RTP, RTCP or SIP", *Kind),
    Prim(
        name="steer_rtp",
        type="Packet -> Action Packet",
        doc="Steers an RTP stream, its RTCP reports and both directions of it to one end-point, and drops the rest.",
        run=steer_rtp,
        lower=lower_steer_rtp,
        example="steer_rtp",
        family="steering",
    ),
    Prim(
        name="steer_voip",
        type="Packet -> Action Packet",
        doc="Does as `steer_rtp` does with RTP and RTCP, sends SIP to all end-points, and drops the rest.",
        run=steer_voip,
        lower=lower_steer_voip,
        example="steer_voip",
        family="steering",
    ),
)
