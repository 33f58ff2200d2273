"""A capture: one device, one group with its program, and the end-points it steers to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

from pfq.codegen.layouts import MAX_ENDPOINTS
from pfq.codegen.memory import LONGEST_SNAPLEN as LONGEST_SNAPLEN
from pfq.codegen.memory import RingShape
from pfq.engine.bindings import STORES_IN_ORDER as STORES_IN_ORDER
from pfq.engine.bindings import Bound, Settings, ethernet_device
from pfq.engine.engine import Engine
from pfq.engine.events import ProgramEvent
from pfq.engine.hooks import BINDINGS, DIRECTIONS, Binding, Direction, HookChoice
from pfq.engine.shapes import MAX_SLOTS as MAX_SLOTS
from pfq.engine.shapes import ClockName as ClockName
from pfq.engine.shapes import clock_named, shape_for
from pfq.engine.statistics import CaptureStatistics
from pfq.errors import RingClosedError, UsageError
from pfq.kernel import features
from pfq.kernel.devices import Device
from pfq.kernel.privilege import require_privilege
from pfq.lang import to_program
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.group import vlan_filter
from pfq.lang.prefixset import PrefixSet
from pfq.ring.reader import Reader

GROUP: Final = 0


class Capture:
    """Packets of a device, steered by a program to end-points of this process.

        with Capture("eth0", "ip >-> steer_flow", endpoints=4) as cap:
            for batch in cap[0]:
                ...

    `cap[i]` is the `Reader` of end-point i; readers of several end-points may run in several threads.
    """

    def __init__(
        self,
        device_name: str,
        program: Any = None,
        *,
        filter: str | Sequence[Sequence[int]] | BerkeleyFilter | None = None,
        vlans: Iterable[int] | None = None,
        endpoints: int = 1,
        snaplen: int | None = None,
        slots: int | None = None,
        clock: ClockName = "ns",
        binding: Binding = "tap",
        direction: Direction = "in",
        hook: HookChoice = "auto",
        promiscuous: bool = False,
    ) -> None:
        """Starts capturing.

        device_name  a device of the current network namespace
        program      text, a Python expression of `pfq.lang`, or a typed program; None copies to all
        filter       what the program gets to see, as for tcpdump: an expression, the output of `tcpdump -ddd`,
                     or instructions of classic BPF as (code, jt, jf, k); it sees the whole frame. None: everything
        vlans        ids of the outer VLAN tag that the program gets to see: 0 for packets without one, 1 to 4094,
                     -1 for all ids but 0. None: everything; an empty list: nothing
        endpoints    how many, 1 to 64
        snaplen      bytes of a frame to keep, at most 65,535; None: as many as the device's MTU needs
        slots        packets that each of an end-point's rings (one for each CPU) holds, rounded up to
                     a power of two; None: 4096, fewer when the slots are large
        clock        time stamps: `ns`, `coarse` (the kernel's last tick, cheaper) or `none`
        binding      `tap`: Linux gets every packet as before; `inline`: only those the program passes up
        direction    `in`, `out` or `inout`
        hook         where to attach: `auto`, `xdp`, `xdp-generic`, `tcx` or `clsact`
        promiscuous  take frames for other addresses too

        Raises NoPrivilegeError, DeviceMissingError, ProgramError, AttachConflictError and others of
        `pfq.errors`; then nothing is left attached.
        """
        found = _checked(endpoints, binding, direction, device_name)
        wanted = Settings(
            to_program(program if program is not None else "unit"),
            None if filter is None else BerkeleyFilter.of(filter),
            vlan_filter(vlans),
            (Bound(found, None, direction, binding, hook, promiscuous),),
        )
        self.snaplen = ring_shape(found, snaplen, slots).snaplen
        clock_named(clock)
        self.device = found
        self._closed = False
        self._engine = Engine()
        try:
            self._group = self._engine.group(GROUP, "restricted")
            self._endpoints = [
                self._engine.endpoint(snaplen=snaplen, slots=slots, clock=clock, mtu=found.mtu)
                for _ in range(endpoints)
            ]
            for endpoint in self._endpoints:
                self._group.join(endpoint)
            self._engine.configure({self._group: wanted})
            self._ways = [side.way for _, side in sorted(self._engine.sides.items())]
        except BaseException:
            self._engine.close()
            raise

    def __len__(self) -> int:
        return len(self._endpoints)

    def __getitem__(self, number: int) -> Reader:
        """The reader of an end-point; raises IndexError when there is no such end-point."""
        return self._endpoints[number].reader

    def __iter__(self) -> Iterator[Reader]:
        return (endpoint.reader for endpoint in self._endpoints)

    @property
    def attachment(self) -> str:
        """Where the program runs, in words: `XDP (native) on eth0`."""
        return f"{' and '.join(map(str, self._ways))} on {self.device.name}"

    def events(self) -> list[ProgramEvent]:
        """What the program told by `log_msg`, `log_buff`, `log_packet` and `trace` since the last call.

        At most 100 a second are told, and 100 at once; `events_missed` counts the others.
        """
        return self._engine.events()

    def events_missed(self) -> int:
        """Events that were not told, because there were too many."""
        return self._engine.events_missed()

    def replace_set(self, name: str, prefixes: Iterable[str] | PrefixSet) -> None:
        """Changes a set of prefixes of the running program; packets meet the old or the new set, no mixture.

        name      what the program calls it: the text that follows `addr_in`
        prefixes  all that are in the set from now on, none to make it empty
        Raises UsageError when the program has no such set, LimitError when there is no room: a program
        is started with room for twice as much as it needs then.
        """
        if self._closed:
            raise RingClosedError("the capture is closed", hint="start another one")
        self._group.replace_set(name, prefixes)

    def reload_sets(self) -> list[str]:
        """Reads the files of all sets of prefixes again; says which sets changed. What cannot be read or does
        not fit raises, and then that set and those after it stay as they were."""
        return self._group.reload_sets()

    def statistics(self) -> CaptureStatistics:
        """The counters now; exact, as an equation, once the capture is stopped."""
        return CaptureStatistics(
            groups=(self._group.statistics(),),
            endpoints=tuple(endpoint.statistics() for endpoint in self._endpoints),
        )

    def stop(self) -> None:
        """Takes the program off the device. Readers get what is in their rings, then they end."""
        self._engine.stop()
        for endpoint in self._endpoints:
            endpoint.fail(RingClosedError("the capture was stopped"))

    def close(self) -> None:
        """Stops, ends all readers, and gives everything back; the counters stay readable."""
        self._closed = True
        self._engine.close()

    def __enter__(self) -> Self:
        if self._closed:
            raise RingClosedError("the capture is closed", hint="start another one")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Capture {self.attachment}, {len(self)} end-points>"


def _checked(endpoints: int, binding: str, direction: str, device_name: str) -> Device:
    """The device, when everything asked for makes sense."""
    if not isinstance(device_name, str):
        raise UsageError(f"a device is given by its name, not as {device_name!r}")
    if not isinstance(endpoints, int) or not 1 <= endpoints <= MAX_ENDPOINTS:
        raise UsageError(f"a capture has 1 to {MAX_ENDPOINTS} end-points, not {endpoints}")
    for what, value, known in (("binding", binding, BINDINGS), ("direction", direction, DIRECTIONS)):
        if value not in known:
            raise UsageError(f"there is no {what} `{value}`", hint="there are: " + ", ".join(known))
    require_privilege()
    features.check_kernel()
    return ethernet_device(device_name)


def ring_shape(found: Device, snaplen: int | None, slots: int | None) -> RingShape:
    """The rings for a snap length in bytes and a number of slots, or for what suits the device."""
    return shape_for(found.mtu, snaplen, slots)
