"""Sets of prefixes in memory, and the search in them compared with Python's `ipaddress`."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import tcp
from support.handmade import v4, v6

from pfq.codegen.native import NativeProgram
from pfq.codegen.prefixes import HEAD, INDEX_BYTES, LEAST, SetRegion
from pfq.lang.action import Fanout
from pfq.lang.compile import compile_text
from pfq.lang.interp import World
from pfq.lang.prefixset import PrefixSet
from pfq.lang.prims import PRIMS
from pfq.lang.program import Call, Chain, Program

LAST4, LAST6 = (1 << 32) - 1, (1 << 128) - 1

# in memory


@pytest.mark.parametrize(
    ("boundaries", "capacity"),
    [(0, LEAST), (1, LEAST), (127, LEAST), (128, 512), (255, 512), (256, 1024), (100_000, 1 << 18)],
)
def test_room_for_twice_as_much(boundaries: int, capacity: int) -> None:
    numbers = tuple(range(boundaries))
    assert SetRegion.with_room_for(PrefixSet("", numbers, ())) == SetRegion(0, capacity, LEAST)
    assert SetRegion.with_room_for(PrefixSet("", (), numbers)) == SetRegion(0, LEAST, capacity)
    assert capacity >= 2 * boundaries


def test_where_the_pieces_lie() -> None:
    region = SetRegion(offset=640, capacity4=4, capacity6=2)
    half = 64 + INDEX_BYTES + 4 * 4 + 16 * 2
    assert (region.half_bytes, region.size) == (half, 64 + 2 * half)
    assert (region.half(0), region.half(1)) == (640 + 64, 640 + 64 + half)
    high, low = 0x20010DB8 << 96, 0x1_0000_0000_0000_0007
    addresses = PrefixSet("", (1, 2, 0xFFFFFFFE), (high, high + low))
    start = 64 + INDEX_BYTES
    assert region.pieces(addresses) == [
        (0, struct.pack("<III", 2, 2, 2)),
        (64, struct.pack("<4097I", 0, *[2] * 4095, 3)),
        (start, struct.pack("<III", 1, 2, 0xFFFFFFFE)),
        (start + 16, struct.pack("<QQ", high >> 64, (high >> 64) + 1)),
        (start + 32, struct.pack("<QQ", 0, 7)),
    ]


def test_the_index_says_how_many_boundaries_are_below() -> None:
    boundaries = (0, 1, 1 << 20, (1 << 20) + 5, 7 << 20, (8 << 20) - 1)
    (_, head), (_, index), *_ = SetRegion(0, 8, 2).pieces(PrefixSet("", boundaries, ()))
    assert struct.unpack_from("<9I", index) == (0, 2, 4, 4, 4, 4, 4, 4, 6)
    assert struct.unpack("<III", head) == (0, 2, 0), "no IPv6, at most two in one place, nothing to search for IPv6"


def test_the_whole_region() -> None:
    """Half 0 is in use."""
    region = SetRegion(offset=640, capacity4=4, capacity6=2)
    packed = region.packed(PrefixSet("", (5,), ()))
    assert len(packed) == HEAD + region.half_bytes
    index = struct.pack("<4097I", 0, *[1] * 4096).ljust(INDEX_BYTES, b"\0")
    assert packed == bytes(64) + struct.pack("<III", 0, 1, 0).ljust(64, b"\0") + index + struct.pack("<I", 5).ljust(
        48, b"\0"
    )


@pytest.mark.parametrize(
    ("four", "six", "fits"), [(4, 2, True), (5, 0, False), (0, 3, False), (0, 0, True), (4, 3, False)]
)
def test_what_fits(four: int, six: int, fits: bool) -> None:
    assert SetRegion(0, 4, 2).fits(PrefixSet("", tuple(range(four)), tuple(range(six)))) is fits


# the search

Address = IPv4Address | IPv6Address


def frame(source: Address) -> bytes:
    return v4(tcp(), src=source.packed) if isinstance(source, IPv4Address) else v6(tcp(), src=source.packed)


def found(prefixes: Iterable[str], addresses: Iterable[Address]) -> set[Address]:
    """Those of the addresses that native code finds in the set."""
    native = NativeProgram(compile_text(f'filter (src_addr_in "{", ".join(prefixes)}")'), level=1)
    return {address for address in addresses if native.decide(frame(address)).fanout is not Fanout.DROP}


def near(prefixes: Iterable[str]) -> list[Address]:
    """Both ends of every prefix and their neighbours, and both ends of all addresses."""
    numbers: dict[int, set[int]] = {4: {0, 1, LAST4 - 1, LAST4}, 6: {0, 1, LAST4, LAST4 + 1, LAST6 - 1, LAST6}}
    for network in map(ip_network, prefixes):
        first, last = int(network[0]), int(network[-1])
        numbers[network.version] |= {first - 1, first, first + 1, last - 1, last, last + 1}
    return [
        *(IPv4Address(number) for number in sorted(numbers[4]) if 0 <= number <= LAST4),
        *(IPv6Address(number) for number in sorted(numbers[6]) if 0 <= number <= LAST6),
    ]


def check(prefixes: list[str], others: Iterable[Address] = ()) -> None:
    networks = [ip_network(prefix) for prefix in prefixes]
    addresses = [*near(prefixes), *others]
    wanted = {a for a in addresses if any(a.version == net.version and a in net for net in networks)}
    assert found(prefixes, addresses) == wanted


@pytest.mark.parametrize(
    "prefixes",
    [
        ["0.0.0.0/0"],
        ["::/0"],
        ["0.0.0.0/0", "::/0"],
        ["0.0.0.0/32"],
        ["255.255.255.255/32"],
        ["::/128"],
        ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"],
        ["128.0.0.0/1", "8000::/1"],
        ["0.0.0.0/1", "::/1"],
        ["0.0.0.0/32", "255.255.255.255/32", "127.255.255.255/32", "128.0.0.0/32"],
        ["::/64", "0:0:0:1::/64", "0:0:0:3::/64"],
        ["7fff:ffff:ffff:ffff:8000::/65", "8000::/65", "::8000:0:0:0/128", "::7fff:ffff:ffff:ffff/128"],
        ["10.0.0.0/9", "10.128.0.0/9", "11.0.0.0/8", "10.0.0.0/32"],
        ["16.16.0.0/12"],
        ["16.15.255.255/32", "16.16.0.0/32", "16.31.255.255/32", "16.48.0.0/32"],
        ["0.0.0.0/12", "255.240.0.0/12", "1.0.0.0/13"],
        [*(f"16.16.{n}.0/25" for n in range(40)), "16.32.0.0/11", "16.15.0.0/17"],
    ],
)
def test_ends_of_the_address_space(prefixes: list[str]) -> None:
    check(prefixes)


def networks(bits: int) -> st.SearchStrategy[str]:
    """Prefixes of all lengths, more of those that lie together or at an end."""
    last = (1 << bits) - 1
    address = st.one_of(
        st.integers(0, last),
        st.integers(0, 300),
        st.integers(last - 300, last),
        st.sampled_from((last // 2, 1 << 64, 5 << 20, (5 << 20) - 1, (6 << 20) - 1)),
    ).map(lambda number: min(number, last))
    make = IPv4Address if bits == 32 else IPv6Address
    return st.builds(
        lambda number, length: str(ip_network(f"{make(number)}/{length}", strict=False)), address, st.integers(0, bits)
    )


ADDRESSES = st.one_of(st.integers(0, LAST4).map(IPv4Address), st.integers(0, LAST6).map(IPv6Address))


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    prefixes=st.lists(st.one_of(networks(32), networks(128)), min_size=1, max_size=24),
    others=st.lists(ADDRESSES, max_size=8),
)
def test_random_sets(prefixes: list[str], others: list[Address]) -> None:
    check(prefixes, others)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 128])
def test_sets_of_many_sizes(count: int) -> None:
    """Boundaries at all places of the table, up to one that is half full."""
    four = [f"10.{n}.0.0/17" for n in range(count)]
    six = [f"2001:db8:{n:x}::/49" for n in range(count)]
    check(four + six)


@pytest.mark.parametrize(
    ("four", "six"), [((1, 2, 5, 9), (1, 1 << 64)), ((0, 3, LAST4 - 1, LAST4), (0, LAST6)), ((7,), (1 << 127,))]
)
def test_a_full_table(monkeypatch: pytest.MonkeyPatch, four: tuple[int, ...], six: tuple[int, ...]) -> None:
    """As many boundaries as there is room for; what the set became while the program ran."""
    room = {4: 1 << (len(four) - 1).bit_length(), 6: 1 << (len(six) - 1).bit_length()}
    monkeypatch.setattr(SetRegion, "with_room_for", classmethod(lambda cls, addresses: cls(0, room[4], room[6])))
    addresses = PrefixSet("full", four, six)
    test = Call(PRIMS["src_addr_in"], (addresses,))
    native = NativeProgram(Program(Chain((Call(PRIMS["filter"], (test,)),))), level=1)
    assert native.plan.sets[addresses].fits(addresses)
    for boundaries, last, make in ((four, LAST4, IPv4Address), (six, LAST6, IPv6Address)):
        for number in {0, last, *(b + step for b in boundaries for step in (-1, 0, 1))}:
            if 0 <= number <= last:
                inside = bisect_right(boundaries, number) % 2 == 1
                assert (native.decide(frame(make(number))).fanout is Fanout.COPY) is inside, make(number)


@settings(max_examples=20, deadline=None)
@given(hosts=st.frozensets(ADDRESSES, max_size=12), other=ADDRESSES)
def test_own_addresses(hosts: frozenset[Address], other: Address) -> None:
    """Single addresses, in the one program."""
    for address in {*hosts, other, *near(f"{host}" for host in hosts)}:
        decided = OWN.decide(frame(address), world=World(hosts=hosts)).fanout
        assert (decided is Fanout.COPY) is (address in hosts)


OWN = NativeProgram(compile_text("src ip_host"), level=1)


def test_nothing_but_ip_is_in_a_set() -> None:
    native = NativeProgram(compile_text('filter (addr_in "0.0.0.0/0, ::/0")'), level=1)
    assert native.decide(b"\xff" * 60).fanout is Fanout.DROP
    assert native.decide(frame(ip_address("1.2.3.4"))).fanout is Fanout.COPY
