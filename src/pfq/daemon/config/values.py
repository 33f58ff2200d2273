"""Values of a configuration: what type each has, and all that is wrong with them, each fault with its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pfq.daemon.config.positions import Path, Places
from pfq.errors import PfqError, ProgramErrors, UsageError
from pfq.source import did_you_mean

_REQUIRED: Final = object()
_NAMES: Final = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


class Faults:
    """The faults of one text, in the order in which they are found."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.found: list[PfqError] = []

    def add(self, message: str, way: Path, hint: str | None = None, *, key: bool = False) -> None:
        """A fault of a value, or of its key."""
        span = self.places.key(*way) if key else self.places.value(*way)
        self.found.append(UsageError(message, span, hint))

    def take(self, error: PfqError, way: Path) -> None:
        """A fault that another part of PFQ found in a value; it gets the place of that when it has none."""
        if isinstance(error, ProgramErrors):
            self.found += error.faults
        elif error.span is not None:
            self.found.append(error)
        else:
            self.add(error.message, way, error.hint)


class Section:
    """One table. Whatever is asked for is known; `end` reports the rest.

    what  how faults call it, as in `there is no key `x` in a group`
    """

    def __init__(self, faults: Faults, values: Mapping[str, Any], way: Path, what: str) -> None:
        self.faults = faults
        self.values = values
        self.way = way
        self.what = what
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def at(self, key: str) -> Path:
        return (*self.way, key)

    def text(self, key: str, default: Any = None) -> Any:
        return self._typed(key, default, str)

    def required_text(self, key: str) -> str | None:
        """A text that has to be there; None when it is not, which is a fault."""
        found: str | None = self._typed(key, _REQUIRED, str)
        return found

    def flag(self, key: str, default: bool = False) -> bool:
        found: bool = self._typed(key, default, bool)
        return found

    def integer(self, key: str, low: int, high: int, default: Any = _REQUIRED) -> Any:
        """A whole number in a range; None when it is not there or wrong."""
        found = self._typed(key, default, int)
        if key in self.values and isinstance(found, int) and not low <= found <= high:
            self.fault(key, f"`{key}` is {low} to {high}, not {found}")
            return None
        return found

    def choice(self, key: str, choices: Iterable[str], default: str) -> Any:
        found, known = self._typed(key, default, str), list(choices)
        if found not in known:
            self.fault(
                key, f"there is no {key} `{found}`", did_you_mean(found, known) or "there are: " + ", ".join(known)
            )
            return default
        return found

    def items(self, key: str, default: Any = ()) -> Any:
        """A list, whose elements are still to be looked at."""
        return self._typed(key, default, list)

    def raw(self, key: str, default: Any = None) -> Any:
        """A value of several possible types."""
        self._known.append(key)
        return self.values.get(key, default)

    def _typed(self, key: str, default: Any, kind: type) -> Any:
        self._known.append(key)
        if key not in self.values:
            if default is _REQUIRED:
                self.faults.add(f"{self.what} needs `{key}`", self.way, key=True)
                return None
            return default
        value = self.values[key]
        if type(value) is not kind:
            self.fault(key, f"`{key}` is {_NAMES[kind]}, not {shown(value)}")
            return None if default is _REQUIRED else default
        return value

    def fault(self, key: str, message: str, hint: str | None = None) -> None:
        """A fault of the value of a key."""
        self.faults.add(message, self.at(key), hint)

    def end(self) -> None:
        """Reports the keys that nobody asked for."""
        for key in self.values:
            if key not in self._known:
                hint = did_you_mean(key, self._known) or "there are: " + ", ".join(self._known)
                self.faults.add(f"there is no `{key}` in {self.what}", self.at(key), hint, key=True)


def shown(value: Any) -> str:
    """A value as a fault says it: short, and on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case dict() | list():
            return _NAMES[type(value)]
        case _:
            text = repr(value)
            return text if len(text) <= 40 else text[:37] + "..."
