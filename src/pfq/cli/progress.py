"""A progress bar on standard error, for jobs that take longer than a moment, and on terminals only."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

MOMENT_S: Final = 0.5
"""A job that is done by then shows nothing."""
PERIOD_S: Final = 0.1


class ProgressBar:
    """How much of the input is read, with rate and time left.

    wanted  something is shown, once a moment has passed
    """

    def __init__(self, what: str, total: int | None, wanted: bool) -> None:
        """what: stands in front of the bar; total: bytes, None when nobody knows; wanted: False shows nothing."""
        self._what, self._total = what, total
        self.wanted = wanted and sys.stderr.isatty()
        self._begun = time.monotonic()
        self._next = self._begun + MOMENT_S
        self._bar: Progress | None = None
        self._task: TaskID

    def __call__(self, done: int, packets: int) -> None:
        """Bytes and packets read until now; may be called as often as one likes."""
        now = time.monotonic()
        if not self.wanted or now < self._next:
            return
        self._next = now + PERIOD_S
        if self._bar is None:
            self._bar = _bar()
            self._task = self._bar.add_task(self._what, total=self._total, rate="")
            self._bar.start()
        rate = rates(done, packets, now - self._begun)
        self._bar.update(self._task, completed=done, rate=rate, refresh=True)

    def close(self) -> None:
        """Takes the bar away; what is printed next begins where it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self.wanted = False


def rates(done: int, packets: int, seconds: float) -> str:
    """Packets and bytes a second: `12.3 Mpps  830 MB/s`."""
    return f"{scaled(packets / seconds)}pps  {scaled(done / seconds)}B/s"


def scaled(number: float) -> str:
    """Three digits and a unit of 1000, as in `12.3 M`."""
    for unit in ("", "k", "M"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} G" if number < 999.5 else f"{number:.0f} G"


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
