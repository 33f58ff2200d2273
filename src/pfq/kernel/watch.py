"""Events of network devices: new, gone, up, down, renamed, moved."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

from pfq.kernel import devices, netlink
from pfq.kernel.devices import Device
from pfq.kernel.netlink import Message, Netlink, attributes

_IFLA_NEW_NETNSID = 45
_IFINFOMSG_BYTES = 16
_AF_UNSPEC = 0


class Change(Enum):
    """What happened to a device."""

    NEW = "appeared"
    GONE = "disappeared"
    MOVED = "was moved to another network namespace"
    UP = "is up"
    DOWN = "is down"
    RENAMED = "was renamed"
    MTU = "has another MTU"
    PROMISCUOUS = "went into or out of promiscuous mode"


@dataclass(frozen=True, slots=True)
class Event:
    """One change: the device before and after it (the same for NEW, GONE and MOVED).

    `device.index` is the number it had here; after GONE and MOVED another device may get it.
    """

    change: Change
    before: Device
    device: Device

    def __str__(self) -> str:
        return f"{self.before.name} {self.change.value}"


class Watch:
    """Watches the network namespace it was made in, from the moment it was made.

    One thread iterates over `events()`; any thread may `stop()` it.
    """

    def __init__(self) -> None:
        # The subscription is older than the list, so that nothing falls between them; an event
        # that the list already shows changes nothing and is not reported.
        self._news = Netlink(netlink.GROUP_LINK)
        self._asker = Netlink()
        self._known = {device.index: device for device in devices.dump(self._asker)}
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)

    def events(self) -> Iterator[Event]:
        """Changes as they come, until `stop()`."""
        poll = select.poll()
        poll.register(self._news.socket, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while self._stop not in (ready := [fd for fd, _ in poll.poll()]):
            if ready:
                yield from self._read()

    def stop(self) -> None:
        """Ends `events()`, at once and for ever; from any thread."""
        os.eventfd_write(self._stop, 1)

    def close(self) -> None:
        """Gives the descriptors back, after `events()` has ended."""
        self._news.close()
        self._asker.close()
        if self._stop >= 0:
            os.close(self._stop)
            self._stop = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self) -> Iterator[Event]:
        try:
            for message in self._news.receive():
                yield from self._take(message)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            yield from self._catch_up()

    def _catch_up(self) -> Iterator[Event]:
        """Events were lost because nobody read them in time: compare with a fresh list.

        The events that were not lost are older than the list and would take us back.
        """
        self._news.discard()
        now = {device.index: device for device in devices.dump(self._asker)}
        for index in self._known.keys() - now.keys():
            yield from self._left(index, Change.GONE)
        for device in now.values():
            yield from self._seen(device)

    def _take(self, message: Message) -> Iterator[Event]:
        if message.type not in (netlink.RTM_NEWLINK, netlink.RTM_DELLINK) or message.body[0] != _AF_UNSPEC:
            return  # a bridge tells about its ports in messages of the same type
        device = devices.parse(message.body)
        if message.type == netlink.RTM_NEWLINK:
            yield from self._seen(device)
        else:
            moved = _IFLA_NEW_NETNSID in attributes(message.body[_IFINFOMSG_BYTES:])
            yield from self._left(device.index, Change.MOVED if moved else Change.GONE)

    def _left(self, index: int, change: Change) -> Iterator[Event]:
        if (before := self._known.pop(index, None)) is not None:
            yield Event(change, before, before)

    def _seen(self, device: Device) -> Iterator[Event]:
        before = self._known.get(device.index)
        self._known[device.index] = device
        if before is None:
            yield Event(Change.NEW, device, device)
            return
        for change, is_changed in (
            (Change.RENAMED, before.name != device.name),
            (Change.MTU, before.mtu != device.mtu),
            (Change.PROMISCUOUS, before.promiscuous != device.promiscuous),
            (Change.DOWN, before.running and not device.running),
            (Change.UP, device.running and not before.running),
        ):
            if is_changed:
                yield Event(change, before, device)
