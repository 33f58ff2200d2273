"""Every name of the original PFQ's language is here, with its kind and its number of arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from pfq.lang.build import parameter_types
from pfq.lang.compile import compile_file
from pfq.lang.constants import CONSTANTS
from pfq.lang.jsonform import from_json, to_json
from pfq.lang.prims import PRIMS
from pfq.lang.prims.table import Kind

EVERY_NAME = Path(__file__).parents[2] / "lang/original/every_name.pfq"

PREDICATES = {
    0: """is_ip is_udp is_tcp is_icmp is_flow is_frag is_first_frag is_more_frag has_vlan is_broadcast is_multicast
          is_ip_broadcast is_ip_multicast is_ip_host is_incoming_host is_rtp is_rtcp is_sip is_voip
          is_gtp is_gtp_cp is_gtp_up is_eth_pup is_eth_sprite is_eth_ip is_eth_arp is_eth_revarp is_eth_at
          is_eth_aarp is_eth_vlan is_eth_ipx is_eth_ipv6 is_eth_loopback""",
    1: """is_l3_proto is_l4_proto has_port has_src_port has_dst_port has_addr has_src_addr has_dst_addr has_vid
          vlan_id has_mark has_state not""",
    2: "less less_eq greater greater_eq equal not_equal any_bit all_bit or and xor",
    3: "bloom bloom_src bloom_dst",
}
PROPERTIES = {
    0: """ip_tos ip_tot_len ip_id ip_frag ip_ttl tcp_source tcp_dest tcp_hdrlen udp_source udp_dest udp_len
          icmp_type icmp_code get_mark get_state"""
}
ACTIONS = {
    0: """unit ip udp tcp icmp flow vlan no_frag no_more_frag mac_broadcast mac_multicast ip_broadcast ip_multicast
          ip_host incoming_host rtp rtcp sip voip gtp gtp_cp gtp_up
          steer_rrobin steer_rss steer_link double_steer_mac steer_vlan steer_p2p double_steer_ip steer_flow
          steer_rtp steer_voip drop broadcast kernel detour log_buff log_packet trace""",
    1: """port src_port dst_port addr src_addr dst_addr l3_proto l4_proto filter vlan_id_filter
          steer_to steer_local_link steer_local_ip steer_key
          classify kernel_if detour_if forward bridge link forwardIO inv shift src dst
          inc dec mark put_state log_msg dummy_int dummy_ints dummy_ip dummy_ips dummy_cidr dummy_cidrs
          dummy_string dummy_strings""",
    2: "when unless par tee tap steer_field steer_gtp_usr",
    3: "conditional par3 bloom_filter bloom_src_filter bloom_dst_filter steer_local_net steer_field_symmetric "
    "double_steer_field",
    4: "par4",
    5: "par5",
    6: "par6",
    7: "par7",
    8: "par8",
}
NAMES = {
    name: (kind, arity)
    for kind, by_arity in ((Kind.PREDICATE, PREDICATES), (Kind.PROPERTY, PROPERTIES), (Kind.ACTION, ACTIONS))
    for arity, names in by_arity.items()
    for name in names.split()
}
KEYS = """eth_type eth_src eth_dst ip_src ip_dst ip_proto ip_ecn ip_dscp src_port dst_port icmp_type icmp_code
          3tuple 5tuple"""


def test_the_list_is_as_long_as_the_originals() -> None:
    """144 built in and 10 for telephony; its libraries name 7 more for GTP and 11 EtherTypes."""
    assert len(NAMES) == 144 + 10 + 7 + 11


@pytest.mark.parametrize("name", NAMES)
def test_name(name: str) -> None:
    prim = PRIMS[name]
    assert (prim.kind, len(parameter_types(prim))) == NAMES[name]


def test_flow_keys() -> None:
    assert {f"key_{name}" for name in KEYS.split()} | {"True", "False"} == set(CONSTANTS)


def test_one_program_with_every_name() -> None:
    program = compile_file(EVERY_NAME)
    used = {call.prim.name for call in program.calls()}
    assert {PRIMS[name].name for name in NAMES} - used == {"unit"}
    assert from_json(to_json(program)) == program
    assert all(f"key_{name}" in EVERY_NAME.read_text() for name in KEYS.split())
