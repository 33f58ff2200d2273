"""SQL over capture files, by DuckDB."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pfq.columns.packages import package
from pfq.errors import UsageError
from pfq.files.batch import FileReader, Source

if TYPE_CHECKING:
    import duckdb


def sql(
    query: str, paths: Source | Iterable[Source], *, columns: Iterable[str] | None = None
) -> duckdb.DuckDBPyRelation:
    """The result of a query over the table `packets`, which holds the packets of one file or several.

        pfq.sql("select src, sum(len) from packets group by 1", "x.pcap").fetchall()

    columns  those of the table, as for `FileBatch.to_arrow`; `data` is not among them unless it is named
    Returns DuckDB's relation: `fetchall()`, `df()`, `pl()`, `arrow()` or printing it reads the files, piece by piece.
    Raises UsageError, with DuckDB's sentence, when the query is wrong or gives no table, FileAccessError, and
    MachineError without DuckDB. A damaged file is an error of DuckDB's when it is read.
    """
    engine = package("duckdb", "sql")
    packets = FileReader(paths, columns=columns)
    connection = engine.connect()
    connection.register("packets", packets)
    try:
        relation: duckdb.DuckDBPyRelation | None = connection.sql(query)
    except engine.Error as error:
        raise UsageError(
            f"the query is wrong: {str(error).rstrip()}", hint=f"`packets` has {', '.join(packets.columns)}"
        ) from None
    if relation is None:
        raise UsageError("the query gives no table", hint="begin it with `select` or `from packets`")
    return relation
