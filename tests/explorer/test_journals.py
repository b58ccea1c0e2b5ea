"""What is said of windows of two stores at once is taken back at once, in the order it was said."""

from collections.abc import Callable

import numpy as np
import pytest

from bioacoustics.explorer.journals import LabelJournals, all_statements
from bioacoustics.store.database import Store
from bioacoustics.store.labels import labels


@pytest.fixture
def both(make_store: Callable[..., Store]) -> list[Store]:
    return [make_store({name: ("s", None, np.zeros((3, 12)))}, f"{name}.lance") for name in ("a", "b")]


def said(store: Store) -> list[tuple[str, str]]:
    return [(row["window"], row["label"]) for row in labels(store).to_pylist()]


def test_two_stores_are_labelled_and_undone_together(both: list[Store]) -> None:
    one, other = (store.location for store in both)
    journals = LabelJournals([one, other], " ana ")
    assert journals.say({one: ["a-mix-000000"], other: ["b-mix-000000", "b-mix-000001"]}, "owl") == 3
    assert journals.say({one: [], other: ["b-mix-000002"]}, "rain", is_present=False) == 1
    told = all_statements([one, other])
    assert told["window"].tolist() == ["a-mix-000000", "b-mix-000000", "b-mix-000001", "b-mix-000002"]
    assert told["at"].is_monotonic_increasing
    undone = journals.undo()
    assert undone is not None
    assert (undone.label, undone.num_windows) == ("rain", 1)
    assert said(both[0]) == [("a-mix-000000", "owl")]
    undone = journals.undo()
    assert undone is not None
    assert (undone.label, undone.num_windows) == ("owl", 3)
    assert said(both[0]) == said(both[1]) == []
    assert journals.undo() is None


def test_of_what_was_said_before_the_newest_goes_first(both: list[Store]) -> None:
    one, other = (store.location for store in both)
    LabelJournals([other], "ana").say({other: ["b-mix-000000"]}, "owl")
    LabelJournals([one], "ana").say({one: ["a-mix-000000"]}, "rain")
    LabelJournals([other], "bob").say({other: ["b-mix-000001"]}, "frog")
    journals = LabelJournals([one, other], "ana")
    for label in ("rain", "owl"):
        undone = journals.undo()
        assert undone is not None
        assert undone.label == label
    assert journals.undo() is None
    assert said(both[1]) == [("b-mix-000001", "frog")]
