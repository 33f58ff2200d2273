"""Bytes and lengths of frames of every size: the code that copies them, in all its branches."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence

import pytest
from root.capture.harness import Packet, opened, packets, send, settled
from root.network import ETHERTYPE, Namespace, Pair

import pfq
from pfq.engine.capture import LONGEST_SNAPLEN
from pfq.engine.hooks import HookChoice

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

HEAD = b"\xff" * 6 + b"\x02pfqt\x00" + ETHERTYPE.to_bytes(2, "big")
NOISE = random.Random(7).randbytes(70_000)


def noise(size: int) -> bytes:
    """A frame of that size; what follows its header differs from size to size."""
    return HEAD + NOISE[size : 2 * size - len(HEAD)]


def captured(pair: Pair, mode: HookChoice, frames: Sequence[bytes], snaplen: int | None) -> list[Packet]:
    """The frames as they arrive; all of them do."""
    with opened(pair, hook=mode, snaplen=snaplen, slots=1024) as capture, pair.sender() as sender:
        send(sender, frames)
        settled(capture, len(frames))
        capture.stop()
        got = packets(capture[0])
    assert capture.statistics().lost == 0
    return got


def check(got: Sequence[Packet], frames: Sequence[bytes], snaplen: int) -> None:
    assert [(p.len, p.caplen, p.data) for p in got] == [(len(f), min(len(f), snaplen), f[:snaplen]) for f in frames]


@pytest.mark.parametrize("snaplen", [96, 2016])
def test_M1_every_length(netns_pair: Pair, mode: HookChoice, snaplen: int) -> None:
    frames = [noise(size) for size in [*range(14, 301), 511, 512, 513, 1513, 1514]]
    check(captured(netns_pair, mode, frames, snaplen), frames, snaplen)


@pytest.mark.parametrize("hook", ["xdp", "clsact"])
def test_many_snap_lengths(netns_pair: Pair, hook: HookChoice) -> None:
    """Around the sizes at which the copying changes its way."""
    for snaplen in (1, 7, 8, 9, 14, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257):
        frames = [noise(size) for size in (14, *range(snaplen - 9, snaplen + 10), 2 * snaplen, 600) if size >= 14]
        check(captured(netns_pair, hook, frames, snaplen), frames, snaplen)


@pytest.mark.parametrize("snaplen", [None, 9000, 1514, 96])
def test_frames_of_9000_bytes(netns_pair: Pair, mode: HookChoice, snaplen: int | None) -> None:
    """Frames in several buffers: copied whole when there is room, their length reported in any case."""
    netns_pair.a.run("ip", "link", "set", netns_pair.dev_a, "mtu", "9000")
    netns_pair.b.run("ip", "link", "set", netns_pair.dev_b, "mtu", "9000")
    frames = [noise(size) for size in (60, 1514, 3500, 3520, 4096, 4110, 8192, 9000, 9013, 9014)]
    check(captured(netns_pair, mode, frames, snaplen), frames, snaplen or 9014)


def test_a_frame_longer_than_any_slot(netns: Namespace) -> None:
    """A datagram over `lo` is in one frame of up to 65,549 bytes."""

    def exchange() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plug:
            plug.sendto(NOISE[:65_507], ("127.0.0.1", 9))

    with netns.call(pfq.capture, "lo", "udp", snaplen=LONGEST_SNAPLEN, slots=4) as capture:
        netns.call(exchange)
        batch = capture[0].read(timeout=5)
        assert batch is not None
        assert (batch.len[0], batch.caplen[0]) == (14 + 20 + 8 + 65_507, LONGEST_SNAPLEN)
        assert batch.bytes(0)[42:] == NOISE[: LONGEST_SNAPLEN - 42]
