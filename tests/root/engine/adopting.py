"""Engines that are killed while packets flow, and those that take over; and readers that live through it."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from root.network import PREFIX, Pair

from pfq.engine.endpoint import Endpoint
from pfq.engine.engine import Engine
from pfq.engine.store import Store
from pfq.kernel.attach import Link
from pfq.ring.reader import Reader

DEATH = """
from pathlib import Path
from pfq.engine.engine import Engine
from pfq.engine.store import Store
import time
engine = Engine(store=Store(Path({pins!r}), Path({state!r})))
{body}
print("ready", flush=True)
time.sleep(60)
"""
BODY = """
group = engine.group()
group.bind("pfqt-b", hook={hook!r})
group.set_program("inc 0 >-> steer_flow")
for number in range(3):
    group.join(engine.endpoint(snaplen=96, slots=4096, weight=number + 1, tag=f"member {{number}}"))
"""
"""A group with three members."""


class Place:
    """Where engines of a test leave what they leave."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        self.pair = pair
        self.pins = Path(f"/sys/fs/bpf/{PREFIX}pins")
        self.state = folder / "state.json"

    def store(self) -> Store:
        return Store(self.pins, self.state)

    @contextmanager
    def dying(self, body: str, how: signal.Signals = signal.SIGKILL) -> Iterator[None]:
        """An engine of another process that has done `body`; it is killed at the end."""
        code = "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n" + DEATH.format(
            pins=str(self.pins), state=str(self.state), body=body
        )
        with self.pair.b.python(code) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield
            child.send_signal(how)
            child.wait()

    def engine(self) -> Engine:
        """The next one, in this process; closed, it takes everything down."""
        return self.pair.b.call(lambda: Engine(store=self.store()))

    def was_removed(self) -> bool:
        return not self.pins.exists() and not self.state.exists() and not any(self.state.parent.iterdir())


@contextmanager
def place(pair: Pair) -> Iterator[Place]:
    """Nothing stays behind, whatever happens."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        found = Place(pair, Path(folder))
        try:
            yield found
        finally:
            if found.pins.exists():
                found.pair.b.call(lambda: found.store().remove())


def read_elsewhere(endpoint: Endpoint, seconds: float) -> subprocess.Popen[str]:
    """A process that has nothing but the descriptors of an end-point; prints what came, when nothing came for long."""
    shape, fds = endpoint.rings.shape, endpoint.rings.descriptors
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
import numpy as np
from pfq.ring.reader import Reader
*rings, consumer, doorbell = {fds!r}
reader = Reader(rings, consumer, slots={shape.slots}, slot_bytes={shape.slot_bytes}, doorbell_fd=doorbell)
print("reading", flush=True)
found = []
while (batch := reader.read(timeout={seconds})) is not None:
    with batch:
        found.append(np.array(batch.data[:, 14:18]).view(">u4")[:, 0].astype(np.int64))
print(*np.concatenate(found) if found else "", flush=True)
"""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, pass_fds=fds)


def numbers_of(process: subprocess.Popen[str]) -> Any:
    """What a process has read, in order."""
    assert process.stdout is not None
    line = process.stdout.readline()
    process.wait()
    process.stdout.close()
    return np.sort(np.array(line.split(), np.int64))


def drained(reader: Reader) -> list[int]:
    """The numbers of the packets that are there now."""
    found: list[int] = []
    while (batch := reader.read(timeout=0)) is not None:
        with batch:
            found += np.array(batch.data[:, 14:18]).view(">u4")[:, 0].tolist()
    return found


def links(engine: Engine) -> list[int]:
    """Numbers of the links that an engine has."""
    return [side.attachment.id for side in engine.sides.values() if isinstance(side.attachment, Link)]
