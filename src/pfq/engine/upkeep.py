"""What an engine does by itself: it follows devices, their addresses, and the time of day."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from pfq.engine.datapath import Hosts
from pfq.engine.targets import Targets
from pfq.errors import DeviceGoneError, LimitError
from pfq.kernel.addresses import addresses
from pfq.kernel.devices import Device, PromiscuousRequests
from pfq.kernel.netlink import Netlink
from pfq.kernel.watch import Change as DeviceChange
from pfq.kernel.watch import Event, Watch

if TYPE_CHECKING:
    from pfq.engine.engine import Engine
    from pfq.engine.group import Group

log = logging.getLogger(__name__)

CLOCK_PERIOD_S: Final = 1.0


class Upkeep:
    """The threads of an engine, and what it knows of devices.

    targets      devices that programs forward to
    promiscuous  asks devices to take in frames for other addresses too
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._hosts: dict[int, Hosts] = {}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        with ExitStack() as undo:
            self._watch = undo.enter_context(Watch())
            self.link = undo.enter_context(Netlink())
            self.targets = Targets(engine.sides, self.link, engine.memory)
            self.promiscuous = undo.enter_context(closing(PromiscuousRequests()))
            undo.callback(self.end_threads)
            self._undo = undo.pop_all()

    def start(self) -> None:
        """From now on it follows."""
        for work in (self._follow_devices, self._keep_up):
            thread = threading.Thread(target=work, name="pfq engine", daemon=True)
            self._threads.append(thread)
            thread.start()

    def end_threads(self) -> None:
        """Ends the threads, which may be waiting for the engine's lock. Again is harmless."""
        self._stopping.set()
        self._watch.stop()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def close(self) -> None:
        """Gives everything back; again is harmless."""
        self._undo.close()
        for hosts in self._hosts.values():
            hosts.close()
        self._hosts.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # the addresses of devices

    def hosts_of(self, index: int) -> Hosts:
        """The addresses of a device, for its programs."""
        return self._hosts.setdefault(index, Hosts())

    def tell_hosts(self, index: int) -> None:
        """Tells programs the addresses that a device has now."""
        if self.hosts_of(index).map is not None:
            self.hosts_of(index).set(addresses(self.link, index))

    def drop_hosts(self) -> None:
        """Forgets devices on which nothing runs."""
        for index in self._hosts.keys() - {index for index, _ in self._engine.sides}:
            self._hosts.pop(index).close()

    def _follow_addresses(self, known: dict[int, frozenset[IPv4Address | IPv6Address]]) -> None:
        for index, hosts in self._hosts.items():
            if hosts.map is None:
                continue
            found = addresses(self.link, index)
            try:
                if found != known.get(index):
                    hosts.set(found)
            except LimitError as error:
                log.warning("%s; the program goes on with those that it had before", error.message)
            known[index] = found

    def _keep_up(self) -> None:
        """Follows corrections of the time of day, and the devices' addresses."""
        known: dict[int, frozenset[IPv4Address | IPv6Address]] = {}
        engine = self._engine
        while not self._stopping.wait(CLOCK_PERIOD_S):
            with engine.lock:
                if not self._stopping.is_set():
                    engine.memory.set_clock()
                    self._follow_addresses(known)
                    if engine.keeper.behind:
                        engine.save(must=False)
                    engine.keeper.check()

    # devices that go

    def _follow_devices(self) -> None:
        engine = self._engine
        for event in self._watch.events():
            with engine.lock:
                self.targets.follow(event)
                if any(index == event.before.index for index, _ in engine.sides):
                    log.info("%s", event)
                    if event.change in (DeviceChange.GONE, DeviceChange.MOVED):
                        self._device_gone(event)
                    elif event.change in (DeviceChange.RENAMED, DeviceChange.MTU):
                        self._device_changed(event.device)

    def _device_changed(self, device: Device) -> None:
        """What groups are bound to has another name, or MTU."""
        for group in self._engine.groups.values():
            if any(bound.device.index == device.index for bound in group.bindings):
                bindings = (replace(b, device=device) if b.device.index == device.index else b for b in group.bindings)
                group.settings = replace(group.settings, bindings=tuple(bindings))
        for (index, _), side in self._engine.sides.items():
            if index == device.index:
                side.device = device
        self._engine.save(must=False)

    def _device_gone(self, event: Event) -> None:
        index = event.before.index
        for key in [key for key in self._engine.sides if key[0] == index]:
            self._engine.sides.pop(key).close()
        gone = device_gone(event.before.name, event.change.value)
        concerned = [g for g in self._engine.groups.values() if any(b.device.index == index for b in g.bindings)]
        for group in concerned:
            end_bindings(group, index)
            if index in group.promiscuous:
                group.promiscuous.remove(index)
                self.promiscuous.drop(index)
        self._engine.save(must=False)
        tell_members(concerned, gone)


def device_gone(name: str, how: str) -> DeviceGoneError:
    """The error for readers of a device that went."""
    return DeviceGoneError(
        f"the device `{name}` {how} while it was captured from",
        hint="packets that had arrived are not lost; start again when it is back",
    )


def end_bindings(group: Group, index: int) -> None:
    """The group is not bound to a device any more that is gone."""
    left = tuple(bound for bound in group.settings.bindings if bound.device.index != index)
    group.settings = replace(group.settings, bindings=left)


def tell_members(groups: list[Group], gone: DeviceGoneError) -> None:
    """Tells readers that nothing can reach any more: nothing else would wake them."""
    for endpoint in {each.number: each for group in groups for each, _ in group.members.values()}.values():
        if (
            endpoint.enabled
            and endpoint.egress is None
            and not any(group.settings.bindings for group in endpoint.groups.values())
        ):
            endpoint.fail(gone)
