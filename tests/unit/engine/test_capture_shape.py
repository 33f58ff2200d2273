"""The shape of the rings, and what a capture refuses before it touches anything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pfq.codegen.memory import RingShape
from pfq.engine.capture import Capture, ring_shape
from pfq.errors import ProgramError, UsageError
from pfq.kernel.devices import ARPHRD_ETHER, Device

ETH0 = Device(3, "eth0", "", bytes(6), 1500, True, True, False, ARPHRD_ETHER, 1, None)


def with_mtu(mtu: int) -> Device:
    return replace(ETH0, mtu=mtu)


@pytest.mark.parametrize(
    ("mtu", "shape"),
    [
        (68, RingShape(4096, 128, 96)),
        (1500, RingShape(4096, 2048, 2016)),
        (1994, RingShape(4096, 2048, 2016)),
        (1995, RingShape(2048, 4096, 4064)),
        (9000, RingShape(1024, 9344, 9312)),
        (65536, RingShape(128, 65600, 65535)),
    ],
)
def test_rings_for_a_whole_frame(mtu: int, shape: RingShape) -> None:
    """Frame, Ethernet header and two tags; a ring takes at most 8 MiB or 4096 slots."""
    assert ring_shape(with_mtu(mtu), None, None) == shape


@pytest.mark.parametrize(
    ("snaplen", "slot_bytes"), [(1, 128), (96, 128), (97, 256), (2016, 2048), (9312, 9344), (65535, 65600)]
)
def test_the_snap_length_is_kept_as_it_is_asked_for(snaplen: int, slot_bytes: int) -> None:
    shape = ring_shape(ETH0, snaplen, 64)
    assert (shape.snaplen, shape.slot_bytes) == (snaplen, slot_bytes)


@pytest.mark.parametrize(
    ("slots", "rounded"), [(1, 2), (2, 2), (3, 4), (64, 64), (65, 128), (4097, 8192), (1 << 18, 1 << 18)]
)
def test_slots_are_rounded_up_to_a_power_of_two(slots: int, rounded: int) -> None:
    assert ring_shape(ETH0, None, slots).slots == rounded


@pytest.mark.parametrize("snaplen", [0, -1, 65536])
def test_snap_lengths_that_cannot_be(snaplen: int) -> None:
    with pytest.raises(UsageError, match=f"the snap length is 1 to 65535 bytes, not {snaplen}"):
        ring_shape(ETH0, snaplen, None)


@pytest.mark.parametrize("slots", [0, -1, (1 << 18) + 1])
def test_numbers_of_slots_that_cannot_be(slots: int) -> None:
    with pytest.raises(UsageError, match=f"a ring has 1 to 262144 slots, not {slots}"):
        ring_shape(ETH0, None, slots)


@pytest.mark.parametrize("endpoints", [0, -1, 65])
def test_a_capture_has_1_to_64_end_points(endpoints: int) -> None:
    with pytest.raises(UsageError, match=f"a capture has 1 to 64 end-points, not {endpoints}"):
        Capture("eth0", "ip", endpoints=endpoints)


@pytest.mark.parametrize(("argument", "hint"), [("binding", "tap, inline"), ("direction", "in, out, inout")])
def test_unknown_words(argument: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"there is no {argument} `both`") as caught:
        Capture("eth0", "ip", **{argument: "both"})  # type: ignore[arg-type]
    assert caught.value.hint == f"there are: {hint}"


def test_a_wrong_program_is_refused() -> None:
    from pfq.lang import to_program

    with pytest.raises(ProgramError):
        to_program("ip >-> is_tcp")
