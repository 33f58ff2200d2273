"""Statements 18, 19, 21, 25 and 26, as far as they are about one program; `test_groups` has the rest."""

from __future__ import annotations

import json
from ipaddress import ip_network

import pytest
from hypothesis import given
from support.canonical import programs
from support.statements import Meanings, arp_frame, tcp_frame

from pfq.errors import RangeError
from pfq.lang import compile_text, from_json, to_json
from pfq.lang.prims import PRIMS
from pfq.lang.program import Program


@pytest.mark.agree
def test_s18_state_starts_at_0_for_every_packet(decide: Meanings) -> None:
    text = """when (has_state 0) (inc 0) >-> when (has_src_port 7) (put_state 4294967295)
        >-> when (has_state 4294967295) (inc 1)"""
    for port, counters in ((7, {0: 1, 1: 1}), (8, {0: 1}), (7, {0: 1, 1: 1})):
        action = decide(text, tcp_frame(ports=(port, 80)))
        assert (action.counters, action.state) == (counters, 2**32 - 1 if port == 7 else 0)


@pytest.mark.agree
def test_s19_marks_have_32_bits(decide: Meanings) -> None:
    marks = (1, 0xFFFF, 0x1_0005, 0x8000_0000, 0xFFFF_FFFF)
    text = " >-> ".join(f"mark {mark} >-> when (has_mark {mark}) (inc {n})" for n, mark in enumerate(marks))
    action = decide(f"{text} >-> mark 65541 >-> when (has_mark 5) drop", tcp_frame())
    assert (action.counters, action.mark) == (dict.fromkeys(range(len(marks)), 1), 65541)
    assert decide.passes("filter (has_mark 0)", tcp_frame())


def test_s21_there_are_64_counters() -> None:
    """The original ignores others with a diagnostic; here every argument out of range is refused."""
    compile_text("inc 0 >-> dec 63")
    for text in ("inc 64", "dec 64", "inc (-1)"):
        with pytest.raises(RangeError):
            compile_text(text)


TEN = (
    "unit",
    "ip >-> tcp >-> port 80 >-> steer_flow",
    "filter (is_ip .&&. (is_tcp .||. is_udp)) >-> inc 2",
    "when is_ip (ip >-> steer_p2p)",
    "unless is_ip (steer_link >-> mark 11)",
    "conditional is_ip steer_flow drop",
    "inv (addr 192.168.0.0/16) >-> steer_rrobin",
    "when (has_mark 42 .^^. is_icmp) broadcast",
    "l3_proto 0x0800 >-> l4_proto 17 >-> kernel",
    "vlan >-> vlan_id_filter [1, 2, 3] >-> steer_vlan >-> log_packet",
)
"""One for each thing that expressions of the original's default module are made of."""


@pytest.mark.agree
@pytest.mark.parametrize("text", TEN)
def test_s25_default_expressions_load(decide: Meanings, text: str) -> None:
    decide(text, tcp_frame())


@pytest.mark.agree
@pytest.mark.parametrize("count", range(3, 9))
def test_s25_alternatives_of_ip_load(decide: Meanings, count: int) -> None:
    text = f"par{count}{' ip' * count}"
    assert decide.passes(text, tcp_frame())
    assert not decide.passes(text, arp_frame())


@given(programs(PRIMS))
def test_s26_json_and_back_is_the_identity(program: Program) -> None:
    assert from_json(to_json(program)) == program


LENGTHS = {4: range(33), 6: range(0, 129, 8)}


@pytest.mark.parametrize(("version", "address"), [(4, "10.77.255.3"), (6, "2001:db8:ffff::3")])
def test_s26_prefixes_have_two_forms(version: int, address: str) -> None:
    """As text, and, IPv4 only, as a pair of address and length."""
    for length in LENGTHS[version]:
        program = compile_text(f"addr {address}/{length}")
        written = to_json(program)
        assert ("getNetworkPair" in written) is (version == 4)
        assert from_json(written) == program
        network = str(ip_network(f"{address}/{length}", strict=False))
        as_text = json.dumps([{"funIndex": 0, "funSymbol": "addr", "funArgs": [cidr(network)], "funLink": 1}])
        assert from_json(as_text) == program
        assert str(program) == f"addr {network}"


def cidr(text: str) -> dict[str, str]:
    return {"argType": "CIDR", "argValue": text}
