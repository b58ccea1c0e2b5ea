"""Predict: what a fine-tuned model hears, one row per file or per window, in a table or in a store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from pydantic import Field, JsonValue
from rich.console import Console

from bioacoustics.audio.reading import Channel
from bioacoustics.inference.batch_size import Compute
from bioacoustics.inference.device import pick_device
from bioacoustics.inference.patch_scores import PatchGrid, pack
from bioacoustics.inference.precision import pick_precision, prepare
from bioacoustics.inference.stopwatch import Stopwatch
from bioacoustics.inference.windows import WindowBatch
from bioacoustics.models.audio_encoder import AudioClassifier
from bioacoustics.models.saved import build_classifier, read_classifier_bundle
from bioacoustics.workflows.embed import WINDOW_COLUMNS, window_columns
from bioacoustics.workflows.event_making import EventFlags, events_beside, make_events
from bioacoustics.workflows.journal import RunSettings
from bioacoustics.workflows.output import Location, check_output, is_store, journal_of
from bioacoustics.workflows.parts import leading_values
from bioacoustics.workflows.score_reading import open_scores
from bioacoustics.workflows.sources import Source, channel_name
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.table_journal import Layout
from bioacoustics.workflows.traverse import Traversal, TraverseConfig, reading_settings
from bioacoustics.workflows.window_scores import ScoreFacts, WindowScoreRows, windows_beside

DEFAULT_WINDOW_S = 10.0


class PredictConfig(TraverseConfig, EventFlags, frozen=True, extra="forbid"):
    """What `predict` needs to know."""

    model_path: Path = Field(description="fine-tuned checkpoint")
    output: Location = Field(
        description="table (.csv or .parquet), or store (a folder .lance, s3://...) with a row per window"
    )
    per: Literal["file", "window"] = Field(default="file", description="what a row of the table is about")
    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="probability of a label being named, where several may hold"
    )


def predict(config: PredictConfig, console: Console) -> Outcome:
    """Write one row per file, or per window: label, probability, and one column for every label.

    A file longer than the window is cut into windows. It has the mean of their probabilities where exactly
    one label holds, and the largest where several may: a call anywhere counts. Results are committed as they
    come: after a crash, the same command goes on where it was. With --events, the scores of all windows are
    kept beside the table, and events are made of them; a store has them in any case.
    """
    check_output(config.output)
    device = pick_device(config.device)
    precision = pick_precision(config.precision, device)
    bundle = read_classifier_bundle(config.model_path)
    classifier = build_classifier(bundle).to(device)
    config.called(classifier.labels)  # a table that cannot be meant is told before any listening
    prepare(classifier, precision)
    front_end = classifier.encoder.front_end.config
    stopwatch = Stopwatch()
    stopwatch.watch_front_end(classifier.encoder.front_end)
    trained_s = (
        front_end.num_samples(classifier.target_length) / front_end.sample_rate_hz
        if classifier.target_length
        else DEFAULT_WINDOW_S
    )
    match bundle.header.calibration:
        case {"window_s": float() | int() as taught_s}:  # a head that was taught on a store's windows
            trained_s = float(taught_s) * config.time_expansion
    window_s = config.window_s or trained_s / config.time_expansion
    grid = _grid(config, classifier)
    traversal = Traversal(
        config,
        _compute(classifier, grid, device),
        window_s=window_s,
        sample_rate_hz=front_end.sample_rate_hz,
        min_samples=front_end.frame_length,
        precision=precision,
        console=console,
        stopwatch=stopwatch,
    )
    settings = RunSettings(
        command="predict",
        model=bundle.header.fingerprint,
        model_path=str(config.model_path.resolve()),
        front_end={
            **reading_settings(config, window_s),
            "precision": precision,
            # A store keeps the scores of all windows; a table also depends on how they are told.
            **({} if is_store(config.output) else {"per": config.per, "threshold": config.threshold}),
            **_kept_settings(config, grid),
        },
        labels=classifier.labels,
        multi_label=classifier.multi_label,
        grid=grid,
    )
    journal = journal_of(
        config.output,
        settings,
        traversal.sources,
        traversal.segments,
        config.channel,
        PredictionRows(settings, classifier, config.per, config.threshold),
        dim=len(classifier.labels),
        overwrite=config.overwrite,
        beside=_beside(config, settings, classifier, grid),
    )
    traversal.run(journal)
    said = journal.finish(traversal.outcome)
    traversal.outcome.show(console)
    if config.events:
        make_events(
            open_scores(config.output, model=bundle.header.fingerprint),
            {one.recording.relative_path: one.placement for one in traversal.sources.values()},
            config,
            bundle.header.thresholds,
            config.events_dir or events_beside(config.output),
            console,
        )
    what = "windows" if config.per == "window" or is_store(config.output) else "clips"
    console.print(
        f"{said} {what}, {len(classifier.labels)} labels, {precision}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return traversal.outcome


def _grid(config: PredictConfig, classifier: AudioClassifier) -> PatchGrid | None:
    """The grid of patches that events can be narrowed by; a store is for whatever is asked of it later."""
    is_wanted = config.events or is_store(config.output)
    return PatchGrid.of(classifier, config.time_expansion) if is_wanted else None


def _compute(classifier: AudioClassifier, grid: PatchGrid | None, device: torch.device) -> Compute:
    def scores(batch: WindowBatch) -> Float[torch.Tensor, "batch values"]:
        waveforms = batch.waveforms.to(device)
        if grid is None:
            probabilities: torch.Tensor = classifier(waveforms)
            return probabilities
        return pack(*classifier.listen(waveforms), grid)

    return scores


def _kept_settings(config: PredictConfig, grid: PatchGrid | None) -> dict[str, JsonValue]:
    """What is kept of each window for events; their thresholds may change without hearing anything again."""
    if is_store(config.output):
        return {"patches": grid.told} if grid else {}
    return {"events": f"patches {grid.told}" if grid else "scores of windows"} if config.events else {}


def _beside(
    config: PredictConfig, settings: RunSettings, classifier: AudioClassifier, grid: PatchGrid | None
) -> dict[Path, Layout]:
    if not config.events or is_store(config.output):
        return {}
    facts = ScoreFacts(labels=classifier.labels, multi_label=classifier.multi_label, grid=grid)
    return {windows_beside(Path(config.output)): WindowScoreRows(settings, facts)}


def column_of(label: str) -> str:
    """The column that holds the probability of `label`; the prefix keeps a label named `file` apart."""
    return f"p({label})"


class PredictionRows:
    """A row for each file, from the probabilities of its windows, or a row for each window."""

    def __init__(
        self,
        settings: RunSettings,
        classifier: AudioClassifier,
        per: Literal["file", "window"],
        threshold: float,
    ) -> None:
        self._settings, self._labels, self._threshold = settings, classifier.labels, threshold
        self._multi_label, self._per = classifier.multi_label, per
        answer = [("predicted", pa.string()), ("probability", pa.float32())]
        scores = [(column_of(label), pa.float32()) for label in self._labels]
        about = [("file", pa.string()), ("duration_s", pa.float64())]
        columns = (
            [*WINDOW_COLUMNS, *answer, *scores]
            if per == "window"
            else [*about, *answer, *scores, *WINDOW_COLUMNS[4:]]
        )
        self.schema = pa.schema(columns, metadata={"precision": str(settings.front_end["precision"])})

    def rows(
        self, source: Source, channel: Channel, windows: Iterator[pa.Table]
    ) -> Iterator[dict[str, object]]:
        """The rows of one take."""
        if self._per == "window":
            for piece in windows:
                columns = window_columns(self._settings, source, channel, piece)
                yield {**columns, **self._answers(leading_values(piece, len(self._labels)))}
            return
        joined = self._joined(windows)
        if joined is not None:
            yield {
                "file": [source.recording.relative_path],
                "duration_s": [source.recording.duration_s],
                "channel": [channel_name(channel)],
                "site": [source.placement.site],
                "start_time": [source.placement.iso_time(0.0)],
                "time_source": [source.placement.source.value],
                "model": [self._settings.model_id],
                "front_end": [self._settings.front_end_id],
                "audio": [source.audio],
                **self._answers(joined[None]),
            }

    def _joined(self, windows: Iterator[pa.Table]) -> Float[np.ndarray, " classes"] | None:
        """The probabilities of a file from those of its windows, in constant memory."""
        total: Float[np.ndarray, " classes"] | None = None
        highest: Float[np.ndarray, " classes"] | None = None
        count = 0
        for piece in windows:
            scores = leading_values(piece, len(self._labels))
            count += len(scores)
            total = scores.sum(axis=0, dtype=np.float64) + (0 if total is None else total)
            highest = scores.max(axis=0) if highest is None else np.maximum(highest, scores.max(axis=0))
        if total is None or highest is None:
            return None
        return highest if self._multi_label else (total / count).astype(np.float32)

    def _answers(self, scores: Float[np.ndarray, "rows classes"]) -> dict[str, object]:
        best = scores.argmax(axis=1)
        if self._multi_label:
            named = [
                ",".join(label for label, p in zip(self._labels, row, strict=True) if p >= self._threshold)
                for row in scores
            ]
        else:
            named = [self._labels[i] for i in best]
        return {
            "predicted": named,
            "probability": scores.max(axis=1),
            **{column_of(label): scores[:, i] for i, label in enumerate(self._labels)},
        }
