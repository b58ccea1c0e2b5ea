"""Traverse: send the windows of all recordings of a folder through a model, with progress and a tally."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, Field
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from bioacoustics.audio.reading import Reading
from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.segments import Segment, SegmentConfig
from bioacoustics.data.deployments import NO_DEPLOYMENTS, Placement, place, read_deployments
from bioacoustics.inference.device import DeviceChoice
from bioacoustics.inference.windows import WindowBatch, WindowReader, in_file_order
from bioacoustics.workflows.survey import BadFiles, Outcome, survey

Compute = Callable[[WindowBatch], Float[Tensor, "batch values"]]


class TraverseConfig(BaseModel, frozen=True, extra="forbid"):
    """Which windows of which recordings, and how they are read."""

    data_dir: Path = Field(description="recordings in any supported format, sub-folders included")
    window_s: float | None = Field(
        default=None,
        gt=0,
        description="seconds of a window [default: 10; predict: as the model was fine-tuned]",
    )
    stride_s: float | None = Field(
        default=None, gt=0, description="from one window to the next [default: the window, no overlap]"
    )
    channel: int | Literal["mix"] = Field(default="mix", description="channel number, or mix for the mean")
    batch_size: int = Field(default=8, ge=1, description="windows at a time")
    num_threads: int = Field(default=2, ge=1, description="reading threads")
    deployments: Path | None = Field(
        default=None,
        description="table: folder or recorder, site, latitude, longitude, zone, clock_offset_s, gain",
    )
    device: DeviceChoice = Field(default="auto", description="auto takes the GPU where there is one")
    bad_files: BadFiles = Field(default=BadFiles.REPORT, description="recordings that cannot be used")


class Traversal:
    """One pass over a folder: iterate it for (segment, reading, values); `outcome` tells what went wrong."""

    def __init__(
        self,
        config: TraverseConfig,
        compute: Compute,
        *,
        window_s: float,
        sample_rate_hz: int,
        min_samples: int,
        console: Console,
    ) -> None:
        min_duration_s = min_samples / sample_rate_hz
        if window_s < min_duration_s:
            raise ValueError(
                f"--window_s {window_s:g} is too short: this model needs {min_duration_s:g} s or more"
            )
        self._deployments = read_deployments(config.deployments) if config.deployments else NO_DEPLOYMENTS
        self._placement: Placement | None = None
        self.scan = survey(config.data_dir, console, config.bad_files)
        self.outcome = Outcome(unusable=list(self.scan.unreadable))
        self._config = config
        self._compute = compute
        self._stride_s = config.stride_s or window_s
        self._console = console
        self._reader = WindowReader(
            self.scan.recordings,
            SegmentConfig(
                window_s=window_s,
                stride_s=config.stride_s,
                # Even a blink of sound gets its row; what is too short for the model is reported as such.
                min_duration_s=min_duration_s,
            ),
            sample_rate_hz=sample_rate_hz,
            channel=config.channel,
            num_threads=config.num_threads,
            min_samples=min_samples,
        )

    def __iter__(self) -> Iterator[tuple[Segment, Reading, Float[np.ndarray, " values"]]]:
        """Yield every window's values in file order."""
        columns = (
            *(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()),
            *(TimeRemainingColumn(), TextColumn("{task.fields[speed]}")),
        )
        is_hidden = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=is_hidden) as progress:
            task = progress.add_task("listening", total=self.scan.duration_s, speed="")
            for segment, reading, values in in_file_order(self._outputs()):
                self.outcome.note(segment.recording, reading.findings)
                yield segment, reading, values
                progress.advance(task, self._stride_s)
                speed = progress.tasks[task].speed
                progress.update(task, speed=f"{speed:.0f} hours of audio per hour" if speed else "")
        self.outcome.unusable.extend(self._reader.problems)

    def place(self, recording: Recording) -> Placement:
        """Where and when a recording was made; remembers the last, since windows come in file order."""
        if self._placement is None or self._placement.recording is not recording:
            self._placement = place(recording, self._deployments)
        return self._placement

    def _outputs(self) -> Iterator[tuple[WindowBatch, Float[np.ndarray, "batch values"]]]:
        with torch.inference_mode():
            for batch in self._reader.batches(self._config.batch_size):
                yield batch, self._compute(batch).float().cpu().numpy()
