"""Statements 27 to 37: predicates, properties and filters on the headers of an untagged packet."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from support.backends import WORLD
from support.frames import tcp, udp
from support.statements import (
    ARP,
    EVERYONE,
    GRE,
    ICMP,
    IP4,
    IP6,
    LIMITED_BROADCAST,
    MAC_A,
    MAC_B,
    TCP,
    UDP,
    A,
    B,
    Meanings,
    arp_frame,
    ether,
    frame,
    icmp_frame,
    packet,
    tcp_frame,
    udp_frame,
)

from pfq.lang.action import Fanout

pytestmark = pytest.mark.agree

A6, B6 = "2001:db8::a", "2001:db8::b"
NOT_IP = (arp_frame(), ether(0x88B5, bytes(46)), ether(46, b"\xaa\xaa\x03" + bytes(43)))


def test_s27_is_ip_is_ip_version_4(decide: Meanings) -> None:
    """IPv6 is not `ip`, although all above layer 3 works on it."""
    tests = ("is_ip", "is_tcp", "not is_ip")
    assert decide.holding(tcp_frame(), *tests) == {"is_ip", "is_tcp"}
    assert decide.holding(tcp_frame(A6, B6), *tests) == {"is_tcp", "not is_ip"}
    assert decide.holding(ether(IP6, packet(A, B, TCP, tcp())), *tests) == {"not is_ip"}
    for other in NOT_IP:
        assert decide.holding(other, *tests) == {"not is_ip"}
    for passed, each in ((True, udp_frame()), (False, udp_frame(A6, B6)), (False, arp_frame())):
        assert decide.passes("ip", each) is passed


@pytest.mark.parametrize(
    ("proto", "header", "least", "name"),
    [(UDP, udp(), 8, "udp"), (TCP, tcp(), 20, "tcp"), (ICMP, bytes([8, 0, 0, 0, 0, 1, 0, 1]), 8, "icmp")],
    ids=["udp", "tcp", "icmp"],
)
def test_s28_layer_4_needs_its_whole_header(decide: Meanings, proto: int, header: bytes, least: int, name: str) -> None:
    assert len(header) == least
    filters = ("udp", "tcp", "icmp", "flow")
    predicates = [f"is_{each}" for each in filters]
    names = {name} if name == "icmp" else {name, "flow"}
    for size in (0, 1, 7, 8, 19, 20):
        cut = frame(A, B, proto, header[:size])
        wanted = names if size >= least else set()
        assert decide.passing(cut, *filters) == wanted, size
        assert decide.holding(cut, *predicates) == {f"is_{each}" for each in wanted}, size


@pytest.mark.parametrize("words", [0, 1, 5, 10])
def test_s29_layer_4_lies_behind_the_options(decide: Meanings, words: int) -> None:
    """The options look like ports 7 and 8, which must not be seen."""
    options = b"\x00\x07\x00\x08" * words
    tests = ("is_tcp", "has_src_port 1024", "has_dst_port 80", "tcp_source .== 1024", "tcp_dest .== 80", "has_port 7")
    assert decide.holding(frame(A, B, TCP, tcp(), options=options), *tests) == set(tests) - {"has_port 7"}
    assert decide.holding(frame(A, B, UDP, udp(7, 9), options=options), *tests, "has_port 9") == {
        "has_port 7",
        "has_port 9",
    }
    cut = frame(A, B, TCP, tcp()[:19], options=options)
    assert decide.holding(cut, "is_tcp", "has_dst_port 80") == set()


def sides(decide: Meanings, each: bytes, *tests: str) -> list[tuple[bool, bool, bool]]:
    """Whether predicates hold on either side, on the source, on the destination."""
    actions = [form.format(f"(filter ({test}))") for test in tests for form in ("{}", "src {}", "dst {}")]
    passed = decide.passing(each, *actions)
    truths = [action in passed for action in actions]
    return list(zip(truths[::3], truths[1::3], truths[2::3], strict=True))


SOURCE, DESTINATION, BOTH, NEITHER = (True, True, False), (True, False, True), (True, True, True), (False, False, False)


@pytest.mark.parametrize("make", [tcp_frame, udp_frame], ids=["tcp", "udp"])
@pytest.mark.parametrize(("src", "dst"), [(A, B), (A6, B6)], ids=["ip4", "ip6"])
def test_s30_ports_of_either_side(decide: Meanings, make: type, src: str, dst: str) -> None:
    each, same = make(src, dst, (1024, 80)), make(src, dst, (53, 53))
    filters = [form.format(f"(port {port})") for port in (1024, 80, 81) for form in ("{}", "src {}", "dst {}")]
    wanted = {"(port 1024)", "src (port 1024)", "(port 80)", "dst (port 80)"}
    assert decide.passing(each, *filters) == wanted
    tests = ("has_port 1024", "has_port 80", "has_port 53")
    assert sides(decide, each, *tests) == [SOURCE, DESTINATION, NEITHER]
    assert sides(decide, same, *tests) == [NEITHER, NEITHER, BOTH]


def test_s30_only_tcp_and_udp_have_ports(decide: Meanings) -> None:
    for proto in (ICMP, GRE, 132):
        assert decide.holding(frame(A, B, proto, tcp(80, 80)), "has_port 80", "has_src_port 80") == set()


def test_s31_ports_of_one_side_do_not_depend_on_the_context(decide: Meanings) -> None:
    contexts = ("{}", "src {}", "dst {}", "src (dst {})", "dst (src {})")
    names = ("src_port {}", "filter (has_src_port {})", "dst_port {}", "filter (has_dst_port {})")

    def looks(*ports: int) -> set[str]:
        """Looks for one port on the source, and for another on the destination."""
        sides = zip(names, (ports[0], ports[0], ports[1], ports[1]), strict=True)
        return {where.format(f"({name.format(port)})") for name, port in sides for where in contexts}

    right, wrong = looks(1024, 80), looks(80, 1024)
    assert decide.passing(tcp_frame(ports=(1024, 80)), *sorted(right | wrong)) == right


def test_s32_addresses_of_either_side(decide: Meanings) -> None:
    each = tcp_frame("10.1.2.3", "192.168.4.5")
    prefixes = {
        "10.1.2.3/32": SOURCE,
        "10.1.2.2/32": NEITHER,
        "10.1.2.2/31": SOURCE,
        "10.0.0.0/8": SOURCE,
        "192.168.4.0/24": DESTINATION,
        "192.168.5.0/24": NEITHER,
        "0.0.0.0/1": SOURCE,
        "128.0.0.0/1": DESTINATION,
    }
    assert sides(decide, each, *(f"has_addr {prefix}" for prefix in prefixes)) == list(prefixes.values())
    filters = (
        "addr 10.0.0.0/8",
        "src (addr 10.0.0.0/8)",
        "dst (addr 10.0.0.0/8)",
        "src_addr 10.0.0.0/8",
        "dst_addr 10.0.0.0/8",
    )
    assert decide.passing(each, *filters) == {*filters[:2], filters[3]}
    inside = ("dst (src_addr 10.0.0.0/8)", "src (dst_addr 192.168.0.0/16)", "src (dst_addr 10.0.0.0/8)")
    assert decide.passing(each, *inside) == set(inside[:2])


def test_s32_prefix_0_matches_every_ip4_packet(decide: Meanings) -> None:
    tests = ("has_addr 0.0.0.0/0", "has_src_addr 1.2.3.4/0", "has_dst_addr 0.0.0.0/0")
    for each in (tcp_frame(), icmp_frame("0.0.0.0", LIMITED_BROADCAST), frame(A, B, 255, b"")):
        assert decide.holding(each, *tests) == set(tests)
    for each in (*NOT_IP, tcp_frame(A6, B6)):
        assert decide.holding(each, *tests) == set()


def test_s32_host_bits_are_ignored(decide: Meanings) -> None:
    tests = ("has_addr 10.0.0.99/24", "has_addr 10.0.0.255/25", "has_src_addr 10.255.255.255/8", "has_addr 10.0.1.1/24")
    assert decide.holding(tcp_frame("10.0.0.1", "172.16.0.1"), *tests) == {tests[0], tests[2]}


GROUP, GROUP_SOURCE = bytes.fromhex("01005e000001"), bytes.fromhex("030000000001")


@pytest.mark.parametrize(
    ("dst", "src", "broadcast", "multicast"),
    [
        (MAC_B, MAC_A, NEITHER, NEITHER),
        (EVERYONE, MAC_A, DESTINATION, DESTINATION),
        (MAC_B, EVERYONE, SOURCE, SOURCE),
        (GROUP, MAC_A, NEITHER, DESTINATION),
        (MAC_B, GROUP_SOURCE, NEITHER, SOURCE),
        (EVERYONE, GROUP_SOURCE, DESTINATION, BOTH),
        (EVERYONE[:5] + b"\xfe", MAC_A, NEITHER, DESTINATION),
    ],
    ids=["none", "broadcast", "from all", "group", "from group", "both", "almost all"],
)
def test_s33_mac_addresses_of_either_side(
    decide: Meanings, dst: bytes, src: bytes, broadcast: tuple[bool, ...], multicast: tuple[bool, ...]
) -> None:
    for each in (arp_frame(dst=dst, src=src), ether(IP4, packet(A, B, TCP, tcp()), dst=dst, src=src)):
        assert sides(decide, each, "is_broadcast", "is_multicast") == [broadcast, multicast]


@pytest.mark.parametrize(
    ("src", "dst", "broadcast", "multicast"),
    [
        (A, B, NEITHER, NEITHER),
        (A, LIMITED_BROADCAST, DESTINATION, NEITHER),
        (LIMITED_BROADCAST, B, SOURCE, NEITHER),
        (A, "255.255.255.254", NEITHER, NEITHER),
        (A, "224.0.0.0", NEITHER, DESTINATION),
        (A, "239.255.255.255", NEITHER, DESTINATION),
        (A, "223.255.255.255", NEITHER, NEITHER),
        (A, "240.0.0.0", NEITHER, NEITHER),
        ("224.0.0.1", B, NEITHER, SOURCE),
        (A6, "ff02::1", NEITHER, DESTINATION),
    ],
)
def test_s33_ip_addresses_of_either_side(
    decide: Meanings, src: str, dst: str, broadcast: tuple[bool, ...], multicast: tuple[bool, ...]
) -> None:
    found = sides(decide, udp_frame(src, dst), "is_ip_broadcast", "is_ip_multicast")
    assert found == [broadcast, multicast]


OUR_ADDRESS = "10.0.0.77"
OUR_WORLD = replace(WORLD, hosts=frozenset([ip_address(OUR_ADDRESS)]))
WHOM = ("mac_broadcast", "mac_multicast", "ip_broadcast", "ip_multicast", "ip_host", "incoming_host")


@pytest.mark.parametrize(
    ("each", "passing"),
    [
        (tcp_frame(A, B), ()),
        (arp_frame(), ()),
        (arp_frame(dst=EVERYONE), ("mac_broadcast", "mac_multicast", "incoming_host")),
        (arp_frame(dst=GROUP), ("mac_multicast", "incoming_host")),
        (arp_frame(src=EVERYONE), ("mac_broadcast", "mac_multicast")),
        (udp_frame(A, LIMITED_BROADCAST), ("ip_broadcast",)),
        (udp_frame(A, "224.0.0.1"), ("ip_multicast",)),
        (tcp_frame(A, OUR_ADDRESS), ("ip_host", "incoming_host")),
        (tcp_frame(OUR_ADDRESS, B), ("ip_host", "incoming_host")),
        (tcp_frame(A, "10.0.0.78"), ()),
    ],
    ids=["no", "arp", "to all", "to group", "from all", "limited", "multicast", "to us", "from us", "to others"],
)
def test_s34_filters_pass_what_they_name(decide: Meanings, each: bytes, passing: tuple[str, ...]) -> None:
    assert decide.passing(each, *WHOM, world=OUR_WORLD) == set(passing)
    predicates = {f"is_{name.removeprefix('mac_')}": name for name in WHOM}
    held = decide.holding(each, *predicates, world=OUR_WORLD)
    assert {predicates[name] for name in held} == set(passing)


WHOLE, DF, FIRST, MIDDLE, LAST = 0, 0x4000, 0x2000, 0x2001, 0x1FFF


@pytest.mark.parametrize(
    ("parts", "predicates", "filters"),
    [
        (WHOLE, set(), {"no_frag", "no_more_frag"}),
        (DF, set(), {"no_frag", "no_more_frag"}),
        (FIRST, {"is_frag", "is_first_frag"}, {"no_more_frag"}),
        (MIDDLE, {"is_frag", "is_more_frag"}, set()),
        (LAST, {"is_frag", "is_more_frag"}, set()),
    ],
)
def test_s35_fragments(decide: Meanings, parts: int, predicates: set[str], filters: set[str]) -> None:
    each = frame(A, B, UDP, udp(), parts=parts)
    assert decide.holding(each, "is_frag", "is_first_frag", "is_more_frag") == predicates
    assert decide.passing(each, "no_frag", "no_more_frag", "inv (filter is_frag)") == filters | (
        set() if "is_frag" in predicates else {"inv (filter is_frag)"}
    )


def test_s35_what_is_not_ip_is_no_fragment(decide: Meanings) -> None:
    for each in NOT_IP:
        assert decide.passing(each, "no_frag", "no_more_frag") == {"no_frag", "no_more_frag"}
        assert decide.holding(each, "is_frag", "is_first_frag", "is_more_frag") == set()


def values(decide: Meanings, each: bytes, wanted: dict[str, int]) -> None:
    """Each property has the value, and no other."""
    tests = [f"{name} .== {value}" for name, value in wanted.items()]
    others = [f"{name} ./= {value}" for name, value in wanted.items()]
    assert decide.holding(each, *tests, *others) == set(tests)


def test_s36_properties_are_numbers_in_host_order(decide: Meanings) -> None:
    segment = bytearray(tcp(0x1234, 0xABCD) + bytes(12))
    segment[12] = 8 << 4
    for parts in (0x4000, 0x2000, 0xA000):
        each = frame(A, B, TCP, bytes(segment), parts=parts, ttl=63)
        values(decide, each, {
            "tcp_source": 0x1234,
            "tcp_dest": 0xABCD,
            "tcp_hdrlen": 32,
            "ip_frag": parts,
            "ip_ttl": 63,
            "ip_tot_len": 52,
            "ip_id": 7,
            "ip_tos": 0,
        })  # fmt: skip
    values(decide, frame(A, B, UDP, udp(), parts=0x2123), {"ip_frag": 0x2123})
    values(decide, udp_frame(ports=(0x0102, 0x0304)), {"udp_source": 258, "udp_dest": 772, "udp_len": 12})
    values(decide, icmp_frame(kind=11), {"icmp_type": 11, "icmp_code": 0})
    values(decide, tcp_frame(), {"tcp_hdrlen": 20})


def test_s37_protocols_of_layer_3(decide: Meanings) -> None:
    """Of the outermost Ethernet header, behind tags; `shift` does not change it."""
    tests = [f"is_l3_proto {kind}" for kind in (IP4, IP6, ARP)]
    inside = packet("172.16.0.1", "172.16.0.2", 41, packet(A6, B6, UDP, udp()))
    for each, wanted in (
        (tcp_frame(), 0),
        (tcp_frame(A6, B6), 1),
        (arp_frame(), 2),
        (ether(ARP, packet(A, B, TCP, tcp())), 2),
        (ether(IP4, b"", tags=()), 0),
        (ether(IP6, packet(A6, B6, UDP, udp()), tags=[5]), 1),
        (ether(IP4, inside), 0),
    ):
        assert decide.holding(each, *tests) == {tests[wanted]}
        filters = [f"l3_proto {kind}" for kind in (IP4, IP6, ARP)]
        deeper = [f"shift (l3_proto {kind})" for kind in (IP4, IP6, ARP)]
        assert decide.passing(each, *filters, *deeper) == {filters[wanted], deeper[wanted]}


def test_s37_protocols_of_layer_4_at_the_level(decide: Meanings) -> None:
    protocols = (4, UDP, TCP)
    outer, deeper = ([form.format(f"(l4_proto {n})") for n in protocols] for form in ("{}", "shift {}"))
    each = frame("172.16.0.1", "172.16.0.2", 4, packet(A, B, UDP, udp()))
    assert decide.passing(each, *outer, *deeper) == {outer[0], deeper[1]}
    assert decide.passing(tcp_frame(), *outer, *deeper) == {outer[2]}
    assert decide.passing(arp_frame(), *outer, *deeper) == set()
    assert decide.holding(each, *(f"is_l4_proto {n}" for n in protocols)) == {"is_l4_proto 4"}
    assert decide("l4_proto 255", frame(A, B, 255, b"")).fanout == Fanout.COPY
