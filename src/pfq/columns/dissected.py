"""Packets as scapy's."""

from __future__ import annotations

from typing import Any

NANOSECONDS = 10**9


def dissected(record: Any, data: bytes) -> Any:
    """A packet of scapy from a record and its bytes, as scapy's own reader of capture files makes it."""
    from scapy.config import conf
    from scapy.layers import inet, inet6, l2, ppp  # noqa: F401  (register themselves by being imported)
    from scapy.packet import Raw
    from scapy.utils import EDecimal

    kind = conf.l2types.num2layer.get(int(record["link_type"]), Raw)
    packet = kind(data)
    packet.time = EDecimal(int(record["ts_ns"])) / NANOSECONDS
    packet.wirelen = int(record["len"])
    return packet
