"""Novelty is the share of the known that lie closer, and recordings do not vouch for themselves."""

import numpy as np
import pytest

from bioacoustics.explorer import novelty
from bioacoustics.explorer.novelty import Reference, fifth_distances


def test_distances_equal_those_of_a_sorted_table() -> None:
    rng = np.random.default_rng(0)
    asked, known = rng.normal(size=(9, 4)), rng.normal(size=(30, 4))
    table = np.sort(np.linalg.norm(asked[:, None] - known[None], axis=2), axis=1)
    assert np.allclose(fifth_distances(asked, known), table[:, 4])
    assert np.allclose(fifth_distances(asked, known[:2]), table_of(asked, known[:2])[:, 1])


def table_of(asked: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.sort(np.linalg.norm(asked[:, None] - known[None], axis=2), axis=1)


def test_ordinary_windows_of_a_new_recording_are_not_novel() -> None:
    rng = np.random.default_rng(1)
    places = rng.normal(size=(21, 3)) * 3  # every recording sounds of its place
    windows = places[:, None] + 0.05 * rng.normal(size=(21, 30, 3))
    known, new = windows[:20].reshape(-1, 3), windows[20]
    recordings = [f"r{i}" for i in range(20) for _ in range(30)]
    assert Reference.of(known, recordings).score(new).max() < 0.99
    assert (
        Reference.of(known).score(new).min() > 0.99
    )  # what it looks like if neighbours vouch for themselves
    assert Reference.of(known, recordings).score(new + 100).min() == 1.0


def test_a_large_reference_is_thinned_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novelty, "MAX_REFERENCE", 100)
    points = np.random.default_rng(0).normal(size=(150, 2))
    one, other = Reference.of(points, seed=1), Reference.of(points, seed=1)
    assert len(one.points) == 100
    assert np.array_equal(one.points, other.points)
    assert len(Reference.of(points[:1]).distances) == 0
    assert Reference.of(points[:1]).score(points[:3]).tolist() == [0, 0, 0]
