"""Programs and filters as JSON, exactly: what is read again is equal, and needs no file that it was made from.

The core text and the JSON form of the language name the files of sets; those may have changed meanwhile, and the
memory of a running program would not fit any more.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.bytecode import Instruction
from pfq.lang.prefixset import PrefixSet
from pfq.lang.prims import PRIMS
from pfq.lang.program import Call, Chain, Prefix, Program, Value

KEPT_PROGRAMS = 128


def written(program: Program) -> tuple[str, str]:
    """(name, text) of a program; programs with the same name are the same."""
    return _written(program, program.source)


@lru_cache(maxsize=KEPT_PROGRAMS)
def _written(program: Program, source: str) -> tuple[str, str]:
    # The source does not count when programs are compared, so it is part of the key.
    text = json.dumps({"main": _value(program.main), "source": source}, separators=(",", ":"))
    return name_of(text), text


def name_of(text: str) -> str:
    """The name of a written program."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read(text: str) -> Program:
    """The program again; raises ValueError or KeyError when the text is damaged or a primitive is missing."""
    found = json.loads(text)
    main = _read(found["main"])
    if not isinstance(main, Chain):
        raise ValueError("a program is a chain")
    return Program(main, str(found["source"]))


def _value(value: Value) -> Any:
    match value:
        case Prefix():
            return {"prefix": str(value)}
        case PrefixSet(name, four, six, file):
            return {"set": name, "file": None if file is None else str(file), "four": four, "six": six}
        case BerkeleyFilter():
            return {"filter": written_filter(value)}
        case Call(prim, args):
            return {"call": prim.name, "args": [_value(each) for each in args]}
        case Chain(calls):
            return {"chain": [_value(each) for each in calls]}
        case tuple():
            return {"list": [_value(each) for each in value]}
        case _:
            return value


def _read(value: Any) -> Any:
    match value:
        case {"prefix": str(text)}:
            return Prefix.parse(text)
        case {"set": str(name), "file": file, "four": [*four], "six": [*six]}:
            return PrefixSet(name, tuple(four), tuple(six), None if file is None else Path(file))
        case {"filter": found}:
            return read_filter(found)
        case {"call": str(name), "args": [*args]}:
            return Call(PRIMS[name], tuple(map(_read, args)))
        case {"chain": [*calls]}:
            return Chain(tuple(map(_read, calls)))
        case {"list": [*items]}:
            return tuple(map(_read, items))
        case bool() | int() | str():
            return value
    raise ValueError(f"not part of a program: {value!r}")


def written_filter(filter: BerkeleyFilter) -> Any:
    """A filter: its name and its instructions."""
    return [filter.name, [list(each) for each in filter.instructions]]


def read_filter(found: Any) -> BerkeleyFilter:
    """The filter again; raises ValueError or TypeError when it is damaged."""
    name, rows = found
    return BerkeleyFilter(str(name), tuple(Instruction(*map(int, row)) for row in rows))
