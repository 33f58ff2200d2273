"""The interpreter: what a program means, in plain Python.

Compiled code, for the host and for the kernel, must agree with it on every packet.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from pfq.lang.action import MAX_EVENTS, MAX_FORWARDS, Action, Event, EventKind, Fanout
from pfq.lang.packet import Headers, Packet, Tag
from pfq.lang.program import Call, Chain, Program, Value

BOTH_SIDES = ("src", "dst")


@dataclass(frozen=True, slots=True)
class World:
    """What a program may ask beside the packet.

    device  the receiving device, by name
    hosts   its addresses
    now_ns  time of an unspecified clock that never goes back
    """

    device: str = ""
    hosts: frozenset[IPv4Address | IPv6Address] = frozenset()
    now_ns: int = 0


class Machine:
    """One packet on its way through one group; the reference functions of the table work on it.

    level   how many tunnels deep the program looks (`shift`)
    sides   which ends two-sided predicates look at (`src`, `dst`)
    site    identifies the call that is being run: its state lies in `memory` under it
    memory  what stays from packet to packet
    """

    def __init__(self, packet: Packet, mark: int, world: World, memory: dict[Hashable, Any]) -> None:
        self.packet = packet
        self.action = Action(mark=mark)
        self.world = world
        self.memory = memory
        self.level = 0
        self.sides: tuple[str, ...] = BOTH_SIDES
        self.site: Hashable = None

    @property
    def headers(self) -> Headers:
        """The headers at the level that the program looks at."""
        return self.packet.level(self.level)

    def run(self, chain: Chain) -> bool:
        """Runs a chain; False when the packet was dropped, and then the rest was not run."""
        for call in chain.calls:
            self.site = id(call)
            if not call.prim.run(self, *call.args):
                self.action.fanout = Fanout.DROP
                return False
        return True

    def test(self, predicate: Call) -> bool:
        self.site = id(predicate)
        return bool(predicate.prim.run(self, *predicate.args))

    def value(self, prop: Call) -> int | None:
        """The property's value, None when the packet does not have it."""
        self.site = id(prop)
        result: Any = prop.prim.run(self, *prop.args)
        return None if result is None else int(result)

    def forward(self, device: str) -> None:
        """Notes that the packet is to be sent on a device; past the limit nothing is noted."""
        if len(self.action.forwards) < MAX_FORWARDS:
            self.action.forwards.append(device)

    def report(self, kind: EventKind, text: str = "") -> None:
        """Notes something for the user; past the limit nothing is noted."""
        if len(self.action.events) < MAX_EVENTS:
            self.action.events.append(Event(kind, text))


class Interpreter:
    """A program with its memory: counts, rates and flows stay from packet to packet."""

    def __init__(self, program: Program) -> None:
        self._main = _apart(program.main)
        self._memory: dict[Hashable, Any] = {}

    def decide(
        self,
        frame: bytes,
        *,
        mark: int = 0,
        tag: Tag | None = None,
        length: int | None = None,
        world: World | None = None,
    ) -> Action:
        """The action for one frame.

        mark    what earlier groups left
        tag     the VLAN tag that the device took off the frame
        length  bytes on the wire, with the tag, when more than are in `frame`
        """
        machine = Machine(Packet(frame, tag, length), mark, world or World(), self._memory)
        machine.run(self._main)
        return machine.action


def _apart(chain: Chain) -> Chain:
    """The chain with an object of its own for each call, for each place where one stands has a state of its own."""
    return Chain(tuple(replace(call, args=tuple(map(_value_apart, call.args))) for call in chain.calls), chain.span)


def _value_apart(value: Value) -> Value:
    match value:
        case Chain():
            return _apart(value)
        case Call():
            return replace(value, args=tuple(map(_value_apart, value.args)))
        case _:
            return value


def decide(
    program: Program, frame: bytes, *, mark: int = 0, tag: Tag | None = None, world: World | None = None
) -> Action:
    """The action of a program for the first frame that it sees."""
    return Interpreter(program).decide(frame, mark=mark, tag=tag, world=world)
