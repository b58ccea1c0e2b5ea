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


def killed(settings: dict[str, str], undisturbed: Path, num_kills: int) -> int:
    words = [sys.executable, str(KILLING), json.dumps(settings), str(undisturbed), str(num_kills)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def settings_of(model: Path, clips: Path, output: Path) -> dict[str, str]:
    settings = {"model_path": model, "data_dir": clips, "output": output, "window_s": 0.1, "device": "cpu"}
    return {name: str(value) for name, value in settings.items()}


def test_a_table(tmp_path: Path, small_model: Path, clips: Path) -> None:
    output, undisturbed = tmp_path / "killed.parquet", tmp_path / "undisturbed.parquet"
    assert killed(settings_of(small_model, clips, output), undisturbed, num_kills=12) >= 6
    ours, theirs = pd.read_parquet(output), pd.read_parquet(undisturbed)
    assert len(ours) > 45
    pd.testing.assert_frame_equal(ours.drop(columns="embedding"), theirs.drop(columns="embedding"))
    vectors = [np.stack(list(frame["embedding"])) for frame in (ours, theirs)]
    np.testing.assert_allclose(*vectors, rtol=1e-4, atol=1e-5)
    beside = [
        f"{name}.parquet{end}"
        for name in ("killed", "undisturbed")
        for end in ("", ".problems.csv", ".run.json")
    ]
    assert {entry.name for entry in tmp_path.iterdir()} == set(beside)


def test_a_store(tmp_path: Path, small_model: Path, clips: Path) -> None:
    output, undisturbed = tmp_path / "killed.lance", tmp_path / "undisturbed.lance"
    assert killed(settings_of(small_model, clips, output), undisturbed, num_kills=6) >= 3
    frames = {}
    for path in (output, undisturbed):
        store = Store.open(path)
        for name in ("windows", "progress", "recordings"):
            frames[path.stem, name] = store.table(name).to_pandas().sort_values("id", ignore_index=True)
    assert frames["killed", "windows"]["id"].is_unique
    for name in ("progress", "recordings"):
        pd.testing.assert_frame_equal(frames["killed", name], frames["undisturbed", name])
    ours, theirs = (frames[name, "windows"] for name in ("killed", "undisturbed"))
    pd.testing.assert_frame_equal(ours.drop(columns="vector"), theirs.drop(columns="vector"))
    vectors = [np.stack(list(frame["vector"])).astype(np.float32) for frame in (ours, theirs)]
    np.testing.assert_allclose(*vectors, rtol=2e-3, atol=2e-3)
