"""Event making: from the scores of windows to events in the formats that people open."""

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, Field, model_validator
from rich.console import Console
from rich.markup import escape

from bioacoustics.data.deployments import Placement
from bioacoustics.data.names import read_names
from bioacoustics.formats.event_files import EventFiles, EventFormat, Heard
from bioacoustics.formats.listened import LISTENED_NAME, Stretches, columns_of, stretches_of
from bioacoustics.formats.listened import SCHEMA as LISTENED
from bioacoustics.formats.tables import TableWriter
from bioacoustics.inference.event_stream import EventStream
from bioacoustics.inference.events import EventConfig
from bioacoustics.models.thresholds import DEFAULT_THRESHOLD, Thresholds
from bioacoustics.workflows.score_reading import ScoreSource


def _split(value: object) -> object:
    """Words with commas between them, and words given one by one."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple):
        return value
    return tuple(part.strip() for word in words for part in str(word).split(",") if part.strip())


Formats = Annotated[tuple[EventFormat, ...], BeforeValidator(_split)]


class EventRules(BaseModel, frozen=True, extra="forbid"):
    """How scores become events."""

    help_panel: ClassVar[str] = "Events"

    open_at: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="score that opens an event, of every label [default: the model's own thresholds, see "
        "evaluate; 0.5 where it has none]",
    )
    close_at: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="score that keeps it open, with --open_at [default: 0.7 of the opening score]",
    )
    max_gap_s: float = Field(default=0.0, ge=0, description="pauses up to this do not divide an event")
    min_length_s: float = Field(default=0.0, ge=0, description="shorter events are dropped")
    max_length_s: float | None = Field(default=None, gt=0, description="longer events are cut")

    @model_validator(mode="after")
    def _check_rules(self) -> "EventRules":
        if self.close_at is not None and self.open_at is None:
            raise ValueError(
                "--close_at needs --open_at: events that open at the thresholds of their label close at 0.7 "
                "of them"
            )
        self.rules()
        return self

    def rules(self) -> EventConfig:
        """The rules, in which the opening score is that of labels without one of their own."""
        return EventConfig(
            open_at=self.open_at or DEFAULT_THRESHOLD,
            close_at=self.close_at,
            max_gap_s=self.max_gap_s,
            min_length_s=self.min_length_s,
            max_length_s=self.max_length_s,
        )

    def opening(self, labels: tuple[str, ...], thresholds: Thresholds | None) -> dict[str, float]:
        """The score that opens an event of each label."""
        if self.open_at is not None or thresholds is None:
            return dict.fromkeys(labels, self.open_at or DEFAULT_THRESHOLD)
        return dict(zip(labels, thresholds.of(labels), strict=True))


class EventFlags(EventRules, frozen=True, extra="forbid"):
    """How scores become events, and where they are written."""

    help_panel: ClassVar[str] = "Events"

    events: Formats = Field(
        default=(), description="formats, with commas: csv, parquet, raven, audacity, kaleidoscope"
    )
    events_dir: Path | None = Field(
        default=None, description="folder for them [default: beside the output, OUTPUT.events]"
    )
    names: Path | None = Field(
        default=None, description="table of what labels are called in events: label, scientific, en, es, ..."
    )
    name_column: str | None = Field(default=None, description="which column of --names, where it has several")

    @model_validator(mode="after")
    def _check_names(self) -> "EventFlags":
        if self.name_column is not None and self.names is None:
            raise ValueError("--name_column is a column of a table: give the table with --names")
        return self

    def called(self, labels: tuple[str, ...]) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """What each label is called in events, and what is doubtful about that."""
        if self.names is None:
            return {label: label for label in labels}, ()
        return read_names(self.names, labels, self.name_column)


def events_beside(output: str) -> Path:
    """Where the events of a table or store lie unless the user says otherwise."""
    return Path(f"{output.rstrip('/')}.events") if "://" not in output else Path("events")


def make_events(
    scores: ScoreSource,
    placements: Mapping[str, Placement],
    flags: EventFlags,
    thresholds: Thresholds | None,
    folder: Path,
    console: Console,
) -> set[str]:
    """Write the events of all recordings, one after the other, in memory that no length makes grow.

    Returns:
        The recordings that have scores, but are not among `placements`; they are left out.
    """
    labels, rules = scores.facts.labels, flags.rules()
    opening = flags.opening(labels, thresholds)
    open_at = np.array([opening[label] for label in labels])
    called, doubts = flags.called(labels)
    for doubt in doubts:
        console.print(f"[yellow]warning[/] {escape(doubt)}", highlight=False, soft_wrap=True)
    written = tuple(called[label] for label in labels)
    missing = set()
    thresholds_of = {called[label]: score for label, score in opening.items()}
    # What was listened to takes its name last: after a kill in between, too little is known and not too much.
    with (
        TableWriter(folder / LISTENED_NAME, LISTENED) as listened,
        EventFiles(folder, flags.events, thresholds_of) as files,
    ):
        for (name, channel), pieces in groupby(scores.pieces(), key=lambda piece: piece.take):
            placement = placements.get(name)
            if placement is None:
                missing.add(name)
                continue
            nyquist_hz = placement.recording.sample_rate_hz / 2
            stream = EventStream(name, written, rules, open_at, scores.facts.grid, nyquist_hz)
            windows: Stretches = []
            for piece in pieces:
                heard = Heard(
                    placement=placement,
                    channel=channel,
                    model=piece.model,
                    front_end=piece.front_end,
                    audio=piece.audio,
                )
                starts_s, ends_s = piece.windows.starts_s.tolist(), piece.windows.ends_s.tolist()
                windows = stretches_of([*windows, *zip(starts_s, ends_s, strict=True)])
                files.write(heard, stream.add(piece.windows))
            files.write(heard, stream.close())
            listened.write(columns_of(name, windows))
    console.print(
        f"{folder}: {files.num_events} events in {files.num_recordings} recordings; "
        + _told(flags, thresholds, labels)
        + ("" if scores.facts.grid else "; times are those of windows, without frequencies"),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return missing


def _told(flags: EventFlags, thresholds: Thresholds | None, labels: tuple[str, ...]) -> str:
    """From which score on events open, in a few words."""
    if flags.open_at is not None:
        return f"they open at {flags.open_at:g}"
    if thresholds is None:
        return f"they open at {DEFAULT_THRESHOLD:g}, as the model has no thresholds of its own (see evaluate)"
    num_known = len(set(labels) & thresholds.classes.keys())
    told = f"they open at the model's thresholds for a precision of {thresholds.precision_wanted:g}"
    return (
        told if num_known == len(labels) else f"{told} ({num_known} labels; {DEFAULT_THRESHOLD:g} for others)"
    )
