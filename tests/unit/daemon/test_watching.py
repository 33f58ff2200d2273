"""Files that are watched: every way to change one is noticed, and nothing else is."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pfq.daemon.watching import Files


@pytest.fixture
def files() -> Iterator[Files]:
    made = Files()
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "pfqd.toml"
    made.write_text("one")
    return made


def woken(files: Files) -> bool:
    return bool(select.select([files], [], [], 1)[0])


def rewrite(path: Path) -> None:
    path.write_text("another")


def replace(path: Path) -> None:
    new = path.with_name(".new")
    new.write_text("two")
    new.rename(path)


def as_vim_does(path: Path) -> None:
    path.rename(path.with_name("pfqd.toml~"))
    path.write_text("two")


@pytest.mark.parametrize("change", [rewrite, replace, as_vim_does, Path.unlink])
def test_changes(files: Files, path: Path, change: Callable[[Path], None]) -> None:
    files.watch([path])
    assert files.changed() == []
    change(path)
    assert woken(files)
    assert files.changed() == [path]
    assert files.changed() == []


def test_a_file_that_is_made_later(files: Files, tmp_path: Path) -> None:
    files.watch([tmp_path / "later.pfq"])
    (tmp_path / "later.pfq").write_text("unit")
    assert woken(files)
    assert files.changed() == [tmp_path / "later.pfq"]


def test_what_a_symbolic_link_stands_for(files: Files, path: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    link = tmp_path / "etc/pfqd.toml"
    link.symlink_to(path)
    files.watch([link])
    replace(path)
    assert woken(files)
    assert files.changed() == [link]


def test_others_in_the_folder_are_no_change(files: Files, path: Path) -> None:
    files.watch([path])
    path.with_name("other").write_text("x")
    path.read_text()
    os.utime(path, ns=(0, path.stat().st_mtime_ns))
    assert files.changed() == []


def test_a_change_between_reading_and_watching_again_counts(files: Files, path: Path) -> None:
    files.watch([path])
    rewrite(path)
    files.watch([path])
    assert files.changed() == [path]


def test_what_is_not_watched_any_more(files: Files, path: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    other = tmp_path / "sub/edge.pfq"
    files.watch([path, other])
    files.watch([path])
    assert files.changed() == []
    other.write_text("x")
    assert not select.select([files], [], [], 0)[0]
    assert files.changed() == []
    files.watch([path, tmp_path / "none/there"])
    assert files.changed() == []


def test_descriptors_are_given_back(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        made = Files()
        made.watch([path])
        made.close()
        made.close()
    assert len(os.listdir("/proc/self/fd")) == before
