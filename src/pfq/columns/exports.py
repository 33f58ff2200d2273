"""Ways out that all tables have: the interfaces of Arrow, and data frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pfq.columns.arrow import ArrowStream, ArrowTable, Column
from pfq.columns.packages import package

if TYPE_CHECKING:
    import pandas
    import polars


class Streamed(ABC):
    """What any package that speaks Arrow can take as a table: `polars.DataFrame(it)`, `pyarrow.table(it)`."""

    @abstractmethod
    def to_arrow(self) -> ArrowTable | ArrowStream:
        """The table itself."""

    def __arrow_c_schema__(self) -> object:
        return self.to_arrow().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_polars(self) -> polars.DataFrame:
        """A data frame of Polars. Raises MachineError when that is not installed."""
        return polars_frame(self.to_arrow())


class Tabular(Streamed):
    """The same for a table that is in memory as a whole."""

    @abstractmethod
    def to_arrow(self) -> ArrowTable: ...

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self.to_arrow().__arrow_c_array__(requested_schema)


def polars_frame(table: ArrowTable | ArrowStream) -> polars.DataFrame:
    """Raises MachineError when Polars is not installed."""
    found: polars.DataFrame = package("polars", "polars").DataFrame(table)
    return found


def pandas_frame(columns: Mapping[str, Column]) -> pandas.DataFrame:
    """Raises MachineError when pandas is not installed."""
    pandas = package("pandas", "pandas")
    from pfq.columns.dataframe import frame

    return frame(pandas, dict(columns))
