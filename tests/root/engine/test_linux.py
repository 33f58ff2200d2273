"""What Linux and other devices get when several groups have a say."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from root.capture.harness import send
from root.engine.harness import arrived, bound_group, engine_of, joined, waiting
from root.network import Pair
from support.statements import arp_frame, icmp_frame, tcp_frame, udp_frame

from pfq.errors import DeviceMissingError, UsageError

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

SOME = [tcp_frame(note=1), udp_frame(note=2), arp_frame(3), icmp_frame(note=4)]


@contextmanager
def heard(pair: Pair, device: str) -> Iterator[list[bytes]]:
    """What comes in at a device of `b` while the block runs."""
    found: list[bytes] = []
    with pair.b.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as plug:
        pair.b.call(plug.bind, (device, 0))
        plug.settimeout(0.2)
        yield found
        while True:
            try:
                data, address = plug.recvfrom(2048)
            except TimeoutError:
                return
            if address[2] != socket.PACKET_OUTGOING:
                found.append(data)


def test_an_inline_group_takes_packets_whatever_others_tap(netns_pair: Pair) -> None:
    """At XDP, for a packet socket hears packets before TC takes them."""
    pair = netns_pair
    with engine_of(pair) as engine, pair.sender() as sender:
        tap = bound_group(pair, engine, "when is_udp kernel", hook="xdp")
        endpoint = joined(tap)
        with heard(pair, pair.dev_b) as linux:
            send(sender, SOME)
        assert linux == SOME
        inline = bound_group(pair, engine, "when is_icmp kernel", binding="inline")
        with heard(pair, pair.dev_b) as linux:
            send(sender, SOME)
        assert linux == [SOME[1], SOME[3]], "any group can pass a packet up, and it goes up once"
        inline.set_program("kernel >-> drop")
        with heard(pair, pair.dev_b) as linux:
            send(sender, SOME)
        assert linux == SOME
        inline.close()
        with heard(pair, pair.dev_b) as linux:
            send(sender, SOME)
        assert linux == SOME
        arrived(tap, 16)
        assert len(waiting(endpoint)) == 16


def test_inline_on_a_queue_takes_that_queue_only(netns_pair: Pair) -> None:
    """All packets of these devices come by queue 0."""
    pair = netns_pair
    with engine_of(pair) as engine, pair.sender() as sender:
        group = engine.group()
        for queue, wanted in ((1, SOME), (0, [])):
            pair.b.call(lambda queue=queue: group.bind(pair.dev_b, queue, binding="inline", hook="xdp"))
            with heard(pair, pair.dev_b) as linux:
                send(sender, SOME)
            assert linux == wanted
        arrived(group, 4)
        pair.b.call(group.unbind, pair.dev_b, 0)
        assert [bound.queue for bound in group.bindings] == [1]


@pytest.fixture
def targets(netns_pair: Pair) -> Pair:
    for name in ("c", "d"):
        netns_pair.b.run("ip", "link", "add", f"out-{name}", "type", "veth", "peer", "name", f"far-{name}")
        for device in (f"out-{name}", f"far-{name}"):
            netns_pair.b.run("ip", "link", "set", device, "up")
    return netns_pair


@pytest.mark.feature("tcx")
def test_each_group_forwards_to_its_own_devices(targets: Pair) -> None:
    pair = targets
    with engine_of(pair) as engine, pair.sender() as sender:
        first = bound_group(pair, engine, 'udp >-> forward "out-c"', number=3)
        idle = bound_group(pair, engine, "tcp", number=5)
        last = bound_group(pair, engine, 'link ["out-d", "out-c"]', number=9)
        with heard(pair, "far-c") as at_c, heard(pair, "far-d") as at_d:
            send(sender, SOME)
        assert [frame for frame in at_c if frame in SOME] == [SOME[0], SOME[1], SOME[1], SOME[2], SOME[3]]
        assert [frame for frame in at_d if frame in SOME] == SOME
        for group, forwarded in ((first, 1), (idle, 0), (last, 8)):
            assert (group.statistics().forwarded, group.statistics().unsent) == (forwarded, 0)


@pytest.mark.feature("tcx")
def test_a_program_that_forwards_moves_to_tc(targets: Pair) -> None:
    pair = targets
    with engine_of(pair) as engine, pair.sender() as sender:
        group = bound_group(pair, engine, "unit", binding="inline")
        endpoint = joined(group)
        assert [str(side.way) for side in engine.sides.values()] == ["XDP (native)"]
        with pytest.raises(DeviceMissingError):
            pair.b.call(group.set_program, 'forward "none"')
        assert [str(side.way) for side in engine.sides.values()] == ["XDP (native)"]
        pair.b.call(group.set_program, 'forward "out-c"')
        assert [str(side.way) for side in engine.sides.values()] == ["TC ingress (tcx)"]
        with heard(pair, "far-c") as at_c:
            send(sender, SOME)
        assert [frame for frame in at_c if frame in SOME] == SOME
        assert len(waiting(endpoint)) == 4
        group.set_program("unit")
        send(sender, SOME)
        arrived(group, 8)


def test_hooks_that_do_not_go_together(netns_pair: Pair) -> None:
    pair = netns_pair
    with engine_of(pair) as engine:
        bound_group(pair, engine, hook="xdp")
        other = engine.group()
        with pytest.raises(UsageError, match="all run in one program"):
            pair.b.call(lambda: other.bind(pair.dev_b, hook="clsact"))
        other.set_program('forward "lo"')
        with pytest.raises(UsageError, match="which it cannot at the hook `xdp`"):
            pair.b.call(lambda: other.bind(pair.dev_b))
        assert not other.bindings
