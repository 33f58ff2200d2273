"""Clients that are processes of their own and say which numbered packets they got, and what ended them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

SECONDS = 60.0
CODE = f"""
import json, sys, time
sys.path[:0] = {sys.path!r}
import numpy as np
import pfq
engine = pfq.connect(sys.argv[1])
endpoint = engine.endpoint(snaplen=64, slots=int(sys.argv[3]))
engine.group(int(sys.argv[2])).join(endpoint)
count = int(sys.argv[4])
print("reading", flush=True)
found, ended = [np.zeros(0, np.int64)], None
end = time.monotonic() + {SECONDS}
while sum(map(len, found)) < count and time.monotonic() < end:
    try:
        batch = endpoint.reader.read(timeout=1)
    except pfq.PfqError as error:
        ended = type(error).__name__, error.message, time.time()
        break
    if batch is not None:
        with batch:
            found.append(np.array(batch.data[:, 14:18]).view(">u4")[:, 0].astype(np.int64))
numbers = np.concatenate(found)
told = {{"count": len(numbers), "different": len(np.unique(numbers)), "ended": ended}}
print(json.dumps(told | {{"lost": endpoint.statistics().lost if ended is None else None}}), flush=True)
"""


@dataclass
class Reading:
    """A client that reads a group until it has as many packets, or an error."""

    path: Path
    group: int
    count: int
    slots: int = 1 << 17
    process: subprocess.Popen[str] = field(init=False, repr=False)

    def __enter__(self) -> Self:
        words = (self.path, self.group, self.slots, self.count)
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE, *map(str, words)], stdout=subprocess.PIPE, text=True
        )
        assert self._output.readline() == "reading\n"
        return self

    @property
    def _output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def told(self) -> dict[str, Any]:
        """What it says at its end."""
        found: dict[str, Any] = json.loads(self._output.readline())
        return found

    def is_asleep(self) -> bool:
        """Whether it waits for packets, now or in a moment."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        end = time.monotonic() + 5
        while time.monotonic() < end and stat.read_text().rpartition(")")[2].split()[0] != "S":
            time.sleep(0.01)
        return True

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        self._output.close()
