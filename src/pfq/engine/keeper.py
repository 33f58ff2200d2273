"""What an engine makes in the kernel: it ends with the process, or a store keeps it beyond (`pfq.engine.store`)."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Protocol

from pfq.codegen.spec import MapSpec
from pfq.kernel.attach import Attachment
from pfq.kernel.maps import Map

State = dict[str, Any]
"""What an engine is, in the form of JSON."""


class Keeper(Protocol):
    """Makes maps and gives them back, and remembers what there is."""

    @property
    def keeps(self) -> bool:
        """What it makes outlives the process."""

    @property
    def filter_mark(self) -> str:
        """Of clsact filters, by which the next process knows them; empty when it keeps nothing."""

    def create(self, spec: MapSpec) -> Map:
        """A new map; raises LimitError when there is no memory for it."""

    def drop(self, table: Map) -> None:
        """Closes a map that is not needed any more, and takes its pin away; again is harmless."""

    def pin_link(self, attachment: Attachment) -> str:
        """Pins a link; its name then, empty when there is nothing to pin."""

    def unpin(self, name: str) -> None:
        """Takes the pin of a link away; an empty name is harmless."""

    def save(self, state: Callable[[], State], must: bool) -> None:
        """Remembers what there is from now on; what was dropped and is not in it is unpinned.

        must  raises OutputError when that fails; otherwise it is logged, and tried with the next state
        """

    @property
    def behind(self) -> bool:
        """The last state could not be saved."""

    def check(self) -> None:
        """Complains in the log when somebody disturbs what is kept."""

    def end(self) -> None:
        """All is taken down from here on; whoever finds what is left goes on with that."""

    def __enter__(self) -> State | None:
        """What a process before has left."""

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        """Nothing more is made. After `end` nothing is left."""


class Unkept:
    """Nothing outlives the process."""

    keeps: Final = False
    filter_mark: Final = ""
    behind: Final = False

    def create(self, spec: MapSpec) -> Map:
        """See `Keeper.create`."""
        return Map.create(spec)

    def drop(self, table: Map) -> None:
        """See `Keeper.drop`."""
        table.close()

    def pin_link(self, attachment: Attachment) -> str:
        """See `Keeper.pin_link`."""
        return ""

    def unpin(self, name: str) -> None:
        """See `Keeper.unpin`."""

    def save(self, state: Callable[[], State], must: bool) -> None:
        """See `Keeper.save`."""

    def check(self) -> None:
        """See `Keeper.check`."""

    def end(self) -> None:
        """See `Keeper.end`."""

    def __enter__(self) -> State | None:
        return None

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        return
