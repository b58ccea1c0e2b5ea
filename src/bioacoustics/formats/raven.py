"""Raven selection tables: read those with any label column, write those that open beside their sound."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.writing import atomic_write
from bioacoustics.data.events import Event, by_recording, plain_label
from bioacoustics.data.spreadsheets import Complaints, Row, Table, read_table
from bioacoustics.formats.numbers import number_of, number_text

SUFFIX = ".selections.txt"
COMBINED_NAME = f"all{SUFFIX}"
COLUMNS = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin File", "Begin Path", "File Offset (s)", "Label", "Score"),
)
# The first that a table has holds its labels, where nobody names another.
LABEL_COLUMNS = (
    *("label", "annotation", "annotations", "species", "species code", "common name", "common_name"),
    *("scientific name", "class", "category", "call type", "type", "tag", "tags", "id", "name"),
)
SCORE_COLUMNS = ("score", "confidence", "probability")
# What programs add to the name of the sound to name its table.
_TABLE_NAME = re.compile(
    r"(?:\.table\.\d+)?(?:\.birdnet)?\.selections?(?:\.table)?\.(?:txt|tsv|csv)$|\.(?:txt|tsv|csv)$",
    re.IGNORECASE,
)


def write_raven(events: Iterable[Event], recordings: Sequence[Recording], folder: Path) -> list[Path]:
    """Write one table for each recording that has events, `north/a.wav.selections.txt` for `north/a.wav`."""
    recording_of = {recording.relative_path: recording for recording in recordings}
    paths = []
    for name, members in by_recording(events).items():
        path = folder / f"{name}{SUFFIX}"
        _write(path, ((event, recording_of[name], 0.0) for event in members))
        paths.append(path)
    return paths


def write_combined_raven(events: Iterable[Event], recordings: Sequence[Recording], path: Path) -> None:
    """Write one table for all recordings, opened together in Raven as one sequence in the order given.

    Begin and end times run on from file to file; File Offset counts from the start of each.
    """
    rows = []
    events_of = by_recording(events)
    elapsed_s = 0.0
    for recording in recordings:
        rows += [(event, recording, elapsed_s) for event in events_of.get(recording.relative_path, [])]
        elapsed_s += recording.duration_s
    _write(path, rows)


def _write(path: Path, rows: Iterable[tuple[Event, Recording, float]]) -> None:
    """Write rows of (event, its recording, when that begins)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(HEADER.encode())
        for number, (event, recording, begin_s) in enumerate(rows, start=1):
            file.write(selection_line(number, event, recording, begin_s=begin_s).encode())


HEADER = "\t".join(COLUMNS) + "\n"


def selection_line(
    number: int, event: Event, recording: Recording, *, begin_s: float = 0.0, channel: int = 1
) -> str:
    """A line of a table; a box without bounds has the full height.

    Args:
        number: of the selection, from 1.
        event: what was heard.
        recording: where.
        begin_s: when the recording begins in a sequence of several.
        channel: from 1.
    """
    high_hz = recording.sample_rate_hz / 2 if event.high_hz is None else event.high_hz
    cells = (
        *(str(number), "Spectrogram 1", str(channel)),
        *(number_text(begin_s + event.start_s), number_text(begin_s + event.end_s)),
        *(number_text(event.low_hz or 0.0), number_text(high_hz)),
        *(PurePosixPath(event.recording).name, str(recording.path.absolute())),
        *(number_text(event.start_s), event.label),
        "" if event.score is None else number_text(event.score),
    )
    return "\t".join(cells) + "\n"


def read_raven(
    path: Path,
    *,
    label_column: str | None = None,
    recordings: Sequence[Recording] = (),
) -> list[Event]:
    """Read a selection table; rows that show one selection in several views are one event.

    An event's recording is the relative path of the one of `recordings` that Begin Path leads to; else Begin
    Path or Begin File as the table writes them; in a table without these columns, the name of the table
    without what Raven adds to it. With `recordings`, boxes over the whole band have no frequency bounds.

    Raises:
        FileNotFoundError: There is no such table.
        ValueError: It is no selection table, or cells cannot be read; each is named with its row.
    """
    table = read_table(path, has_quotes=False)
    labels = _label_column(table, label_column)
    _check_columns(table)
    complaints = Complaints(path)
    by_path = {str(recording.path.absolute()): recording for recording in recordings}
    events = [
        event
        for row in _selections(table)
        if (event := _event(row, labels, table, by_path, complaints)) is not None
    ]
    complaints.raise_if_any()
    return events


def recording_named_by(table: Path) -> str:
    """The recording that a table is named after: a of `a.Table.1.selections.txt`, a.wav of `a.wav.txt`."""
    return _TABLE_NAME.sub("", table.name)


def _check_columns(table: Table) -> None:
    missing = [name for name in ("begin time (s)", "end time (s)") if name not in table.columns]
    if missing:
        raise ValueError(
            f"{table.path}, row 1: no column {' and '.join(missing)}, so this is no Raven selection table; "
            f"its columns are {', '.join(table.columns)}"
        )
    files = {row.cells.get("begin path") or row.cells.get("begin file", "") for row in table.rows}
    if len(files) > 1 and "file offset (s)" not in table.columns:
        raise ValueError(
            f"{table.path}: its selections lie in {len(files)} files, but no column says where in them; in "
            "Raven choose the measurement 'File Offset (s)' and save the table again"
        )


def _label_column(table: Table, wanted: str | None) -> str:
    if wanted is not None:
        if wanted.strip().lower() not in table.columns:
            raise ValueError(
                f"{table.path}, row 1: no column {wanted!r}; its columns are {', '.join(table.columns)}"
            )
        return wanted.strip().lower()
    found = next((name for name in LABEL_COLUMNS if name in table.columns), None)
    if found is None:
        raise ValueError(
            f"{table.path}, row 1: which column holds the labels? Name it with --label_column; "
            f"its columns are {', '.join(table.columns)}"
        )
    return found


def _selections(table: Table) -> Iterable[Row]:
    """One row of each selection: the spectrogram's where several views show it."""
    if "selection" not in table.columns or "view" not in table.columns:
        return table.rows
    chosen: dict[tuple[str, str, str], Row] = {}
    for row in table.rows:
        cells = row.cells
        # Tables that were pasted together count their selections anew; times tell those apart.
        key = (cells["selection"], cells["begin time (s)"], cells["end time (s)"])
        if key not in chosen or (
            cells["view"].lower().startswith("spectrogram")
            and not chosen[key].cells["view"].lower().startswith("spectrogram")
        ):
            chosen[key] = row
    return chosen.values()


def _event(
    row: Row, labels: str, table: Table, by_path: Mapping[str, Recording], complaints: Complaints
) -> Event | None:
    cells = row.cells
    label = plain_label(cells[labels])
    if not label:
        complaints.add(
            f"no label in the column {labels!r}; write one, or remove the selection", row.number, ""
        )
        return None
    try:
        begin_s, end_s = number_of(cells["begin time (s)"]), number_of(cells["end time (s)"])
        start_s = number_of(cells["file offset (s)"]) if cells.get("file offset (s)") else begin_s
        low_hz = number_of(cells["low freq (hz)"]) if cells.get("low freq (hz)") else None
        high_hz = number_of(cells["high freq (hz)"]) if cells.get("high freq (hz)") else None
        score = next((number_of(cells[name]) for name in SCORE_COLUMNS if cells.get(name)), None)
    except ValueError as error:
        complaints.add(
            "a time, frequency or score that is no number; correct the cell", row.number, f"({error})"
        )
        return None
    name, nyquist_hz = _recording(cells, table, by_path)
    if nyquist_hz is not None and low_hz == 0 and high_hz is not None and high_hz >= nyquist_hz:
        low_hz = high_hz = None
    try:
        return Event(
            recording=name,
            start_s=start_s,
            end_s=round(start_s + (end_s - begin_s), 6),
            label=label,
            low_hz=low_hz if high_hz is not None else None,
            high_hz=high_hz if low_hz is not None else None,
            score=score,
        )
    except ValueError as error:
        complaints.add("an impossible selection; correct or remove it", row.number, f"({error})")
        return None


def _recording(
    cells: Mapping[str, str], table: Table, by_path: Mapping[str, Recording]
) -> tuple[str, float | None]:
    """The recording of a row, and half of its sample rate where it is known."""
    path = cells.get("begin path", "")
    if recording := by_path.get(path):
        return recording.relative_path, recording.sample_rate_hz / 2
    name = path.replace("\\", "/") or cells.get("begin file", "")
    return name or recording_named_by(table.path), None
