"""Messages between pfqd and its clients: one JSON object in each packet of a socket.

Both sides trust the other with nothing: what is read here has a size, a depth and numbers that no program of ours has
trouble with, and means the same to every reader of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pfq.errors import UsageError

VERSION: Final = 1
"""Of the protocol."""
MESSAGE_BYTES: Final = 131_072
MAX_DEPTH: Final = 32
"""Objects and arrays inside one another, the message itself included."""
LOWEST, HIGHEST = -(1 << 63), (1 << 64) - 1


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as bytes; raises UsageError when it is too long or not JSON."""
    try:
        data = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"this cannot be sent as a message: {error}") from None
    if len(data) > MESSAGE_BYTES:
        raise UsageError(
            f"the message has {len(data)} bytes, but at most {MESSAGE_BYTES} are sent",
            hint="shorter programs, filters and sets of prefixes can be sent",
        )
    return data


def decode(data: bytes) -> dict[str, Any]:
    """The message in a packet; raises UsageError when it is none."""
    if not data:
        raise _malformed("it is empty")
    if len(data) > MESSAGE_BYTES:
        raise _malformed(f"it has more than {MESSAGE_BYTES} bytes")
    try:
        found = json.loads(
            data.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is not UTF-8") from None
    except RecursionError:
        raise _malformed(f"it is nested deeper than {MAX_DEPTH}") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"it is not JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(found, dict):
        raise _malformed("it is not an object")
    _check(found)
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _malformed("a key is there twice")
    return found


def _integer(text: str) -> int:
    if len(text) > len(str(LOWEST)) or not LOWEST <= (value := int(text)) <= HIGHEST:
        raise _malformed("a number has more than 64 bits")
    return value


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _malformed("a number is too large")
    return value


def _constant(text: str) -> float:
    raise _malformed(f"{text} is not JSON")


def _check(message: dict[str, Any]) -> None:
    """Refuses what is nested too deep, and half characters. Level by level: no recursion, whatever comes."""
    level: list[Any] = [message]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for each in level:
            for part in (*each, *each.values()) if isinstance(each, dict) else each:
                if isinstance(part, str):
                    _whole(part)
                elif isinstance(part, dict | list):
                    below.append(part)
        if not below:
            return
        level = below
    raise _malformed(f"it is nested deeper than {MAX_DEPTH}")


def _whole(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _malformed("a text has half a character in it") from None


def _malformed(why: str) -> UsageError:
    return UsageError(f"this is no message: {why}", hint="docs/internals/daemon.md describes the protocol")
