"""Collection: the windows that a page shows, with their vectors, places, times, scores and labels."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float, Int

from bioacoustics.audio.writing import atomic_write
from bioacoustics.explorer.sampling import Sample, fair_sample
from bioacoustics.explorer.steps import DONE, Progress, Step, silent
from bioacoustics.store.database import Store
from bioacoustics.store.labels import labels as labels_of

MAX_BYTES_IN_MEMORY = 2**29  # of vectors; more lie in a memory map
_PLACE = (
    *("id", "recording", "file", "site", "channel", "start_s", "end_s"),
    *("start_time", "time_source", "second_of_day", "findings", "audio", "model", "front_end"),
)
_REPEATED = ("recording", "file", "site", "channel", "time_source", "findings", "audio", "model", "front_end")
_CLOCK_LENGTH = len("2026-03-01T22:00:00")


@dataclass(frozen=True, eq=False, kw_only=True)
class Collection:
    """Windows and what is known of them; row i of everything is the same window.

    Attributes:
        location: The store.
        windows: One row a window, in order of recording, channel and time. Columns: id, recording, file,
            path, site, channel, start_s, end_s, start_time (ISO 8601), time_source, local_time (the clock on
            the wall; NaT where unknown or guessed), hour (0 to 24; NaN), date ("" where unknown), findings,
            labels (what people said is there, "a,b"), predicted, probability (NaN without predictions).
        vectors: In half precision; a memory map if there are many.
        scores: Of every window and label of the classifier that heard most of them; NaN where it did not.
        score_labels: The labels of `scores`.
        facts: What the store says about the run that made the vectors (model_path, front_end, ...).
        sample: Which part of the store this is, and by which rule.
        recorded: How long each recording is (`duration_s`, NaN where unknown), by its id.
        fingerprint: Equal exactly where windows and vectors are.
        more_locations: Of stores whose windows came to these (see `seasons`).
    """

    location: str
    windows: pd.DataFrame
    vectors: Float[np.ndarray, "windows width"]
    scores: Float[np.ndarray, "windows classes"] | None
    score_labels: tuple[str, ...]
    facts: Mapping[str, Any]
    sample: Sample
    recorded: pd.DataFrame
    fingerprint: str
    more_locations: tuple[str, ...] = ()

    @property
    def locations(self) -> tuple[str, ...]:
        """Every store that windows lie in."""
        return tuple(dict.fromkeys((self.location, *self.more_locations)))

    def __len__(self) -> int:
        return len(self.windows)

    def rows(self, positions: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "chosen width"]:
        """Some vectors in single precision."""
        return np.asarray(self.vectors[positions], np.float32)

    def save_vectors(self, folder: Path) -> Path:
        """Write the vectors where other processes map them; nothing happens if they are there already."""
        return _kept(folder / f"vectors-{self.fingerprint}.npy", self.vectors)

    def save_recordings(self, folder: Path) -> Path:
        """Write the recording of every window beside them, for novelty that is fair to new recordings."""
        recordings = self.windows["recording"].astype(str).to_numpy().astype(str)
        return _kept(folder / f"recordings-{self.fingerprint}.npy", recordings)


def read_collection(
    location: str | Path,
    *,
    max_samples: int | None = None,
    seed: int = 0,
    scratch: Path | None = None,
    on_progress: Progress | None = None,
) -> Collection:
    """Read the windows of a store, or `max_samples` of them drawn fairly (see `fair_sample`).

    Only the chosen vectors are kept. Above half a gigabyte they go to a memory map in `scratch`.

    Raises:
        FileNotFoundError: There is no store.
        ValueError: The store holds no vectors yet, or `max_samples` is not positive.
    """
    store = Store.open(location)
    facts = store.fact("embed")
    if facts is None or not store.count("windows"):
        raise ValueError(
            f"{location} holds no vectors yet: run bioacoustics embed --model_path CHECKPOINT "
            f"--data_dir RECORDINGS --output {location}"
        )
    report = on_progress or silent
    report(0.0, Step("reading"))
    everything = _places(store)
    sample = fair_sample(
        everything["recording"].tolist(),
        everything["start_s"].to_numpy(),
        max_samples,
        seed=seed,
        sites=everything["site"].tolist(),
        moments=everything["start_time"].tolist(),
    )
    windows = everything.iloc[sample.positions].reset_index(drop=True)
    fingerprint = _fingerprint(windows)
    vectors = _vectors(store, windows["id"], fingerprint, scratch, report)
    scores, score_labels, answers = _scores(store, windows["id"])
    windows = windows.assign(**_times(windows), path=_paths(store, windows), **answers)
    windows = windows.drop(columns=["second_of_day", "audio", "model", "front_end"])
    report(1.0, DONE)
    return with_labels(
        Collection(
            location=str(location),
            windows=windows,
            vectors=vectors,
            scores=scores,
            score_labels=score_labels,
            facts=facts,
            sample=sample,
            recorded=_recorded(store),
            fingerprint=fingerprint,
        )
    )


def with_labels(collection: Collection) -> Collection:
    """The same windows with the labels that their stores have now."""
    names_of: dict[str, set[str]] = {}
    for location in collection.locations:
        said = labels_of(Store.open(location)).to_pandas()
        present = said[said["is_present"]] if len(said) else said
        for window, label in zip(present["window"], present["label"], strict=True):
            names_of.setdefault(window, set()).add(label)
    labels = [",".join(sorted(names_of.get(window, ()))) for window in collection.windows["id"]]
    return replace(collection, windows=collection.windows.assign(labels=labels))


def part_of(collection: Collection, positions: Int[np.ndarray, " chosen"]) -> Collection:
    """Some of the windows as a collection of their own."""
    digest = hashlib.sha256(np.asarray(positions, np.int64).tobytes())
    digest.update(collection.fingerprint.encode())
    sample = collection.sample
    return replace(
        collection,
        windows=collection.windows.iloc[positions].reset_index(drop=True),
        vectors=np.asarray(collection.vectors[positions]),
        scores=None if collection.scores is None else collection.scores[positions],
        sample=replace(
            sample,
            positions=sample.positions[positions],
            num_windows=round(sample.num_windows * len(positions) / max(len(sample.positions), 1)),
        ),
        fingerprint=digest.hexdigest()[:16],
    )


def _places(store: Store) -> pd.DataFrame:
    """All windows of the store, in order; texts that repeat are categories, so that a million fit."""
    table = store.rows("windows", _PLACE)
    for name in _REPEATED:
        column = table[name].combine_chunks().dictionary_encode()
        table = table.set_column(table.schema.get_field_index(name), name, column)
    frame: pd.DataFrame = table.to_pandas()
    order = ["file", "channel", "start_s"]
    keys = [frame[name].astype(str) if name != "start_s" else frame[name] for name in order]
    positions = np.lexsort([np.asarray(key) for key in reversed(keys)])
    return frame.iloc[positions].reset_index(drop=True)


def _fingerprint(windows: pd.DataFrame) -> str:
    digest = hashlib.sha256()
    digest.update("\n".join(windows["id"]).encode())
    for name in ("audio", "model", "front_end"):
        column = windows[name].astype("category").cat
        digest.update("\n".join(map(str, column.categories)).encode())
        digest.update(np.ascontiguousarray(column.codes).tobytes())
    return digest.hexdigest()[:16]


def _vectors(
    store: Store, ids: pd.Series, fingerprint: str, scratch: Path | None, report: Progress
) -> Float[np.ndarray, "windows width"]:
    """The vectors of some windows in their order, read piece by piece."""
    width = store.table("windows").schema.field("vector").type.list_size
    path = scratch / f"vectors-{fingerprint}.npy" if scratch is not None else None
    if path is not None and path.exists():
        return _mapped(path)
    place_of = pd.Index(ids)
    vectors = np.zeros((len(ids), width), np.float16)
    num_windows, num_read = store.count("windows"), 0
    for batch in store.batches("windows", ["id", "vector"]):
        places = place_of.get_indexer(batch["id"].to_pandas())
        wanted = places >= 0
        if wanted.any():
            flat = _flat(batch["vector"]).reshape(-1, width)
            vectors[places[wanted]] = flat[wanted]
        num_read += batch.num_rows
        report(0.9 * num_read / num_windows, Step("reading"))
    if path is None or vectors.nbytes <= MAX_BYTES_IN_MEMORY:
        return vectors
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        np.save(file, vectors, allow_pickle=False)
    return _mapped(path)


def _mapped(path: Path) -> Float[np.ndarray, "windows width"]:
    vectors: Float[np.ndarray, "windows width"] = np.load(path, mmap_mode="r", allow_pickle=False)
    return vectors


def _kept(path: Path, array: np.ndarray) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            np.save(file, array, allow_pickle=False)
    return path


def _flat(column: pa.Array) -> np.ndarray:
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False))


def _paths(store: Store, windows: pd.DataFrame) -> pd.Series:
    rows = store.rows("recordings", ["id", "path"]).to_pandas().set_index("id")["path"]
    return windows["recording"].astype(str).map(rows).fillna("").astype("category")


def _recorded(store: Store) -> pd.DataFrame:
    rows: pd.DataFrame = store.rows("recordings", ["id", "duration_s"]).to_pandas()
    return rows.drop_duplicates("id").set_index("id").astype(float)


def _scores(
    store: Store, ids: pd.Series
) -> tuple[Float[np.ndarray, "windows classes"] | None, tuple[str, ...], dict[str, Any]]:
    """Scores of the classifier that heard most of these windows, its labels, and its answers as columns."""
    nothing: dict[str, Any] = {"predicted": "", "probability": np.nan}
    if not store.count("scores"):
        return None, (), nothing
    rows = store.rows("scores", ["id", "model", "predicted", "probability", "scores"]).to_pandas()
    rows = rows[rows["id"].isin(ids)]
    if rows.empty:
        return None, (), nothing
    model = str(rows["model"].mode().iloc[0])
    chosen = rows[rows["model"] == model].drop_duplicates("id").set_index("id").reindex(ids)
    labels = tuple((store.fact(f"predict {model}") or {}).get("labels", ()))
    scores = np.full((len(ids), len(labels)), np.nan, np.float32)
    known = chosen["scores"].notna().to_numpy()
    if labels and known.any():
        scores[known] = np.stack(list(chosen["scores"][known]))
    answers = {
        "predicted": chosen["predicted"].fillna("").to_numpy(object),
        "probability": chosen["probability"].to_numpy(np.float32),
    }
    return (scores if labels else None), labels, answers


def _times(windows: pd.DataFrame) -> dict[str, Any]:
    """The clock on the wall; a time that is only a guess is none."""
    known = windows["second_of_day"].notna() & windows["start_time"].fillna("").ne("")
    text = windows["start_time"].where(known).str.slice(0, _CLOCK_LENGTH)
    local = pd.to_datetime(text, format="%Y-%m-%dT%H:%M:%S", errors="coerce")
    seconds = windows["second_of_day"].where(known).astype(float)
    return {
        "local_time": local,
        "hour": seconds / 3600,
        "date": text.str.slice(0, 10).fillna("").astype("category"),
    }
