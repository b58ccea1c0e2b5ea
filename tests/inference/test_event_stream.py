"""Events that stream equal those of the whole recording, whatever the pieces; patches give them sides."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bioacoustics.inference.event_stream as event_stream
from bioacoustics.data.events import Event
from bioacoustics.inference.event_stream import EventStream
from bioacoustics.inference.events import EventConfig, find_events
from bioacoustics.inference.patch_scores import PatchGrid, WindowScores

LABELS = ("owl", "frog", "rain")
GRID = PatchGrid(num_kept=2, column_s=0.16, edges_hz=(0.0, 500.0, 1000.0, 2000.0, 4000.0))


def streamed(windows, pieces, config, open_at, grid=None, nyquist_hz=24000.0):
    stream = EventStream("a.wav", LABELS, config, open_at, grid, nyquist_hz)
    found, first = [], 0
    for stop in [*sorted(pieces), len(windows)]:
        found += stream.add(windows.part(first, stop))
        first = max(first, stop)
    return found + stream.close()


def in_time(events):
    return sorted(events, key=lambda event: (event.start_s, event.end_s, event.label))


def a_recording(seed, window_s, stride_s, is_busy):
    """Scores at and about the thresholds, with some windows missing."""
    rng = np.random.default_rng(seed)
    starts_s = np.flatnonzero(rng.random(rng.integers(40)) < 0.9) * stride_s
    rare, often = (0.6, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05), (0.1, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2)
    levels = [0.0, 0.1, 0.2, 0.34, 0.35, 0.5, 0.9]
    scores = rng.choice(levels, (len(starts_s), 3), p=often if is_busy else rare)
    return WindowScores(starts_s=starts_s, ends_s=starts_s + window_s, scores=scores)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    lengths=st.sampled_from([(1.0, 1.0), (2.0, 1.0), (5.0, 0.5)]),
    is_busy=st.booleans(),
    config=st.builds(
        EventConfig,
        max_gap_s=st.sampled_from([0.0, 1.0, 3.0]),
        min_length_s=st.sampled_from([0.0, 1.5]),
        max_length_s=st.sampled_from([None, 4.0]),
        takes_mean=st.booleans(),
    ),
    pieces=st.lists(st.integers(0, 40), max_size=6),
)
def test_pieces_change_nothing(seed, lengths, is_busy, config, pieces):
    windows = a_recording(seed, *lengths, is_busy)
    open_at = np.array([0.5, 0.3, 0.9])
    whole = find_events(
        "a.wav", windows.starts_s, windows.ends_s, windows.scores, LABELS, config, open_at=open_at
    )
    found = streamed(windows, [min(piece, len(windows)) for piece in pieces], config, open_at)
    assert [replace(event, score=None) for event in found] == [
        replace(event, score=None) for event in in_time(whole)
    ]
    np.testing.assert_allclose([e.score for e in found], [e.score for e in in_time(whole)])


def test_what_is_settled_is_handed_over_and_no_longer_held():
    starts_s = np.arange(1000.0)
    scores = np.zeros((1000, 3))
    scores[::10, 1] = 0.8
    windows = WindowScores(starts_s=starts_s, ends_s=starts_s + 1, scores=scores)
    stream = EventStream("a.wav", LABELS, EventConfig(), np.full(3, 0.5), None, 8000.0)
    found, held = [], []
    for first in range(0, 1000, 50):
        found += stream.add(windows.part(first, first + 50))
        held.append(0 if stream._pending is None else len(stream._pending))
    assert max(held) < 10
    assert len(found) + len(stream.close()) == 100


@pytest.mark.parametrize("pieces", [[], [3, 7], list(range(20))])
def test_an_endless_event_is_cut_at_the_same_place_in_any_pieces(monkeypatch, pieces):
    monkeypatch.setattr(event_stream, "MAX_WINDOWS", 8)
    scores = np.zeros((22, 3))
    scores[2:, 2] = 0.9
    windows = WindowScores(starts_s=np.arange(22.0), ends_s=np.arange(22.0) + 1, scores=scores)
    found = streamed(windows, pieces, EventConfig(), np.full(3, 0.5))
    assert [(e.start_s, e.end_s) for e in found] == [(2, 10), (10, 18), (18, 22)]


def patches_of(place, rows, columns, num_columns=7, num_kept=2):
    patches = np.full((num_kept, num_columns, 4), 0.02)
    patches[place, columns[0] : columns[1], rows[0] : rows[1]] = 0.7
    return patches


def two_windows():
    """A frog at the end of one window of a second and at the start of the next; then an owl's window."""
    return WindowScores(
        starts_s=np.array([10.0, 11.0, 12.0]),
        ends_s=np.array([11.0, 12.0, 13.0]),
        scores=np.array([[0.1, 0.9, 0.2], [0.1, 0.6, 0.0], [0.8, 0.1, 0.2]]),
        kept=np.array([[1, 2], [0, 1], [1, 2]]),
        patches=[
            patches_of(0, (1, 3), (4, 6)),
            patches_of(1, (2, 3), (0, 2)),
            patches_of(0, (0, 1), (0, 1)),
        ],
    )


@pytest.mark.parametrize("pieces", [[], [1], [1, 2]])
def test_patches_give_an_event_its_sides(pieces):
    config = EventConfig(max_gap_s=0.5)
    frog, owl = streamed(two_windows(), pieces, config, np.full(3, 0.5), GRID)
    assert (frog.label, frog.score, frog.low_hz, frog.high_hz) == ("frog", 0.9, 500.0, 2000.0)
    assert frog.start_s == pytest.approx(10 + 4 * 0.16, abs=0.021)
    assert frog.end_s == pytest.approx(11 + 2 * 0.16, abs=0.021)
    # The owl's patches were not kept: the window's times stay, and nobody knows the band.
    assert owl == Event(recording="a.wav", start_s=12.0, end_s=13.0, label="owl", score=0.8)


def test_pauses_divide_unless_the_gap_allows_them_and_lengths_are_those_of_narrow_events():
    def run(**rules):
        found = streamed(two_windows(), [], EventConfig(**rules), np.full(3, 0.5), GRID)
        return [event for event in found if event.label == "frog"]

    # 0.64 to 0.96 in the first window, 1.0 to 1.32: the last column reaches over the seam.
    assert [round(e.end_s - e.start_s, 2) for e in run(max_gap_s=0.1)] == [0.68]
    assert run(max_gap_s=0.1, min_length_s=0.7) == []
    assert len(run(max_gap_s=0.1, max_length_s=0.4)) == 2


def test_no_band_reaches_above_the_recording():
    (frog, _) = streamed(two_windows(), [], EventConfig(max_gap_s=0.5), np.full(3, 0.5), GRID, 1500.0)
    assert (frog.low_hz, frog.high_hz) == (500.0, 1500.0)
    (frog, _) = streamed(two_windows(), [], EventConfig(max_gap_s=0.5), np.full(3, 0.5), GRID, 400.0)
    assert (frog.low_hz, frog.high_hz) == (None, None)
