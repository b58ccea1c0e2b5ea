"""Import labels: what people annotated in Raven, Audacity or Kaleidoscope becomes labels.csv."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, Field, model_validator
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from bioacoustics.audio.cutting import CutFormat, cut_to_file
from bioacoustics.audio.recordings import Recording, UnreadableAudioError, UnreadableFile, read_header
from bioacoustics.audio.segments import Segment, SegmentConfig, cut
from bioacoustics.data.events import Event
from bioacoustics.formats.tables import Cell, write_rows
from bioacoustics.workflows.annotation_reading import read_events_of
from bioacoustics.workflows.survey import BadFiles, Outcome


class ImportLabelsConfig(BaseModel, frozen=True, extra="forbid"):
    """What `import-labels` needs to know."""

    tables: Path = Field(
        description="a table of annotations, or a folder of them", json_schema_extra={"positional": True}
    )
    data_dir: Path = Field(description="the recordings that the tables are about")
    output: Path = Field(default=Path("labels.csv"), description="table to write: filename,labels")
    table_format: Literal["auto", "raven", "audacity", "kaleidoscope", "csv"] = Field(
        default="auto", description="what wrote the tables; auto looks at them"
    )
    label_column: str | None = Field(
        default=None, description="column that holds the labels [default: found]"
    )
    window_s: float | None = Field(
        default=None, gt=0, description="also write the labels of windows of so many seconds"
    )
    stride_s: float | None = Field(
        default=None, gt=0, description="from one window to the next [default: the window, no overlap]"
    )
    min_overlap: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="share of the event, or of the window if that is shorter, that must lie in the window",
    )
    background: str | None = Field(
        default=None, description="label of windows without events [default: they are left out]"
    )
    clips_dir: Path | None = Field(
        default=None, description="cut the windows into this folder; --output then lists these clips"
    )
    clip_format: CutFormat = Field(default="flac", description="of the clips")
    bad_files: BadFiles = Field(default=BadFiles.REPORT, description="recordings that cannot be used")

    @model_validator(mode="after")
    def _check_windows(self) -> "ImportLabelsConfig":
        if self.window_s is None and (self.clips_dir or self.background or self.stride_s):
            raise ValueError("--clips_dir, --background and --stride_s need windows: give --window_s")
        return self


def import_labels(config: ImportLabelsConfig, console: Console) -> Outcome:
    """Turn annotations (Raven, Audacity, Kaleidoscope, CSV) into labels.csv for training and evaluation.

    Writes one row a recording with all its labels; with --window_s also OUTPUT.windows.csv, one row a window:
    filename, start_s, end_s, labels, group. With --clips_dir the windows are cut, and --output lists the
    clips, each with its recording as group, ready for finetune.
    """
    if not config.data_dir.is_dir():
        raise FileNotFoundError(
            f"{config.data_dir}: there is no such folder; give the folder of the recordings"
        )
    events_of, warnings = read_events_of(
        config.tables, config.data_dir, config.table_format, config.label_column
    )
    outcome = Outcome()
    recordings = _recordings(config.data_dir, events_of, outcome)
    if not recordings:
        reasons = "\n".join(
            [*warnings, *(f"{file.relative_path}: {file.reason}" for file in outcome.unusable)]
        )
        raise ValueError(
            f"{config.tables}: none of its annotations belongs to a recording in {config.data_dir}; "
            f"is it the right folder?\n{reasons}"
        )
    rows: list[list[Cell]] = [
        [name, _cell(event.label for event in events_of[name])] for name in recordings if events_of[name]
    ]
    columns: Sequence[str] = ("filename", "labels")
    if config.window_s is not None:
        windows = _windows(config, recordings, events_of)
        path = config.output.with_name(f"{config.output.stem}.windows.csv")
        write_rows(
            path,
            ("filename", "start_s", "end_s", "labels", "group"),
            [_window_row(segment, labels) for segment, labels in windows],
        )
        _tell(console, f"{path}: {len(windows)} windows")
        if config.clips_dir is not None:
            columns, rows = ("filename", "labels", "group"), _clips(config, windows, outcome, console)
    write_rows(config.output, columns, rows)
    for warning in warnings:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False, soft_wrap=True)
    outcome.show(console)
    num_events = sum(len(events_of[name]) for name in recordings)
    labels = {event.label for name in recordings for event in events_of[name]}
    _tell(console, f"{config.output}: {len(rows)} rows from {num_events} annotations of {len(labels)} labels")
    return outcome


def label_windows(
    segments: Sequence[Segment], events: Sequence[Event], min_overlap: float
) -> list[tuple[Segment, tuple[str, ...]]]:
    """The labels of each window: those of events of which enough lies within it, each once, sorted.

    Enough is `min_overlap` of the event, or of the window where that is shorter; a moment without length
    needs only to lie within.
    """
    labelled = []
    for segment in segments:
        end_s = min(segment.end_s, segment.recording.duration_s)
        labels = set()
        for event in events:
            shared_s = min(end_s, event.end_s) - max(segment.start_s, event.start_s)
            needed_s = min_overlap * min(event.duration_s, end_s - segment.start_s)
            if shared_s >= max(needed_s - 1e-9, 0.0) and (needed_s > 0 or event.start_s < end_s):
                labels.add(event.label)
        labelled.append((segment, tuple(sorted(labels))))
    return labelled


def _recordings(
    data_dir: Path, events_of: Mapping[str, list[Event]], outcome: Outcome
) -> Mapping[str, Recording]:
    recordings = {}
    for name in sorted(events_of):
        try:
            recordings[name] = read_header(data_dir / name, data_dir)
        except UnreadableAudioError as error:
            outcome.unusable.append(
                UnreadableFile(path=data_dir / name, relative_path=name, reason=error.reason)
            )
    return recordings


def _windows(
    config: ImportLabelsConfig, recordings: Mapping[str, Recording], events_of: Mapping[str, list[Event]]
) -> list[tuple[Segment, tuple[str, ...]]]:
    assert config.window_s is not None
    segmentation = SegmentConfig(
        window_s=config.window_s, stride_s=config.stride_s, min_duration_s=min(0.1, config.window_s)
    )
    empty = (config.background,) if config.background else ()
    return [
        (segment, labels or empty)
        for name, recording in recordings.items()
        for segment, labels in label_windows(
            cut(recording, segmentation), events_of[name], config.min_overlap
        )
        if labels or empty
    ]


def _window_row(segment: Segment, labels: Sequence[str]) -> list[Cell]:
    name = segment.recording.relative_path
    end_s = min(segment.end_s, segment.recording.duration_s)
    return [name, round(segment.start_s, 6), round(end_s, 6), _cell(labels), name]


def _clips(
    config: ImportLabelsConfig,
    windows: Sequence[tuple[Segment, tuple[str, ...]]],
    outcome: Outcome,
    console: Console,
) -> list[list[Cell]]:
    """Cut each window, and return the rows of the clips."""
    assert config.clips_dir is not None
    rows: list[list[Cell]] = []
    is_hidden = not console.is_terminal
    for segment, labels in track(windows, "cutting", console=console, transient=True, disable=is_hidden):
        name = segment.recording.relative_path
        stem = PurePosixPath(name).with_suffix("").as_posix()
        clip = f"{stem}_{segment.start_s:g}_{segment.end_s:g}.{config.clip_format}"
        try:
            cut_to_file(segment.recording, segment.start_s, segment.end_s, config.clips_dir / clip)
        except UnreadableAudioError as error:
            outcome.unusable.append(
                UnreadableFile(path=segment.recording.path, relative_path=name, reason=error.reason)
            )
            continue
        rows.append([clip, _cell(labels), name])
    return rows


def _cell(labels: Iterable[str]) -> str:
    return ",".join(sorted(set(labels)))


def _tell(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
