"""Filters of groups say the same in every meaning, and Berkeley filters the same as libpcap's own interpreter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.backends import LONGEST_TEST_RUN
from support.berkeley import EXPRESSIONS, Judge, bytecode, filters
from support.frames import ethernet as framed
from support.frames import ethernet_captures, ethernet_frames, frames, ip4, tcp, udp
from support.groups import KernelGroups, Reference, Sighting, Verdict, groups_in_kernel, native, verdicts_of, whole
from support.handmade import FRAMES
from support.shapes import shapes

from pfq.codegen.device import Group
from pfq.codegen.layouts import MAX_GROUPS
from pfq.codegen.spec import Hook
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.compile import compile_text
from pfq.lang.group import Filters, Outcome, vlan_filter
from pfq.lang.packet import Packet

pytestmark = pytest.mark.agree

HOOKS = pytest.mark.parametrize("hook", [Hook.XDP, Hook.TC_INGRESS], ids=lambda hook: hook.value)
SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
PER_CAPTURE = 60
PROGRAMS = (
    "unit",
    "filter is_ip >-> steer_flow",
    "when is_tcp (mark 1 >-> kernel) >-> filter (vlan_id [0, 5]) >-> double_steer_ip",
    'when (bpf "udp") (put_state 7 >-> classify 2) >-> unless is_ip drop >-> steer_rrobin',
)
VLANS = (None, [0], [-1], [5, 9], [0, 5, 6], [], [0, -1], [1, 4094])
MADE_UP = [
    *FRAMES.values(),
    *shapes().values(),
    *(framed(ip4(tcp()), 0x0800, [(kind, tci)]) for kind in (0x8100, 0x88A8) for tci in (0, 1, 5, 0xE005, 4094, 4095)),
    *(framed(ip4(udp(), 17), 0x0800, [(0x88A8, 5), (0x8100, 9)])[:cut] for cut in (13, 14, 15, 16, 17, 18, 22)),
]


def groups(asked: Sequence[BerkeleyFilter | None]) -> list[Group]:
    """One for each filter; programs and VLAN filters change from one to the next."""
    compiled = [compile_text(text) for text in PROGRAMS]
    return [
        Group(number % MAX_GROUPS, compiled[number % len(compiled)], each, vlan_filter(VLANS[number // 3 % len(VLANS)]))
        for number, each in enumerate(asked)
    ]


def runs(kernel: KernelGroups, frame: bytes) -> bool:
    """The kernel makes test runs with such a frame: TC wants the fixed header its EtherType promises."""
    behind = 0 if kernel.hook is Hook.XDP else {b"\x08\0": 20, b"\x86\xdd": 40}.get(frame[12:14], 1)
    return 14 + behind <= len(frame) <= LONGEST_TEST_RUN


def compare(kernel: KernelGroups | None, some: Sequence[Group], seen: Sequence[Sighting]) -> list[list[Verdict]]:
    """The verdicts of each group, when all meanings agree on them."""
    found = []
    for group in some:
        reference = Reference(group)
        wanted = [reference.decide(each) for each in seen]
        assert verdicts_of(native(group), seen) == wanted
        found.append(wanted)
    for at, each in enumerate(seen):
        if kernel is not None and runs(kernel, each.data):
            assert kernel.outcomes(each.data) == [wanted[at].outcome for wanted in found], each.data.hex()
    return found


def judged(group: Group, frame: bytes) -> bool:
    """Whether a frame passes the filters, by libpcap and by the tag that lies in it."""
    if group.filter is not None and not Judge(group.filter).accepts(frame, most=len(frame)):
        return False
    tagged = frame[12:14] in (b"\x81\0", b"\x88\xa8") and len(frame) >= 16
    found = int.from_bytes(frame[14:16], "big") & 4095 if tagged else 0
    return group.vlans is None or found in group.vlans or (-1 in group.vlans and 1 <= found <= 4094)


@HOOKS
def test_filters_of_groups_on_captures(hook: Hook) -> None:
    """All expressions, 16 groups at a time on one device."""
    real = [frame for path in ethernet_captures() for frame in islice(ethernet_frames(path), PER_CAPTURE)]
    seen = whole([*real[:: 1 if hook is Hook.XDP else 4], *MADE_UP])
    asked = [None, *map(BerkeleyFilter.parse, EXPRESSIONS[:: 2 if hook is Hook.XDP else 5])]
    some = groups(asked)
    outcomes: Counter[Outcome] = Counter()
    for first in range(0, len(some), 16):
        part = some[first : first + 16]
        with groups_in_kernel(part, hook) as kernel:
            for group, found in zip(part, compare(kernel, part, seen), strict=True):
                passed = [verdict.outcome is not Outcome.FILTERED for verdict in found]
                assert passed == [judged(group, each.data) for each in seen], group
                outcomes.update(verdict.outcome for verdict in found)
    assert min(outcomes[outcome] for outcome in Outcome) > 100


@HOOKS
@settings(SETTINGS, max_examples=12)
@given(asked=st.lists(filters(), min_size=4, max_size=4), some_frames=st.lists(frames(), min_size=12, max_size=12))
def test_filters_of_groups_in_bytecode_of_all_kinds(
    hook: Hook, asked: list[BerkeleyFilter], some_frames: list[bytes]
) -> None:
    some = groups(asked)
    with groups_in_kernel(some, hook) as kernel:
        for group, found in zip(some, compare(kernel, some, whole(some_frames)), strict=True):
            for frame, verdict in zip(some_frames, found, strict=True):
                assert (verdict.outcome is not Outcome.FILTERED) == judged(group, frame)


@pytest.mark.parametrize("ids", VLANS, ids=str)
def test_VLAN_filters_alone(ids: list[int] | None) -> None:
    group = Group(0, compile_text("unit"), None, vlan_filter(ids))
    for hook in (Hook.XDP, Hook.TC_INGRESS, Hook.TC_EGRESS):
        with groups_in_kernel([group], hook) as kernel:
            (found,) = compare(kernel, [group], whole(MADE_UP))
    passed = [verdict.outcome is not Outcome.FILTERED for verdict in found]
    assert passed == [judged(group, frame) for frame in MADE_UP]


@HOOKS
def test_filters_of_groups_see_the_whole_frame(hook: Hook) -> None:
    """Unlike the predicate of the language, which sees the header window."""
    texts = (
        "ether[511] = 1",
        "ether[512] = 2",
        "ether[511:2] = 0x0102",
        "ether[510:4] = 0x00010203",
        "ether[1000:4] = 0x0a0b0c0d",
        "ether[ether[0] * 4 + 900] = 10",
        "ether[2999] = 9",
        "ether[2996:4] = 9",
        "ether[3000] = 0",
        "ether[0xfffffffe:4] = 0",
        "ether[ether[0] * 0x4000000] = 0",
        "len > 1000 and ether[1003] = 13",
        "ether[(ether[0] & 0xff) + 975] = 10",
        "ether[ether[0] << 5 : 4] = 0",
        "ether[(ether[0] << 5) + 200] = 10",
        "ether[ether[0] | 0x3e1] = 0",
        "ether[ether[0] ^ 0x3f1] = 10",
        "ether[ether[1000:2] >> 1 : 2] = 0",
        "ether[ether[1000:2] / 2 % 2999] = 0",
        "ether[ether[1000:2] & 0xfff] = 0",
        bytecode((0xB1, 0, 0, 0), (0x50, 0, 0, 512 - 4 * 9), (0x16, 0, 0, 0)),
        bytecode((0x01, 0, 0, 0xFFFFFFF0), (0x50, 0, 0, 600), (0x06, 0, 0, 1)),
        bytecode((0x01, 0, 0, 0xFFFFFFFF), (0x50, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 1)),
    )
    some = [Group(at, compile_text("unit"), BerkeleyFilter.parse(text)) for at, text in enumerate(texts)]
    frame = bytearray(3000)
    frame[0], frame[511:514], frame[1000:1004], frame[2999] = 25, b"\1\2\3", b"\12\13\14\15", 9
    cuts = [60, 511, 512, 513, 514, 1000, 1001, 1003, 1004, 2998, 2999, 3000]
    with groups_in_kernel(some, hook) as kernel:
        found = compare(kernel, some, whole([bytes(frame[:cut]) for cut in cuts]))
    passed = [[verdict.outcome is Outcome.SELECTED for verdict in row] for row in found]
    assert passed == [[judged(group, bytes(frame[:cut])) for cut in cuts] for group in some]
    never = {text for text, row in zip(texts, passed, strict=True) if not any(row)}
    assert never == {"ether[3000] = 0", "ether[0xfffffffe:4] = 0", "ether[ether[0] * 0x4000000] = 0", *texts[-2:]}


@settings(SETTINGS, max_examples=12)
@given(asked=st.lists(filters(), min_size=3, max_size=3), some_frames=st.lists(frames(), min_size=8, max_size=8))
def test_filters_of_groups_where_the_device_took_the_tag_off(
    asked: list[BerkeleyFilter], some_frames: list[bytes]
) -> None:
    """Reference and native code; the kernel makes no test runs with tags taken off."""
    more = map(BerkeleyFilter.parse, ("vlan 5", "ether[700] = 7", "ether[ether[0] + 500] = 7", "len > 60"))
    some = groups([None, *asked, *more])
    long = [bytes(at) + b"\7" + bytes(800 - at) for at in (495, 496, 500, 504, 695, 696, 697, 700, 704)]
    seen = [Sighting(frame, tci=tci) for frame in (*some_frames, *long) for tci in (5, 0xF009, 0xE000)]
    for group, found in zip(some, compare(None, some, seen), strict=True):
        for each, verdict in zip(seen, found, strict=True):
            if len(each.data) >= 12:
                back = each.data[:12] + b"\x81\0" + each.tci.to_bytes(2, "big") + each.data[12:]
                assert (verdict.outcome is not Outcome.FILTERED) == judged(group, back)


def test_what_is_on_the_wire_and_what_is_there() -> None:
    """A capture may have kept the first bytes only: `len` is what was sent, loads see what is there."""
    some = [
        Group(at, compile_text("mark 1"), BerkeleyFilter.parse(text))
        for at, text in enumerate(("len = 1514", "len > 1000 and ether[59] = 0", "len > 1000 and ether[60] >= 0"))
    ]
    seen = [Sighting(bytes(60), sent=1514), Sighting(bytes(60)), Sighting(b"", sent=1514), Sighting(bytes(61), 1514)]
    found = compare(None, some, seen)
    assert [[verdict.mark for verdict in row] for row in found] == [[1, 0, 1, 1], [1, 0, 0, 1], [0, 0, 0, 1]]


@HOOKS
def test_as_many_groups_with_filters_as_a_device_has(hook: Hook) -> None:
    """The verifier's work grows with the sum of the filters, not with the product."""
    asked = [BerkeleyFilter.parse(f"host 10.0.0.{n} and (tcp or udp port {n}) or vlan {n}") for n in range(64)]
    some = [Group(n, compile_text("steer_flow"), each, frozenset([n, 0])) for n, each in enumerate(asked)]
    references = list(map(Reference, some))
    outcomes: Counter[Outcome] = Counter()
    with groups_in_kernel(some, hook) as kernel:
        for each in filter(lambda seen: runs(kernel, seen.data), whole(FRAMES.values())):
            wanted = [reference.decide(each).outcome for reference in references]
            assert kernel.outcomes(each.data) == wanted, each.data.hex()
            outcomes.update(wanted)
    assert outcomes[Outcome.FILTERED] > outcomes[Outcome.SELECTED] > 0


def test_the_reference_says_what_libpcap_says() -> None:
    for text in EXPRESSIONS[::4]:
        wanted = BerkeleyFilter.parse(text)
        judge = Judge(wanted)
        for frame in MADE_UP:
            assert Filters(wanted).admits(Packet(frame)) == judge.accepts(frame, most=len(frame)), (text, frame.hex())
