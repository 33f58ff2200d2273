"""One side of a device, incoming or outgoing: what is attached to it, and putting another program in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from pfq.codegen.device import Device as DeviceSpec
from pfq.codegen.spec import Hook
from pfq.engine.bindings import SideName
from pfq.engine.datapath import DataPath
from pfq.engine.hooks import XDP_NATIVE, Way
from pfq.engine.keeper import Keeper
from pfq.errors import DeviceGoneError, KernelRefusedError
from pfq.kernel.attach import Attachment
from pfq.kernel.devices import Device
from pfq.kernel.handover import marker


class Side:
    """The program that runs for one direction of a device's packets.

    name    `in` or `out`
    path    the generation that runs; None before the first
    linear  it was attached as a program for frames in one buffer
    gone    the device is not there any more, and with it the program
    pin     what the link is called in the store; empty when there is none
    """

    def __init__(self, device: Device, name: SideName, keeper: Keeper) -> None:
        self.device = device
        self.name = name
        self.path: DataPath | None = None
        self.way: Way | None = None
        self.linear = self.gone = False
        self.pin = ""
        self._keeper = keeper
        self._attachment: Attachment | None = None
        self._left: tuple[Attachment, str] | None = None

    @classmethod
    def adopted(
        cls, device: Device, name: SideName, keeper: Keeper, way: Way, linear: bool, attachment: Attachment, pin: str
    ) -> Side:
        """What another process has attached; the program is one that only the kernel knows."""
        side = cls(device, name, keeper)
        side.way, side.linear, side.pin, side._attachment = way, linear, pin, attachment
        return side

    @property
    def attachment(self) -> Attachment | None:
        return self._attachment

    @property
    def spec(self) -> DeviceSpec | None:
        return self.path.spec if self.path else None

    def prepare(self, path: DataPath) -> None:
        """Loads the program that is to follow, so that a refusal comes before anything is touched."""
        if self.way is not None:
            path.program(self.way, self.linear)

    def attach(self, path: DataPath, ways: Iterable[Way]) -> None:
        """Attaches by the first way that the device can do."""
        refusal: KernelRefusedError | None = None
        for way, linear in tries(ways, path.spec.linear):
            try:
                attachment = way.attach(path.program(way, linear), self.device.index, self._keeper.filter_mark)
            except KernelRefusedError as error:
                refusal = refusal or (None if linear else error)
            else:
                self._attachment, self.path, self.way, self.linear = attachment, path, way, linear
                try:
                    self.pin = self._keeper.pin_link(attachment)
                except BaseException:
                    self.detach()
                    raise
                return
        assert refusal is not None, "at least one way is tried"
        raise refusal

    def swap(self, before: DataPath | None = None) -> None:
        """Puts `path` in the place of the generation that runs, or the one that ran before."""
        assert self._attachment is not None
        assert self.way is not None, "it is attached"
        path = before or self.path
        assert path is not None
        try:
            self._attachment.swap(path.program(self.way, self.linear))
        except DeviceGoneError:
            self.gone = True

    # from XDP to TC

    @property
    def at_xdp(self) -> bool:
        """Its program is attached there."""
        return self.way is not None and self.way.hook is Hook.XDP

    @property
    def hands_over(self) -> bool:
        """It can do so without a gap. Behind generic XDP some kernels (6.18) show TC frames without their MACs."""
        return self.way is not None and self.way == XDP_NATIVE

    def prepare_move(self, path: DataPath, way: Way) -> None:
        """Loads what `hand_over` needs."""
        path.program(way, False, moved=True)
        path.program(way, False)

    def hand_over(self, path: DataPath, way: Way, back: ExitStack) -> None:
        """From here on `path` decides at TC; each packet meets it or the program that ran at XDP. `settle` ends that.

            XDP     before ─► marker ──────► nothing
            TC             path, if marked ─► path

        A packet that reaches TC may have met the program before or the marker, so for a while only its mark says
        whether to decide about it.

        back  undoes it
        """
        assert self._attachment is not None
        assert self.way is not None, "it is attached"
        left = self._attachment
        attachment = way.attach(path.program(way, False, moved=True), self.device.index, self._keeper.filter_mark)
        back.callback(attachment.detach)
        pin = self._keeper.pin_link(attachment)
        back.callback(self._keeper.unpin, pin)
        if self.path is not None:
            back.callback(left.swap, self.path.program(self.way, self.linear))
        with marker() as program:
            left.swap(program)
        back.callback(self._set, left, self.path, self.way, self.linear, self.pin)
        back.callback(setattr, self, "_left", None)
        self._left = left, self.pin
        self._set(attachment, path, way, False, pin)

    def _set(self, attachment: Attachment, path: DataPath | None, way: Way, linear: bool, pin: str) -> None:
        self._attachment, self.path, self.way, self.linear, self.pin = attachment, path, way, linear, pin

    def settle(self) -> None:
        """Ends a move, when packets that had met the program before have passed TC."""
        assert self._left is not None
        (left, pin), self._left = self._left, None
        self.swap()
        left.detach()
        self._keeper.unpin(pin)

    def detach(self) -> DataPath | None:
        """Takes the program off the device; gives back what ran. Again is harmless."""
        if self._attachment is not None:
            self._attachment.detach()
        self._keeper.unpin(self.pin)
        before, self.path = self.path, None
        self._attachment = self.way = None
        self.pin = ""
        return before

    def let_go(self) -> None:
        """The program stays for the next engine; what is this process's goes."""
        if self._attachment is not None:
            self._attachment.close()
        if self.path is not None:
            self.path.close()

    def close(self) -> None:
        """Detaches and gives all back. Counters are not its own."""
        if (path := self.detach()) is not None:
            path.close()


def tries(ways: Iterable[Way], linear: bool) -> Iterator[tuple[Way, bool]]:
    """Each way with `linear`; XDP for one buffer is refused when the device's peer has a large MTU."""
    for way in ways:
        if linear and way.hook is Hook.XDP:
            yield way, True
        yield way, False
