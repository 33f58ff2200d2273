from __future__ import annotations

import pytest

from pfq.cli.decode.line import Ip
from pfq.cli.decode.text import (
    checksum,
    flag_names,
    hex_ascii_dump,
    hex_dump,
    ipv4,
    ipv6,
    mac,
    pseudo_header,
    right_checksum,
)


def test_addresses() -> None:
    assert mac(bytes(range(6))) == "00:01:02:03:04:05"
    assert ipv4(bytes((192, 0, 2, 255))) == "192.0.2.255"
    assert ipv6(bytes(15) + b"\1") == "::1"
    assert ipv6(bytes(10) + b"\xff\xff\1\2\3\4") == "::ffff:1.2.3.4"


def test_flag_names() -> None:
    assert flag_names({1: "one", 4: "four"}, 5) == "one, four"
    assert flag_names({1: "one"}, 2) == "none"


# The header of RFC 1071's example, and one with its checksum in place.
@pytest.mark.parametrize(
    ("data", "expected"),
    [("0001f203f4f5f6f7", 0x220D), ("45000073000040004011b861c0a80001c0a800c7", 0), ("01", 0xFEFF), ("", 0xFFFF)],
)
def test_checksum(data: str, expected: int) -> None:
    assert checksum(bytes.fromhex(data)) == expected


def test_right_checksum() -> None:
    wrong = bytes.fromhex("45000073000040004011ffffc0a80001c0a800c7")
    assert right_checksum(0xFFFF, checksum(wrong)) == 0xB861


def test_pseudo_header() -> None:
    four = Ip(4, bytes((1, 2, 3, 4)), bytes((5, 6, 7, 8)), "", "", 6)
    assert pseudo_header(four, 17, 12).hex() == "01020304050607080011000c"
    six = Ip(6, bytes(15) + b"\1", bytes(15) + b"\2", "", "", 6)
    assert pseudo_header(six, 58, 70_000).hex() == "0" * 31 + "1" + "0" * 31 + "2" + "00011170" + "0000003a"


def test_dumps() -> None:
    data = bytes(range(0x30, 0x30 + 17))
    assert hex_dump(data) == "\n\t0x0000:  3031 3233 3435 3637 3839 3a3b 3c3d 3e3f\n\t0x0010:  40"
    assert hex_ascii_dump(data) == (
        "\n\t0x0000:  3031 3233 3435 3637 3839 3a3b 3c3d 3e3f  0123456789:;<=>?"
        "\n\t0x0010:  40                                       @"
    )
