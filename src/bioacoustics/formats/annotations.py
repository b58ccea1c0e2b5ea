"""Annotations: a table of events, whichever program wrote it."""

import re
from pathlib import Path
from typing import Literal

from bioacoustics.data.events import Event
from bioacoustics.data.spreadsheets import read_table, read_text
from bioacoustics.formats import audacity, raven
from bioacoustics.formats.event_tables import read_events
from bioacoustics.formats.kaleidoscope import read_kaleidoscope
from bioacoustics.formats.listened import LISTENED_NAME

AnnotationFormat = Literal["raven", "audacity", "kaleidoscope", "csv"]
SUFFIXES = (".txt", ".tsv", ".csv", ".parquet")
_AUDACITY_LINE = re.compile(r"\d+(?:[.,]\d+)?\t\d+(?:[.,]\d+)?\t")


def find_annotations(path: Path) -> list[Path]:
    """The tables in a folder and its sub-folders, or the one that `path` is.

    Raises:
        FileNotFoundError: There is nothing, or no file with one of `SUFFIXES`.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: there is no such file or folder; give a table of annotations")
    files = (one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
    found = sorted(one for one in files if not one.name.startswith(".") and one.name != LISTENED_NAME)
    # Where our Raven tables of each recording are, the one of all says the same once more.
    combined = {one for one in found if (one.parent.name, one.name) == ("raven", raven.COMBINED_NAME)}
    has_each = any(one.name.endswith(raven.SUFFIX) for one in found if one not in combined)
    found = [one for one in found if one not in combined or not has_each]
    if not found:
        raise FileNotFoundError(f"{path} holds no tables; their names end in {', '.join(SUFFIXES)}")
    return found


def format_of(path: Path) -> AnnotationFormat | None:
    """What wrote a table, by its first line; None where it is no table of events."""
    if path.suffix.lower() == ".parquet":
        return "csv"
    text, _ = read_text(path)
    first_line = next(iter(text.splitlines()), "")
    if path.suffix.lower() == ".txt" and (not first_line or _AUDACITY_LINE.match(first_line)):
        return "audacity"  # a track without labels is empty
    if "begin time (s)" in first_line.lower():
        return "raven"
    columns = set(read_table(path).columns) if first_line and path.suffix.lower() != ".txt" else set()
    if {"in file", "offset", "duration"} <= columns:
        return "kaleidoscope"
    return "csv" if {"start_s", "end_s"} <= columns else None


def read_annotations(path: Path, kind: AnnotationFormat, label_column: str | None = None) -> list[Event]:
    """The events of a table; see the readers of each format for their errors."""
    match kind:
        case "raven":
            return raven.read_raven(path, label_column=label_column)
        case "audacity":
            return audacity.read_audacity(path)
        case "kaleidoscope":
            return read_kaleidoscope(path, label_column=label_column)
        case "csv":
            return read_events(path, label_column=label_column)


def recording_named_by(path: Path, kind: AnnotationFormat) -> str | None:
    """The one recording that a table is about by its name; None in formats that tell it in each row."""
    match kind:
        case "raven":
            return raven.recording_named_by(path)
        case "audacity":
            return audacity.recording_named_by(path)
        case _:
            return None
