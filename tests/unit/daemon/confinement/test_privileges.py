"""Giving up rights, in a child each."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from support.confined import in_child, status

from pfq.daemon.confinement import landlock
from pfq.daemon.confinement.privileges import drop
from pfq.errors import InternalError, NoPrivilegeError, UsageError

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
NEEDED = "000000c000001000"
"""CAP_NET_ADMIN, CAP_PERFMON and CAP_BPF."""


@is_root
@pytest.mark.parametrize("user", [None, "nobody"])
def test_U15_what_is_left(user: str | None) -> None:
    def work() -> tuple[str, dict[str, str]]:
        confined = str(drop(user))
        return confined, status(
            "self", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid"
        )

    text, found = in_child(work)
    nothing = "0" * 16
    assert (found["CapPrm"], found["CapEff"], found["CapBnd"]) == (NEEDED,) * 3
    assert (found["CapInh"], found["CapAmb"]) == (nothing,) * 2
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert found["Uid"].split() == ["65534" if user else "0"] * 4
    assert text.startswith(f"confined as {user or 'root'} with CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON")


def test_U15_programs_cannot_be_run() -> None:
    def work() -> bool:
        drop()
        with pytest.raises(PermissionError):
            os.execv("/bin/true", ["true"])
        return True

    assert in_child(work)


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_U15_files_are_written_in_its_directories_only(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.write_text("old")

    def work() -> bool:
        drop(writable=[mine, tmp_path / "not there"])
        (mine / "new").write_text("x")
        (mine / "new").rename(mine / "file")
        for attempt in (
            lambda: other.write_text("x"),
            lambda: (tmp_path / "new").write_text("x"),
            other.unlink,
            lambda: other.rename(mine / "taken"),
            lambda: os.truncate(other, 0),
            lambda: (tmp_path / "folder").mkdir(),
        ):
            with pytest.raises(PermissionError):
                attempt()
        with open("/dev/null", "w") as nothing:
            nothing.write("x")
        return other.read_text() == "old"

    assert in_child(work)


def test_threads_that_come_later_have_no_more_rights() -> None:
    def work() -> dict[str, str]:
        drop()
        found: dict[str, str] = {}
        thread = threading.Thread(target=lambda: found.update(status("thread-self", "NoNewPrivs", "Seccomp")))
        thread.start()
        thread.join()
        return found

    assert in_child(work) == {"NoNewPrivs": "1", "Seccomp": "2"}


def test_threads_that_are_there_already_would_keep_theirs() -> None:
    def work() -> str:
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        try:
            drop()
        except InternalError as error:
            return error.message
        finally:
            stop.set()
        return "dropped"

    assert in_child(work) == "rights are given up before threads start"


def test_unknown_users() -> None:
    with pytest.raises(UsageError, match="there is no user `never-heard-of`") as caught:
        drop("never-heard-of")
    assert "useradd" in str(caught.value.hint)


@is_root
def test_only_root_can_become_somebody_else() -> None:
    def work() -> str:
        os.setresuid(65534, 65534, 65534)
        with pytest.raises(NoPrivilegeError) as caught:
            drop("root")
        return caught.value.message

    assert in_child(work) == "cannot become the user `root`"


def test_no_core_and_no_look_from_outside() -> None:
    def work() -> int:
        drop()
        return os.stat("/proc/self/mem").st_uid

    assert in_child(work) == 0
