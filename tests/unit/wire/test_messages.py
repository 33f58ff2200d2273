"""Messages: what is one, and that nothing else is."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire import mutated, random_message

from pfq.errors import UsageError
from pfq.wire.messages import HIGHEST, LOWEST, MAX_DEPTH, MESSAGE_BYTES, decode, encode

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(LOWEST, HIGHEST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)

MALFORMED = {
    "empty": b"",
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "not JSON": b"{",
    "rubbish behind": b'{"a": 1} {"b": 2}',
    "NUL behind": b'{"a": 1}\0',
    "single quotes": b"{'a': 1}",
    "a number": b"7",
    "a list": b'[{"a": 1}]',
    "null": b"null",
    "a key twice": b'{"a": 1, "a": 1}',
    "a key twice, written differently": b'{"a": 1, "\\u0061": 1}',
    "a key twice inside": b'{"a": [{"b": 1, "b": 2}]}',
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "a float too large": b'{"a": 1e999}',
    "65 bits": b'{"a": 18446744073709551616}',
    "65 bits below 0": b'{"a": -9223372036854775809}',
    "5000 digits": b'{"a": ' + b"1" * 5000 + b"}",
    "half a character": b'{"a": "\\ud800"}',
    "half a character in a key": b'{"\\udfff": 1}',
    "half a character in a list": b'{"a": ["b", "\\ud800"]}',
    "a control character": b'{"a": "\n"}',
    "nested": b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    "nested objects": b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    "nested beyond any stack": b'{"a":' + b"[" * 60_000 + b"]" * 60_000 + b"}",
    "never closed": b"[" * 100_000,
    "quotes": b'{"' + b'\\"' * 60_000,
    "too long": b'{"a": "' + b"x" * MESSAGE_BYTES + b'"}',
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(UsageError, match="this is no message: ") as caught:
        decode(data)
    assert caught.value.hint
    assert len(caught.value.message) < 200, "nothing of what was sent is given back at length"


@given(message=st.dictionaries(st.text(), VALUES, max_size=5))
def test_a_message_comes_as_it_was(message: dict[str, Any]) -> None:
    assert decode(encode(message)) == message


def test_the_deepest_and_the_longest() -> None:
    deep = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert "a" in decode(deep)
    longest = {"a": "x" * (MESSAGE_BYTES - len(b'{"a":""}'))}
    assert len(encode(longest)) == MESSAGE_BYTES
    assert decode(encode(longest)) == longest
    with pytest.raises(UsageError, match=f"{MESSAGE_BYTES + 1} bytes"):
        encode({"a": longest["a"] + "x"})


def test_a_message_is_the_same_to_other_readers() -> None:
    """No byte of ours needs an extension of JSON."""
    assert json.loads(encode({"a": "\u2028é\0", "b": 2**53})) == {"a": "\u2028é\0", "b": 2**53}


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"bytes", "\ud800"], ids=repr)
def test_what_cannot_be_sent(value: Any) -> None:
    with pytest.raises(UsageError, match="cannot be sent"):
        encode({"a": value})


def test_U6_100_000_messages_are_read_or_refused() -> None:
    """Random bytes, and messages of which something was changed. Anything but a UsageError would end the test."""
    chance = random.Random(6)
    read = 0
    for number in range(100_000):
        data = chance.randbytes(chance.randrange(64)) if number % 4 == 0 else mutated(random_message(chance), chance)
        try:
            found = decode(data)
        except UsageError:
            continue
        assert isinstance(found, dict)
        read += 1
    assert 5_000 < read < 95_000, "both happen"
