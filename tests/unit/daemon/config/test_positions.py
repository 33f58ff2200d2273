"""Places in a TOML text: every value that tomllib finds has one, and it is where the value stands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from pfq.daemon.config.positions import Path, Places
from pfq.source import Source

TEXT = '''# comment with = and [brackets]
title = "a # b = [c]"   # and another
plain.dotted . "key" = 7

[daemon]
socket = '/run/x "y"'
when = 1979-05-27 07:32:00
empty = []

[[group]]
number = 3
program = """
main = tcp >-> "quoted" \\""" not the end
"""
input = ["eth0", # first
  { device = "eth1", queue = 2 },
  { device = "]}#", nested = { a = [1, [2, 3]] } },
]

[[group]]
number = 4
text = \'\'\'
# no comment ''
[no.table]
\'\'\'
[group.inner]
flag = true

[[group.more]]
x = -1.5e3
[[group.more]]
x = 0xff
'''


def ways(value: Any, way: Path = ()) -> Iterator[tuple[Path, Any]]:
    if way:
        yield way, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from ways(inner, (*way, key))


def test_every_leaf_is_found_where_it_stands() -> None:
    text = TEXT
    places = Places(Source("x.toml", text))
    leaves = [(way, value) for way, value in ways(tomllib.loads(text)) if not isinstance(value, dict | list)]
    assert len(leaves) == 18
    for way, value in leaves:
        span = places.value(*way)
        assert span is not None, way
        assert tomllib.loads(f"v = {span.text}")["v"] == value, way


@pytest.mark.parametrize(
    ("way", "line", "text"),
    [
        (("title",), 2, "title"),
        (("plain", "dotted", "key"), 3, '"key"'),
        (("daemon",), 5, "[daemon]"),
        (("group", 0), 10, "[[group]]"),
        (("group", 0, "input", 1, "queue"), 16, "queue"),
        (("group", 0, "input", 2, "nested", "a"), 17, "nested"),
        (("group", 1), 20, "[[group]]"),
        (("group", 1, "inner", "flag"), 27, "flag"),
        (("group", 1, "more", 1, "x"), 32, "x"),
    ],
)
def test_keys(way: Path, line: int, text: str) -> None:
    span = Places(Source("x.toml", TEXT)).key(*way)
    assert span is not None
    assert span.line == line
    if way[-1] != "a":
        assert span.text == text


def test_what_has_no_place_is_shown_where_it_would_be() -> None:
    places = Places(Source("x.toml", TEXT))
    assert (span := places.key("group", 0, "policy")) is not None
    assert span.line == 10
    assert places.key("nothing") is None


@pytest.mark.parametrize("text", ["", "\n\n# only a comment", "a = 1", "a = 'x'\r\nb = 2\r\n", "[a]\n[b]", "a = {}"])
def test_small_texts(text: str) -> None:
    tomllib.loads(text)
    Places(Source("x.toml", text))
