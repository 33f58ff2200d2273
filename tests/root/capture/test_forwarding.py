"""Copies on other devices: which packets, how often, every byte; and devices that come and go."""

from __future__ import annotations

import itertools
import logging
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from root.capture.harness import check_identities, flow_frame, packets, send, settled
from root.left import left_since, snapshot
from root.network import ETHERTYPE, Namespace, Pair, eventually, is_running, namespace, numbered

import pfq
from pfq.engine.capture import Capture
from pfq.engine.hooks import HookChoice
from pfq.errors import DeviceMissingError, UsageError
from pfq.kernel import devices
from pfq.kernel.watch import Change, Event

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

COUNT = 32
FRAMES = [flow_frame(number) for number in range(COUNT)]
TC_HOOKS = ["auto", "clsact"]
"""Those that can forward; `auto` is tcx where the kernel has it."""

_numbers = itertools.count(30)


def far(target: str) -> str:
    """The other end of a target's cable."""
    return f"{target}-far"


def add_target(pair: Pair, target: str) -> int:
    """A device in `b`, joined to another one in `a` that receives what is sent on it. Its number."""
    here, there = next(_numbers), next(_numbers)  # ends with the same number see their carrier later
    peer = ["peer", "name", far(target), "index", str(there), "netns", pair.a.name]
    pair.b.run("ip", "link", "add", target, "index", str(here), "type", "veth", *peer)
    for inside, device in ((pair.a, far(target)), (pair.b, target)):
        inside.run("ip", "link", "set", device, "up")
    assert eventually(lambda: is_running(pair.b, target) and is_running(pair.a, far(target)))
    return here


@pytest.fixture
def targets(netns_pair: Pair) -> Pair:
    for target in ("out0", "out1"):
        add_target(netns_pair, target)
    return netns_pair


@contextmanager
def receiving(pair: Pair, *names: str) -> Iterator[list[Capture]]:
    """Captures of what arrives at the other ends of targets."""
    with ExitStack() as stack:
        yield [stack.enter_context(started(pair.a, far(name))) for name in names]


def started(inside: Namespace, device: str, program: str = "unit", **options: Any) -> Capture:
    """A capture with small rings, which are made sooner."""
    return inside.call(pfq.capture, device, program, slots=1024, **options)


def opened(pair: Pair, program: str, **options: Any) -> Capture:
    """A capture that forwards what arrives at `dev_b`."""
    return started(pair.b, pair.dev_b, program, **options)


def got(capture: Capture, count: int) -> list[bytes]:
    """So many frames, once they are there, and no more than these."""
    settled(capture, count)
    capture.stop()
    return [packet.data for packet in packets(capture[0])]


def forwarded(pair: Pair, program: str, *counts: int, **options: Any) -> list[list[bytes]]:
    """What the targets, as many as there are counts, get of `FRAMES`, and last what the end-point gets."""
    names = [f"out{number}" for number in range(len(counts))]
    with receiving(pair, *names) as ends, opened(pair, program, **options) as capture:
        with pair.sender() as sender:
            send(sender, FRAMES)
        settled(capture, COUNT)
        found = [got(end, count) for end, count in zip(ends, counts, strict=True)]
        found.append(got(capture, COUNT))
        statistics = capture.statistics()
    check_identities(statistics)
    (group,) = statistics.groups
    assert (group.forwarded, group.unsent) == (sum(counts), 0)
    assert group.selected - group.nobody == len(found[-1])
    return found


def of_flow(flow: int) -> list[bytes]:
    """The frames from and to that flow's port; one in 16."""
    return FRAMES[flow::16]


def but_flow(flow: int) -> list[bytes]:
    return [frame for frame in FRAMES if frame not in of_flow(flow)]


# 61, 64, 65, 68


@pytest.mark.parametrize("hook", TC_HOOKS)
def test_61_forward_once_for_each_occurrence(targets: Pair, hook: HookChoice) -> None:
    """The packet goes on: what follows sees it, and so does the end-point."""
    program = 'forward "out0" >-> forward "out1" >-> when (has_port 1003) (forwardIO "out0")'
    out0, out1, own = forwarded(targets, program, COUNT + 2, COUNT, hook=hook)
    twice = of_flow(3)
    assert out0 == [frame for frame in FRAMES for _ in range(1 + (frame in twice))]
    assert out1 == own == FRAMES


@pytest.mark.parametrize(
    ("program", "out0", "own"),
    [
        ('forward "out0" >-> drop', FRAMES, []),
        ('drop >-> forward "out0"', [], []),
        ('bridge "out0"', FRAMES, []),
        ('when (has_port 1002) (bridge "out0")', of_flow(2), but_flow(2)),
        ('tee "out0" (has_port 1002)', FRAMES, of_flow(2)),
        ('tap "out0" (has_port 1002)', but_flow(2), of_flow(2)),
        ('link ["out0", "pfqt-b"]', FRAMES, FRAMES),
        ('inv (bridge "out0")', FRAMES, FRAMES),
        ('forward "out0" >-> classify 5', FRAMES, []),
    ],
)
def test_61_65_what_is_sent_and_what_is_delivered(
    targets: Pair, program: str, out0: list[bytes], own: list[bytes]
) -> None:
    assert forwarded(targets, program, len(out0)) == [out0, own]


def test_64_link_sends_on_all_devices_but_the_one_it_came_from(targets: Pair) -> None:
    """One program for all three; here on two of them."""
    program = 'link ["pfqt-b", "out0", "out1"] >-> drop'
    out0, out1, own = forwarded(targets, program, COUNT, COUNT)
    assert (out0, out1, own) == (FRAMES, FRAMES, [])
    with (
        started(targets.b, "out0", program) as capture,
        started(targets.a, targets.dev_a) as back,
        receiving(targets, "out0", "out1") as (own_end, end),
        Pair(targets.a, targets.b, far("out0"), "out0").sender() as sender,
    ):
        send(sender, FRAMES)
        assert got(end, COUNT) == got(back, COUNT) == FRAMES
        assert got(own_end, 0) == []
        assert settled(capture, COUNT).groups[0].forwarded == 2 * COUNT


def test_65_at_most_16_copies_of_a_packet(targets: Pair) -> None:
    """The first 16 that are said; the end-point's copy is none of them."""
    program = " >-> ".join(['forward "out0"'] * 15 + ['forward "out1"'] * 3)
    out0, out1, own = forwarded(targets, program, 15 * COUNT, COUNT)
    assert out0 == [frame for frame in FRAMES for _ in range(15)]
    assert out1 == own == FRAMES


MACS = b"\xff" * 6 + b"\x02pfqt\x00"


def frame_of(*words: int, payload: int = 46) -> bytes:
    return MACS + struct.pack(f">{len(words)}H", *words) + bytes(n & 0xFF for n in range(1, payload + 1))


ALL_KINDS = [
    frame_of(ETHERTYPE),
    frame_of(0x8100, 0x2064, ETHERTYPE),
    frame_of(0x88A8, 0x0FFF, ETHERTYPE),
    frame_of(0x8100, 0xE000, ETHERTYPE),
    frame_of(0x8100, 0x0000, ETHERTYPE),
    frame_of(0x88A8, 100, 0x8100, 200, ETHERTYPE),
    frame_of(0x8100, 1, 0x8100, 2, 0x8100, 3, ETHERTYPE),
    frame_of(0x8100, 5, ETHERTYPE, payload=2),
    frame_of(ETHERTYPE, payload=1),
    frame_of(ETHERTYPE, payload=1500),
    frame_of(0x8100, 7, ETHERTYPE, payload=1496),
    frame_of(0x0800, payload=40),  # nonsense in place of IP
    flow_frame(5),
]
"""Linux takes the outer tag off before the program sees a frame; with the copy it goes on its way again."""


@pytest.mark.parametrize("hook", TC_HOOKS)
def test_68_every_byte_is_as_it_was(targets: Pair, hook: HookChoice) -> None:
    with receiving(targets, "out0", "out1") as ends, opened(targets, LOOK, hook=hook) as capture:
        with targets.sender() as sender:
            send(sender, ALL_KINDS)
        for end in ends:
            assert got(end, len(ALL_KINDS)) == ALL_KINDS
        assert got(capture, len(ALL_KINDS)) == ALL_KINDS
    assert capture.statistics().groups[0].unsent == 0


LOOK = 'forward "out0" >-> when (has_vlan .||. is_tcp .||. has_port 1) (inc 0) >-> forward "out1"'
"""With a look into the headers in between, for which Linux may have to move the frame."""


def test_66_two_bridges_are_transparent(netns_pair: Pair) -> None:
    """Between `a` and `c`, through `b`, whose Linux sees nothing of it."""
    pair = netns_pair
    with namespace("c") as c:
        add_target(pair, "out0")
        pair.a.run("ip", "link", "set", far("out0"), "netns", c.name)
        for inside, device, address in ((pair.a, pair.dev_a, "10.8.0.1/24"), (c, far("out0"), "10.8.0.3/24")):
            inside.run("ip", "link", "set", device, "up")
            inside.run("ip", "address", "add", address, "dev", device)
        assert eventually(lambda: is_running(pair.b, "out0"))
        there = opened(pair, 'bridge "out0"', binding="inline")
        back = started(pair.b, "out0", f'bridge "{pair.dev_b}"', binding="inline")
        with there, back, udp_socket(pair.a, "10.8.0.1") as one, udp_socket(c, "10.8.0.3") as other:
            for number in range(20):
                one.sendto(b"to %d" % number, other.getsockname())
                said, source = other.recvfrom(100)
                assert said == b"to %d" % number
                other.sendto(b"back %d" % number, source)
                assert one.recv(100) == b"back %d" % number
            groups = [capture.statistics().groups[0] for capture in (there, back)]
        for group in groups:
            assert group.arrived >= 21, "20 datagrams, and ARP before"
            assert (group.forwarded, group.unsent) == (group.arrived, 0)
            assert (group.selected, group.to_linux, group.dropped) == (0, 0, group.arrived)


def udp_socket(inside: Namespace, address: str) -> socket.socket:
    """A socket that waits at most some seconds."""
    made = inside.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, 0))
    made.settimeout(5.0)
    return made


# Linux


@pytest.mark.parametrize(
    ("hook", "program", "to_linux", "sent", "own"),
    [
        ("auto", 'forward "out0"', 0, COUNT, COUNT),
        ("auto", 'kernel >-> forward "out0" >-> kernel', COUNT, COUNT, COUNT),
        ("auto", 'when (has_port 1002) kernel >-> bridge "out0"', 2, COUNT, 0),
        ("clsact", 'when (has_port 1002) kernel >-> bridge "out0"', 2, COUNT, 0),
        ("auto", 'detour_if (has_port 1002) >-> forward "out0"', 2, COUNT - 2, COUNT - 2),
        ("auto", 'kernel_if (has_port 1002) >-> tee "out0" (has_port 1003)', 2, COUNT, 2),
    ],
)
def test_62_inline_linux_gets_what_is_passed_up(
    targets: Pair, hook: HookChoice, program: str, to_linux: int, sent: int, own: int
) -> None:
    """Once each, however often a program says so."""
    pair = targets
    with (
        receiving(pair, "out0") as (end,),
        linux_of(pair) as seen_by_linux,
        opened(pair, program, hook=hook, binding="inline") as capture,
        pair.sender() as sender,
    ):
        send(sender, FRAMES)
        assert len(got(end, sent)) == sent
        (group,) = settled(capture, COUNT).groups
        assert (group.to_linux, group.forwarded, group.selected) == (to_linux, sent, own)
        assert eventually(lambda: seen_by_linux() >= to_linux)
        time.sleep(0.02)
        assert seen_by_linux() == to_linux


@contextmanager
def linux_of(pair: Pair) -> Iterator[Callable[[], int]]:
    """How many IP packets from our device Linux in `b` has looked at; it has nobody to give them to."""

    def count() -> int:
        names, values = (line.split()[1:] for line in pair.b.run("cat", "/proc/net/snmp").splitlines()[:2])
        return int(dict(zip(names, values, strict=True))["InReceives"])

    before = count()
    yield lambda: count() - before


# devices that are not there


@pytest.mark.parametrize(
    "program",
    ['forward "out2"', 'bridge "out2"', 'tee "out2" is_tcp', 'tap "out2" is_tcp', 'link ["out2"] >-> forward "out2"'],
)
def test_a_device_that_is_missing(targets: Pair, program: str) -> None:
    before = snapshot()
    with pytest.raises(DeviceMissingError, match="the program forwards to `out2`, a device that does not exist") as no:
        opened(targets, program)
    assert no.value.exit_status == 3
    assert "out0" in str(no.value.hint)
    assert not left_since(before)
    assert "clsact" not in targets.b.run("tc", "qdisc", "show", "dev", targets.dev_b)


def test_link_leaves_out_missing_devices_until_they_appear(targets: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """And again when they go. What is left out is no copy that could not be sent."""
    pair = targets
    with caplog.at_level(logging.WARNING), opened(pair, 'link ["out2", "out0"]') as capture, pair.sender() as sender:
        assert "there is no device `out2`; nothing is sent there until it appears" in caplog.text

        def sent() -> tuple[int, int]:
            before = capture.statistics()
            send(sender, FRAMES)
            after = settled(capture, before.arrived + COUNT)
            assert after.groups[0].unsent == 0
            return after.groups[0].forwarded - before.groups[0].forwarded, COUNT

        assert sent() == (COUNT, COUNT)
        for change in ("add", "delete", "add", "rename", "rename back", "move", "add"):
            is_there = change in ("add", "rename back")
            CHANGES[change](pair)
            targets = capture._engine.upkeep.targets
            followed = eventually(lambda is_there=is_there, t=targets: (t.known["out2"] != 0) == is_there)
            assert followed, change
            assert sent() == ((2 if is_there else 1) * COUNT, COUNT), change
        with receiving(pair, "out2") as (end,):
            sent()
            assert got(end, COUNT) == FRAMES


def rename(pair: Pair, old: str, new: str) -> None:
    for words in ((old, "down"), (old, "name", new), (new, "up")):
        pair.b.run("ip", "link", "set", *words)


def move(pair: Pair) -> None:
    pair.b.run("ip", "link", "set", "out2", "netns", pair.a.name)
    pair.a.run("ip", "link", "del", "out2")


CHANGES: dict[str, Callable[[Pair], object]] = {
    "add": lambda pair: add_target(pair, "out2"),
    "delete": lambda pair: pair.b.run("ip", "link", "del", "out2"),
    "rename": lambda pair: rename(pair, "out2", "other"),
    "rename back": lambda pair: rename(pair, "other", "out2"),
    "move": move,
}


def test_a_target_that_goes_away_and_comes_back(targets: Pair) -> None:
    """Every copy meanwhile is counted as unsent; the end-point loses nothing."""
    pair = targets
    with opened(pair, 'forward "out0"') as capture, pair.sender() as sender:
        pair.b.run("ip", "link", "del", "out0")
        send(sender, FRAMES)
        (group,) = settled(capture, COUNT).groups
        assert (group.forwarded, group.unsent, group.selected) == (COUNT, COUNT, COUNT)
        number = add_target(pair, "out0")
        assert eventually(lambda: capture._engine.upkeep.targets.known["out0"] == number)
        with receiving(pair, "out0") as (end,):
            send(sender, FRAMES)
            assert got(end, COUNT) == FRAMES
        (group,) = settled(capture, 2 * COUNT).groups
        assert (group.forwarded, group.unsent) == (2 * COUNT, COUNT)


def test_a_target_that_is_down(targets: Pair) -> None:
    pair = targets
    with opened(pair, 'forward "out0" >-> forward "out1"') as capture, pair.sender() as sender:
        pair.b.run("ip", "link", "set", "out0", "down")
        send(sender, FRAMES)
        (group,) = settled(capture, COUNT).groups
        assert (group.forwarded, group.unsent) == (2 * COUNT, COUNT)


def test_what_happens_to_a_target_meanwhile_costs_no_copy(targets: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promiscuous mode and the MTU concern nobody; the program's number of the device is not touched."""
    pair = targets
    with opened(pair, 'forward "out0"') as capture:
        told: list[tuple[str, int]] = []
        (side,) = capture._engine.sides.values()
        monkeypatch.setattr(side.path, "set_device", lambda name, index: told.append((name, index)))
        for words in (("promisc", "on"), ("mtu", "1400"), ("promisc", "off")):
            pair.b.run("ip", "link", "set", "out0", *words)
        rename(pair, "out0", "other")
        assert eventually(lambda: ("out0", 0) in told)
        assert told == [("out0", 0)]


def test_another_device_has_taken_the_name(targets: Pair) -> None:
    """`link` sends on whichever is called so now. That another one is gone may be told late."""
    pair = targets
    old = pair.b.call(devices.device, "out0")
    with opened(pair, 'link ["out0"]') as capture, pair.sender() as sender:
        assert capture._engine.upkeep.targets.known == {"out0": old.index}
        rename(pair, "out0", "between")
        rename(pair, "out1", "out0")
        assert eventually(lambda: capture._engine.upkeep.targets.known["out0"] not in (0, old.index))
        capture._engine.upkeep.targets.follow(Event(Change.GONE, old, old))
        assert capture._engine.upkeep.targets.known["out0"] not in (0, old.index)
        with started(pair.a, far("out1")) as end:
            send(sender, FRAMES)
            assert got(end, COUNT) == FRAMES


# where it can be


@pytest.mark.parametrize("hook", ["xdp", "xdp-generic"])
@pytest.mark.parametrize("program", ['forward "out0"', 'when is_tcp (link ["out0"])'])
def test_xdp_cannot_forward(targets: Pair, hook: HookChoice, program: str) -> None:
    before = snapshot()
    with pytest.raises(UsageError, match=f"the program forwards packets, which it cannot at the hook `{hook}`") as no:
        opened(targets, program, hook=hook)
    assert "`auto`, `tcx` or `clsact`" in str(no.value.hint)
    assert not left_since(before)


@pytest.mark.parametrize("binding", ["tap", "inline"])
def test_auto_takes_tc(targets: Pair, binding: str) -> None:
    """Where an inline capture would go to XDP."""
    with opened(targets, 'forward "out0"', binding=binding) as capture:
        assert capture.attachment.startswith("TC ingress (")
    with opened(targets, "unit", binding="inline") as capture:
        assert capture.attachment.startswith("XDP (native)")


def outgoing(pair: Pair, count: int) -> None:
    """Frames that `b` sends on its own device."""
    with Pair(pair.b, pair.a, pair.dev_b, pair.dev_a).sender() as sender:
        send(sender, map(numbered, range(count)))


@pytest.mark.parametrize("hook", TC_HOOKS)
def test_outgoing_packets_are_forwarded_too(targets: Pair, hook: HookChoice) -> None:
    pair = targets
    with (
        receiving(pair, "out0") as (end,),
        started(pair.a, pair.dev_a) as peer,
        opened(pair, 'link ["pfqt-b", "out0"]', hook=hook, direction="inout") as capture,
    ):
        outgoing(pair, COUNT)
        with pair.sender() as sender:
            send(sender, FRAMES)
        assert got(peer, COUNT) == list(map(numbered, range(COUNT)))
        assert got(end, 2 * COUNT) == [*map(numbered, range(COUNT)), *FRAMES]
        (group,) = settled(capture, 2 * COUNT).groups
        assert (group.forwarded, group.unsent) == (2 * COUNT, 0)


@pytest.mark.parametrize("direction", ["out", "inout"])
def test_a_packet_that_would_go_round_for_ever(targets: Pair, direction: str) -> None:
    """The program would see each copy again, and copy it again."""
    with pytest.raises(UsageError, match="the program forwards outgoing packets of `pfqt-b` to `pfqt-b` itself"):
        opened(targets, 'forward "pfqt-b"', direction=direction)
    with opened(targets, 'forward "pfqt-b"') as capture, started(targets.a, targets.dev_a) as back:
        with targets.sender() as sender:
            send(sender, FRAMES)
        assert got(back, COUNT) == FRAMES
        assert settled(capture, COUNT).groups[0].forwarded == COUNT
