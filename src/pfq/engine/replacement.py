"""Putting new programs in the places of old ones: all that a change needs, or nothing."""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pfq.codegen.device import DeviceCode, GroupCode
from pfq.engine.bindings import Key, SidePlan
from pfq.engine.datapath import DataPath
from pfq.engine.group import Change
from pfq.engine.groupmemory import GroupMemory
from pfq.engine.hooks import Way
from pfq.engine.side import Side
from pfq.errors import PfqError, UsageError
from pfq.kernel.programs import wait_for_running_programs

if TYPE_CHECKING:
    from pfq.engine.engine import Engine


class Replacement:
    """New programs for some sides of devices: all prepared, then all put in place, or none."""

    def __init__(self, engine: Engine, renewed: frozenset[int]) -> None:
        self.engine = engine
        self.renewed = renewed
        self._new: dict[int, GroupMemory] = {}
        self._prepared: list[tuple[Side, DataPath, tuple[Way, ...]]] = []
        self._ended: list[Key] = []
        self._moved: list[DataPath] = []
        self._undo = ExitStack()
        self._compile = self._load = 0.0

    def prepare(self, key: Key, plan: SidePlan | None, force: bool) -> None:
        """Compiles and loads what is to run on a side."""
        engine = self.engine
        side = engine.sides.get(key)
        if plan is None:
            self._ended += [key] if side is not None else []
            return
        shapes, clocks = engine.shapes()
        ways = plan.ways(forwards=False)
        spec = plan.spec(side.way if side and side.way else ways[0], engine.memory.cpus, shapes, clocks)
        if side is not None and not force and side.spec is not None and side.spec.groups == spec.groups:
            return
        started = time.perf_counter()
        hosts = engine.hosts_of(key[0])
        unknown = hosts.map is None
        path = DataPath(engine.memory, spec, self._memory_of, hosts)
        self._undo.callback(path.close)
        if unknown:
            engine.tell_hosts(key[0])
        if path.forwards and key[1] == "in":
            ways = plan.ways(forwards=True)
        self._compile += time.perf_counter() - started
        name = plan.device.name
        if key[1] == "out" and name in path.needed():
            raise UsageError(
                f"the program forwards outgoing packets of `{name}` to `{name}` itself",
                hint="each copy would go out again and be copied again; `link` leaves out the device of the packet",
            )
        engine.targets.tell(path)
        started = time.perf_counter()
        side = side or Side(plan.device, key[1])
        stays = side.way is not None and (side.way in ways or not path.forwards)
        if stays:
            side.prepare(path)
        self._load += time.perf_counter() - started
        self._prepared.append((side, path, () if stays else ways))

    def _memory_of(self, code: GroupCode, device: DeviceCode) -> GroupMemory:
        group = self.engine.groups[code.number]
        if group.memory is not None and code.number not in self.renewed and group.memory.fits(code):
            return group.memory
        if code.number not in self._new:
            made = self._new[code.number] = GroupMemory(code, device, self.engine.memory.pool, group.tables)
            self._undo.callback(made.close)
            made.set_members(group.listed())
        return self._new[code.number]

    def commit(self) -> Change:
        """Attaches what is new, which may fail, then swaps the others, and cleans up."""
        engine = self.engine
        started = time.perf_counter()
        with ExitStack() as back:
            for side, path, ways in self._prepared:
                if ways:
                    self._attach(side, path, ways, back)
            back.pop_all()
        old = [*self._moved, *(side.swap(path) for side, path, ways in self._prepared if not ways)]
        names = [side.device.name for side, _, _ in self._prepared] + [engine.sides[k].device.name for k in self._ended]
        old += [engine.sides.pop(key).detach() for key in reversed(self._ended)]
        swap = time.perf_counter() - started
        self._undo.pop_all()
        for side, _, _ in self._prepared:
            engine.sides[side.device.index, side.name] = side
        self._free(old)
        return Change(tuple(dict.fromkeys(names)), self._compile, self._load, swap)

    def _attach(self, side: Side, path: DataPath, ways: tuple[Way, ...], back: ExitStack) -> None:
        """A program that forwards cannot stay at XDP: it moves, and meanwhile packets pass unseen."""
        before, way = side.path, side.way
        if before is not None and way is not None:
            side.detach()
            try:
                side.attach(path, ways)
            except PfqError:
                side.attach(before, (way,))
                raise
            self._moved.append(before)
        else:
            side.attach(path, ways)
            back.callback(side.detach)

    def _free(self, old: list[DataPath | None]) -> None:
        engine = self.engine
        replaced = [engine.groups[number].memory for number in self._new]
        for number, memory in self._new.items():
            engine.groups[number].memory = memory
        found = [path for path in old if path is not None]
        if found:
            wait_for_running_programs()
        for path in found:
            path.close()
        for unused in replaced:
            if unused is not None:
                unused.close()
        engine.memory.pool.trim()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._undo.close()
        self.engine.drop_hosts()
