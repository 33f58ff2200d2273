"""Egress end-points: what groups select them for goes out of a device, every byte and every copy counted (s67)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from root.capture.harness import flow_frame, packets, send, settled
from root.capture.test_forwarding import ALL_KINDS, TC_HOOKS, add_target, far, rename, started
from root.engine.harness import adds_up, arrived, bound_group, engine_of, joined, waiting
from root.left import left_since, snapshot
from root.network import PREFIX, Pair, eventually, numbered

import pfq
from pfq.engine.capture import Capture
from pfq.engine.egress import Egress
from pfq.engine.endpoint import Endpoint
from pfq.engine.hooks import HookChoice
from pfq.engine.store import Store
from pfq.errors import DeviceMissingError, UsageError
from pfq.lang import to_program

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

COUNT = 64
FRAMES = [flow_frame(number) for number in range(COUNT)]
OUT0, OUT1 = Egress("out0"), Egress("out1")


@pytest.fixture
def targets(netns_pair: Pair) -> Pair:
    for target in ("out0", "out1"):
        add_target(netns_pair, target)
    return netns_pair


@contextmanager
def receiving(pair: Pair, *names: str, **options: Any) -> Iterator[list[Capture]]:
    """Captures of what arrives at the other ends of targets."""
    with ExitStack() as stack:
        yield [stack.enter_context(started(pair.a, far(name), **options)) for name in names]


def got(capture: Capture, count: int) -> list[bytes]:
    """So many frames, once they are there, and no more than these."""
    settled(capture, count)
    capture.stop()
    return [packet.data for packet in packets(capture[0])]


def counted(endpoint: Endpoint, sent: int, lost: int = 0) -> None:
    found = endpoint.statistics()
    assert (found.selected, found.delivered, found.lost) == (sent + lost, sent, lost)
    assert (found.read, found.waiting) == (sent, 0), "what was sent is done with"


# what goes out


@pytest.mark.parametrize("hook", TC_HOOKS)
def test_s67_every_byte_is_as_it_was(targets: Pair, hook: HookChoice) -> None:
    """Also the tag that Linux took off, and however little of a frame a ring would keep."""
    with receiving(targets, "out0") as (end,), engine_of(targets) as engine, targets.sender() as sender:
        group = bound_group(targets, engine, hook=hook)
        out, ring = joined(group, egress=OUT0, snaplen=1), joined(group, snaplen=1600)
        send(sender, ALL_KINDS)
        assert got(end, len(ALL_KINDS)) == ALL_KINDS
        arrived(group, len(ALL_KINDS))
        assert [each.data for each in waiting(ring)] == ALL_KINDS
        counted(out, len(ALL_KINDS))
        assert adds_up(group)


def test_s67_steering_over_devices_and_rings(targets: Pair) -> None:
    """Each flow goes one way, shares follow the weights, and who leaves and comes back finds its flows again."""
    frames = [flow_frame(number)[:34] + number.to_bytes(2, "big") + flow_frame(number)[36:] for number in range(1024)]
    with receiving(targets, "out0", "out1") as ends, engine_of(targets) as engine, targets.sender() as sender:
        group = bound_group(targets, engine, "steer_flow")
        ring = joined(group)
        members = [joined(group, egress=OUT0, weight=2), joined(group, egress=OUT1)]
        compiled = [side.path for side in engine.sides.values()]
        send(sender, frames)
        arrived(group, len(frames))
        counts = [member.statistics().delivered for member in members]
        found = [
            {packet.data for packet in waiting(ring)},
            *(set(got(end, n)) for end, n in zip(ends, counts, strict=True)),
        ]
        assert sum(map(len, found)) == len(frames)
        assert set.union(*found) == set(frames)
        for share, weight in zip(found, (1, 2, 1), strict=True):
            assert abs(len(share) / len(frames) - weight / 4) < 0.06
        group.leave(members[0])
        send(sender, frames)
        arrived(group, 2 * len(frames))
        counted(members[0], counts[0])
        assert {packet.data for packet in waiting(ring)} >= found[0]
        group.join(members[0])
        assert [side.path for side in engine.sides.values()] == compiled, "tables change, not the program"
        send(sender, frames)
        arrived(group, 3 * len(frames))
        counted(members[0], 2 * counts[0])
        assert {packet.data for packet in waiting(ring)} == found[0]


def test_s67_broadcast_and_classes(targets: Pair) -> None:
    program = "conditional (has_port 1001) (classify 2) (conditional (has_port 1002) broadcast unit)"
    with receiving(targets, "out0", "out1") as ends, engine_of(targets) as engine, targets.sender() as sender:
        group = bound_group(targets, engine, program)
        out0, out1 = joined(group, 1 | 4, egress=OUT0), joined(group, 4, egress=OUT1)
        also0, ring = joined(group, egress=OUT0), joined(group)
        send(sender, FRAMES)
        arrived(group, COUNT)
        one, two = FRAMES[1::16], FRAMES[2::16]
        others = [frame for frame in FRAMES if frame not in one]
        counted(out0, COUNT)
        counted(also0, len(others))
        counted(out1, len(one) + len(two))
        assert [each.data for each in waiting(ring)] == others
        assert sorted(got(ends[0], COUNT + len(others))) == sorted(FRAMES + others)
        assert got(ends[1], len(one) + len(two)) == [frame for frame in FRAMES if frame in one + two]


def test_several_groups_one_copy(targets: Pair) -> None:
    with receiving(targets, "out0") as (end,), engine_of(targets) as engine, targets.sender() as sender:
        first, last = (bound_group(targets, engine, text) for text in ("port 1003", "ip"))
        out = joined(first, egress=OUT0)
        last.join(out)
        ring = joined(first)
        send(sender, FRAMES)
        arrived(last, COUNT)
        assert got(end, COUNT) == FRAMES
        counted(out, COUNT)
        assert [each.data for each in waiting(ring)] == FRAMES[3::16]


def test_the_queue(targets: Pair) -> None:
    """Seen by the receive queue at the far end, which with XDP is that of transmission."""
    pair = targets
    many = ["numtxqueues", "4", "numrxqueues", "4"]
    pair.b.run(
        *["ip", "link", "add", "wide", "index", "70", *many, "type", "veth"],
        *["peer", "name", "wide-far", "index", "71", *many, "netns", pair.a.name],
    )
    for inside, device in ((pair.a, "wide-far"), (pair.b, "wide")):
        inside.run("ip", "link", "set", device, "up")
    with started(pair.a, "wide-far", hook="xdp") as end, engine_of(pair) as engine, pair.sender() as sender:
        group = bound_group(pair, engine)
        members = [joined(group, egress=Egress("wide", queue)) for queue in (3, 1, 6)]
        ring = joined(group)
        send(sender, FRAMES[:8])
        arrived(group, 8)
        settled(end, 24)
        end.stop()
        assert sorted(packet.queue for packet in packets(end[0])) == [1] * 8 + [2] * 8 + [3] * 8
        for member in members:
            counted(member, 8)
        assert {each.queue for each in waiting(ring)} == {0}, "the packet in hand keeps its own"


# what does not go out


def test_what_the_kernel_refuses_is_lost(targets: Pair) -> None:
    pair = targets
    with engine_of(pair) as engine, pair.sender() as sender:
        group = bound_group(pair, engine)
        out0, out1, ring = joined(group, egress=OUT0), joined(group, egress=OUT1), joined(group)
        pair.b.run("ip", "link", "set", "out0", "down")
        send(sender, FRAMES)
        arrived(group, COUNT)
        counted(out0, 0, COUNT)
        counted(out1, COUNT)
        assert len(waiting(ring)) == COUNT
        pair.b.run("ip", "link", "set", "out0", "up")
        assert adds_up(group)


def test_a_device_that_goes_and_comes_back(targets: Pair) -> None:
    pair = targets
    with engine_of(pair) as engine, pair.sender() as sender:
        group = bound_group(pair, engine)
        out = joined(group, egress=OUT0)
        total = 0

        def followed(is_there: bool) -> None:
            nonlocal total
            assert eventually(lambda: (engine.upkeep.targets.known["out0"] != 0) is is_there)
            before = out.statistics()
            send(sender, FRAMES)
            total += COUNT
            arrived(group, total)
            new = COUNT if is_there else 0
            counted(out, before.delivered + new, before.lost + COUNT - new)

        followed(True)
        pair.b.run("ip", "link", "del", "out0")
        followed(False)
        add_target(pair, "out0")
        followed(True)
        rename(pair, "out0", "other")
        followed(False)
        rename(pair, "out1", "out0")
        with started(pair.a, far("out1")) as end:
            followed(True)
            assert got(end, COUNT) == FRAMES


def test_nothing_goes_out_after_leaving(targets: Pair) -> None:
    with receiving(targets, "out0") as (end,), engine_of(targets) as engine, targets.sender() as sender:
        group = bound_group(targets, engine)
        out, ring = joined(group, egress=OUT0), joined(group)
        send(sender, FRAMES)
        arrived(group, COUNT)
        group.leave(out)
        send(sender, FRAMES)
        arrived(group, 2 * COUNT)
        counted(out, COUNT)
        out.disable()
        out.egress = None
        out.enable()
        group.join(out)
        send(sender, FRAMES[:4])
        arrived(group, 2 * COUNT + 4)
        assert [each.data for each in waiting(out)] == FRAMES[:4], "it is read now"
        assert len(waiting(ring)) == 2 * COUNT + 4
        assert got(end, COUNT) == FRAMES


def outgoing(pair: Pair, device: str, count: int) -> None:
    with Pair(pair.b, pair.a, device, "").sender() as sender:
        send(sender, map(numbered, range(count)))


def test_no_packet_goes_round(targets: Pair) -> None:
    """One group sends on out2 what goes out of the others, another one sends that on out0, where the first sees it."""
    pair = targets
    with receiving(pair, "out0", "out1") as ends, engine_of(pair) as engine:
        group = engine.group()
        for name in ("out0", "out1"):
            pair.b.call(group.bind, name, direction="out")
        other = engine.group()
        ring = joined(other)
        for name in ("out0", "out1"):
            pair.b.call(other.bind, name, direction="out")
        with pytest.raises(UsageError, match="the group sees what `out0` sends"):
            joined(group, egress=OUT0)
        add_target(pair, "out2")
        out2 = joined(group, egress=Egress("out2"))
        with pytest.raises(UsageError, match="`out2`"):
            pair.b.call(group.bind, "out2", direction="inout")
        back = engine.group()
        pair.b.call(back.bind, "out2", direction="out")
        out0 = joined(back, egress=OUT0)
        outgoing(pair, "out0", COUNT)
        # Seen on out0, sent on out2, seen there and sent on out0, seen again: but then its end-point is still at it.
        assert eventually(lambda: group.statistics().arrived >= 2 * COUNT)
        counted(out2, COUNT, COUNT)
        counted(out0, COUNT)
        assert (group.statistics().arrived, back.statistics().arrived) == (2 * COUNT, COUNT)
        assert len(waiting(ring)) == 2 * COUNT, "a tap sees what goes out"
        assert len(got(ends[0], 2 * COUNT)) == 2 * COUNT
        assert got(ends[1], 0) == []


def test_the_loopback_device_would_hand_it_back(targets: Pair) -> None:
    with engine_of(targets) as engine:
        group = engine.group()
        joined(group, egress=Egress("lo"))
        with pytest.raises(UsageError, match="`lo`"):
            targets.b.call(group.bind, "lo")


# where it can be


def test_a_device_that_is_missing(targets: Pair) -> None:
    with engine_of(targets) as engine:
        before = snapshot()
        with pytest.raises(DeviceMissingError, match="no device `out7` for an egress end-point") as no:
            engine.endpoint(egress=Egress("out7"))
        assert "out0" in str(no.value.hint)
        assert not left_since(before)
        assert not engine.endpoints
        out = engine.endpoint(egress=OUT0, enabled=False)
        targets.b.run("ip", "link", "del", "out0")
        with pytest.raises(DeviceMissingError):
            out.enable()
        assert not out.enabled


def test_what_is_asked_for_in_vain(targets: Pair) -> None:
    with engine_of(targets) as engine:
        for queue in (-1, 0xFFFE, "1"):
            with pytest.raises(UsageError, match="a transmit queue is 0 to 65533"):
                Egress("out0", queue)  # type: ignore[arg-type]
        out = engine.endpoint(egress=OUT0)
        with pytest.raises(UsageError, match="sends its packets on out0"):
            out.reader  # noqa: B018
        with pytest.raises(UsageError, match="fixed while it is enabled"):
            out.egress = OUT1
        group = bound_group(targets, engine, hook="xdp")
        with pytest.raises(UsageError, match="which cannot send at the hook `xdp`") as no:
            group.join(out)
        assert "`auto`" in str(no.value.hint)
        assert not group.members
        assert [str(side.way) for side in engine.sides.values()] == ["XDP (native)"]


def test_the_program_moves_from_xdp(targets: Pair) -> None:
    """When the first egress end-point comes; the other programs of the engine stay where they are."""
    with receiving(targets, "out0") as (end,), engine_of(targets) as engine, targets.sender() as sender:
        group = bound_group(targets, engine, binding="inline")
        elsewhere = engine.group()
        targets.b.call(elsewhere.bind, "out1", binding="inline")
        ring, other = joined(group), joined(elsewhere)
        assert {str(side.way) for side in engine.sides.values()} == {"XDP (native)"}
        stayed = engine.sides[next(key for key in engine.sides if key[0] != targets.ifindex_b)].path
        send(sender, FRAMES)
        arrived(group, COUNT)
        out = targets.b.call(joined, group, egress=OUT0)
        moved = engine.sides[targets.ifindex_b, "in"]
        assert str(moved.way).startswith("TC ingress")
        assert stayed in [side.path for side in engine.sides.values()]
        send(sender, FRAMES)
        arrived(group, 2 * COUNT)
        counted(out, COUNT)
        assert got(end, COUNT) == FRAMES
        assert len(waiting(ring)) == 2 * COUNT
        assert not waiting(other)


def test_the_next_engine_goes_on(targets: Pair, tmp_path: Path) -> None:
    """Copies go out while there is none; it finds the device again, which has another number meanwhile."""
    pair, store = targets, (Path(f"/sys/fs/bpf/{PREFIX}egress"), tmp_path / "state")
    with ExitStack() as undo, pair.sender() as sender:
        undo.callback(lambda: Store(*store).remove())
        first = pair.b.call(lambda: pfq.Engine(store=Store(*store)))
        undo.callback(first.close)
        group = bound_group(pair, first)
        joined(group, egress=Egress("out0", 2))
        joined(group, egress=OUT1)
        first.close(keep=True)
        with receiving(pair, "out0") as (end,):
            send(sender, FRAMES)
            assert got(end, COUNT) == FRAMES
        pair.b.run("ip", "link", "del", "out0")
        pair.b.run("ip", "link", "del", "out1")
        add_target(pair, "out0")
        with pair.b.call(lambda: pfq.Engine(store=Store(*store))) as engine, receiving(pair, "out0") as (end,):
            (group,) = engine.groups.values()
            out, gone = (engine.endpoints[number] for number in (0, 1))
            assert (out.egress, gone.egress) == (Egress("out0", 2), OUT1)
            counted(out, COUNT)
            send(sender, FRAMES)
            arrived(group, 2 * COUNT)
            counted(out, 2 * COUNT)
            counted(gone, COUNT, COUNT)
            assert got(end, COUNT) == FRAMES


@pytest.mark.slow
def test_64_groups_and_64_end_points(targets: Pair) -> None:
    """Every eighth one is an egress end-point; all are in the first group too, which has the packets of one flow."""
    texts = ("ip >-> steer_flow", "udp >-> inc 3", "filter is_tcp >-> steer_p2p", "unit")
    with receiving(targets, "out0") as (end,), engine_of(targets) as engine, targets.sender() as sender:
        groups = [engine.group() for _ in range(64)]
        members = [joined(group, slots=64, egress=None if n % 8 else OUT0) for n, group in enumerate(groups)]
        for member in members[1:]:
            groups[0].join(member)
        targets.b.call(groups[0].bind, targets.dev_b)
        (bound,) = groups[0].bindings
        settings = {group: replace(group.settings, bindings=(bound,)) for group in groups}
        programs = {
            group: to_program("port 1001" if group.number == 0 else texts[group.number % 4]) for group in groups
        }
        engine.configure({group: replace(each, program=programs[group]) for group, each in settings.items()})
        send(sender, FRAMES[:16])
        for group in groups:
            arrived(group, 16)
            assert adds_up(group)
        # Members 8, 16, …, 56 have a group with the first text, which steers to them alone; 0 has the one flow.
        assert [member.statistics().selected for member in members] == [1, 16, 1, 16] + [16, 16, 1, 16] * 15
        for member in members[::8]:
            counted(member, member.statistics().selected)
        assert len(got(end, 1 + 7 * 16)) == 1 + 7 * 16
        for member in members[1::8]:
            assert [each.data for each in waiting(member)] == FRAMES[:16]


def test_programs_without_egress_are_as_they_were(targets: Pair) -> None:
    """Whatever other groups have."""
    with engine_of(targets) as engine:
        group = bound_group(targets, engine, "steer_flow")
        joined(group)
        before = code(engine)
        elsewhere = engine.group()
        targets.b.call(elsewhere.bind, "out1")
        joined(elsewhere, egress=OUT0)
        group.set_program("ip >-> steer_flow")
        group.set_program("steer_flow")
        assert code(engine) == before
        joined(group, egress=OUT0)
        assert len(code(engine)) > len(before)


def code(engine: Any) -> bytes:
    (path,) = (side.path for side in engine.sides.values() if side.device.name == "pfqt-b")
    return bytes(path.code.object.elf)
