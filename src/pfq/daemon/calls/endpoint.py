"""Calls about end-points: a client's own, and nobody else's."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Any

from pfq.daemon.calls.table import ABSENT, Answer, call, fits
from pfq.daemon.session import Session
from pfq.engine.egress import Egress
from pfq.engine.endpoint import Endpoint
from pfq.engine.shapes import clock_named
from pfq.errors import RingClosedError, UsageError


@call("endpoint.open")
def open_(
    on: Session,
    *,
    snaplen: int | None = None,
    slots: int | None = None,
    clock: str = "ns",
    weight: int = 1,
    enabled: bool = True,
    egress: str | dict[str, Any] | None = None,
) -> Answer:
    """A new end-point; its descriptors come with the reply."""
    clock_named(clock)
    out = egress_of(on, egress)
    ring_bytes = on.service.bytes_of(snaplen, slots) if enabled and out is None else 0
    on.service.quotas.change(on.peer.uid, on.rights.limited)
    on.service.quotas.take(on.peer.uid, on.rights.limited, 1, ring_bytes)
    try:
        options: dict[str, Any] = {} if out is None else {"egress": out}
        made = on.service.engine.endpoint(
            snaplen=snaplen,
            slots=slots,
            clock=clock,  # type: ignore[arg-type]  # it was checked above
            weight=weight,
            enabled=enabled,
            owner=on.owner,
            tag=on.tag,
            **options,
        )
    except BaseException:
        on.service.quotas.give(on.peer.uid, 1, ring_bytes)
        raise
    on.granted[made.number] = ring_bytes
    on.keep(made)
    return _shaped(made)


@call("endpoint.enable")
def enable(on: Session, *, endpoint: int) -> Answer:
    """Makes the rings of an end-point; their descriptors come with the reply."""
    found = on.rights.endpoint(endpoint)
    if found.enabled:
        raise UsageError("the end-point is enabled already")
    ring_bytes = on.service.bytes_of(found.snaplen, found.slots) if found.egress is None else 0
    on.service.quotas.change(on.peer.uid, on.rights.limited)
    on.service.quotas.take(on.peer.uid, on.rights.limited, 0, ring_bytes)
    try:
        found.enable()
    except BaseException:
        on.service.quotas.give(on.peer.uid, 0, ring_bytes)
        raise
    on.granted[endpoint] = ring_bytes
    return _shaped(found)


@call("endpoint.disable")
def disable(on: Session, *, endpoint: int) -> Answer:
    """Leaves all groups and gives the rings back."""
    on.rights.endpoint(endpoint).disable()
    on.service.quotas.give(on.peer.uid, 0, on.granted.get(endpoint, 0))
    on.granted[endpoint] = 0
    return Answer()


@call("endpoint.set")
def set_(
    on: Session,
    *,
    endpoint: int,
    weight: int = ABSENT,
    snaplen: int | None = ABSENT,
    slots: int | None = ABSENT,
    clock: str = ABSENT,
    egress: str | dict[str, Any] | None = ABSENT,
) -> Answer:
    """Changes an end-point, all at once or nothing; all but the weight only while it is disabled."""
    found = on.rights.endpoint(endpoint)
    out = ABSENT if egress is ABSENT else egress_of(on, egress)
    wanted = {"snaplen": snaplen, "slots": slots, "clock": clock, "egress": out, "weight": weight}
    before = dict(zip(wanted, (*found.asked, found.clock, found.egress, found.weight), strict=True))
    with ExitStack() as undo:
        for name, value in wanted.items():
            if value is not ABSENT:
                setattr(found, name, value)
                undo.callback(setattr, found, name, before[name])
        undo.pop_all()
    return Answer(shape_of(found))


@call("endpoint.statistics")
def statistics(on: Session, *, endpoint: int) -> Answer:
    """What came to an end-point."""
    return Answer(asdict(on.rights.endpoint(endpoint).statistics()))


@call("endpoint.close")
def close(on: Session, *, endpoint: int) -> Answer:
    """Ends an end-point; its number becomes free."""
    found = on.rights.endpoint(endpoint)
    # Another may get the number at once, and is not to be taken for this one.
    del on.endpoints[endpoint]
    granted = on.granted.pop(endpoint, 0)
    found.on_failure = None
    try:
        with suppress(RingClosedError):
            found.close()
    finally:
        on.service.quotas.give(on.peer.uid, 1, granted)
    return Answer()


def egress_of(on: Session, value: str | dict[str, Any] | None) -> Egress | None:
    """Where an end-point sends packets; raises NotPermittedError when the client may not use the device."""
    if value is None:
        return None
    parts: dict[str, Any] = {"device": value} if isinstance(value, str) else value
    if not parts.keys() <= {"device", "queue"} or not fits(parts.get("device"), str):
        raise UsageError('`egress` is the name of a device, or {"device": "eth3", "queue": 1}')
    if not fits(parts.get("queue"), int | None):
        raise UsageError("the `queue` of an egress end-point is a whole number or null")
    on.rights.device(parts["device"])
    return Egress(parts["device"], parts.get("queue"))


def shape_of(endpoint: Endpoint) -> dict[str, Any]:
    """What a reader must know of an end-point, and what can be set."""
    rings = endpoint.enabled and endpoint.egress is None
    return {
        "endpoint": endpoint.number,
        "rings": len(endpoint.rings.rings) if rings else 0,
        "slots": endpoint.slots,
        "slot_bytes": endpoint.slot_bytes,
        "snaplen": endpoint.snaplen,
        "clock": endpoint.clock,
        "weight": endpoint.weight,
        "enabled": endpoint.enabled,
    }


def _shaped(endpoint: Endpoint) -> Answer:
    shape = shape_of(endpoint)
    return Answer(shape, endpoint.rings.descriptors if shape["rings"] else ())
