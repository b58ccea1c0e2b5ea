"""Embed: one vector for each window of each recording in a folder, as a table."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from rich.console import Console

from bioacoustics.formats.tables import TableWriter, check_ending
from bioacoustics.inference.device import pick_device
from bioacoustics.models.saved import load_encoder
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.traverse import Traversal, TraverseConfig

DEFAULT_WINDOW_S = 10.0
ROWS_PER_WRITE = 256


class EmbedConfig(TraverseConfig, frozen=True, extra="forbid"):
    """What `embed` needs to know."""

    model_path: Path = Field(description="any checkpoint, pre-trained or fine-tuned, published or own")
    output: Path = Field(description="table to write: .parquet or .csv")
    pooling: Literal["cls", "mean"] = Field(
        default="cls", description="the CLS token, or the mean of the patches"
    )


def embed(config: EmbedConfig, console: Console) -> Outcome:
    """Write one row per window: file, start_s, end_s, start_time, time_source, findings and the embedding.

    A Parquet table holds the vector in one column of lists; a CSV table has one column for each dimension. A
    window that reaches past the end of its recording is embedded without padding and its `end_s` is true.
    """
    check_ending(config.output)
    device = pick_device(config.device)
    encoder = load_encoder(config.model_path, device=device)
    traversal = Traversal(
        config,
        lambda batch: encoder.embed(batch.waveforms.to(device), pooling=config.pooling),
        window_s=config.window_s or DEFAULT_WINDOW_S,
        sample_rate_hz=encoder.sample_rate_hz,
        min_samples=encoder.front_end.config.frame_length,
        console=console,
    )
    is_csv = config.output.suffix.lower() == ".csv"
    with TableWriter(config.output, _schema(encoder.embedding_dim, is_csv)) as table:
        for rows in _chunks(traversal):
            table.write(rows if not is_csv else _widened(rows))
    traversal.outcome.write(config.output.with_name(f"{config.output.name}.problems.csv"))
    traversal.outcome.show(console)
    console.print(
        f"{config.output}: {table.num_rows} embeddings of {encoder.embedding_dim} dimensions",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return traversal.outcome


def _schema(embedding_dim: int, is_csv: bool) -> pa.Schema:
    window = [
        ("file", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("start_time", pa.string()),
        ("time_source", pa.string()),
        ("findings", pa.string()),
    ]
    if is_csv:
        return pa.schema([*window, *((f"e{i}", pa.float32()) for i in range(embedding_dim))])
    return pa.schema([*window, ("embedding", pa.list_(pa.float32(), embedding_dim))])


def _chunks(traversal: Traversal) -> Iterator[dict[str, list[object]]]:
    """Columns of a few hundred rows at a time."""
    columns: dict[str, list[object]] = {}
    for segment, reading, vector in traversal:
        end_s = min(segment.end_s, segment.recording.duration_s)
        findings = " ".join(sorted(finding.value for finding in reading.findings))
        placement = traversal.place(segment.recording)
        row = {
            "file": segment.recording.relative_path,
            "start_s": segment.start_s,
            "end_s": end_s,
            "start_time": placement.iso_time(segment.start_s),
            "time_source": placement.source.value,
            "findings": findings,
            "embedding": vector,
        }
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
        if len(columns["file"]) == ROWS_PER_WRITE:
            yield columns
            columns = {}
    if columns:
        yield columns


def _widened(columns: dict[str, list[object]]) -> dict[str, list[object] | np.ndarray]:
    """The same rows with one column for each dimension of the embedding."""
    vectors = np.stack([np.asarray(vector) for vector in columns["embedding"]])
    rest = {name: values for name, values in columns.items() if name != "embedding"}
    return {**rest, **{f"e{i}": vectors[:, i] for i in range(vectors.shape[1])}}
