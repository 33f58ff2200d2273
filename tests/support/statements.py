"""What the tests of the statements about behaviour stand on: one decision in all meanings, and real deliveries."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import TypeVar

from root.capture.harness import Packet, packets, send
from root.network import Pair, Sender, eventually

from pfq.codegen.device import Device, DeviceCode, Group, GroupCode
from pfq.codegen.finish import Clock
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook
from pfq.engine.capture import STORES_IN_ORDER
from pfq.engine.compiler import CodesAtOnce
from pfq.engine.datapath import DataPath, Hosts
from pfq.engine.groupmemory import GroupMemory
from pfq.engine.hooks import XDP_NATIVE, Way
from pfq.engine.keeper import Unkept
from pfq.engine.memory import EngineMemory
from pfq.engine.rings import Rings
from pfq.engine.side import Side
from pfq.engine.statistics import GroupStatistics
from pfq.engine.steering import Member
from pfq.kernel.devices import device
from pfq.kernel.maps import possible_cpus
from pfq.kernel.programs import Program as KernelObject
from pfq.kernel.programs import wait_for_running_programs
from pfq.lang import to_program
from pfq.lang.action import CONTROL_CLASS, Action, Fanout
from pfq.lang.group import Filters
from pfq.lang.interp import World
from pfq.lang.program import Program
from support.backends import WORLD, Backends, KernelProgram, in_kernel
from support.frames import ip4, ip6, tcp, udp

T = TypeVar("T", bound=Hashable)

# frames

EVERYONE = b"\xff" * 6
MAC_A, MAC_B = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
ICMP, TCP, UDP, GRE = 1, 6, 17, 47
IP4, IP6, ARP = 0x0800, 0x86DD, 0x0806
LIMITED_BROADCAST = "255.255.255.255"
A, B = "10.0.0.1", "10.0.0.2"
FRAGMENTS = (0x2000, 0x2001, 0x0002)
"""Flags and offset of the first, a middle and the last fragment of a datagram."""


def ether(kind: int, payload: bytes, *, dst: bytes = MAC_B, src: bytes = MAC_A, tags: Sequence[int] = ()) -> bytes:
    """A frame; `tags` are the control words of 802.1Q tags, outermost first."""
    tagged = b"".join(b"\x81\0" + tag.to_bytes(2, "big") for tag in tags)
    return dst + src + tagged + kind.to_bytes(2, "big") + payload


def packet(src: str, dst: str, proto: int, payload: bytes, **header: object) -> bytes:
    """An IP packet between two addresses of one version."""
    source, destination = ip_address(src), ip_address(dst)
    build = ip4 if source.version == 4 else ip6
    return build(payload, proto, source.packed, destination.packed, **header)  # type: ignore[arg-type]


def frame(src: str, dst: str, proto: int, payload: bytes, **header: object) -> bytes:
    return ether(IP4 if ip_address(src).version == 4 else IP6, packet(src, dst, proto, payload, **header))


def tcp_frame(src: str = A, dst: str = B, ports: tuple[int, int] = (1024, 80), note: int = 0) -> bytes:
    """A TCP segment; `note` is its payload and makes it differ from others of its flow."""
    return frame(src, dst, TCP, tcp(*ports, payload=note.to_bytes(4, "big")))


def udp_frame(src: str = A, dst: str = B, ports: tuple[int, int] = (1024, 53), note: int = 0) -> bytes:
    return frame(src, dst, UDP, udp(*ports, payload=note.to_bytes(4, "big")))


def icmp_frame(src: str = A, dst: str = B, kind: int = 8, note: int = 0) -> bytes:
    return frame(src, dst, ICMP, bytes([kind, 0, 0, 0]) + note.to_bytes(4, "big"))


def both_ways(make: Callable[..., bytes], src: str, dst: str, ports: tuple[int, int], count: int = 2) -> list[bytes]:
    """Packets of one flow, as many in each direction."""
    back = ports[::-1]
    return [each for note in range(count) for each in (make(src, dst, ports, note), make(dst, src, back, note))]


def mac(number: int) -> bytes:
    return b"\2\0\0\0\0" + bytes([number])


def arp_frame(note: int = 0, *, dst: bytes = MAC_B, src: bytes = MAC_A) -> bytes:
    return ether(ARP, note.to_bytes(28, "big"), dst=dst, src=src)


NOT_IP = (arp_frame(), arp_frame(dst=EVERYONE), ether(0x88B5, bytes(46)), ether(46, b"\xaa\xaa\x03" + bytes(43)))


def over_link(a: bytes, b: bytes, note: int = 0) -> list[bytes]:
    """Frames of several protocols from one hardware address to another."""
    return [
        arp_frame(note, dst=b, src=a),
        ether(IP4, packet(f"10.0.{note}.1", B, TCP, tcp()), dst=b, src=a),
        ether(0x88B5, note.to_bytes(46, "big"), dst=b, src=a),
    ]


def by_port(actions: Mapping[int, str]) -> str:
    """A program that does one of several actions, by the source port, and drops what has no such port."""
    text = "drop"
    for port, action in actions.items():
        text = f"conditional (has_src_port {port}) ({action}) ({text})"
    return text


# decisions


class Meanings:
    """The action of programs for frames, on which interpreter, native code and eBPF at XDP and TC agree."""

    def __init__(self, undo: ExitStack) -> None:
        self._undo = undo
        self._known: dict[str | Program, tuple[Backends, KernelProgram]] = {}

    def __call__(self, source: str | Program, frame: bytes, world: World = WORLD) -> Action:
        """A program keeps its memory from one call to the next. TC is not asked about frames it does not accept."""
        if source not in self._known:
            program = to_program(source)
            at_xdp, at_tc = (self._undo.enter_context(in_kernel(program, hook)) for hook in (Hook.XDP, Hook.TC_INGRESS))
            self._known[source] = Backends(program, at_xdp), at_tc
        backends, at_tc = self._known[source]
        action = backends.compare(frame, world)
        if at_tc.accepts(frame):
            assert at_tc.decide(frame, world=world) == action
        return action

    def passes(self, text: str, frame: bytes, world: World = WORLD) -> bool:
        return self(text, frame, world).fanout is not Fanout.DROP

    def holding(self, frame: bytes, *predicates: str, world: World = WORLD) -> set[str]:
        """Which of at most 64 predicates hold."""
        text = " >-> ".join(f"when ({predicate}) (inc {n})" for n, predicate in enumerate(predicates))
        return {predicates[n] for n in self(text, frame, world).counters}

    def passing(self, frame: bytes, *filters: str, world: World = WORLD) -> set[str]:
        """Which of at most 64 actions, none of which counts, pass the frame."""
        text = " >-> ".join(f"par ({each} >-> inc {n}) unit" for n, each in enumerate(filters))
        return {filters[n] for n in self(text, frame, world).counters}


# deliveries

RINGS = RingShape(slots=4096, slot_bytes=256, snaplen=224)
CONTROL = 1 << CONTROL_CLASS


class Path:
    """The program of one device, with no engine around it: its members are given as they are."""

    def __init__(self, spec: Device, endpoints: Mapping[int, Rings], undo: ExitStack) -> None:
        self.memory = EngineMemory(Unkept())
        undo.callback(self.memory.close)
        for number, rings in endpoints.items():
            self.memory.install(number, rings, RINGS.snaplen, Clock.NS)
        self._groups: dict[int, GroupMemory] = {}
        undo.callback(lambda: [group.close() for group in self._groups.values()])
        self._hosts = Hosts()
        undo.callback(self._hosts.close)
        self._path = DataPath(self.memory, spec, self._memory_of, self._hosts, CodesAtOnce())
        undo.callback(self._path.close)
        self._side = Side(device("lo"), "in", Unkept())
        self._final: tuple[GroupStatistics, ...] | None = None
        undo.callback(self._end)

    def _memory_of(self, code: GroupCode, device: DeviceCode) -> GroupMemory:
        return self._groups.setdefault(code.number, GroupMemory.create(code, device, self.memory.pool))

    def set_members(self, group: int, members: Sequence[Member]) -> None:
        self._groups[group].set_members(members)

    def attach(self, ways: Sequence[Way], ifindex: int) -> None:
        self._side.device = replace(self._side.device, index=ifindex)
        self._side.attach(self._path, ways)

    def program(self, way: Way, linear: bool) -> KernelObject:
        return self._path.program(way, linear)

    def _end(self) -> None:
        self._side.detach()
        wait_for_running_programs()
        self._final = self.statistics()

    def statistics(self) -> tuple[GroupStatistics, ...]:
        """They stay readable."""
        return self._final or tuple(self.memory.statistics(number) for number in sorted(self._groups))


class Groups:
    """Groups of one device with their members.

    path       the data path, with `set_members` to change who is in a group
    endpoints  the rings of all that are in some group, by number
    """

    def __init__(self, path: Path, endpoints: Mapping[int, Rings], sender: Sender) -> None:
        self.path = path
        self.endpoints = endpoints
        self._sender = sender

    @property
    def statistics(self) -> tuple[GroupStatistics, ...]:
        return self.path.statistics()

    def deliver(self, frames: Sequence[bytes]) -> dict[int, list[Packet]]:
        """Sends frames; what each end-point gets of them."""
        wanted = self.statistics[0].arrived + send(self._sender, frames)
        eventually(lambda: self.statistics[0].arrived >= wanted, 5.0)
        assert self.statistics[0].arrived == wanted
        wait_for_running_programs()
        return {number: received(endpoint) for number, endpoint in self.endpoints.items()}

    def who(self, frames: Sequence[bytes]) -> list[tuple[int, ...]]:
        """For each of some different frames the end-points that get it, each as often as it gets it."""
        assert len(set(frames)) == len(frames)
        places = defaultdict(list)
        for number, got in self.deliver(frames).items():
            for each in got:
                places[each.data].append(number)
        assert places.keys() <= set(frames), "every byte is as it was sent"
        return [tuple(places[frame]) for frame in frames]

    def homes(self, flows: Mapping[T, Sequence[bytes]]) -> dict[T, int]:
        """The end-point of each flow: it gets one copy of all its packets, nobody else gets any.

        Flows must be spread, or the program would not have to look at them at all.
        """
        places = iter(self.who([frame for frames in flows.values() for frame in frames]))
        found = {}
        for flow, frames in flows.items():
            (place,) = {next(places) for _ in frames}
            (found[flow],) = place
        assert len(set(found.values())) > 1
        return found


def places_of_both(homes: Mapping[T, int], pairs: Iterable[tuple[T, T]]) -> list[tuple[int, ...]]:
    """Where packets go that the homes of both ends get: to one end-point when they have the same."""
    return [tuple(sorted({homes[a], homes[b]})) for a, b in pairs]


def received(endpoint: Rings) -> list[Packet]:
    """What waits for an end-point."""
    return packets(iter(lambda: endpoint.reader.read(timeout=0), None))  # type: ignore[arg-type]


def everyone(count: int) -> list[Member]:
    """End-points 0, 1, 2, … with weight 1, in class 0."""
    return [Member(number) for number in range(count)]


FOUR, ALL = everyone(4), (0, 1, 2, 3)
NOWHERE: tuple[int, ...] = ()


@contextmanager
def loaded(
    pair: Pair,
    programs: str | Mapping[int, str],
    members: Sequence[Member] | Mapping[int, Sequence[Member]],
    way: Way = XDP_NATIVE,
    inline: bool = False,
    filters: Mapping[int, Filters] | None = None,
) -> Iterator[Groups]:
    """Groups that are ready, but not attached to any device.

    programs  by the number of the group; a text is that of group 0
    members   by the number of the group; a list is that of every group
    filters   by the number of the group, of those that have some
    """
    texts = {0: programs} if isinstance(programs, str) else programs
    joined = members if isinstance(members, Mapping) else dict.fromkeys(texts, members)
    numbers = {member.endpoint for group in joined.values() for member in group}
    spec = Device(
        hook=way.hook,
        groups=tuple(
            Group(number, to_program(text), wanted.berkeley, wanted.vlans)
            for number, text in sorted(texts.items())
            for wanted in [(filters or {}).get(number, Filters())]
        ),
        cpus=possible_cpus(),
        rings=RINGS,
        inline=inline,
        ordered=platform.machine() in STORES_IN_ORDER,
    )
    with ExitStack() as undo:
        endpoints = {number: Rings.create(RINGS, possible_cpus(), Unkept()) for number in sorted(numbers)}
        for endpoint in endpoints.values():
            undo.callback(endpoint.close)
        path = Path(spec, endpoints, undo)
        for group, list_of_members in joined.items():
            path.set_members(group, list_of_members)
        yield Groups(path, endpoints, undo.enter_context(pair.sender()))


@contextmanager
def bound(
    pair: Pair,
    programs: str | Mapping[int, str],
    members: Sequence[Member] | Mapping[int, Sequence[Member]],
    way: Way = XDP_NATIVE,
    inline: bool = False,
    filters: Mapping[int, Filters] | None = None,
) -> Iterator[Groups]:
    """Groups that get what arrives at `dev_b`."""
    with loaded(pair, programs, members, way, inline, filters) as groups:
        pair.b.call(groups.path.attach, [way], pair.ifindex_b)
        yield groups
