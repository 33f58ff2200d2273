"""Steering by flow keys and by bytes anywhere: exact hashes, symmetry, and what is dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames import ethernet, extended, ip4, ip6, tcp, udp
from support.handmade import FRAMES, ICMP, IP4, IP6, QTAG, STAG, action, v4, v6, with_macs

from pfq.errors import RangeError
from pfq.lang.action import Action, Fanout
from pfq.lang.compile import compile_text
from pfq.lang.packet import Tag
from pfq.lang.prims.fields import FIELDS

NOWHERE = Action(Fanout.DROP)

# Fields of 10.0.0.1 port 1024 -> 10.0.0.2 port 80, as they lie in memory, read as little endian.
SRC, DST = 0x0100000A, 0x0200000A
SRC_PORT, DST_PORT = 0x0004, 0x5000
SRC6, DST6 = 0xB80D0120 ^ 0x01000000, 0xB80D0120 ^ 0x02000000
FIRST_MAC, SECOND_MAC = "0a1b2c3d4e5f", "020000000001"

BOTH_ADDRESSES = "(key_ip_src <> key_ip_dst)"


def steered(hashed: int) -> Action:
    return Action(Fanout.STEER, hash=hashed % 2**32)


def by_key(key: str, frame: bytes, tag: Tag | None = None) -> Action:
    return action(f"steer_key {key}", frame, tag=tag)


def test_the_fields_have_the_bits_of_the_original() -> None:
    assert [field.bit.bit_length() - 1 for field in FIELDS] == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12]


# statement 54: the two keys with a simple hash

FLOWS = ["tcp4", "tcp4 options", "tcp4 19 bytes", "udp4", "tcp6", "udp6", "tcp6 atomic fragment", "tcp4 two tags"]
PARTS = [
    "tcp4 first fragment",
    "tcp4 later fragment",
    "tcp4 last fragment",
    "tcp6 first fragment",
    "tcp6 later fragment",
]


@pytest.mark.parametrize("name", FLOWS + PARTS)
def test_s54_key_5tuple_is_steer_flow(name: str) -> None:
    assert by_key("key_5tuple", FRAMES[name]) == action("steer_flow", FRAMES[name]) != NOWHERE


@pytest.mark.parametrize(
    "name", ["icmp4", "gre4", "icmp6", "tcp6 nine extensions", "tcp4 7 bytes", "udp4 7 bytes", "arp", "nothing"]
)
def test_s54_key_5tuple_drops_what_is_not_tcp_or_udp(name: str) -> None:
    assert by_key("key_5tuple", FRAMES[name]) == NOWHERE


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        ("tcp4", SRC ^ DST ^ 6),
        ("tcp4 7 bytes", SRC ^ DST ^ 6),
        ("tcp4 later fragment", SRC ^ DST ^ 6),
        ("udp4", SRC ^ DST ^ 17),
        ("icmp4", SRC ^ DST ^ 1),
        ("udp4 limited broadcast", SRC ^ 0xFFFFFFFF ^ 17),
        ("tcp6", SRC6 ^ DST6 ^ 6),
        ("tcp6 later fragment", SRC6 ^ DST6 ^ 6),
        ("icmp6", SRC6 ^ DST6 ^ 58),
        ("tcp6 nine extensions", SRC6 ^ DST6),
    ],
)
def test_s54_key_3tuple_is_addresses_and_protocol(name: str, hashed: int) -> None:
    assert by_key("key_3tuple", FRAMES[name]) == steered(hashed)


@pytest.mark.parametrize(
    "key", ["key_3tuple", "key_5tuple", BOTH_ADDRESSES, "key_ip_proto", "key_ip_ecn", "key_ip_dscp"]
)
@pytest.mark.parametrize("name", ["nothing", "runt", "arp", "ip4 19 bytes", "ip6 39 bytes", "tcp4 three tags"])
def test_s54_fields_of_ip_need_ip(key: str, name: str) -> None:
    assert by_key(key, FRAMES[name]) == NOWHERE


def test_all_fragments_of_a_datagram_stay_together() -> None:
    payloads = [tcp(), b"\1" * 24, b"\2" * 8]
    parts = [v4(payload, parts=word) for payload, word in zip(payloads, (0x2000, 0x2003, 0x0006), strict=True)]
    pings = [v4(payload, 1, parts=word) for payload, word in ((ICMP, 0x2000), (b"\1" * 8, 0x2001), (b"\2" * 8, 2))]
    parts6 = []
    for payload, word in ((udp(), 1), (b"\1" * 24, 24 | 1), (b"\2" * 8, 48)):
        first, whole = extended([(44, 0, word)], 17, payload)
        parts6.append(ethernet(ip6(whole, first), IP6))
    for key, frames in (
        ("key_5tuple", parts),
        ("(key_ip_src <> key_src_port)", parts6),
        ("(key_3tuple <> key_icmp_type <> key_icmp_code)", pings),
    ):
        decided = {by_key(key, frame).hash for frame in frames}
        assert len(decided) == 1
        assert all(by_key(key, frame).fanout is Fanout.STEER for frame in frames)


# every other key: (33 * common + ...) ^ (33 * source + ...) ^ (33 * destination + ...), where the last two start at 1

CASES = [
    ("key_eth_type", FRAMES["tcp4"], 0x0800),
    ("key_eth_type", FRAMES["tcp6"], 0x86DD),
    ("key_eth_type", FRAMES["arp"], 0x0806),
    ("key_eth_type", FRAMES["tcp4 two tags"], 0x0800),
    ("key_eth_src", with_macs(FRAMES["arp"], SECOND_MAC, FIRST_MAC), (((33 + 0x1B0A) * 33 + 0x3D2C) * 33 + 0x5F4E) ^ 1),
    ("key_eth_dst", with_macs(FRAMES["arp"], SECOND_MAC, FIRST_MAC), (((33 + 0x0002) * 33 + 0) * 33 + 0x0100) ^ 1),
    ("key_ip_src", FRAMES["tcp4"], (33 + SRC) ^ 1),
    ("key_ip_dst", FRAMES["tcp4"], (33 + DST) ^ 1),
    ("key_ip_src", FRAMES["tcp6"], (33 + SRC6) ^ 1),
    (BOTH_ADDRESSES, FRAMES["tcp4"], (33 + SRC) ^ (33 + DST)),
    ("key_ip_proto", FRAMES["tcp4"], 6),
    ("key_ip_proto", FRAMES["tcp6 three extensions"], 6),
    ("key_ip_proto", FRAMES["icmp6"], 58),
    ("key_ip_proto", FRAMES["tcp6 nine extensions"], 0),
    ("(key_ip_proto <> key_eth_type)", FRAMES["udp4"], 0x0800 * 33 + 17),
    ("key_src_port", FRAMES["tcp4"], (33 + SRC_PORT) ^ 1),
    ("key_dst_port", FRAMES["tcp6"], (33 + DST_PORT) ^ 1),
    ("key_dst_port", FRAMES["udp4"], (33 + 0x3500) ^ 1),
    ("key_src_port", FRAMES["tcp4 first fragment"], 33 ^ 1),
    ("(key_ip_src <> key_src_port)", FRAMES["tcp4"], ((33 + SRC) * 33 + SRC_PORT) ^ 1),
    ("(key_ip_src <> key_ip_dst <> key_src_port <> key_dst_port)", FRAMES["tcp4"],
     ((33 + SRC) * 33 + SRC_PORT) ^ ((33 + DST) * 33 + DST_PORT)),
    ("(key_5tuple <> key_eth_type)", FRAMES["tcp4"],
     (0x0800 * 33 + 6) ^ ((33 + SRC) * 33 + SRC_PORT) ^ ((33 + DST) * 33 + DST_PORT)),
    ("key_icmp_type", v4(b"\x03\x0d" + bytes(6), 1), 3),
    ("key_icmp_code", v4(b"\x03\x0d" + bytes(6), 1), 13),
    ("(key_icmp_type <> key_icmp_code)", v6(b"\x87\x01" + bytes(6), 58), 0x87 * 33 + 1),
]  # fmt: skip


@pytest.mark.parametrize(("key", "frame", "hashed"), CASES)
def test_hash_of_a_key(key: str, frame: bytes, hashed: int) -> None:
    assert by_key(key, frame) == steered(hashed)


@pytest.mark.parametrize("version", [4, 6])
def test_ecn_and_dscp(version: int) -> None:
    """DSCP 46, ECN 2; under IPv6 a flow label follows directly."""
    if version == 4:
        packet = bytearray(ip4(tcp()))
        packet[1] = 46 << 2 | 2
    else:
        packet = bytearray(ip6(tcp()))
        packet[0:4] = (6 << 28 | (46 << 2 | 2) << 20 | 0xFFFFF).to_bytes(4, "big")
    frame = ethernet(bytes(packet), IP4 if version == 4 else IP6)
    assert by_key("key_ip_dscp", frame) == steered(46)
    assert by_key("key_ip_ecn", frame) == steered(2)
    assert by_key("(key_ip_dscp <> key_ip_ecn)", frame) == steered(2 * 33 + 46)


@pytest.mark.parametrize("key", ["key_src_port", "key_dst_port", "(key_5tuple <> key_eth_type)"])
@pytest.mark.parametrize("name", ["icmp4", "gre4", "tcp4 7 bytes", "udp4 7 bytes", "arp", "tcp6 past the window"])
def test_ports_need_tcp_or_udp(key: str, name: str) -> None:
    assert by_key(key, FRAMES[name]) == NOWHERE


@pytest.mark.parametrize("key", ["key_icmp_type", "key_icmp_code"])
@pytest.mark.parametrize("name", ["tcp4", "icmp4 7 bytes", "icmp6 over ip4", "icmp4 over ip6", "arp"])
def test_fields_of_icmp_need_icmp(key: str, name: str) -> None:
    assert by_key(key, FRAMES[name]) == NOWHERE


@pytest.mark.parametrize("key", ["key_eth_type", "key_eth_src", "key_eth_dst"])
def test_fields_of_ethernet_need_its_header(key: str) -> None:
    whole = FRAMES["ethernet alone"]
    assert by_key(key, whole).fanout is Fanout.STEER
    assert by_key(key, whole[:13]) == NOWHERE


def test_the_ethertype_is_the_one_behind_the_tags() -> None:
    assert by_key("key_eth_type", FRAMES["tag alone"]) == NOWHERE
    assert by_key("key_eth_src", FRAMES["tag alone"]).fanout is Fanout.STEER
    tagged = FRAMES["tcp4 one tag"]
    assert by_key("key_eth_type", tagged, Tag(STAG, 9)) == steered(0x0800)


def test_the_packet_in_a_tunnel_has_a_key_of_its_own() -> None:
    frame = v4(ip4(udp(), 17, bytes([1, 2, 3, 4]), bytes([5, 6, 7, 8])), 4)
    assert by_key("key_5tuple", frame) == NOWHERE
    assert action("shift (steer_key key_5tuple)", frame) == steered(0x04030201 ^ 0x08070605 ^ SRC_PORT ^ 0x3500)
    assert action("shift (steer_key key_eth_type)", frame) == steered(0x0800)


ports = st.integers(0, 65535)
addresses = st.binary(min_size=4, max_size=4)
macs = st.binary(min_size=6, max_size=6).map(bytes.hex)
ENDS = (("key_eth_src", "key_eth_dst"), ("key_ip_src", "key_ip_dst"), ("key_src_port", "key_dst_port"))
COMMON = ("key_eth_type", "key_ip_proto", "key_ip_ecn", "key_ip_dscp")


@given(
    ends=st.lists(st.sampled_from(ENDS), min_size=1),
    common=st.lists(st.sampled_from(COMMON)),
    a=st.tuples(addresses, macs, ports),
    b=st.tuples(addresses, macs, ports),
)
def test_s54_keys_with_both_ends_are_symmetric(
    ends: list[tuple[str, str]], common: list[str], a: tuple[bytes, str, int], b: tuple[bytes, str, int]
) -> None:
    key = " <> ".join([name for pair in ends for name in pair] + common)

    def frame(source: tuple[bytes, str, int], dest: tuple[bytes, str, int]) -> bytes:
        return with_macs(v4(tcp(source[2], dest[2]), src=source[0], dst=dest[0]), dest[1], source[1])

    there, back = by_key(f"({key})", frame(a, b)), by_key(f"({key})", frame(b, a))
    assert there == back
    assert there.fanout is Fanout.STEER


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("0", "a key without a field tells no flows apart"),
        ("256", "the key has bits that stand for no field: 0x100"),
        ("0x2001", "the key has bits that stand for no field: 0x2000"),
        ("(key_5tuple <> key_icmp_type)", "no packet has this key"),
    ],
)
def test_wrong_keys(key: str, message: str) -> None:
    with pytest.raises(RangeError, match=message):
        compile_text(f"steer_key {key}")


# bytes anywhere

BYTES = bytes(range(100, 120))


@pytest.mark.parametrize(
    ("offset", "size", "hashed"),
    [(0, 1, 100), (0, 2, 0x6564), (1, 3, 0x676665), (3, 4, 0x6A696867), (16, 4, 0x77767574), (19, 1, 119)],
)
def test_s53_steer_field(offset: int, size: int, hashed: int) -> None:
    assert action(f"steer_field {offset} {size}", BYTES) == steered(hashed)


@pytest.mark.parametrize(("offset", "size"), [(17, 4), (19, 2), (20, 1), (508, 4)])
def test_s53_missing_bytes_drop(offset: int, size: int) -> None:
    assert action(f"steer_field {offset} {size}", BYTES) == NOWHERE
    assert action(f"steer_field_symmetric 0 {offset} {size}", BYTES) == NOWHERE
    assert action(f"double_steer_field {offset} 0 {size}", BYTES) == NOWHERE


def test_s53_only_the_bytes_of_the_field_matter() -> None:
    assert action("steer_field 4 2", BYTES) == action("steer_field 4 2", b"\0" * 4 + BYTES[4:6] + b"\0")


def test_s53_two_fields() -> None:
    assert action("steer_field_symmetric 2 6 2", BYTES) == steered(0x6766 ^ 0x6B6A)
    assert action("steer_field_symmetric 6 2 2", BYTES) == steered(0x6766 ^ 0x6B6A)
    assert action("double_steer_field 2 6 2", BYTES) == Action(Fanout.DOUBLE, hash=0x6766, hash2=0x6B6A)
    assert action("double_steer_field 6 2 2", BYTES) == Action(Fanout.DOUBLE, hash=0x6B6A, hash2=0x6766)


def test_the_bytes_are_those_of_the_wire() -> None:
    """Offsets count a tag that the device took off."""
    stripped = v4(tcp())
    on_the_wire = stripped[:12] + bytes([0x81, 0, 0, 5]) + stripped[12:]
    for program in ("steer_field 12 4", "steer_field 14 2", "steer_field 10 4", "steer_field 30 4"):
        assert action(program, stripped, tag=Tag(QTAG, 5)) == action(program, on_the_wire)
    assert action("steer_field 14 2", stripped, tag=Tag(QTAG, 5)) == steered(0x0500)


def test_fields_are_those_of_the_frame_in_tunnels_too() -> None:
    frame = v4(ip4(tcp()), 4)
    assert action("shift (steer_field 12 2)", frame) == steered(0x0008)


@pytest.mark.parametrize("program", ["steer_field 0", "steer_field_symmetric 0 4", "double_steer_field 4 0"])
@pytest.mark.parametrize("size", [0, 5, 4294967295])
def test_s53_fields_of_other_sizes(program: str, size: int) -> None:
    with pytest.raises(RangeError, match=f"a field has 1 to 4 bytes, not {size}"):
        compile_text(f"{program} {size}")


@pytest.mark.parametrize(
    "program", ["steer_field 509 4", "steer_field_symmetric 0 512 1", "double_steer_field 511 0 2"]
)
def test_fields_behind_the_window(program: str) -> None:
    with pytest.raises(RangeError, match="bytes into the frame: programs see the first 512"):
        compile_text(program)
