"""What one group has for itself as long as its program runs: steering tables, turns, and what the program keeps."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from hashlib import sha256

from pfq.codegen import layouts
from pfq.codegen.device import DeviceCode, GroupCode
from pfq.codegen.prefixes import SetRegion
from pfq.codegen.spec import MapSpec
from pfq.engine.steering import Member, SteeringTable
from pfq.errors import LimitError, UsageError
from pfq.kernel.pool import Part, Pool
from pfq.kernel.programs import wait_for_running_programs
from pfq.lang.prefixset import PrefixSet


class GroupMemory:
    """The memory of one (group, program), used by the programs of all its devices, generation after generation.

    code  what the program wants of it
    maps  its parts, by the names under which programs refer to them
    """

    def __init__(self, code: GroupCode, maps: dict[str, Part], tables: dict[int, SteeringTable] | None = None) -> None:
        """tables: the group's steering tables by their sets of classes, which remember members of the past; they
        outlive this memory and are changed by it."""
        self.code = code
        self._tables = {} if tables is None else tables
        self.maps = maps
        self._writing = threading.Lock()
        self._data = maps.get(layouts.of_group(layouts.DATA_MAP, code.number))
        self._steering = maps[layouts.of_group(layouts.STEERING_MAP, code.number)].memory

    @classmethod
    def create(
        cls, code: GroupCode, device: DeviceCode, pool: Pool, tables: dict[int, SteeringTable] | None = None
    ) -> GroupMemory:
        """New memory, as the program wants to find it."""
        with ExitStack() as undo:
            maps = {}
            for spec in parts_of(code, device):
                maps[spec.name] = pool.part(spec.value_bytes)
                undo.callback(maps[spec.name].free)
            made = cls(code, maps, tables)
            if made._data is not None:
                for offset, piece in code.plan.initial.items():
                    made._data.memory[offset : offset + len(piece)] = piece
            undo.pop_all()
            return made

    def fits(self, code: GroupCode) -> bool:
        """A program with this code can use it."""
        return (code.sets, code.plan.size) == (self.code.sets, self.code.plan.size)

    @property
    def layout(self) -> str:
        """Stands for the form of the memory."""
        return self.layout_of(self.code)

    @staticmethod
    def layout_of(code: GroupCode) -> str:
        """The form of the memory that a program wants; the same for programs that are equal."""
        plan = code.plan
        initial = sorted((at, len(piece)) for at, piece in plan.initial.items())
        regions = [(known.name, region) for known, region in plan.sets.items()]
        return sha256(repr((code.sets, plan.size, initial, regions)).encode()).hexdigest()

    def set_members(self, members: Sequence[Member]) -> None:
        """Who is in the group: rewrites its steering tables, and nothing else."""
        for number, classes in enumerate(self.code.sets):
            known = self._tables.get(classes)
            table = known.with_members(members) if known else SteeringTable.of(members, classes)
            self._tables[classes] = table
            at = number * layouts.STEERING_BYTES
            write_table(self._steering[at : at + layouts.STEERING_BYTES], table.pack())

    def replace_set(self, name: str, addresses: PrefixSet) -> None:
        """Changes a set of prefixes; a packet meets the old set or the new one, never a mixture."""
        regions = [region for known, region in self.code.plan.sets.items() if known.name == name]
        if not regions:
            known = ", ".join(f"`{each.name}`" for each in self.code.plan.sets) or "none"
            raise UsageError(f"the program has no set of prefixes `{name}`", hint=f"it has: {known}")
        for region in regions:
            self._write_set(region, addresses)

    def replace_region(self, known: PrefixSet, addresses: PrefixSet) -> None:
        """Changes one of the plan's sets."""
        self._write_set(self.code.plan.sets[known], addresses)

    def _write_set(self, region: SetRegion, addresses: PrefixSet) -> None:
        assert self._data is not None
        with self._writing:
            write_set(self._data.memory, region, addresses)

    def current_set(self, known: PrefixSet) -> PrefixSet:
        """One of the plan's sets as it is now."""
        assert self._data is not None
        four, six = self.code.plan.sets[known].boundaries_in(self._data.memory)
        return PrefixSet(known.name, four, six, known.file)

    def close(self, keep: bool = False) -> None:
        """Gives it back, when no program uses it any more; keep: it goes on being used, but not from here."""
        for part in self.maps.values():
            if keep:
                part.release()
            else:
                part.free()


def parts_of(code: GroupCode, device: DeviceCode) -> list[MapSpec]:
    """What the group wants for itself in a device's program."""
    kinds = (layouts.STEERING_MAP, layouts.ROBIN_MAP, layouts.DATA_MAP)
    names = {layouts.of_group(kind, code.number) for kind in kinds}
    return [spec for spec in device.object.maps if spec.name in names]


def write_table(place: memoryview, table: bytes) -> None:
    """Replaces a steering table while programs read it: whatever they find is a member before or after.

    The lists shrink before they are written and grow afterwards, for behind their ends there is nobody's number.
    """
    with place, place[: layouts.HASHED].cast("I") as counts:
        after = struct.unpack_from("<II", table, layouts.MEMBER_COUNT)
        at = layouts.MEMBER_COUNT // 4
        for which, count in enumerate(after):
            counts[at + which] = min(counts[at + which], count)
        place[layouts.HASHED :] = table[layouts.HASHED :]
        for which, count in enumerate(after):
            counts[at + which] = count
        place[: layouts.MEMBER_COUNT] = table[: layouts.MEMBER_COUNT]


def write_set(memory: memoryview, region: SetRegion, addresses: PrefixSet) -> None:
    """Changes a set of prefixes in the memory of running programs; raises LimitError when there is no room."""
    if not region.fits(addresses):
        raise LimitError(
            f"the new set of prefixes is too large: there is room for {region.capacity4:,} boundaries of ranges "
            f"of IPv4 and {region.capacity6:,} of IPv6",
            hint="start the program with a larger set: room is made for twice what it has then",
        )
    (used,) = struct.unpack_from("<I", memory, region.offset)
    start = region.half(1 - used)
    for at, piece in region.pieces(addresses):
        memory[start + at : start + at + len(piece)] = piece
    struct.pack_into("<I", memory, region.offset, 1 - used)
    wait_for_running_programs()


def set_of(prefixes: object) -> PrefixSet:
    """The set of prefixes, texts or networks of `ipaddress`; that of a running program may be empty."""
    if isinstance(prefixes, str) or not isinstance(prefixes, Iterable):
        raise UsageError(f"a set of prefixes is a list, not {prefixes!r}", hint='for example ["10.0.0.0/8"]')
    words = [str(prefix) for prefix in prefixes]
    return PrefixSet.of(words) if words else PrefixSet("")
