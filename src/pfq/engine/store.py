"""What an engine leaves for the next one: its objects pinned, and a file that says what they are.

    pins/counters-1  engine-2 ... ring-17 ... link-40      names in a BPF file system
    state                                                  which of them are valid, and all that the engine knew
    state.programs/NAME                                    programs of groups, each written once

A change is done in this order: what is new is made and pinned; the state is replaced, which is the moment at which
the change counts; what is old is taken away. So a process may be killed anywhere: pins that the state does not name
were not needed yet, or not any more.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from pfq import layout
from pfq.codegen import layouts
from pfq.codegen.spec import MapSpec
from pfq.engine import written
from pfq.engine.keeper import State
from pfq.errors import KernelRefusedError, NoPrivilegeError, OutputError, PfqError, StateError
from pfq.kernel import abi, clsact, sys
from pfq.kernel.attach import Attachment, Link
from pfq.kernel.maps import Map
from pfq.kernel.pins import Pins
from pfq.kernel.sys import Fd

log = logging.getLogger(__name__)

VERSION: Final = 1
REMEDY: Final = "`pfqd --stop` takes down what is left; then start again"
LINK: Final = "link"


class Store:
    """A directory of pins and a file. One process uses it at a time; see `pfq.engine.keeper.Keeper`."""

    keeps: Final = True

    def __init__(self, pins: Path, state: Path) -> None:
        """Opens both, and makes what is not there.

        pins   a directory in a BPF file system
        state  a file; programs are in a directory next to it
        Raises StateError when this is no BPF file system, or another process uses the directory.
        """
        self._state = Path(state)
        self._programs = self._state.with_name(self._state.name + ".programs")
        self._pins = Pins(Path(pins))
        self.filter_mark = sha256(os.fsencode(Path(pins).absolute())).hexdigest()[:16]
        self._live: set[str] = set()
        self._named: set[str] = set()
        self._dropped: set[str] = set()
        self._written: set[str] = set()
        self._complained: set[str] = set()
        self._serial = 0
        self._fresh = self._ended = self._behind = False
        try:
            self._programs.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            self._pins.close()
            raise _unwritable(self._programs, error) from error

    # what was left

    def __enter__(self) -> State | None:
        """Raises StateError when what was left cannot be taken over; nothing is touched, and it is closed then."""
        try:
            return self._found()
        except BaseException:
            self._pins.close()
            raise

    def _found(self) -> State | None:
        found = self._read()
        names = self._pins.names()
        self._serial = max((int(number) for name in names if (number := name.rpartition("-")[2]).isdigit()), default=0)
        if found is None and names:
            raise StateError(
                f"there are pins in `{self._pins.path}`, but `{self._state}`, which says what they are, is missing",
                hint=REMEDY,
            )
        if found is None or found.get("ended") or found["boot"] != _boot():
            self._begin()
            return None
        check(found, self._state)
        if found["pins"] != self._pins.identity:
            raise StateError(
                f"the pins are not in `{self._pins.path}` any more: another file system was mounted over it, or its "
                "own was mounted anew. The programs may still be attached, and would be attached a second time",
                hint=f"umount what covers it; or {REMEDY}",
            )
        missing = set(found["names"]) - names
        if missing:
            listed = ", ".join(f"`{name}`" for name in sorted(missing))
            raise StateError(f"of the pins in `{self._pins.path}` these were removed: {listed}", hint=REMEDY)
        self._named = set(found["names"])
        engine: State = found["engine"]
        engine["programs"] = self._read_programs(engine["program names"])
        return engine

    def _begin(self) -> None:
        """Nothing that could be used is there. What a process left that was just beginning, or ending, goes."""
        self._fresh = True
        self._write({}, ended=True)
        self._sweep_all()

    def _read(self) -> State | None:
        try:
            found = json.loads(self._state.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"cannot read `{self._state}`: {error.strerror}") from error
        except ValueError:
            raise StateError(f"`{self._state}` is damaged", hint=REMEDY) from None
        if not isinstance(found, dict) or not {"version", "boot"} <= found.keys():
            raise StateError(f"`{self._state}` is not what pfqd has written", hint=REMEDY)
        return found

    def _read_programs(self, names: list[str]) -> dict[str, str]:
        texts = {}
        for name in names:
            try:
                texts[name] = (self._programs / name).read_text("utf-8", "surrogatepass")
            except OSError as error:
                raise StateError(f"cannot read `{self._programs / name}`: {error.strerror}", hint=REMEDY) from error
            if written.name_of(texts[name]) != name:
                raise StateError(f"`{self._programs / name}` is damaged", hint=REMEDY)
        self._written = set(names)
        return texts

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
        self._sweep_programs()

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
            self._write(state())
        except OSError as error:
            if must:
                raise _unwritable(self._state, error) from error
            if not self._behind:
                log.error("%s", _unwritable(self._state, error).message)
            self._behind = True
        else:
            self._behind = False
            for name in self._dropped:
                self._removed(name)
            self._dropped.clear()
            self._sweep_programs()

    def _write(self, engine: State, ended: bool = False) -> None:
        programs: Mapping[str, str] = engine.pop("programs", {})
        for name, text in programs.items():
            if name not in self._written:
                _replace(self._programs / name, text)
                self._written.add(name)
        found = {
            "version": VERSION,
            "layout": layout_digest(),
            "boot": _boot(),
            "pins": self._pins.identity,
            "names": sorted(self._live),
            "ended": ended,
            "engine": engine | {"program names": sorted(programs)},
        }
        _replace(self._state, json.dumps(found, separators=(",", ":")))
        self._named = set(self._live)
        self._written &= programs.keys()

    def _sweep_programs(self) -> None:
        try:
            for path in self._programs.iterdir():
                if path.name not in self._written:
                    path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot clear `%s`: %s", self._programs, error.strerror)

    def check(self) -> None:
        """Complains when somebody has disturbed the directory: a next engine could not take over."""
        missing = self._live - self._pins.names()
        if not self._pins.is_visible():
            missing.add(".")
        for name in sorted(missing - self._complained):
            what = (
                f"`{self._pins.path / name}` was removed" if name != "." else f"`{self._pins.path}` is covered or gone"
            )
            log.error("%s: packets go on, but no other process could take over", what)
        self._complained = missing

    # the end

    def end(self) -> None:
        """See `Keeper.end`."""
        if not self._ended:
            self._ended = True
            try:
                self._write({}, ended=True)
            except OSError as error:
                log.error("%s", _unwritable(self._state, error).message)
            self._named.clear()

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is not None and self._fresh:
                self.end()
            if self._ended:
                self._sweep_all()
                self._remove_files()
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
            self._sweep_all()
            for number in hidden:
                detach_by_number(number)
            self._remove_files()
        finally:
            self._pins.close()

    def _links(self) -> list[int]:
        """Numbers of the links that the state knows: their pins may be hidden."""
        try:
            found = self._read()
            sides = found["engine"]["sides"] if found and found["boot"] == _boot() else []
            return [int(side["link"]) for side in sides if side["link"]]
        except (StateError, KeyError, TypeError, ValueError):
            return []

    def _sweep_all(self) -> None:
        """Takes everything down that is pinned or marked, whatever the state says."""
        self._live.clear()
        for name in sorted(self._pins.names(), key=lambda name: not name.startswith(LINK)):
            self._take_down(name)
        clsact.remove_kept(self.filter_mark)
        self._written.clear()
        self._sweep_programs()

    def _take_down(self, name: str) -> None:
        if name.startswith(f"{LINK}-"):
            with self._pins.open(name) as fd:
                detach(fd)
        self._pins.remove(name)

    def _remove_files(self) -> None:
        self._state.unlink(missing_ok=True)
        try:
            self._programs.rmdir()
        except OSError as error:
            log.warning("cannot remove `%s`: %s", self._programs, error.strerror)
        self._pins.remove_directory()


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


def check(found: State, where: Path) -> None:
    """Raises StateError when another version of PFQ has written a state."""
    if found["version"] != VERSION or found.get("layout") != layout_digest():
        raise StateError(
            f"`{where}` was written by another version of PFQ, and its memory has another form", hint=REMEDY
        )
    if not {"pins", "names", "engine"} <= found.keys():
        raise StateError(f"`{where}` is damaged", hint=REMEDY)


def layout_digest() -> str:
    """Changes with the form of the memory that engines and programs share."""
    numbers = {name: repr(value) for name, value in sorted(vars(layouts).items()) if name.isupper()}
    tables = (layout.SLOT, layout.PRODUCER, layout.CONSUMER, layout.SLOT_SIZES)
    return sha256(repr((numbers, tables)).encode()).hexdigest()


def _boot() -> str:
    """Tells this run of the kernel from all others; pins do not outlive it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _replace(path: Path, text: str) -> None:
    """Replaces a file at once: whoever reads it finds the old text or the new one."""
    new = path.with_name(f"{path.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(text.encode("utf-8", "surrogatepass"))
    os.replace(new, path)


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write `{path}`: {error.strerror}", hint="without it no other process could take over; make room"
    )
