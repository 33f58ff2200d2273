"""GTP: what belongs to which plane, and who gets the packets of a subscriber."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from support.frames import gtp, ip4, ip6, tcp, udp
from support.handmade import FRAMES, action, passed, v4, v6

from pfq.errors import RangeError
from pfq.lang.action import ANY_CLASSES, Action, Fanout
from pfq.lang.compile import compile_text

USER, CONTROL = 2152, 2123
ECHO, END_MARKER, PACKET = 1, 254, 255
VERSION_2 = bytes([0x48, 32, 0, 4, 0, 0, 0, 0])
"""The first 8 bytes of a message of version 2, with a tunnel identifier."""

NOWHERE, EVERYBODY = Action(Fanout.DROP), Action(Fanout.COPY, ANY_CLASSES)
SUBSCRIBER, SECOND, REMOTE, FAR = "10.1.2.3", "10.9.9.9", "8.8.4.4", "1.2.3.4"
# As they lie in memory, read as little endian.
HASHES = {SUBSCRIBER: 0x0302010A, SECOND: 0x0909090A}

STEER = "steer_gtp_usr 10.0.0.0 8"


def message(payload: bytes, src: int = USER, dst: int = USER, version: int = 4) -> bytes:
    return (v4 if version == 4 else v6)(udp(src, dst, payload), 17)


def inner(src: str, dst: str) -> bytes:
    source, destination = ip_address(src).packed, ip_address(dst).packed
    return ip4(tcp(), 6, source, destination) if len(source) == 4 else ip6(tcp(), 6, source, destination)


PLANES = {
    "a packet": ("up", message(gtp(inner(SUBSCRIBER, REMOTE)))),
    "a packet over IPv6": ("up", message(gtp(inner(SUBSCRIBER, REMOTE)), version=6)),
    "an echo": ("up", message(gtp(b"", message=ECHO))),
    "an answer": ("up", message(gtp(b"", message=2), USER, 40000)),
    "flags": ("up", message(gtp(b"", flags=0x37))),
    "8 bytes": ("up", message(gtp(b""))),
    "7 bytes": ("", message(gtp(b"")[:7])),
    "version 2 of the user plane": ("", message(VERSION_2)),
    "version 0": ("", message(gtp(b"", flags=0x10))),
    "charging": ("", message(gtp(b"", flags=0x20))),
    "another port": ("", message(gtp(b""), 2151, 2153)),
    "control, version 1": ("cp", message(gtp(b"", message=16), 40000, CONTROL)),
    "control, an answer": ("cp", message(gtp(b"", message=17), CONTROL, 40000)),
    "control, version 2": ("cp", message(VERSION_2, CONTROL, CONTROL)),
    "control, version 2 over IPv6": ("cp", message(VERSION_2, CONTROL, CONTROL, 6)),
    "control, version 3": ("", message(b"\x60" + VERSION_2[1:], CONTROL, CONTROL)),
    "control, version 0": ("", message(gtp(b"", flags=0x1E), CONTROL, CONTROL)),
    "control, charging": ("", message(gtp(b"", flags=0x2E), CONTROL, CONTROL)),
    "control, 7 bytes": ("", message(VERSION_2[:7], CONTROL, CONTROL)),
    "TCP": ("", v4(tcp(USER, USER, payload=gtp(b"")))),
    "a first fragment": ("up", v4(udp(USER, USER, gtp(b"")), 17, parts=0x2000)),
    "a later fragment": ("", v4(udp(USER, USER, gtp(b"")), 17, parts=1)),
}


@pytest.mark.parametrize(("plane", "frame"), PLANES.values(), ids=list(PLANES))
def test_planes(plane: str, frame: bytes) -> None:
    for name, wanted in (("gtp", plane != ""), ("gtp_cp", plane == "cp"), ("gtp_up", plane == "up")):
        assert passed(f"filter is_{name}", frame) is wanted
        assert passed(name, frame) is wanted


@pytest.mark.parametrize("name", FRAMES)
def test_no_other_packet_is_gtp(name: str) -> None:
    assert not passed("gtp", FRAMES[name])
    assert action(STEER, FRAMES[name]) == NOWHERE


@pytest.mark.parametrize(
    ("src", "dst", "wanted"),
    [
        (SUBSCRIBER, REMOTE, Action(Fanout.STEER, hash=HASHES[SUBSCRIBER])),
        (REMOTE, SUBSCRIBER, Action(Fanout.STEER, hash=HASHES[SUBSCRIBER])),
        (SUBSCRIBER, SECOND, Action(Fanout.DOUBLE, hash=HASHES[SUBSCRIBER], hash2=HASHES[SECOND])),
        (REMOTE, FAR, NOWHERE),
        ("2001:db8::1", "2001:db8::2", NOWHERE),
    ],
)
@pytest.mark.parametrize("version", [4, 6])
def test_packets_go_to_their_subscriber(src: str, dst: str, wanted: Action, version: int) -> None:
    assert action(STEER, message(gtp(inner(src, dst)), version=version)) == wanted
    assert action(STEER, message(gtp(inner(src, dst), flags=0x34, extensions=(1, 2)), version=version)) == wanted


def test_all_plain_signalling_goes_to_all() -> None:
    for frame in (
        message(gtp(b"", message=ECHO)),
        message(gtp(b"", message=2), USER, 40000),
        message(gtp(b"", message=END_MARKER)),
        message(gtp(inner(REMOTE, FAR), message=ECHO)),
        message(gtp(b"", message=16), 40000, CONTROL),
        message(VERSION_2, CONTROL, CONTROL),
    ):
        assert action(STEER, frame) == EVERYBODY


def test_a_packet_that_cannot_be_read_goes_nowhere() -> None:
    carried = inner(SUBSCRIBER, REMOTE)
    for payload in (b"", carried[:19], b"\0" * 40, b"\x60" + carried):
        assert action(STEER, message(gtp(payload))) == NOWHERE
    assert action(STEER, message(gtp(carried[:20]))).fanout is Fanout.STEER


@pytest.mark.parametrize("name", [name for name, (plane, _) in PLANES.items() if not plane])
def test_what_is_no_gtp_goes_nowhere(name: str) -> None:
    assert action(STEER, PLANES[name][1]) == NOWHERE


def test_a_tunnel_in_a_tunnel() -> None:
    nested = ip4(udp(USER, USER, gtp(inner(SUBSCRIBER, REMOTE))), 17, *(ip_address(a).packed for a in (FAR, REMOTE)))
    frame = v4(nested, 4)
    assert action(STEER, frame) == NOWHERE
    assert action(f"shift ({STEER})", frame) == Action(Fanout.STEER, hash=HASHES[SUBSCRIBER])


@pytest.mark.parametrize("length", [-1, 33])
def test_wrong_prefix_length(length: int) -> None:
    with pytest.raises(RangeError, match="its length must be 0 to 32"):
        compile_text(f"steer_gtp_usr 10.0.0.0 ({length})")
