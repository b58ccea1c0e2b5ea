"""A new season stands behind the known windows, row by row, and what is unlike is refused with a sentence."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from bioacoustics.explorer import seasons
from bioacoustics.explorer.collection import read_collection, with_labels
from bioacoustics.explorer.effort import effort_of
from bioacoustics.explorer.seasons import UnlikeError, season_of, season_since
from bioacoustics.store.database import Store
from bioacoustics.store.labels import add_labels

BEGINS = datetime(2026, 3, 1, 20, 0)
Maker = Callable[..., Store]


def recordings(names: str, rng: np.random.Generator) -> dict[str, tuple[str, datetime, np.ndarray]]:
    return {
        name: ("norte", BEGINS + timedelta(days=ord(name) - ord("a")), rng.normal(size=(4, 12)))
        for name in names
    }


@pytest.fixture
def both(make_store: Maker) -> tuple[Store, Store]:
    rng = np.random.default_rng(0)
    old = recordings("abc", rng)
    return make_store(old, "Ñandú 2025.lance"), make_store(
        {"c": old["c"], **recordings("de", rng)}, "2026.lance"
    )


def test_what_both_have_is_not_new_and_rows_stay_the_same_windows(both: tuple[Store, Store]) -> None:
    known, other = (read_collection(store.location) for store in both)
    season = season_of(known, other)
    assert season.num_shared == 4
    assert set(season.new.windows["recording"].astype(str)) == {"d", "e"}
    everything = season.everything
    assert (
        everything.windows["id"].tolist() == known.windows["id"].tolist() + season.new.windows["id"].tolist()
    )
    assert np.array_equal(everything.vectors[:12], known.vectors)
    for i in range(12, 20):
        at = other.windows["id"].tolist().index(everything.windows["id"][i])
        assert np.array_equal(everything.vectors[i], other.vectors[at])
    assert everything.windows["season"].astype(str).unique().tolist() == ["Ñandú 2025", "2026"]
    assert everything.recorded["duration_s"].to_dict() == dict.fromkeys("abcde", 20.0)
    assert everything.sample.num_left_out == 0
    assert len({known.fingerprint, season.new.fingerprint, everything.fingerprint}) == 3
    assert effort_of(everything).total_h == pytest.approx(5 * 20 / 3600)


def test_labels_of_both_stores_are_seen(both: tuple[Store, Store]) -> None:
    season = season_of(*(read_collection(store.location) for store in both))
    add_labels(both[0], ["a-mix-000001"], "owl", who="ana")
    add_labels(both[1], ["e-mix-000002"], "rain", who="ana")
    labelled = with_labels(season.everything).windows.set_index("id")["labels"]
    assert labelled[labelled != ""].to_dict() == {"a-mix-000001": "owl", "e-mix-000002": "rain"}


def test_many_vectors_go_to_a_memory_map(
    both: tuple[Store, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, other = (read_collection(store.location) for store in both)
    in_memory = season_of(known, other, tmp_path).everything.vectors
    monkeypatch.setattr(seasons, "MAX_BYTES_IN_MEMORY", 0)
    for _ in range(2):  # made, then found
        mapped = season_of(known, other, tmp_path).everything.vectors
        assert isinstance(mapped, np.memmap)
        assert np.array_equal(mapped, in_memory)


def test_scores_stand_behind_each_other(
    both: tuple[Store, Store], score_windows: Callable[..., None]
) -> None:
    for store, window in ((both[0], "a-mix-000000"), (both[1], "d-mix-000000")):
        score_windows(store, {window: [0.3, 0.7]}, ("owl", "rain"))
    scores = season_of(*(read_collection(store.location) for store in both)).everything.scores
    assert scores is not None
    assert np.flatnonzero(np.isfinite(scores[:, 0])).tolist() == [0, 12]
    both[1].state("predict c", {"command": "predict", "labels": ["frog", "rain"]})
    scores = season_of(*(read_collection(store.location) for store in both)).everything.scores
    assert scores is not None
    assert np.flatnonzero(np.isfinite(scores[:, 0])).tolist() == [0]


def test_another_model_or_other_windows_are_refused(both: tuple[Store, Store], make_store: Maker) -> None:
    known, other = (read_collection(store.location) for store in both)
    about = both[1].fact("embed")
    both[1].state("embed", about | {"model": "another"})
    with pytest.raises(UnlikeError, match="another model") as refused:
        season_of(known, read_collection(both[1].location))
    assert "otro modelo" in refused.value.sentence.es
    assert "bioacoustics embed --model_path encoder.pt" in refused.value.sentence.es
    both[1].state("embed", about | {"front_end": {"window_s": 3.0}})
    with pytest.raises(UnlikeError, match=r"window_s: None ≠ 3.0"):
        season_of(known, read_collection(both[1].location))
    both[1].state("embed", about | {"front_end": {"max_samples": 1000}})
    assert len(season_of(known, read_collection(both[1].location)).new) == 8
    with pytest.raises(UnlikeError, match="nothing to place"):
        season_of(known, known)
    wide = make_store({"w": ("sur", BEGINS, np.zeros((3, 8)))}, "wide.lance")
    with pytest.raises(UnlikeError, match="another model"):
        season_of(known, read_collection(wide.location))
    assert len(other) == 12


def test_a_date_divides_one_store(both: tuple[Store, Store]) -> None:
    whole = read_collection(both[0].location)
    season = season_since(whole, "2026-03-03")
    assert season.known.windows["recording"].astype(str).unique().tolist() == ["a", "b"]
    assert season.new.windows["recording"].astype(str).unique().tolist() == ["c"]
    assert season.everything.windows["id"].tolist() == whole.windows["id"].tolist()
    assert season.everything.locations == (both[0].location,)
    for date in ("2026-03-01", "2027-01-01"):
        with pytest.raises(UnlikeError, match="one side"):
            season_since(whole, date)
    part = season_since(read_collection(both[0].location, max_samples=6), "2026-03-03").everything
    assert part.sample.num_left_out == 6
