"""Sets of prefixes of running programs: from files, replaced at any time, and never half old and half new."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from root.capture.harness import NUMBER_AT, check_identities, opened, packets, send, settled, udp4
from root.capture.senders import streaming
from root.network import Pair, Sender
from support.frames import ethernet, ip6, udp

from pfq.codegen.prefixes import SetRegion
from pfq.engine.capture import Capture
from pfq.engine.hooks import HookChoice
from pfq.errors import LimitError, LiteralError, ProgramError, RingClosedError, UsageError
from pfq.lang.prefixset import PrefixSet

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
A6, B6 = "2001:db8::1", "2001:db8::2"
ROUNDS = 200


def frame(source: str, target: str = C) -> bytes:
    ends = [ip_address(text).packed for text in (source, target)]
    if len(ends[0]) == 4:
        return udp4(ends[0], ends[1], (1000, 53), bytes(64 - NUMBER_AT))
    return ethernet(ip6(udp(), 17, *ends), 0x86DD)


@contextmanager
def counting(pair: Pair, *tests: str, **options: object) -> Iterator[tuple[Capture, Sender]]:
    """A capture that counts the packets for which each predicate holds, and a sender."""
    program = " >-> ".join(f"when ({test}) (inc {number})" for number, test in enumerate(tests)) + " >-> drop"
    with opened(pair, program, slots=64, **options) as capture, pair.sender() as sender:
        yield capture, sender


def counted(capture: Capture, sender: Sender, *sources: str) -> list[int]:
    """By how much the first four counters grow when a packet of each source comes."""
    before = capture.statistics()
    send(sender, map(frame, sources))
    after = settled(capture, before.arrived + len(sources))
    return [new - old for old, new in zip(before.groups[0].counters, after.groups[0].counters, strict=True)][:4]


def test_a_file_and_a_list(netns_pair: Pair, mode: HookChoice, tmp_path: Path) -> None:
    path = tmp_path / "nets.txt"
    path.write_text(f"# ours\n{A}\n10.1.0.0/16\n{A6}/127\n")
    tests = [f'src_addr_in "{path}"', f'src_addr_in "{B}, 2001:db8::/125"', f'addr_in "{C}"', 'addr_in "::/0"']
    with counting(netns_pair, *tests, hook=mode) as (capture, sender):
        assert counted(capture, sender, A) == [1, 0, 1, 0]
        assert counted(capture, sender, B) == [0, 1, 1, 0]
        assert counted(capture, sender, "10.0.255.255", "10.1.0.0", "10.1.255.255", "10.2.0.0") == [2, 0, 4, 0]
        assert counted(capture, sender, "2001:db8::", A6, B6, "2001:db8::8") == [2, 3, 0, 4]


def test_a_set_is_replaced_for_packets_sent_afterwards(netns_pair: Pair, mode: HookChoice) -> None:
    """All its uses, both families; no other set."""
    ours, other = f"{A}, {A6}", f"{A}/32, {A6}"
    tests = [f'src_addr_in "{ours}"', f'src_addr_in "{other}"', f'not (addr_in "{ours}")']
    with counting(netns_pair, *tests, hook=mode) as (capture, sender):
        every = (A, B, A6, B6)
        assert counted(capture, sender, *every) == [2, 2, 2, 0]
        for prefixes, hits in (
            ([B, A6], [B, A6]),
            ([B], [B]),
            ([B6], [B6]),
            (["0.0.0.0/0"], [A, B]),
            (["::/0", "10.0.0.0/31"], [A, A6, B6]),
            ([], []),
            ([A, A6], [A, A6]),
        ):
            capture.replace_set(ours, prefixes)
            for source in every:
                hit = source in hits
                assert counted(capture, sender, source)[0] == hit, (prefixes, source)
            assert counted(capture, sender, A, A6, B)[1] == 2
        capture.replace_set(other, PrefixSet.parse(B))
        assert counted(capture, sender, *every) == [2, 1, 2, 0]


def replace_many(capture: Capture, name: str, *sets: PrefixSet) -> None:
    for turn in range(ROUNDS):
        capture.replace_set(name, sets[turn % len(sets)])


def large(*last: str, before: int) -> PrefixSet:
    """Some addresses behind many prefixes."""
    return PrefixSet.of([*last, *(f"1.{n // 256}.{n % 256}.0/25" for n in range(before))])


def test_no_packet_meets_a_mixture(netns_pair: Pair, tmp_path: Path) -> None:
    """A is in one set, B in the other, C in both and D in none; so C is found always and D never.

    The others move C to another place of the table, and it takes a while to write them.
    """
    name = str(tmp_path / "nets")
    Path(name).write_text("\n".join(f"1.{n // 256}.{n % 256}.0/25" for n in range(16_000)))
    sets = (large(A, C, A6, before=16_000), large(B, C, B6, before=8_000))
    d = "10.0.0.4"
    tests = [f'src_addr_in "{name}"', f'has_src_addr {C} .&&. src_addr_in "{name}"', f"has_src_addr {C}",
             f'has_src_addr {d} .&&. src_addr_in "{name}"']  # fmt: skip
    with counting(netns_pair, *tests) as (capture, _):
        capture.replace_set(name, sets[1])
        with streaming(netns_pair, *map(frame, (A, C, C, C, C, C, C, d))) as sent:
            replace_many(capture, name, *sets)
        statistics = settled(capture, sent())
    hits, c_found, of_c, d_found, *_ = statistics.groups[0].counters
    assert c_found == of_c == sent() * 6 // 8
    assert d_found == 0
    assert of_c < hits < sent() * 7 // 8, "both sets were in use"


def test_a_packet_meets_one_set_at_all_its_uses(netns_pair: Pair) -> None:
    """From A to B: one of them is in the set, whichever set it is; never both, never none.

    Much happens between the uses, so that the set is likely to change meanwhile.
    """
    busy = " >-> ".join(f'when (src_addr_in "2001:db8::{n:x}, 192.0.2.{n}") (inc 9)' for n in range(20))
    program = (
        f'when (src_addr_in "{A}") (mark 1 >-> inc 0) >-> {busy} >-> '
        f'when (dst_addr_in "{A}" .&&. has_mark 1) (inc 1) >-> unless (dst_addr_in "{A}" .||. has_mark 1) (inc 2) '
        ">-> drop"
    )
    with opened(netns_pair, program, slots=64, hook="xdp") as capture:
        with streaming(netns_pair, frame(A, B)) as sent:
            replace_many(capture, A, PrefixSet.parse(A), PrefixSet.parse(B))
        statistics = settled(capture, sent())
    first, both, none, *_ = statistics.groups[0].counters
    assert 0 < first < sent()
    assert (both, none) == (0, 0)


def test_replacing_is_quick(netns_pair: Pair) -> None:
    """Beside a stream of packets; also a set of many prefixes."""
    many = [f"{10 + n // 65_536}.{n // 256 % 256}.{n % 256}.0/25" for n in range(20_000)]
    with counting(netns_pair, f'src_addr_in "{", ".join(many[:16_000])}"') as (capture, _):
        (name,) = (known.name for known in capture._group.memory.code.plan.sets)
        ready = [PrefixSet.of(many[::step]) for step in (1, 2)]
        with streaming(netns_pair, frame(A), frame(B)):
            start = time.monotonic()
            for turn in range(10):
                capture.replace_set(name, ready[turn % 2])
            assert time.monotonic() - start < 3.0


def test_two_threads_replace_a_set(netns_pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, however long the writing takes: what is in use is not written to."""
    pieces = SetRegion.pieces

    def slowly(region: SetRegion, addresses: PrefixSet) -> Iterator[tuple[int, bytes]]:
        for piece in pieces(region, addresses):
            time.sleep(0.0005)
            yield piece

    def replace(before: int) -> None:
        for _ in range(30):
            capture.replace_set(C, large(C, before=before))

    with counting(netns_pair, f'src_addr_in "{C}"') as (capture, _):
        monkeypatch.setattr(SetRegion, "pieces", slowly)
        with streaming(netns_pair, frame(C)) as sent, ThreadPoolExecutor() as pool:
            for done in [pool.submit(replace, before) for before in (100, 10)]:
                done.result()
        statistics = settled(capture, sent())
    assert statistics.groups[0].counters[0] == sent()


# what cannot be


def test_a_set_that_is_too_large(netns_pair: Pair) -> None:
    """The old one stays. There is room for 256 boundaries of each family, 128 prefixes that lie apart."""
    with counting(netns_pair, f'src_addr_in "{A}"') as (capture, sender):
        apart = [f"10.{n}.0.1" for n in range(129)]
        for prefixes in (apart, [f"2001:db8:{n}::1" for n in range(129)]):
            with pytest.raises(LimitError, match=r"room for 256 boundaries .* of IPv4 and 256 of IPv6") as caught:
                capture.replace_set(A, prefixes)
            assert "start the program with a larger set" in str(caught.value.hint)
            assert counted(capture, sender, A, "10.0.0.1", "10.128.0.1")[0] == 2
        capture.replace_set(A, apart[:128])
        assert counted(capture, sender, "10.127.0.1", "10.128.0.1")[0] == 1


def test_a_set_that_the_program_does_not_have(netns_pair: Pair) -> None:
    with counting(netns_pair, f'src_addr_in "{A}"') as (capture, _):
        with pytest.raises(UsageError, match="the program has no set of prefixes `ours`") as caught:
            capture.replace_set("ours", [B])
        assert caught.value.hint == f"it has: `{A}`"
    with opened(netns_pair, "udp", slots=64) as capture:
        with pytest.raises(UsageError, match="the program has no set of prefixes `ours`") as caught:
            capture.replace_set("ours", [B])
        assert caught.value.hint == "it has: none"


@pytest.mark.parametrize("prefixes", [["10.0.0.256"], [A, "ours"], ["10.0.0.0/33"]])
def test_no_prefixes(netns_pair: Pair, prefixes: list[str]) -> None:
    with counting(netns_pair, f'src_addr_in "{A}"') as (capture, sender):
        with pytest.raises(LiteralError):
            capture.replace_set(A, prefixes)
        assert counted(capture, sender, A, B)[0] == 1


def test_a_closed_capture(netns_pair: Pair) -> None:
    with counting(netns_pair, f'src_addr_in "{A}"') as (capture, _):
        capture.stop()
        capture.replace_set(A, [B])
    with pytest.raises(RingClosedError, match="the capture is closed"):
        capture.replace_set(A, [B])


def test_a_file_that_is_missing(netns_pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"none\.txt"):
        opened(netns_pair, f'filter (addr_in "{tmp_path}/none.txt")')


def test_delivery_by_a_set(netns_pair: Pair, mode: HookChoice) -> None:
    program = f'filter (src_addr_in "{A}")'
    with opened(netns_pair, program, hook=mode, slots=64) as capture, netns_pair.sender() as sender:
        send(sender, [frame(A), frame(B)])
        settled(capture, 2)
        capture.replace_set(A, [B])
        send(sender, [frame(A), frame(B), frame(B)])
        check_identities(settled(capture, 5))
        capture.stop()
        assert [packet.data for packet in packets(capture[0])] == [frame(A), frame(B), frame(B)]
