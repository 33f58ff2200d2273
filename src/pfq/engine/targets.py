"""The devices that programs and egress end-points send to: they come and go, and programs know them by numbers."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pfq.engine.bindings import ETHERNET_LINKS, Key
from pfq.engine.datapath import DataPath
from pfq.engine.memory import EngineMemory
from pfq.engine.side import Side
from pfq.errors import DeviceMissingError, UsageError
from pfq.kernel.devices import dump
from pfq.kernel.netlink import Netlink
from pfq.kernel.watch import Change, Event
from pfq.source import did_you_mean

log = logging.getLogger(__name__)


class Targets:
    """Keeps the running programs told.

    known  numbers by name, 0 for a device that is not there
    """

    def __init__(self, sides: Mapping[Key, Side], link: Netlink, memory: EngineMemory) -> None:
        self._sides = sides
        self._link = link
        self._memory = memory
        self._egress: dict[int, str] = {}
        self.known: dict[str, int] = {}

    def device(self, name: str) -> int:
        """The number of a device for an egress end-point; raises DeviceMissingError or UsageError."""
        there = {found.name: found for found in dump(self._link)}
        if name not in there:
            hint = did_you_mean(name, there) or "there are: " + ", ".join(there)
            raise DeviceMissingError(f"there is no device `{name}` for an egress end-point", hint=hint)
        if there[name].link_type not in ETHERNET_LINKS:
            raise UsageError(
                f"an egress end-point cannot send on `{name}`, which does not carry Ethernet frames",
                hint="send on the device under the tunnel",
            )
        return there[name].index

    def send(self, endpoint: int, name: str, index: int) -> None:
        """From now on an egress end-point sends on a device, whose number is 0 while it is not there."""
        self._egress[endpoint] = name
        self.known[name] = index
        self._memory.set_egress_device(endpoint, index)

    def end(self, endpoint: int) -> None:
        """It sends no more. Of another end-point: harmless."""
        self._egress.pop(endpoint, None)

    def tell(self, path: DataPath, must: bool) -> None:
        """Tells a new program the numbers.

        must  raises DeviceMissingError when one is needed and not there; otherwise it is sent to when it appears
        """
        names = path.targets()
        if not names:
            return
        there = {found.name: found for found in dump(self._link)}
        for name in sorted(names):
            if name in there and there[name].link_type not in ETHERNET_LINKS:
                raise UsageError(
                    f"the program forwards to `{name}`, which does not carry Ethernet frames",
                    hint="forward to the device under the tunnel",
                )
            if must and name not in there and name in path.needed():
                hint = did_you_mean(name, there) or "there are: " + ", ".join(there)
                raise DeviceMissingError(f"the program forwards to `{name}`, a device that does not exist", hint=hint)
            if name not in there:
                log.warning("there is no device `%s`; nothing is sent there until it appears", name)
            self.known[name] = there[name].index if name in there else 0
            path.set_device(name, self.known[name])

    def follow(self, event: Event) -> None:
        """Another device may have taken the name meanwhile."""
        before, now = event.before, event.device
        is_gone = event.change in (Change.GONE, Change.MOVED)
        if (is_gone or now.name != before.name) and self.known.get(before.name) == before.index:
            self._set(before.name, 0)
        if not is_gone:
            self._set(now.name, now.index)

    def _set(self, name: str, index: int) -> None:
        if name in self.known and self.known[name] != index:
            self.known[name] = index
            for side in self._sides.values():
                if side.path is not None:
                    side.path.set_device(name, index)
            for endpoint, device in self._egress.items():
                if device == name:
                    self._memory.set_egress_device(endpoint, index)
