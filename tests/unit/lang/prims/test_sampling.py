"""`sample` and `limit`, over many packets."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.handmade import FRAMES

from pfq.errors import RangeError
from pfq.lang.action import Action, Fanout
from pfq.lang.compile import compile_text
from pfq.lang.interp import Interpreter, World

TCP, UDP = FRAMES["tcp4"], FRAMES["udp4"]
SECOND, MILLISECOND = 10**9, 10**6


def passes(text: str, frames: list[bytes], times: list[int] | None = None) -> list[bool]:
    """Whether a program passes each of some frames, which come at some times in nanoseconds."""
    interpreter = Interpreter(compile_text(text))
    worlds = [World(now_ns=now) for now in times or [0] * len(frames)]
    return [
        interpreter.decide(frame, world=world).fanout is not Fanout.DROP
        for frame, world in zip(frames, worlds, strict=True)
    ]


# sample


def test_one_in_one_is_every_packet() -> None:
    assert all(passes("sample 1", [TCP] * 1000))


def test_the_sequence() -> None:
    """Its first numbers, as shares of 2**64, are 0.078, 0.102, 0.605 and 0.401."""
    assert passes("sample 2", [TCP] * 4) == [True, True, False, True]
    assert passes("sample 9", [TCP] * 4) == [True, True, False, False]
    assert passes("sample 10", [TCP] * 4) == [True, False, False, False]
    assert passes("sample 12", [TCP] * 4) == [True, False, False, False]
    assert passes("sample 13", [TCP] * 4) == [False, False, False, False]
    assert not any(passes("sample 4294967295", [TCP] * 1000))


@pytest.mark.parametrize("n", [2, 3, 7, 10, 100])
def test_one_in_n_on_average(n: int) -> None:
    count = 50_000
    found = sum(passes(f"sample {n}", [TCP] * count))
    deviation = (count / n * (1 - 1 / n)) ** 0.5
    assert abs(found - count / n) < 4 * deviation


def test_samples_are_not_regular() -> None:
    """Neither the packet after a sample nor any other place near it is special."""
    found = passes("sample 4", [TCP] * 40_000)
    for distance in range(1, 9):
        both = sum(a and b for a, b in zip(found, found[distance:], strict=False))
        assert abs(both - 2500) < 4 * 2500**0.5


def test_each_place_has_its_own_sequence() -> None:
    alone = passes("sample 3", [TCP] * 200)
    mixed = passes("if is_tcp then sample 3 else sample 3", [TCP, UDP] * 200)
    assert mixed[0::2] == mixed[1::2] == alone
    assert passes("sample 3", [TCP, UDP] * 100) == alone


def test_a_sampled_packet_is_not_changed() -> None:
    assert Interpreter(compile_text("mark 5 >-> sample 1 >-> inc 3")).decide(TCP) == Action(mark=5, counters={3: 1})
    dropped = Interpreter(compile_text("mark 5 >-> sample 100 >-> inc 3")).decide(TCP)
    assert dropped == Action(Fanout.DROP, mark=5)


def test_one_in_none() -> None:
    with pytest.raises(RangeError, match="one packet in 0 cannot be chosen: the number is at least 1"):
        compile_text("sample 0")


# limit


def test_exactly_the_burst_passes_at_once() -> None:
    for burst in (1, 2, 50):
        for now in (0, 1, 123_456_789):
            assert passes(f"limit 1000 {burst}", [TCP] * 60, [now] * 60) == [True] * burst + [False] * (60 - burst)


def test_then_one_passes_for_each_interval() -> None:
    """1000 per second: one each millisecond."""
    times = [0, 0, 0, MILLISECOND - 1, MILLISECOND, MILLISECOND, 2 * MILLISECOND - 1, 2 * MILLISECOND]
    assert passes("limit 1000 2", [TCP] * 8, times) == [True, True, False, False, True, False, False, True]


def test_a_pause_gives_no_more_than_the_burst() -> None:
    times = [0] * 5 + [3600 * SECOND] * 5
    assert passes("limit 1000 3", [TCP] * 10, times) == [True, True, True, False, False] * 2


@pytest.mark.parametrize(("rate", "burst"), [(1, 1), (10, 3), (1000, 50), (5000, 1)])
def test_packets_in_excess_pass_at_the_rate(rate: int, burst: int) -> None:
    """10,000 packets in a second: the burst, and one at each later multiple of the interval."""
    times = [n * SECOND // 10_000 for n in range(10_000)]
    assert sum(passes(f"limit {rate} {burst}", [TCP] * 10_000, times)) == burst + rate - 1


def test_what_is_below_the_rate_passes() -> None:
    times = [n * MILLISECOND for n in range(2000)]
    assert all(passes("limit 1000 1", [TCP] * 2000, times))


@given(
    rate=st.sampled_from([1, 3, 1000, 999_999_999, 10**9]),
    burst=st.sampled_from([1, 2, 5, (1 << 32) - 1]),
    gaps=st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2 * SECOND)), min_size=1, max_size=40),
)
def test_it_is_a_token_bucket(rate: int, burst: int, gaps: list[int]) -> None:
    """As many tokens as the burst at first and at most, one more in each interval, one less with each packet."""
    times = list(accumulate(gaps))
    interval, tokens, expected = -(-SECOND // rate), Fraction(burst), []
    for gap in gaps:
        tokens = min(Fraction(burst), tokens + Fraction(gap, interval))
        expected.append(tokens >= 1)
        tokens -= tokens >= 1
    assert passes(f"limit {rate} {burst}", [TCP] * len(times), times) == expected


def test_the_slowest_limit_with_the_largest_burst_fits_into_64_bits() -> None:
    """The state after so many packets is 2**32 - 1 seconds ahead of the clock, which may be at 2**63 nanoseconds."""
    largest = (1 << 32) - 1
    now = (1 << 63) - 1
    interpreter = Interpreter(compile_text(f"limit 1 {largest}"))
    assert interpreter.decide(TCP, world=World(now_ns=now)).fanout is Fanout.COPY
    ahead = largest * SECOND
    assert ahead < 1 << 62
    assert now + ahead < 1 << 64


def test_each_limit_counts_for_itself() -> None:
    frames = [TCP, TCP, UDP, UDP, TCP, UDP]
    assert passes("if is_tcp then limit 10 2 else limit 10 1", frames) == [True, True, True, False, False, False]
    assert passes("limit 10 2", frames) == [True, True, False, False, False, False]
    assert passes("limit 10 4 >-> limit 10 2", frames) == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("0 5", "a limit of 0 packets per second cannot be kept: it is 1 to 1000000000"),
        ("1000000001 5", "a limit of 1000000001 packets per second cannot be kept"),
        ("5 0", "a burst of 0 packets lets nothing pass: it is at least 1"),
        ("4294967296 5", "4294967296 is out of range"),
    ],
)
def test_refused_limits(arguments: str, message: str) -> None:
    with pytest.raises(RangeError) as caught:
        compile_text(f"limit {arguments}")
    assert message in caught.value.message
