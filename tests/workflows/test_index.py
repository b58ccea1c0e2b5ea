"""The command says what the index costs and is worth."""

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bioacoustics.store.database import Store
from bioacoustics.workflows.index import IndexConfig, index

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))  # for known_windows.py
from known_windows import DIM, window_rows


def test_it_tells_time_and_recall(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s.lance")
    store.make_windows(DIM)
    store.upsert("windows", window_rows(5000))
    said = io.StringIO()
    index(IndexConfig(store=str(tmp_path / "s.lance")), Console(file=said, width=200))
    assert "index over 5000 windows in" in said.getvalue()
    assert "% of the 50 nearest in" in said.getvalue()


def test_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no store"):
        index(IndexConfig(store=str(tmp_path / "no.lance")), Console(file=io.StringIO()))
    assert list(tmp_path.iterdir()) == []
