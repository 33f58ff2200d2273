"""Per-flow state: what a flow keeps, for how long, and which flow goes when the table is full."""

from __future__ import annotations

import pytest
from support.frames import ADDRESSES4, ethernet, ip4, tcp, udp
from support.handmade import FRAMES, IP4, v4, v6

from pfq.errors import RangeError
from pfq.lang.action import Action
from pfq.lang.compile import compile_text
from pfq.lang.interp import Interpreter, World
from pfq.lang.prims.fingerprint import WHOLE_FIELDS, fingerprint
from pfq.lang.prims.flows import SECOND_NS, Table

KEY_5TUPLE = 0b11000111000
IP_SRC = 8


class Running:
    """A program that goes on from packet to packet."""

    def __init__(self, text: str) -> None:
        self.interpreter = Interpreter(compile_text(text))

    def decide(self, frame: bytes, seconds: float = 1.0) -> Action:
        return self.interpreter.decide(frame, world=World(now_ns=int(seconds * SECOND_NS)))

    def passes(self, frame: bytes, seconds: float = 1.0) -> bool:
        return self.decide(frame, seconds).fanout != 0


def source(number: int) -> bytes:
    """A packet of a flow by the key of its source address."""
    return v4(udp(), 17, src=bytes([10, 1, *number.to_bytes(2, "big")]))


def numbers_in_one_bucket(count: int, buckets: int = 2) -> list[int]:
    """Numbers for `source` whose flows share a bucket."""
    found: list[int] = []
    number = 0
    while len(found) < count:
        address = 10 << 24 | 1 << 16 | number
        fields = [field for field in WHOLE_FIELDS if field.bit == IP_SRC]
        if fingerprint(dict(zip(fields, (0, address), strict=True))) % buckets == 0:
            found.append(number)
        number += 1
    return found


COUNT = "flow_inc key_5tuple 1000 60"


def test_flow_inc_counts_the_packets_of_each_flow() -> None:
    third = Running(f"{COUNT} >-> filter (flow_get key_5tuple 1000 60 .== 3)")
    a, b = FRAMES["tcp4"], FRAMES["udp4"]
    assert [third.passes(frame) for frame in (a, b, a, b, b, a, a)] == [False] * 4 + [True, True, False]


def test_both_directions_are_one_flow() -> None:
    second = Running(f"{COUNT} >-> filter (flow_get key_5tuple 1000 60 .== 2)")
    a, b = ADDRESSES4[:2]
    assert not second.passes(ethernet(ip4(tcp(1024, 80), 6, a, b), IP4))
    assert not second.passes(ethernet(ip4(tcp(80, 1024), 6, a, b), IP4))
    assert second.passes(ethernet(ip4(tcp(80, 1024), 6, b, a), IP4))


def test_all_of_an_ip6_address_counts() -> None:
    """Two addresses that the steering hashes cannot tell apart."""
    second = Running("flow_inc key_ip_src 1000 60 >-> filter (flow_get key_ip_src 1000 60 .== 2)")
    first, other = bytes(15) + b"\1", bytes(11) + b"\1" + bytes(4)
    assert not second.passes(v6(tcp(), src=first))
    assert not second.passes(v6(tcp(), src=other))
    assert second.passes(v6(tcp(), src=other))


def test_flow_get_is_absent_for_a_new_flow() -> None:
    program = Running("when (flow_get key_5tuple 8 60 .>= 0) drop >-> flow_put key_5tuple 8 60 0")
    assert program.passes(FRAMES["tcp4"])
    assert not program.passes(FRAMES["tcp4"])
    assert program.passes(FRAMES["udp4"])


def test_flow_put_gives_a_number() -> None:
    program = Running(
        "unless (flow_get key_ip_src 8 60 .== 18446744073709551615) (inc 1)"
        " >-> flow_put key_ip_src 8 60 7 >-> flow_put key_ip_src 8 60 18446744073709551615"
    )
    assert program.decide(FRAMES["tcp4"]).counters == {1: 1}
    assert program.decide(FRAMES["tcp4"]).counters == {}


def test_numbers_are_modulo_2_to_the_64() -> None:
    text = "flow_put key_ip_src 8 60 18446744073709551615 >-> flow_inc key_ip_src 8 60"
    assert Running(f"{text} >-> filter (flow_get key_ip_src 8 60 .== 0)").passes(FRAMES["tcp4"])


@pytest.mark.parametrize("action", ["flow_inc key_5tuple 8 60", "flow_put key_5tuple 8 60 1"])
@pytest.mark.parametrize("name", ["arp", "icmp4", "tcp4 7 bytes", "nothing"])
def test_packets_without_the_key_pass_and_have_no_flow(action: str, name: str) -> None:
    program = Running(f"{action} >-> when (flow_get key_5tuple 8 60 .>= 0) (inc 0)")
    decided = program.decide(FRAMES[name])
    assert decided == Action()
    assert program.decide(FRAMES["tcp4"]).counters == {0: 1}


def test_calls_share_a_table_by_key_size_and_time_out() -> None:
    same = "flow_inc key_ip_src 8 60 >-> flow_inc key_ip_src 8 60 >-> filter (flow_get key_ip_src 8 60 .== 2)"
    assert Running(same).passes(FRAMES["tcp4"])
    for other in ("key_ip_dst 8 60", "key_ip_src 9 60", "key_ip_src 8 61"):
        program = f"flow_inc key_ip_src 8 60 >-> filter (flow_get {other} .>= 0)"
        assert not Running(program).passes(FRAMES["tcp4"]), other


KEEP = "when (flow_get key_ip_src 8 60 .>= 0) (inc 0)"


def test_an_idle_flow_is_forgotten() -> None:
    program = Running("when (has_port 53) (flow_put key_ip_src 8 60 1) >-> unless (has_port 53) (" + KEEP + ")")
    put, ask = v4(udp(1024, 53), 17), v4(udp(1024, 54), 17)
    program.decide(put, 100)
    assert program.decide(ask, 159.999999999).counters == {0: 1}
    assert program.decide(ask, 219.999999998).counters == {0: 1}, "asking keeps it in use"
    assert program.decide(ask, 279.999999998).counters == {}
    program.decide(put, 300)
    program.decide(put, 350)
    assert program.decide(ask, 400).counters == {0: 1}


def test_a_forgotten_flow_starts_anew() -> None:
    program = Running("flow_inc key_ip_src 8 60 >-> filter (flow_get key_ip_src 8 60 .== 1)")
    assert [program.passes(FRAMES["tcp4"], at) for at in (0, 59, 119, 178, 238)] == [True, False, True, False, True]


def test_a_full_bucket_gives_up_the_flow_that_was_used_longest_ago() -> None:
    is_known = "filter (flow_get key_ip_src 8 1000 .>= 0)"
    program = Running(f"conditional (has_port 99) ({is_known}) (flow_inc key_ip_src 8 1000)")
    first, second, third, fourth, fifth, sixth = numbers_in_one_bucket(6)

    def known(number: int, seconds: float) -> bool:
        ask = v4(udp(99, 99), 17, src=bytes([10, 1, *number.to_bytes(2, "big")]))
        return program.passes(ask, seconds)

    for at, number in enumerate((first, second, third, fourth)):
        program.decide(source(number), at)
    program.decide(source(first), 10)
    program.decide(source(fifth), 11)
    assert not known(second, 12)
    program.decide(source(sixth), 13)
    assert not known(third, 14)
    assert all(known(number, 15) for number in (first, fourth, fifth, sixth))


def test_a_bucket_that_is_not_full_gives_up_nothing() -> None:
    """Also at time 0, where nothing is older than an empty entry."""
    count = Running("flow_inc key_ip_src 8 1 >-> filter (flow_get key_ip_src 8 1 .== 2)")
    four = numbers_in_one_bucket(4)
    assert not any(count.passes(source(number), 0) for number in four)
    assert all(count.passes(source(number), 0) for number in four)


def test_a_large_table_keeps_many_flows() -> None:
    count = Running("flow_inc key_ip_src 4096 60 >-> filter (flow_get key_ip_src 4096 60 .== 2)")
    assert not any(count.passes(source(number), 1) for number in range(1024))
    assert sum(count.passes(source(number), 2) for number in range(1024)) > 1000


@pytest.mark.parametrize(
    ("size", "buckets"),
    [(1, 2), (8, 2), (9, 4), (16, 4), (17, 8), (1000, 256), (1 << 20, 1 << 18), ((1 << 19) + 1, 1 << 18)],
)
def test_sizes_are_rounded_up(size: int, buckets: int) -> None:
    assert Table(KEY_5TUPLE, size, 60).buckets == buckets


@pytest.mark.parametrize("call", ["flow_inc {}", "flow_put {} 1", "filter (flow_get {} .> 1)"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("0 8 60", "a key without a field"),
        ("256 8 60", "bits that stand for no field"),
        ("key_ip_src 0 60", "there is no table for 0 flows: give 1 to 1048576"),
        ("key_ip_src (-1) 60", "there is no table for -1 flows"),
        ("key_ip_src 1048577 60", "there is no table for 1048577 flows"),
        ("key_ip_src 8 0", "flows that are forgotten after 0 seconds keep nothing"),
    ],
)
def test_wrong_arguments(call: str, arguments: str, message: str) -> None:
    with pytest.raises(RangeError, match=message):
        compile_text(call.format(arguments))
