"""Nothing is lost: a run that is killed at random moments ends with the rows of an undisturbed one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bioacoustics.store.database import Store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="forks")
KILLING = Path(__file__).with_name("killing.py")


def killed(model: Path, clips: Path, folder: Path, suffix: str, num_kills: int) -> list[Path]:
    settings = {"model_path": str(model), "data_dir": str(clips), "window_s": 0.1, "device": "cpu"}
    words = [sys.executable, str(KILLING), json.dumps(settings), str(folder), suffix, str(num_kills)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [Path(output) for output in json.loads(done.stdout)]


def test_a_table(tmp_path: Path, small_model: Path, clips: Path) -> None:
    outputs = killed(small_model, clips, tmp_path, ".parquet", num_kills=12)
    theirs = pd.read_parquet(tmp_path / "undisturbed.parquet")
    assert len(theirs) > 45
    for output in outputs:
        ours = pd.read_parquet(output)
        pd.testing.assert_frame_equal(ours.drop(columns="embedding"), theirs.drop(columns="embedding"))
        vectors = [np.stack(list(frame["embedding"])) for frame in (ours, theirs)]
        np.testing.assert_allclose(*vectors, rtol=1e-4, atol=1e-5)
    names = {f"{path.name}{end}" for path in outputs for end in ("", ".problems.csv", ".run.json")}
    assert names <= {entry.name for entry in tmp_path.iterdir()}
    assert not list(tmp_path.glob(".*.parts"))


def test_a_store(tmp_path: Path, small_model: Path, clips: Path) -> None:
    outputs = killed(small_model, clips, tmp_path, ".lance", num_kills=6)
    frames = {}
    for path in (tmp_path / "undisturbed.lance", *outputs):
        store = Store.open(path)
        for name in ("windows", "progress", "recordings"):
            frames[path.stem, name] = store.table(name).to_pandas().sort_values("id", ignore_index=True)
    for output in outputs:
        for name in ("progress", "recordings"):
            pd.testing.assert_frame_equal(frames[output.stem, name], frames["undisturbed", name])
        ours, theirs = (frames[name, "windows"] for name in (output.stem, "undisturbed"))
        assert ours["id"].is_unique
        pd.testing.assert_frame_equal(ours.drop(columns="vector"), theirs.drop(columns="vector"))
        vectors = [np.stack(list(frame["vector"])).astype(np.float32) for frame in (ours, theirs)]
        np.testing.assert_allclose(*vectors, rtol=2e-3, atol=2e-3)
