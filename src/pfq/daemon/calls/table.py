"""The calls that clients make: a table of functions, each with the arguments that its signature names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin, get_type_hints

from pfq.errors import UsageError
from pfq.source import did_you_mean

if TYPE_CHECKING:
    from pfq.daemon.session import Session

ABSENT: Final[Any] = object()
"""The default of an argument for which null means something else than leaving it out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gives back.

    result       a part of the reply
    descriptors  sent with it; they stay the daemon's
    afterwards   done once the reply is on its way
    """

    result: Mapping[str, Any] = field(default_factory=dict)
    descriptors: Sequence[int] = ()
    afterwards: Callable[[], Any] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    arguments  their types, by name; a parameter may have an underscore behind the name
    needed     those that must be there
    """

    run: Callable[..., Answer]
    arguments: Mapping[str, Any]
    needed: frozenset[str]
    parameters: Mapping[str, str]


CALLS: Final[dict[str, Call]] = {}


def call(name: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Makes a function a call: its first parameter is the session, the others are arguments with types and defaults."""

    def add(function: Callable[..., Answer]) -> Callable[..., Answer]:
        _, *parameters = inspect.signature(function).parameters.values()
        types = get_type_hints(function)
        names = {each.name.rstrip("_"): each.name for each in parameters}
        needed = frozenset(each.name.rstrip("_") for each in parameters if each.default is each.empty)
        CALLS[name] = Call(function, {each: types[names[each]] for each in names}, needed, names)
        return function

    return add


def carry_out(session: Session, name: str, arguments: Mapping[str, Any]) -> Answer:
    """Does what a client asks for; raises UsageError for what is no call, and what the call raises."""
    if name not in CALLS:
        hint = did_you_mean(name[:100], CALLS) or "docs/internals/daemon.md lists the calls"
        raise UsageError(f"there is no call {quoted(name)}", hint=hint)
    found = CALLS[name]
    for each, value in arguments.items():
        if each not in found.arguments:
            hint = did_you_mean(each[:100], found.arguments) or _takes(found)
            raise UsageError(f"`{name}` has no argument {quoted(each)}", hint=hint)
        if not fits(value, found.arguments[each]):
            raise UsageError(f"`{each}` of `{name}` is {described(found.arguments[each])}, not {quoted(value)}")
    for each in sorted(found.needed - arguments.keys()):
        raise UsageError(f"`{name}` needs the argument `{each}`", hint=_takes(found))
    return found.run(session, **{found.parameters[each]: value for each, value in arguments.items()})


def _takes(found: Call) -> str:
    return "it takes " + ", ".join(f"`{each}`" for each in found.arguments) if found.arguments else "it takes none"


def quoted(value: object) -> str:
    """What a client sent, as it may stand in an error or a log: short, on one line, and in printable characters."""
    text = ascii(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 80 else text[:77] + "..."


def fits(value: object, wanted: Any) -> bool:
    """Whether a value of JSON has a type: of the simple ones, their lists, dictionaries and unions."""
    if isinstance(wanted, UnionType):
        return any(fits(value, each) for each in get_args(wanted))
    if get_origin(wanted) is list:
        (inner,) = get_args(wanted)
        return isinstance(value, list) and all(fits(each, inner) for each in value)
    if get_origin(wanted) is dict:
        return isinstance(value, dict)
    # A truth value is a number in Python, but not in JSON.
    return type(value) is wanted


def described(wanted: Any) -> str:
    """A type, in words."""
    if isinstance(wanted, UnionType):
        return " or ".join(map(described, get_args(wanted)))
    if get_origin(wanted) is list:
        return f"a list (each {described(get_args(wanted)[0])})"
    if get_origin(wanted) is dict:
        return "an object"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false", NoneType: "null"}[wanted]
