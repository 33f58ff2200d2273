"""Names that stand for constants: the flow keys of `steer_key`, and the two truths."""

from __future__ import annotations

from typing import Final

from pfq.lang.types import BOOL, WORD64, Con

_BITS = {
    "eth_type": 0,
    "eth_src": 1,
    "eth_dst": 2,
    "ip_src": 3,
    "ip_dst": 4,
    "ip_proto": 5,
    "ip_ecn": 6,
    "ip_dscp": 7,
    "src_port": 9,
    "dst_port": 10,
    "icmp_type": 11,
    "icmp_code": 12,
}
_TUPLES = {
    "3tuple": ("ip_src", "ip_dst", "ip_proto"),
    "5tuple": ("ip_src", "ip_dst", "ip_proto", "src_port", "dst_port"),
}

CONSTANTS: Final[dict[str, tuple[Con, int]]] = {
    "True": (BOOL, 1),
    "False": (BOOL, 0),
    **{f"key_{name}": (WORD64, 1 << bit) for name, bit in _BITS.items()},
    **{f"key_{name}": (WORD64, sum(1 << _BITS[part] for part in parts)) for name, parts in _TUPLES.items()},
}
"""Type and value by name."""
