"""The engine: groups, end-points, and the programs of devices."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from pfq.codegen.device import Device as DeviceSpec
from pfq.codegen.device import Group as GroupSpec
from pfq.codegen.finish import Clock
from pfq.codegen.layouts import MAX_ENDPOINTS, MAX_GROUPS
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook
from pfq.engine import adoption
from pfq.engine.bindings import Bound, Key, Settings
from pfq.engine.compiler import Codes, Compiler, LocalCompiler, UncompiledError
from pfq.engine.egress import Egress, refuse_loops
from pfq.engine.endpoint import Endpoint
from pfq.engine.events import ProgramEvent
from pfq.engine.group import Change, Group
from pfq.engine.keeper import Keeper, Unkept
from pfq.engine.memory import EngineMemory
from pfq.engine.policy import NOBODY, Owner, PolicyName, policy_named
from pfq.engine.replacement import apply
from pfq.engine.rings import Rings
from pfq.engine.saved import document
from pfq.engine.shapes import USUAL_MTU, ClockName
from pfq.engine.side import Side
from pfq.engine.statistics import GroupStatistics
from pfq.engine.store import Store
from pfq.engine.upkeep import Upkeep
from pfq.errors import LimitError, RingClosedError, UsageError
from pfq.kernel import features
from pfq.kernel.devices import device
from pfq.kernel.privilege import require_privilege
from pfq.kernel.programs import wait_for_running_programs

T = TypeVar("T")


class Engine:
    """Groups and end-points of this process, and one program for each side of each device.

        with Engine() as engine:
            group = engine.group()
            group.bind("eth0")
            group.set_program("ip >-> steer_flow")
            endpoint = engine.endpoint()
            group.join(endpoint)
            for batch in endpoint.reader:
                ...

    Devices are those of the network namespace in which it is made. Any thread may call it.

    adopted  it has taken over what an engine of another process had left in its store
    """

    def __init__(self, *, store: Store | None = None, compiler: Compiler | None = None) -> None:
        """An engine that ends with its process, or one that survives it.

        store     keeps groups, end-points and programs beyond this process, for the next engine with this store;
                  None: nothing is kept
        compiler  turns programs into code; None: in this process
        Raises StateError when what is in the store cannot be taken over; nothing of it is touched then.
        """
        require_privilege()
        features.check_kernel()
        self.lock = threading.RLock()
        self.keeper: Keeper = Unkept() if store is None else store
        self.compiler = compiler or LocalCompiler()
        self.groups: dict[int, Group] = {}
        self.endpoints: dict[int, Endpoint] = {}
        self.sides: dict[Key, Side] = {}
        self.stopped = self.closed = False
        with ExitStack() as undo:
            left = undo.enter_context(self.keeper)
            self.adopted = left is not None
            self.memory = EngineMemory(self.keeper, adoption.maps_of(left, store) if left and store else None)
            undo.callback(self.memory.close, keep=self.adopted)
            self.upkeep = undo.enter_context(Upkeep(self))
            if left and store:
                adoption.adopt(self, left, store)
            else:
                self.save()
            self.upkeep.start()
            # A clsact filter would outlive a process that forgets to close.
            undo.callback(atexit.unregister, self._at_exit)
            atexit.register(self._at_exit)
            self._undo = undo.pop_all()

    # groups and end-points

    def group(
        self, number: int | None = None, policy: PolicyName = "shared", *, held: bool = False, tag: str = ""
    ) -> Group:
        """A group: the one with this number, made when there is none; None: a new one, with the lowest free number.

        policy  who may join, see `pfq.engine.policy`
        held    it does not end with its last member; nobody but this process owns it
        tag     the caller's own words about a new one, or one that is held from now on; kept with it
        Raises LimitError when all 64 are in use, UsageError when the group is there with another policy.
        """
        wanted = policy_named(policy)
        with self.lock:
            self._open()
            if number is None:
                number = _free(MAX_GROUPS, self.groups, "groups")
            elif not isinstance(number, int) or not 0 <= number < MAX_GROUPS:
                raise LimitError(f"groups have numbers from 0 to {MAX_GROUPS - 1}, not {number!r}")
            if number in self.groups:
                found = self.groups[number]
                if found.rights.policy is not wanted:
                    raise UsageError(f"group {number} is {found.rights.policy.value}, not {policy}")
                if held:
                    found.held, found.tag = held, tag
                return found
            made = self.groups[number] = Group(self, number, wanted, held, tag)
            if held:
                made.rights.owner = NOBODY
            self._saved_or(lambda: self.groups.pop(number))
            return made

    def endpoint(
        self,
        *,
        snaplen: int | None = None,
        slots: int | None = None,
        clock: ClockName = "ns",
        weight: int = 1,
        enabled: bool = True,
        owner: Owner | None = None,
        tag: str = "",
        egress: Egress | None = None,
        mtu: int = USUAL_MTU,
    ) -> Endpoint:
        """A new end-point, with the lowest free number.

        snaplen  bytes of a frame to keep, at most 65,535; None: as many as frames of this MTU need
        slots    packets that each of its rings (one for each CPU) holds, rounded up to a power of two
        clock    time stamps: `ns`, `coarse` or `none`
        weight   its share of what groups steer, 1 to 8
        enabled  it gets packets at once; otherwise `enable` it
        owner    the process it belongs to; None: this one
        tag      the caller's own words about it, kept with it
        egress   its packets are sent on a device instead, whole; nothing is read then
        Raises LimitError when all 64 are in use, DeviceMissingError when there is no such device.
        """
        with self.lock:
            self._open()
            number = _free(MAX_ENDPOINTS, self.endpoints, "end-points")
            made = Endpoint(self, number, owner or Owner.this(), tag)
            made.mtu = mtu
            made.snaplen, made.slots, made.clock = snaplen, slots, clock
            made.egress = egress
            made.set_weight(weight)
            self.endpoints[number] = made
            try:
                if enabled:
                    made.enable()
                else:
                    self.save()
            except BaseException:
                self.endpoints.pop(number)
                raise
            return made

    def statistics(self, number: int, *, by: Endpoint | None = None) -> GroupStatistics:
        """The counters of a group; raises UsageError when no group has the number."""
        with self.lock:
            if number not in self.groups:
                raise UsageError(f"there is no group {number}", hint="groups are there as long as they have members")
            return self.groups[number].statistics(by=by)

    def events(self) -> list[ProgramEvent]:
        """What programs told since the last call: at most 100 a second, and 100 at once."""
        return list(self.memory.events())

    def events_missed(self) -> int:
        """Events that were not told, because there were too many."""
        return self.memory.events_missed()

    # what end-points and groups ask for

    def enable(self, endpoint: Endpoint, shape: RingShape, clock: Clock) -> Rings:
        """Rings for an end-point, known to all programs."""
        where, targets = endpoint.egress, self.upkeep.targets
        device = 0 if where is None else targets.device(where.device)
        rings = Rings.create(shape, self.memory.cpus, self.keeper)
        try:
            if where is None:
                self.memory.install(endpoint.number, rings, shape.snaplen, clock)
            else:
                self.memory.install_egress(endpoint.number, rings, where.queue)
                targets.send(endpoint.number, where.device, device)
        except BaseException:
            rings.close()
            raise
        return rings

    def disable(self, endpoint: Endpoint, rings: Rings) -> None:
        self.memory.remove(endpoint.number, rings)
        self.upkeep.targets.end(endpoint.number)
        rings.close()

    def forget(self, endpoint: Endpoint) -> None:
        with self.lock:
            self.endpoints.pop(endpoint.number, None)
            self.save(must=False)

    def changed_members(self, endpoint: Endpoint) -> None:
        """Its weight is another, or it is enabled."""
        with self.lock:
            for group in endpoint.groups.values():
                group.write_members()
            self.save()

    def join(self, group: Group, endpoint: Endpoint, classes: int, codes: Codes) -> None:
        """Writes tables; programs stay, unless they know no rings like the end-point's."""
        refuse_loops(group.settings.bindings, [endpoint.egress])
        before = group.members.get(endpoint.number)
        group.members[endpoint.number] = (endpoint, classes)
        endpoint.groups[group.number] = group
        try:
            self._know_rings(group, endpoint, codes)
            self.save()
        except BaseException:
            del group.members[endpoint.number]
            if before is not None:
                group.members[endpoint.number] = before
            else:
                del endpoint.groups[group.number]
            raise
        endpoint.failure = None
        group.write_members()

    def _know_rings(self, group: Group, endpoint: Endpoint, codes: Codes) -> None:
        needed = endpoint.shape_and_clock
        if needed is None:
            return
        for key in group.sides():
            spec = self.sides[key].spec if key in self.sides else None
            if spec is None:
                continue
            clock_is_known = endpoint.egress is not None or needed[1] in spec.clocks
            if needed[0] not in {shape.number for shape in spec.shapes} or not clock_is_known:
                apply(self, {}, {key}, frozenset(), codes, force=True)

    def leave(self, group: Group, endpoint: Endpoint, codes: Codes) -> None:
        """Afterwards the group writes nothing into its rings any more. May be called again when it was cut short."""
        if endpoint.number in group.members:
            del group.members[endpoint.number]
            endpoint.groups.pop(group.number, None)
            if group.members or group.held:
                group.write_members()
                wait_for_running_programs()
                self.save(must=False)
        if not group.members and not group.held and not group.closed:
            self.end(group, codes)

    def leave_all(self, endpoint: Endpoint) -> None:
        groups = list(endpoint.groups.values())

        def work(codes: Codes) -> None:
            for group in groups:
                self.leave(group, endpoint, codes)

        self.tried(work)

    def end(self, group: Group, codes: Codes) -> None:
        """Frees the group's number, with all that was the group's. May be called again when it was cut short."""
        if group.closed:  # by another thread, while this one was compiling; the number may be another group's by now
            return
        group.ending = True
        for endpoint, _ in group.members.values():
            endpoint.groups.pop(group.number, None)
        group.members.clear()
        self._change(group, replace(group.settings, bindings=()), frozenset(), codes)
        if group.memory is not None:
            group.memory.close()
            group.memory = None
            self.memory.pool.trim()
        self.memory.clear_counters(group.number)
        self.groups.pop(group.number, None)
        group.closed = True
        self.save(must=False)

    # programs of devices

    def configure(self, settings: Mapping[Group, Settings]) -> Change:
        """Gives several groups other settings at once; when that fails, nothing has changed.

        A program that is another one begins with new memory.
        """

        def work(codes: Codes) -> Change:
            self._open()
            keys = {key for group, wanted in settings.items() for key in group.settings.sides() | wanted.sides()}
            renewed = [g.number for g, wanted in settings.items() if g.settings.program is not wanted.program]
            return apply(self, dict(settings), keys, frozenset(renewed), codes)

        return self.tried(work)

    def change(self, group: Group, update: Callable[[Settings], Settings], renew: bool = False) -> Change:
        """Gives a group other settings, which follow from those that it has; when that fails, nothing has changed.

        renew  the group's memory begins anew
        """
        renewed = frozenset([group.number] if renew else [])

        def work(codes: Codes) -> Change:
            group.check_open()
            return self._change(group, update(group.settings), renewed, codes)

        return self.tried(work)

    def _change(self, group: Group, settings: Settings, renewed: frozenset[int], codes: Codes) -> Change:
        if self.stopped:
            if settings.bindings:
                raise RingClosedError("the engine was stopped", hint="make another one")
            group.settings = settings
            return Change()
        keys = group.settings.sides() | settings.sides()
        return apply(self, {group: settings}, keys, renewed, codes)

    def tried(self, work: Callable[[Codes], T]) -> T:
        """The result of `work`, done under the lock; what it needs compiled is compiled without the lock."""
        codes = Codes(self.compiler)
        while True:
            try:
                with self.lock:
                    return work(codes)
            except UncompiledError as needed:
                codes.compile(needed)

    def shapes(self) -> tuple[tuple[RingShape, ...], tuple[Clock, ...]]:
        """Shapes of rings, and clocks, that end-points have; egress ones have none."""
        shapes: dict[int, RingShape] = {}
        clocks: dict[Clock, None] = {}
        members = {number: each for group in self.groups.values() for number, (each, _) in group.members.items()}
        for endpoint in {**self.endpoints, **members}.values():
            if endpoint.egress is None and (found := endpoint.shape_and_clock) is not None:
                shapes.setdefault(found[0], endpoint.rings.shape.whole)
                clocks.setdefault(found[1])
        return tuple(shapes.values()), tuple(clocks)

    def alone(self, group: GroupSpec) -> DeviceSpec:
        """A program with one group only, which says what the group's memory is like."""
        shapes, clocks = self.shapes()
        return DeviceSpec(Hook.TC_INGRESS, (group,), self.memory.cpus, shapes, clocks)

    def index_of(self, name: str, known: Iterable[Bound]) -> int:
        """The number of a device: of one that a group is bound to, or of one in the caller's network namespace."""
        for bound in known:
            if bound.device.name == name:
                return bound.device.index
        return device(name).index

    # what the next engine finds

    def save(self, must: bool = True) -> None:
        """Writes down what is there now, for the engine of another process.

        must  raises OutputError when it cannot be written; otherwise that is logged, and tried again later
        """
        with self.lock:
            self.keeper.save(lambda: document(self), must)

    def _saved_or(self, undo: Callable[[], Any]) -> None:
        try:
            self.save()
        except BaseException:
            undo()
            raise

    # the end

    def stop(self) -> None:
        """Takes all programs off their devices; counters are final then. Again is harmless."""
        with self.lock:
            self.stopped = True
            self.keeper.end()
            stopped = [side.detach() for side in reversed(self.sides.values())]
            self.sides.clear()
            wait_for_running_programs()
            for path in stopped:
                if path is not None:
                    path.close()

    def close(self, keep: bool = False) -> None:
        """Stops, ends all readers, and gives everything back; counters of groups stay readable. Again is harmless.

        keep  gives back only what is this process's: programs go on, for the next engine with the same store
        """
        with self.lock:
            if self.closed:
                return
            if not keep:
                self.stop()
            for group in self.groups.values():
                group.final = self.memory.statistics(group.number)
        # Without the lock: the threads may be waiting for it.
        self.upkeep.end_threads()
        with self.lock:
            if keep:
                adoption.let_go(self)
            for group in list(self.groups.values()):
                group.end()
            for endpoint in list(self.endpoints.values()):
                endpoint.end()
            self.memory.close(keep)
            self.closed = True
        self._undo.close()

    def _at_exit(self) -> None:
        self.close(keep=self.keeper.keeps)

    def _open(self) -> None:
        if self.closed:
            raise RingClosedError("the engine is closed", hint="make another one")

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Engine, {len(self.groups)} groups, {len(self.endpoints)} end-points, {len(self.sides)} programs>"


def _free(limit: int, used: Iterable[int], what: str) -> int:
    taken = set(used)
    for number in range(limit):
        if number not in taken:
            return number
    raise LimitError(f"an engine has at most {limit} {what}, and all are in use", hint="close one that is not needed")
