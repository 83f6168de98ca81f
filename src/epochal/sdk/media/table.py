"""Tables: rows of named columns, with media in their cells."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from epochal.errors import UsageError
from epochal.sdk.histogram import Histogram
from epochal.sdk.media.base import MediaFolder, StoredMedia, as_media
from epochal.sdk.values import tidy

DEFAULT_COLUMNS = ("Input", "Output", "Expected")
_MODES = ("IMMUTABLE", "MUTABLE", "INCREMENTAL")
# JSON knows neither NaN nor infinities: they become texts that every reader of numbers takes back.
_encode = msgspec.json.Encoder().encode


class Table(StoredMedia):
    """A table that is stored whole each time it is logged.

    Args:
        columns: names; the columns of `dataframe`, or Input, Output and Expected, if None.
        data: rows, each with one cell a column.
        rows: another name of `data`.
        dataframe: of pandas, in place of `data`.
        dtype, optional, allow_mixed_types: accepted; cells keep the types they have.
        log_mode: `IMMUTABLE`, `MUTABLE` or `INCREMENTAL`; accepted: every logged state is kept.

    Raises:
        UsageError: a row has another number of cells than there are columns, or an unknown mode.
    """

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        data: Sequence[Sequence[object]] | None = None,
        rows: Sequence[Sequence[object]] | None = None,
        dataframe: Any = None,  # noqa: ANN401  of a library we do not import
        dtype: object = None,
        optional: object = True,
        allow_mixed_types: bool = False,
        log_mode: str | None = "IMMUTABLE",
    ) -> None:
        del dtype, optional, allow_mixed_types
        if log_mode is not None and log_mode not in _MODES:
            raise UsageError(f"log_mode is one of {', '.join(_MODES)}, not {log_mode!r}")
        if dataframe is None and hasattr(data, "columns") and hasattr(data, "itertuples"):
            dataframe, data = data, None
        if dataframe is not None:
            columns = [str(c) for c in dataframe.columns] if columns is None else columns
            data = [list(row) for row in dataframe.itertuples(index=False, name=None)]
        self.columns: list[str] = [str(c) for c in (DEFAULT_COLUMNS if columns is None else columns)]
        self.data: list[list[object]] = []
        for row in data if data is not None else rows if rows is not None else ():
            self.add_data(*row)

    def add_data(self, *cells: object) -> None:
        """Add a row.

        Raises:
            UsageError: it does not have one cell a column.
        """
        if len(cells) != len(self.columns):
            raise UsageError(
                f"a row of this table has {len(self.columns)} cells, not {len(cells)}: "
                f"{', '.join(self.columns)}"
            )
        self.data.append(list(cells))

    def add_row(self, *row: object) -> None:
        """Add a row, given as one list or as its cells."""
        if len(row) == 1 and isinstance(row[0], (list, tuple)):
            row = tuple(row[0])
        self.add_data(*row)

    def add_column(self, name: str, data: Sequence[object]) -> None:
        """Add a column on the right.

        Raises:
            UsageError: the name is taken, or there is not one value a row.
        """
        values = list(data)
        if name in self.columns:
            raise UsageError(f"the table has a column {name!r} already")
        if self.data and len(values) != len(self.data):
            raise UsageError(f"a column of this table has {len(self.data)} values, not {len(values)}")
        self.columns.append(name)
        self.data = self.data or [[] for _ in values]
        for row, value in zip(self.data, values, strict=True):
            row.append(value)

    def add_computed_columns(self, fn: Any) -> None:  # noqa: ANN401  fn(index, row as a map) -> map of new cells
        """Add the columns that `fn` returns for each row, called with its index and its cells by name."""
        added = [fn(index, dict(zip(self.columns, row, strict=True))) for index, row in enumerate(self.data)]
        for name in added[0] if added else ():
            self.add_column(str(name), [cells[name] for cells in added])

    def get_column(self, name: str, convert_to: str | None = None) -> object:
        """Return the values of a column as a list, or as a numpy array if `convert_to` is `numpy`.

        Raises:
            UsageError: there is no such column, or another conversion is asked for.
        """
        if name not in self.columns:
            raise UsageError(f"the table has no column {name!r}; it has {', '.join(self.columns)}")
        index = self.columns.index(name)
        values = [row[index] for row in self.data]
        if convert_to is None:
            return values
        if convert_to != "numpy":
            raise UsageError(f"convert_to is None or 'numpy', not {convert_to!r}")
        import numpy as np

        return np.array(values)

    def get_dataframe(self) -> object:
        """Return the table as a DataFrame of pandas."""
        pandas = importlib.import_module("pandas")
        return pandas.DataFrame(self.data, columns=self.columns)

    def iterrows(self) -> Iterator[tuple[int, list[object]]]:
        """Yield the index and the cells of each row."""
        yield from enumerate(self.data)

    def get_index(self) -> list[int]:
        """Return the indices of all rows."""
        return list(range(len(self.data)))

    def store(self, folder: MediaFolder, key: str, step: int) -> dict[str, object]:
        cells = [[_cell(value, folder, key, step) for value in row] for row in self.data]
        content = _encode({"columns": self.columns, "data": cells})
        stored = folder.write("tables", key, step, ".table.json", content)
        return {"_type": "table-file", **stored, "ncols": len(self.columns), "nrows": len(cells)}


def _cell(value: object, folder: MediaFolder, key: str, step: int) -> object:
    media = as_media(value)
    if isinstance(media, Histogram):
        return media.to_map()
    if media is not None:
        return media.store(folder, key, step)
    return _finite(tidy(value))


def _finite(value: object) -> object:
    if isinstance(value, float) and value - value != 0:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return {k: _finite(v) for k, v in value.items()} if isinstance(value, dict) else value
