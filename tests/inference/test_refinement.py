"""Patch columns narrow events to where the sound is, and patch rows give them a band."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioacoustics.audio.log_mel import LogMel, LogMelConfig
from bioacoustics.data.events import Event
from bioacoustics.inference.refinement import band_edges_hz, frequency_bounds, refine_times, stitch_columns

COLUMN_S = 0.16


def event(start_s: float, end_s: float, label: str = "frog") -> Event:
    return Event(recording="x.wav", start_s=start_s, end_s=end_s, label=label, score=0.9)


def test_an_event_shrinks_to_its_columns():
    columns = np.full((64, 2), 0.05)
    columns[10:13, 1] = [0.5, 0.8, 0.45]
    (refined,) = refine_times([event(0.0, 5.12)], columns, ["owl", "frog"], COLUMN_S)
    assert (refined.start_s, refined.end_s) == pytest.approx((1.6, 2.08))
    assert (refined.label, refined.score) == ("frog", 0.9)


def test_calls_apart_become_two_events_unless_the_pause_is_short():
    columns = np.zeros((20, 1))
    columns[[3, 4, 8, 9], 0] = 0.7
    spans = [(one.start_s, one.end_s) for one in refine_times([event(0.0, 3.2)], columns, ["frog"], COLUMN_S)]
    np.testing.assert_allclose(spans, [(0.48, 0.8), (1.28, 1.6)])
    (whole,) = refine_times([event(0.0, 3.2)], columns, ["frog"], COLUMN_S, max_gap_s=0.5)
    assert (whole.start_s, whole.end_s) == pytest.approx((0.48, 1.6))


def test_nothing_to_refine_by():
    silent = event(0.0, 1.0)
    assert refine_times([silent], np.zeros((10, 1)), ["frog"], COLUMN_S) == [silent]
    beyond = event(100.0, 101.0)
    assert refine_times([beyond], np.ones((10, 1)), ["frog"], COLUMN_S) == [beyond]
    assert refine_times([], np.ones((10, 1)), ["frog"], COLUMN_S) == []


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_refined_events_lie_within_and_hold_the_best_column(data):
    scores = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0]), min_size=5, max_size=40)))
    duration_s = len(scores) * COLUMN_S
    start_s, end_s = sorted(data.draw(st.tuples(*[st.floats(0, duration_s)] * 2)))
    if end_s - start_s < COLUMN_S:
        return
    refined = refine_times([event(start_s, end_s)], scores[:, None], ["frog"], COLUMN_S)
    assert all(start_s <= one.start_s <= one.end_s <= end_s for one in refined)
    first, last = math.floor(start_s / COLUMN_S + 1e-9), math.ceil(end_s / COLUMN_S - 1e-9)
    inside = scores[first:last]
    for column, score in enumerate(inside, start=first):
        middle_s = np.clip((column + 0.5) * COLUMN_S, start_s, end_s)
        is_covered = any(one.start_s - 1e-9 <= middle_s <= one.end_s + 1e-9 for one in refined)
        if score == inside.max() > 0:
            assert is_covered


def test_overlapping_windows_are_averaged():
    windows = np.arange(12, dtype=np.float64).reshape(3, 4, 1)
    stitched = stitch_columns(windows, np.array([0.0, 0.33, 1.6]), COLUMN_S)
    assert stitched[:, 0].tolist() == [0, 1, 3, 4, 6, 7, 0, 0, 0, 0, 8, 9, 10, 11]
    assert stitch_columns(np.zeros((0, 4, 2)), np.zeros(0), COLUMN_S).shape == (0, 2)


def test_bounds_enclose_the_strong_bands():
    edges_hz = np.array([0.0, 500, 1000, 2000, 4000])
    patches = np.array([[0.1, 0.9, 0.2, 0.0], [0.1, 0.2, 0.6, 0.3]])
    assert frequency_bounds(patches, edges_hz) == (500.0, 2000.0)
    assert frequency_bounds(patches, edges_hz, share=0.95) == (500.0, 1000.0)
    assert frequency_bounds(np.zeros((3, 4)), edges_hz) is None
    assert frequency_bounds(np.zeros((0, 4)), edges_hz) is None
    with pytest.raises(ValueError, match="4 bands have 5 edges, got 4"):
        frequency_bounds(patches, edges_hz[:-1])


@pytest.mark.parametrize("tone_hz", [300.0, 1000.0, 2500.0, 6000.0])
def test_a_tone_is_strongest_in_the_row_whose_edges_enclose_it(tone_hz):
    config = LogMelConfig.eat()
    edges_hz = band_edges_hz(config, 16)
    assert len(edges_hz) == 9
    assert (edges_hz[0], edges_hz[-1]) == pytest.approx((20.0, 8000.0))
    waveform = torch.sin(2 * math.pi * tone_hz * torch.arange(16000, dtype=torch.float64) / 16000).float()
    energies = LogMel(config).unnormalised(waveform[None])[0].exp().mean(dim=0).reshape(8, 16).sum(dim=1)
    low_hz, high_hz = frequency_bounds(energies.numpy()[None].astype(np.float64), edges_hz) or (0.0, 0.0)
    assert low_hz <= tone_hz <= high_hz
    assert high_hz - low_hz <= np.diff(edges_hz).max() * 1.001
