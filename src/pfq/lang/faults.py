"""The errors found so far in one program, so that they are reported together."""

from __future__ import annotations

from typing import NoReturn

from pfq.errors import ProgramError, ProgramErrors, TooBigError
from pfq.lang.limits import MAX_FAULTS
from pfq.source import Span


class Faults:
    """Collects the errors of all stages, the first one at each place: others there follow from it."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, str], ProgramError] = {}

    def __len__(self) -> int:
        return len(self._found)

    def include(self, *classes: type[ProgramError]) -> bool:
        """Whether an error of one of these classes was found."""
        return any(isinstance(fault, classes) for fault in self._found.values())

    def add(self, fault: ProgramError) -> None:
        """Notes an error; raises them all when there are so many that more would not help."""
        self._found.setdefault((*_place(fault.span), "" if fault.span else fault.message), fault)
        if len(self._found) >= MAX_FAULTS:
            more = ProgramError(f"there are {MAX_FAULTS} errors or more; these are the first found")
            raise ProgramErrors((*self._sorted(), more))

    def stop(self, message: str, span: Span | None, hint: str | None = None) -> NoReturn:
        """Ends the compilation because a limit is reached."""
        self._found[("", 0, message)] = TooBigError(message, span, hint)
        self.check()
        raise AssertionError

    def check(self) -> None:
        """Raises what was found: the error itself, or ProgramErrors for several."""
        found = self._sorted()
        if len(found) == 1:
            raise found[0]
        if found:
            raise ProgramErrors(found)

    def _sorted(self) -> list[ProgramError]:
        """By place; errors without a place first, as they were found."""
        return sorted(self._found.values(), key=lambda fault: _place(fault.span))


def _place(span: Span | None) -> tuple[str, int]:
    return (span.source.name, span.start) if span else ("", 0)
