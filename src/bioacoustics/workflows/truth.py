"""Truth: what people say is in recordings, with times or without, under the names that a model uses."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bioacoustics.audio.recordings import Recording
from bioacoustics.data.events import Event, plain_label
from bioacoustics.data.labels import read_labels
from bioacoustics.data.spreadsheets import read_table
from bioacoustics.workflows.annotation_reading import read_events_of


def read_truth(
    annotations: Path, data_dir: Path, label_column: str | None, label_map: Path | None
) -> tuple[dict[str, list[Event]], bool, list[str]]:
    """The events of each annotated recording under the model's names.

    Args:
        annotations: tables of events, or a labels.csv, whose events have no times.
        data_dir: the recordings.
        label_column: where labels stand; None: found.
        label_map: a table annotation,label; an empty label is left out.

    Returns:
        The events, whether they have times, and what is doubtful about the tables.

    Raises:
        FileNotFoundError: there are no tables or recordings.
        ValueError: no annotation belongs to a recording.
    """
    if not data_dir.is_dir():
        raise FileNotFoundError(f"{data_dir}: there is no such folder; give the recordings' folder")
    has_times = not _is_labels(annotations)
    if has_times:
        found, warnings = read_events_of(annotations, data_dir, label_column=label_column)
        events_of = {name: list(members) for name, members in found.items()}
    else:
        table = read_labels(annotations, data_dir, multi_label=True)
        warnings, events_of = list(table.warnings), {}
        for clip in table.clips:
            name = clip.path.relative_to(data_dir).as_posix()
            events_of[name] = [
                Event(recording=name, start_s=0.0, end_s=0.0, label=label) for label in clip.labels
            ]
    if not events_of:
        raise ValueError(f"{annotations}: no annotation belongs to a recording in {data_dir}")
    names = _names(label_map)
    return (
        {
            file: [
                replace(event, label=label)
                for event in members
                if (label := names.get(event.label, event.label))
            ]
            for file, members in sorted(events_of.items())
        },
        has_times,
        warnings,
    )


def leave_out_what_follows(truth: dict[str, list[Event]], recordings: Mapping[str, Recording]) -> list[str]:
    """Take out events that begin after the end of their recording, and shorten those that reach beyond it.

    Returns:
        What was left out, for the user.
    """
    remarks = []
    for file, members in truth.items():
        if file not in recordings:
            continue
        duration_s = recordings[file].duration_s
        kept = [
            replace(event, end_s=min(event.end_s, duration_s))
            for event in members
            if event.start_s < duration_s
        ]
        if len(kept) < len(members):
            remarks.append(
                f"{file} ends after {duration_s:.1f} s: {len(members) - len(kept)} of its {len(members)} "
                "annotations begin later and are left out"
            )
        truth[file] = kept
    return remarks


def _is_labels(path: Path) -> bool:
    """Whether a table tells what is in clips, and not when."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    columns = set(read_table(path).columns)
    return {"filename", "labels"} <= columns and "start_s" not in columns


def _names(path: Path | None) -> dict[str, str]:
    """What annotators' labels are called by the model; empty: they do not count."""
    if path is None:
        return {}
    table = read_table(path)
    if not {"annotation", "label"} <= set(table.columns):
        raise ValueError(f"{path}, row 1: the columns are {', '.join(table.columns)}; write annotation,label")
    return {plain_label(row.cells["annotation"]): plain_label(row.cells["label"]) for row in table.rows}
