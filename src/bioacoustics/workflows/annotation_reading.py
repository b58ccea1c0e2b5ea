"""Annotation reading: what people marked in any number of tables, by the recordings that are there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from bioacoustics.data.events import Event
from bioacoustics.data.file_names import FileMatcher
from bioacoustics.formats.annotations import (
    AnnotationFormat,
    find_annotations,
    format_of,
    read_annotations,
    recording_named_by,
)


def read_events_of(
    tables: Path,
    data_dir: Path,
    table_format: Literal["auto"] | AnnotationFormat = "auto",
    label_column: str | None = None,
) -> tuple[Mapping[str, list[Event]], list[str]]:
    """The events of each recording by its name in data_dir; none where a table says that there are none.

    Args:
        tables: one table, or a folder of them.
        data_dir: the recordings.
        table_format: what wrote the tables; auto looks at them.
        label_column: where labels stand; None: found.

    Returns:
        The events, and what is doubtful about the tables.

    Raises:
        FileNotFoundError: there are no tables.
        ValueError: a table cannot be read; each fault is named.
    """
    events_of: dict[str, list[Event]] = {}
    warnings: list[str] = []
    errors: list[str] = []
    matcher = FileMatcher(data_dir)
    for path in find_annotations(tables):
        kind = format_of(path) if table_format == "auto" else table_format
        if kind is None:
            message = (
                f"{path}: neither Raven, Audacity, Kaleidoscope nor a CSV of events with start_s and end_s; "
                "name what wrote it with --table_format, or leave it out"
            )
            (warnings if tables.is_dir() else errors).append(message)
            continue
        try:
            members = read_annotations(path, kind, label_column)
        except ValueError as error:
            errors.append(str(error))
            continue
        warnings += _add_matched(events_of, members, path, kind, matcher, data_dir)
    if errors:
        raise ValueError("\n".join(errors))
    return events_of, warnings


def _add_matched(
    events_of: dict[str, list[Event]],
    members: Sequence[Event],
    path: Path,
    kind: AnnotationFormat,
    matcher: FileMatcher,
    data_dir: Path,
) -> list[str]:
    """Add the events of one table to those of the files that they name; return what is doubtful about it."""
    warnings = []
    named = recording_named_by(path, kind)
    for name in sorted({event.recording for event in members} or ({named} if named else set())):
        match = matcher.find(name)
        remark, detail = match.remark.replace("the row is", "its annotations are"), match.detail
        if match.path is not None and not match.path.is_relative_to(data_dir):
            remark, detail = (
                f"lies outside {data_dir}; its annotations are skipped, copy it there",
                repr(name),
            )
        # Tables are named after recordings without the ending, so there is nothing to remark on.
        if remark and (match.path is None or name != named):
            warnings.append(f"{path}: {detail}: {remark}")
        if match.path is not None and match.path.is_relative_to(data_dir):
            file = match.path.relative_to(data_dir).as_posix()
            found = [replace(event, recording=file) for event in members if event.recording == name]
            events_of.setdefault(file, []).extend(_one_label_each(found))
    return warnings


def _one_label_each(events: Sequence[Event]) -> list[Event]:
    """Labels with commas are several labels, as in labels.csv."""
    return [
        replace(event, label=label)
        for event in events
        for label in dict.fromkeys(part.strip() for part in event.label.split(","))
        if label
    ]
