"""Score reading: the scores of windows, from a table that `predict` wrote or from a store, piece by piece."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from bioacoustics.formats.tables import check_ending
from bioacoustics.inference.patch_scores import ABSENT, PatchGrid, WindowScores, shaped
from bioacoustics.store.database import Store, quoted
from bioacoustics.workflows.output import is_store
from bioacoustics.workflows.window_scores import FACTS_KEY, ScoreFacts, windows_beside

SCORE_COLUMN = re.compile(r"p\((.+)\)")
ROWS_AT_ONCE = 1024
_TEXTS = ("file", "channel", "model", "front_end", "audio")


@dataclass(frozen=True, slots=True)
class Piece:
    """Windows of one channel of a recording that follow each other."""

    file: str
    channel: str
    model: str
    front_end: str
    audio: str
    windows: WindowScores

    @property
    def take(self) -> tuple[str, str]:
        """Recording and channel."""
        return self.file, self.channel


@dataclass(frozen=True, slots=True)
class ScoreSource:
    """Scores of windows, recording by recording, channel by channel, in order of time."""

    location: str
    facts: ScoreFacts
    pieces: Callable[[], Iterator[Piece]]


def open_scores(location: str, *, model: str | None = None) -> ScoreSource:
    """Open the scores of windows: of a store, of a table with `--per window`, or those beside a table.

    Args:
        location: what `predict` wrote.
        model: fingerprint of the classifier, for a store that has scores of several.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: It holds no scores of windows, or of several models.
    """
    if is_store(location):
        return _of_store(location, model)
    path = Path(location)
    check_ending(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; give a table or store that predict wrote")
    if windows_beside(path).is_file():
        path = windows_beside(path)
    source = _of_parquet(path) if path.suffix.lower() == ".parquet" else _of_csv(path)
    return source


def _of_parquet(path: Path) -> ScoreSource:
    try:
        schema = pa.parquet.read_schema(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: no Parquet file that can be read: {error}") from error
    noted = (schema.metadata or {}).get(FACTS_KEY)
    facts = ScoreFacts.model_validate_json(noted) if noted else _facts_of(path, schema.names)

    def pieces() -> Iterator[Piece]:
        with pa.parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups):  # asked for all, it would read ahead without bound
                for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group]):
                    yield from _pieces(batch, facts)

    return ScoreSource(str(path), facts, pieces)


def _of_csv(path: Path) -> ScoreSource:
    with path.open(newline="", encoding="utf-8-sig") as file:
        names = next(csv.reader(file), [])
    facts = _facts_of(path, names)
    types = {name: pa.float64() for name in names if SCORE_COLUMN.fullmatch(name)}
    types |= {"start_s": pa.float64(), "end_s": pa.float64(), **dict.fromkeys(_TEXTS, pa.string())}
    options = pa.csv.ConvertOptions(column_types=types, include_columns=[n for n in names if n in types])

    def pieces() -> Iterator[Piece]:
        try:
            with pa.csv.open_csv(path, convert_options=options) as batches:
                for batch in batches:
                    yield from _pieces(batch, facts)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path}: no table that can be read: {error}") from error

    return ScoreSource(str(path), facts, pieces)


def _of_store(location: str, model: str | None) -> ScoreSource:
    store = Store.open(location)
    runs = {key.split()[1]: fact for key, fact in store.facts().items() if key.startswith("predict ")}
    wanted = [run for run in runs if model is None or run == model[:16]]
    if len(wanted) != 1:
        known = ", ".join(f"{run} ({fact['model_path']})" for run, fact in sorted(runs.items()))
        raise ValueError(
            f"{location} holds scores of {known or 'no classifier'}; "
            + ("name one with --model_path" if runs else "make some with: bioacoustics predict --output ...")
        )
    fact = runs[wanted[0]]
    facts = ScoreFacts(labels=fact["labels"], multi_label=fact["multi_label"], grid=fact.get("grid"))

    def pieces() -> Iterator[Piece]:
        columns = ["id", "start_s", "end_s", "scores", *_TEXTS]
        recordings = store.rows("recordings", ["id", "file"]).to_pylist()
        for row in sorted(recordings, key=lambda one: (str(one["file"]), str(one["id"]))):
            where = f"recording = {quoted(row['id'])} AND model = {quoted(wanted[0])}"
            found = store.rows("scores", columns, where)
            found = found.sort_by([("channel", "ascending"), ("start_s", "ascending")])
            for first in range(0, found.num_rows, ROWS_AT_ONCE):
                part = found.slice(first, ROWS_AT_ONCE)
                if facts.grid is not None:
                    part = _with_patches(part, store, where, facts.grid)
                for batch in part.combine_chunks().to_batches():
                    yield from _pieces(batch, facts)

    return ScoreSource(location, facts, pieces)


def _with_patches(windows: pa.Table, store: Store, where: str, grid: PatchGrid) -> pa.Table:
    """Windows of one recording with the patches that a store keeps of some of them."""
    first_s, last_s = (pa.compute.min_max(windows["start_s"])[end].as_py() for end in ("min", "max"))
    near = f"{where} AND start_s >= {first_s!r} AND start_s <= {last_s!r}"
    found = store.rows("patch_scores", ["id", "kept", "patches"], near)
    place_of = {name: i for i, name in enumerate(found["id"].to_pylist())}
    places = pa.array([place_of.get(name) for name in windows["id"].to_pylist()], pa.int64())
    kept, patches = (found[name].combine_chunks().take(places) for name in ("kept", "patches"))
    nothing = pa.scalar([ABSENT] * grid.num_kept, kept.type)
    windows = windows.append_column("kept", pa.compute.if_else(kept.is_null(), nothing, kept))
    return windows.append_column(
        "patches", pa.compute.if_else(patches.is_null(), pa.scalar([], patches.type), patches)
    )


def _facts_of(path: Path, names: list[str]) -> ScoreFacts:
    labels = tuple(found[1] for name in names if (found := SCORE_COLUMN.fullmatch(name)))
    if not labels or not {"file", "start_s", "end_s"} <= set(names):
        missing = "p(label)" if not labels else "start_s and end_s"
        raise ValueError(
            f"{path}: no columns {missing}, so these are no scores of windows; write them with "
            "bioacoustics predict --per window, or --events"
        )
    return ScoreFacts(labels=labels)


def _pieces(batch: pa.RecordBatch, facts: ScoreFacts) -> Iterator[Piece]:
    if not batch.num_rows:
        return
    texts = {
        name: [str(value) for value in batch[name].to_pylist()]
        if name in batch.schema.names
        else [""] * batch.num_rows
        for name in _TEXTS
    }
    rows = list(zip(*texts.values(), strict=True))
    changes = [i for i in range(len(rows)) if i == 0 or rows[i] != rows[i - 1]]
    windows = _windows(batch, facts)
    for first, stop in pairwise([*changes, len(rows)]):
        file, channel, model, front_end, audio = rows[first]
        yield Piece(file, channel, model, front_end, audio, windows.part(first, stop))


def _windows(batch: pa.RecordBatch, facts: ScoreFacts) -> WindowScores:
    starts_s, ends_s = (batch[name].to_numpy(zero_copy_only=False) for name in ("start_s", "end_s"))
    if "scores" not in batch.schema.names:
        columns = [batch[f"p({label})"].to_numpy(zero_copy_only=False) for label in facts.labels]
        return WindowScores(starts_s=starts_s, ends_s=ends_s, scores=np.stack(columns, axis=1))
    scores = batch["scores"].flatten().to_numpy().reshape(batch.num_rows, -1)
    if facts.grid is None:
        return WindowScores(starts_s=starts_s, ends_s=ends_s, scores=scores)
    kept = batch["kept"].flatten().to_numpy().reshape(batch.num_rows, -1)
    patches = [
        shaped(row.values.to_numpy(zero_copy_only=False), of_window, facts.grid)
        for row, of_window in zip(batch["patches"], kept, strict=True)
    ]
    return WindowScores(starts_s=starts_s, ends_s=ends_s, scores=scores, kept=kept, patches=patches)
