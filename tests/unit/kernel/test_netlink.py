"""Attributes of netlink, there and back, and messages cut short."""

from __future__ import annotations

import struct

from pfq.kernel.netlink import attr, attributes, nested, number, text


def test_attributes_there_and_back() -> None:
    data = attr(3, b"eth0\0") + attr(4, struct.pack("<I", 1500)) + nested(43, attr(2, b"\1"))
    found = attributes(data)
    assert len(data) % 4 == 0
    assert (text(found[3]), number(found[4])) == ("eth0", 1500)
    assert attributes(found[43]) == {2: b"\1"}


def test_what_is_absent_is_nothing() -> None:
    assert (number(None), text(None), attributes(b"")) == (0, "", {})


def test_a_cut_attribute_ends_the_list() -> None:
    data = attr(3, b"eth0\0") + struct.pack("=HH", 2, 9) + b"rest"
    assert attributes(data) == {3: b"eth0\0"}
    assert attributes(data[:3]) == {}
