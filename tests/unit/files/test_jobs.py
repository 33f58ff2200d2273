from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from pfq.files.jobs import in_order


def numbers(start: int, count: int) -> Generator[int | None, None, None]:
    for i in range(count):
        yield None
        yield start + i


def weigh(item: int) -> int:
    return 1


@pytest.mark.parametrize("jobs", [1, 2, 7])
@pytest.mark.parametrize("ahead", [1, 5, 1000])
def test_items_come_in_the_order_of_the_sources(jobs: int, ahead: int) -> None:
    sources = [lambda i=i: numbers(100 * i, 10 + i) for i in range(20)]
    found = list(in_order(sources, jobs, weigh, ahead))
    assert list(dict.fromkeys(number for number, item in found if item is None)) == list(range(20))
    assert [item for _, item in found if item is not None] == [100 * i + k for i in range(20) for k in range(10 + i)]
    assert all(number == item // 100 for number, item in found if item is not None)


def test_sources_run_at_the_same_time() -> None:
    """The first waits for the second, which is possible only when both run."""
    second = threading.Event()

    def first_one() -> Generator[int | None, None, None]:
        assert second.wait(10)
        yield 1

    def second_one() -> Generator[int | None, None, None]:
        second.set()
        yield 2

    assert [item for _, item in in_order([first_one, second_one], 2, weigh) if item] == [1, 2]


def test_an_error_comes_behind_what_was_before_it() -> None:
    def broken() -> Generator[int | None, None, None]:
        yield 7
        raise ValueError("broken")

    items = in_order([lambda: numbers(0, 2), broken, lambda: numbers(50, 2)], 3, weigh)
    for wanted in (0, 1, 7):
        assert next(item for _, item in items if item is not None) == wanted
    with pytest.raises(ValueError, match="broken"):
        list(items)


def test_who_waits_is_asked_now_and_then() -> None:
    go = threading.Event()

    def slow() -> Generator[int | None, None, None]:
        assert go.wait(10)
        yield 1

    items = in_order([slow], 1, weigh)
    assert [next(items) for _ in range(3)] == [(0, None)] * 3
    go.set()
    assert [item for _, item in items if item] == [1]


def test_what_waits_is_bounded() -> None:
    """A source that nobody has come to yet stops when it has left as much as may wait."""
    made: list[int] = []
    go = threading.Event()

    def slow() -> Generator[int | None, None, None]:
        assert go.wait(10)
        yield 0

    def fast() -> Generator[int | None, None, None]:
        for i in range(100):
            made.append(i)
            if i == 5:
                go.set()
            yield i

    items = in_order([slow, fast], 2, weigh, ahead=5)
    assert next(items) == (0, None)
    assert next(item for item in items if item[1] is not None) == (0, 0)
    assert len(made) == 6  # five wait, one is in the maker's hand
    assert [item for _, item in items if item is not None] == list(range(100))


def test_few_sources_are_begun_before_their_turn() -> None:
    begun = []

    def source(number: int) -> Generator[int | None, None, None]:
        begun.append(number)
        yield number

    items = in_order([lambda i=i: source(i) for i in range(100)], 2, weigh)
    assert next(items) == (0, None)
    assert next(item for item in items if item[1] is not None) == (0, 0)
    assert len(begun) <= 4
    items.close()


def test_the_end_ends_the_threads() -> None:
    closed = threading.Event()

    def endless() -> Generator[int | None, None, None]:
        try:
            while True:
                yield None
        finally:
            closed.set()

    before = threading.active_count()
    items = in_order([endless, lambda: numbers(0, 10**9)], 2, weigh)
    next(items)
    items.close()
    assert closed.is_set()
    assert threading.active_count() == before
