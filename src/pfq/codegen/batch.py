"""Groups in this process: they decide runs of packets as they would in the kernel."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Self

import llvmlite.binding as binding

from pfq.codegen import layouts, run_memory
from pfq.codegen.llvm import host_machine, optimised
from pfq.codegen.native import ProgramMemory
from pfq.codegen.run_code import ENTRY, RunCode
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.group import Filters
from pfq.lang.program import Program

NO_LIMIT = (1 << 64) - 1
NOBODY_IN_IT = struct.pack(
    f"<QII{layouts.TABLE_ENTRIES}s{layouts.STEERING_BYTES - layouts.IDS}x",
    0,
    0,
    0,
    bytes([layouts.NOBODY_HERE]) * layouts.TABLE_ENTRIES,
)
"""A steering table without members."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that the program told about a packet.

    index   of the packet in the run
    site    what it told, by its number in the plan
    action  what it had decided by then, as `layouts` has it
    """

    index: int
    site: int
    action: bytes


class NativeGroup:
    """A group that is compiled for this machine, with its memory: counters, flows, rates, turns.

    Used by one thread at a time; several groups run in several threads at once.

    plan  what the program keeps, and what it refers to by number
    sets  for which sets of classes it wants steering tables, as masks
    """

    def __init__(
        self,
        program: Program,
        *,
        filter: BerkeleyFilter | None = None,
        vlans: frozenset[int] | None = None,
        level: int = 2,
    ) -> None:
        """level: how much LLVM optimises, 0 to 3; it changes the speed and nothing else."""
        code = RunCode(program, Filters(filter, vlans))
        self.plan, self.sets = code.plan, code.class_sets
        self._layout = code.layout
        machine = host_machine()
        self._engine = binding.create_mcjit_compiler(optimised(code.module, machine, level), machine)
        self._engine.finalize_object()
        pointer, number = ctypes.c_void_p, ctypes.c_uint64
        signature = ctypes.CFUNCTYPE(number, pointer, number, pointer, number, pointer, pointer)
        self._function = signature(self._engine.get_function_address(ENTRY))
        self._begin()
        self.set_members([NOBODY_IN_IT] * len(self.sets))

    def _begin(self) -> None:
        self._data = ProgramMemory(self.plan)
        self._words = (ctypes.c_uint64 * -(-self._layout.size // 8))()
        self._address = ctypes.addressof(self._words)
        # Devices are known by their place in the plan, from 1 on.
        numbers = struct.pack(f"<{layouts.MAX_DEVICES}I", *range(1, layouts.MAX_DEVICES + 1))
        ctypes.memmove(self._address + run_memory.DEVICES, numbers, len(numbers))
        self.set_interfaces(())

    def fresh(self) -> Self:
        """The same group as at its beginning, with the same members: the code is shared, the memory is not."""
        other = object.__new__(type(self))
        other.plan, other.sets, other._layout = self.plan, self.sets, self._layout
        other._engine, other._function = self._engine, self._function
        other._begin()
        other.set_members(self._tables)
        return other

    def set_members(self, tables: Sequence[bytes]) -> None:
        """Who gets packets: a packed steering table for each of `sets`."""
        self._tables = tuple(tables)
        for number, table in enumerate(self._tables):
            at = self._layout.first_table + number * layouts.STEERING_BYTES
            ctypes.memmove(self._address + at, table, layouts.STEERING_BYTES)

    def set_interfaces(self, names: Iterable[str]) -> None:
        """The names of the interfaces of the records, by their numbers: `link` leaves out the one of the packet."""
        known = {name: number for number, name in enumerate(self.plan.devices, 1)}
        numbers = [known.get(name, 0) for name in names]
        self._interfaces = (ctypes.c_uint32 * max(1, len(numbers)))(*numbers)
        self._words[run_memory.INTERFACES // 8] = ctypes.addressof(self._interfaces)
        self._words[run_memory.INTERFACE_COUNT // 8] = len(numbers)

    def set_hosts(self, hosts: frozenset[IPv4Address | IPv6Address]) -> None:
        """The addresses of the receiving device, for `is_ip_host`; none at first."""
        self._data.set_hosts(hosts)

    def run(self, records: int, count: int, verdicts: int = 0, most: int | None = None) -> int:
        """Decides packets one after the other, and says how many.

        records   address of `count` structures as `layout.RECORD`
        verdicts  address for as many as `layout.VERDICT`; 0: they are only counted
        most      the run ends with the packet that is the `most`th selected one of this call, 1 at least

        It is less than `count` when `most` are selected, or when the room for events is used up: take
        them with `events`, then go on behind the packets that are done.
        """
        limit = NO_LIMIT if most is None else most
        return int(self._function(records, count, verdicts, limit, self._address, self._data.address))

    def events(self) -> list[RunEvent]:
        """What the program told in the last run."""
        if not self.plan.sites:
            return []
        count = self._words[run_memory.EVENT_COUNT // 8]
        size = run_memory.RUN_EVENT_BYTES
        found = ctypes.string_at(self._address + run_memory.RUN_EVENTS, count * size)
        events = []
        for at in range(0, len(found), size):
            index, site = struct.unpack_from("<QQ", found, at)
            events.append(RunEvent(index, site, found[at + run_memory.RUN_EVENT_ACTION : at + size]))
        return events

    def counts(self) -> dict[str, int]:
        """The group's counters by the names of `GroupStatistics`, but for those of the program."""
        return {name: self._words[offset // 8] for name, offset in layouts.COUNTER_OFFSETS.items()}

    def counters(self) -> tuple[int, ...]:
        """The program's counters (`inc`)."""
        return tuple(self._words[layouts.USER_COUNTERS // 8 : layouts.GROUP_COUNTER_BYTES // 8])

    def copies(self) -> tuple[int, ...]:
        """Packets for each of 64 end-points."""
        first = run_memory.COPIES // 8
        return tuple(self._words[first : first + layouts.MAX_ENDPOINTS])
