"""What a client and the daemon have with one another, over as many connections as it takes: calls and end-points."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final

from pfq.client.calls import Call, closed
from pfq.client.place import Place
from pfq.errors import DaemonGoneError, LimitError, PfqError, RingClosedError
from pfq.wire.channel import Channel
from pfq.wire.faults import from_record

_ANEW: Final = "connect again, and open groups and end-points anew"
_WITH_DESCRIPTORS: Final = ("endpoint.open", "endpoint.enable")


class Session:
    """Its state, guarded by `changed`, which is told of everything that calls wait for.

    channel   the connection, once the daemon has answered hello; None: the daemon is away
    places    end-points by number
    greeting  what the daemon answered to hello last
    end       why no call will be answered any more
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.channel: Channel | None = None
        self.places: dict[int, Place] = {}
        self.greeting: dict[str, Any] = {}
        self.end: PfqError | None = None
        self._lost: list[Place] = []
        self._calls: dict[int, Call] = {}
        self._number = 0

    # calls

    def ask(self, name: str, arguments: dict[str, Any]) -> Call:
        """A call that waits for its answer from now on."""
        with self.changed:
            self._number += 1
            made = self._calls[self._number] = Call(self._number, name, arguments)
            return made

    def settle(self, made: Call) -> None:
        """Nobody waits for a call any more."""
        with self.changed:
            self._calls.pop(made.number, None)
        closed(made.descriptors)

    def answer(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """A reply came."""
        with self.changed:
            made = self._calls.get(message.get("id") or 0)
            if made is None:  # whoever called was interrupted, or nobody waited
                closed(descriptors)
                return
            made.answer(message, descriptors)
            if made.done and made.name == "endpoint.open" and made.error is None:
                number = made.result["endpoint"]
                self.places[number] = Place(number)
            self.changed.notify_all()

    def no_room(self, error: LimitError) -> None:
        """A reply was lost, because this process cannot have its descriptors."""
        with self.changed:
            for made in self._calls.values():
                if made.name in _WITH_DESCRIPTORS:
                    made.forget(error)
            self.changed.notify_all()

    # what the daemon tells unasked

    def hear(self, message: dict[str, Any]) -> None:
        """An event came."""
        match message:
            case {"event": "failed", "endpoint": int(number), "error": dict(error)}:
                if place := self.places.get(number):
                    place.fail(from_record(error))
            case {"event": "stopping"}:
                self.finish(RingClosedError("pfqd was stopped", hint=_ANEW))

    def greet(self, channel: Channel, greeting: dict[str, Any]) -> Iterable[int]:
        """The daemon answered hello. Ends what it has forgotten; returns end-points that it has, and we have not."""
        there = {each["endpoint"] for each in greeting["endpoints"]} if greeting["resumed"] else set()
        with self.changed:
            gone = [self.places.pop(number) for number in self.places.keys() - there]
            self._lost += gone
            if self.greeting and not greeting["resumed"]:
                forgotten = DaemonGoneError("pfqd was started anew and does not know this session", hint=_ANEW)
                for made in self._calls.values():
                    made.forget(forgotten)
            self.greeting = greeting
            self.channel = channel
            self.changed.notify_all()
            orphans = there - self.places.keys()
        for place in gone:
            why = f"pfqd was started anew and does not know end-point {place.number} any more"
            place.fail(DaemonGoneError(why, hint=_ANEW), lost=True)
        return orphans

    def drop(self, place: Place) -> bool:
        """Forgets an end-point; False: the daemon need not be told, or is told once it is back."""
        with self.changed:
            if self.places.get(place.number) is place:
                del self.places[place.number]
            return self.channel is not None and place.lost is None

    # the end

    def finish(self, why: PfqError) -> None:
        """No call will be answered any more, no packet will come. The first reason counts."""
        with self.changed:
            if self.end is not None:
                return
            self.end = why
            self.channel = None
            places = list(self.places.values())
            self.changed.notify_all()
        for place in places:
            place.fail(why, lost=True)

    def close_readers(self) -> None:
        """Nobody is going to read any more."""
        with self.changed:
            places = [*self.places.values(), *self._lost]
        for place in places:
            place.close()
