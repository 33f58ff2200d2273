"""Where flows go: a table, CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import json
import sys
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, TextIO

import numpy as np

from pfq.cli.flowing.text import FIELDS, HEADINGS, line, rows, values
from pfq.cli.output import print_table
from pfq.errors import FileAccessError, UsageError
from pfq.flow.batch import FLOW_DTYPE, FlowBatch

if TYPE_CHECKING:
    from pfq.columns.records import Array

_SUFFIXES: Final = {".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
STDOUT: Final = "-"


class FlowOutput(ABC):
    """Takes flows in batches. To be closed when all went well."""

    @abstractmethod
    def write(self, batch: FlowBatch) -> None:
        """Takes flows that have ended."""

    def flush(self) -> None:  # noqa: B027 - most have nothing to do
        """What was taken can be seen by others now."""

    @abstractmethod
    def close(self) -> None:
        """No more flows will come."""


class Opened:
    """The file that is written, or standard output."""

    def __init__(self, path: str | None) -> None:
        self._undo = ExitStack()
        self.text: TextIO = sys.stdout
        if path is not None and path != STDOUT:
            try:
                self.text = self._undo.enter_context(open(path, "w", encoding="utf-8", newline=""))  # noqa: SIM115
            except OSError as error:
                raise FileAccessError(f"cannot create {path}: {error.strerror}") from None

    def close(self) -> None:
        """Closes the file; standard output stays open."""
        self.text.flush()
        self._undo.close()


class Lines(FlowOutput):
    """A line on standard output for each flow, as it ends."""

    def __init__(self) -> None:
        print(line(HEADINGS))

    def write(self, batch: FlowBatch) -> None:
        for row in rows(batch):
            print(line(row))

    def flush(self) -> None:
        sys.stdout.flush()

    def close(self) -> None:
        self.flush()


class Table(FlowOutput):
    """A table, printed at the end: those with most bytes first."""

    def __init__(self, top: int | None) -> None:
        self._top = top
        self._kept: Array = np.empty(0, FLOW_DTYPE)
        self._pieces: list[Array] = []
        self._count = 0

    def write(self, batch: FlowBatch) -> None:
        self._pieces.append(batch.array)
        self._count += len(batch)
        if self._top is not None and self._count > 8 * self._top:
            self._gather()

    def close(self) -> None:
        self._gather()
        print_table("flows", HEADINGS, list(rows(FlowBatch(self._kept))))

    def _gather(self) -> None:
        """Sorts what is kept, and leaves out what does not belong to the top."""
        found = np.concatenate([self._kept, *self._pieces])
        total = found["bytes"] + found["bytes_back"]
        order = np.argsort(np.uint64(0xFFFF_FFFF_FFFF_FFFF) - total, kind="stable")  # equals stay in their order
        self._kept, self._pieces, self._count = found[order[: self._top]], [], 0


class Csv(FlowOutput):
    """A line of names, then one for each flow, as it ends."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._writer = csv.writer(opened.text, lineterminator="\n")
        self._writer.writerow(FIELDS)

    def write(self, batch: FlowBatch) -> None:
        self._writer.writerows(values(batch))

    def flush(self) -> None:
        self._opened.text.flush()

    def close(self) -> None:
        self._opened.close()


class Json(FlowOutput):
    """An object for each flow, on a line of its own, as it ends."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    def write(self, batch: FlowBatch) -> None:
        for row in values(batch):
            record = {"type": "flow"} | dict(zip(FIELDS, row, strict=True))
            self._opened.text.write(json.dumps(record) + "\n")

    def flush(self) -> None:
        self._opened.text.flush()

    def close(self) -> None:
        self._opened.close()


def format_of(wanted: str | None, path: str | None, as_json: bool) -> str:
    """The format asked for, or that of the file's name; a table unless something else is said."""
    if as_json and wanted not in (None, "json"):
        raise UsageError(f"--json and --format {wanted} say different things", hint="give one of them")
    if as_json or wanted is not None:
        return wanted or "json"
    return _SUFFIXES.get(PurePath(path or "").suffix.lower(), "table")


def open_output(form: str, path: str | None, *, top: int | None, live: bool) -> FlowOutput:
    """An output of one of the formats of `pfq flows`. Raises FileAccessError, UsageError, MachineError."""
    if top is not None and (form != "table" or live):
        raise UsageError("--top is for the table of a file's flows", hint="leave it out")
    match form:
        case "table" if path not in (None, STDOUT):
            raise UsageError(
                f"a table goes to standard output, not to {path}",
                hint="for a file say --format csv, json or parquet, or give it a name that ends so",
            )
        case "table":
            return Lines() if live else Table(top)
        case "csv":
            return Csv(Opened(path))
        case "json":
            return Json(Opened(path))
        case _:
            if path is None:
                raise UsageError("Parquet goes to a file", hint="name it with -w; `-w -` is standard output")
            from pfq.cli.flowing.parquet import Parquet

            return Parquet(path)
