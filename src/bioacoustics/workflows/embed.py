"""Embed: one vector for each window of recordings, in a table or in a store."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pydantic import Field
from rich.console import Console

from bioacoustics.audio.reading import Channel
from bioacoustics.inference.device import pick_device
from bioacoustics.inference.precision import pick_precision, prepare
from bioacoustics.inference.stopwatch import Stopwatch
from bioacoustics.models.audio_encoder import Pooling
from bioacoustics.models.saved import build_encoder, read_bundle
from bioacoustics.workflows.journal import RunSettings
from bioacoustics.workflows.output import Location, check_output, is_store, journal_of
from bioacoustics.workflows.parts import values_of
from bioacoustics.workflows.sources import Source, channel_name
from bioacoustics.workflows.store_journal import place_columns
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.traverse import Traversal, TraverseConfig, reading_settings

DEFAULT_WINDOW_S = 10.0


class EmbedConfig(TraverseConfig, frozen=True, extra="forbid"):
    """What `embed` needs to know."""

    model_path: Path = Field(description="any checkpoint, pre-trained or fine-tuned, published or own")
    output: Location = Field(
        description="table (.parquet or .csv), or store that can be searched and grows (a folder .lance, s3://...)"
    )
    pooling: Pooling = Field(
        default="auto", description="the CLS token, or the mean of the patches; auto: CLS where there is one"
    )


def embed(config: EmbedConfig, console: Console) -> Outcome:
    """Write one row per window: file, true times, channel, site, findings, fingerprints and the embedding.

    Results are committed as they come: after a crash, the same command goes on where it was. A Parquet table
    holds the vector in one column of lists; a CSV table has one column for each dimension. A window that
    reaches past the end of its recording is embedded without padding and its `end_s` is true.
    """
    check_output(config.output)
    device = pick_device(config.device)
    precision = pick_precision(config.precision, device)
    bundle = read_bundle(config.model_path)
    encoder = build_encoder(bundle).to(device)
    prepare(encoder, precision)
    stopwatch = Stopwatch()
    stopwatch.watch_front_end(encoder.front_end)
    window_s = config.window_s or DEFAULT_WINDOW_S / config.time_expansion
    traversal = Traversal(
        config,
        lambda batch: encoder.embed(batch.waveforms.to(device), pooling=config.pooling),
        window_s=window_s,
        sample_rate_hz=encoder.sample_rate_hz,
        min_samples=encoder.front_end.config.frame_length,
        precision=precision,
        console=console,
        stopwatch=stopwatch,
    )
    settings = RunSettings(
        command="embed",
        model=bundle.header.fingerprint,
        model_path=str(config.model_path.resolve()),
        front_end={**reading_settings(config, window_s), "pooling": config.pooling, "precision": precision},
    )
    journal = journal_of(
        config.output,
        settings,
        traversal.sources,
        traversal.segments,
        config.channel,
        EmbeddingRows(settings, encoder.embedding_dim, is_csv=config.output.lower().endswith(".csv")),
        dim=encoder.embedding_dim,
        overwrite=config.overwrite,
    )
    traversal.run(journal)
    said = journal.finish(traversal.outcome)
    traversal.outcome.show(console)
    line = f"{said} embeddings of {encoder.embedding_dim} dimensions, {precision}"
    if is_store(config.output):
        line += f"; search them with: bioacoustics search {config.output} --like CLIP"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
    return traversal.outcome


class EmbeddingRows:
    """A row for each window."""

    def __init__(self, settings: RunSettings, dim: int, *, is_csv: bool) -> None:
        self._settings, self._dim, self._is_csv = settings, dim, is_csv
        vector = (
            [(f"e{i}", pa.float32()) for i in range(dim)]
            if is_csv
            else [("embedding", pa.list_(pa.float32(), dim))]
        )
        noted = {"precision": str(settings.front_end["precision"])}
        self.schema = pa.schema([*WINDOW_COLUMNS, *vector], metadata=noted)

    def rows(
        self, source: Source, channel: Channel, windows: Iterator[pa.Table]
    ) -> Iterator[dict[str, object]]:
        """The rows of one take."""
        for piece in windows:
            columns = window_columns(self._settings, source, channel, piece)
            vectors = values_of(piece)
            if self._is_csv:
                columns |= {f"e{i}": vectors[:, i] for i in range(self._dim)}
            else:
                columns["embedding"] = pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), self._dim)
            yield columns


WINDOW_COLUMNS = (
    ("file", pa.string()),
    ("start_s", pa.float64()),
    ("end_s", pa.float64()),
    ("findings", pa.string()),
    ("channel", pa.string()),
    ("site", pa.string()),
    ("start_time", pa.string()),
    ("model", pa.string()),
    ("front_end", pa.string()),
    ("audio", pa.string()),
)


def window_columns(
    settings: RunSettings, source: Source, channel: Channel, windows: pa.Table
) -> dict[str, object]:
    """What every row about a window says besides the outputs of the model."""
    places = [
        place_columns(source, start_s, end_s)
        for start_s, end_s in zip(windows["start_s"].to_pylist(), windows["end_s"].to_pylist(), strict=True)
    ]
    num_rows = windows.num_rows
    return {
        **{
            name: [place[name] for place in places]
            for name in ("file", "start_s", "end_s", "site", "start_time", "audio")
        },
        "findings": windows["findings"],
        "channel": [channel_name(channel)] * num_rows,
        "model": [settings.model_id] * num_rows,
        "front_end": [settings.front_end_id] * num_rows,
    }
