"""Predicates on headers accept exactly the frames they should, and their filters pass exactly those."""

from __future__ import annotations

import pytest
from support.frames import ADDRESSES4, ADDRESSES6, ethernet, ip6, tcp, udp
from support.handmade import FRAMES, ICMP, IP6, accepted, action, ask, passed, passing, v4, v6

from pfq.lang.action import Fanout
from pfq.lang.packet import Tag
from pfq.lang.prims.headers import ROWS
from pfq.lang.program import Prefix

TCP4 = {
    "tcp4",
    "tcp4 port 443",
    "tcp4 ttl 5",
    "tcp4 options",
    "tcp4 do not fragment",
    "tcp4 first fragment",
    "tcp4 one tag",
    "tcp4 two tags",
}
TCP6 = {
    "tcp6",
    "tcp6 three extensions",
    "tcp6 authentication",
    "tcp6 eight extensions",
    "tcp6 atomic fragment",
    "tcp6 first fragment",
    "tcp6 ends 6 bytes before the window's end",
}
UDP = {"udp4", "udp4 limited broadcast", "udp6"}
IP4_ONLY = {
    "tcp4 19 bytes",
    "tcp4 7 bytes",
    "tcp4 later fragment",
    "tcp4 last fragment",
    "udp4",
    "udp4 7 bytes",
    "udp4 limited broadcast",
    "icmp4",
    "icmp4 7 bytes",
    "icmp6 over ip4",
    "gre4",
}
IP6_ONLY = {
    "udp6",
    "icmp6",
    "icmp4 over ip6",
    "ip6 no next header",
    "tcp6 nine extensions",
    "tcp6 extension cut",
    "tcp6 later fragment",
    "tcp6 past the window",
    "tcp6 ends 2 bytes past the window's end",
}

ACCEPTED = {
    "is_ip": TCP4 | IP4_ONLY,
    "is_ip6": TCP6 | IP6_ONLY,
    "is_tcp": TCP4 | TCP6,
    "is_udp": UDP,
    "is_icmp": {"icmp4", "icmp6"},
    "is_icmp6": {"icmp6"},
    "is_l4_proto 6": TCP4
    | TCP6
    | {
        "tcp4 19 bytes",
        "tcp4 7 bytes",
        "tcp4 later fragment",
        "tcp4 last fragment",
        "tcp6 later fragment",
        "tcp6 past the window",
        "tcp6 ends 2 bytes past the window's end",
    },
    "is_l4_proto 17": UDP | {"udp4 7 bytes"},
    "is_l4_proto 58": {"icmp6", "icmp6 over ip4"},
    "is_l4_proto 47": {"gre4"},
    "is_l4_proto 60": set(),
    "is_flow": TCP4 | TCP6 | UDP,
    "has_port 80": (TCP4 - {"tcp4 port 443"}) | TCP6,
    "has_port 443": {"tcp4 port 443"},
    "has_port 1024": (TCP4 - {"tcp4 port 443"}) | TCP6 | (UDP - {"udp4 limited broadcast"}),
    "has_src_port 1024": (TCP4 - {"tcp4 port 443"}) | TCP6 | (UDP - {"udp4 limited broadcast"}),
    "has_src_port 80": set(),
    "has_dst_port 80": (TCP4 - {"tcp4 port 443"}) | TCP6,
    "has_dst_port 1024": set(),
    "has_addr 10.0.0.0/8": TCP4 | IP4_ONLY,
    "has_src_addr 10.0.0.1": TCP4 | IP4_ONLY,
    "has_src_addr 10.0.0.2": set(),
    "has_dst_addr 10.0.0.2": (TCP4 | IP4_ONLY) - {"udp4 limited broadcast"},
    "has_dst_addr 255.255.255.255": {"udp4 limited broadcast"},
    "has_addr 0.0.0.0/0": TCP4 | IP4_ONLY,
    "has_addr ::/0": TCP6 | IP6_ONLY,
    "has_addr 2001:db8::2": TCP6 | IP6_ONLY,
    "has_src_addr 2001:db8::2": set(),
}


@pytest.mark.parametrize(("predicate", "names"), ACCEPTED.items(), ids=list(ACCEPTED))
def test_predicate_accepts_exactly(predicate: str, names: set[str]) -> None:
    assert accepted(predicate) == names


@pytest.mark.parametrize("predicate", ACCEPTED)
def test_the_filter_passes_what_the_predicate_accepts(predicate: str) -> None:
    assert passing(predicate.removeprefix("is_").removeprefix("has_")) == ACCEPTED[predicate]


def test_every_predicate_on_headers_is_tested_here() -> None:
    assert {text.split()[0] for text in ACCEPTED} == {prim.name for prim in ROWS if prim.family == "predicate"}


def test_examples_have_no_needless_brackets() -> None:
    examples = {prim.name: prim.example for prim in ROWS}
    assert examples["is_ip"] == "when is_ip kernel"
    assert examples["has_port"] == "when (has_port 443) kernel"
    assert examples["ip"] == "ip >-> steer_flow"
    assert examples["port"] == "port 443 >-> steer_flow"


def test_a_passing_filter_changes_nothing() -> None:
    assert action("tcp >-> port 80 >-> addr 10.0.0.0/8", FRAMES["tcp4"]) == action("unit", FRAMES["tcp4"])


def test_s27_ip_is_version_4_only() -> None:
    assert passed("ip", FRAMES["tcp4"])
    assert not passed("ip", FRAMES["tcp6"])
    assert not passed("ip", FRAMES["ip4 type with ip6"])


@pytest.mark.parametrize(
    ("name", "proto", "size"), [("is_tcp", 6, 20), ("is_udp", 17, 8), ("is_icmp", 1, 8)], ids=["tcp", "udp", "icmp"]
)
def test_s28_the_whole_layer_4_header_is_needed(name: str, proto: int, size: int) -> None:
    assert passed(f"filter {name}", v4(bytes(size), proto))
    assert not passed(f"filter {name}", v4(bytes(size - 1), proto))


@pytest.mark.parametrize("words", range(11))
def test_s29_layer_4_lies_behind_the_options(words: int) -> None:
    frame = v4(tcp(443, 2000), options=b"\1" * 4 * words)
    assert passed("src_port 443", frame)
    assert not passed("src_port 257", frame)


@pytest.mark.parametrize("layer4", [tcp, udp], ids=["tcp", "udp"])
@pytest.mark.parametrize("version", [4, 6])
def test_s30_port_is_source_or_destination(layer4: type, version: int) -> None:
    proto = 6 if layer4 is tcp else 17
    payload = layer4(53, 4000)
    frame = v4(payload, proto) if version == 4 else ethernet(ip6(payload, proto), IP6)
    assert passed("port 53", frame)
    assert passed("port 4000", frame)
    assert not passed("port 54", frame)


def test_s30_a_protocol_without_ports_has_none() -> None:
    assert not passed("port 1024", v4(tcp(1024, 1024), 132))


def test_s31_source_and_destination_are_told_apart() -> None:
    frame = v4(tcp(53, 4000))
    assert passed("src_port 53 >-> dst_port 4000", frame)
    assert not passed("src_port 4000", frame)
    assert not passed("dst_port 53", frame)


@pytest.mark.parametrize("length", range(33))
def test_s32_every_prefix_length_of_ip4(length: int) -> None:
    """The address and the prefix differ in the bit behind the prefix only."""
    source = int.from_bytes(ADDRESSES4[2], "big")
    near = (source ^ (1 << (31 - length))).to_bytes(4, "big") if length < 32 else ADDRESSES4[2]
    far = (source ^ (1 << (32 - length))).to_bytes(4, "big") if length else None
    wanted = f"src_addr 192.168.1.1/{length}"
    assert passed(wanted, v4(tcp(), src=near))
    if far is not None:
        assert not passed(wanted, v4(tcp(), src=far))


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 63, 64, 65, 95, 96, 97, 127, 128])
def test_s32_prefix_lengths_of_ip6(length: int) -> None:
    source = int.from_bytes(ADDRESSES6[0], "big")
    wanted = f"dst_addr 2001:db8::1/{length}"
    if length < 128:
        near = (source ^ (1 << (127 - length))).to_bytes(16, "big")
        assert passed(wanted, ethernet(ip6(tcp(), dst=near), IP6))
    if length:
        far = (source ^ (1 << (128 - length))).to_bytes(16, "big")
        assert not passed(wanted, ethernet(ip6(tcp(), dst=far), IP6))


def test_s32_either_address_counts() -> None:
    frame = v4(tcp(), src=ADDRESSES4[0], dst=ADDRESSES4[2])
    assert passed("addr 10.0.0.1", frame)
    assert passed("addr 192.168.1.1", frame)
    assert not passed("addr 10.0.0.2", frame)


PORTS_53_TO_4000 = [v4(tcp(53, 4000)), v4(udp(53, 4000), 17), v6(tcp(53, 4000)), v6(udp(53, 4000), 17)]


@pytest.mark.parametrize("frame", PORTS_53_TO_4000, ids=["tcp4", "udp4", "tcp6", "udp6"])
@pytest.mark.parametrize("name", ["has_port", "port"])
def test_s30_port_follows_the_sides_that_the_program_looks_at(name: str, frame: bytes) -> None:
    assert ask(name, frame, 53, sides=("src",))
    assert not ask(name, frame, 4000, sides=("src",))
    assert ask(name, frame, 4000, sides=("dst",))
    assert not ask(name, frame, 53, sides=("dst",))


@pytest.mark.parametrize("name", ["has_addr", "addr"])
def test_s32_addr_follows_the_sides_that_the_program_looks_at(name: str) -> None:
    for frame, source, dest in (
        (FRAMES["tcp4"], "10.0.0.1", "10.0.0.2"),
        (FRAMES["tcp6"], "2001:db8::1", "2001:db8::2"),
    ):
        assert ask(name, frame, Prefix.parse(source), sides=("src",))
        assert not ask(name, frame, Prefix.parse(dest), sides=("src",))
        assert ask(name, frame, Prefix.parse(dest), sides=("dst",))
        assert not ask(name, frame, Prefix.parse(source), sides=("dst",))


@pytest.mark.parametrize("sides", [("src",), ("dst",), ("src", "dst")])
def test_s31_predicates_that_name_their_side_keep_it(sides: tuple[str, ...]) -> None:
    frame = v4(tcp(53, 4000))
    assert ask("has_src_port", frame, 53, sides=sides)
    assert not ask("has_src_port", frame, 4000, sides=sides)
    assert ask("dst_port", frame, 4000, sides=sides)
    assert not ask("dst_port", frame, 53, sides=sides)
    assert ask("has_src_addr", frame, Prefix.parse("10.0.0.1"), sides=sides)
    assert not ask("has_dst_addr", frame, Prefix.parse("10.0.0.1"), sides=sides)


def test_s37_the_protocol_lies_behind_the_extension_headers() -> None:
    frame = v6(ICMP, 58, chain=[(0, 0, 0), (43, 1, 0), (44, 0, 1)])
    assert passed("l4_proto 58", frame)
    for extension in (0, 43, 44):
        assert not passed(f"l4_proto {extension}", frame)


def test_s39_inside_a_tunnel_the_inner_packet_is_looked_at() -> None:
    inner = ip6(udp(53, 4000), 17)
    frame = v4(inner, 41)
    wanted = {"is_ip": (True, False), "is_ip6": (False, True), "is_udp": (False, True), "is_flow": (False, True)}
    for name, (outside, inside) in wanted.items():
        assert ask(name, frame) is outside, name
        assert ask(name, frame, level=1) is inside, name
        assert not ask(name, frame, level=2), name
    assert ask("is_l4_proto", frame, 41)
    assert ask("is_l4_proto", frame, 17, level=1)
    assert ask("has_port", frame, 53, level=1)
    assert not ask("has_port", frame, 53)
    assert ask("has_addr", frame, Prefix.parse("2001:db8::/32"), level=1)
    assert not ask("has_addr", frame, Prefix.parse("10.0.0.0/8"), level=1)


def test_s35_only_a_first_fragment_has_layer_4() -> None:
    assert passed("tcp", FRAMES["tcp4 first fragment"])
    for name in ("tcp4 later fragment", "tcp4 last fragment", "tcp6 later fragment"):
        assert action("flow", FRAMES[name]).fanout is Fanout.DROP


def test_a_tag_taken_off_by_the_device_counts_as_one_of_two() -> None:
    stripped = Tag(0x88A8, 9)
    assert action("ip", FRAMES["tcp4 one tag"], tag=stripped).fanout is Fanout.COPY
    assert action("ip", FRAMES["tcp4 two tags"], tag=stripped).fanout is Fanout.DROP
