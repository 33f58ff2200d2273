"""Maps of every kind we use."""

from __future__ import annotations

import os
import resource
import struct
import subprocess

import pytest
from root.network import eventually

from pfq.codegen.spec import MMAPABLE, MapSpec, MapType
from pfq.errors import KernelRefusedError, LimitError
from pfq.kernel import sys
from pfq.kernel.maps import Map, possible_cpus
from pfq.kernel.sys import Kind

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

ARRAY = MapSpec("array", MapType.ARRAY, 4, 12, 3)
RING = MapSpec("ring", MapType.ARRAY, 4, 128, 64, MMAPABLE)
RINGS = MapSpec("rings", MapType.ARRAY_OF_MAPS, 4, 4, 2, inner=RING)


def test_an_array() -> None:
    with Map.create(ARRAY) as array:
        array.update(2, b"abcdefghijkl")
        assert [array.lookup(i) for i in range(3)] == [bytes(12), bytes(12), b"abcdefghijkl"]
        with pytest.raises(KernelRefusedError, match="ENOENT"):
            array.lookup(3)
        with pytest.raises(ValueError, match="values of 12 bytes, not 4"):
            array.update(0, b"abcd")
        assert array.id in list(sys.ids(Kind.MAP))


def test_a_per_cpu_array() -> None:
    with Map.create(MapSpec("percpu", MapType.PERCPU_ARRAY, 4, 12, 1)) as array:
        values = [struct.pack("<3I", cpu, 2, 3) for cpu in range(possible_cpus())]
        array.update(0, b"".join(value.ljust(16, b"\0") for value in values))
        assert array.lookup_cpus(0) == tuple(values)


def test_possible_cpus_are_at_least_those_online() -> None:
    assert possible_cpus() >= len(os.sched_getaffinity(0))


def test_an_array_of_maps() -> None:
    with Map.create(RINGS) as rings, Map.create(RING) as ring:
        rings.set_inner(1, ring)
        assert struct.unpack("<I", rings.lookup(1)) == (ring.id,)
        rings.clear(1)
        rings.clear(1)
        with pytest.raises(KernelRefusedError, match="ENOENT"):
            rings.lookup(1)


def test_an_array_of_maps_takes_only_its_shape() -> None:
    with Map.create(RING) as shape, Map.create(RINGS, shape) as rings:
        rings.set_inner(0, shape)
        for other in (MapSpec("other", MapType.ARRAY, 4, 128, 32, MMAPABLE), ARRAY):
            with Map.create(other) as wrong, pytest.raises(KernelRefusedError, match="EINVAL"):
                rings.set_inner(0, wrong)


def test_memory_is_shared_with_the_map() -> None:
    with Map.create(MapSpec("mapped", MapType.ARRAY, 4, 12, 400, MMAPABLE)) as array:
        with array.mmap(writable=True) as memory:
            assert len(memory) == 8192, "whole pages; elements 16 bytes apart"
            memory[16 * 399 : 16 * 399 + 12] = b"from user   "
            array.update(1, b"from bpf(2) ")
            assert memory[16:28] == b"from bpf(2) "
        assert array.lookup(399) == b"from user   "


def test_a_frozen_map_is_read_only_for_user_space() -> None:
    with Map.create(RING) as ring:
        ring.update(0, b"x" * 128)
        ring.freeze()
        with ring.mmap() as memory:
            assert memory[:128] == b"x" * 128
            with pytest.raises(TypeError):
                memory[0] = 1
        with pytest.raises(KernelRefusedError, match=r"mapping `ring` into memory failed: .*EPERM"):
            ring.mmap(writable=True)
        with pytest.raises(KernelRefusedError, match="EPERM"):
            ring.update(0, bytes(128))


def test_a_map_with_a_writable_mapping_cannot_be_frozen() -> None:
    with (
        Map.create(RING) as ring,
        ring.mmap(writable=True),
        pytest.raises(KernelRefusedError, match=r"freezing.*EBUSY"),
    ):
        ring.freeze()


def test_an_ordinary_array_cannot_be_mapped() -> None:
    with Map.create(ARRAY) as array, pytest.raises(KernelRefusedError) as caught:
        array.mmap()
    assert "MMAPABLE" in str(caught.value.hint)


def test_what_is_too_large_is_refused_by_name() -> None:
    with pytest.raises((LimitError, KernelRefusedError), match=r"creating the map `huge` \(1048576 x 1048576 bytes\)"):
        Map.create(MapSpec("huge", MapType.ARRAY, 4, 1 << 20, 1 << 20))


def test_a_forgotten_map_is_collected() -> None:
    before = len(os.listdir("/proc/self/fd"))
    Map.create(ARRAY)
    assert len(os.listdir("/proc/self/fd")) == before


def test_too_many_descriptors_are_a_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, hard))
    try:
        with pytest.raises(LimitError, match="EMFILE") as caught:
            [Map.create(ARRAY) for _ in range(4)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "ulimit -n" in str(caught.value.hint)


def test_pinning(tmp_path_factory: pytest.TempPathFactory) -> None:
    """In a BPF file system of the test's own."""
    place = tmp_path_factory.mktemp("bpf")
    subprocess.run(["mount", "-t", "bpf", "pfqt", place], check=True)
    try:
        with Map.create(ARRAY) as array:
            sys.obj_pin(array.fd, f"{place}/array")
            number = array.id
        with sys.obj_get(f"{place}/array") as again, sys.fd_by_id(Kind.MAP, number) as same:
            assert sys.map_lookup(again.fileno(), bytes(4), 12) == sys.map_lookup(same.fileno(), bytes(4), 12)
        with pytest.raises(KernelRefusedError, match=r"opening .*/nothing failed: .*ENOENT"):
            sys.obj_get(f"{place}/nothing")
    finally:
        subprocess.run(["umount", place], check=True)
    assert eventually(lambda: number not in sys.ids(Kind.MAP))
    with pytest.raises(KernelRefusedError, match=rf"map with id {number} failed: .*ENOENT"):
        sys.fd_by_id(Kind.MAP, number)
