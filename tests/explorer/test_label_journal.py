"""Labels are said, undone, exported in the documented form and taken in again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bioacoustics.data.labels import read_labels
from bioacoustics.explorer.label_journal import (
    LabelJournal,
    read_labels_into,
    statements,
    targets_of,
    write_labels,
)
from bioacoustics.store.database import Store
from bioacoustics.store.labels import labels

A, B, C = "r0-mix-000000", "r0-mix-000001", "r1-mix-000000"


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    rng = np.random.default_rng(0)
    return make_store(
        {"r0": ("n", None, rng.normal(size=(3, 4))), "r1": ("s", None, rng.normal(size=(1, 4)))}
    )


def said(store: Store) -> list[tuple[str, str, bool, str]]:
    rows = labels(store).to_pylist()
    return sorted((row["window"], row["label"], row["is_present"], row["who"]) for row in rows)


def test_undo_goes_back_step_by_step_and_touches_nobody_else(store: Store) -> None:
    ana, bob = LabelJournal(store, "ana"), LabelJournal(store, "bob")
    assert ana.say([A, B], "owl") == 2
    bob.say([A], "owl")
    ana.say([A], "owl", is_present=False)  # replaces what she said before
    assert said(store) == [(A, "owl", False, "ana"), (A, "owl", True, "bob"), (B, "owl", True, "ana")]
    undone = ana.undo()
    assert undone is not None
    assert (undone.label, undone.num_windows) == ("owl", 1)
    assert said(store) == [(A, "owl", True, "ana"), (A, "owl", True, "bob"), (B, "owl", True, "ana")]
    ana.undo()
    assert ana.undo() is None
    assert said(store) == [(A, "owl", True, "bob")]


def test_what_was_said_before_the_page_was_opened_is_undone_action_by_action(store: Store) -> None:
    for windows in ([A, B], [C]):
        LabelJournal(store, "ana").say(windows, "owl")
    later = LabelJournal(store, "ana")
    assert later.undo().num_windows == 1  # type: ignore[union-attr]
    assert later.undo().num_windows == 2  # type: ignore[union-attr]
    assert later.undo() is None


def test_labels_need_a_name_without_commas(store: Store) -> None:
    with pytest.raises(ValueError, match="comma"):
        LabelJournal(store, "ana").say([A], "owl,rain")
    with pytest.raises(ValueError, match="give a name"):
        LabelJournal(store, " ")
    assert LabelJournal(store, "ana").say([A], "  búho   chico ") == 1
    assert said(store)[0][1] == "búho chico"


def test_the_newest_statement_holds_and_naming_one_sound_denies_the_others(store: Store) -> None:
    LabelJournal(store, "ana").say([A, B], "owl")
    LabelJournal(store, "bob").say([A], "owl", is_present=False)
    LabelJournal(store, "ana").say([C], "rain")
    names, targets = targets_of([A, B, C, "r0-mix-000002"], statements(store))
    assert names == ("owl", "rain")
    expected = [[0, np.nan], [1, 0], [0, 1], [np.nan, np.nan]]
    assert np.array_equal(targets, np.array(expected, np.float32), equal_nan=True)


def test_a_table_goes_out_and_comes_back(store: Store, tmp_path: Path) -> None:
    LabelJournal(store, "ana").say([A, C], "owl")
    LabelJournal(store, "ana").say([A], "rain")
    LabelJournal(store, "ana").say([B], "owl", is_present=False)
    path = tmp_path / "labels.csv"
    assert write_labels(store, path) == 2
    table = pd.read_csv(path)
    assert table["filename"].tolist() == ["n/r0.wav", "s/r1.wav"]
    assert table["labels"].tolist() == ["owl,rain", "owl"]
    before = [row[:3] for row in said(store) if row[2]]
    for _ in range(3):
        LabelJournal(store, "ana").undo()
    assert read_labels_into(store, path, "carla") == 2
    assert [row[:3] for row in said(store)] == before
    assert {row[3] for row in said(store)} == {"carla"}


def test_tables_that_fit_no_window_are_refused_row_by_row(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("filename,labels\nn/r0.wav,owl\nn/r9.wav,owl\ns/r1.wav,owl\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"(?s)row 2.*row 3|row 3.*row 2") as told:
        read_labels_into(store, path, "ana")
    assert "fits 3 windows" in str(told.value)
    assert said(store) == []
    path.write_text("file,label\n", encoding="utf-8")
    with pytest.raises(ValueError, match="must be filename and labels"):
        read_labels_into(store, path, "ana")
    with pytest.raises(ValueError, match="nothing is labelled"):
        write_labels(store, path)


def test_clips_are_cut_so_that_the_table_trains_as_it_is(
    store: Store, tmp_path: Path, write_wav: Callable[..., Path]
) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 15 * 8000)
    for name in ("n/r0.wav", "s/r1.wav"):
        path = write_wav(tmp_path / "sound" / name, samples)
        store.table("recordings").update(where=f"file = '{name}'", values={"path": str(path)})
    LabelJournal(store, "ana").say([B, C], "owl")
    LabelJournal(store, "ana").say([C], "rain")
    assert write_labels(store, tmp_path / "out" / "labels.csv", tmp_path / "out" / "audio") == 2
    table = read_labels(tmp_path / "out" / "labels.csv", tmp_path / "out" / "audio")
    assert [clip.labels for clip in table.clips] == [("owl",), ("owl", "rain")]
    assert [clip.group for clip in table.clips] == ["n/r0.wav", "s/r1.wav"]
    assert [clip.filename for clip in table.clips] == ["n/r0_5.00_10.00.wav", "s/r1_0.00_5.00.wav"]
