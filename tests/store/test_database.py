"""A store keeps rows once, survives what others do to it, and opens in the programs people use."""

import threading
from pathlib import Path

import duckdb
import lancedb
import numpy as np
import polars as pl
import pytest
from known_windows import window_rows

from bioacoustics.store.database import MIN_INDEXED_ROWS, Store, quoted
from bioacoustics.store.schema import SCHEMA_VERSION


def test_rows_are_added_once_and_replaced_by_their_id(store: Store) -> None:
    assert store.count("windows") == 400
    changed = window_rows(10, seed=7)
    store.upsert("windows", changed)
    assert store.count("windows") == 400
    found = store.rows("windows", ["id", "vector"], "recording = 'r0' AND start_s < 50").sort_by("id")
    assert found["vector"].to_pylist() == changed["vector"].to_pylist()


def test_facts_are_kept_and_replaced(store: Store) -> None:
    assert store.fact("embed") is None
    store.state("embed", {"name": "O'Higgins ñ", "size": [1, 2.5]})
    store.state("embed", {"name": "O'Higgins ñ", "size": [3]})
    assert Store.open(store.location).fact("embed") == {"name": "O'Higgins ñ", "size": [3]}
    assert store.facts().keys() == {"schema_version", "embed"}


def test_what_is_no_store_is_neither_opened_nor_written_over(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no store; make one with: bioacoustics embed"):
        Store.open(tmp_path / "nothing")
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(FileExistsError, match="no store, and not empty"):
        Store.create(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.docx"]


def test_a_store_whose_making_was_killed_is_made_whole(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "s.lance")
    made.drop("about")
    made.drop("labels")
    again = Store.create(tmp_path / "s.lance")
    expected = {"about", "recordings", "progress", "labels", "scores", "patch_scores"}
    assert set(again.names()) == expected
    assert again.fact("schema_version") == SCHEMA_VERSION


def test_readers_see_whole_commits_while_others_write(store: Store) -> None:
    """Two writers commit 20 rows at a time; whoever reads meanwhile finds no part of a commit."""
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            mine = Store.open(store.location)
            for i in range(6):
                mine.upsert("windows", window_rows(20, recording=f"w{number}-{i}"))
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for writer in writers:
        writer.start()
    counts = []
    while any(writer.is_alive() for writer in writers):
        counts.append(Store.open(store.location).count("windows"))
    assert not failures
    assert all(count % 20 == 0 for count in counts)
    assert store.count("windows") == 400 + 2 * 6 * 20


def test_compaction_changes_no_row_and_makes_indexes(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s.lance")
    store.make_windows(16)
    for i in range(4):
        store.upsert("windows", window_rows(MIN_INDEXED_ROWS // 4, recording=f"r{i}", seed=i))
    before = store.rows("windows", ["id", "start_s"]).sort_by("id")
    store.compact()
    assert store.rows("windows", ["id", "start_s"]).sort_by("id") == before
    indexed = {index.columns[0] for index in store.table("windows").list_indices()}
    assert indexed == {"id", "recording", "start_utc", "second_of_day", "site"}
    store.upsert("windows", window_rows(7, recording="late"))
    assert store.count("windows", "recording = 'late'") == 7


def test_other_programs_open_it_in_a_line(store: Store) -> None:
    """These lines stand in the guide."""
    windows = lancedb.connect(store.location).open_table("windows")
    assert len(windows.to_pandas()) == 400
    assert windows.to_polars().select(pl.len()).collect().item() == 400
    arrow = windows.to_arrow().drop_columns("vector")  # DuckDB knows no half precision
    rows = duckdb.sql("SELECT site, count(*) FROM arrow GROUP BY site ORDER BY site").fetchall()
    assert arrow.num_rows == 400
    assert rows == [("it's south", 200), ("north", 200)]
    vectors = np.stack(list(windows.to_pandas()["vector"]))
    assert vectors.shape == (400, 16)
    assert vectors.dtype == np.float16


def test_quotes_end_no_condition_early(store: Store) -> None:
    assert store.count("windows", f"site = {quoted(chr(39).join(['it', 's south']))}") == 200
