"""One generation of the program of a device: compiled, loaded, with the maps that are its own."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from pfq.codegen import layouts
from pfq.codegen.device import Device as DeviceSpec
from pfq.codegen.device import DeviceCode, GroupCode
from pfq.codegen.memory import EGRESS
from pfq.codegen.prefixes import SetRegion
from pfq.codegen.spec import Hook
from pfq.engine.compiler import Codes
from pfq.engine.groupmemory import GroupMemory, set_of, write_set
from pfq.engine.hooks import Way
from pfq.engine.memory import EngineMemory
from pfq.errors import LimitError
from pfq.kernel.maps import Map
from pfq.kernel.pool import Part
from pfq.kernel.programs import Program, load

PROGRAM_NAME = "pfq"

MemoryOf = Callable[[GroupCode, DeviceCode], GroupMemory]
"""Gives the memory of a group, which the program is to use."""


class Hosts:
    """The addresses of one device, for the programs of its sides."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        self.map: Map | None = None

    def needed(self, code: DeviceCode) -> None:
        """A program asks for them."""
        if self.map is not None or code.hosts.hosts is None:
            return
        (spec,) = (spec for spec in code.object.maps if spec.name == layouts.HOSTS_MAP)
        self.map = self._undo.enter_context(Map.create(spec))
        self._memory = self.map.mmap(writable=True)
        self._undo.callback(self._memory.close)
        self._region: SetRegion = code.hosts.hosts

    def set(self, hosts: Iterable[IPv4Address | IPv6Address]) -> None:
        """Tells programs the addresses, when some program asks."""
        if self.map is None:
            return
        found = set_of(map(str, hosts))
        if not self._region.fits(found):
            raise LimitError(
                "the device has too many addresses for `is_ip_host`: there is room for "
                f"{self._region.capacity4 // 2:,} of IPv4 that lie apart and {self._region.capacity6 // 2:,} of IPv6",
                hint="list them in a file, and ask with `addr_in`",
            )
        with memoryview(self._memory) as memory:
            write_set(memory, self._region, found)

    def close(self) -> None:
        self._undo.close()


class DataPath:
    """The program of one side of a device.

    code  as it was compiled for the hook that the description names; the layout is the same for others
    """

    def __init__(self, memory: EngineMemory, spec: DeviceSpec, memory_of: MemoryOf, hosts: Hosts, codes: Codes) -> None:
        """Raises UncompiledError when the code is not there."""
        self.spec = spec
        self._codes = codes
        self._programs: dict[tuple[Way, bool, bool], Program] = {}
        code = self.code = self._code(spec.hook, spec.linear)
        hosts.needed(code)
        with ExitStack() as undo:
            self._maps: dict[str, Map | Part] = {**memory.maps(code.memory.shapes, code.memory.events)}
            for group in code.groups:
                self._maps.update(memory_of(group, code).maps)
            if hosts.map is not None:
                self._maps[layouts.HOSTS_MAP] = hosts.map
            for own in code.object.maps:
                if own.name in (layouts.SCRATCH_MAP, layouts.CONFIG_MAP, layouts.FILTERS_MAP):
                    self._maps[own.name] = undo.enter_context(Map.create(own))
            self._config = self._mapped(layouts.CONFIG_MAP)
            undo.callback(self._config.close)
            self._fill_filters()
            self.generation = memory.generation(code.groups)
            struct.pack_into("@I", self._config, layouts.GENERATION, self.generation << layouts.GENERATION_SHIFT)
            self._undo = undo.pop_all()

    def _mapped(self, name: str) -> mmap.mmap:
        table = self._maps[name]
        assert isinstance(table, Map)
        return table.mmap(writable=True)

    def _fill_filters(self) -> None:
        if self.code.filters.size:
            with self._mapped(layouts.FILTERS_MAP) as memory:
                for offset, piece in self.code.filters.initial.items():
                    memory[offset : offset + len(piece)] = piece

    def _code(self, hook: Hook, linear: bool, moved: bool = False) -> DeviceCode:
        return self._codes.get(replace(self.spec, hook=hook, linear=linear, moved=moved))

    @property
    def forwards(self) -> bool:
        """Some group sends packets on other devices, by its program or by its end-points."""
        return EGRESS in self.spec.shapes or any(group.plan.devices for group in self.code.groups)

    def targets(self) -> set[str]:
        """The devices that groups forward to."""
        return {name for group in self.code.groups for name in group.plan.devices}

    def needed(self) -> set[str]:
        """Those of them that must be there."""
        return {name for group in self.code.groups for name in group.plan.needed}

    def set_device(self, name: str, ifindex: int) -> None:
        """Tells the program the number of a device that it forwards to; 0 when it is not there."""
        for place, group in enumerate(self.code.groups):
            if name in group.plan.devices:
                first = layouts.DEVICES + place * layouts.GROUP_DEVICES_BYTES
                struct.pack_into("@I", self._config, first + 4 * group.plan.devices.index(name), ifindex)

    def compiled(self, way: Way, linear: bool) -> DeviceCode:
        """The code for one way; raises UncompiledError when it is not there."""
        return self._code(way.hook, linear)

    def program(self, way: Way, linear: bool, moved: bool = False) -> Program:
        """The program for one way, loaded when it is first asked for.

        moved  the one for the time of a move from XDP, see `Side.hand_over`
        """
        if (way, linear, moved) not in self._programs:
            program = load(self._code(way.hook, linear, moved).object, self._maps, PROGRAM_NAME, tcx=way.tcx)
            self._programs[way, linear, moved] = self._undo.enter_context(program)
        return self._programs[way, linear, moved]

    def close(self) -> None:
        """Gives its own maps back; attached programs keep what they use."""
        self._undo.close()
