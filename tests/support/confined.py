"""Work in a child process, which may give up what the test still needs."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def in_child(work: Callable[[], T]) -> T:
    """The result of the work; fails with the child's traceback."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, pickle.dumps((True, work())))
        except BaseException:
            os.write(writing, pickle.dumps((False, traceback.format_exc())))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert said, "the child died"
    worked, found = pickle.loads(said)
    assert worked, found
    return found  # type: ignore[no-any-return]


def status(pid: int | str, *names: str) -> dict[str, str]:
    """Lines of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {name: found[name] for name in names}


def children(pid: int) -> list[int]:
    """The processes that one has forked and that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(path.parent.name))
    return sorted(found)
