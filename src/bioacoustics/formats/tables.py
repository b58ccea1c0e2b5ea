"""Tables: write rows as they come to one CSV or Parquet file, which appears whole or not at all."""

import csv
import io
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from bioacoustics.audio.writing import atomic_write

Cell = str | int | float | None

SUFFIXES = (".csv", ".parquet")


def check_ending(path: Path) -> None:
    """Refuse a table that cannot be written, before hours of work for it.

    Raises:
        ValueError: The ending says no kind of table that we write.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{path}: tables are written as {' or '.join(SUFFIXES)}; choose one of these endings"
        )


class TableWriter:
    """Writes batches of rows to `path` (.csv or .parquet); the file takes its name when the writer closes.

    Use it as a context manager: an error inside leaves an older file of that name untouched.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        check_ending(path)
        self.path = path
        self.schema = schema
        self.num_rows = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        if path.suffix.lower() == ".csv":
            self._writer = pa.csv.CSVWriter(str(self._part), schema)
        else:
            self._writer = pa.parquet.ParquetWriter(str(self._part), schema)

    def write(self, columns: Mapping[str, Sequence[object] | pa.Array]) -> None:
        """Append one batch of rows, given column by column."""
        batch = pa.Table.from_pydict(dict(columns), schema=self.schema)
        self._writer.write_table(batch)
        self.num_rows += batch.num_rows

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()
        if kind is None:
            self._part.replace(self.path)
        else:
            self._part.unlink(missing_ok=True)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a small CSV table at once, whole or not at all; None is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
