"""The groups of the configuration: makes the engine have what it says, and touches nothing that it has already."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Final

from pfq.daemon.config.groups import ManagedGroup
from pfq.daemon.config.places import Input, Place
from pfq.daemon.config.reading import Config
from pfq.daemon.outputs import Outputs
from pfq.engine.bindings import Bound, Settings, ethernet_device
from pfq.engine.engine import Engine
from pfq.engine.group import Group
from pfq.engine.policy import NOBODY, Rights, policy_named
from pfq.errors import PfqError
from pfq.kernel.devices import devices
from pfq.kernel.watch import Change, Watch

log = logging.getLogger(__name__)

TAG: Final = "config"
"""Marks groups and end-points of the configuration in the engine."""


class Managed:
    """The engine's groups that the configuration is about. Any thread may call it.

    waiting  what waits for devices that are not there, as sentences
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.waiting: tuple[str, ...] = ()
        self._config = Config()
        self._lock = threading.RLock()
        self._outputs = Outputs(engine, TAG)

    def apply(self, config: Config) -> list[str]:
        """From now on the groups are those of this configuration. Returns what was changed, in words.

        When it fails, nothing has changed.
        """
        with self._lock, ExitStack() as undo:
            here = {device.name for device in devices()}
            known = {number: group.rights.policy.value for number, group in list(self.engine.groups.items())}
            groups = {each.number: self._claim(each, undo) for each in config.groups}
            wanted = {groups[each.number]: self._settings(each, groups[each.number], here) for each in config.groups}
            changes = [f"group {number} was made" for number in groups if number not in known]
            changes += [
                f"group {each.number} is {each.policy} now"
                for each in config.groups
                if known.get(each.number, each.policy) != each.policy
            ]
            changes += _changes({group: new for group, new in wanted.items() if group.number in known})
            changes += self._outputs.make(config, groups, here, undo)
            self.engine.configure({group: new for group, new in wanted.items() if new != group.settings})
            undo.pop_all()
            changes += self._outputs.remove(config, here)
            changes += self._release(set(groups))
            self._config = config
            self._tell_waiting(here)
            return changes

    def retry(self) -> None:
        """Binds what waited for devices that are there now."""
        with self._lock:
            here = {device.name for device in devices()}
            for each in self._config.groups:
                group = self.engine.groups.get(each.number)
                if group is None or group.tag != TAG:
                    continue
                try:
                    self._bind_missing(each, group, here)
                except PfqError as error:
                    log.warning("group %d: %s", each.number, error.message)
            self._tell_waiting(here)

    def _bind_missing(self, wanted: ManagedGroup, group: Group, here: set[str]) -> None:
        known = {(bound.device.index, bound.queue) for bound in group.settings.bindings}
        for bound in self._bindings(wanted, group, here):
            if (bound.device.index, bound.queue) not in known:
                group.bind(
                    bound.device.name,
                    bound.queue,
                    direction=bound.direction,
                    binding=bound.binding,
                    hook=bound.hook,
                    promiscuous=bound.promiscuous,
                )
                log.info("group %d gets packets of %s now", wanted.number, bound.device.name)
        with ExitStack() as undo:
            for text in self._outputs.make_for(wanted, group, here, undo):
                log.info("%s", text)
            undo.pop_all()

    def _claim(self, wanted: ManagedGroup, undo: ExitStack) -> Group:
        """The engine's group, which from now on does not end with its last member."""
        group = self.engine.groups.get(wanted.number)
        if group is None:
            group = self.engine.group(wanted.number, wanted.policy, held=True, tag=TAG)
            undo.callback(group.close)
        elif (group.tag, group.rights.policy.value) != (TAG, wanted.policy):
            undo.callback(_have, group, group.rights, group.held, group.tag)
            _have(group, Rights(group.number, policy_named(wanted.policy), NOBODY), True, TAG)
        return group

    def _release(self, numbers: set[int]) -> list[str]:
        """Groups that the configuration does not have any more end with their last member, which may be now."""
        gone = [g for g in list(self.engine.groups.values()) if g.tag == TAG and g.number not in numbers]
        for group in gone:
            _have(group, group.rights, False, "")
            if not group.members:
                group.close()
        return [f"group {group.number} was given up" for group in gone]

    def _settings(self, wanted: ManagedGroup, group: Group, here: set[str]) -> Settings:
        """What the group is to be; the engine's own objects where they are equal, so that those go on."""
        now = group.settings
        return Settings(
            now.program if now.program == wanted.program else wanted.program,
            wanted.filter,
            wanted.vlans,
            tuple(self._bindings(wanted, group, here)),
        )

    def _bindings(self, wanted: ManagedGroup, group: Group, here: set[str]) -> Iterator[Bound]:
        seen = set()
        for each in wanted.inputs:
            if (found := each.place.found(here)) is not None and found not in seen:
                seen.add(found)
                made = _bound(each, *found)
                same = (bound for bound in group.settings.bindings if _key(bound) == _key(made))
                yield next(same, made)

    def _tell_waiting(self, here: set[str]) -> None:
        waiting = tuple(
            f"group {group.number} waits for {place}" for group in self._config.groups for place in _absent(group, here)
        )
        for text in waiting:
            if text not in self.waiting:
                log.warning("%s: there is no such device", text)
        self.waiting = waiting


def _have(group: Group, rights: Rights, held: bool, tag: str) -> None:
    group.rights, group.held, group.tag = rights, held, tag


def _absent(group: ManagedGroup, here: set[str]) -> list[Place]:
    return [place for place in group.places if place.found(here) is None]


def _bound(wanted: Input, device: str, queue: int | None) -> Bound:
    return Bound(ethernet_device(device), queue, wanted.direction, wanted.binding, wanted.hook, wanted.promiscuous)


def _key(bound: Bound) -> tuple[object, ...]:
    """What a binding is; a device has changing qualities as well."""
    return bound.device.index, bound.queue, bound.direction, bound.binding, bound.hook, bound.promiscuous


def _changes(wanted: Mapping[Group, Settings]) -> Iterator[str]:
    """In words, what is to be another thing than it is."""
    for group, new in wanted.items():
        now = group.settings
        parts = {
            "program": new.program is not now.program,
            "filter": new.filter != now.filter,
            "VLAN filter": new.vlans != now.vlans,
            "inputs": [*map(_key, new.bindings)] != [*map(_key, now.bindings)],
        }
        if named := [name for name, differs in parts.items() if differs]:
            yield f"group {group.number} has another {', '.join(named)}"


class Returning:
    """Watches devices: binds what waited for one that comes, and tells what waits for one that went."""

    def __init__(self, managed: Managed) -> None:
        self._managed = managed
        self._watch = Watch()
        self._thread = threading.Thread(target=self._follow, name="pfqd devices", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        for event in self._watch.events():
            if event.change in (Change.NEW, Change.RENAMED, Change.GONE, Change.MOVED):
                self._managed.retry()

    def close(self) -> None:
        self._watch.stop()
        self._thread.join()
        self._watch.close()
