"""Thresholds keep their precision, calibration makes probabilities true, intervals are Wilson's."""

import numpy as np
import pytest

from bioacoustics.explorer.judging import judged, scale_of, threshold_for, wilson_low


def test_the_threshold_is_the_lowest_that_keeps_the_precision() -> None:
    rng = np.random.default_rng(0)
    p = np.round(rng.uniform(size=300), 2)
    y = rng.uniform(size=300) < p
    for wanted in (0.6, 0.8, 0.9):
        found = threshold_for(p, y, wanted)
        above = p >= found.value
        assert y[above].mean() >= wanted
        assert found.precision == pytest.approx(y[above].mean())
        assert found.recall == pytest.approx(y[above].sum() / y.sum())
        for lower in np.unique(p[p < found.value]):
            assert y[p >= lower].mean() < wanted
        assert found.lowest_precision < found.precision
    best = threshold_for(np.array([0.2, 0.8]), np.array([True, False]), 0.9)
    assert not best.is_reached
    nothing = threshold_for(np.array([np.nan, 0.3]), np.array([True, False]), 0.9)
    assert nothing.value == 1.0


def test_calibrated_probabilities_are_true() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=4000)
    y = rng.uniform(size=4000) < 1 / (1 + np.exp(-(2 * truth - 1)))
    scale, shift = scale_of(10 * truth, y)  # ten times too sure of itself
    assert scale == pytest.approx(0.2, abs=0.02)
    assert shift == pytest.approx(-1, abs=0.12)
    assert scale_of(truth[:5], np.array([True] * 5)) == (1.0, 0.0)
    assert scale_of(-truth, y)[0] > 0  # what is worse than chance is never turned round


def test_intervals_and_judgements() -> None:
    assert wilson_low(9, 10) == pytest.approx(0.5958, abs=1e-3)  # Wilson's interval of 9 of 10
    assert wilson_low(0, 5) == 0
    told = judged("owl", np.array([0.9, 0.8, 0.3, np.nan]), np.array([True, False, True, True]), 0.5)
    assert (told.num_present, told.num_absent, told.precision, told.recall) == (2, 1, 0.5, 0.5)
    assert told.average_precision == pytest.approx((1 + 2 / 3) / 2)
