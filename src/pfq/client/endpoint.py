"""End-points of the daemon: rings that this process reads."""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pfq.client import forms
from pfq.client.calls import Reply, closed
from pfq.engine.egress import Egress
from pfq.engine.statistics import EndpointStatistics
from pfq.errors import DaemonGoneError, RingClosedError, UsageError
from pfq.ring.reader import Reader

if TYPE_CHECKING:
    from pfq.client.engine import RemoteEngine
    from pfq.engine.shapes import ClockName


class RemoteEndpoint:
    """One reader's place in the daemon, with rings of its own; made by `RemoteEngine.endpoint`.

    It is used as an `Endpoint` of an engine in this process. It ends with the connection.

    number  0 to 63
    """

    def __init__(self, engine: RemoteEngine, opened: Reply, egress: Egress | None) -> None:
        self._engine = engine
        self._egress = egress
        self.number: int = opened.result["endpoint"]
        self._place = engine.connection.session.places[self.number]
        self._shape: dict[str, Any] = {}
        self._closed = False
        try:
            self._take(opened)
        except BaseException:
            self.close()
            raise

    def _take(self, opened: Reply) -> None:
        """Its shape, and its rings when it has some."""
        self._shape = opened.result
        try:
            if opened.descriptors:
                self._place.open(opened.descriptors, self._shape["slots"], self._shape["slot_bytes"])
        finally:
            closed(opened.descriptors)

    def _call(self, name: str, /, **arguments: Any) -> Reply:
        self._open()
        return self._engine.connection.call(f"endpoint.{name}", endpoint=self.number, **arguments)

    def _set(self, **what: Any) -> None:
        self._shape = self._call("set", **what).result

    # what is fixed while it is enabled

    @property
    def snaplen(self) -> int:
        """Bytes of a frame that it keeps."""
        return int(self._shape["snaplen"])

    @snaplen.setter
    def snaplen(self, value: int | None) -> None:
        self._set(snaplen=value)

    @property
    def slots(self) -> int:
        """Packets that each of its rings holds; there is a ring for each CPU."""
        return int(self._shape["slots"])

    @slots.setter
    def slots(self, value: int | None) -> None:
        self._set(slots=value)

    @property
    def slot_bytes(self) -> int:
        """Bytes of a slot, with its header."""
        return int(self._shape["slot_bytes"])

    @property
    def clock(self) -> ClockName:
        """Where time stamps come from."""
        name: ClockName = self._shape["clock"]
        return name

    @clock.setter
    def clock(self, name: ClockName) -> None:
        self._set(clock=name)

    @property
    def egress(self) -> Egress | None:
        """Where its packets are sent, of an egress end-point; None: they are read."""
        return self._egress

    @egress.setter
    def egress(self, where: Egress | None) -> None:
        self._set(egress=forms.egress(where))
        self._egress = where

    # its share

    @property
    def weight(self) -> int:
        """Its share of what groups steer, 1 to 8."""
        return int(self._shape["weight"])

    @weight.setter
    def weight(self, value: int) -> None:
        self._set(weight=value)

    # on and off

    @property
    def enabled(self) -> bool:
        """It has rings, and gets packets."""
        return bool(self._shape["enabled"])

    def enable(self) -> None:
        """Makes its rings; from then on it gets packets of the groups it is in."""
        self._take(self._call("enable"))

    def disable(self) -> None:
        """Leaves all groups and gives its rings back; what was not read is lost. Again is harmless."""
        self._call("disable")
        self._place.close()
        self._shape |= {"enabled": False}

    @property
    def reader(self) -> Reader:
        """Reads its packets; raises UsageError when it has no rings: it is not enabled, or an egress end-point."""
        reader = self._place.reader
        if reader is None or not self.enabled:
            self._open()
            raise UsageError("the end-point has no rings, so there is nothing to read", hint="enable it")
        return reader

    def statistics(self) -> EndpointStatistics:
        """Its counters since it was enabled. They come from its rings, whether the daemon is there or not."""
        if self._place.reader is None:
            return EndpointStatistics(**self._call("statistics").result)
        ring = self._place.reader.statistics()
        return EndpointStatistics(ring.delivered + ring.lost, ring.delivered, ring.lost, ring.read, ring.waiting)

    def _open(self) -> None:
        if self._closed:
            raise RingClosedError(f"end-point {self.number} is closed", hint="make another one")
        if self._place.lost is not None:
            raise copy(self._place.lost)

    def close(self) -> None:
        """Leaves all groups and ends; its number becomes free. Again is harmless."""
        if self._closed:
            return
        self._closed = True
        self._place.close()
        connection = self._engine.connection
        if connection.drop(self._place):
            # It may have ended with its session; or it ends when the session is taken up again.
            with suppress(DaemonGoneError, RingClosedError, UsageError):
                connection.call("endpoint.close", endpoint=self.number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RemoteEndpoint {self.number}>"
