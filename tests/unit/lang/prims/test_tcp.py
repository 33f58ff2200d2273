"""Predicates on the TCP flags."""

from __future__ import annotations

import pytest
from support.frames import tcp, udp
from support.handmade import FRAMES, ask, passed, v4, v6

from pfq.lang.prims.tcp import ROWS

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))

NAMES = ("is_syn", "is_synack", "is_fin", "is_rst")
CASES = [
    (0, set()),
    (SYN, {"is_syn"}),
    (SYN | ECE | CWR, {"is_syn"}),
    (SYN | ACK, {"is_synack"}),
    (SYN | ACK | ECE, {"is_synack"}),
    (ACK, set()),
    (PSH | ACK, set()),
    (FIN, {"is_fin"}),
    (FIN | ACK, {"is_fin"}),
    (FIN | PSH | ACK, {"is_fin"}),
    (RST, {"is_rst"}),
    (RST | ACK, {"is_rst"}),
    (SYN | FIN, {"is_syn", "is_fin"}),
    (SYN | RST, {"is_syn", "is_rst"}),
    (URG | ECE | CWR, set()),
    (0xFF, {"is_synack", "is_fin", "is_rst"}),
]


@pytest.mark.parametrize(("flags", "wanted"), CASES)
def test_flags(flags: int, wanted: set[str]) -> None:
    for frame in (v4(tcp(flags=flags)), v4(tcp(flags=flags), options=b"\1" * 12), v6(tcp(flags=flags))):
        assert {name for name in NAMES if passed(f"filter {name}", frame)} == wanted


@pytest.mark.parametrize("name", NAMES)
def test_only_tcp_with_its_whole_header_has_flags(name: str) -> None:
    for flags in (SYN, SYN | ACK, FIN, RST, 0xFF):
        segment = tcp(flags=flags)
        assert not ask(name, v4(segment[:19]))
        assert not ask(name, v4(segment, 17))
        assert not ask(name, v4(segment, parts=1))
        assert not ask(name, v6(segment, chain=[(44, 0, 8)]))
        assert not ask(name, v6(segment, chain=[(60, 0, 0)] * 9))
        assert not ask(name, v4(v4(segment)[14:], 4))
    for frame in ("nothing", "runt", "arp", "udp4", "icmp6"):
        assert not ask(name, FRAMES[frame])
    assert not ask(name, v4(udp(payload=b"\xff" * 30), 17))


def test_inside_a_tunnel_the_inner_flags_count() -> None:
    assert ask("is_syn", v4(v4(tcp(flags=SYN))[14:], 4), level=1)


def test_all_rows_are_tested_here() -> None:
    assert {prim.name for prim in ROWS} == set(NAMES)
