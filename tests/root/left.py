"""What a test left in the kernel: BPF programs, maps and links, and network namespaces."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from root.network import NETNS_DIR, PREFIX

from pfq.errors import KernelRefusedError
from pfq.kernel import abi, sys
from pfq.kernel.sys import Kind

OUR_PROGRAMS = (abi.ProgramType.XDP, abi.ProgramType.SCHED_CLS)
OUR_LINKS = (abi.LinkType.XDP, abi.LinkType.TCX)


@dataclass(frozen=True)
class Snapshot:
    objects: frozenset[tuple[Kind, int]]
    namespaces: frozenset[str]


def snapshot() -> Snapshot:
    objects = {(kind, number) for kind in Kind for number in sys.ids(kind)}
    names = os.listdir(NETNS_DIR) if NETNS_DIR.exists() else []
    return Snapshot(frozenset(objects), frozenset(names))


def left_since(before: Snapshot, seconds: float = 1.0) -> list[str]:
    """Descriptions of all that appeared since `before` and is still there after some time.

    The kernel frees objects some time after their last user is gone. What is left for good is there
    at every look, while other processes' short-lived objects are not.
    """
    end = time.monotonic() + seconds
    left = _look(before)
    while left and time.monotonic() < end:
        time.sleep(0.02)
        left = [text for text in _look(before) if text in left]
    return left


def _look(before: Snapshot) -> list[str]:
    """Descriptions of all that appeared since `before` and is not the business of another process."""
    now = snapshot()
    theirs = _held_by_others()
    objects = [_describe(*found) for found in now.objects - before.objects - theirs]
    names = [f"namespace {name}" for name in now.namespaces - before.namespaces if not _is_of_another_run(name)]
    return sorted(text for text in [*objects, *names] if text)


def _is_of_another_run(name: str) -> bool:
    return bool(re.match(r"pfqt\d+-", name)) and not name.startswith(PREFIX)


def _describe(kind: Kind, number: int) -> str | None:
    """One line, or None when it has just gone or is of a type that PFQ does not make."""
    try:
        with sys.fd_by_id(kind, number) as fd:
            if kind is Kind.LINK:
                link = sys.info(fd.fileno(), abi.LinkInfo)
                return f"link {number} of program {link.prog_id}" if link.type in OUR_LINKS else None
            if kind is Kind.MAP:
                return f"map {number} `{sys.info(fd.fileno(), abi.MapInfo).name.decode()}`"
            program = sys.info(fd.fileno(), abi.ProgramInfo)
            return f"program {number} `{program.name.decode()}`" if program.type in OUR_PROGRAMS else None
    except KernelRefusedError:
        return None


def _held_by_others() -> frozenset[tuple[Kind, int]]:
    """Objects that processes outside this test run have open."""
    held = set()
    words = {"prog_id": Kind.PROGRAM, "map_id": Kind.MAP, "link_id": Kind.LINK}
    for process in Path("/proc").glob("[0-9]*"):
        if _is_ours(process):
            continue
        try:
            texts = [path.read_text() for path in (process / "fdinfo").iterdir()]
        except OSError:
            continue
        for text in texts:
            for word, number in re.findall(r"^(prog_id|map_id|link_id):\s*(\d+)", text, re.MULTILINE):
                held.add((words[word], int(number)))
    return frozenset(held)


def _is_ours(process: Path) -> bool:
    """This process, a descendant of it, or one that a test started and left behind."""
    mark = f"PFQT_RUN={os.getpid()}".encode()
    try:
        return mark in (process / "environ").read_bytes().split(b"\0") or str(os.getpid()) in _ancestry(process)
    except OSError:  # it has ended
        return False


def _ancestry(process: Path) -> Iterator[str]:
    number = process.name
    while number != "0":
        yield number
        status = (process.parent / number / "status").read_text()
        number = re.findall(r"^PPid:\s*(\d+)", status, re.MULTILINE)[0]
