"""Events equal those of a slow and obvious version, for any scores, windows and rules."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bioacoustics.data.events import Event
from bioacoustics.inference.events import EventConfig, find_events


def slow_events(starts_s, ends_s, scores, labels, config, open_at):
    """The rules of EventConfig, one after the other, one window at a time."""
    found = []
    for c, label in enumerate(labels):
        runs, run = [], []
        for w in range(len(starts_s)):
            is_on = scores[w, c] >= config.close_share * open_at[c] - 1e-12
            if run and (not is_on or starts_s[w] > ends_s[w - 1] + 1e-6):
                runs.append(run)
                run = []
            if is_on:
                run.append(w)
        if run:
            runs.append(run)
        opened = [run for run in runs if max(scores[w, c] for w in run) >= open_at[c]]
        merged = []
        for run in opened:
            if merged and starts_s[run[0]] - ends_s[merged[-1][-1]] <= config.max_gap_s + 1e-6:
                merged[-1] = [*merged[-1], *run]
            else:
                merged.append(run)
        for windows in merged:
            start_s, end_s = starts_s[windows[0]], ends_s[windows[-1]]
            if end_s - start_s < config.min_length_s - 1e-6:
                continue
            values = [float(scores[w, c]) for w in windows]
            score = sum(values) / len(values) if config.takes_mean else max(values)
            num_pieces = 1
            if config.max_length_s is not None:
                num_pieces = max(1, math.ceil((end_s - start_s - 1e-6) / config.max_length_s))
            for i in range(num_pieces):
                length_s = (end_s - start_s) / num_pieces
                found.append((label, start_s + i * length_s, start_s + (i + 1) * length_s, score))
    return found


@st.composite
def cases(draw):
    num_windows, num_classes = draw(st.integers(0, 14)), draw(st.integers(1, 3))
    window_s, stride_s = draw(st.sampled_from([(1.0, 1.0), (2.0, 1.0), (5.0, 0.5), (0.3, 0.1)]))
    is_there = draw(st.lists(st.booleans(), min_size=num_windows, max_size=num_windows))
    starts_s = np.array([i * stride_s for i, there in enumerate(is_there) if there or i % 2])
    ends_s = np.minimum(starts_s + window_s, num_windows * stride_s + 0.5)
    levels = st.sampled_from([0.0, 0.2, 0.34, 0.35, 0.49, 0.5, 0.63, 0.7, 0.9, 1.0])
    scores = np.array(
        draw(
            st.lists(
                st.lists(levels, min_size=num_classes, max_size=num_classes),
                min_size=len(starts_s),
                max_size=len(starts_s),
            )
        )
    ).reshape(len(starts_s), num_classes)
    open_at = np.array(
        draw(st.lists(st.sampled_from([0.5, 0.7, 0.9]), min_size=num_classes, max_size=num_classes))
    )
    config = EventConfig(
        close_at=draw(st.sampled_from([None, 0.2, 0.5])),
        max_gap_s=draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])),
        min_length_s=draw(st.sampled_from([0.0, 1.0, 2.5])),
        max_length_s=draw(st.sampled_from([None, 3.0, 4.0])),
        takes_mean=draw(st.booleans()),
    )
    return starts_s, ends_s, scores, open_at, config


@settings(max_examples=300, deadline=None)
@given(cases())
@example((np.empty(0), np.empty(0), np.empty((0, 1)), np.array([0.5]), EventConfig()))
def test_equal_to_the_obvious_version(case):
    starts_s, ends_s, scores, open_at, config = case
    labels = ["a", "b", "c"][: scores.shape[1]]
    found = find_events("x.wav", starts_s, ends_s, scores, labels, config, open_at=open_at)
    expected = slow_events(starts_s, ends_s, scores, labels, config, open_at)
    assert [event.label for event in found] == [label for label, *_ in expected]
    np.testing.assert_allclose(
        np.array([(event.start_s, event.end_s, event.score) for event in found]).reshape(-1, 3),
        np.array([values for _, *values in expected]).reshape(-1, 3),
        atol=1e-9,
    )


def events_of(scores, **rules):
    starts_s = np.arange(len(scores), dtype=np.float64)
    return find_events(
        "x.wav",
        starts_s,
        starts_s + 1,
        np.array(scores, dtype=np.float32)[:, None],
        ["frog"],
        EventConfig(**rules),
    )


def spans_of(scores, **rules):
    return [(event.start_s, event.end_s) for event in events_of(scores, **rules)]


def test_a_call_opens_high_and_closes_low():
    scores = [0.1, 0.4, 0.9, 0.4, 0.1, 0.4, 0.4, 0.1, 0.6]
    assert spans_of(scores, close_at=0.3) == [(1, 4), (8, 9)]
    assert spans_of(scores, close_at=0.5) == [(2, 3), (8, 9)]
    assert events_of(scores, close_at=0.3)[0] == Event(
        recording="x.wav", start_s=1.0, end_s=4.0, label="frog", score=float(np.float32(0.9))
    )


def test_gaps_lengths_and_pieces():
    scores = [0.9, 0.1, 0.9, 0.1, 0.1, 0.9]
    assert spans_of(scores) == [(0, 1), (2, 3), (5, 6)]
    assert spans_of(scores, max_gap_s=1.0) == [(0, 3), (5, 6)]
    assert spans_of(scores, max_gap_s=1.0, min_length_s=2.0) == [(0, 3)]
    assert spans_of(scores, max_gap_s=5.0, max_length_s=2.0) == [(0, 2), (2, 4), (4, 6)]
    assert events_of(scores, max_gap_s=1.0, takes_mean=True)[0].score == pytest.approx(0.9)


def test_scores_that_are_no_numbers_are_silence():
    assert spans_of([np.nan, 0.9, np.nan]) == [(1, 2)]
    assert spans_of([0.0] * 5) == []


def test_closing_thresholds_follow_those_of_the_classes():
    starts_s = np.arange(3.0)
    scores = np.array([[0.6, 0.6], [0.9, 0.9], [0.6, 0.6]])
    found = find_events(
        "x", starts_s, starts_s + 1, scores, ["a", "b"], EventConfig(), open_at=np.array([0.8, 0.9])
    )
    assert [(event.label, event.start_s, event.end_s) for event in found] == [
        ("a", 0.0, 3.0),
        ("b", 1.0, 2.0),
    ]


def test_windows_out_of_order():
    with pytest.raises(ValueError, match=r"x\.wav: windows must be in order of time"):
        find_events(
            "x.wav", np.array([1.0, 0.0]), np.array([2.0, 1.0]), np.zeros((2, 1)), ["a"], EventConfig()
        )


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        ({"open_at": 0.4, "close_at": 0.5}, "close_at 0.5 is above open_at 0.4"),
        ({"min_length_s": 3.0, "max_length_s": 2.0}, "max_length_s 2 is below min_length_s 3"),
    ],
)
def test_impossible_rules(rules, complaint):
    with pytest.raises(ValidationError, match=complaint):
        EventConfig(**rules)
