"""The table of primitives is whole: every row can be understood, compiled and run."""

from __future__ import annotations

import re

import pytest
from support.handmade import FRAMES
from support.programs import EVERY_PRIMITIVE

from pfq.lang.build import TYPE_OF_KIND
from pfq.lang.compile import compile_text
from pfq.lang.interp import decide
from pfq.lang.prims import PRIMS, Kind, Prim, Table
from pfq.lang.program import calls_of
from pfq.lang.typeparser import type_of
from pfq.lang.types import parameters

ROWS = [pytest.param(prim, id=prim.name) for prim in PRIMS.values()]

ORIGINAL = (
    (
        24,
        """unit ip udp tcp icmp flow vlan no_frag no_more_frag port src_port dst_port addr src_addr dst_addr l3_proto
        l4_proto filter mac_broadcast mac_multicast ip_broadcast ip_multicast ip_host incoming_host""",
    ),
    (13, "drop broadcast classify kernel detour kernel_if detour_if forward bridge tee tap link forwardIO"),
    (
        16,
        """steer_rrobin steer_rss steer_to steer_link steer_local_link double_steer_mac steer_vlan steer_p2p
        double_steer_ip steer_local_ip steer_local_net steer_flow steer_field steer_field_symmetric double_steer_field
        steer_key""",
    ),
    (6, "bloom bloom_src bloom_dst bloom_filter bloom_src_filter bloom_dst_filter"),
    (14, "when unless conditional inv par par3 par4 par5 par6 par7 par8 shift src dst"),
    (2, "vlan_id vlan_id_filter"),
    (
        8 + 8,
        """inc dec mark put_state log_msg log_buff log_packet trace dummy_int dummy_ints dummy_ip dummy_ips
        dummy_cidr dummy_cidrs dummy_string dummy_strings""",
    ),
    (
        34,
        """is_ip is_udp is_tcp is_icmp is_flow is_l3_proto is_l4_proto is_frag is_first_frag is_more_frag has_port
        has_src_port has_dst_port has_addr has_src_addr has_dst_addr has_vlan has_vid has_mark has_state is_broadcast
        is_multicast is_ip_broadcast is_ip_multicast is_ip_host is_incoming_host less less_eq greater greater_eq equal
        not_equal any_bit all_bit""",
    ),
    (4, "or and xor not"),
    (
        15,
        """ip_tos ip_tot_len ip_id ip_frag ip_ttl tcp_source tcp_dest tcp_hdrlen udp_source udp_dest udp_len icmp_type
        icmp_code get_mark get_state""",
    ),
    (10, "is_rtp is_rtcp is_sip is_voip rtp rtcp sip voip steer_rtp steer_voip"),
    (7, "gtp gtp_cp gtp_up is_gtp is_gtp_cp is_gtp_up steer_gtp_usr"),
    (
        11,
        """is_eth_pup is_eth_sprite is_eth_ip is_eth_arp is_eth_revarp is_eth_at is_eth_aarp is_eth_vlan is_eth_ipx
        is_eth_ipv6 is_eth_loopback""",
    ),
)
"""The names of the original PFQ, by family, with the number that its own tables have."""

NEW = """
ip6 is_ip6 ip6_flow_label ip_hop ip_dscp ip_ecn icmp6 is_icmp6 is_arp tcp_flags is_syn is_synack is_fin is_rst
payload_len pkt_len addr_in src_addr_in dst_addr_in sample limit flow_get flow_put flow_inc keep bpf
is_later_frag no_later_frag
"""


def test_these_names_are_there() -> None:
    assert all(len(names.split()) == number for number, names in ORIGINAL)
    assert sorted(PRIMS.names()) == sorted(" ".join([*(names for _, names in ORIGINAL), NEW]).split())


@pytest.mark.parametrize("prim", ROWS)
def test_the_meaning_is_one_sentence(prim: Prim) -> None:
    assert re.fullmatch(r"[A-Z][^\n]*[A-Za-z0-9)`]\.", prim.doc)
    assert prim.family


@pytest.mark.parametrize("prim", ROWS)
def test_the_type_can_be_read_and_says_the_kind(prim: Prim) -> None:
    _, result = parameters(type_of(prim.type))
    assert result == TYPE_OF_KIND[prim.kind]


@pytest.mark.parametrize("prim", ROWS)
def test_the_example_is_a_program_that_uses_it(prim: Prim) -> None:
    program = compile_text(prim.example)
    if prim.name != "unit":
        assert prim in {call.prim for call in calls_of(program.main)}
    decide(program, FRAMES["tcp4"])


@pytest.mark.parametrize("prim", ROWS)
def test_it_has_a_meaning_for_every_frame(prim: Prim) -> None:
    for frame in FRAMES.values():
        decide(EVERY_PRIMITIVE[prim.name], frame)


def test_aliases_find_the_same_row() -> None:
    assert PRIMS["keep"] is PRIMS["filter"]
    for prim in PRIMS.values():
        for alias in prim.aliases:
            assert PRIMS[alias] is prim
    assert len(PRIMS.names()) == len(set(PRIMS.names())) == len(PRIMS) + sum(len(p.aliases) for p in PRIMS.values())


def test_iteration_gives_no_alias() -> None:
    assert "keep" not in list(PRIMS)
    assert "keep" in PRIMS


def test_an_unknown_name_is_no_row() -> None:
    with pytest.raises(KeyError):
        PRIMS["steer_flwo"]
    assert "steer_flwo" not in PRIMS


def row(name: str, *aliases: str, type: str = "Packet -> Bool") -> Prim:
    return Prim(name=name, type=type, doc="True.", run=bool, lower=bool, example=name, aliases=aliases)


@pytest.mark.parametrize("second", [row("a"), row("b"), row("c", "a"), row("c", "b")])
def test_a_name_is_taken_once(second: Prim) -> None:
    table = Table()
    table.add(row("a", "b"))
    with pytest.raises(ValueError, match="is in the table already"):
        table.add(second)


def test_a_type_without_a_known_result_is_refused() -> None:
    with pytest.raises(ValueError, match="a: type `Word16` ends with no known result"):
        _ = row("a", type="Word16").kind


def test_kinds() -> None:
    assert PRIMS["ip"].kind is Kind.ACTION
    assert PRIMS["is_ip"].kind is Kind.PREDICATE
    assert PRIMS["ip_ttl"].kind is Kind.PROPERTY
    assert PRIMS["and"].kind is Kind.PREDICATE
