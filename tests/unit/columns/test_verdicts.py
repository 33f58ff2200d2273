"""Verdicts as an array: the fields of the layout."""

from __future__ import annotations

from pfq.columns.verdicts import VERDICT_DTYPE
from pfq.layout import VERDICT, VERDICT_BYTES


def test_the_array_has_the_fields_of_the_layout() -> None:
    assert VERDICT_DTYPE.itemsize == VERDICT_BYTES
    fields = VERDICT_DTYPE.fields
    assert fields is not None
    assert {name: (kind.itemsize * 8, at) for name, (kind, at, *_) in fields.items()} == {
        member.name: (member.bits, member.offset) for member in VERDICT
    }
