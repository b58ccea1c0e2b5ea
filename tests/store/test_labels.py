"""Labels say who said what about which window, and when; they can be taken back."""

from datetime import UTC, datetime

import pytest

from bioacoustics.store.database import Store
from bioacoustics.store.labels import add_labels, labels, remove_labels

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def test_who_said_what_and_when(store: Store) -> None:
    assert add_labels(store, ["r0-mix-000001", "r0-mix-000002"], "owl", who="ana", at=NOON) == 2
    add_labels(store, ["r0-mix-000001"], "owl", who="Íñigo", is_present=False)
    add_labels(store, ["r0-mix-000002"], "owl", who="ana", is_present=False)  # she changed her mind
    rows = labels(store).to_pylist()
    assert [(row["window"], row["who"], row["is_present"]) for row in rows] == [
        ("r0-mix-000001", "ana", True),
        ("r0-mix-000001", "Íñigo", False),
        ("r0-mix-000002", "ana", False),
    ]
    assert rows[0]["at"] == NOON
    assert (rows[0]["file"], rows[0]["start_s"], rows[0]["end_s"]) == ("north/r0.wav", 5.0, 10.0)
    remove_labels(store, [rows[0]["id"]])
    assert len(labels(store)) == 2


def test_unknown_windows_and_nameless_labels_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="there is no window nowhere"):
        add_labels(store, ["r0-mix-000001", "nowhere"], "owl", who="ana")
    for label, who in ((" ", "ana"), ("owl", "")):
        with pytest.raises(ValueError, match="a label needs a name and somebody who gives it"):
            add_labels(store, ["r0-mix-000001"], label, who=who)
    assert add_labels(store, [], "owl", who="ana") == 0
    assert len(labels(store)) == 0
