"""Thresholds are the lowest that are precise enough, and their intervals widen with doubt."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioacoustics.training.thresholding import precise_threshold


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), wanted=st.sampled_from([0.3, 0.5, 0.75, 0.9]))
def test_no_lower_threshold_is_precise_enough(seed: int, wanted: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.choice(np.linspace(0.05, 0.95, 10), rng.integers(1, 30))
    is_present = rng.random(len(scores)) < scores
    precise = {
        t: is_present[scores >= t].mean() for t in scores if is_present[scores >= t].mean() >= wanted - 1e-12
    }
    found = precise_threshold(is_present, scores, np.arange(len(scores)), wanted)
    if not is_present.any() or not precise:
        assert found is None
        return
    assert found is not None and found.threshold == min(precise)
    assert found.precision == pytest.approx(precise[found.threshold])
    assert found.recall == pytest.approx((scores >= found.threshold)[is_present].mean())
    for value, (low, high) in (
        (found.precision, found.precision_interval),
        (found.recall, found.recall_interval),
    ):
        assert 0 <= low <= high <= 1
        assert low <= value + 0.2


def test_intervals_come_from_whole_recordings() -> None:
    """A hundred windows of two recordings know less than a hundred of fifty."""
    rng = np.random.default_rng(0)
    scores = np.full(400, 0.8)
    is_present = np.repeat(rng.random(40) < 0.85, 10)
    alone = precise_threshold(is_present, scores, np.arange(400), 0.5)
    together = precise_threshold(is_present, scores, np.arange(400) // 10, 0.5)
    assert alone is not None and together is not None
    assert alone.precision == together.precision
    widths = [high - low for low, high in (alone.precision_interval, together.precision_interval)]
    assert widths[1] > 2 * widths[0]
    again = precise_threshold(is_present, scores, np.arange(400) // 10, 0.5)
    assert again == together


def test_never_precise_and_never_present() -> None:
    scores = np.array([0.9, 0.1])
    assert precise_threshold(np.array([False, False]), scores, np.arange(2), 0.5) is None
    assert precise_threshold(np.array([False, True]), scores, np.arange(2), 0.9) is None
