"""A store with known windows."""

import sys
from pathlib import Path

import pytest

from bioacoustics.store.database import Store

sys.path.insert(0, str(Path(__file__).parent))  # for known_windows.py
from known_windows import DIM, window_rows


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two recordings, 200 windows each, in a folder with a name of the field."""
    made = Store.create(tmp_path / "Grabación Ñandú 2026.lance")
    made.make_windows(DIM)
    made.upsert("windows", window_rows(200))
    made.upsert("windows", window_rows(200, recording="r1", site="it's south", seed=1))
    return made
