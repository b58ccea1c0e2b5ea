"""Matches equal those of slow and obvious versions."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioacoustics.data.events import Event
from bioacoustics.inference.event_matching import (
    EventCounts,
    by_label,
    match_by_overlap,
    match_with_collars,
)


def event(start_s: float, end_s: float, recording: str = "a.wav") -> Event:
    return Event(recording=recording, start_s=start_s, end_s=end_s, label="owl")


def fits(truth: Event, found: Event, collar_s: float) -> bool:
    end_s = max(collar_s, 0.2 * truth.duration_s)
    return (
        truth.recording == found.recording
        and abs(truth.start_s - found.start_s) <= collar_s + 1e-9
        and abs(truth.end_s - found.end_s) <= end_s + 1e-9
    )


def most_pairs(annotated: list[Event], predicted: list[Event], collar_s: float) -> int:
    """Try every way to give each annotated event a partner of its own, or none."""
    places = [*range(len(predicted)), *[None] * len(annotated)]
    return max(
        sum(
            place is not None and fits(truth, predicted[place], collar_s)
            for truth, place in zip(annotated, chosen, strict=True)
        )
        for chosen in permutations(places, len(annotated))
    )


moments = st.sampled_from([0.0, 0.2, 0.5, 0.6, 1.0, 1.1, 2.0])
spans = st.builds(
    lambda start_s, length_s, name: event(start_s, start_s + length_s, name),
    moments,
    st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    st.sampled_from(["a.wav", "b.wav"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(spans, max_size=4), st.lists(spans, max_size=4), st.sampled_from([0.1, 0.5]))
def test_collars(annotated: list[Event], predicted: list[Event], collar_s: float) -> None:
    counts = match_with_collars(annotated, predicted, collar_s)
    pairs = most_pairs(annotated, predicted, collar_s)
    assert (counts.annotated_hits, counts.predicted_hits) == (pairs, pairs)
    assert (counts.num_annotated, counts.num_predicted) == (len(annotated), len(predicted))


@settings(max_examples=60, deadline=None)
@given(st.lists(spans, max_size=6), st.lists(spans, max_size=6))
def test_overlap(annotated: list[Event], predicted: list[Event]) -> None:
    def touches(one: Event, other: Event) -> bool:
        shared_s = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
        shorter_s = min(one.duration_s, other.duration_s)
        return one.recording == other.recording and shared_s >= max(0.0, 0.5 * shorter_s - 1e-9)

    counts = match_by_overlap(annotated, predicted)
    assert counts.annotated_hits == sum(any(touches(t, p) for p in predicted) for t in annotated)
    assert counts.predicted_hits == sum(any(touches(t, p) for t in annotated) for p in predicted)


def test_a_greedy_choice_would_lose_a_pair() -> None:
    annotated, predicted = [event(1.0, 2.0), event(1.3, 2.3)], [event(1.2, 2.2), event(0.9, 1.9)]
    assert match_with_collars(annotated, predicted, 0.25).annotated_hits == 2


def test_shares_of_nothing_are_unknown() -> None:
    nothing = EventCounts()
    assert all(value != value for value in (nothing.precision, nothing.recall, nothing.f1))
    silent = EventCounts(num_annotated=3)
    assert (silent.recall, silent.f1) == (0.0, 0.0)
    some = EventCounts(num_annotated=4, num_predicted=2, annotated_hits=2, predicted_hits=1)
    assert (some.precision, some.recall, some.f1) == (0.5, 0.5, 0.5)
    assert (some + silent).recall == pytest.approx(2 / 7)
    assert by_label([event(0.0, 1.0)], ["frog", "owl"]) == {"frog": [], "owl": [event(0.0, 1.0)]}
