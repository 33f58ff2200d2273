from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from pfq.cli.printing.stamps import stamps

DAY = 1_700_000_000 * 1_000_000_000  # 2023-11-14 22:13:20 UTC


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("form", "first", "second"),
    [
        (0, "22:13:20.000001 ", "22:13:21.500000 "),
        (1, "", ""),
        (2, "1700000000.000001 ", "1700000001.500000 "),
        (3, " 00:00:00.000000 ", " 00:00:01.499999 "),
        (4, "2023-11-14 22:13:20.000001 ", "2023-11-14 22:13:21.500000 "),
        (5, " 00:00:00.000000 ", " 00:00:01.499999 "),
        (6, " 00:00:00.000000 ", " 00:00:01.499999 "),
    ],
)
def test_forms(form: int, first: str, second: str) -> None:
    stamp = stamps(form)
    assert stamp(DAY + 1999) == first
    assert stamp(DAY + 1_500_000_000) == second


def test_since_the_line_before_and_since_the_first() -> None:
    before, first = stamps(3), stamps(5)
    times = [DAY, DAY + 2_000_000_000, DAY + 1_000_000_000, DAY + 90_061_000_001_000]
    assert [before(ts) for ts in times] == [
        " 00:00:00.000000 ", " 00:00:02.000000 ", "-00:00:01.000000 ", " 25:01:00.000001 "
    ]  # fmt: skip
    assert [first(ts) for ts in times] == [
        " 00:00:00.000000 ", " 00:00:02.000000 ", " 00:00:01.000000 ", " 25:01:01.000001 "
    ]  # fmt: skip


def test_midnight_and_new_seconds() -> None:
    stamp = stamps(4)
    assert stamp(1_699_999_999_999_999_999) == "2023-11-14 22:13:19.999999 "
    assert stamp(1_700_006_400_000_000_000) == "2023-11-15 00:00:00.000000 "
