"""The table in C agrees with the dictionary in `support.flows`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.flows import ACK, FIN, RST, SYN, End, Packet, Reference, decoded, rows

from pfq.errors import UsageError
from pfq.flow.table import BATCH_FLOWS, FlowTable

S = 1_000_000_000
HOSTS = [bytes(10) + b"\xff\xff" + bytes((10, 0, 0, n)) for n in range(3)] + [bytes(15) + b"\x01"]
A, B = (HOSTS[0], 1000), (HOSTS[1], 80)

ends = st.tuples(st.sampled_from(HOSTS), st.sampled_from((0, 1, 80)))
packets = st.builds(
    Packet,
    # Steps that reach the time-outs of the tests exactly, and go back.
    ts_ns=st.sampled_from((0, 1 * S, 2 * S, 3 * S, 5 * S, 6 * S, 7 * S, 10 * S, 15 * S, 40 * S)),
    src=ends,
    dst=ends,
    version=st.sampled_from((0, 4, 4, 4, 6)),
    proto=st.sampled_from((6, 17)),
    flags=st.sampled_from((0, ACK, SYN, SYN | ACK, FIN | ACK, RST)),
    len=st.integers(0, 2**32 - 1),
    interface=st.integers(0, 3),
)


def flows_of(table: FlowTable, traffic: Sequence[Packet], pieces: Sequence[int] = ()) -> list[tuple[Any, ...]]:
    """All flows in the order in which they end; packets are added in pieces of these sizes, then the rest."""
    found, at = [], 0
    for piece in (*pieces, len(traffic)):
        table.add_decoded(*decoded(list(traffic[at : at + piece])))
        at += piece
        found += rows(table.expired())
    return found + rows(table.close())


def reference(traffic: Sequence[Packet], idle: float, active: float, max_flows: int = 1 << 28) -> Reference:
    told = Reference(int(idle * S), int(active * S), max_flows)
    for packet in traffic:
        told.add(packet)
    told.close()
    return told


@settings(max_examples=200, deadline=None)
@given(
    traffic=st.lists(packets, max_size=80),
    pieces=st.lists(st.integers(0, 20), max_size=4),
    idle=st.sampled_from((1.0, 3.0, 7.0, 1000.0)),
    active=st.sampled_from((2.0, 10.0, 1000.0)),
    max_flows=st.integers(1, 8),
    seed=st.sampled_from(((0, 0), (1, 2), None)),
)
def test_agrees_with_the_dictionary(
    traffic: list[Packet], pieces: list[int], idle: float, active: float, max_flows: int, seed: Any
) -> None:
    want = reference(traffic, idle, active, max_flows)
    table = FlowTable(idle_timeout=idle, active_timeout=active, max_flows=max_flows, seed=seed)
    assert flows_of(table, traffic, pieces) == want.ended
    counts = table.statistics()
    assert counts.packets == counts.selected == len(traffic)
    assert (counts.in_flows, counts.not_ip) == (len(traffic) - want.not_ip, want.not_ip)
    assert (counts.flows, counts.open) == (len(want.ended), 0)
    assert counts.evicted == sum(row[-1] == "full" for row in want.ended)


def many(count: int, seed: int) -> list[Packet]:
    """Packets of many flows with all that happens in one: both directions, ends, pauses."""
    random = np.random.default_rng(seed)
    flows, flags = random.integers(0, 1500, count), random.choice((ACK, ACK, ACK, SYN, FIN | ACK, RST), count)
    back, time = random.random(count) < 0.4, np.cumsum(random.choice((0, 1000, S // 25), count))
    traffic = []
    for flow, flag, reverse, now in zip(flows.tolist(), flags.tolist(), back.tolist(), time.tolist(), strict=True):
        version = 6 if flow % 3 == 0 else 4
        address = flow.to_bytes(4) if version == 4 else flow.to_bytes(2) + bytes(13)
        client: End = ((bytes(10) + b"\xff\xff" + address)[-16:].rjust(16, b"\0"), flow % 7)
        pair = (B, client) if reverse else (client, B)
        traffic.append(Packet(1 + now, *pair, version, 6 if flow % 2 else 17, flag if flow % 2 else 0, len=flow))
    return traffic


@pytest.mark.parametrize("max_flows", [100, 100_000])
def test_many_flows(max_flows: int) -> None:
    traffic = many(4_000, max_flows)
    want = reference(traffic, 20, 30, max_flows)
    assert {row[-1] for row in want.ended} >= {"closed", "end", *({"full"} if max_flows == 100 else {"idle", "active"})}
    table = FlowTable(idle_timeout=20, active_timeout=30, max_flows=max_flows)
    assert flows_of(table, traffic, [10_000, 1]) == want.ended


def test_what_comes_out_does_not_depend_on_the_hash() -> None:
    traffic = many(5_000, 1)
    seen = [flows_of(FlowTable(idle_timeout=20, seed=seed), traffic) for seed in ((0, 0), (5, 6), None)]
    assert seen[0] == seen[1] == seen[2]


COLLIDING = ((5299612, 5362104, 7729695), (352085, 7632056, 12348475))
"""Clients whose flows to `SERVER` have the same 32-bit hash when the seed is 0."""
SERVER = (bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 1)), 80)
MASK = (1 << 64) - 1


def client(number: int) -> End:
    return bytes(10) + b"\xff\xff\x0a" + number.to_bytes(3), 1000


def sip_hash(*words: int) -> int:
    """SipHash-1-3 of 64-bit words with the key 0, its halves folded to 32 bits."""
    v = [0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573]

    def mix() -> None:
        for a, b, c, d, left, right in ((0, 1, 2, 3, 13, 16), (2, 1, 0, 3, 17, 21)):
            v[a], v[c] = (v[a] + v[b]) & MASK, (v[c] + v[d]) & MASK
            v[b], v[d] = rotate(v[b], left) ^ v[a], rotate(v[d], right) ^ v[c]
            v[a] = rotate(v[a], 32)

    def rotate(x: int, bits: int) -> int:
        return (x << bits | x >> (64 - bits)) & MASK

    for word in words:
        v[3] ^= word
        mix()
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(3):
        mix()
    return (v[0] ^ v[1] ^ v[2] ^ v[3]) & 0xFFFFFFFF


@pytest.mark.parametrize("numbers", COLLIDING)
def test_flows_of_one_hash_stay_apart(numbers: tuple[int, ...]) -> None:
    low_last = int.from_bytes(SERVER[0][12:], "little")
    addresses = [int.from_bytes(client(number)[0][12:], "little") for number in numbers]
    assert all(address > low_last for address in addresses)  # so the server's end stands first in the key
    rest = SERVER[1] | 1000 << 16 | 17 << 32 | 4 << 40
    assert len({sip_hash(low_last | address << 32, rest) for address in addresses}) == 1

    one, two, three = map(client, numbers)
    order = [one, two, three, two, one, three, three, one, two]
    traffic = [Packet(n * S, end, SERVER) for n, end in enumerate(order, 1)]
    traffic += [Packet(20 * S, two, SERVER), Packet(29 * S, SERVER, three), Packet(30 * S, SERVER, two)]
    table = FlowTable(idle_timeout=12, seed=(0, 0))
    assert flows_of(table, traffic) == reference(traffic, 12, 1800).ended


def test_more_flows_end_at_once_than_are_taken_at_a_time() -> None:
    count = 2 * BATCH_FLOWS + 5
    traffic = [Packet(S, (HOSTS[0], n % 60_000), (HOSTS[1], n // 60_000)) for n in range(count)]
    table = FlowTable(idle_timeout=2, max_flows=count)
    table.add_decoded(*decoded(traffic))
    assert len(table) == count
    table.add_decoded(*decoded([Packet(3 * S, A, B)]))
    assert len(table.expired()) == count
    assert len(table) == 1
    assert len(table.expired()) == 0
    assert len(table.close()) == 1


def test_flows_end_when_the_time_says_so_without_a_packet() -> None:
    table = FlowTable(idle_timeout=2)
    table.add_decoded(*decoded([Packet(S, A, B), Packet(2 * S, B, (HOSTS[2], 1))]))
    table.expire(3 * S - 1)
    assert len(table.expired()) == 0
    table.expire(3 * S)
    assert [row[-1] for row in rows(table.expired())] == ["idle"]
    assert len(table) == 1


def test_a_packet_that_answers_is_counted_as_going_back() -> None:
    traffic = [Packet(5 * S, B, A, len=10, interface=3), Packet(4 * S, A, B, len=7), Packet(9 * S, A, B, len=8)]
    (row,) = flows_of(FlowTable(), traffic)
    assert row == (*B, *A, 17, 4, 3, 4 * S, 9 * S, 1, 2, 10, 15, 0, 0, "end")


def test_a_connection_stays_for_its_last_packets_and_a_new_one_begins_another() -> None:
    flags = [(A, B, SYN), (B, A, SYN | ACK), (A, B, FIN | ACK), (B, A, FIN | ACK), (A, B, ACK), (A, B, SYN)]
    traffic = [Packet(n * S, *pair, proto=6, flags=flag) for n, (*pair, flag) in enumerate(flags, 1)]
    found = flows_of(FlowTable(), traffic)
    assert [(row[9], row[10], row[-1]) for row in found] == [(3, 2, "closed"), (1, 0, "end")]


def test_a_closed_connection_is_gone_after_five_seconds() -> None:
    table = FlowTable(idle_timeout=60)
    table.add_decoded(*decoded([Packet(S, A, B, proto=6, flags=SYN), Packet(S, B, A, proto=6, flags=RST)]))
    table.expire(6 * S - 1)
    assert len(table) == 1
    table.expire(6 * S)
    assert [row[-1] for row in rows(table.expired())] == ["closed"]


def test_a_closed_table_takes_nothing() -> None:
    table = FlowTable()
    table.close()
    with pytest.raises(UsageError, match="closed"):
        table.add_decoded(*decoded([]))
    table.expire(S)
    assert len(table.close()) == 0


def test_headers_must_fit_the_records() -> None:
    records, headers = decoded([Packet(S, A, B)] * 4)
    for wrong in (headers[:3], headers[::2], np.zeros(4)):
        with pytest.raises(TypeError, match="headers"):
            FlowTable().add_decoded(records, wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"idle_timeout": 0},
        {"idle_timeout": -1.0},
        {"idle_timeout": math.nan},
        {"active_timeout": "1"},
        {"active_timeout": True},
        {"max_flows": 0},
        {"max_flows": 2**28 + 1},
        {"max_flows": 2.0},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        FlowTable(**wrong)


@pytest.mark.parametrize("endless", [math.inf, 1e300])
def test_endless_timeouts(endless: float) -> None:
    table = FlowTable(idle_timeout=endless, active_timeout=endless)
    found = flows_of(table, [Packet(S, A, B), Packet(2**63, B, A), Packet(2**64 - 1, B, A)])
    assert [(row[9], row[10], row[-1]) for row in found] == [(1, 2, "end")]
