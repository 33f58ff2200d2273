"""Groups of the daemon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pfq.client import forms
from pfq.client.endpoint import RemoteEndpoint
from pfq.engine.statistics import Change, GroupStatistics
from pfq.errors import RingClosedError
from pfq.lang.action import DEFAULT_CLASSES

if TYPE_CHECKING:
    from pfq.client.engine import RemoteEngine
    from pfq.engine.hooks import Binding, Direction, HookChoice
    from pfq.engine.policy import PolicyName
    from pfq.lang.berkeley import BerkeleyFilter
    from pfq.lang.prefixset import PrefixSet


class RemoteGroup:
    """A group of the daemon; made by `RemoteEngine.group`. It is used as a `Group` of an engine in this process.

    It ends when its last member leaves, when it is closed, or when nobody has joined it before the connection ends.
    Groups of the daemon's configuration stay.

    number  0 to 63
    """

    def __init__(self, engine: RemoteEngine, number: int) -> None:
        self._engine = engine
        self.number = number
        self.closed = False

    def _call(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        if self.closed:
            raise RingClosedError(f"group {self.number} has ended", hint="make another one")
        return self._engine.connection.call(f"group.{name}", group=self.number, **arguments).result

    def _change(self, name: str, /, **arguments: Any) -> Change:
        return forms.change(self._call(name, **arguments))

    # what it sees

    def bind(
        self,
        device: str,
        queue: int | None = None,
        *,
        direction: Direction = "in",
        binding: Binding = "tap",
        hook: HookChoice = "auto",
        promiscuous: bool = False,
    ) -> Change:
        """From now on the group gets packets of a device, as well as of those it is bound to already.

        The device is one of the daemon's network namespace. The arguments are those of `Group.bind`.
        """
        how = {"direction": direction, "binding": binding, "hook": hook, "promiscuous": promiscuous}
        return self._change("bind", device=device, queue=queue, **how)

    def unbind(self, device: str, queue: int | None = None) -> Change:
        """The group no longer gets packets of a device (of one receive queue, when it is bound to that)."""
        return self._change("unbind", device=device, queue=queue)

    # what it does

    def set_program(self, program: Any) -> Change:
        """Another program: text, a Python expression of `pfq.lang`, or a typed program; None copies to all.

        Raises what is wrong with it, as the compiler of this process does; the old program runs on then. Files that
        the program names are the daemon's.
        """
        return self._change("set_program", **forms.program(program))

    def set_filter(self, filter: str | Sequence[Sequence[int]] | BerkeleyFilter | None) -> Change:
        """What gets to the program, as of `Capture`; None: everything. The program keeps what it remembers."""
        return self._change("set_filter", **forms.filter(filter))

    def set_vlans(self, vlans: Iterable[int] | None) -> Change:
        """Ids of the VLANs that get to the program, as of `Capture`; None: everything."""
        return self._change("set_vlans", vlans=forms.vlans(vlans))

    # sets of prefixes

    def replace_set(self, name: str, prefixes: Iterable[str] | PrefixSet) -> None:
        """Changes a set of prefixes of the running program, as of `Capture`."""
        self._call("replace_set", name=name, prefixes=forms.prefixes(prefixes))

    def reload_sets(self) -> list[str]:
        """Has the daemon read the files of all sets of prefixes again; says which sets changed."""
        return list(self._call("reload_sets")["changed"])

    # who is in it

    def join(self, endpoint: RemoteEndpoint, classes: int = DEFAULT_CLASSES, policy: PolicyName | None = None) -> None:
        """An end-point becomes a member, in the classes of a mask. Again is harmless, and changes the classes.

        policy  what the end-point asks for; None: what the group has, or `shared`
        Raises NotPermittedError when the group does not let it in.
        """
        asked = {} if policy is None else {"policy": policy}
        self._call("join", endpoint=endpoint.number, classes=classes, **asked)

    def leave(self, endpoint: RemoteEndpoint) -> None:
        """An end-point is no member any more. The group ends with its last one."""
        self._call("leave", endpoint=endpoint.number)

    # counters

    def statistics(self) -> GroupStatistics:
        """Its counters; exact, as an equation, once it gets no more packets."""
        return forms.group_statistics(self._call("statistics"))

    def counters(self) -> tuple[int, ...]:
        """The 64 counters of its program."""
        return self.statistics().counters

    # its end

    def close(self) -> None:
        """All members leave, and the group ends. Again is harmless."""
        if not self.closed:
            self._call("close")
            self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RemoteGroup {self.number}>"
