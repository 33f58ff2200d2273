"""Calls about the daemon as a whole: the greeting, what there is, events, the end."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import Any, Final

from pfq.daemon.calls.endpoint import shape_of
from pfq.daemon.calls.table import Answer, call
from pfq.daemon.peer import user_name
from pfq.daemon.session import Session
from pfq.engine.bindings import Bound
from pfq.engine.endpoint import Endpoint
from pfq.engine.engine import Engine
from pfq.engine.events import ProgramEvent
from pfq.engine.group import Group
from pfq.errors import LimitError, UsageError
from pfq.kernel.devices import Promiscuous, device

LONGEST_PROGRAM: Final = 2000
"""Characters of a program or a filter in a list."""
MOST_PROMISCUOUS: Final = 16
"""Devices of one session."""


@call("hello")
def hello(on: Session, *, version: int, client: str = "", resume: str | None = None) -> Answer:
    """Begins the session. That it comes first, and in the right version, is seen before."""
    if on.token:
        raise UsageError("`hello` was said already")
    return Answer(on.greeting(on.begin(client, resume)))


@call("events")
def events(on: Session) -> Answer:
    """What the programs of the session's groups told since the last call."""
    on.service.deal_events()
    told = []
    while on.events:
        told.append(_event(on.events.popleft()))
    return Answer({"events": told, "missed": on.service.engine.events_missed() + on.events_missed})


@call("list")
def list_(on: Session) -> Answer:
    """Groups, end-points and devices that the client may see."""
    engine = on.service.engine
    with engine.lock:
        groups = [group for number, group in sorted(engine.groups.items()) if on.rights.has("see", number)]
        seen = {number for group in groups for number in group.members} | on.endpoints.keys()
        visible = {group.number for group in groups}
        return Answer(
            {
                "groups": [_group(on, group) for group in groups],
                "endpoints": [_endpoint(on, engine.endpoints[number], visible) for number in sorted(seen)],
                "devices": _devices(engine, groups),
            }
        )


@call("status")
def status(on: Session) -> Answer:
    """What the daemon is; for administrators also how it does."""
    service = on.service
    found: dict[str, Any] = {
        "server": service.server,
        "pid": os.getpid(),
        "uptime": time.time() - service.started,
        "clients": len(service.clients()),
    }
    if on.rights.admin:
        found |= {"service": service.status(), **service.hooks.status()}
    return Answer(found)


@call("promiscuous")
def promiscuous(on: Session, *, device: str, on_: bool) -> Answer:
    """Has a device take frames for other addresses too, until the session ends."""
    if not on_:
        if (asked := on.promiscuous.pop(device, None)) is not None:
            asked.close()
        return Answer()
    on.rights.device(device)
    if device not in on.promiscuous:
        if len(on.promiscuous) >= MOST_PROMISCUOUS:
            raise LimitError(f"a session has at most {MOST_PROMISCUOUS} devices in promiscuous mode")
        on.promiscuous[device] = Promiscuous(_number(device), on.service.engine.upkeep.promiscuous)
    return Answer()


@call("reload")
def reload(on: Session) -> Answer:
    """Has the configuration read again."""
    on.rights.need_admin("reload the configuration")
    return Answer(on.service.hooks.reload())


@call("stop")
def stop(on: Session) -> Answer:
    """Ends the daemon, and takes down everything that is attached."""
    on.rights.need_admin("stop the daemon")
    return Answer(afterwards=on.service.hooks.stop)


def _number(name: str) -> int:
    return device(name).index


def _group(on: Session, group: Group) -> dict[str, Any]:
    settings = group.settings
    return {
        "group": group.number,
        "policy": group.rights.policy.value,
        "program": str(settings.program)[:LONGEST_PROGRAM],
        "filter": None if settings.filter is None else settings.filter.name[:LONGEST_PROGRAM],
        "vlans": None if settings.vlans is None else sorted(settings.vlans)[:LONGEST_PROGRAM],
        "bindings": [_binding(on.service.engine, bound) for bound in settings.bindings],
        "members": [
            {"endpoint": number, "classes": classes, "weight": endpoint.weight}
            for number, (endpoint, classes) in sorted(group.members.items())
        ],
        "held": group.held,
        "statistics": asdict(group.statistics()) if on.rights.reads(group) else None,
    }


def _binding(engine: Engine, bound: Bound) -> dict[str, Any]:
    ways = [str(engine.sides[key].way) for key in bound.sides() if key in engine.sides]
    return {
        "device": bound.device.name,
        "queue": bound.queue,
        "direction": bound.direction,
        "binding": bound.binding,
        "hook": bound.hook,
        "promiscuous": bound.promiscuous,
        "attachment": " and ".join(ways),
    }


def _endpoint(on: Session, endpoint: Endpoint, visible: set[int]) -> dict[str, Any]:
    egress = endpoint.egress
    return {
        **shape_of(endpoint),
        "pid": endpoint.owner.pid,
        "uid": endpoint.owner.uid,
        "user": user_name(endpoint.owner.uid),
        "egress": None if egress is None else {"device": egress.device, "queue": egress.queue},
        "groups": sorted(visible & endpoint.groups.keys()),
        "mine": on.endpoints.get(endpoint.number) is endpoint,
        "statistics": asdict(endpoint.statistics()) if endpoint.enabled else None,
    }


def _devices(engine: Engine, groups: list[Group]) -> list[dict[str, Any]]:
    """What is attached to the devices of these groups."""
    found = []
    for (index, name), side in sorted(engine.sides.items()):
        here = [group.number for group in groups if (index, name) in group.sides()]
        if here:
            found.append({"device": side.device.name, "side": name, "attachment": str(side.way), "groups": here})
    return found


def _event(event: ProgramEvent) -> dict[str, Any]:
    action = event.action
    return {
        "kind": event.kind.name.lower(),
        "text": event.text,
        "ts_ns": event.ts_ns,
        "len": event.len,
        "data": event.data.hex(),
        "ifindex": event.ifindex,
        "group": event.group,
        "action": {
            "fanout": action.fanout.name.lower(),
            "classes": action.classes,
            "hash": action.hash,
            "hash2": action.hash2,
            "kernel": action.kernel,
            "mark": action.mark,
            "state": action.state,
        },
    }
