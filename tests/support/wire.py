"""Messages that clients might send: well-formed, odd, and broken."""

from __future__ import annotations

import random
from typing import Any

from pfq.daemon.calls.table import CALLS
from pfq.daemon.service import CALLS as MODULES
from pfq.wire.messages import encode

NAMES = tuple(CALLS)
assert MODULES, "they have filled the table"

KEYS = tuple(sorted({each for call in CALLS.values() for each in call.arguments}))
EDGES = (0, 1, -1, 63, 64, 255, 65535, 65536, 2**31 - 1, 2**32, 2**53, 2**53 + 1, 2**63, 2**64 - 1, -(2**63))
TEXTS = (
    "",
    "lo",
    "shared",
    "private",
    "x" * 255,
    "a/b",
    "..",
    "../../etc/passwd",
    "a\0b",
    "a\nb",
    "\u202eevil",
    "%s%n",
    "unit",
    "drop",
    "ip >-> steer_flow",
    "tcp port 80",
    "ns",
    "1' OR 1=1",
)


def random_value(chance: random.Random, depth: int = 3) -> Any:
    match chance.randrange(9 if depth else 7):
        case 0:
            return None
        case 1:
            return chance.random() < 0.5
        case 2 | 3:
            return chance.choice(EDGES)
        case 4 | 5:
            return chance.choice(TEXTS)
        case 6:
            return chance.randrange(8)
        case 7:
            return [random_value(chance, depth - 1) for _ in range(chance.randrange(4))]
        case _:
            return {chance.choice(KEYS): random_value(chance, depth - 1) for _ in range(chance.randrange(3))}


LIKELY: dict[str, tuple[Any, ...]] = {
    "endpoint": tuple(range(4)),
    "group": (7, 8, 9, 10, None),
    "device": ("pfqt-b", "pfqt-b", "lo"),
    "slots": (2, 64, 256, None),
    "snaplen": (64, 200, None),
    "clock": ("ns", "coarse", "none"),
    "weight": (1, 2, 8),
    "classes": (1, 6, 1 << 63),
    "policy": ("shared", "private", "restricted", None),
    "text": ("unit", "ip >-> steer_flow", "inc 1", 'log_msg "x"', "nonsense", None),
    "json": (None,),
    "name": ("a.pfq",),
    "expression": ("tcp", "udp port 53", None),
    "instructions": (None, [[6, 0, 0, 1]]),
    "vlans": (None, [0, 5], [-1]),
    "set": (None, 5),
    "reset": (None, 5),
    "on": (True, False),
    "queue": (None, 0),
    "direction": ("in", "out"),
    "binding": ("tap",),
    "hook": ("auto", "tcx"),
    "promiscuous": (False,),
    "egress": (None,),
    "enabled": (True, False),
}


def random_request(chance: random.Random) -> dict[str, Any]:
    """A call, often with some of its own arguments."""
    name = chance.choice(NAMES) if chance.random() < 0.9 else chance.choice(TEXTS)
    known = tuple(CALLS[name].arguments) if name in CALLS and chance.random() < 0.9 else KEYS
    found = {"id": chance.randrange(1 << 20), "call": name}
    for key in known:
        if key in LIKELY and chance.random() < 0.9:
            found[key] = chance.choice(LIKELY[key])
        elif chance.random() < 0.5:
            found[key] = random_value(chance)
    return found


def random_message(chance: random.Random) -> bytes:
    return encode(random_request(chance))


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, taken away, put in or repeated; now and then none."""
    found = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(4):
            case 0:
                found[at : at + 1] = chance.randbytes(1)
            case 1:
                del found[at : at + chance.randrange(1, 9)]
            case 2:
                found[at:at] = chance.choice((b'"', b"{", b"[", b"\\", b",", b"\xff", b"1e9", b"null", b"\\ud800"))
            case _:
                found[at:at] = found[at : at + chance.randrange(1, 40)]
    return bytes(found)
