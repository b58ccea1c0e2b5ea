"""Samples are fair to recordings and time, thinned maps lose points only where it is crowded, both say so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioacoustics.explorer.sampling import evenly, fair_sample, thinned


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    max_samples=st.integers(1, 100),
    seed=st.integers(0, 9),
)
def test_every_recording_has_the_same_say(counts: list[int], max_samples: int, seed: int) -> None:
    recordings = [f"r{i}" for i, count in enumerate(counts) for _ in range(count)]
    starts = np.array([5.0 * j for count in counts for j in range(count)])
    mixed = np.random.default_rng(seed).permutation(len(recordings))
    sample = fair_sample([recordings[i] for i in mixed], starts[mixed], max_samples, seed=seed)
    assert len(sample.positions) == min(max_samples, len(recordings))
    assert sample.num_left_out == len(recordings) - len(sample.positions)
    assert len(np.unique(sample.positions)) == len(sample.positions)
    taken = np.bincount([int(recordings[mixed[p]][1:]) for p in sample.positions], minlength=len(counts))
    unfinished = taken[taken < counts]
    if len(unfinished):  # whoever could give more gives as much as anybody else, but for one
        assert taken.max() - unfinished.min() <= 1


def test_windows_of_a_recording_are_spread_over_all_of_it() -> None:
    starts = np.arange(1000) * 5.0
    sample = fair_sample(["r"] * 1000, starts, 10, seed=3)
    gaps = np.diff(starts[sample.positions])
    assert gaps.min() >= 495
    assert gaps.max() <= 505
    assert not np.array_equal(sample.positions, fair_sample(["r"] * 1000, starts, 10, seed=4).positions)


def test_more_recordings_than_samples_are_taken_evenly_along_sites_and_time() -> None:
    recordings = [f"r{i:03d}" for i in range(100)]
    sites = ["north"] * 80 + ["south"] * 20
    moments = [f"2026-01-{1 + i % 28:02d}" for i in range(100)]
    chosen = fair_sample(recordings, np.zeros(100), 10, sites=sites, moments=moments).positions
    assert len(chosen) == 10
    assert sum(sites[i] == "south" for i in chosen) == 2
    days = sorted(int(moments[i][-2:]) for i in chosen if sites[i] == "north")
    assert days[0] <= 5
    assert days[-1] >= 24


def test_without_need_nothing_is_left_out_and_zero_is_refused() -> None:
    sample = fair_sample(["a", "b"], np.zeros(2), None)
    assert sample.positions.tolist() == [0, 1]
    assert sample.rule.en.startswith("All 2 windows")
    with pytest.raises(ValueError, match="1 or more"):
        fair_sample(["a"], np.zeros(1), 0)


def test_even_positions_differ() -> None:
    rng = np.random.default_rng(0)
    for count in range(1, 40):
        for quota in range(1, count + 1):
            positions = evenly(count, quota, rng)
            assert len(np.unique(positions)) == quota
            assert positions.max() < count


def test_only_crowded_cells_lose_points_and_the_loss_is_counted() -> None:
    rng = np.random.default_rng(0)
    crowd = rng.normal(0.5, 0.001, size=(5000, 2))
    lonely = rng.uniform(size=(200, 2))
    points = np.vstack([crowd, lonely, [[np.nan, 0.0]]])
    drawn = thinned(points, 1000, seed=0)
    assert len(drawn.positions) <= 1000
    assert drawn.num_not_drawn == 5200 - len(drawn.positions)
    assert np.isin(np.arange(5000, 5200), drawn.positions).mean() > 0.95
    assert 5200 not in drawn.positions
    assert drawn.stands_for.sum() == pytest.approx(5200)
    assert str(drawn.num_not_drawn) in drawn.rule.en
    assert np.array_equal(drawn.positions, thinned(points, 1000, seed=0).positions)


def test_a_selection_is_always_drawn_and_few_points_all_are() -> None:
    points = np.zeros((1000, 3))
    points[0] = 1
    chosen = np.array([5, 500, 999])
    drawn = thinned(points, 10, always=chosen)
    assert np.isin(chosen, drawn.positions).all()
    whole = thinned(points, 1000)
    assert whole.num_not_drawn == whole.max_per_cell == 0
    assert len(whole.positions) == 1000
    assert len(thinned(np.zeros((0, 2)), 10).positions) == 0
