"""Groups: a program with its filters and bindings, and the end-points it chooses from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pfq.engine.bindings import Bound, Key, Settings, ethernet_device
from pfq.engine.endpoint import Endpoint
from pfq.engine.groupmemory import GroupMemory, set_of
from pfq.engine.hooks import Binding, Direction, HookChoice
from pfq.engine.policy import Identity, Policy, PolicyName, Rights, policy_named
from pfq.engine.statistics import GroupStatistics
from pfq.engine.steering import Member, SteeringTable
from pfq.errors import RingClosedError, UsageError
from pfq.lang import to_program
from pfq.lang.action import DEFAULT_CLASSES
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.group import vlan_filter
from pfq.lang.prefixset import PrefixSet

if TYPE_CHECKING:
    from pfq.engine.engine import Engine

ALL_CLASSES = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Change:
    """What it took to change a group, in seconds. Packets were never held up.

    devices  whose programs were replaced or attached, or taken off
    compile  made the new programs
    load     had the kernel verify them
    swap     put them in the places of the old ones; each packet met the old or the new one
    """

    devices: tuple[str, ...] = ()
    compile: float = 0.0
    load: float = 0.0
    swap: float = 0.0

    @property
    def seconds(self) -> float:
        """From the call until the new programs ran."""
        return self.compile + self.load + self.swap


class Group:
    """A group of an engine; made by `Engine.group`.

    It ends when its last member leaves, or when it is closed: then its number is free, and its bindings, program,
    filters and counters are gone. `by` says for which end-point a call is made: only members may change a group.
    None is the engine's own process.
    """

    def __init__(self, engine: Engine, number: int, policy: Policy) -> None:
        self._engine = engine
        self.number = number
        self.rights = Rights(number, policy)
        self.settings = Settings(to_program("unit"))
        self.members: dict[int, tuple[Endpoint, int]] = {}
        self.memory: GroupMemory | None = None
        self.tables: dict[int, SteeringTable] = {}
        self.promiscuous: dict[int, ExitStack] = {}
        self._sets: dict[PrefixSet, PrefixSet] = {}
        self.closed = False
        self.final: GroupStatistics | None = None

    # what it sees

    def bind(
        self,
        device: str,
        queue: int | None = None,
        *,
        direction: Direction = "in",
        binding: Binding = "tap",
        hook: HookChoice = "auto",
        promiscuous: bool = False,
        by: Endpoint | None = None,
    ) -> Change:
        """From now on the group gets packets of a device, as well as of those it is bound to already.

        queue  only those of this receive queue; None: of all. The others are as of `Capture`.
        """
        self._control(by)
        with self._engine.lock:
            found = ethernet_device(device)
            bound = Bound(found, queue, direction, binding, hook, promiscuous)
            before = (b for b in self.settings.bindings if (b.device.index, b.queue) != (found.index, queue))
            return self._change(replace(self.settings, bindings=(*before, bound)))

    def unbind(self, device: str, queue: int | None = None, *, by: Endpoint | None = None) -> Change:
        """The group no longer gets packets of a device (of one receive queue, when it is bound to that).

        Harmless when it is not bound; raises DeviceMissingError when there is no such device.
        """
        self._control(by)
        with self._engine.lock:
            index = self._engine.index_of(device, self.settings.bindings)
            left = tuple(b for b in self.settings.bindings if b.device.index != index or queue not in (None, b.queue))
            return self._change(replace(self.settings, bindings=left))

    @property
    def bindings(self) -> tuple[Bound, ...]:
        return self.settings.bindings

    # what it does

    def set_program(self, program: Any, *, by: Endpoint | None = None) -> Change:
        """Another program: text, a Python expression of `pfq.lang`, or a typed program; None copies to all.

        Each packet meets the old program or the new one. A program that is refused changes nothing. What the old one
        remembered (flows, rates) is gone; counters go on.
        """
        self._control(by)
        typed = to_program(program if program is not None else "unit")
        with self._engine.lock:
            return self._change(replace(self.settings, program=typed), renew=True)

    def set_filter(
        self, filter: str | Sequence[Sequence[int]] | BerkeleyFilter | None, *, by: Endpoint | None = None
    ) -> Change:
        """What gets to the program, as of `Capture`; None: everything. The program keeps what it remembers."""
        self._control(by)
        wanted = None if filter is None else BerkeleyFilter.of(filter)
        with self._engine.lock:
            return self._change(replace(self.settings, filter=wanted))

    def set_vlans(self, vlans: Iterable[int] | None, *, by: Endpoint | None = None) -> Change:
        """Ids of the VLANs that get to the program, as of `Capture`; None: everything."""
        self._control(by)
        wanted = vlan_filter(vlans)
        with self._engine.lock:
            return self._change(replace(self.settings, vlans=wanted))

    def _change(self, settings: Settings, renew: bool = False) -> Change:
        return self._engine.change(self, settings, renew)

    # sets of prefixes

    def replace_set(self, name: str, prefixes: Iterable[str] | PrefixSet, *, by: Endpoint | None = None) -> None:
        """Changes a set of prefixes of the running program, as of `Capture`."""
        self._control(by)
        found = prefixes if isinstance(prefixes, PrefixSet) else set_of(prefixes)
        with self._engine.lock:
            self._running().replace_set(name, found)
            self._sets |= {known: found for known in self._known_sets() if known.name == name}

    def reload_sets(self, *, by: Endpoint | None = None) -> list[str]:
        """Reads the files of all sets of prefixes again; says which sets changed. What cannot be read or does
        not fit raises, and then that set and those after it stay as they were."""
        self._control(by)
        changed = []
        with self._engine.lock:
            for known, current in self._known_sets().items():
                found = known.read_again()
                if known.file is not None and not found.same_addresses(current):
                    self._running().replace_region(known, found)
                    self._sets[known] = found
                    changed.append(known.name)
        return changed

    def _running(self) -> GroupMemory:
        if self.memory is None:
            raise UsageError(f"group {self.number} is not bound to any device", hint="bind it first")
        return self.memory

    def _known_sets(self) -> dict[PrefixSet, PrefixSet]:
        """The sets of the program by what it calls them, as they are now."""
        return {known: self._sets.get(known, known) for known in self._running().code.plan.sets}

    # who is in it

    def join(self, endpoint: Endpoint, classes: int = DEFAULT_CLASSES, policy: PolicyName | None = None) -> None:
        """An end-point becomes a member, in the classes of a mask. Again is harmless, and changes the classes.

        policy  what the end-point asks for; None: what the group has, or `shared`
        Raises NotPermittedError when the group does not let it in.
        """
        if not isinstance(classes, int) or not 1 <= classes <= ALL_CLASSES:
            raise UsageError(f"classes are a mask of 64 bits, and at least one is set; {classes!r} is none")
        self._open()
        default = Policy.SHARED if self.rights.policy is Policy.UNDEFINED else self.rights.policy
        asked = default if policy is None else policy_named(policy)
        with self._engine.lock:
            self.rights.join(endpoint.identity, asked)
            self._engine.join(self, endpoint, classes)

    def leave(self, endpoint: Endpoint) -> None:
        """An end-point is no member any more. The group ends with its last one."""
        with self._engine.lock:
            if endpoint.number in self.members:
                self._engine.leave(self, endpoint)

    def write_members(self) -> None:
        """Tells the running program who is in the group."""
        if self.memory is not None:
            self.memory.set_members(self.listed())

    def listed(self) -> list[Member]:
        """The members that can get packets."""
        everybody = self.members.values()
        return [Member(each.number, each.weight, classes) for each, classes in everybody if each.enabled]

    # counters

    def statistics(self, *, by: Endpoint | None = None) -> GroupStatistics:
        """Its counters; exact, as an equation, once it gets no more packets."""
        if self.final is not None:
            return self.final
        self._open()
        self.rights.read(_identity(by))
        return self._engine.memory.statistics(self.number)

    def counters(self, *, by: Endpoint | None = None) -> tuple[int, ...]:
        """The 64 counters of its program."""
        return self.statistics(by=by).counters

    # its end

    def close(self) -> None:
        """All members leave, and the group ends. Again is harmless."""
        with self._engine.lock:
            if not self.closed:
                self._engine.end(self)

    def sides(self) -> set[Key]:
        return self.settings.sides()

    def _control(self, by: Endpoint | None) -> None:
        self._open()
        self.rights.control(_identity(by), set(self.members))

    def _open(self) -> None:
        if self.closed:
            raise RingClosedError(f"group {self.number} has ended", hint="make another one")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Group {self.number}, {self.rights.policy.value}, {len(self.members)} members>"


def _identity(by: Endpoint | None) -> Identity | None:
    return None if by is None else by.identity
