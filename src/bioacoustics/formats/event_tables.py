"""Event tables: events as CSV or Parquet, for R, Python and spreadsheets."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from bioacoustics.audio.origins import iso_time, later
from bioacoustics.data.events import Event, by_recording, plain_label
from bioacoustics.data.spreadsheets import Complaints, read_table
from bioacoustics.formats.numbers import number_of
from bioacoustics.formats.tables import TableWriter, check_ending

SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("low_hz", pa.float64()),
        ("high_hz", pa.float64()),
        ("label", pa.string()),
        ("score", pa.float64()),
        ("start_time", pa.string()),
    ]
)
FILE_COLUMNS = ("file", "filename", "recording")
LABEL_COLUMNS = ("label", "labels")


def write_events(
    events: Iterable[Event], path: Path, *, starts: Mapping[str, datetime] | None = None
) -> None:
    """Write one row an event; `start_time` is ISO-8601 where it is known when the recording began."""
    members = [event for group in by_recording(events).values() for event in group]
    began = starts or {}
    moments = [
        later(began[event.recording], event.start_s) if event.recording in began else None
        for event in members
    ]
    with TableWriter(path, SCHEMA) as table:
        table.write(
            {
                "file": [event.recording for event in members],
                **{
                    name: [getattr(event, name) for event in members]
                    for name in ("start_s", "end_s", "low_hz", "high_hz", "label", "score")
                },
                "start_time": [iso_time(moment) for moment in moments],
            }
        )


def read_events(path: Path, *, label_column: str | None = None) -> list[Event]:
    """Read what `write_events` wrote, or any table with file, start_s, end_s and label, whatever else it has.

    Raises:
        FileNotFoundError: There is no such table.
        ValueError: A column is missing, or a cell cannot be read; each is named with its row.
    """
    check_ending(path)
    columns, rows = _rows_of_parquet(path) if path.suffix.lower() == ".parquet" else _rows_of_csv(path)
    file_column = next((name for name in FILE_COLUMNS if name in columns), None)
    wanted = (label_column.strip().lower(),) if label_column else LABEL_COLUMNS
    labels = next((name for name in wanted if name in columns), None)
    if file_column is None or labels is None or not {"start_s", "end_s"} <= set(columns):
        raise ValueError(
            f"{path}, row 1: the columns are {', '.join(columns)}, but file, start_s, end_s and "
            f"{label_column or 'label'} are needed"
        )
    complaints = Complaints(path)
    events = []
    for number, cells in rows:
        try:
            values = {
                name: number_of(cells[name]) if cells.get(name) else None
                for name in ("start_s", "end_s", "low_hz", "high_hz", "score")
            }
            events.append(
                Event(
                    recording=cells[file_column].replace("\\", "/"),
                    start_s=_given(values["start_s"]),
                    end_s=_given(values["end_s"]),
                    label=plain_label(cells[labels]),
                    low_hz=values["low_hz"],
                    high_hz=values["high_hz"],
                    score=values["score"],
                )
            )
        except ValueError as error:
            complaints.add("an impossible event; correct or remove the row", number, f"({error})")
    complaints.raise_if_any()
    return events


def _given(value: float | None) -> float:
    if value is None:
        raise ValueError("start_s and end_s must not be empty")
    return value


def _rows_of_csv(path: Path) -> tuple[list[str], list[tuple[int, Mapping[str, str]]]]:
    table = read_table(path)
    return list(table.columns), [(row.number, row.cells) for row in table.rows]


def _rows_of_parquet(path: Path) -> tuple[list[str], list[tuple[int, Mapping[str, str]]]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; give the path of a table of events")
    table = pa.parquet.read_table(path)
    texts = [
        {name.lower(): "" if value is None else str(value) for name, value in row.items()}
        for row in table.to_pylist()
    ]
    return [name.lower() for name in table.column_names], list(enumerate(texts, start=2))
