"""Putting new programs in the places of old ones: all that a change needs, or nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from pfq.codegen.device import Device as DeviceSpec
from pfq.codegen.device import DeviceCode, GroupCode
from pfq.engine.bindings import Key, Settings, SidePlan, side_plan
from pfq.engine.compiler import Codes
from pfq.engine.datapath import DataPath
from pfq.engine.egress import refuse_loops
from pfq.engine.groupmemory import GroupMemory
from pfq.engine.hooks import Way
from pfq.engine.side import Side, tries
from pfq.engine.statistics import Change
from pfq.errors import UsageError
from pfq.kernel.programs import wait_for_running_programs

PASSING_S: Final = 0.05
"""More than it takes a packet from XDP to TC: it may wait in the backlog of a CPU, or to be joined with others."""

if TYPE_CHECKING:
    from pfq.engine.engine import Engine
    from pfq.engine.group import Group


def apply(
    engine: Engine,
    changed: Mapping[Group, Settings],
    keys: Iterable[Key],
    renewed: frozenset[int],
    codes: Codes,
    force: bool = False,
) -> Change:
    """Gives groups other settings, under the engine's lock; when that fails, nothing has changed.

    keys     sides of devices that this may concern
    renewed  numbers of groups whose memory begins anew
    force    programs are replaced even when nothing of theirs has changed
    Raises UncompiledError when code is missing.
    """
    for group, settings in changed.items():
        refuse_loops(settings.bindings, (each.egress for each, _ in group.members.values()))
    wanted = {group.number: changed.get(group, group.settings) for group in engine.groups.values()}
    egress = {group.number for group in engine.groups.values() if group.sends}
    plans = {key: side_plan(key, wanted, egress) for key in sorted(keys)}
    with Replacement(engine, changed, renewed, codes) as work, ExitStack() as undo:
        works = [key for key, plan in plans.items() if work.is_needed(key, plan, force or bool(renewed))]
        codes.need([spec_of(engine, key, plan) for key in works if (plan := plans[key]) is not None])
        for key in works:
            work.prepare(key, plans[key])
        new = _promiscuous(engine, changed, undo)
        report = work.commit()
        undo.pop_all()
    _keep_promiscuous(engine, changed, new)
    return report


def spec_of(engine: Engine, key: Key, plan: SidePlan) -> DeviceSpec:
    """What to compile for a side, by the way that its program is attached or will be."""
    side = engine.sides.get(key)
    return plan.spec(plan.way(side.way if side else None), engine.memory.cpus, *engine.shapes())


def _promiscuous(engine: Engine, changed: Mapping[Group, Settings], undo: ExitStack) -> list[tuple[Group, int]]:
    """Puts devices into promiscuous mode that are not yet, for the groups."""
    found = []
    for group, settings in changed.items():
        for index in wanted_promiscuous(settings) - group.promiscuous:
            engine.upkeep.promiscuous.add(index)
            undo.callback(engine.upkeep.promiscuous.drop, index)
            found.append((group, index))
    return found


def _keep_promiscuous(engine: Engine, changed: Mapping[Group, Settings], new: list[tuple[Group, int]]) -> None:
    for group, index in new:
        group.promiscuous.add(index)
    for group, settings in changed.items():
        for index in group.promiscuous - wanted_promiscuous(settings):
            group.promiscuous.remove(index)
            engine.upkeep.promiscuous.drop(index)


def wanted_promiscuous(settings: Settings) -> set[int]:
    """The devices that are to take in frames for other addresses too."""
    return {bound.device.index for bound in settings.bindings if bound.promiscuous}


class Replacement:
    """New programs for some sides of devices: all prepared, then all put in place, or none."""

    def __init__(
        self, engine: Engine, changed: Mapping[Group, Settings], renewed: frozenset[int], codes: Codes
    ) -> None:
        self.engine = engine
        self.changed = changed
        self.renewed = renewed
        self.codes = codes
        self._new: dict[int, GroupMemory] = {}
        self._prepared: list[tuple[Key, Side, DataPath, tuple[Way, ...]]] = []
        self._ended: dict[Key, Side] = {}
        self._old: list[DataPath] = []
        self._moved: list[Side] = []
        self._undo = ExitStack()
        self._load = 0.0

    def is_needed(self, key: Key, plan: SidePlan | None, force: bool) -> bool:
        """Whether what runs on a side is to change."""
        side = self.engine.sides.get(key)
        if plan is None or side is None or force or side.spec is None:
            return plan is not None or side is not None
        return side.spec.groups != spec_of(self.engine, key, plan).groups

    def prepare(self, key: Key, plan: SidePlan | None) -> None:
        """Loads what is to run on a side; None: nothing any more."""
        engine, codes = self.engine, self.codes
        side = engine.sides.get(key)
        if plan is None:
            if side is not None:
                self._ended[key] = side
            return
        hosts = engine.upkeep.hosts_of(key[0])
        unknown = hosts.map is None
        path = DataPath(engine.memory, spec_of(engine, key, plan), self._memory_of, hosts, codes)
        self._undo.callback(path.close)
        if unknown:
            engine.upkeep.tell_hosts(key[0])
        ways = plan.ways(forwards=path.forwards and key[1] == "in")
        name = plan.device.name
        if key[1] == "out" and name in path.needed():
            raise UsageError(
                f"the program forwards outgoing packets of `{name}` to `{name}` itself",
                hint="each copy would go out again and be copied again; `link` leaves out the device of the packet",
            )
        # A device that went while the same program ran does not end it.
        engine.upkeep.targets.tell(path, must=bool(self.changed))
        started = time.perf_counter()
        side = side or Side(plan.device, key[1], engine.keeper)
        stays = side.way is not None and not (side.at_xdp and path.forwards)
        if stays:
            side.prepare(path)
        elif side.hands_over:
            side.prepare_move(path, ways[0])
        else:
            path.compiled(*next(tries(ways, path.spec.linear)))
        self._load += time.perf_counter() - started
        self._prepared.append((key, side, path, () if stays else ways))

    def _memory_of(self, code: GroupCode, device: DeviceCode) -> GroupMemory:
        group = self.engine.groups[code.number]
        if group.memory is not None and code.number not in self.renewed and group.memory.fits(code):
            return group.memory
        if code.number not in self._new:
            made = GroupMemory.create(code, device, self.engine.memory.pool, group.tables)
            self._new[code.number] = made
            self._undo.callback(made.close)
            made.set_members(group.listed())
        return self._new[code.number]

    def commit(self) -> Change:
        """Attaches what is new, writes everything down, and swaps the others; when any of that fails, all is as it
        was. Then cleans up."""
        engine = self.engine
        started = time.perf_counter()
        swaps = [(side, side.path) for _, side, _, ways in self._prepared if not ways]
        with ExitStack() as back:
            back.callback(engine.save, must=False)
            for _, side, path, ways in self._prepared:
                if ways:
                    self._attach(side, path, ways, back)
            replaced = self._take_over(back)
            # What ends, ends, whether it can be written down or not.
            engine.save(must=not self.changed or not all(group.ending for group in self.changed))
            back.callback(wait_for_running_programs)
            for side, before in swaps:
                side.swap()
                if before is not None:
                    back.callback(side.swap, before)
            back.pop_all()
        if self._moved:
            time.sleep(PASSING_S)
        for side in self._moved:
            side.settle()
        names = [side.device.name for _, side, _, _ in self._prepared] + [s.device.name for s in self._ended.values()]
        ended = [side.detach() for side in reversed(self._ended.values())]
        swap = time.perf_counter() - started
        self._undo.pop_all()
        self._free([*self._old, *(path for path in ended if path is not None)], replaced)
        return Change(tuple(dict.fromkeys(names)), self.codes.seconds, self._load, swap)

    def _attach(self, side: Side, path: DataPath, ways: tuple[Way, ...], back: ExitStack) -> None:
        """A program that forwards cannot stay at XDP: it moves. In generic mode packets pass unseen meanwhile."""
        before, way = side.path, side.way
        self._old += [before] if before is not None else []
        if side.hands_over:
            side.hand_over(path, ways[0], back)
            self._moved.append(side)
            return
        if way is not None:
            side.detach()
            if before is not None:
                back.callback(side.attach, before, (way,))
        back.callback(side.detach)
        side.attach(path, ways)

    def _take_over(self, back: ExitStack) -> list[GroupMemory]:
        """The engine as it is after the change; `back` undoes it. Gives back memory that is not needed then."""
        engine = self.engine
        replaced = []
        for group, settings in self.changed.items():
            back.callback(setattr, group, "settings", group.settings)
            group.settings = settings
        for number, memory in self._new.items():
            group = engine.groups[number]
            back.callback(setattr, group, "memory", group.memory)
            if group.memory is not None:
                replaced.append(group.memory)
            group.memory = memory
        before = dict(engine.sides)
        back.callback(engine.sides.update, before)
        for key in self._ended:
            del engine.sides[key]
        for key, side, path, ways in self._prepared:
            if key not in before:
                back.callback(engine.sides.pop, key)
            engine.sides[key] = side
            if not ways:
                back.callback(setattr, side, "path", side.path)
                if side.path is not None:
                    self._old.append(side.path)
                side.path = path
        return replaced

    def _free(self, old: list[DataPath], replaced: list[GroupMemory]) -> None:
        if old or replaced:
            wait_for_running_programs()
        for path in old:
            path.close()
        for unused in replaced:
            unused.close()
        self.engine.memory.pool.trim()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._undo.close()
        self.engine.upkeep.drop_hosts()
