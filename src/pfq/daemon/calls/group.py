"""Calls about groups: what the client's rights and the group's policy allow."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from pfq.codegen.layouts import MAX_GROUPS
from pfq.daemon.calls.table import Answer, call
from pfq.daemon.rights import missing_group
from pfq.daemon.session import Session
from pfq.engine.endpoint import Endpoint
from pfq.engine.group import Group
from pfq.engine.policy import policy_named
from pfq.engine.statistics import Change
from pfq.errors import LimitError, NotPermittedError, RingClosedError, UsageError
from pfq.lang.action import DEFAULT_CLASSES
from pfq.lang.group import ANY_VLAN, LAST_VLAN, UNTAGGED, vlan_filter
from pfq.lang.prims.forward import devices_of
from pfq.lang.sent import Sent

LONGEST_FILE_NAME: Final = 200


@call("group.open")
def open_(on: Session, *, group: int | None = None, policy: str = "shared") -> Answer:
    """A group, made when it is not there yet; one that is there must have the policy, and is not changed."""
    policy_named(policy)
    engine = on.service.engine
    while True:
        with engine.lock:
            number = _lowest_free(on) if group is None else group
            if number not in engine.groups:
                _make(on, number, policy)
                break
            found = on.rights.group(number)
            engine.group(number, policy)  # type: ignore[arg-type]  # it was checked above
        if not found.ending:
            break
        found.close()  # its last member leaves at this moment; then there is another one
    return Answer({"group": number})


@call("group.join")
def join(
    on: Session, *, endpoint: int, group: int | None = None, classes: int = DEFAULT_CLASSES, policy: str | None = None
) -> Answer:
    """An end-point becomes a member of a group, made when it is not there yet."""
    member = on.rights.endpoint(endpoint)
    if policy is not None:
        policy_named(policy)
    on.service.quotas.change(on.peer.uid, on.rights.limited)
    while True:
        found = _joined(on, member, group, classes, policy)
        if found is not None:
            on.opened.pop(found.number, None)
            return Answer({"group": found.number, "policy": found.rights.policy.value})


def _joined(on: Session, member: Endpoint, group: int | None, classes: int, policy: str | None) -> Group | None:
    """The group that it is a member of now; None: that has just ended with its last member, and there is another."""
    engine = on.service.engine
    with engine.lock:
        number = _lowest_free(on) if group is None else group
        made = number not in engine.groups
        found = _make(on, number, policy or "shared") if made else on.rights.group(number, "join")
    try:
        found.join(member, classes, policy)  # type: ignore[arg-type]  # it was checked before
    except BaseException as error:
        has_ended = isinstance(error, RingClosedError) and found.ending
        if made:
            on.opened.pop(number, None)
        if made or has_ended:
            found.close()
        if not has_ended:
            raise
        return None
    return found


def _make(on: Session, number: int, policy: str) -> Group:
    """A group of this session, until somebody joins it."""
    if not 0 <= number < MAX_GROUPS:
        raise LimitError(f"groups have numbers from 0 to {MAX_GROUPS - 1}, not {number}")
    if not on.rights.has("configure", number):
        raise missing_group(number)
    on.service.deal_events()  # what is told of the group that had the number before is not for this one
    made = on.service.engine.group(number, policy, tag=on.tag)  # type: ignore[arg-type]  # the caller has checked it
    on.opened[number] = made
    return made


def _lowest_free(on: Session) -> int:
    mine = [number for number in range(MAX_GROUPS) if on.rights.has("configure", number)]
    for number in mine:
        if number not in on.service.engine.groups:
            return number
    if not mine:
        raise NotPermittedError("you may not make groups", hint="name one to join")
    raise LimitError("all groups that you may make are in use", hint="close one that is not needed")


@call("group.leave")
def leave(on: Session, *, endpoint: int, group: int) -> Answer:
    """An end-point is no member any more."""
    member = on.rights.endpoint(endpoint)
    on.rights.group(group).leave(member)
    return Answer()


@call("group.close")
def close(on: Session, *, group: int) -> Answer:
    """All members leave, and the group ends."""
    found, _ = on.rights.controlled(group)
    on.opened.pop(group, None)
    found.close()
    return Answer()


@call("group.bind")
def bind(
    on: Session,
    *,
    group: int,
    device: str,
    queue: int | None = None,
    direction: str = "in",
    binding: str = "tap",
    hook: str = "auto",
    promiscuous: bool = False,
) -> Answer:
    """The group gets packets of a device."""
    found, by = _changed(on, group)
    on.rights.device(device, group)
    options: dict[str, Any] = {"direction": direction, "binding": binding, "hook": hook, "promiscuous": promiscuous}
    return _report(found.bind(device, queue, by=by, **options))


@call("group.unbind")
def unbind(on: Session, *, group: int, device: str, queue: int | None = None) -> Answer:
    """The group gets no more packets of a device."""
    found, by = _changed(on, group)
    return _report(found.unbind(device, queue, by=by))


@call("group.set_program")
def set_program(
    on: Session, *, group: int, text: str | None = None, json: str | None = None, name: str | None = None
) -> Answer:
    """Another program for a group."""
    if text is not None and json is not None:
        raise UsageError("a program is sent as `text` or as `json`, not as both")
    found, by = _changed(on, group)
    written = json if text is None else text
    sent = Sent("unit" if written is None else written, (name or "<program>")[:LONGEST_FILE_NAME], json is not None)
    typed = on.service.engine.compiler.typed(sent)
    for device in sorted(devices_of(typed)):
        on.rights.device(device, group)
    return _report(found.set_program(typed, by=by))


@call("group.set_filter")
def set_filter(
    on: Session, *, group: int, expression: str | None = None, instructions: list[list[int]] | None = None
) -> Answer:
    """Another Berkeley filter in front of a group's program."""
    if expression is not None and instructions is not None:
        raise UsageError("a filter is sent as `expression` or as `instructions`, not as both")
    found, by = _changed(on, group)
    return _report(found.set_filter(instructions if expression is None else expression, by=by))


@call("group.set_vlans")
def set_vlans(on: Session, *, group: int, vlans: list[int] | None) -> Answer:
    """Another VLAN filter in front of a group's program."""
    found, by = _changed(on, group)
    return _report(found.set_vlans(vlans, by=by))


@call("group.vlan")
def vlan(
    on: Session, *, group: int, on_: bool | None = None, set: int | None = None, reset: int | None = None
) -> Answer:
    """Changes the VLAN filter of a group step by step: switched on it lets nothing pass."""
    if sum(each is not None for each in (on_, set, reset)) != 1:
        raise UsageError("`group.vlan` has one of `on`, `set` and `reset`")
    found, by = _changed(on, group)

    def changed(now: frozenset[int] | None) -> frozenset[int] | None:
        if on_ is not None:
            return (now or frozenset()) if on_ else None
        if now is None:
            raise UsageError(f"the VLAN filter of group {group} is off", hint='switch it on first: {"on": true}')
        return with_vlan(now, set) if set is not None else without_vlan(now, reset or 0)

    return _report(found.change_vlans(changed, by=by))


def with_vlan(vlans: frozenset[int], more: int) -> frozenset[int]:
    """A VLAN filter that lets one id more pass."""
    return vlans | (vlan_filter([more]) or frozenset())


def without_vlan(vlans: frozenset[int], less: int) -> frozenset[int]:
    """A VLAN filter that lets one id less pass, or none but untagged packets when it is -1."""
    vlan_filter([less])
    if less == ANY_VLAN:
        return vlans & {UNTAGGED}
    if less != UNTAGGED and ANY_VLAN in vlans:
        vlans = vlans - {ANY_VLAN} | frozenset(range(1, LAST_VLAN + 1))
    return vlans - {less}


@call("group.replace_set")
def replace_set(on: Session, *, group: int, name: str, prefixes: list[str]) -> Answer:
    """Changes a set of prefixes of the running program."""
    found, by = _changed(on, group)
    found.replace_set(name, prefixes, by=by)
    return Answer()


@call("group.reload_sets")
def reload_sets(on: Session, *, group: int) -> Answer:
    """Has the files of sets of prefixes read again."""
    found, by = _changed(on, group)
    return Answer({"changed": found.reload_sets(by=by)})


@call("group.statistics")
def statistics(on: Session, *, group: int) -> Answer:
    """What became of a group's packets."""
    found = on.rights.group(group)
    on.rights.read(found)
    return Answer(asdict(found.statistics()))


def _changed(on: Session, number: int) -> tuple[Group, Endpoint | None]:
    """A group that the client may change, and this is one change of those that it has."""
    found = on.rights.controlled(number)
    on.service.quotas.change(on.peer.uid, on.rights.limited)
    return found


def _report(change: Change) -> Answer:
    return Answer(
        {
            "devices": list(change.devices),
            "compile": change.compile,
            "load": change.load,
            "swap": change.swap,
        }
    )
