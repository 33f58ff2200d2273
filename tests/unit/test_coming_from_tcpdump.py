"""The page that puts filter expressions and XDP programs beside programs of PFQ says what is true."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from support import examples_in_c, tcpdump
from support.documents import cells, pairs
from support.frames import CAPTURES, ethernet, ethernet_frames, ip4, ip6, tcp, udp

from pfq.cli import commands
from pfq.lang.compile import compile_text
from pfq.lang.interp import decide
from pfq.lang.packet import Packet

PAGE = examples_in_c.PAGE
TABLE = pairs(PAGE, "| tcpdump | pfq-lang |")

FILES = (
    "pcapplusplus-example.pcap",
    "pcapplusplus-DnsPackets.pcap",
    "pcapplusplus-VlanPackets.pcap",
    "pcapplusplus-gtp-u.pcap",
    "pcapplusplus-ip4_fragments.pcap",
    "pcapplusplus-ipv6.pcapng",
    "pcapplusplus-sip_resp.pcap",
    "tcpdump-dns_tcp.pcap",
    "tcpdump-geneve.pcap",
    "tcpdump-vxlan.pcap",
)
IP4, IP6, ARP = 0x0800, 0x86DD, 0x0806
HOST, OTHER = bytes((10, 0, 0, 6)), bytes((10, 0, 0, 138))
SOLICITATION = bytes((135, 0)) + bytes(22)
HANDMADE = (
    ethernet(bytes(28), ARP),
    ethernet(ip4(tcp(1024, 8080), 6, src=HOST), IP4),
    ethernet(ip4(tcp(1024, 443, flags=0x01), 6, src=HOST), IP4),
    ethernet(ip4(udp(53, 1024, bytes(200)), 17, src=OTHER), IP4),
    ethernet(ip4(bytes((8, 0)) + bytes(14), 1, src=HOST), IP4),
    ethernet(bytes((0x45, 0xB8)) + ip4(udp(), 17)[2:], IP4),
    ethernet(ip6(SOLICITATION, 58), IP6),
)


@cache
def frames() -> tuple[bytes, ...]:
    """Whole frames of real captures, at most 600 of each, and some made by hand."""
    real = (frame for name in FILES for frame in list(ethernet_frames(CAPTURES / name))[:600])
    return (*real, *HANDMADE)


def is_plain(frame: bytes) -> bool:
    """Neither tagged nor a fragment, and without extension headers: tcpdump sees it as PFQ does."""
    packet = Packet(frame)
    ip = packet.level(0).ip
    tagged = frame[12:14] in (b"\x81\x00", b"\x88\xa8")
    return not tagged and (ip is None or (not ip.fragment and (ip.version == 4 or frame[20] == ip.proto)))


def test_the_page_has_enough() -> None:
    assert len(TABLE) >= 40
    assert len(frames()) > 1000
    assert sum(map(is_plain, frames())) > 1000
    assert len(examples_in_c.PROGRAMS) == 8


@pytest.mark.parametrize(("expression", "text"), TABLE, ids=[expression for expression, _ in TABLE])
def test_a_program_does_what_the_expression_does(expression: str, text: str) -> None:
    program = compile_text(text)
    if (why := tcpdump.missing()) is not None:
        pytest.skip(why)
    every = "vlan" in expression or "ip[6:2]" in expression
    cases = [(frame, len(frame)) for frame in frames() if every or is_plain(frame)]
    wanted = tcpdump.accepted(cases, expression)
    assert {i for i, (frame, _) in enumerate(cases) if decide(program, frame).fanout} == wanted
    assert 0 < len(wanted) < len(cases)


@pytest.mark.parametrize("command", [row[1] for row in cells(PAGE, "| tcpdump | PFQ |")])
def test_commands_are_there(command: str) -> None:
    name, _, rest = command.removeprefix("pfq ").partition(" ")
    found = commands.get_command(None, name)  # type: ignore[arg-type]
    assert found is not None
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in rest.split() if word.startswith("-") and word != "->"} <= known
    if "'" in rest:
        compile_text(rest.split("'")[1])


def test_the_programs_in_c_compile(tmp_path: Path) -> None:
    if (why := examples_in_c.missing()) is not None:
        pytest.skip(why)
    assert examples_in_c.compiled(tmp_path).stat().st_size > 0
