"""The engine: groups, end-points, and the programs of devices."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from types import TracebackType
from typing import Final, Self

from pfq.codegen.finish import Clock
from pfq.codegen.layouts import MAX_ENDPOINTS, MAX_GROUPS
from pfq.codegen.memory import RingShape
from pfq.engine.bindings import Bound, Key, Settings, side_plan
from pfq.engine.datapath import Hosts
from pfq.engine.endpoint import Endpoint
from pfq.engine.events import ProgramEvent
from pfq.engine.group import Change, Group
from pfq.engine.memory import EngineMemory
from pfq.engine.policy import Owner, PolicyName, policy_named
from pfq.engine.replacement import Replacement
from pfq.engine.rings import Rings
from pfq.engine.shapes import USUAL_MTU, ClockName
from pfq.engine.side import Side
from pfq.engine.statistics import GroupStatistics
from pfq.engine.targets import Targets
from pfq.errors import DeviceGoneError, LimitError, RingClosedError, UsageError
from pfq.kernel import features
from pfq.kernel.addresses import addresses
from pfq.kernel.devices import Promiscuous, device
from pfq.kernel.netlink import Netlink
from pfq.kernel.privilege import require_privilege
from pfq.kernel.programs import wait_for_running_programs
from pfq.kernel.watch import Change as DeviceChange
from pfq.kernel.watch import Event, Watch

log = logging.getLogger(__name__)

CLOCK_PERIOD_S: Final = 1.0


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
    """

    def __init__(self) -> None:
        require_privilege()
        features.check_kernel()
        self.lock = threading.RLock()
        self.groups: dict[int, Group] = {}
        self.endpoints: dict[int, Endpoint] = {}
        self.sides: dict[Key, Side] = {}
        self._hosts: dict[int, Hosts] = {}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.stopped = self.closed = False
        with ExitStack() as undo:
            self.memory = EngineMemory()
            undo.callback(self.memory.close)
            self._watch = undo.enter_context(Watch())
            self._link = undo.enter_context(Netlink())
            self.targets = Targets(self.sides, self._link)
            undo.callback(self._end_threads)
            for work in (self._follow_devices, self._keep_up):
                thread = threading.Thread(target=work, name="pfq engine", daemon=True)
                self._threads.append(thread)
                thread.start()
            # A clsact filter would outlive a process that forgets to close.
            undo.callback(atexit.unregister, self.close)
            atexit.register(self.close)
            self._undo = undo.pop_all()

    # groups and end-points

    def group(self, number: int | None = None, policy: PolicyName = "shared") -> Group:
        """A group: the one with this number, made when there is none; None: a new one, with the lowest free number.

        policy  who may join, see `pfq.engine.policy`
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
                return found
            self.groups[number] = Group(self, number, wanted)
            return self.groups[number]

    def endpoint(
        self,
        *,
        snaplen: int | None = None,
        slots: int | None = None,
        clock: ClockName = "ns",
        weight: int = 1,
        enabled: bool = True,
        owner: Owner | None = None,
        mtu: int = USUAL_MTU,
    ) -> Endpoint:
        """A new end-point, with the lowest free number.

        snaplen  bytes of a frame to keep, at most 65,535; None: as many as frames of this MTU need
        slots    packets that each of its rings (one for each CPU) holds, rounded up to a power of two
        clock    time stamps: `ns`, `coarse` or `none`
        weight   its share of what groups steer, 1 to 8
        enabled  it gets packets at once; otherwise `enable` it
        owner    the process it belongs to; None: this one
        Raises LimitError when all 64 are in use.
        """
        with self.lock:
            self._open()
            number = _free(MAX_ENDPOINTS, self.endpoints, "end-points")
            made = Endpoint(self, number, owner or Owner.this())
            made.mtu = mtu
            made.snaplen, made.slots, made.clock, made.weight = snaplen, slots, clock, weight
            if enabled:
                made.enable()
            self.endpoints[number] = made
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
        with self.lock:
            rings = Rings(shape, self.memory.cpus)
            self.memory.install(endpoint.number, rings, shape.snaplen, clock)
        return rings

    def disable(self, endpoint: Endpoint, rings: Rings) -> None:
        with self.lock:
            self.memory.remove(endpoint.number, rings)
            rings.close()

    def forget(self, endpoint: Endpoint) -> None:
        with self.lock:
            self.endpoints.pop(endpoint.number, None)

    def changed_members(self, endpoint: Endpoint) -> None:
        """Its weight is another, or it is enabled."""
        with self.lock:
            for group in endpoint.groups.values():
                group.write_members()

    def join(self, group: Group, endpoint: Endpoint, classes: int) -> None:
        """Writes tables; programs stay, unless they know no rings like the end-point's."""
        before = group.members.get(endpoint.number)
        group.members[endpoint.number] = (endpoint, classes)
        try:
            self._know_rings(group, endpoint)
        except BaseException:
            del group.members[endpoint.number]
            if before is not None:
                group.members[endpoint.number] = before
            raise
        endpoint.groups[group.number] = group
        group.write_members()

    def _know_rings(self, group: Group, endpoint: Endpoint) -> None:
        needed = endpoint.shape_and_clock
        if needed is None:
            return
        for key in group.sides():
            spec = self.sides[key].spec if key in self.sides else None
            if spec and (needed[0] not in {shape.number for shape in spec.shapes} or needed[1] not in spec.clocks):
                self._apply({}, {key}, frozenset(), force=True)

    def leave(self, group: Group, endpoint: Endpoint) -> None:
        """Afterwards the group writes nothing into its rings any more."""
        del group.members[endpoint.number]
        endpoint.groups.pop(group.number, None)
        if not group.members:
            self.end(group)
            return
        group.write_members()
        wait_for_running_programs()

    def leave_all(self, endpoint: Endpoint) -> None:
        with self.lock:
            for group in list(endpoint.groups.values()):
                self.leave(group, endpoint)

    def end(self, group: Group) -> None:
        """Frees the group's number, with all that was the group's."""
        for endpoint, _ in group.members.values():
            endpoint.groups.pop(group.number, None)
        group.members.clear()
        self.change(group, replace(group.settings, bindings=()))
        if group.memory is not None:
            group.memory.close()
            group.memory = None
            self.memory.pool.trim()
        self.memory.clear_counters(group.number)
        self.groups.pop(group.number, None)
        group.closed = True

    # programs of devices

    def configure(self, settings: Mapping[Group, Settings]) -> Change:
        """Gives several groups other settings at once; when that fails, nothing has changed.

        A program that is another one begins with new memory.
        """
        with self.lock:
            self._open()
            keys = {key for group, wanted in settings.items() for key in group.settings.sides() | wanted.sides()}
            renewed = [g.number for g, wanted in settings.items() if g.settings.program is not wanted.program]
            return self._apply(dict(settings), keys, frozenset(renewed))

    def change(self, group: Group, settings: Settings, renew: bool = False) -> Change:
        """Gives a group other settings; when that fails, nothing has changed.

        renew  the group's memory begins anew
        """
        with self.lock:
            if self.stopped:
                if settings.bindings:
                    raise RingClosedError("the engine was stopped", hint="make another one")
                group.settings = settings
                return Change()
            keys = group.settings.sides() | settings.sides()
            return self._apply({group: settings}, keys, frozenset([group.number] if renew else []))

    def _apply(
        self, changed: dict[Group, Settings], keys: Iterable[Key], renewed: frozenset[int], force: bool = False
    ) -> Change:
        wanted = {group.number: changed.get(group, group.settings) for group in self.groups.values()}
        with Replacement(self, renewed) as work:
            for key in sorted(keys):
                work.prepare(key, side_plan(key, wanted), force or bool(renewed))
            promiscuous = self._promiscuous(changed)
            try:
                report = work.commit()
            except BaseException:
                for stack in promiscuous.values():
                    stack.close()
                raise
        for group, settings in changed.items():
            group.settings = settings
        self._keep_promiscuous(changed, promiscuous)
        return report

    def _promiscuous(self, changed: dict[Group, Settings]) -> dict[tuple[int, int], ExitStack]:
        """Puts devices into promiscuous mode that are not yet, for the groups."""
        found = {}
        for group, settings in changed.items():
            for index in {bound.device.index for bound in settings.bindings if bound.promiscuous}:
                if index not in group.promiscuous:
                    stack = found[group.number, index] = ExitStack()
                    stack.enter_context(Promiscuous(index))
        return found

    def _keep_promiscuous(self, changed: dict[Group, Settings], new: dict[tuple[int, int], ExitStack]) -> None:
        for (number, index), stack in new.items():
            self.groups[number].promiscuous[index] = stack
        for group, settings in changed.items():
            wanted = {bound.device.index for bound in settings.bindings if bound.promiscuous}
            for index in group.promiscuous.keys() - wanted:
                group.promiscuous.pop(index).close()

    def shapes(self) -> tuple[tuple[RingShape, ...], tuple[Clock, ...]]:
        """Shapes of rings, and clocks, that end-points have."""
        shapes: dict[int, RingShape] = {}
        clocks: dict[Clock, None] = {}
        members = {number: each for group in self.groups.values() for number, (each, _) in group.members.items()}
        for endpoint in {**self.endpoints, **members}.values():
            if (found := endpoint.shape_and_clock) is not None:
                shapes.setdefault(found[0], endpoint.rings.shape.whole)
                clocks.setdefault(found[1])
        return tuple(shapes.values()), tuple(clocks)

    def hosts_of(self, index: int) -> Hosts:
        """The addresses of a device, for its programs."""
        return self._hosts.setdefault(index, Hosts())

    def tell_hosts(self, index: int) -> None:
        if self.hosts_of(index).map is not None:
            self.hosts_of(index).set(addresses(self._link, index))

    def drop_hosts(self) -> None:
        """Forgets devices on which nothing runs."""
        for index in self._hosts.keys() - {index for index, _ in self.sides}:
            self._hosts.pop(index).close()

    # devices

    def index_of(self, name: str, known: Iterable[Bound]) -> int:
        """The number of a device that may have got another name since a group was bound to it."""
        for bound in known:
            if bound.device.name == name:
                return bound.device.index
        return device(name).index

    def _follow_devices(self) -> None:
        for event in self._watch.events():
            with self.lock:
                self.targets.follow(event)
                if any(index == event.before.index for index, _ in self.sides):
                    log.info("%s", event)
                    if event.change in (DeviceChange.GONE, DeviceChange.MOVED):
                        self._device_gone(event)

    def _device_gone(self, event: Event) -> None:
        """Ends the bindings to it. Readers that nothing can reach any more are told: nothing else would wake them."""
        index = event.before.index
        gone = DeviceGoneError(
            f"the device `{event.before.name}` {event.change.value} while it was captured from",
            hint="packets that had arrived are not lost; start again when it is back",
        )
        concerned = [g for g in self.groups.values() if any(b.device.index == index for b in g.settings.bindings)]
        for key in [key for key in self.sides if key[0] == index]:
            self.sides.pop(key).close()
        for group in concerned:
            left = tuple(bound for bound in group.settings.bindings if bound.device.index != index)
            group.settings = replace(group.settings, bindings=left)
            if (stack := group.promiscuous.pop(index, None)) is not None:
                stack.close()
        for endpoint in {each.number: each for g in concerned for each, _ in g.members.values()}.values():
            if endpoint.enabled and not any(g.settings.bindings for g in endpoint.groups.values()):
                endpoint.reader.fail(gone)

    def _keep_up(self) -> None:
        """Follows corrections of the time of day, and the devices' addresses."""
        known: dict[int, frozenset[IPv4Address | IPv6Address]] = {}
        while not self._stopping.wait(CLOCK_PERIOD_S):
            with self.lock:
                if not self._stopping.is_set():
                    self.memory.set_clock()
                    self._follow_addresses(known)

    def _follow_addresses(self, known: dict[int, frozenset[IPv4Address | IPv6Address]]) -> None:
        for index, hosts in self._hosts.items():
            if hosts.map is None:
                continue
            found = addresses(self._link, index)
            try:
                if found != known.get(index):
                    hosts.set(found)
            except LimitError as error:
                log.warning("%s; the program goes on with those that it had before", error.message)
            known[index] = found

    # the end

    def stop(self) -> None:
        """Takes all programs off their devices; counters are final then. Again is harmless."""
        with self.lock:
            self.stopped = True
            stopped = [side.detach() for side in reversed(self.sides.values())]
            self.sides.clear()
            wait_for_running_programs()
            for path in stopped:
                if path is not None:
                    path.close()

    def close(self) -> None:
        """Stops, ends all readers, and gives everything back; counters of groups stay readable."""
        with self.lock:
            if self.closed:
                return
            self.stop()
            for group in self.groups.values():
                group.final = group.statistics()
        # Without the lock: the threads may be waiting for it.
        self._end_threads()
        with self.lock:
            self.drop_hosts()
            for group in list(self.groups.values()):
                self._close_group(group)
            for endpoint in list(self.endpoints.values()):
                endpoint.end()
            self.closed = True
        self._undo.close()

    def _close_group(self, group: Group) -> None:
        for stack in group.promiscuous.values():
            stack.close()
        if group.memory is not None:
            group.memory.close()
        group.closed = True

    def _end_threads(self) -> None:
        self._stopping.set()
        self._watch.stop()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

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
