"""Names of objects in a BPF file system."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from root.network import PREFIX

from pfq.codegen.spec import MMAPABLE, MapSpec, MapType
from pfq.errors import KernelRefusedError, StateError
from pfq.kernel.maps import Map
from pfq.kernel.pins import Pins

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

SPEC = MapSpec("pinned", MapType.ARRAY, 4, 8, 1, flags=MMAPABLE)


@pytest.fixture
def path() -> Iterator[Path]:
    found = Path(f"/sys/fs/bpf/{PREFIX}kernel")
    yield found
    if found.exists():
        for pin in found.iterdir():
            pin.unlink()
        found.rmdir()


def test_objects_have_names(path: Path) -> None:
    with closing(Pins(path)) as pins:
        with Map.create(SPEC) as table:
            table.update(0, b"12345678")
            pins.pin(table.fd, "one")
            with pytest.raises(KernelRefusedError, match=rf"pinning to `{path}/one` failed: .*EEXIST"):
                pins.pin(table.fd, "one")
        assert pins.names() == {"one"}
        with Map(SPEC, pins.open("one")) as again:
            assert again.lookup(0) == b"12345678"
        pins.remove_directory()
        assert path.exists(), "there is a name in it"
        pins.remove("one")
        pins.remove("one")
        with pytest.raises(KernelRefusedError, match=rf"opening `{path}/one` failed: .*ENOENT"):
            pins.open("one")
        pins.remove_directory()
        assert not path.exists()


def test_C9_a_file_system_over_it_hides_nothing_from_who_has_it(path: Path) -> None:
    with closing(Pins(path)) as pins, Map.create(SPEC) as table:
        pins.pin(table.fd, "one")
        subprocess.run(["mount", "-t", "bpf", "test", str(path)], check=True)
        try:
            assert not pins.is_visible()
            assert pins.names() == {"one"}
            pins.pin(table.fd, "two")
            with closing(Pins(path)) as others:
                assert others.identity != pins.identity
                assert others.names() == set()
        finally:
            subprocess.run(["umount", str(path)], check=True)
        assert pins.is_visible()
        assert pins.names() == {"one", "two"}


def test_one_process_has_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pfq.kernel.pins.LOCK_SECONDS", 0.1)
    with closing(Pins(path)), pytest.raises(StateError, match=f"another process holds `{path}`"):
        Pins(path)
    Pins(path).close()


@pytest.mark.parametrize("inside", ["", "not/yet/there"])
def test_other_file_systems_are_refused(tmp_path: Path, inside: str) -> None:
    with pytest.raises(StateError, match="is not in a BPF file system"):
        Pins(tmp_path / inside)
    assert not list(tmp_path.iterdir())
