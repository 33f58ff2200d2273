"""`pfq_symmetric_hash` is the hash of `steer_flow`, and `pfq_fold` what statement 56 of the original did with it."""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from support.c_client import CClient
from support.frames import (
    EXTENSIONS,
    ethernet,
    ethernet_captures,
    ethernet_frames,
    extended,
    frames,
    ip4,
    ip6,
    tcp,
    udp,
)
from support.mutations import mutated

from pfq.engine.steering import mix
from pfq.lang.interp import Machine, World
from pfq.lang.packet import Packet
from pfq.lang.prims.steering import steer_flow

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")]

MOST = 2000
"""Frames of captures."""


@pytest.fixture(scope="module")
def c() -> Iterator[CClient]:
    with CClient("") as made:
        yield made


def meant(frame: bytes) -> int:
    machine = Machine(Packet(frame), 0, World(), {})
    return machine.action.hash if steer_flow(machine) else 0


def hashed(c: CClient, frame: bytes) -> int:
    return int(c.must("hash", frame.hex()).text)


def test_frames_of_captures_and_damaged_ones(c: CClient) -> None:
    real = [frame for path in ethernet_captures() for frame in ethernet_frames(path)]
    some = random.Random(1).sample(real, min(MOST, len(real)))
    damaged = mutated(some, MOST, seed=2)
    found = [meant(frame) for frame in (*some, *damaged)]
    assert [hashed(c, frame) for frame in (*some, *damaged)] == found
    assert len(set(found)) > 100


def test_made_up_frames(c: CClient) -> None:
    @settings(max_examples=500)
    @given(frames())
    def agrees(frame: bytes) -> None:
        assert hashed(c, frame) == meant(frame)

    agrees()


def test_every_length_of_a_frame(c: CClient) -> None:
    for packet, kind in ((ip4(tcp()), 0x800), (ip6(tcp()), 0x86DD)):
        frame = ethernet(packet, kind, [(0x8100, 5), (0x88A8, 6)])
        for size in range(len(frame) + 1):
            assert hashed(c, frame[:size]) == meant(frame[:size])
        assert hashed(c, frame) != 0


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_ipv6_extension_headers(c: CClient, kind: int) -> None:
    for length in range(4):
        for parts in (0, 1, 2, 8, 0xFFF8):
            for many in (1, 2, 8, 9):
                proto, data = extended([(kind, length, parts)] * many, 17, udp())
                frame = ethernet(ip6(data, proto), 0x86DD)
                assert hashed(c, frame) == meant(frame), (length, parts, many)


def test_both_directions_are_the_same(c: CClient) -> None:
    def there(a: bytes, b: bytes, one: int, other: int) -> bytes:
        return ethernet(ip4(tcp(one, other), src=a, dst=b), 0x800)

    chance = random.Random(3)
    for _ in range(50):
        a, b = (struct.pack(">I", chance.randrange(1 << 32)) for _ in "ab")
        one, other = chance.randrange(1 << 16), chance.randrange(1 << 16)
        assert hashed(c, there(a, b, one, other)) == hashed(c, there(b, a, other, one)) != 0


ORIGINAL = {
    2: "0 1 0 1 1 0 1 0 0 0 0 1 1 1 1 0",
    3: "0 1 2 1 2 2 1 1 2 1 2 0 0 2 1 1",
    4: "2 3 0 1 1 0 3 2 0 0 2 3 3 1 1 0",
    5: "0 4 1 3 1 1 2 2 2 2 1 0 1 1 3 2",
    8: "6 7 0 1 5 4 7 6 0 0 6 7 7 1 5 4",
}
"""What the original makes of the hashes 0 to 15 for so many sockets."""


@pytest.mark.parametrize("n", ORIGINAL)
def test_folding_is_the_original_s(c: CClient, n: int) -> None:
    assert [c.must("fold", hash_, n).code for hash_ in range(16)] == [int(each) for each in ORIGINAL[n].split()]


def test_folding_for_any_number(c: CClient) -> None:
    chance = random.Random(4)
    assert [c("fold", 12345, n).code for n in (0, 1)] == [0, 0]
    for n in (6, 7, 9, 12, 100, 1000, 65536, (1 << 31) - 1):
        for hash_ in (0, 0xFFFFFFFF, *(chance.randrange(1 << 32) for _ in range(40))):
            mixed = mix(hash_)
            masked = mixed & ((1 << (n - 1).bit_length()) - 1)
            wanted = mixed % n if n < 8 or masked >= n else masked
            assert c("fold", hash_, n).code == wanted < n
