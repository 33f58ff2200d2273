"""A sleeping reader and a BPF ring buffer as its doorbell; the rings themselves are memory files."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.rings import FakeRings, frame_of

from pfq.codegen.memory import DOORBELL
from pfq.kernel import sys
from pfq.kernel.abi import AttachType, ProgramType
from pfq.kernel.maps import Map
from pfq.ring.endpoint import Endpoint

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

LONG_NS = 20_000_000_000
AFTER_THE_FIRST_SLEEP_S = 0.05
"""The first sleep is short, whether the doorbell works or not."""

FRAME = bytes(14)
BPF_RINGBUF_OUTPUT, XDP_PASS = 130, 2


class Doorbell:
    """The doorbell, and a program that rings it."""

    def __init__(self) -> None:
        self.map = Map.create(DOORBELL)
        code = [
            _insn(0x7A, dst=10, off=-8),  # *(u64 *)(r10 - 8) = 0
            _insn(0x18, dst=1, src=1, imm=self.map.fd),  # r1 = map
            _insn(0),
            _insn(0xBF, dst=2, src=10),  # r2 = r10
            _insn(0x07, dst=2, imm=-8),  # r2 -= 8
            _insn(0xB7, dst=3, imm=8),  # r3 = 8 bytes
            _insn(0xB7, dst=4, imm=0),  # r4 = no flags
            _insn(0x85, imm=BPF_RINGBUF_OUTPUT),
            _insn(0xB7, dst=0, imm=XDP_PASS),
            _insn(0x95),
        ]
        loaded = sys.prog_load(ProgramType.XDP, AttachType.XDP, b"".join(code), name="ring_doorbell")
        assert loaded.fd is not None, loaded.log
        self._program = loaded.fd

    def ring(self, times: int = 1) -> None:
        sys.prog_test_run(self._program.fileno(), FRAME, repeat=times)

    def close(self) -> None:
        self._program.close()
        self.map.close()


def _insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", code, src << 4 | dst, off, imm)


@pytest.fixture
def doorbell() -> Iterator[Doorbell]:
    made = Doorbell()
    yield made
    made.close()


@pytest.fixture
def rings() -> Iterator[FakeRings]:
    with FakeRings(cpus=(True, True)) as fake:
        yield fake


def opened(rings: FakeRings, doorbell: Doorbell) -> Endpoint:
    """Not a fixture: it would live until after the check that nothing is left."""
    return Endpoint(rings.ring_fds, rings.consumer_fd, rings.slots, rings.slot_bytes, doorbell.map.fd, -1)


def publish_and_ring(rings: FakeRings, doorbell: Doorbell, cpu: int) -> None:
    rings.publish(frame_of(cpu), cpu=cpu)
    assert rings.sleeping(cpu)
    rings.clear_sleeping(cpu)
    doorbell.ring()


def test_doorbell_wakes_a_sleeping_reader(rings: FakeRings, doorbell: Doorbell) -> None:
    endpoint = opened(rings, doorbell)
    for cpu in (1, 0, 1):
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(endpoint.wait, LONG_NS)
            time.sleep(AFTER_THE_FIRST_SLEEP_S)
            publish_and_ring(rings, doorbell, cpu)
            waiting.result(timeout=LONG_NS / 4e9)
        assert (rings.sleeping(0), rings.sleeping(1)) == (0, 0)
        batch = endpoint.read(8)
        assert batch is not None
        assert batch.ring == cpu
        assert endpoint.read(8) is None


def test_old_rings_do_not_wake_and_do_not_block_new_ones(rings: FakeRings, doorbell: Doorbell) -> None:
    endpoint = opened(rings, doorbell)
    doorbell.ring(times=1000)  # far more than the doorbell holds
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(endpoint.wait, LONG_NS)
        time.sleep(AFTER_THE_FIRST_SLEEP_S)
        assert not waiting.done()
        publish_and_ring(rings, doorbell, 0)
        waiting.result(timeout=LONG_NS / 4e9)
    assert endpoint.read(8) is not None
