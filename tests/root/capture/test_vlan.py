"""S1: frames with VLAN tags are the same in every mode, though Linux takes the outer tag off before TC sees them."""

from __future__ import annotations

import struct

import pytest
from root.capture.harness import opened, packets, send, settled
from root.network import ETHERTYPE, Pair

from pfq.engine.hooks import HookChoice

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

MACS = b"\xff" * 6 + b"\x02pfqt\x00"
CTAG, STAG = 0x8100, 0x88A8


def tagged(*tags: tuple[int, int], payload: int = 50) -> bytes:
    """A frame with tags (EtherType, control information), outermost first."""
    words = [word for tag in tags for word in tag]
    return MACS + struct.pack(f">{len(words) + 1}H", *words, ETHERTYPE) + bytes(range(1, payload + 1))


FRAMES = {
    "none": tagged(),
    "802.1Q": tagged((CTAG, 0x2064)),
    "802.1ad": tagged((STAG, 0x0FFF)),
    "priority only": tagged((CTAG, 0xE000)),
    "all zero": tagged((CTAG, 0)),
    "QinQ": tagged((STAG, 100), (CTAG, 200)),
    "two of one kind": tagged((CTAG, 300), (CTAG, 0xF190)),
    "three": tagged((STAG, 1), (STAG, 2), (CTAG, 3)),
    "no payload": tagged((CTAG, 5), payload=2),
    "64 bytes": tagged((CTAG, 6), payload=46),
    "1518 bytes": tagged((CTAG, 7), payload=200) + bytes(1300),
}
TAGS = [int.from_bytes(f[14:16], "big") if f[12:14] in (b"\x81\x00", b"\x88\xa8") else 0 for f in FRAMES.values()]


def test_S1_bytes_and_tag(netns_pair: Pair, mode: HookChoice) -> None:
    for snaplen in (2016, 96, 18, 17, 16, 15, 14, 13, 12, 6):
        with opened(netns_pair, hook=mode, snaplen=snaplen, slots=16) as capture, netns_pair.sender() as sender:
            send(sender, FRAMES.values())
            settled(capture, len(FRAMES))
            capture.stop()
            got = packets(capture[0])
        assert [packet.data for packet in got] == [frame[:snaplen] for frame in FRAMES.values()], snaplen
        assert [packet.len for packet in got] == [len(frame) for frame in FRAMES.values()]
        assert [packet.vlan_tci for packet in got] == TAGS
