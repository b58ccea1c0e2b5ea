"""Segments: windows of recordings, cut by seconds and without reading any audio."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field, model_validator

from bioacoustics.audio.recordings import Recording

_ROUNDING = 1e-6  # of a stride: 59.999999 strides are 60


class SegmentConfig(BaseModel, frozen=True, extra="forbid"):
    """How recordings are cut into windows.

    `edge` says what happens to the rest that fills no whole window: "pad" keeps it (who reads it may pad),
    "drop" leaves it out, "shift" moves the last window back until it ends with the recording. A recording
    shorter than the window gives one window, unless the edge is "drop".
    """

    window_s: float = Field(gt=0, allow_inf_nan=False)
    stride_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)  # None: as long as the window
    edge: Literal["pad", "drop", "shift"] = "pad"
    min_duration_s: float = Field(default=0.1, ge=0, allow_inf_nan=False)  # less new sound makes no window

    @model_validator(mode="after")
    def _check_window_holds_the_minimum(self) -> "SegmentConfig":
        if self.min_duration_s > self.window_s:
            raise ValueError(f"min_duration_s {self.min_duration_s} is longer than window_s {self.window_s}")
        return self

    @property
    def step_s(self) -> float:
        """Time from the start of one window to the start of the next."""
        return self.window_s if self.stride_s is None else self.stride_s


@dataclass(frozen=True, slots=True)
class Segment:
    """A window of a recording; it may reach past the recording's end, where there is nothing to read."""

    recording: Recording
    start_s: float
    duration_s: float

    @property
    def end_s(self) -> float:
        """Where the window ends, in seconds from the start of the recording."""
        return self.start_s + self.duration_s


def num_segments(recording: Recording, config: SegmentConfig) -> int:
    """How many windows `cut` would give."""
    duration_s = recording.duration_s
    beyond_first = (duration_s - config.window_s) / config.step_s
    if config.edge == "drop":
        return max(0, math.floor(beyond_first + _ROUNDING) + 1)
    if duration_s < max(config.min_duration_s, _ROUNDING):
        return 0
    count = 1 + max(0, math.ceil(beyond_first - _ROUNDING))
    return count if _new_sound_s(count - 1, duration_s, config) >= config.min_duration_s else count - 1


def segment_at(recording: Recording, config: SegmentConfig, i: int) -> Segment:
    """The i-th window of a recording, from 0."""
    start_s = i * config.step_s
    if config.edge == "shift":
        start_s = min(start_s, max(0.0, recording.duration_s - config.window_s))
    return Segment(recording, start_s, config.window_s)


def index_of(segment: Segment, config: SegmentConfig) -> int:
    """Which window of its recording a segment is, from 0; undoes `segment_at`."""
    index = math.ceil(segment.start_s / config.step_s - _ROUNDING)
    return max(0, min(index, num_segments(segment.recording, config) - 1))


def cut(recording: Recording, config: SegmentConfig) -> list[Segment]:
    """All windows of one recording, in order of time."""
    return [segment_at(recording, config, i) for i in range(num_segments(recording, config))]


def jittered(segment: Segment, shift_s: float) -> Segment:
    """The window moved in time, but kept inside its recording."""
    latest_s = max(0.0, segment.recording.duration_s - segment.duration_s)
    return replace(segment, start_s=min(max(0.0, segment.start_s + shift_s), latest_s))


class SegmentIndex:
    """All windows of many recordings, numbered through; memory grows with recordings, not with windows."""

    def __init__(self, recordings: Sequence[Recording], config: SegmentConfig) -> None:
        self.recordings = tuple(recordings)
        self.config = config
        counts = (num_segments(recording, config) for recording in self.recordings)
        self._ends = np.fromiter(accumulate(counts), dtype=np.int64, count=len(self.recordings))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, i: int) -> Segment:
        number = self.recording_of(i)
        first = int(self._ends[number - 1]) if number else 0
        return segment_at(self.recordings[number], self.config, i - first)

    def recording_of(self, i: int) -> int:
        """The position in `recordings` of the recording that window i belongs to."""
        if not 0 <= i < len(self):
            raise IndexError(f"window {i} of {len(self)}")
        return int(np.searchsorted(self._ends, i, side="right"))


def _new_sound_s(i: int, duration_s: float, config: SegmentConfig) -> float:
    """How much sound the i-th window holds that the one before it does not."""
    start_s = i * config.step_s
    heard_until_s = start_s - config.step_s + config.window_s if i else 0.0
    return duration_s - max(start_s, heard_until_s)
