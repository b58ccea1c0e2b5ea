"""The index is an explicit step whose recall is measured on the store itself."""

from pathlib import Path

import numpy as np
import pytest
from known_windows import window_rows

from bioacoustics.store.database import Store
from bioacoustics.store.index import FEWEST_WINDOWS, build_index, has_index
from bioacoustics.store.nearest import nearest


def test_it_finds_nearly_all_of_what_exact_search_finds(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s.lance")
    store.make_windows(16)
    store.upsert("windows", window_rows(FEWEST_WINDOWS))
    assert not has_index(store)
    report = build_index(store)
    assert has_index(store)
    assert report.num_windows == FEWEST_WINDOWS
    assert 0.95 <= report.recall <= 1
    late = window_rows(3, recording="late", seed=9)
    store.upsert("windows", late)  # found although the index does not know it
    vector = np.array(late["vector"][1].as_py(), np.float32)
    for exact in (True, False):
        hits = nearest(store, vector, 5, exact=exact)
        assert hits.rows["id"][0].as_py() == "late-mix-000001"
        assert hits.scores[0] == pytest.approx(np.linalg.norm(vector), rel=1e-3)


def test_a_small_store_needs_none(store: Store) -> None:
    with pytest.raises(ValueError, match="holds 400 windows: exact search is fast there"):
        build_index(store)
