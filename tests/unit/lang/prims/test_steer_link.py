"""Steering by hardware addresses and VLANs."""

from __future__ import annotations

import pytest
from support.frames import ethernet, ip4, tcp
from support.handmade import ARP, FRAMES, IP4, QTAG, STAG, action, v4, with_macs

from pfq.errors import RangeError
from pfq.lang.action import ANY_CLASSES, Action, Fanout
from pfq.lang.compile import compile_text
from pfq.lang.packet import Tag

GATEWAY, HOST, OTHER, ALL_ONES = "020000000001", "0a1b2c3d4e5f", "0a1b2c3d4e60", "ffffffffffff"
# The three 16-bit words of each address as they lie in memory, read as little endian.
HASHES = {
    GATEWAY: 0x0002 ^ 0x0000 ^ 0x0100,
    HOST: 0x1B0A ^ 0x3D2C ^ 0x5F4E,
    OTHER: 0x1B0A ^ 0x3D2C ^ 0x604E,
}
LOCAL_LINK = 'steer_local_link "02:00:00:00:00:01"'
BY_MACS = ("steer_link", "double_steer_mac", LOCAL_LINK)
EVERYBODY = Action(Fanout.COPY, ANY_CLASSES)


def frame(dst: str, src: str) -> bytes:
    return with_macs(v4(tcp()), dst, src)


def steered(hashed: int) -> Action:
    return Action(Fanout.STEER, hash=hashed)


def doubled(first: int, second: int) -> Action:
    return Action(Fanout.DOUBLE, hash=first, hash2=second)


def test_s45_steer_link_keeps_both_directions_together() -> None:
    wanted = steered(HASHES[HOST] ^ HASHES[OTHER])
    assert action("steer_link", frame(HOST, OTHER)) == wanted
    assert action("steer_link", frame(OTHER, HOST)) == wanted


def test_s48_double_steer_mac_goes_to_both_hosts() -> None:
    assert action("double_steer_mac", frame(HOST, OTHER)) == doubled(HASHES[HOST], HASHES[OTHER])
    assert action("double_steer_mac", frame(OTHER, HOST)) == doubled(HASHES[OTHER], HASHES[HOST])


@pytest.mark.parametrize(
    ("dst", "src", "wanted"),
    [
        (GATEWAY, HOST, steered(HASHES[HOST])),
        (HOST, GATEWAY, steered(HASHES[HOST])),
        (HOST, OTHER, doubled(HASHES[HOST], HASHES[OTHER])),
        (OTHER, HOST, doubled(HASHES[OTHER], HASHES[HOST])),
        (GATEWAY, GATEWAY, steered(HASHES[GATEWAY])),
    ],
)
def test_s47_steer_local_link(dst: str, src: str, wanted: Action) -> None:
    assert action(LOCAL_LINK, frame(dst, src)) == wanted


def test_all_bytes_of_the_gateway_address_count() -> None:
    for at in range(12):
        near = GATEWAY[:at] + ("3" if GATEWAY[at] != "3" else "4") + GATEWAY[at + 1 :]
        assert action(LOCAL_LINK, frame(near, HOST)).fanout is Fanout.DOUBLE
        assert action(LOCAL_LINK, frame(HOST, near)).fanout is Fanout.DOUBLE


@pytest.mark.parametrize("program", BY_MACS)
def test_broadcasts_go_to_all(program: str) -> None:
    assert action(program, frame(ALL_ONES, HOST)) == EVERYBODY
    assert action(program, frame(HOST, ALL_ONES)) == EVERYBODY
    assert action(program, frame(ALL_ONES, GATEWAY)) == EVERYBODY
    for near in ("7fffffffffff", "fffffffffffe", "ffffff7fffff"):
        assert action(program, frame(near, HOST)) != EVERYBODY


@pytest.mark.parametrize("program", BY_MACS)
def test_a_whole_ethernet_header_is_needed(program: str) -> None:
    whole = with_macs(ethernet(b"", ARP), GATEWAY, HOST)
    assert len(whole) == 14
    assert action(program, whole).fanout is not Fanout.DROP
    for length in (0, 6, 12, 13):
        assert action(program, whole[:length]) == Action(Fanout.DROP)


@pytest.mark.parametrize("program", [*BY_MACS, "steer_vlan"])
def test_the_outermost_header_counts_in_tunnels_too(program: str) -> None:
    tunnel = with_macs(ethernet(ip4(ip4(tcp()), 4), IP4, [(QTAG, 5)]), HOST, OTHER)
    assert action(f"shift ({program})", tunnel) == action(program, tunnel)


@pytest.mark.parametrize(
    "text",
    ["", "gateway", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "02-00-00-00-00-01", "02:00:00:00:00:0g",
     " 02:00:00:00:00:01", "02:00:00:00:00:01\\n"],
)  # fmt: skip
def test_a_gateway_that_is_no_hardware_address(text: str) -> None:
    with pytest.raises(RangeError, match="is no hardware address: write six pairs of hexadecimal digits"):
        compile_text(f'steer_local_link "{text}"')


def test_hexadecimal_digits_of_either_case() -> None:
    lower, upper = (f'steer_local_link "{text}"' for text in ("0a:1b:2c:3d:4e:5f", "0A:1B:2C:3D:4E:5F"))
    to_gateway = frame(HOST, OTHER)
    assert action(lower, to_gateway) == action(upper, to_gateway) == steered(HASHES[OTHER])


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ([(QTAG, 5)], steered(5)),
        ([(QTAG, 0xE005)], steered(5)),
        ([(QTAG, 0xFFFF)], steered(0xFFF)),
        ([(STAG, 9), (QTAG, 5)], steered(9)),
        ([(STAG, 0), (QTAG, 5)], Action(Fanout.DROP)),
        ([(QTAG, 0xE000)], Action(Fanout.DROP)),
        ([(0x9100, 5)], Action(Fanout.DROP)),
        ([], Action(Fanout.DROP)),
    ],
)
def test_s46_steer_vlan(tags: list[tuple[int, int]], wanted: Action) -> None:
    assert action("steer_vlan", v4(tcp(), tags=tags)) == wanted


def test_s46_the_device_may_have_taken_the_tag_off() -> None:
    assert action("steer_vlan", v4(tcp()), tag=Tag(QTAG, 0x2007)) == steered(7)
    assert action("steer_vlan", v4(tcp(), tags=[(QTAG, 5)]), tag=Tag(STAG, 9)) == steered(9)
    assert action("steer_vlan", v4(tcp(), tags=[(QTAG, 5)]), tag=Tag(STAG, 0)) == Action(Fanout.DROP)


def test_s46_a_tag_that_is_cut_off() -> None:
    tagged = v4(tcp(), tags=[(QTAG, 5)])
    assert action("steer_vlan", tagged[:16]) == steered(5)
    assert action("steer_vlan", tagged[:15]) == Action(Fanout.DROP)
    assert action("steer_vlan", FRAMES["tag alone"]) == steered(5)
