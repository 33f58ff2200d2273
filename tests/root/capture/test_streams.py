"""S3: segments as Linux really sends them, many times longer than the MTU and in many buffers."""

from __future__ import annotations

import random
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from root.capture.harness import Packet, check_identities, opened, packets
from root.network import Pair

from pfq.engine.capture import LONGEST_SNAPLEN
from pfq.engine.hooks import HookChoice

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

STREAM = random.Random(3).randbytes(400_000)
PORT = 7010
HEADERS = 14 + 20 + 32
"""Bytes before the payload: Ethernet, IPv4, TCP with time stamps."""


def addresses(pair: Pair) -> None:
    pair.a.run("ip", "address", "add", "10.9.0.1/24", "dev", pair.dev_a)
    pair.b.run("ip", "address", "add", "10.9.0.2/24", "dev", pair.dev_b)


def transfer(pair: Pair) -> bytes:
    """Sends the stream over TCP from `a` to `b`; what arrived at the socket."""

    def serve(listener: socket.socket) -> bytes:
        connection, _ = listener.accept()
        with connection:
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))

    with pair.b.call(socket.create_server, ("10.9.0.2", PORT)) as listener, ThreadPoolExecutor() as pool:
        listener.settimeout(20)
        serving = pool.submit(serve, listener)
        with pair.a.call(socket.create_connection, ("10.9.0.2", PORT)) as connection:
            connection.sendall(STREAM)
        return serving.result(timeout=20)


def reassembled(got: list[Packet]) -> bytes:
    """The stream, from the sequence numbers of the captured segments."""
    found = bytearray(len(STREAM))
    start: int | None = None
    for packet in sorted(got, key=lambda packet: packet.ts_ns):  # each CPU has a ring of its own
        data = packet.data
        total, tcp_at = int.from_bytes(data[16:18], "big"), 14 + (data[14] & 15) * 4
        payload = data[tcp_at + (data[tcp_at + 12] >> 4) * 4 : 14 + total if total else None]
        number = int.from_bytes(data[tcp_at + 4 : tcp_at + 8], "big")
        start = number + 1 if data[tcp_at + 13] & 2 else start
        assert start is not None, "the stream begins with a SYN"
        at = (number - start) % (1 << 32)
        found[at : at + len(payload)] = payload
    return bytes(found)


def test_S3_segments_of_a_tcp_stream_are_whole(netns_pair: Pair, mode: HookChoice) -> None:
    addresses(netns_pair)
    program = f"ip >-> dst_port {PORT}"
    with opened(netns_pair, program, hook=mode, snaplen=LONGEST_SNAPLEN, slots=512) as capture:
        assert transfer(netns_pair) == STREAM
        capture.stop()
        got = packets(capture[0])
    statistics = capture.statistics()
    check_identities(statistics)
    assert statistics.lost == 0
    assert all(packet.len == packet.caplen == len(packet.data) for packet in got)
    assert reassembled(got) == STREAM
    assert (max(packet.len for packet in got) > 1514) == (mode != "xdp")


def test_S3_segments_are_cut_at_the_snap_length(netns_pair: Pair, mode: HookChoice) -> None:
    addresses(netns_pair)
    with opened(netns_pair, f"ip >-> dst_port {PORT}", hook=mode, snaplen=96, slots=4096) as capture:
        assert transfer(netns_pair) == STREAM
        capture.stop()
        got = packets(capture[0])
    assert capture.statistics().lost == 0
    assert all(packet.caplen == min(packet.len, 96) for packet in got)
    assert sum(packet.len - HEADERS for packet in got if packet.len > HEADERS) >= len(STREAM)
