"""Traverse: send the windows of recordings through a model and commit what it says."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, BeforeValidator, Field, JsonValue
from rich.console import Console

from bioacoustics.audio.band import Band
from bioacoustics.audio.reading import Channel, Finding
from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.segments import Segment, SegmentConfig, index_of
from bioacoustics.data.deployments import NO_DEPLOYMENTS, read_deployments
from bioacoustics.inference.batch_size import BatchSize, Compute
from bioacoustics.inference.device import DeviceChoice, pick_device
from bioacoustics.inference.precision import Precision, PrecisionChoice, arithmetic
from bioacoustics.inference.stopwatch import Stopwatch
from bioacoustics.inference.windows import Take, WindowBatch, WindowReader, in_file_order
from bioacoustics.workflows.journal import Chunk, Journal, Mark
from bioacoustics.workflows.listening import ListeningBar
from bioacoustics.workflows.sources import Sources, channel_name, sources_of
from bioacoustics.workflows.survey import BadFiles, Outcome, survey
from bioacoustics.workflows.team import Team

COMMIT_EVERY_S = 10.0  # the work that a kill can cost
ROWS_PER_COMMIT = 2048
_EDGES: dict[str, Literal["pad", "drop", "shift"]] = {"keep": "pad", "drop": "drop", "shift": "shift"}


def _named_channel(value: object) -> object:
    return {"left": 0, "right": 1}.get(value, value) if isinstance(value, str) else value


class TraverseConfig(BaseModel, frozen=True, extra="forbid"):
    """Which windows of which recordings, and how they are read."""

    data_dir: Path = Field(
        description="recordings: a folder with its sub-folders, one file, a pattern in quotes "
        "('cards/**/*.wav'), or a .csv list with a column filename"
    )
    window_s: float | None = Field(
        default=None,
        gt=0,
        description="true seconds of a window [default: 10; predict: as the model was fine-tuned; "
        "divided by --time_expansion]",
    )
    stride_s: float | None = Field(
        default=None, gt=0, description="from one window to the next [default: the window, no overlap]"
    )
    edge: Literal["keep", "drop", "shift"] = Field(
        default="keep",
        description="the rest that fills no window: keep it as a shorter one, drop it, or shift the last "
        "window back until it ends with the recording",
    )
    channel: Annotated[int | Literal["mix", "loudest", "each"], BeforeValidator(_named_channel)] = Field(
        default="mix",
        description="number from 0 (or left, right), mix for the mean, loudest in each window, or each",
    )
    time_expansion: float = Field(
        default=1.0,
        gt=0,
        description="let the model hear everything so many times slower, such as 10 for bats; times and "
        "frequencies in all outputs stay true",
    )
    deployments: Path | None = Field(
        default=None,
        description="table: folder or recorder, site, latitude, longitude, zone, clock_offset_s, gain",
    )
    low_hz: float | None = Field(
        default=None,
        gt=0,
        description="let the model hear nothing below: to the log-mel it is as silence; true Hz",
    )
    high_hz: float | None = Field(default=None, gt=0, description="nothing above; true Hz")
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        default="auto",
        description="windows at a time; auto: by the memory that the model is measured to need. It halves "
        "by itself where memory runs out, and changes no result",
    )
    num_threads: int = Field(default=2, ge=1, description="reading threads")
    device: DeviceChoice = Field(default="auto", description="auto takes the GPU where there is one")
    precision: PrecisionChoice = Field(
        default="auto",
        description="float32, bf16 or int8 (processor only); auto is float32, on a GPU that has it bf16",
    )
    cuda: str | None = Field(
        default=None,
        description='CUDA devices, such as "0,1": a process for each, which share the recordings',
    )
    world_size: int | None = Field(
        default=None,
        ge=1,
        description="processes that share the recordings [default: one for each of --cuda]",
    )
    bad_files: BadFiles = Field(default=BadFiles.REPORT, description="recordings that cannot be used")
    overwrite: bool = Field(
        default=False, description="throw away what other settings, another model or other recordings left"
    )


class Traversal:
    """One pass over recordings, which goes on where the journal says; `outcome` tells what went wrong."""

    def __init__(
        self,
        config: TraverseConfig,
        compute: Compute,
        *,
        window_s: float,
        sample_rate_hz: int,
        min_samples: int,
        precision: Precision,
        console: Console,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        # Slowed down K times, a model hears in its second what the recording holds in 1/K of a second.
        self.sample_rate_hz = round(sample_rate_hz * config.time_expansion)
        if abs(self.sample_rate_hz - sample_rate_hz * config.time_expansion) > 1e-6 * self.sample_rate_hz:
            raise ValueError(
                f"--time_expansion {config.time_expansion:g} gives no whole rate: "
                f"{sample_rate_hz} Hz times it must be a whole number; choose a number like 8 or 10"
            )
        min_duration_s = min_samples / self.sample_rate_hz
        if window_s < min_duration_s:
            raise ValueError(
                f"--window_s {window_s:g} is too short: this model needs {min_duration_s:g} s or more"
            )
        self._band = Band(config.low_hz, config.high_hz)
        self._band.check(self.sample_rate_hz)
        self.segments = SegmentConfig(
            window_s=window_s,
            stride_s=config.stride_s,
            edge=_EDGES[config.edge],
            # Even a blink of sound gets its row; what is too short for the model is reported as such.
            min_duration_s=min_duration_s,
        )
        self._team = Team.here()
        console = self._team.console(console)
        deployments = read_deployments(config.deployments) if config.deployments else NO_DEPLOYMENTS
        self.scan = survey(config.data_dir, console, config.bad_files)
        self.sources, vanished = sources_of(self.scan.recordings, deployments)
        self.outcome = Outcome(unusable=[*self.scan.unreadable, *vanished])
        self.stopwatch = stopwatch or Stopwatch()
        self._config = config
        self._compute = compute
        device = pick_device(config.device)
        self._arithmetic = arithmetic(precision, device)
        wanted = None if config.batch_size == "auto" else config.batch_size
        self._batch_size = BatchSize(device, wanted, round(window_s * self.sample_rate_hz))
        self._min_samples = min_samples
        self._console = console

    def run(self, journal: Journal) -> None:
        """Hear what the journal does not have yet, and commit it in file order.

        Of several processes each hears recordings of its own; only the first comes back from here, when all
        have committed theirs.
        """
        takes = self._takes(journal.marks())
        if takes:
            self._hear(takes, journal)
        self._team.hand_over(self.outcome)

    def _hear(self, takes: list[Take], journal: Journal) -> None:
        reader = WindowReader(
            takes,
            self.segments,
            sample_rate_hz=self.sample_rate_hz,
            num_threads=self._config.num_threads,
            min_samples=self._min_samples,
            band=self._band,
        )
        with ListeningBar(self._console, takes, self.segments) as bar:
            for chunk in self._chunks(reader, bar):
                with self.stopwatch.measuring("writing"):
                    journal.commit(chunk)
                for ending in chunk.endings:
                    if ending.problem is not None and ending.problem not in self.outcome.unusable:
                        self.outcome.unusable.append(ending.problem)
            speed = bar.hours_per_hour
        size = self._batch_size
        said = f"{speed:.0f} hours of audio per hour: {self.stopwatch.summary()}"
        if size.has_run_out:
            said += f"; {size.now} windows at a time, because memory ran out with more"
        self._console.print(said, markup=False, highlight=False, soft_wrap=True)

    def _takes(self, marks: dict[tuple[str, str], Mark]) -> list[Take]:
        """What is left to hear; what was noticed in the rest is noted as if it were heard now."""
        takes, num_done = [], 0
        mine = set(self._team.mine(list(self.sources)))
        for recording, source in self.sources.items():
            for channel in channels_of(recording, self._config.channel):
                mark = marks.get((source.id, channel_name(channel)), Mark())
                self.outcome.note(recording, (Finding(finding) for finding in mark.findings))
                num_done += mark.is_done
                if not mark.is_done and recording in mine:
                    takes.append(Take(recording, channel, self._first_window(recording, mark)))
        if num_done or any(take.first_window for take in takes):
            self._console.print(
                f"going on: {num_done} recordings are done, {len(takes)} are left", highlight=False
            )
        return takes

    def _first_window(self, recording: Recording, mark: Mark) -> int:
        if mark.last_start_s is None:
            return 0
        return index_of(Segment(recording, mark.last_start_s, self.segments.window_s), self.segments) + 1

    def _chunks(self, reader: WindowReader, bar: "ListeningBar") -> Iterator[Chunk]:
        chunk, began = Chunk(), time.monotonic()
        for output in in_file_order(self._outputs(reader)):
            self.outcome.note(output.segment.recording, output.findings)
            chunk.outputs.append(output)
            bar.advance()
            if len(chunk.outputs) < ROWS_PER_COMMIT and time.monotonic() - began < COMMIT_EVERY_S:
                continue
            while reader.endings and reader.endings[0].end <= output.position + 1:
                chunk.endings.append(reader.endings.popleft())
            yield chunk
            chunk, began = Chunk(), time.monotonic()
        chunk.endings.extend(reader.endings)
        yield chunk

    def _outputs(
        self, reader: WindowReader
    ) -> Iterator[tuple[WindowBatch, Float[np.ndarray, "batch values"]]]:
        size = self._batch_size
        batches = reader.batches(lambda: size.now)
        with torch.inference_mode():
            while True:
                with self.stopwatch.measuring("decoding"):
                    batch = next(batches, None)
                if batch is None:
                    return
                with self.stopwatch.measuring("model"), self._arithmetic:
                    outputs = size.outputs(self._compute, batch).numpy()
                yield batch, outputs


def reading_settings(config: TraverseConfig, window_s: float) -> dict[str, JsonValue]:
    """What the windows of a run depend on."""
    return {
        "window_s": window_s,
        "stride_s": config.stride_s or window_s,
        "edge": config.edge,
        "channel": config.channel,
        "time_expansion": config.time_expansion,
        # Only where there are any: what was made before there were limits is still the same.
        **({} if config.low_hz is None else {"low_hz": config.low_hz}),
        **({} if config.high_hz is None else {"high_hz": config.high_hz}),
    }


def channels_of(recording: Recording, channel: Channel | Literal["each"]) -> list[Channel]:
    """The channels that are heard one by one."""
    return list(range(recording.num_channels)) if channel == "each" else [channel]


def all_takes(sources: Sources, channel: Channel | Literal["each"]) -> Iterator[tuple[Recording, Channel]]:
    """Every recording and channel, in the order of files."""
    for recording in sources:
        for name in channels_of(recording, channel):
            yield recording, name
