"""The consumer of a BPF ring buffer: records as programs leave them, however often the ring goes round."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

import pytest
from unit.kernel.llvm import compile_ir

from pfq.codegen.spec import MMAPABLE, Hook, MapSpec, MapType, ObjectSpec
from pfq.kernel.maps import Map
from pfq.kernel.programs import Program, load
from pfq.kernel.ringbuf import RingBuffer

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

RING_BYTES = 4096
HEADER_BYTES = 8
RINGBUF = MapSpec("told", MapType.RINGBUF, 0, 0, RING_BYTES)
NUMBER = MapSpec("number", MapType.ARRAY, 4, 8, 1, MMAPABLE, direct=True)
FRAME = bytes(64)

# Each numbers its runs; helpers: 130 output, 131 reserve, 132 submit, 133 discard.
START = """
    @told = external global i8
    @number = external global i64
    define i32 @entry(ptr %ctx) section "code" {
      %old = load i64, ptr @number
      %new = add i64 %old, 1
      store i64 %new, ptr @number"""

OUTPUT = """
      %record = alloca [{size} x i8], align 8
      call void @llvm.memset.p0.i64(ptr align 8 %record, i8 {fill}, i64 {size}, i1 false)
      store i64 %old, ptr %record
      %output = inttoptr i64 130 to ptr
      %failed = call i64 %output(ptr @told, ptr %record, i64 {size}, i64 0)
      %code = trunc i64 %failed to i32
      ret i32 %code
    }}
    declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)"""

RESERVE = """
      %reserve = inttoptr i64 131 to ptr
      %record = call ptr %reserve(ptr @told, i64 16, i64 0)
      %full = icmp eq ptr %record, null
      br i1 %full, label %lost, label %fill
    fill:
      store i64 %old, ptr %record
      %third = urem i64 %old, 3
      %bad = icmp eq i64 %third, 0
      br i1 %bad, label %throw, label %give
    throw:
      %discard = inttoptr i64 133 to ptr
      call void %discard(ptr %record, i64 0)
      ret i32 1
    give:
      %submit = inttoptr i64 132 to ptr
      call void %submit(ptr %record, i64 0)
      ret i32 0
    lost:
      ret i32 2
    }"""


class Told:
    """A ring buffer with its consumer, and a program that leaves a record in it on every run."""

    def __init__(self, program: Program, ring: RingBuffer) -> None:
        self.program = program
        self.ring = ring

    def run(self, times: int = 1) -> list[int]:
        """What the runs return."""
        return [self.program.test_run(FRAME).retval for _ in range(times)]

    def numbers(self) -> list[int]:
        """Of the runs whose records are there."""
        return [struct.unpack_from("<Q", record)[0] for record in self.ring.records()]


@contextmanager
def told(body: str) -> Iterator[Told]:
    with Map.create(RINGBUF) as table, Map.create(NUMBER) as number:
        spec = ObjectSpec(compile_ir(START + body), "entry", Hook.XDP, (RINGBUF, NUMBER))
        with load(spec, {"told": table, "number": number}, "told") as program:
            ring = RingBuffer(table)
            try:
                yield Told(program, ring)
            finally:
                ring.close()


def output(size: int, fill: int = 0) -> str:
    return OUTPUT.format(size=size, fill=fill)


def test_nothing_yet() -> None:
    with told(output(16)) as it:
        assert list(it.ring.records()) == []
        assert list(it.ring.records()) == []


def test_each_record_once_and_in_order() -> None:
    with told(output(16, fill=7)) as it:
        assert it.run(3) == [0, 0, 0]
        assert list(it.ring.records()) == [struct.pack("<Q", number) + b"\7" * 8 for number in range(3)]
        assert list(it.ring.records()) == []
        it.run(2)
        assert it.numbers() == [3, 4]


@pytest.mark.parametrize("size", [8, 9, 15, 16, 17, 200, 256])
def test_records_of_any_size(size: int) -> None:
    """Their places are multiples of 8 bytes, their lengths are not; after many rounds it is still right."""
    with told(output(size, fill=0xAB)) as it:
        each = (RING_BYTES // (HEADER_BYTES + (size + 7) // 8 * 8)) // 2
        for start in range(0, 20 * each, each):
            it.run(each)
            wanted = [struct.pack("<Q", start + n) + b"\xab" * (size - 8) for n in range(each)]
            assert list(it.ring.records()) == wanted


def test_a_record_across_the_end_of_the_ring() -> None:
    """264 bytes each, of which 4096 is no multiple."""
    with told(output(256, fill=1)) as it:
        for number in range(100):
            it.run()
            (record,) = it.ring.records()
            assert record == struct.pack("<Q", number) + b"\1" * 248


def test_a_full_ring_refuses_and_goes_on_when_it_was_read() -> None:
    with told(output(256)) as it:
        room = (RING_BYTES - 1) // 264
        codes = it.run(room + 3)
        assert codes[:room] == [0] * room
        assert all(codes[room:])
        assert it.numbers() == list(range(room))
        assert it.run(room) == [0] * room
        assert it.numbers() == list(range(room + 3, 2 * room + 3))


def test_each_read_makes_room_at_once() -> None:
    """Not only at the end: who reads slowly does not keep the program waiting."""
    with told(output(256)) as it:
        room = (RING_BYTES - 1) // 264
        it.run(room)
        assert it.run() != [0]
        reading = it.ring.records()
        assert len(list(islice(reading, 2))) == 2
        assert it.run(2) == [0, 0]
        assert len(list(reading)) == room - 2
        assert len(it.numbers()) == 2


def test_discarded_records_are_skipped() -> None:
    with told(RESERVE) as it:
        for _ in range(40):
            it.run(10)
            it.numbers()
        it.run(7)
        assert it.numbers() == [number for number in range(400, 407) if number % 3]


def test_records_by_another_thread_while_it_reads() -> None:
    """Test runs on another CPU; every record comes, whole and in its turn."""

    def run() -> None:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        done = 0
        while done < 3000:
            done += it.run() == [0]

    with told(output(24, fill=9)) as it, ThreadPoolExecutor() as pool:
        running = pool.submit(run)
        found: list[bytes] = []
        while not running.done():
            found += it.ring.records()
        running.result()
        found += it.ring.records()
    numbers = [struct.unpack_from("<Q", record)[0] for record in found]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 3000
    assert {record[8:] for record in found} == {b"\x09" * 16}


def test_closing_again_is_harmless() -> None:
    with told(output(16)) as it:
        it.ring.close()
        with pytest.raises(ValueError, match="closed"):
            list(it.ring.records())
