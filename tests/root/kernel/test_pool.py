"""Memory for groups: parts of a few large maps."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from pfq.kernel.maps import Map
from pfq.kernel.pool import LINE, Part, Pool, pool_spec

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture
def pool() -> Iterator[Pool]:
    found = Pool()
    yield found
    found.close()


def test_parts_do_not_overlap_and_begin_empty(pool: Pool) -> None:
    chance = random.Random(1)
    parts: list[Part] = []
    for turn in range(200):
        if parts and chance.random() < 0.4:
            parts.pop(chance.randrange(len(parts))).free()
            continue
        part = pool.part(chance.randrange(1, 5000))
        assert part.offset % LINE == part.size % LINE == 0
        assert not any(part.memory)
        part.memory[:] = bytes([turn % 255 + 1]) * part.size
        parts.append(part)
    for part in parts:
        assert len(set(part.memory)) == 1, "nobody else writes there"
        part.free()
        part.free()
    pool.trim()
    assert len(pool) == 0


@pytest.mark.parametrize("size", [64, 1 << 20])
def test_many_parts_are_in_few_maps(pool: Pool, size: int) -> None:
    parts = [pool.part(size) for _ in range(64)]
    assert len({part.fd for part in parts}) == len(pool) <= 8
    assert sum(part.size for part in parts) == 64 * size
    for part in parts:
        part.free()


def test_free_memory_is_used_again(pool: Pool) -> None:
    first, second, third = (pool.part(1024) for _ in range(3))
    place = second.fd, second.offset
    second.free()
    again = pool.part(1024)
    assert (again.fd, again.offset) == place
    for part in (first, again, third):
        part.free()


def test_maps_of_a_dead_process_are_adopted(pool: Pool) -> None:
    """Parts keep what they have; the rest is cleared, and given out afterwards only."""
    table = Map.create(pool_spec(1024))
    with table.mmap(writable=True) as memory:
        memory[:1024] = b"x" * 1024
    pool.adopt(table)
    kept = pool.adopt_part("", 256, 128)
    new = pool.part(64)
    assert new.fd != kept.fd, "programs may use the rest"
    pool.free_the_rest()
    before, behind = pool.part(256), pool.part(640)
    assert before.chunk is behind.chunk is kept.chunk
    assert not any(before.memory)
    assert not any(behind.memory)
    assert bytes(kept.memory) == b"x" * kept.size
    for part in (kept, new, before, behind):
        part.free()


def test_parts_that_cannot_be_are_refused(pool: Pool) -> None:
    pool.adopt(Map.create(pool_spec(1024)))
    with pytest.raises(KeyError):
        pool.adopt_part("elsewhere", 0, 64)
    part = pool.adopt_part("", 64, 128)
    for offset, size in ((64, 64), (128, 128), (0, 65), (-64, 64), (1024, 64), (960, 128), (512, 0)):
        with pytest.raises(ValueError, match="part"):
            pool.adopt_part("", offset, size)
    part.free()
    pool.free_the_rest()
