"""What an engine leaves for the next one: its objects pinned, and a file that says what they are.

    pins/counters-1  engine-2 ... ring-17 ... link-40      names in a BPF file system
    state                                                  which of them are valid, see `statefile`

A change is done in this order: what is new is made and pinned; the state is replaced, which is the moment at which
the change counts; what is old is taken away. So a process may be killed anywhere: pins that the state does not name
were not needed yet, or not any more.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from pfq.codegen.spec import MapSpec
from pfq.engine.keeper import State
from pfq.engine.statefile import REMEDY, StateFile, boot, unwritable
from pfq.errors import KernelRefusedError, NoPrivilegeError, PfqError, StateError
from pfq.kernel import abi, clsact, sys
from pfq.kernel.attach import Attachment, Link
from pfq.kernel.maps import Map
from pfq.kernel.pins import Pins
from pfq.kernel.sys import Fd

log = logging.getLogger(__name__)

LINK: Final = "link"


class Store:
    """A directory of pins and a file. One process uses it at a time; see `pfq.engine.keeper.Keeper`."""

    keeps: Final = True

    def __init__(self, pins: Path, state: Path) -> None:
        """Opens both, and makes what is not there.

        pins   a directory in a BPF file system
        state  a file; programs are in a directory next to it
        Raises StateError when this is no BPF file system, or another process uses the directory; OutputError.
        """
        self._file = StateFile(Path(state))
        self._pins = Pins(Path(pins))
        self.filter_mark = sha256(os.fsencode(Path(pins).absolute())).hexdigest()[:16]
        self._live: set[str] = set()
        self._named: set[str] = set()
        self._dropped: set[str] = set()
        self._complained: set[str] = set()
        self._serial = 0
        self._fresh = self._ended = self._behind = False

    # what was left

    def __enter__(self) -> State | None:
        """Raises StateError when what was left cannot be taken over; nothing is touched, and it is closed then."""
        try:
            return self._found()
        except BaseException:
            self._pins.close()
            raise

    def _found(self) -> State | None:
        found, names = self._file.read(), self._pins.names()
        self._serial = max((int(number) for name in names if (number := name.rpartition("-")[2]).isdigit()), default=0)
        if found is None and names:
            raise StateError(
                f"there are pins in `{self._pins.path}`, but `{self._file.path}`, which says what they are, is missing",
                hint=REMEDY,
            )
        if found is None or not self._file.is_of_use(found):
            # What a process left that was just beginning, or ending, goes.
            self._fresh = True
            self._file.write({}, pins=self._pins.identity, names=set(), ended=True)
            self._sweep_all()
            return None
        self._file.check(found)
        if found["pins"] != self._pins.identity:
            raise StateError(
                f"the pins are not in `{self._pins.path}` any more: another file system was mounted over it, or its "
                "own was mounted anew. The programs may still be attached, and would be attached a second time",
                hint=f"umount what covers it; or {REMEDY}",
            )
        if missing := set(found["names"]) - names:
            listed = ", ".join(f"`{name}`" for name in sorted(missing))
            raise StateError(f"of the pins in `{self._pins.path}` these were removed: {listed}", hint=REMEDY)
        self._named = set(found["names"])
        return self._file.engine(found)

    def open(self, name: str, spec: MapSpec) -> Map:
        """A map that was left; raises StateError when it is another one than it should be."""
        fd = self._pins.open(name)
        found = sys.info(fd.fileno(), abi.MapInfo)
        wanted = (spec.type, spec.key_bytes, spec.value_bytes, spec.entries)
        if (found.type, found.key_size, found.value_size, found.max_entries) != wanted:
            raise StateError(f"the map `{self._pins.path / name}` has another size than it should have", hint=REMEDY)
        self._live.add(name)
        return Map(spec, fd, name)

    def open_link(self, name: str) -> Fd:
        """A link that was left."""
        fd = self._pins.open(name)
        self._live.add(name)
        return fd

    def sweep(self, filters: set[Any]) -> None:
        """What was left and nobody has opened goes: it was not needed yet, or not any more.

        filters  clsact filters that are used: device, hook, name and handle
        """
        for name in self._pins.names() - self._live:
            self._take_down(name)
        clsact.remove_kept(self.filter_mark, filters)
        self._file.sweep()

    # what is made

    def create(self, spec: MapSpec) -> Map:
        """See `Keeper.create`."""
        table = Map.create(spec)
        try:
            table.pin = self._pinned(table.fd, spec.name)
        except BaseException:
            table.close()
            raise
        return table

    def pin_link(self, attachment: Attachment) -> str:
        """See `Keeper.pin_link`."""
        return self._pinned(attachment.fd, LINK) if isinstance(attachment, Link) else ""

    def _pinned(self, fd: int, kind: str) -> str:
        self._serial += 1
        # A dot means something to the kernel.
        name = f"{re.sub('[^a-z0-9]', '', kind)}-{self._serial}"
        self._pins.pin(fd, name)
        self._live.add(name)
        return name

    def drop(self, table: Map) -> None:
        """See `Keeper.drop`."""
        table.close()
        self.unpin(table.pin)

    def unpin(self, name: str) -> None:
        """See `Keeper.unpin`. What the state still names stays until the next one."""
        if name in self._live:
            self._live.remove(name)
            if name in self._named:
                self._dropped.add(name)
            else:
                self._removed(name)

    def _removed(self, name: str) -> None:
        try:
            self._pins.remove(name)
        except PfqError as error:
            log.error("%s; it is left behind", error.message)

    # what is remembered

    @property
    def behind(self) -> bool:
        """See `Keeper.behind`."""
        return self._behind

    def save(self, state: Callable[[], State], must: bool) -> None:
        """See `Keeper.save`."""
        if self._ended:
            return
        try:
            self._file.write(state(), pins=self._pins.identity, names=self._live)
        except OSError as error:
            if must:
                raise unwritable(self._file.path, error) from error
            if not self._behind:
                log.error("%s", unwritable(self._file.path, error).message)
            self._behind = True
            return
        self._behind = False
        self._named = set(self._live)
        for name in self._dropped:
            self._removed(name)
        self._dropped.clear()
        self._file.sweep()

    def check(self) -> None:
        """Complains when somebody has disturbed the directory: a next engine could not take over."""
        missing = {f"`{self._pins.path / name}` was removed" for name in self._live - self._pins.names()}
        if not self._pins.is_visible():
            missing.add(f"`{self._pins.path}` is covered or gone")
        for what in sorted(missing - self._complained):
            log.error("%s: packets go on, but no other process could take over", what)
        self._complained = missing

    # the end

    def end(self) -> None:
        """See `Keeper.end`."""
        if not self._ended:
            self._ended = True
            try:
                self._file.write({}, pins=self._pins.identity, names=set(), ended=True)
            except OSError as error:
                log.error("%s", unwritable(self._file.path, error).message)
            self._named.clear()

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is not None and self._fresh:
                self.end()
            if self._ended:
                self._take_all_down()
        finally:
            self._pins.close()

    def close(self) -> None:
        """Gives the directory back, when no engine was made with it. Again is harmless."""
        self._pins.close()

    def remove(self) -> None:
        """Takes down whatever a dead engine left; harmless when nothing is there. The store is closed then."""
        try:
            hidden = self._links()
            self.end()
            for number in hidden:
                detach_by_number(number)
            self._take_all_down()
        finally:
            self._pins.close()

    def _links(self) -> list[int]:
        """Numbers of the links that the state knows: their pins may be hidden."""
        try:
            found = self._file.read()
            sides = found["engine"]["sides"] if found and found["boot"] == boot() else []
            return [int(side["link"]) for side in sides if side["link"]]
        except (StateError, KeyError, TypeError, ValueError):
            return []

    def _take_all_down(self) -> None:
        self._sweep_all()
        self._file.remove()
        self._pins.remove_directory()

    def _sweep_all(self) -> None:
        """Takes everything down that is pinned or marked, whatever the state says."""
        self._live.clear()
        for name in sorted(self._pins.names(), key=lambda name: not name.startswith(LINK)):
            self._take_down(name)
        clsact.remove_kept(self.filter_mark)
        self._file.sweep()

    def _take_down(self, name: str) -> None:
        if name.startswith(f"{LINK}-"):
            with self._pins.open(name) as fd:
                detach(fd)
        self._pins.remove(name)


def detach(link: Fd) -> None:
    """Takes the program of a link off its device; harmless when that is gone."""
    try:
        sys.link_detach(link.fileno())
    except KernelRefusedError as error:
        log.debug("%s", error.message)


def detach_by_number(link: int) -> None:
    """The same for a link that may have no pin any more; for that one needs more rights than pfqd has."""
    try:
        with sys.fd_by_id(sys.Kind.LINK, link) as fd:
            detach(fd)
    except (KernelRefusedError, NoPrivilegeError) as error:
        log.debug("%s", error.message)
