"""A capture: one device, one group with its program, and the end-points it steers to."""

from __future__ import annotations

import atexit
import logging
import platform
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from types import TracebackType
from typing import Any, Final, Literal, Self

from pfq import layout
from pfq.codegen.device import Device as DeviceSpec
from pfq.codegen.device import Group
from pfq.codegen.finish import Clock
from pfq.codegen.layouts import MAX_ENDPOINTS
from pfq.codegen.memory import RingShape
from pfq.engine.datapath import DataPath, code_of, set_of
from pfq.engine.endpoint import Endpoint
from pfq.engine.events import ProgramEvent
from pfq.engine.hooks import BINDINGS, DIRECTIONS, Binding, Direction, HookChoice, Way, incoming_ways, outgoing_way
from pfq.engine.statistics import CaptureStatistics
from pfq.engine.steering import Member
from pfq.errors import DeviceGoneError, DeviceMissingError, LimitError, PfqError, RingClosedError, UsageError
from pfq.kernel import features
from pfq.kernel.addresses import addresses
from pfq.kernel.devices import ARPHRD_ETHER, ARPHRD_LOOPBACK, Device, Promiscuous, device, devices
from pfq.kernel.maps import possible_cpus
from pfq.kernel.netlink import Netlink
from pfq.kernel.privilege import require_privilege
from pfq.kernel.watch import Change, Event, Watch
from pfq.lang import to_program
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.group import vlan_filter
from pfq.lang.prefixset import PrefixSet
from pfq.ring.reader import Reader
from pfq.source import did_you_mean

log = logging.getLogger(__name__)

ETHERNET_LINKS: Final = (ARPHRD_ETHER, ARPHRD_LOOPBACK)
LINK_HEADER_BYTES: Final = 14 + 2 * 4
DEFAULT_SLOTS: Final = 4096
RING_BYTES: Final = 8 << 20
"""A ring is not larger than this unless the caller says how many slots it has."""
MAX_SLOTS: Final = 1 << 18
LONGEST_SNAPLEN: Final = 0xFFFF
GROUP: Final = 0
ONE_BUFFER_MTU: Final = 1500
"""Up to this MTU every driver has a frame in one buffer."""
CLOCK_PERIOD_S: Final = 1.0
STORES_IN_ORDER: Final = ("x86_64", "i686")

ClockName = Literal["ns", "coarse", "none"]


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
        wanted = Group(
            GROUP,
            to_program(program if program is not None else "unit"),
            None if filter is None else BerkeleyFilter.of(filter),
            vlan_filter(vlans),
        )
        shape = ring_shape(found, snaplen, slots)
        self.device = found
        self.snaplen = shape.snaplen
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._ways: list[Way] = []
        self._targets: dict[str, int] = {}
        self._undo = ExitStack()
        self._closed = False
        try:
            self._endpoints = [self._endpoint(number, shape) for number in range(endpoints)]
            self._start(wanted, shape, _clock(clock), binding, direction, hook, promiscuous)
            # A clsact filter would outlive a process that forgets to close.
            self._undo.callback(atexit.unregister, self.close)
            atexit.register(self.close)
        except BaseException:
            self._undo.close()
            raise

    def _endpoint(self, number: int, shape: RingShape) -> Endpoint:
        endpoint = Endpoint(number, shape, possible_cpus())
        self._undo.callback(endpoint.close)
        return endpoint

    def _start(
        self,
        group: Group,
        shape: RingShape,
        clock: Clock,
        binding: Binding,
        direction: Direction,
        hook: HookChoice,
        promiscuous: bool,
    ) -> None:
        outgoing = [] if direction == "in" else [(outgoing_way(hook),)]
        incoming = [] if direction == "out" else [incoming_ways(self.device, hook, binding)]
        spec = DeviceSpec(
            hook=(incoming + outgoing)[0][0].hook,
            groups=(group,),
            cpus=possible_cpus(),
            rings=shape,
            clock=clock,
            inline=binding == "inline",
            ordered=platform.machine() in STORES_IN_ORDER,
            linear=self.device.mtu <= ONE_BUFFER_MTU,
        )
        plan = code_of(spec).plan
        if outgoing and self.device.name in plan.needed:
            name = self.device.name
            raise UsageError(
                f"the program forwards outgoing packets of `{name}` to `{name}` itself",
                hint="each copy would go out again and be copied again; `link` leaves out the device of the packet",
            )
        if incoming and plan.devices:
            incoming = [incoming_ways(self.device, hook, binding, forwards=True)]
            spec = replace(spec, hook=incoming[0][0].hook)
        sides = incoming + outgoing
        self._path = DataPath(spec, self._endpoints)
        self._undo.callback(self._path.close)
        self._sets = {known: known for known in self._path.plan.sets}
        self._path.set_members(GROUP, [Member(endpoint.number) for endpoint in self._endpoints])
        self._watch = self._undo.enter_context(Watch())
        self._link = self._undo.enter_context(Netlink())
        self._find_devices()
        self._path.set_hosts(addresses(self._link, self.device.index))
        if promiscuous:
            self._undo.enter_context(Promiscuous(self.device.index))
        for ways in sides:
            self._ways.append(self._path.attach(ways, self.device.index))
        self._undo.callback(self._end_threads)
        for work in (self._follow_device, self._keep_up):
            thread = threading.Thread(target=work, name=f"pfq {self.device.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _find_devices(self) -> None:
        """Tells the program the numbers of the devices that it forwards to."""
        there = {found.name: found for found in devices()}
        for name in self._path.plan.devices:
            if name in there and there[name].link_type not in ETHERNET_LINKS:
                raise UsageError(
                    f"the program forwards to `{name}`, which does not carry Ethernet frames",
                    hint="forward to the device under the tunnel",
                )
            if name not in there and name in self._path.plan.needed:
                hint = did_you_mean(name, there) or "there are: " + ", ".join(there)
                raise DeviceMissingError(f"the program forwards to `{name}`, a device that does not exist", hint=hint)
            if name not in there:
                log.warning("there is no device `%s`; `link` leaves it out until it appears", name)
            self._set_target(name, there[name].index if name in there else 0)

    def _set_target(self, name: str, index: int) -> None:
        """Tells the program the number of a device, 0 when it is gone, when it forwards to it."""
        if name in self._path.plan.devices and self._targets.get(name) != index:
            self._targets[name] = index
            self._path.set_device(name, index)

    def _follow_target(self, event: Event) -> None:
        """Devices that are forwarded to come and go; another one may have taken the name meanwhile."""
        before, now = event.before, event.device
        is_gone = event.change in (Change.GONE, Change.MOVED)
        if (is_gone or now.name != before.name) and self._targets.get(before.name) == before.index:
            self._set_target(before.name, 0)
        if not is_gone:
            self._set_target(now.name, now.index)

    def _follow_device(self) -> None:
        """Tells the readers when the device is gone: nothing else would wake them."""
        for event in self._watch.events():
            self._follow_target(event)
            if event.before.index != self.device.index:
                continue
            log.info("%s", event)
            if event.change in (Change.GONE, Change.MOVED):
                gone = DeviceGoneError(
                    f"the device `{event.before.name}` {event.change.value} while it was captured from",
                    hint="packets that had arrived are not lost; start again when it is back",
                )
                self._end_readers(gone)
                return

    def _keep_up(self) -> None:
        """Follows corrections of the time of day, and the device's addresses."""
        known = None
        while not self._stopping.wait(CLOCK_PERIOD_S):
            self._path.set_clock()
            if self._path.plan.hosts is not None:
                found = addresses(self._link, self.device.index)
                if found != known:
                    self._follow_addresses(found)
                known = found

    def _follow_addresses(self, found: frozenset[IPv4Address | IPv6Address]) -> None:
        try:
            self._path.set_hosts(found)
        except LimitError as error:
            log.warning("%s; the program goes on with those that it had before", error.message)

    def _end_readers(self, error: PfqError) -> None:
        for endpoint in self._endpoints:
            endpoint.reader.fail(error)

    def _end_threads(self) -> None:
        self._stopping.set()
        self._watch.stop()
        for thread in self._threads:
            thread.join()

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
        return list(self._path.events())

    def events_missed(self) -> int:
        """Events that were not told, because there were too many."""
        return self._path.events_missed()

    def replace_set(self, name: str, prefixes: Iterable[str] | PrefixSet) -> None:
        """Changes a set of prefixes of the running program; packets meet the old or the new set, no mixture.

        name      what the program calls it: the text that follows `addr_in`
        prefixes  all that are in the set from now on, none to make it empty
        Raises UsageError when the program has no such set, LimitError when there is no room: a program
        is started with room for twice as much as it needs then.
        """
        if self._closed:
            raise RingClosedError("the capture is closed", hint="start another one")
        found = prefixes if isinstance(prefixes, PrefixSet) else set_of(prefixes)
        self._path.replace_set(name, found)
        self._sets |= {known: found for known in self._sets if known.name == name}

    def reload_sets(self) -> list[str]:
        """Reads the files of all sets of prefixes again; says which sets changed. What cannot be read or does
        not fit raises, and then that set and those after it stay as they were."""
        changed = []
        for known, current in self._sets.items():
            found = known.read_again()
            if known.file is not None and not found.same_addresses(current):
                self._path.replace_region(known, found)
                self._sets[known] = found
                changed.append(known.name)
        return changed

    def statistics(self) -> CaptureStatistics:
        """The counters now; exact, as an equation, once the capture is stopped."""
        return CaptureStatistics(
            groups=self._path.statistics(),
            endpoints=tuple(endpoint.statistics() for endpoint in self._endpoints),
        )

    def stop(self) -> None:
        """Takes the program off the device. Readers get what is in their rings, then they end."""
        self._path.detach()
        self._end_readers(RingClosedError("the capture was stopped"))

    def close(self) -> None:
        """Stops, ends all readers, and gives everything back; the counters stay readable."""
        self._closed = True
        self._undo.close()

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
    found = device(device_name)
    if found.link_type not in ETHERNET_LINKS:
        raise UsageError(
            f"`{device_name}` does not carry Ethernet frames (link type {found.link_type})",
            hint="PFQ captures from Ethernet devices; capture where these packets enter or leave the tunnel",
        )
    return found


def _clock(name: str) -> Clock:
    try:
        return Clock(name)
    except ValueError:
        raise UsageError(f"there is no clock `{name}`", hint="clocks are ns, coarse and none") from None


def ring_shape(found: Device, snaplen: int | None, slots: int | None) -> RingShape:
    """The rings for a snap length in bytes and a number of slots, or for what suits the device."""
    for what, number in (("snap length", snaplen), ("number of slots", slots)):
        if not isinstance(number, int | None):
            raise UsageError(f"the {what} is a whole number, not {number!r}")
    whole = found.mtu + LINK_HEADER_BYTES
    wanted = min(whole, LONGEST_SNAPLEN) if snaplen is None else snaplen
    if not 1 <= wanted <= LONGEST_SNAPLEN:
        raise UsageError(f"the snap length is 1 to {LONGEST_SNAPLEN} bytes, not {snaplen}")
    slot_bytes = layout.slot_bytes(wanted)
    if snaplen is None:
        # What the slot has room for anyway.
        wanted = min(slot_bytes - layout.SLOT_HEADER_BYTES, LONGEST_SNAPLEN)
    if slots is None:
        slots = min(DEFAULT_SLOTS, RING_BYTES // slot_bytes)
    if not 1 <= slots <= MAX_SLOTS:
        raise UsageError(f"a ring has 1 to {MAX_SLOTS} slots, not {slots}")
    # The kernel must see a mask of more than nothing.
    return RingShape(slots=max(2, 1 << (slots - 1).bit_length()), slot_bytes=slot_bytes, snaplen=wanted)
