"""What the daemon and its workers send one another.

A worker reads what strangers wrote, so it may have been taken over: what comes from it is plain data of known
classes, checked part by part against the types that the classes declare. Primitives, which are functions, go by
their names; sets of prefixes that a job brought go back as their places in it.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
import types
import typing
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, Final

from pfq.codegen import data, device, facts, finish, memory, prefixes, spec
from pfq.errors import InternalError, PfqError, ProgramErrors, VerifierError, error_classes
from pfq.lang import action, berkeley, bytecode, prefixset, program, sent
from pfq.lang.prims import PRIMS
from pfq.lang.prims.table import Prim
from pfq.source import Source, Span

PROTOCOL: Final = 5
DEEPEST: Final = 10_000
"""Calls inside one another are fewer by far."""

_MODULES: Final = (
    *(data, device, facts, finish, memory, prefixes, spec),
    *(action, berkeley, bytecode, prefixset, program, sent),
)
_OTHERS: Final = (Source, Span, IPv4Address, IPv4Network, IPv6Address, IPv6Network)


@dataclass(frozen=True, slots=True)
class Fault:
    """An error, in plain data.

    cls    its class, by name
    parts  the errors that it stands for
    """

    cls: str
    message: str
    span: Span | None
    hint: str | None
    notes: tuple[tuple[Span, str], ...]
    parts: tuple[Fault, ...] = ()

    @classmethod
    def of(cls, error: PfqError) -> Fault:
        parts = tuple(map(cls.of, error.faults)) if isinstance(error, ProgramErrors) else ()
        return cls(type(error).__name__, error.message, error.span, error.hint, error.notes, parts)

    def error(self) -> PfqError:
        """The error again."""
        found = {each.__name__: each for each in error_classes()}.get(self.cls, InternalError)
        if issubclass(found, ProgramErrors):
            return found([each.error() for each in self.parts])  # type: ignore[misc]
        if issubclass(found, VerifierError):
            return found(self.message, self.span, self.hint)
        return found(self.message, self.span, self.hint, self.notes)


@cache
def _known_classes() -> dict[tuple[str, str], type]:
    """Data classes and enumerations of what programs are, and of what they become."""
    found: dict[tuple[str, str], type] = {(cls.__module__, cls.__qualname__): cls for cls in (*_OTHERS, Fault)}
    for module in _MODULES:
        for name, cls in vars(module).items():
            if isinstance(cls, type) and cls.__module__ == module.__name__ and _is_plain(cls):
                found[module.__name__, name] = cls
    return found


def _is_plain(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) or issubclass(cls, Enum) or hasattr(cls, "_fields")


class _Writer(pickle.Pickler):
    """Names what is not to be sent.

    brought  sets of prefixes of the job, which the other side has
    """

    def __init__(self, file: io.BytesIO, brought: Sequence[prefixset.PrefixSet] = ()) -> None:
        super().__init__(file, PROTOCOL)
        self._brought = {id(each): place for place, each in enumerate(brought)}

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, Prim):
            return value.name
        return self._brought.get(id(value)) if isinstance(value, prefixset.PrefixSet) else None


class _Reader(pickle.Unpickler):
    """Reads what `_Writer` wrote.

    classes  that may occur
    """

    def __init__(self, file: io.BytesIO, classes: Mapping[tuple[str, str], type], brought: Sequence[Any]) -> None:
        super().__init__(file)
        self._classes = classes
        self._brought = brought

    def persistent_load(self, named: Any) -> Any:
        return self._brought[named] if isinstance(named, int) else PRIMS[named]

    def find_class(self, module: str, name: str) -> type:
        if (found := self._classes.get((module, name))) is None:
            raise pickle.UnpicklingError(f"{module}.{name} is not to be sent")
        return found


def sets_of(job: Any) -> list[prefixset.PrefixSet]:
    """The sets of prefixes that a job brings, in an order that both sides see."""
    groups = job.groups if isinstance(job, device.Device) else ()
    everything = [arg for group in groups for call in group.program.calls() for arg in _flat(call.args)]
    return [arg for arg in everything if isinstance(arg, prefixset.PrefixSet)]


def _flat(args: tuple[Any, ...]) -> list[Any]:
    return [each for arg in args for each in (_flat(arg) if isinstance(arg, tuple) else (arg,))]


def packed(value: Any, brought: Sequence[prefixset.PrefixSet] = ()) -> bytes:
    """As bytes."""
    file = io.BytesIO()
    _Writer(file, brought).dump(value)
    return file.getvalue()


def job_of(message: bytes) -> Any:
    """What the daemon sends, which is to be trusted."""
    classes: dict[tuple[str, str], type] = {
        **_known_classes(),
        (Path().__module__, type(Path()).__qualname__): type(Path()),
    }
    return _Reader(io.BytesIO(message), classes, ()).load()


def result_of(message: bytes, kind: Any, brought: Sequence[prefixset.PrefixSet] = ()) -> Any:
    """What a worker sends: a value of this type, or the Fault that it met.

    Raises InternalError when it is something else.
    """
    classes = dict(_known_classes())
    if brought:
        del classes[prefixset.__name__, "PrefixSet"]
    try:
        found = _Reader(io.BytesIO(message), classes, brought).load()
        _conform(found, Fault if isinstance(found, Fault) else kind, 0)
    except Exception as error:  # whatever strange bytes lead to
        raise InternalError(f"a compile worker sent what it never sends: {error}") from None
    return found


def _conform(value: Any, kind: Any, depth: int) -> None:
    """Raises TypeError unless the value, with all its parts, is of the type."""
    if depth > DEEPEST:
        raise TypeError("nested too deeply")
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind in (Any, object, Hashable):
        # Keys that only the code generator uses; whatever it is, it is of the known classes.
        return
    if origin in (typing.Union, types.UnionType):
        _conform_to_some(value, args, depth)
    elif origin is typing.Literal:
        _must(value in args, value, kind)
    elif origin is tuple:
        _must(type(value) is tuple, value, kind)
        _conform_items(value, args, depth)
    elif origin in (list, set, frozenset):
        _must(type(value) is origin, value, kind)
        _conform_items(tuple(value), (args[0], ...), depth)
    elif origin is dict:
        _must(type(value) is dict, value, kind)
        _conform_items(tuple(value), (args[0], ...), depth)
        _conform_items(tuple(value.values()), (args[1], ...), depth)
    else:
        _must(type(value) is (type(None) if kind is None else kind), value, kind)
        for name, part in _parts(type(value)).items():  # type: ignore[arg-type]
            _conform(getattr(value, name), part, depth + 1)


def _must(truth: bool, value: Any, kind: Any) -> None:
    if not truth:
        raise TypeError(f"{type(value).__name__} instead of {kind}")


def _conform_items(items: tuple[Any, ...], kinds: tuple[Any, ...], depth: int) -> None:
    if len(kinds) == 2 and kinds[1] is ...:
        kinds = kinds[:1] * len(items)
    _must(len(items) == len(kinds), items, kinds)
    if set(kinds) in ({int}, {str}, {bytes}):
        _must(set(map(type, items)) <= set(kinds), items, kinds[0])
        return
    for item, kind in zip(items, kinds, strict=True):
        _conform(item, kind, depth + 1)


def _conform_to_some(value: Any, kinds: tuple[Any, ...], depth: int) -> None:
    for kind in kinds:
        named = program.Value if isinstance(kind, typing.ForwardRef) else kind
        head = typing.get_origin(named) or named
        if head in (typing.Union, types.UnionType) or type(value) is (type(None) if head is None else head):
            _conform(value, named, depth)
            return
    raise TypeError(f"{type(value).__name__} instead of one of {kinds}")


@cache
def _parts(cls: Any) -> dict[str, Any]:
    """The parts of a class that are to be looked at, with their types."""
    if not _is_plain(cls) or issubclass(cls, Enum) or cls is Prim:
        return {}
    names = {"Prim": Prim, "Value": program.Value}
    return typing.get_type_hints(cls, localns=names)
