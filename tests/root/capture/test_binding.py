"""What Linux gets: everything beside a tap, what the program passes up behind an inline capture."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from root.capture.harness import check_identities, opened, packets, send, settled, udp4
from root.network import Pair, numbered

from pfq.engine.hooks import HookChoice
from pfq.kernel import devices

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

ADDRESS_A, ADDRESS_B = bytes((10, 9, 0, 1)), bytes((10, 9, 0, 2))
PORTS = (7001, 7002, 7003)


@contextmanager
def plugs(pair: Pair) -> Iterator[dict[int, socket.socket]]:
    """UDP sockets in `b`, by port, that get what Linux gets."""
    pair.b.run("ip", "address", "add", "10.9.0.2/24", "dev", pair.dev_b)
    made = {port: pair.b.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) for port in PORTS}
    for port, plug in made.items():
        plug.bind(("10.9.0.2", port))
        plug.setblocking(False)
    yield made
    for plug in made.values():
        plug.close()


def received(plug: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(plug.recv(2048))
        except BlockingIOError:
            return found


def datagrams(pair: Pair) -> list[bytes]:
    """30 datagrams for `b`, ten to each port, with the number as payload."""
    mac = pair.b.call(devices.device, pair.dev_b).address
    return [udp4(ADDRESS_A, ADDRESS_B, (4000, PORTS[n % 3]), b"number %d" % n, mac) for n in range(30)]


def payloads(port: int) -> list[bytes]:
    return [b"number %d" % n for n in range(30) if PORTS[n % 3] == port]


def passed(pair: Pair, mode: HookChoice, program: str, binding: str) -> tuple[list[int], list[int]]:
    """Datagrams that arrived at Linux's sockets and at the end-point, for each port."""
    frames = datagrams(pair)
    with plugs(pair) as to_linux, opened(pair, program, hook=mode, binding=binding, snaplen=96) as capture:
        with pair.sender() as sender:
            send(sender, frames)
        statistics = settled(capture, len(frames))
        capture.stop()
        captured = [packet.data for packet in packets(capture[0])]
        got = {port: received(plug) for port, plug in to_linux.items()}
    check_identities(statistics)
    for port, data in got.items():
        assert data in ([], payloads(port))
    by_port = {port: [frame for frame in frames if frame[36:38] == port.to_bytes(2, "big")] for port in PORTS}
    return [len(data) for data in got.values()], [len([f for f in captured if f in by_port[port]]) for port in PORTS]


@pytest.mark.parametrize(
    ("program", "binding", "to_linux", "captured"),
    [
        ("dst_port 7001", "tap", [10, 10, 10], [10, 0, 0]),
        ("drop", "tap", [10, 10, 10], [0, 0, 0]),
        ("dst_port 7001", "inline", [0, 0, 0], [10, 0, 0]),
        ("dst_port 7001 >-> kernel", "inline", [10, 0, 0], [10, 0, 0]),
        ("when (has_dst_port 7002) kernel >-> dst_port 7001", "inline", [0, 10, 0], [10, 0, 0]),
        ("when (has_dst_port 7003) (kernel >-> drop)", "inline", [0, 0, 10], [10, 10, 0]),
        ("kernel", "inline", [10, 10, 10], [10, 10, 10]),
    ],
)
def test_what_linux_gets(
    netns_pair: Pair, mode: HookChoice, program: str, binding: str, to_linux: list[int], captured: list[int]
) -> None:
    assert passed(netns_pair, mode, program, binding) == (to_linux, captured)


# outgoing packets


def exchange(pair: Pair, capture_direction: str, hook: HookChoice) -> list[bytes]:
    """What is captured at `dev_b` when frames 0 to 99 come in and 100 to 149 go out."""
    with opened(pair, hook=hook, direction=capture_direction, snaplen=96) as capture:
        with pair.sender() as sender:
            send(sender, map(numbered, range(100)))
        with Pair(pair.b, pair.a, pair.dev_b, pair.dev_a).sender() as sender:
            send(sender, map(numbered, range(100, 150)))
        statistics = settled(capture, {"in": 100, "out": 50, "inout": 150}[capture_direction])
        capture.stop()
        got = packets(capture[0])
    check_identities(statistics)
    assert {packet.ifindex for packet in got} == {pair.ifindex_b}
    return [packet.data for packet in got]


@pytest.mark.parametrize("hook", ["auto", "clsact"])
@pytest.mark.parametrize(("direction", "first", "last"), [("in", 0, 100), ("out", 100, 150), ("inout", 0, 150)])
def test_directions(netns_pair: Pair, hook: HookChoice, direction: str, first: int, last: int) -> None:
    assert exchange(netns_pair, direction, hook) == list(map(numbered, range(first, last)))


def test_both_directions_have_one_clsact_discipline(netns_pair: Pair) -> None:
    pair = netns_pair
    with opened(pair, hook="clsact", direction="inout") as capture:
        assert capture.attachment == "TC ingress (clsact) and TC egress (clsact) on pfqt-b"
        assert "clsact" in pair.b.run("tc", "qdisc", "show", "dev", pair.dev_b)
    assert "clsact" not in pair.b.run("tc", "qdisc", "show", "dev", pair.dev_b)


def test_inline_xdp_in_and_tc_out(netns_pair: Pair) -> None:
    """The choice for incoming packets is one, that for outgoing ones another; both share groups and counters."""
    pair = netns_pair
    with opened(pair, direction="inout", binding="inline") as capture:
        assert capture.attachment.startswith("XDP (native) and TC egress (")
        with pair.sender() as sender:
            send(sender, map(numbered, range(100)))
        settled(capture, 100)
