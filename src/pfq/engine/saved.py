"""What an engine is, in the form of JSON: what the next one needs to go on. `pfq.engine.adoption` reads it."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any
from zlib import compress

from pfq.engine.bindings import Bound
from pfq.engine.endpoint import Endpoint
from pfq.engine.group import Group
from pfq.engine.keeper import State
from pfq.engine.side import Side
from pfq.engine.written import written, written_filter
from pfq.kernel.attach import Link
from pfq.kernel.clsact import Clsact

if TYPE_CHECKING:
    from pfq.engine.engine import Engine


def document(engine: Engine) -> State:
    """All but the programs of devices, which the next engine compiles from those of the groups."""
    memory = engine.memory
    groups = [group for group in engine.groups.values() if not group.ending]
    return {
        "cpus": memory.cpus,
        "generation": memory.last_generation,
        "maps": {table.spec.name: table.pin for table in memory.whole},
        "shapes": [[shape.slots, shape.slot_bytes, shape.snaplen] for shape in memory.ring_shapes],
        "pool": [[table.pin, table.spec.value_bytes] for table in memory.pool.maps],
        "programs": dict(written(group.settings.program) for group in groups),
        "endpoints": [_endpoint(each) for each in engine.endpoints.values()],
        "groups": [_group(group) for group in groups],
        "sides": [_side(side) for side in engine.sides.values()],
    }


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    snaplen, slots = endpoint.asked
    egress = endpoint.egress
    return {
        "number": endpoint.number,
        "owner": [endpoint.owner.pid, endpoint.owner.uid],
        "tag": endpoint.tag,
        "weight": endpoint.weight,
        "snaplen": snaplen,
        "slots": slots,
        "clock": endpoint.clock,
        "mtu": endpoint.mtu,
        "egress": None if egress is None else [egress.device, egress.queue],
        "pins": [table.pin for table in endpoint.rings.maps] if endpoint.enabled else None,
    }


def _group(group: Group) -> dict[str, Any]:
    rights, settings, memory = group.rights, group.settings, group.memory
    owner = rights.owner
    return {
        "number": group.number,
        "policy": rights.policy.value,
        "owner": None if owner is None else [owner.endpoint, owner.owner.pid, owner.owner.uid],
        "held": group.held,
        "tag": group.tag,
        "program": written(settings.program)[0],
        "filter": None if settings.filter is None else written_filter(settings.filter),
        "vlans": None if settings.vlans is None else sorted(settings.vlans),
        "bindings": [_bound(bound) for bound in settings.bindings],
        "members": [[number, classes] for number, (_, classes) in group.members.items()],
        "tables": [[classes, _packed(table.pack()), _packed(table.memory)] for classes, table in group.tables.items()],
        "parts": {name: [part.chunk.map.pin, part.offset, part.size] for name, part in memory.maps.items()}
        if memory is not None
        else None,
        "layout": None if memory is None else memory.layout,
    }


def _bound(bound: Bound) -> dict[str, Any]:
    return {
        "index": bound.device.index,
        "name": bound.device.name,
        "queue": bound.queue,
        "direction": bound.direction,
        "binding": bound.binding,
        "hook": bound.hook,
        "promiscuous": bound.promiscuous,
    }


def _side(side: Side) -> dict[str, Any]:
    assert side.way is not None, "it is attached"
    found = side.attachment
    return {
        "index": side.device.index,
        "name": side.device.name,
        "side": side.name,
        "hook": side.way.hook.value,
        "how": side.way.how,
        "linear": side.linear,
        "generation": side.path.generation if side.path else 0,
        "pin": side.pin,
        "link": found.id if isinstance(found, Link) else 0,
        "filter": [found.name, found.handle] if isinstance(found, Clsact) else None,
    }


def _packed(data: bytes) -> str:
    return b64encode(compress(data)).decode()
