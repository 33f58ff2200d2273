"""Calls: what their arguments must be, and what is said of those that are not so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pfq.daemon import service
from pfq.daemon.calls.group import with_vlan, without_vlan
from pfq.daemon.calls.table import ABSENT, CALLS, Answer, call, carry_out, described, fits, quoted
from pfq.daemon.conversation import parts
from pfq.daemon.lifetime import Tag, hashed
from pfq.daemon.session import Session
from pfq.errors import UsageError
from pfq.wire.messages import MESSAGE_BYTES, encode

assert service.CALLS
DOCUMENT = Path(__file__).parents[4] / "docs/internals/daemon.md"


@pytest.fixture(autouse=True)
def sample() -> Iterator[None]:
    """A call for these tests, named `sample`."""

    @call("sample")
    def work(
        on: Session, *, number: int, text: str | None = None, on_: bool = False, many: list[int] = ABSENT
    ) -> Answer:
        return Answer({"number": number, "text": text, "on": on_, "many": None if many is ABSENT else many})

    yield
    del CALLS["sample"]


def done(**arguments: Any) -> Any:
    return carry_out(cast(Session, None), "sample", arguments).result


def test_arguments_and_defaults() -> None:
    assert done(number=1) == {"number": 1, "text": None, "on": False, "many": None}
    assert done(number=0, text="x", on=True, many=[]) == {"number": 0, "text": "x", "on": True, "many": []}


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ({}, "`sample` needs the argument `number`", "it takes `number`, `text`, `on`, `many`"),
        ({"numer": 1}, "`sample` has no argument 'numer'", "did you mean `number`?"),
        ({"on_": True}, "`sample` has no argument 'on_'", None),
        ({"number": None}, "`number` of `sample` is a whole number, not None", None),
        ({"number": "1"}, "`number` of `sample` is a whole number, not '1'", None),
        ({"number": 1.0}, "`number` of `sample` is a whole number, not 1.0", None),
        ({"number": True}, "`number` of `sample` is a whole number, not True", None),
        ({"number": 1, "on": 1}, "`on` of `sample` is true or false, not 1", None),
        ({"number": 1, "text": 5}, "`text` of `sample` is a text or null, not 5", None),
        ({"number": 1, "many": [1, "2"]}, "`many` of `sample` is a list (each a whole number), not [1, '2']", None),
    ],
)
def test_what_is_wrong_with_arguments(arguments: dict[str, Any], message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        done(**arguments)
    assert caught.value.message == message
    if hint is not None:
        assert caught.value.hint == hint


def test_no_such_call() -> None:
    with pytest.raises(UsageError, match=r"there is no call 'group\.jion'") as caught:
        carry_out(cast(Session, None), "group.jion", {})
    assert caught.value.hint == "did you mean `group.join` or `group.open` or `group.bind`?"


def test_what_a_client_sent_is_quoted_on_one_line_and_short() -> None:
    for value in ("a\nb", "\x1b[31m", "\u202e", "x" * 10_000, ["y" * 10_000], {"z": "\0"}):
        text = quoted(value)
        assert text.isprintable()
        assert text.isascii()
        assert len(text) <= 80


@pytest.mark.parametrize("wanted", [each for found in CALLS.values() for each in found.arguments.values()], ids=str)
def test_every_type_can_be_checked_and_said(wanted: Any) -> None:
    assert described(wanted)
    assert not fits(object(), wanted)


def test_the_manual_has_every_call_and_its_arguments() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| ?([^|]*) \|", text, re.MULTILINE))
    for name, found in CALLS.items():
        if name in ("hello", "sample"):
            continue
        assert name in rows, f"{name} is not described"
        described = {each.strip("`").split("=")[0] for each in re.findall(r"`[^`]+`", rows[name])}
        assert described == set(found.arguments), name


def test_long_results_come_in_parts() -> None:
    wanted = {"groups": [{"program": "é" * 2000, "n": n} for n in range(300)], "missed": 7, "endpoints": list(range(9))}
    rest = {key: list(value) if isinstance(value, list) else value for key, value in wanted.items()}
    found: dict[str, Any] = {}
    pieces = [*parts(rest), rest]
    assert len(pieces) > 5
    for piece in pieces:
        assert len(encode(piece)) < MESSAGE_BYTES
        for key, value in piece.items():
            found[key] = found[key] + value if key in found else value
    assert found == wanted
    assert parts({"a": [1, 2], "b": {}}) == []


def test_vlans_step_by_step() -> None:
    assert set(with_vlan(frozenset([5]), 0)) == {0, 5}
    assert set(without_vlan(frozenset([0, 5]), 5)) == {0}
    assert set(without_vlan(frozenset([0, 5, -1]), -1)) == {0}
    assert set(without_vlan(frozenset([-1]), 7)) == set(range(1, 4095)) - {7}
    assert set(without_vlan(frozenset([0, -1]), 0)) == {-1}
    for change in (with_vlan, without_vlan):
        with pytest.raises(UsageError, match="no VLAN id 4095"):
            change(frozenset(), 4095)


def test_tags() -> None:
    tag = Tag(hashed("secret"), 12, 1000, 99)
    assert Tag.read(str(tag)) == tag
    assert "secret" not in str(tag)
    for other in ("", "config", "[]", "[1,2,3]", '{"a": 1}', "[1, [], 2, 3]", "nonsense"):
        assert Tag.read(other) is None
