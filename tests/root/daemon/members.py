"""Readers of groups that are processes of their own, in Python and in C."""

from __future__ import annotations

import atexit
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from root.daemon.process import Pfqd
from support.documents import ROOT

SECONDS = 30.0

IN_PYTHON = """
import json, signal, sys
from collections import Counter
import pfq
engine = pfq.connect(sys.argv[1])
endpoint = engine.endpoint(snaplen=128, slots=int(sys.argv[3]), weight=int(sys.argv[4]))
group = engine.group(int(sys.argv[2]))
group.join(endpoint)
flows = Counter()
ended = []
signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
def told():
    about = {"endpoint": endpoint.number, "packets": sum(flows.values()), "lost": endpoint.statistics().lost}
    print(json.dumps(about), flush=True)
told()
while (batch := endpoint.reader.read(timeout=0.05)) is not None or not ended:
    if batch is not None:
        flows.update(batch.flow_hash.tolist())
    if ended == [signal.SIGTERM]:
        group.leave(endpoint)
        ended.append(None)
told()
for each in flows.items():
    print(json.dumps(dict(zip(("hash", "packets"), each))))
"""


@cache
def program_in_c() -> str | None:
    """`examples/c/capture.c`, compiled; None: there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="pfqt-"))
    atexit.register(shutil.rmtree, folder)
    made = folder / "capture"
    sources = [str(ROOT / "examples/c/capture.c"), *map(str, sorted((ROOT / "native/src").glob("*.c")))]
    words = [compiler, "-std=c11", "-O1", f"-I{ROOT}/native/include", *sources, "-pthread", "-o", str(made)]
    subprocess.run(words, check=True)
    return str(made)


@dataclass
class Member:
    """A process that reads a group. It says which end-point it has, and at its end which flows it had.

    flows  packets by hash, once it has finished
    """

    process: subprocess.Popen[str] = field(repr=False)
    number: int = -1
    flows: Counter[int] = field(default_factory=Counter)
    lost: int = 0

    @property
    def _output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def ready(self) -> Self:
        """Waits until it has joined."""
        line = self._output.readline()
        assert line, "a reader has ended early"
        self.number = json.loads(line)["endpoint"]
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)

    def finish(self) -> Counter[int]:
        """Ends it; it has read all that was there."""
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=SECONDS)
        records: list[dict[str, Any]] = [json.loads(line) for line in said.splitlines()]
        self.lost = next(each["lost"] for each in reversed(records) if "lost" in each)
        self.flows.update({each["hash"]: each["packets"] for each in records if "hash" in each})
        assert self.process.returncode == 0
        return self.flows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        with self.process:
            pass


def python_member(daemon: Pfqd, group: int, *, slots: int = 8192, weight: int = 1) -> Member:
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{IN_PYTHON}"
    return _member([sys.executable, "-c", code, str(daemon.path), str(group), str(slots), str(weight)])


def c_member(daemon: Pfqd, group: int) -> Member:
    """The same in C where there is a compiler, otherwise in Python."""
    program = program_in_c()
    if program is None:
        return python_member(daemon, group)
    return _member([program, "-s", str(daemon.path), "-f", str(group)])


def _member(command: Sequence[str]) -> Member:
    return Member(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
