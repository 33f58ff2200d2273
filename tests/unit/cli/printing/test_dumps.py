from __future__ import annotations

import pytest

from pfq.cli.printing.dumps import ascii_dump, dumps

FRAME = bytes(range(0x41, 0x41 + 18))


@pytest.mark.parametrize(
    ("hexadecimal", "both", "ascii", "expected"),
    [
        (1, 0, 0, "\n\t0x0000:  4f50 5152"),
        (2, 0, 0, "\n\t0x0000:  4142 4344 4546 4748 494a 4b4c 4d4e 4f50\n\t0x0010:  5152"),
        (0, 1, 0, "\n\t0x0000:  4f50 5152                                OPQR"),
        (1, 1, 1, "\n\t0x0000:  4f50 5152                                OPQR"),
        (0, 0, 1, "\nOPQR"),
        (0, 0, 2, "\nABCDEFGHIJKLMNOPQR"),
    ],
)
def test_dumps(hexadecimal: int, both: int, ascii: int, expected: str) -> None:
    dump = dumps(hexadecimal, both, ascii)
    assert dump is not None
    assert dump(FRAME, 14) == expected


def test_no_dump() -> None:
    assert dumps(0, 0, 0) is None


def test_ascii() -> None:
    assert ascii_dump(b"a b\tc\r\nd\re\n\x00\x80~") == "\na b\tc\nd.e\n..~"
