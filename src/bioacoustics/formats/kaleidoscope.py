"""Kaleidoscope tables: the CSV that Wildlife Acoustics' viewer opens to page through detections."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath

from bioacoustics.audio.origins import later
from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.writing import atomic_write
from bioacoustics.data.events import Event, by_recording, plain_label
from bioacoustics.data.spreadsheets import Complaints, Row, read_table
from bioacoustics.formats.numbers import number_of, number_text

COLUMNS = (
    *("INDIR", "FOLDER", "IN FILE", "CHANNEL", "OFFSET", "DURATION", "Fmin", "Fmax", "DATE", "TIME", "HOUR"),
    *("AUTO ID*", "SCORE", "MANUAL ID"),
)
# What a person wrote comes before what a program wrote.
LABEL_COLUMNS = (
    *("manual id", "manual id*", "auto id*", "auto id", "top1match*", "top1match"),
    *("common_name", "scientific_name", "label"),
)
SCORE_COLUMNS = ("score", "confidence")


def write_kaleidoscope(
    events: Iterable[Event],
    recordings: Sequence[Recording],
    path: Path,
    *,
    starts: Mapping[str, datetime] | None = None,
) -> None:
    """Write one table for all recordings; MANUAL ID stays empty, for the reviewer.

    Args:
        events: what was heard.
        recordings: those that the events belong to.
        path: the table.
        starts: when recordings began, by relative path, for DATE, TIME and HOUR of each event.
    """
    recording_of = {recording.relative_path: recording for recording in recordings}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(HEADER.encode())
        for name, members in by_recording(events).items():
            for event in members:
                start = (starts or {}).get(name)
                moment = later(start, event.start_s) if start else None
                file.write(detection_line(event, recording_of[name], moment=moment).encode())


HEADER = ",".join(COLUMNS) + "\r\n"


def detection_line(
    event: Event, recording: Recording, *, moment: datetime | None = None, channel: int = 0
) -> str:
    """A line of a table; `moment` is when the event began, and channels count from 0."""
    name = PurePosixPath(event.recording)
    root = recording.path.absolute()
    for _ in name.parts:
        root = root.parent
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(
        [
            *(str(root), "" if str(name.parent) == "." else str(name.parent), name.name, channel),
            *(number_text(event.start_s), number_text(event.duration_s)),
            *("" if hz is None else number_text(hz) for hz in (event.low_hz, event.high_hz)),
            *((f"{moment:%Y-%m-%d}", f"{moment:%H:%M:%S}", moment.hour) if moment else ("", "", "")),
            *(event.label, "" if event.score is None else number_text(event.score), ""),
        ]
    )
    return text.getvalue()


def read_kaleidoscope(path: Path, *, label_column: str | None = None) -> list[Event]:
    """Read a table of Kaleidoscope's, or one that other programs write in its form.

    Without `label_column` a row's label is its MANUAL ID, or where that is empty its AUTO ID or TOP1MATCH.
    Rows without any label are passed over, as nobody has named them.

    Raises:
        FileNotFoundError: There is no such table.
        ValueError: It is no table of Kaleidoscope's, or cells cannot be read; each is named with its row.
    """
    table = read_table(path)
    missing = [name for name in ("in file", "offset", "duration") if name not in table.columns]
    wanted = [label_column.strip().lower()] if label_column else list(LABEL_COLUMNS)
    labels = [name for name in wanted if name in table.columns]
    if missing or not labels:
        what = f"no column {' and '.join(missing)}" if missing else "no column of labels"
        raise ValueError(
            f"{path}, row 1: {what}, so this is no table of Kaleidoscope's; "
            f"its columns are {', '.join(table.columns)}"
        )
    complaints = Complaints(path)
    events = []
    for row in table.rows:
        label = next((text for name in labels if (text := plain_label(row.cells[name]))), "")
        if label and (event := _event(row, label, complaints)) is not None:
            events.append(event)
    complaints.raise_if_any()
    return events


def _event(row: Row, label: str, complaints: Complaints) -> Event | None:
    cells = row.cells
    folder = cells.get("folder", "").replace("\\", "/").strip("/")
    name = f"{folder}/{cells['in file']}" if folder else cells["in file"]
    try:
        start_s = number_of(cells["offset"])
        bounds = [number_of(cells[key]) if cells.get(key) else None for key in ("fmin", "fmax")]
        has_band = None not in bounds
        return Event(
            recording=name,
            start_s=start_s,
            end_s=round(start_s + number_of(cells["duration"]), 6),
            label=label,
            low_hz=bounds[0] if has_band else None,
            high_hz=bounds[1] if has_band else None,
            score=next((number_of(cells[key]) for key in SCORE_COLUMNS if cells.get(key)), None),
        )
    except ValueError as error:
        complaints.add("an impossible row; correct or remove it", row.number, f"({error})")
        return None
