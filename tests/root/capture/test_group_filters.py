"""Filters of a capture: what they reject is counted and goes nowhere, wherever the tag and the bytes of a frame lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from root.capture.harness import opened, packets, send, settled
from root.capture.test_vlan_primitives import CTAG, FRAMES, MACS, STAG, frames_for, tagged
from root.network import Pair

from pfq.engine.capture import Capture
from pfq.engine.hooks import HookChoice
from pfq.engine.statistics import GroupStatistics
from pfq.errors import LiteralError, PfqError, UsageError
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.group import Filters, vlan_filter
from pfq.lang.packet import Packet

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

NUMBERED = bytes(at % 251 for at in range(9000))
CASES: tuple[tuple[str | None, list[int] | None], ...] = (
    ("vlan 100", None),
    ("vlan and vlan", [-1]),
    ("ip or vlan and ip", [0, 100]),
    (None, [0]),
    (None, [-1]),
    (None, []),
    ("len > 60", [100]),
    ("not vlan", None),
)


def get(capture: Capture, count: int) -> tuple[list[bytes], GroupStatistics]:
    """What the reader of end-point 0 gets once so many packets have arrived, and the counters."""
    settled(capture, count)
    capture.stop()
    return [packet.data for packet in packets(capture[0])], capture.statistics().groups[0]


def admitted(frames: Iterable[bytes], wanted: str | None, ids: list[int] | None) -> list[bytes]:
    """By the reference, which sees the tag in the frame."""
    filters = Filters(None if wanted is None else BerkeleyFilter.parse(wanted), vlan_filter(ids))
    return [frame for frame in frames if filters.admits(Packet(frame))]


@pytest.mark.parametrize(("wanted", "ids"), CASES, ids=str)
def test_S1_filters_on_tagged_frames(
    netns_pair: Pair, mode: HookChoice, wanted: str | None, ids: list[int] | None
) -> None:
    frames = list(frames_for(mode).values())
    passed = admitted(frames, wanted, ids)
    with (
        opened(netns_pair, "inc 0", filter=wanted, vlans=ids, hook=mode, slots=64) as capture,
        netns_pair.sender() as sender,
    ):
        send(sender, frames)
        got, counted = get(capture, len(frames))
    assert got == passed
    assert (counted.arrived, counted.filtered) == (len(frames), len(frames) - len(passed))
    assert (counted.selected, counted.counters[0], counted.dropped) == (len(passed), len(passed), 0)


def test_the_cases_tell_frames_apart() -> None:
    for wanted, ids in CASES:
        assert len(admitted(FRAMES.values(), wanted, ids)) < len(FRAMES)


@pytest.mark.parametrize("tags", [[], [(CTAG, 100)], [(STAG, 100), (CTAG, 200)]], ids=["untagged", "one", "two"])
@pytest.mark.parametrize("at", [505, 507, 509, 511, 512, 700, 8000])
def test_filters_see_the_whole_frame_as_it_was_on_the_wire(
    netns_pair: Pair, mode: HookChoice, tags: list[tuple[int, int]], at: int
) -> None:
    """Also behind the header window, in the second buffer of a frame, and behind a tag that Linux took off."""
    for pair, device in ((netns_pair.a, netns_pair.dev_a), (netns_pair.b, netns_pair.dev_b)):
        pair.run("ip", "link", "set", device, "mtu", "9000")
    first = len(tagged(*tags, payload=b""))
    frames = [tagged(*tags, kind=0x88B5, payload=NUMBERED[skip : skip + 8900 - first]) for skip in range(4)]
    value = int.from_bytes(frames[2][at : at + 4], "big")
    wanted = f"ether[{at}:4] = {value}"
    assert admitted(frames, wanted, None) == [frames[2]]
    with opened(netns_pair, filter=wanted, hook=mode) as capture, netns_pair.sender() as sender:
        send(sender, frames)
        got, counted = get(capture, len(frames))
    assert got == [frames[2]]
    assert (counted.filtered, counted.selected) == (3, 1)


def test_outgoing_packets_are_filtered_too(netns_pair: Pair) -> None:
    frames = [tagged(payload=b"\x45" + bytes(45)), tagged((CTAG, 5)), tagged()]
    with (
        netns_pair.a.call(Capture, netns_pair.dev_a, filter="udp", vlans=[0], direction="out") as capture,
        netns_pair.sender() as sender,
    ):
        send(sender, frames)
        got, counted = get(capture, len(frames))
    assert got == [frames[2]]
    assert counted.filtered == 2


@pytest.mark.parametrize("given", ["expression", "tcpdump -ddd", "instructions", "lists", "filter"])
def test_what_a_filter_may_be(netns_pair: Pair, given: str) -> None:
    parsed = BerkeleyFilter.parse("udp port 53")
    lines = [str(len(parsed.instructions)), *(" ".join(map(str, each)) for each in parsed.instructions)]
    wanted = {
        "expression": "udp port 53",
        "tcpdump -ddd": "\n".join(lines) + "\n",
        "instructions": parsed.instructions,
        "lists": [list(each) for each in parsed.instructions],
        "filter": parsed,
    }[given]
    frames = [tagged(), MACS + b"\x88\xb5" + bytes(46)]
    with opened(netns_pair, filter=wanted) as capture, netns_pair.sender() as sender:
        send(sender, frames)
        got, _ = get(capture, len(frames))
    assert got == frames[:1]


REFUSED: Sequence[tuple[type[PfqError], str, dict[str, object]]] = (
    (LiteralError, "libpcap refuses the filter", {"filter": "tcp prt 80"}),
    (LiteralError, "has no instructions", {"filter": []}),
    (LiteralError, "past the end", {"filter": [(5, 0, 0, 9)]}),
    (UsageError, "not four numbers", {"filter": [(6, 0, 0)]}),
    (UsageError, "out of its range", {"filter": [(6, 0, 0, -1)]}),
    (UsageError, "a filter is an expression or a list", {"filter": 80}),
    (UsageError, "there is no VLAN id 4095", {"vlans": [4095]}),
    (UsageError, "there is no VLAN id '5'", {"vlans": ["5"]}),
    (UsageError, "a VLAN filter is a list of ids", {"vlans": 5}),
    (UsageError, "a VLAN filter is a list of ids", {"vlans": "5"}),
)


@pytest.mark.parametrize(("kind", "why", "options"), REFUSED, ids=lambda value: str(value))
def test_filters_that_cannot_be(netns_pair: Pair, kind: type[PfqError], why: str, options: dict[str, object]) -> None:
    with pytest.raises(kind) as caught:
        opened(netns_pair, **options)
    assert why in caught.value.message
    assert caught.value.hint or kind is LiteralError
