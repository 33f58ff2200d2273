"""Steering by a flow key, and by bytes anywhere in the frame."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import xor
from typing import Final

from pfq.lang.action import WORD32, Fanout
from pfq.lang.constants import CONSTANTS
from pfq.lang.interp import Machine
from pfq.lang.packet import HEADER_WINDOW
from pfq.lang.prims.emitter import Code, Emitter
from pfq.lang.prims.fields import HALVES, Field, check_key, lower_values, values
from pfq.lang.prims.steering import double, raw, row, steer
from pfq.lang.prims.table import Prim

FACTOR: Final = 33
MAC_WIDTH, WORD_BITS = 48, 16
LONGEST_FIELD: Final = 4


def bits_of(name: str) -> int:
    return CONSTANTS[f"key_{name}"][1]


XORED: Final = {
    bits_of("3tuple"): bits_of("3tuple"),
    bits_of("5tuple"): bits_of("5tuple") & ~bits_of("ip_proto"),
}
"""Keys that have a simpler hash, the XOR of some of their fields, as in `steer_p2p` and `steer_flow`."""


def key_hash(key: int, found: dict[Field, int]) -> int:
    if key in XORED:
        return reduce(xor, (value for field, value in found.items() if XORED[key] & field.bit))
    result = 0
    for half in HALVES:
        each = int(half != "")
        for word in (word for field, value in found.items() if field.half == half for word in words(field, value)):
            each = each * FACTOR + word
        result ^= each
    return result & WORD32


def words(field: Field, value: int) -> Iterator[int]:
    """The numbers that a field adds to a hash: three for a hardware address, one for all others."""
    if field.width < MAC_WIDTH:
        yield value
    else:
        yield from (value >> start & 0xFFFF for start in range(0, MAC_WIDTH, WORD_BITS))


def lower_key_hash(e: Emitter, key: int, found: dict[Field, Code]) -> Code:
    if key in XORED:
        return reduce(e.xor, (value for field, value in found.items() if XORED[key] & field.bit))
    result = e.number(0)
    for half in HALVES:
        each = e.number(int(half != ""))
        for field, value in found.items():
            if field.half == half:
                for word in lower_words(e, field, value):
                    each = e.add(e.mul(each, e.number(FACTOR)), word)
        result = e.xor(result, each)
    return result


def lower_words(e: Emitter, field: Field, value: Code) -> Iterator[Code]:
    if field.width < MAC_WIDTH:
        yield value
    else:
        yield from (e.bits(e.shr(value, start), e.number(0xFFFF)) for start in range(0, MAC_WIDTH, WORD_BITS))


def steer_key(m: Machine, key: int) -> bool:
    found = values(m, key)
    return found is not None and steer(m, key_hash(key, found))


def lower_steer_key(e: Emitter, key: int) -> None:
    present, found = lower_values(e, key)
    e.branch(present, lambda: e.fanout(Fanout.STEER, lower_key_hash(e, key, found)), e.drop)


def check_field(*arguments: int) -> str | None:
    """Checks offsets and, last, the size of a field or two."""
    *offsets, size = arguments
    if not 1 <= size <= LONGEST_FIELD:
        return f"a field has 1 to {LONGEST_FIELD} bytes, not {size}"
    last = max(offsets) + size
    if last > HEADER_WINDOW:
        return f"the field ends {last} bytes into the frame: programs see the first {HEADER_WINDOW}"
    return None


def steer_field(m: Machine, offset: int, size: int) -> bool:
    found = m.packet.wire(offset, size)
    return found is not None and steer(m, raw(found))


def two_fields(m: Machine, first: int, second: int, size: int) -> tuple[int, int] | None:
    a, b = m.packet.wire(first, size), m.packet.wire(second, size)
    return None if a is None or b is None else (raw(a), raw(b))


def steer_field_symmetric(m: Machine, first: int, second: int, size: int) -> bool:
    found = two_fields(m, first, second, size)
    return found is not None and steer(m, found[0] ^ found[1])


def double_steer_field(m: Machine, first: int, second: int, size: int) -> bool:
    found = two_fields(m, first, second, size)
    return found is not None and double(m, *found)


def lower_field(e: Emitter, offset: int, size: int) -> None:
    present, field = e.wire_raw(offset, size)
    e.branch(present, lambda: e.fanout(Fanout.STEER, field), e.drop)


def lower_symmetric(e: Emitter, first: int, second: int, size: int) -> None:
    (present, field), (both_present, other) = e.wire_raw(first, size), e.wire_raw(second, size)
    e.branch(e.both(present, both_present), lambda: e.fanout(Fanout.STEER, e.xor(field, other)), e.drop)


def lower_double_field(e: Emitter, first: int, second: int, size: int) -> None:
    (present, field), (both_present, other) = e.wire_raw(first, size), e.wire_raw(second, size)
    e.branch(e.both(present, both_present), lambda: e.fanout(Fanout.DOUBLE, field, other), e.drop)


ROWS: tuple[Prim, ...] = (
    row(
        "steer_key",
        "Word64 -> ",
        "Steers by the header fields of a flow key, both directions alike when it has both ends, and drops packets "
        "that lack one of the fields.",
        steer_key,
        lower_steer_key,
        "steer_key (key_ip_src <> key_ip_dst)",
        check=check_key,
    ),
    row(
        "steer_field",
        "Word32 -> Word32 -> ",
        "Steers by the bytes of the frame from an offset on, 1 to 4 of them, and drops frames without them.",
        steer_field,
        lower_field,
        "steer_field 30 2",
        check=check_field,
    ),
    row(
        "steer_field_symmetric",
        "Word32 -> Word32 -> Word32 -> ",
        "Steers by the bytes at two offsets, the same number of them, so that frames which have them exchanged "
        "stay together, and drops frames without them.",
        steer_field_symmetric,
        lower_symmetric,
        "steer_field_symmetric 26 30 4",
        check=check_field,
    ),
    row(
        "double_steer_field",
        "Word32 -> Word32 -> Word32 -> ",
        "Steers to the end-points of the bytes at two offsets, the same number of them, and drops frames without them.",
        double_steer_field,
        lower_double_field,
        "double_steer_field 26 30 4",
        check=check_field,
    ),
)
