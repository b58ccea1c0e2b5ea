"""Several processes that share a run leave what one would, also when one of them is killed."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from patch_models import model_with

from bioacoustics.store.database import Store
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.team import Team

SHARING = Path(__file__).with_name("sharing.py")


def shared(settings: dict[str, object], num_processes: int, doomed: str = "none 0") -> tuple[int, str]:
    """The exit code of the first process and what it printed; the others end with it, as under torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": str(num_processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, str(SHARING), json.dumps(settings), *doomed.split()],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(num_processes)
    ]
    codes = []
    for process in reversed(processes):  # the doomed one is the last
        if any(code != 0 for code in codes):
            process.kill()
        said, _ = process.communicate(timeout=300)
        codes.append(process.returncode)
    return codes[-1], said


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "Grabación Ñandú 2026"
    folder.mkdir()
    for i in range(7):
        noise = np.random.default_rng(i).normal(0, 0.1, 16_000 * (1 + i % 3)).astype(np.float32)
        soundfile.write(folder / f"{i}.wav", noise, 16_000)
    for name in ("2b.flac", "3b.flac"):  # one for each process: their sound is damaged, not their header
        soundfile.write(folder / name, noise, 16_000)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:100] + b"\x55" * (len(content) - 100))
    return folder


@pytest.mark.skipif(os.name == "nt", reason="kills itself")
@pytest.mark.parametrize("suffix", [".parquet", ".lance"])
def test_two_processes_one_of_them_killed_leave_the_rows_of_one(
    tmp_path: Path, small_model: Path, recordings: Path, suffix: str
) -> None:
    settings: dict[str, Any] = {
        "model_path": str(small_model), "data_dir": str(recordings), "window_s": 0.5, "device": "cpu",
        "batch_size": 2,
    }  # fmt: skip
    alone, together = (tmp_path / f"{name}{suffix}" for name in ("alone", "together"))
    code, said_alone = shared({**settings, "output": str(alone)}, 1)
    assert code == 0
    code, _ = shared({**settings, "output": str(together)}, 2, doomed="1 2")
    assert code != 0
    code, said_together = shared({**settings, "output": str(together)}, 2)
    assert code == 0
    assert said_together == said_alone
    assert "2b.flac" in said_alone
    assert "3b.flac" in said_alone
    for name in ("windows", "progress", "recordings") if suffix == ".lance" else ("table",):
        ours, theirs = (_frame(path, name) for path in (together, alone))
        values = "vector" if suffix == ".lance" else "embedding"
        about = [column for column in theirs if column != values]
        pd.testing.assert_frame_equal(ours[about], theirs[about])
        if values in theirs:
            assert len(theirs) == 26
            vectors = [np.stack(list(frame[values])).astype(np.float32) for frame in (ours, theirs)]
            np.testing.assert_allclose(*vectors, rtol=2e-3, atol=2e-3)


@pytest.fixture(scope="module")
def patch_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_with(tmp_path_factory.mktemp("models"), "LIN_SOFTMAX")


@pytest.mark.skipif(os.name == "nt", reason="kills itself")
@pytest.mark.parametrize("suffix", [".csv", ".lance"])
def test_events_of_two_processes_one_of_them_killed_are_those_of_one(
    tmp_path: Path, patch_model: Path, recordings: Path, suffix: str
) -> None:
    settings: dict[str, Any] = {
        "model_path": str(patch_model), "data_dir": str(recordings), "window_s": 0.64, "stride_s": 0.3,
        "device": "cpu", "batch_size": 2, "events": "csv,raven", "open_at": 0.5, "close_at": 0.45,
    }  # fmt: skip
    alone, together = (tmp_path / f"{name}{suffix}" for name in ("alone", "together"))
    code, said_alone = shared({**settings, "output": str(alone)}, 1)
    assert code == 0
    code, _ = shared({**settings, "output": str(together)}, 2, doomed="1 2")
    assert code != 0
    assert not (tmp_path / f"together{suffix}.events").exists()
    code, said_together = shared({**settings, "output": str(together)}, 2)
    assert (code, said_together) == (0, said_alone)
    ours, theirs = (tmp_path / f"{path.name}.events" for path in (together, alone))
    names = sorted(path.relative_to(theirs) for path in theirs.rglob("*.*"))
    assert len(names) > 4
    assert names == sorted(path.relative_to(ours) for path in ours.rglob("*.*"))
    events = pd.read_csv(theirs / "events.csv")
    assert len(events) > 10
    assert (events["low_hz"] < events["high_hz"]).any()
    pd.testing.assert_frame_equal(pd.read_csv(ours / "events.csv"), events, rtol=1e-3)
    if suffix == ".lance":
        for name in ("scores", "patch_scores", "progress"):
            of_two, of_one = (_frame(path, name) for path in (together, alone))
            assert of_two["id"].tolist() == of_one["id"].tolist()
            for values in {"scores", "patches"} & set(of_one):
                vectors = [np.concatenate(list(f[values])).astype(np.float32) for f in (of_two, of_one)]
                np.testing.assert_allclose(*vectors, rtol=2e-3, atol=2e-3)
    else:
        pd.testing.assert_frame_equal(pd.read_csv(together), pd.read_csv(alone), rtol=1e-3)


def _frame(path: Path, name: str) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    frame: pd.DataFrame = Store.open(path).table(name).to_pandas()
    return frame.sort_values("id", ignore_index=True)


def test_everything_is_dealt_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    things = list("abcdefg")
    hands = [Team(rank, 3).mine(things) for rank in range(3)]
    assert sorted(thing for hand in hands for thing in hand) == things
    assert max(map(len, hands)) - min(map(len, hands)) <= 1
    assert Team.here() == Team(0, 1)
    assert Team.here().mine(things) == things
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    assert Team.here() == Team(3, 4)
    assert not Team.here().is_first


def test_alone_nobody_waits_and_nobody_leaves() -> None:
    team = Team()
    with team.in_turns():
        team.wait()
    team.hand_over(Outcome())
