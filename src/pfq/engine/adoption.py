"""Taking over what an engine of another process has left, while packets flow.

    maps, rings, links   opened from their pins, as they are
    groups, end-points   made anew from the state
    programs             compiled anew, with the same memory, and put in the places of those that run

What runs is touched last, so that whatever cannot be taken over leaves it running.
"""

from __future__ import annotations

import logging
from base64 import b64decode
from typing import TYPE_CHECKING, Any, cast
from zlib import decompress

from pfq.codegen.device import DeviceCode, GroupCode
from pfq.codegen.device import Group as GroupSpec
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook
from pfq.engine import written
from pfq.engine.bindings import Bound, Key, Settings, SideName, SidePlan, side_plan
from pfq.engine.compiler import Codes
from pfq.engine.egress import Egress
from pfq.engine.endpoint import Endpoint
from pfq.engine.group import Group
from pfq.engine.groupmemory import GroupMemory, parts_of
from pfq.engine.hooks import Way
from pfq.engine.keeper import State
from pfq.engine.memory import MapsLeft, shared_specs
from pfq.engine.policy import Identity, Owner, Policy
from pfq.engine.replacement import apply, spec_of, wanted_promiscuous
from pfq.engine.rings import Rings, ring_maps
from pfq.engine.side import Side
from pfq.engine.statefile import REMEDY
from pfq.engine.steering import SteeringTable
from pfq.engine.store import Store
from pfq.engine.upkeep import device_gone, tell_members
from pfq.errors import PfqError, StateError
from pfq.kernel.attach import TCX, Attachment, TcxLink, XdpLink
from pfq.kernel.clsact import Clsact
from pfq.kernel.devices import Device, XdpMode, dump
from pfq.kernel.maps import possible_cpus
from pfq.kernel.pool import pool_spec
from pfq.kernel.programs import wait_for_running_programs

if TYPE_CHECKING:
    from pfq.engine.engine import Engine

log = logging.getLogger(__name__)

FILE_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError)


def maps_of(left: State, store: Store) -> MapsLeft:
    """The maps that all programs share, opened; raises StateError."""
    try:
        if left["cpus"] != possible_cpus():
            raise StateError("the machine has another number of CPUs than before", hint=REMEDY)
        shapes = [RingShape(*shape) for shape in left["shapes"]]
        specs = {spec.name: spec for spec in shared_specs(left["cpus"], shapes)}
        return MapsLeft(
            {name: store.open(pin, specs[name]) for name, pin in left["maps"].items()},
            shapes,
            [store.open(pin, pool_spec(size)) for pin, size in left["pool"]],
            left["generation"],
        )
    except FILE_DAMAGED as error:
        raise _damaged(error) from error


def adopt(engine: Engine, left: State, store: Store) -> None:
    """Makes an engine, which is empty but for its memory, what another one was; raises StateError."""
    try:
        Adoption(engine, left, store).carry_out()
    except BaseException as error:
        let_go(engine)
        if isinstance(error, FILE_DAMAGED):
            raise _damaged(error) from error
        raise


def let_go(engine: Engine) -> None:
    """Gives back what is this process's; programs and memory stay for the next engine."""
    for side in engine.sides.values():
        side.let_go()
    for group in engine.groups.values():
        group.end(keep=True)
    for endpoint in engine.endpoints.values():
        endpoint.end(keep=True)


def _damaged(error: Exception) -> StateError:
    return StateError(f"what the engine before has left is damaged ({type(error).__name__}: {error})", hint=REMEDY)


class Adoption:
    """One take-over, in steps."""

    def __init__(self, engine: Engine, left: State, store: Store) -> None:
        self.engine = engine
        self.left = left
        self.store = store
        self.there = {device.index: device for device in dump(engine.upkeep.link)}
        self._lost: list[tuple[Group, str]] = []
        self._filters: set[tuple[int, Hook, str, int]] = set()

    def carry_out(self) -> None:
        """All of it."""
        engine = self.engine
        for record in self.left["endpoints"]:
            engine.endpoints[record["number"]] = self._endpoint(record)
        for record in self.left["groups"]:
            engine.groups[record["number"]] = self._group(record)
        sides = {}
        for record in self.left["sides"]:
            if (side := self._side(record)) is not None:
                sides[side.device.index, side.name] = side
        engine.sides.update(sides)
        engine.tried(self._replace_programs)
        wait_for_running_programs()
        for group in engine.groups.values():
            group.write_members()
        engine.memory.pool.free_the_rest()
        engine.memory.forget_all_but({each.number: each.rings for each in engine.endpoints.values() if each.enabled})
        self._ask_devices()
        engine.save()
        self.store.sweep(self._filters)
        for group, name in self._lost:
            tell_members([group], device_gone(name, "disappeared"))

    # end-points

    def _endpoint(self, record: dict[str, Any]) -> Endpoint:
        pid, uid = record["owner"]
        made = Endpoint(self.engine, record["number"], Owner(pid, uid), record["tag"])
        made.mtu = record["mtu"]
        made.snaplen, made.slots, made.clock = record["snaplen"], record["slots"], record["clock"]
        made.set_weight(record["weight"])
        egress = None if record["egress"] is None else Egress(*record["egress"])
        rings = None
        if record["pins"] is not None:
            shape = made.shape_for(egress)
            specs = ring_maps(shape, self.engine.memory.cpus)
            maps = [self.store.open(pin, spec) for pin, spec in zip(record["pins"], specs, strict=True)]
            rings = Rings(shape, maps, self.engine.keeper)
        made.resume(rings, egress)
        return made

    # groups

    def _group(self, record: dict[str, Any]) -> Group:
        made = Group(self.engine, record["number"], Policy(record["policy"]), record["held"], record["tag"])
        if record["owner"] is not None:
            endpoint, pid, uid = record["owner"]
            made.rights.owner = Identity(endpoint, Owner(pid, uid))
        made.settings = Settings(
            self._program(record["program"]),
            None if record["filter"] is None else written.read_filter(record["filter"]),
            None if record["vlans"] is None else frozenset(record["vlans"]),
            tuple(bound for each in record["bindings"] if (bound := self._bound(made, each)) is not None),
        )
        for number, classes in record["members"]:
            endpoint = self.engine.endpoints[number]
            made.members[number] = (endpoint, classes)
            endpoint.groups[made.number] = made
        for classes, table, memory in record["tables"]:
            made.tables[classes] = SteeringTable.unpack(_unpacked(table), classes, _unpacked(memory))
        return made

    def _program(self, name: str) -> Any:
        try:
            return written.read(self.left["programs"][name])
        except KeyError as error:
            raise StateError(
                f"a program needs the primitive {error}, which is not there any more", hint=REMEDY
            ) from None

    def _bound(self, group: Group, record: dict[str, Any]) -> Bound | None:
        device = self._device(record["index"], record["name"])
        if device is None:
            self._lost.append((group, record["name"]))
            return None
        options = {name: record[name] for name in ("queue", "direction", "binding", "hook", "promiscuous")}
        return Bound(device, **options)

    def _device(self, index: int, name: str) -> Device | None:
        """A device that is still there: with its number, and its name or the link that was attached to it."""
        found = self.there.get(index)
        if found is None or found.name == name:
            return found
        linked = any(side["index"] == index and self._is_alive(side) for side in self.left["sides"])
        return found if linked else None

    def _is_alive(self, record: dict[str, Any]) -> bool:
        found = self._attachment(record)
        if found is None:
            return False
        alive = found.info().alive
        found.close()
        return alive

    # what is attached

    def _side(self, record: dict[str, Any]) -> Side | None:
        """None: the device is gone, or nothing is attached to it; then what is wanted there is attached anew."""
        attachment = self._attachment(record)
        device = self._device(record["index"], record["name"])
        if device is None or attachment is None or not attachment.info().alive:
            if attachment is not None:
                attachment.detach()
            self.store.unpin(record["pin"])
            return None
        hook, name = Hook(record["hook"]), cast(SideName, record["side"])
        if record["filter"] is not None:
            self._filters.add((device.index, hook, *record["filter"]))
        way = Way(hook, record["how"])
        return Side.adopted(device, name, self.engine.keeper, way, record["linear"], attachment, record["pin"])

    def _attachment(self, record: dict[str, Any]) -> Attachment | None:
        index, hook = record["index"], Hook(record["hook"])
        if record["filter"] is not None:
            return Clsact.adopt(index, hook, *record["filter"])
        fd = self.store.open_link(record["pin"])
        if hook is Hook.XDP:
            return XdpLink(fd, index, XdpMode(record["how"]))
        return TcxLink(fd, index, TCX[hook])

    # programs

    def _replace_programs(self, codes: Codes) -> None:
        engine = self.engine
        wanted = {group.number: group.settings for group in engine.groups.values()}
        egress = {group.number for group in engine.groups.values() if group.sends}
        keys = engine.sides.keys() | {key for settings in wanted.values() for key in settings.sides()}
        plans = {key: plan for key in sorted(keys) if (plan := side_plan(key, wanted, egress)) is not None}
        codes.need([spec_of(engine, key, plan) for key, plan in plans.items()])
        for key, plan in plans.items():
            self._known(key, plan, codes.get(spec_of(engine, key, plan)))
        for record in self.left["groups"]:
            self._adopt_unbound(engine.groups[record["number"]], record, codes)
        apply(engine, {}, keys, frozenset(), codes, force=True)

    def _known(self, key: Key, plan: SidePlan, code: DeviceCode) -> None:
        """The groups of a side get their memory back, and events of the program that still runs are known."""
        for record in self.left["sides"]:
            if (record["index"], record["side"]) == key:
                self.engine.memory.know_generation(record["generation"], code.groups)
        records = {record["number"]: record for record in self.left["groups"]}
        for group_code in code.groups:
            self._adopt_memory(self.engine.groups[group_code.number], records[group_code.number], group_code, code)

    def _adopt_unbound(self, group: Group, record: dict[str, Any], codes: Codes) -> None:
        """A group that sees nothing now remembers what it knew all the same."""
        if record["parts"] is None or group.memory is not None or group.settings.bindings:
            return
        settings = group.settings
        spec = GroupSpec(group.number, settings.program, settings.filter, settings.vlans)
        code = codes.get(self.engine.alone(spec))
        self._adopt_memory(group, record, code.groups[0], code)

    def _adopt_memory(self, group: Group, record: dict[str, Any], code: GroupCode, device: DeviceCode) -> None:
        if record["parts"] is None or group.memory is not None:
            return
        specs = parts_of(code, device)
        sizes = {name: size for name, (_, _, size) in record["parts"].items()}
        fits = sizes.keys() == {spec.name for spec in specs} and all(s.value_bytes <= sizes[s.name] for s in specs)
        if not fits or GroupMemory.layout_of(code) != record["layout"]:
            log.warning(
                "the program of group %s is compiled otherwise than before: its memory begins anew", group.number
            )
            return
        pool = self.engine.memory.pool
        parts = {name: pool.adopt_part(*place) for name, place in record["parts"].items()}
        group.adopt_memory(GroupMemory(code, parts, group.tables))

    # devices

    def _ask_devices(self) -> None:
        """What ended with the process before: requests for promiscuous mode. And where end-points send to."""
        upkeep = self.engine.upkeep
        for group in self.engine.groups.values():
            for index in wanted_promiscuous(group.settings):
                try:
                    upkeep.promiscuous.add(index)
                except PfqError as error:
                    log.error("%s; group %s gets frames for this machine only", error.message, group.number)
                else:
                    group.promiscuous.add(index)
        named = {device.name: device.index for device in self.there.values()}
        for endpoint in self.engine.endpoints.values():
            if endpoint.enabled and endpoint.egress is not None:
                upkeep.targets.send(endpoint.number, endpoint.egress.device, named.get(endpoint.egress.device, 0))


def _unpacked(text: str) -> bytes:
    return decompress(b64decode(text))
