"""Flows as a Parquet file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from pfq.cli.flowing.outputs import STDOUT, FlowOutput
from pfq.columns.packages import package
from pfq.errors import FileAccessError
from pfq.flow.batch import FlowBatch, joined

if TYPE_CHECKING:
    from pfq.columns.records import Array

ROW_GROUP: Final = 1 << 16
"""Flows that are gathered before they are written to a Parquet file: small groups of rows make it large and slow."""


class Parquet(FlowOutput):
    """A Parquet file, through PyArrow; whole only when it is closed."""

    def __init__(self, path: str) -> None:
        """Raises MachineError without PyArrow, FileAccessError when the file cannot be created."""
        self._arrow = package("pyarrow", "arrow")
        parquet = package("pyarrow.parquet", "arrow")
        schema = self._arrow.schema(joined([]))
        try:
            self._writer: Any = parquet.ParquetWriter(sys.stdout.buffer if path == STDOUT else path, schema)
        except OSError as error:
            raise FileAccessError(f"cannot create {path}: {error.strerror or error}") from None

        self._pieces: list[Array] = []
        self._count = 0

    def write(self, batch: FlowBatch) -> None:
        self._pieces.append(batch.array)
        self._count += len(batch)
        if self._count >= ROW_GROUP:
            self._write_group()

    def close(self) -> None:
        try:
            self._write_group()
        finally:
            self._writer.close()

    def _write_group(self) -> None:
        table = self._arrow.table(joined(self._pieces))
        self._pieces, self._count = [], 0
        if len(table):
            self._writer.write_table(table)
