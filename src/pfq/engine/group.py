"""Groups: a program with its filters and bindings, and the end-points it chooses from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pfq.engine.bindings import Bound, Key, Settings, ethernet_device
from pfq.engine.compiler import Codes, FilterLike
from pfq.engine.endpoint import Endpoint
from pfq.engine.groupmemory import GroupMemory, set_of
from pfq.engine.hooks import Binding, Direction, HookChoice
from pfq.engine.policy import Identity, Policy, PolicyName, Rights, policy_named
from pfq.engine.statistics import Change as Change
from pfq.engine.statistics import GroupStatistics
from pfq.engine.steering import Member, SteeringTable
from pfq.errors import RingClosedError, UsageError
from pfq.lang import to_program
from pfq.lang.action import DEFAULT_CLASSES
from pfq.lang.group import vlan_filter
from pfq.lang.prefixset import PrefixSet

if TYPE_CHECKING:
    from pfq.engine.engine import Engine

ALL_CLASSES = (1 << 64) - 1

Vlans = frozenset[int] | None


class Group:
    """A group of an engine; made by `Engine.group`.

    It ends when its last member leaves, or when it is closed: then its number is free, and its bindings, program,
    filters and counters are gone. `by` says for which end-point a call is made: only members may change a group.
    None is the engine's own process.
    """

    def __init__(self, engine: Engine, number: int, policy: Policy, held: bool = False, tag: str = "") -> None:
        self._engine = engine
        self.number = number
        self._held = held
        self._tag = tag
        self.rights = Rights(number, policy)
        self.settings = Settings(to_program("unit"))
        self.members: dict[int, tuple[Endpoint, int]] = {}
        self.memory: GroupMemory | None = None
        self.tables: dict[int, SteeringTable] = {}
        self.promiscuous: set[int] = set()
        self._sets: dict[PrefixSet, PrefixSet] = {}
        self.ending = self.closed = False
        self.final: GroupStatistics | None = None

    # what its maker says of it

    @property
    def held(self) -> bool:
        """It does not end with its last member."""
        return self._held

    @held.setter
    def held(self, value: bool) -> None:
        self._held = value
        self._engine.save()

    @property
    def tag(self) -> str:
        """Its maker's own words about it."""
        return self._tag

    @tag.setter
    def tag(self, text: str) -> None:
        self._tag = text
        self._engine.save()

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
        found = ethernet_device(device)
        bound = Bound(found, queue, direction, binding, hook, promiscuous)

        def with_it(settings: Settings) -> Settings:
            others = (b for b in settings.bindings if (b.device.index, b.queue) != (found.index, queue))
            return replace(settings, bindings=(*others, bound))

        return self._engine.change(self, with_it)

    def unbind(self, device: str, queue: int | None = None, *, by: Endpoint | None = None) -> Change:
        """The group no longer gets packets of a device (of one receive queue, when it is bound to that).

        Harmless when it is not bound; raises DeviceMissingError when there is no such device.
        """
        self._control(by)
        index = self._engine.index_of(device, self.settings.bindings)

        def without_it(settings: Settings) -> Settings:
            left = tuple(b for b in settings.bindings if b.device.index != index or queue not in (None, b.queue))
            return replace(settings, bindings=left)

        return self._engine.change(self, without_it)

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
        typed = self._engine.compiler.typed(program)
        return self._engine.change(self, lambda settings: replace(settings, program=typed), renew=True)

    def set_filter(self, filter: FilterLike | None, *, by: Endpoint | None = None) -> Change:
        """What gets to the program, as of `Capture`; None: everything. The program keeps what it remembers."""
        self._control(by)
        wanted = self._engine.compiler.filter(filter)
        return self._engine.change(self, lambda settings: replace(settings, filter=wanted))

    def set_vlans(self, vlans: Iterable[int] | None, *, by: Endpoint | None = None) -> Change:
        """Ids of the VLANs that get to the program, as of `Capture`; None: everything."""
        wanted = vlan_filter(vlans)
        return self.change_vlans(lambda _: wanted, by=by)

    def change_vlans(self, update: Callable[[Vlans], Vlans], *, by: Endpoint | None = None) -> Change:
        """Another VLAN filter, which follows from the one that it has; nobody else changes it meanwhile."""
        self._control(by)
        return self._engine.change(self, lambda settings: replace(settings, vlans=update(settings.vlans)))

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
        wanted = None if policy is None else policy_named(policy)

        def work(codes: Codes) -> None:
            self.check_open()
            before = replace(self.rights)
            default = Policy.SHARED if self.rights.policy is Policy.UNDEFINED else self.rights.policy
            self.rights.join(endpoint.identity, wanted or default)
            try:
                self._engine.join(self, endpoint, classes, codes)
            except BaseException:
                self.rights = before
                raise

        self._engine.tried(work)

    def leave(self, endpoint: Endpoint) -> None:
        """An end-point is no member any more. The group ends with its last one."""
        if endpoint.number in self.members:
            self._engine.tried(lambda codes: self._engine.leave(self, endpoint, codes))

    def write_members(self) -> None:
        """Tells the running program who is in the group."""
        if self.memory is not None:
            self.memory.set_members(self.listed())

    def listed(self) -> list[Member]:
        """The members that can get packets."""
        everybody = self.members.values()
        return [Member(each.number, each.weight, classes) for each, classes in everybody if each.enabled]

    @property
    def sends(self) -> bool:
        """Some member is an egress end-point that is enabled."""
        return any(each.enabled and each.egress is not None for each, _ in self.members.values())

    def adopt_memory(self, memory: GroupMemory) -> None:
        """What it remembered in a process that has ended, with the sets that were changed there."""
        self.memory = memory
        for known in memory.code.plan.sets:
            current = memory.current_set(known)
            if not known.same_addresses(current):
                self._sets[known] = current

    # counters

    def statistics(self, *, by: Endpoint | None = None) -> GroupStatistics:
        """Its counters; exact, as an equation, once it gets no more packets."""
        if self.final is not None:
            return self.final
        self.check_open()
        self.rights.read(_identity(by))
        return self._engine.memory.statistics(self.number)

    def counters(self, *, by: Endpoint | None = None) -> tuple[int, ...]:
        """The 64 counters of its program."""
        return self.statistics(by=by).counters

    # its end

    def close(self) -> None:
        """All members leave, and the group ends. Again is harmless."""
        if not self.closed:
            self._engine.tried(lambda codes: self._engine.end(self, codes))

    def end(self, keep: bool = False) -> None:
        """The engine closes: nothing runs any more, unless all is kept for the next one."""
        if self.memory is not None and not self.closed:
            self.memory.close(keep)
        self.closed = True

    def sides(self) -> set[Key]:
        return self.settings.sides()

    def _control(self, by: Endpoint | None) -> None:
        self.check_open()
        self.rights.control(_identity(by), set(self.members))

    def check_open(self) -> None:
        """Raises RingClosedError when it has ended."""
        if self.closed or self.ending:
            raise RingClosedError(f"group {self.number} has ended", hint="make another one")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Group {self.number}, {self.rights.policy.value}, {len(self.members)} members>"


def _identity(by: Endpoint | None) -> Identity | None:
    return None if by is None else by.identity
