"""Compiled programs against the same programs in C, by hand.

    ns      of one packet, without what the kernel does around a program
    ratio   of these
    in all  the ratio when that is counted too, as the kernel does when it times a program

Each program sees the frames of its kind, some of them more often. Ours and the one in C take turns. Both
leave the same record: the action, the selected end-points, the counters. Run as root: `make bench`.
"""

from __future__ import annotations

import os
import random
import statistics
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import frames
from clang import compiled, compiler, compiler_version
from feed import FEEDER_CPU, drop_program, pinned
from trial import CALLS, InC, Ours, Trial, nothing, time_ns

from pfq.kernel import sys
from pfq.kernel.privilege import require_privilege
from pfq.kernel.programs import Program
from pfq.lang.bloomfilter import filled
from pfq.lang.compile import compile_text
from pfq.lang.prefixset import PrefixSet

ROUNDS = 15
RUNS = 2000
LIMIT = 1.10
"""What our programs may take at most, in all, of the time of those in C."""

Mix = Sequence[tuple[int, bytes]]
BINS, MEMBERS, PREFIXES = 65536, 500, 1000
BOUNDARIES = 2048
"""Room in prefixes_bisect.c."""


@dataclass(frozen=True)
class Case:
    """One program.

    text     in pfq-lang
    name     of the program in C
    mix      the frames it sees, and how often each
    initial  what variables of the program in C hold at the start
    fill     fills its tables
    runs     of one measurement; memory is as at the start before each
    """

    text: str
    name: str
    mix: Mix = frames.MIX
    initial: Callable[[], Mapping[str, bytes]] = dict
    fill: Callable[[Trial], None] = lambda trial: None
    runs: int = RUNS


@cache
def addresses() -> tuple[int, ...]:
    """The members of the Bloom filter."""
    draw = random.Random(1)
    return tuple(draw.getrandbits(32) for _ in range(MEMBERS))


@cache
def prefixes() -> tuple[IPv4Network | IPv6Network, ...]:
    """The set of prefixes: four in five are IPv4."""
    draw = random.Random(2)
    four = [
        (IPv4Address(draw.getrandbits(32)), draw.choice((16, 20, 24, 24, 24, 32))) for _ in range(PREFIXES * 4 // 5)
    ]
    six = [
        (IPv6Address(0x2001 << 112 | draw.getrandbits(112)), draw.choice((32, 48, 64, 128)))
        for _ in range(PREFIXES // 5)
    ]
    return tuple(ip_network(f"{address}/{length}", strict=False) for address, length in (*four, *six))


def prefix_text() -> str:
    return f'filter (addr_in "{", ".join(map(str, prefixes()))}")'


def bits() -> dict[str, bytes]:
    return {"bits": filled(BINS, addresses(), 32)}


def boundaries() -> dict[str, bytes]:
    """The variable `set` of prefixes_bisect.c."""
    addresses = PrefixSet.of(map(str, prefixes()))
    four, six = addresses.boundaries4, addresses.boundaries6
    words = (four, [number >> 64 for number in six], [number & (1 << 64) - 1 for number in six])
    columns = (struct.pack(f"<{len(column)}Q", *column).ljust(8 * BOUNDARIES, b"\0") for column in words)
    return {"set": struct.pack("<2Q", len(four), len(six)) + b"".join(columns)}


def fill_tries(trial: Trial) -> None:
    for prefix in prefixes():
        key = struct.pack("<I", prefix.prefixlen) + prefix.network_address.packed
        sys.map_update(trial.maps[f"set{prefix.version}"].fd, key, b"\1")


def from_members(version: int) -> bytes:
    """A frame from one of the prefixes."""
    member = next(prefix for prefix in prefixes() if prefix.version == version)
    other = frames.B6 if version == 6 else "192.0.2.1"
    return frames.ethernet(*frames.ip(frames.tcp(40000, 443), frames.TCP, str(member.network_address), other))


def from_address() -> bytes:
    member = str(IPv4Address(addresses()[0]))
    return frames.ethernet(*frames.ip(frames.tcp(40000, 443), frames.TCP, member))


def tunnels() -> Mix:
    """What comes on a link between virtual networks."""

    def carried(frame: bytes) -> bytes:
        return frames.ethernet(*frames.ip(frames.vxlan(frame), frames.UDP))

    plain = frames.ip(frames.tcp(40000, 443), frames.TCP)
    return (
        (4, carried(frames.WEB)),
        (2, carried(frames.WEB6)),
        (2, carried(frames.DNS)),
        (1, carried(frames.WHO_HAS)),
        (1, frames.ethernet(*frames.ip(frames.gre(plain), frames.GRE))),
        (1, frames.WEB),
    )


def cases() -> dict[str, Case]:
    """The programs, by what they are."""
    with_members = (*frames.MIX, (2, from_members(4)), (1, from_members(6)))
    members = ", ".join(str(IPv4Address(address)) for address in addresses())
    counters = (
        "when is_tcp (inc 0) >-> when is_udp (inc 1) >-> unless is_ip (inc 2) >-> when is_icmp (inc 3) >-> "
        "when (has_port 53) (inc 4)"
    )
    composed = (
        "flow >-> filter (ip_hop .> 1) >-> when (has_addr 10.0.0.0/8) (mark 1) >-> when (has_port 53) (inc 0) >-> "
        "steer_flow"
    )
    return {
        "filter": Case("tcp >-> port 443", "filter"),
        "5-tuple steering": Case("steer_flow", "steer"),
        "prefixes, the kernel's trie": Case(prefix_text(), "prefixes", with_members, fill=fill_tries),
        "prefixes, bisection": Case(prefix_text(), "prefixes_bisect", with_members, boundaries),
        "Bloom filter": Case(f"bloom_filter {BINS} [{members}] 32", "bloom", (*frames.MIX, (2, from_address())), bits),
        "tunnels": Case("shift (tcp >-> steer_flow)", "tunnel", tunnels()),
        "counters": Case(counters, "count"),
        # So few that they all pass, and so many that nearly none does.
        "rate, below": Case("limit 1000000 1000", "limit", runs=1000 // CALLS),
        "rate, above": Case("limit 1000000 1000", "limit"),
        "ten primitives": Case(composed, "composed"),
    }


@dataclass(frozen=True, slots=True)
class Times:
    """Nanoseconds of one packet of a mix: medians."""

    ours: float
    c: float

    def ratio(self, around: float = 0) -> float:
        """Ours by the one in C; `around` is what both take besides."""
        return (self.ours + around) / (self.c + around)


def measure(case: Case, idle: Program) -> Times:
    """The two programs in turns, frame by frame."""
    with Ours(compile_text(case.text, "<bench>")) as ours, InC(compiled(case.name), case.initial()) as by_hand:
        case.fill(by_hand)
        runners = [(trial, trial.loop()) for trial in (ours, by_hand)]
        total = [0.0, 0.0]
        for weight, frame in case.mix:
            for place, times in enumerate(zip(*(turn(case, runners, idle, frame) for _ in range(ROUNDS)), strict=True)):
                total[place] += weight * statistics.median(times)
        packets = sum(weight for weight, _ in case.mix)
        return Times(total[0] / packets, total[1] / packets)


def turn(case: Case, runners: list[tuple[Trial, Program]], idle: Program, frame: bytes) -> list[float]:
    """Each program once; the time of nothing is taken off."""
    empty = time_ns(idle, frame, case.runs)
    found = []
    for trial, loop in runners:
        trial.reset()
        found.append(time_ns(loop, frame, case.runs) - empty)
    return found


def around_ns() -> float:
    """What the kernel takes for a run of a program that does nothing."""
    with drop_program() as idle:
        return statistics.median(idle.test_run(frames.WEB, repeat=RUNS * CALLS).duration_ns for _ in range(ROUNDS))


def main() -> None:
    require_privilege()
    if compiler() is None:
        print("compiled programs are not compared with C: there is no clang here")
        return
    print(f"ours against C, by {compiler_version()}; load {os.getloadavg()[0]:.1f}")
    print(f"{'':28}{'ours':>8}{'C':>8}{'ratio':>8}{'in all':>8}")
    with pinned(FEEDER_CPU), ExitStack() as undo:
        idle, around = undo.enter_context(nothing()), around_ns()
        slow = []
        for name, case in cases().items():
            times = measure(case, idle)
            print(f"{name:28}{times.ours:5.1f} ns{times.c:5.1f} ns{times.ratio():8.2f}{times.ratio(around):8.2f}")
            slow += [name] if times.ratio(around) > LIMIT else []
    print(f"the kernel takes {around:.0f} ns around a program; over {LIMIT:.2f} in all: {', '.join(slow) or 'none'}")


if __name__ == "__main__":
    main()
