"""A collection holds what the store holds, row by row, and says what it leaves out."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from bioacoustics.explorer import collection as collection_module
from bioacoustics.explorer.collection import read_collection, with_labels
from bioacoustics.store.database import Store
from bioacoustics.store.labels import add_labels

BOGOTA = timezone(timedelta(hours=-5))
EVENING = datetime(2026, 3, 1, 23, 59, 50, tzinfo=BOGOTA)


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    rng = np.random.default_rng(0)
    return make_store(
        {
            "r1": ("south", None, rng.normal(size=(7, 12))),
            "r0": ("norte", EVENING, rng.normal(size=(5, 12))),
        }
    )


def test_rows_of_frame_vectors_and_store_agree(store: Store) -> None:
    collection = read_collection(store.location)
    known = {row["id"]: row for row in store.rows("windows", ["id", "vector", "start_s"]).to_pylist()}
    assert len(collection) == len(known) == 12
    for i, window in enumerate(collection.windows["id"]):
        assert np.array_equal(collection.vectors[i], np.array(known[window]["vector"], np.float16))
        assert collection.windows["start_s"][i] == known[window]["start_s"]
    assert collection.vectors.dtype == np.float16
    assert collection.rows(np.array([3, 1])).dtype == np.float32
    assert collection.windows["path"][0] == "/recordings/norte/r0.wav"
    assert collection.sample.num_left_out == 0
    assert collection.facts["model_path"] == "encoder.pt"


def test_time_is_the_clock_on_the_wall_and_a_guess_is_none(store: Store) -> None:
    windows = read_collection(store.location).windows
    assert windows["date"].astype(str).tolist()[:5] == ["2026-03-01"] * 2 + ["2026-03-02"] * 3
    assert windows["hour"][0] == pytest.approx(24 - 10 / 3600)
    assert windows["hour"][2] == 0
    assert windows["local_time"][2].isoformat() == "2026-03-02T00:00:00"
    assert windows["local_time"][5:].isna().all()
    assert windows["hour"][5:].isna().all()
    assert (windows["date"][5:] == "").all()


def test_a_sample_reads_only_its_own_vectors_and_is_told(store: Store) -> None:
    whole, part = read_collection(store.location), read_collection(store.location, max_samples=4, seed=1)
    assert len(part) == 4
    assert part.sample.num_left_out == 8
    assert "8" in part.sample.rule.en
    assert "8" in part.sample.rule.es
    assert part.windows["recording"].value_counts().tolist() == [2, 2]
    rows = whole.windows.index[whole.windows["id"].isin(part.windows["id"])]
    assert np.array_equal(whole.vectors[rows], part.vectors)
    again = read_collection(store.location, max_samples=4, seed=1)
    assert again.windows["id"].tolist() == part.windows["id"].tolist()
    assert again.fingerprint == part.fingerprint != whole.fingerprint


def test_the_fingerprint_changes_with_the_model(store: Store) -> None:
    before = read_collection(store.location).fingerprint
    store.table("windows").update(where="recording = 'r1'", values={"model": "another"})
    assert read_collection(store.location).fingerprint != before


def test_many_vectors_become_a_memory_map_that_is_found_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_module, "MAX_BYTES_IN_MEMORY", 10)
    plain = read_collection(store.location)
    told: list[float] = []
    mapped = read_collection(
        store.location, scratch=tmp_path / "s", on_progress=lambda share, _: told.append(share)
    )
    assert isinstance(mapped.vectors, np.memmap)
    assert np.array_equal(mapped.vectors, plain.vectors)
    assert told[-1] == 1.0
    again = read_collection(store.location, scratch=tmp_path / "s")
    assert np.array_equal(again.vectors, plain.vectors)
    assert plain.save_vectors(tmp_path / "s") == mapped.save_vectors(tmp_path / "s")
    saved = np.load(plain.save_recordings(tmp_path / "s"), allow_pickle=False)
    assert saved.tolist() == plain.windows["recording"].tolist()


def test_labels_and_scores_belong_to_their_windows(store: Store, score_windows: Callable[..., None]) -> None:
    score_windows(store, {"r0-mix-000001": [0.25, 0.75], "r1-mix-000006": [0.5, 0.25]}, ("owl", "rain"))
    add_labels(store, ["r0-mix-000001"], "owl", who="ana")
    add_labels(store, ["r0-mix-000001"], "búho", who="ana")
    add_labels(store, ["r0-mix-000002"], "owl", who="ana", is_present=False)
    collection = read_collection(store.location)
    windows = collection.windows.set_index("id")
    assert windows["labels"]["r0-mix-000001"] == "búho,owl"
    assert (windows["labels"] == "").sum() == 11
    assert windows["predicted"]["r0-mix-000001"] == "rain"
    assert windows["probability"]["r1-mix-000006"] == 0.5
    assert collection.score_labels == ("owl", "rain")
    assert collection.scores is not None
    assert collection.scores[1].tolist() == [0.25, 0.75]
    assert np.isnan(collection.scores[0]).all()
    add_labels(store, ["r1-mix-000000"], "owl", who="ana")
    assert (with_labels(collection).windows["labels"] != "").sum() == 2


def test_stores_without_windows_are_told_how_to_get_some(
    make_store: Callable[..., Store], tmp_path: Path
) -> None:
    empty = make_store({}, "empty.lance")
    with pytest.raises(ValueError, match="run bioacoustics embed"):
        read_collection(empty.location)
    with pytest.raises(ValueError, match="run bioacoustics embed"):
        read_collection(Store.create(tmp_path / "new.lance").location)
    with pytest.raises(FileNotFoundError, match="there is no store"):
        read_collection(tmp_path / "nowhere.lance")
