"""Predict: what a fine-tuned model hears in each clip, one row per clip."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from pydantic import Field
from rich.console import Console

from bioacoustics.data.deployments import Placement
from bioacoustics.formats.tables import TableWriter, check_ending
from bioacoustics.inference.device import pick_device
from bioacoustics.models.audio_encoder import AudioClassifier
from bioacoustics.models.saved import load_classifier
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.traverse import Traversal, TraverseConfig

DEFAULT_WINDOW_S = 10.0
ROWS_PER_WRITE = 256


class PredictConfig(TraverseConfig, frozen=True, extra="forbid"):
    """What `predict` needs to know."""

    model_path: Path = Field(description="fine-tuned checkpoint")
    output: Path = Field(description="table to write: .csv or .parquet")
    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="probability of a label being named, where several may hold"
    )


def predict(config: PredictConfig, console: Console) -> Outcome:
    """Write one row per clip: file, duration, time, label, probability, and one column for every label.

    A clip longer than the window is cut into windows. A clip has the mean of their probabilities where
    exactly one label holds, and the largest where several may: a call anywhere counts.
    """
    check_ending(config.output)
    device = pick_device(config.device)
    classifier = load_classifier(config.model_path, device=device)
    front_end = classifier.encoder.front_end.config
    window_s = config.window_s or (
        front_end.num_samples(classifier.target_length) / front_end.sample_rate_hz
        if classifier.target_length
        else DEFAULT_WINDOW_S
    )
    traversal = Traversal(
        config,
        lambda batch: classifier(batch.waveforms.to(device)),
        window_s=window_s,
        sample_rate_hz=front_end.sample_rate_hz,
        min_samples=front_end.frame_length,
        console=console,
    )
    with TableWriter(config.output, _schema(classifier.labels)) as table:
        for columns in _chunks(_clips(traversal, classifier.multi_label), classifier, config.threshold):
            table.write(columns)
    traversal.outcome.write(config.output.with_name(f"{config.output.name}.problems.csv"))
    traversal.outcome.show(console)
    console.print(
        f"{config.output}: {table.num_rows} clips, {len(classifier.labels)} labels",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return traversal.outcome


def _clips(
    traversal: Traversal, multi_label: bool
) -> Iterator[tuple[Placement, Float[np.ndarray, " classes"]]]:
    """Where and when each clip was made, and its probabilities from those of its windows."""
    for recording, windows in groupby(traversal, key=lambda window: window[0].recording):
        rows = np.stack([probabilities for _, _, probabilities in windows])
        yield traversal.place(recording), rows.max(0) if multi_label else rows.mean(0)


def _schema(labels: tuple[str, ...]) -> pa.Schema:
    about = [
        ("file", pa.string()),
        ("duration_s", pa.float64()),
        ("start_time", pa.string()),
        ("time_source", pa.string()),
    ]
    answer = [("predicted", pa.string()), ("probability", pa.float32())]
    return pa.schema([*about, *answer, *((column_of(label), pa.float32()) for label in labels)])


def column_of(label: str) -> str:
    """The column that holds the probability of `label`; the prefix keeps a label named `file` apart."""
    return f"p({label})"


def _chunks(
    clips: Iterator[tuple[Placement, Float[np.ndarray, " classes"]]],
    classifier: AudioClassifier,
    threshold: float,
) -> Iterator[dict[str, list[object]]]:
    columns: dict[str, list[object]] = {}
    for placement, probabilities in clips:
        best = int(probabilities.argmax())
        named = (
            [label for label, p in zip(classifier.labels, probabilities, strict=True) if p >= threshold]
            if classifier.multi_label
            else [classifier.labels[best]]
        )
        row: dict[str, object] = {
            "file": placement.recording.relative_path,
            "duration_s": placement.recording.duration_s,
            "start_time": placement.iso_time(0.0),
            "time_source": placement.source.value,
            "predicted": ",".join(named),
            "probability": probabilities[best],
        }
        row |= {column_of(label): p for label, p in zip(classifier.labels, probabilities, strict=True)}
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
        if len(columns["file"]) == ROWS_PER_WRITE:
            yield columns
            columns = {}
    if columns:
        yield columns
