"""Properties have exactly these values, in host order, and are absent where their header is."""

from __future__ import annotations

import pytest
from support.frames import tcp, udp
from support.handmade import FRAMES, v4

from pfq.lang.interp import Machine
from pfq.lang.packet import Packet
from pfq.lang.prims import PRIMS, Kind
from pfq.lang.program import Call

VALUES: dict[str, dict[str, int | None]] = {
    "ip_tot_len": {"tcp4": 40, "tcp4 options": 80, "udp4": 28, "gre4": 40, "tcp4 two tags": 40, "tcp6": None},
    "ip_ttl": {"tcp4": 64, "tcp4 ttl 5": 5, "tcp4 later fragment": 64, "tcp6": None, "arp": None, "nothing": None},
    "tcp_source": {"tcp4": 1024, "tcp4 port 443": 443, "tcp6": 1024, "udp4": None, "tcp4 19 bytes": None},
    "tcp_dest": {"tcp4": 80, "tcp4 options": 80, "tcp6 nine extensions": None, "tcp4 later fragment": None},
    "udp_source": {"udp4": 1024, "udp6": 1024, "udp4 limited broadcast": 68, "tcp4": None, "udp4 7 bytes": None},
    "udp_dest": {"udp4": 53, "udp6": 53, "udp4 limited broadcast": 67, "tcp6": None, "icmp4": None},
}
CASES = [(name, frame, value) for name, values in VALUES.items() for frame, value in values.items()]


def value_of(name: str, frame: bytes) -> int | None:
    return Machine(Packet(frame)).value(Call(PRIMS[name]))


def test_all_properties_are_here() -> None:
    assert set(VALUES) == {prim.name for prim in PRIMS.values() if prim.kind is Kind.PROPERTY}


@pytest.mark.parametrize(("name", "frame", "value"), CASES, ids=[f"{name} of {frame}" for name, frame, _ in CASES])
def test_value(name: str, frame: str, value: int | None) -> None:
    assert value_of(name, FRAMES[frame]) == value


@pytest.mark.parametrize("port", [0, 1, 255, 256, 443, 32768, 65535])
def test_s36_ports_are_in_host_order(port: int) -> None:
    assert value_of("tcp_source", v4(tcp(port, 9))) == port
    assert value_of("tcp_dest", v4(tcp(9, port))) == port
    assert value_of("udp_source", v4(udp(port, 9), 17)) == port
    assert value_of("udp_dest", v4(udp(9, port), 17)) == port
