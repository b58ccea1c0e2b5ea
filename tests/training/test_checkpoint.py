import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import limit_file_size

from bioacoustics.models.writing import write_torch
from bioacoustics.training.checkpoint import CheckpointConfig, Checkpoints
from bioacoustics.training.metrics import read_metrics

TIMING = {"elapsed_s", "seconds_per_update", "clips_per_s", "audio_hours_per_hour"}


class Folder:
    """A run folder with a model of a few bytes, and what was said about it."""

    def __init__(self, path: Path, settings: dict[str, Any] | None = None, **config: int | None) -> None:
        self.path = path
        self.model = b"first"
        self.warnings: list[str] = []
        self.checkpoints = Checkpoints(
            path,
            CheckpointConfig.model_validate(config),
            settings={"optimizer": {"learning_rate": 0.1, "num_updates": 10}}
            if settings is None
            else settings,
            write_model=lambda path: write_torch(self.model, path),
            warn=self.warnings.append,
        )

    def names(self) -> set[str]:
        return {path.name for path in self.path.iterdir()}


def test_state_comes_back(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.checkpoints.load() is None
    state = {"num_done": 3, "weights": torch.arange(3.0), "best": None, "problems": [("a", "b", True, 2)]}
    assert folder.checkpoints.save(3, state)
    loaded = Folder(tmp_path).checkpoints.load()
    assert loaded is not None
    assert torch.equal(loaded.pop("weights"), state.pop("weights"))
    assert loaded == state
    assert folder.names() == {"run_state.pt", "checkpoint_last.pt"}


def test_half_written_files_are_never_chosen(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.checkpoints.save(3, {"num_done": 3})
    whole = (tmp_path / "run_state.pt").read_bytes()
    (tmp_path / ".run_state.pt.1a2b3c4d.partial").write_bytes(whole[: len(whole) // 2])
    assert folder.checkpoints.load() == {"num_done": 3}
    folder.checkpoints.remove_leftovers()
    assert folder.names() == {"run_state.pt", "checkpoint_last.pt"}


@pytest.mark.parametrize("damage", ["cut", "zeros", "empty", "other"])
def test_damaged_state_is_refused_and_not_overwritten(tmp_path: Path, damage: str) -> None:
    folder = Folder(tmp_path)
    folder.checkpoints.save(3, {"num_done": 3})
    path = tmp_path / "run_state.pt"
    whole = path.read_bytes()
    if damage == "other":
        torch.save([1, 2], path)
    else:
        path.write_bytes({"cut": whole[:-300], "zeros": bytes(len(whole)), "empty": b""}[damage])
    with pytest.raises(ValueError, match=r"damaged or no state of a run.*begin anew"):
        folder.checkpoints.load()


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    Folder(tmp_path).checkpoints.save(3, {"num_done": 3})
    changed = {"optimizer": {"learning_rate": 0.2, "num_updates": 20}, "model": {"depth": 3}}
    with pytest.raises(ValueError, match="other settings") as caught:
        Folder(tmp_path, changed).checkpoints.load()
    said = str(caught.value)
    assert "optimizer.learning_rate was 0.1, now 0.2" in said
    assert "optimizer.num_updates was 10, now 20 (the learning-rate schedule depends on it)" in said
    assert "model.depth was None, now 3" in said
    assert "choose another folder" in said


def test_state_of_another_version_is_refused(tmp_path: Path) -> None:
    torch.save({"format_version": 99, "settings": {}, "state": {}}, tmp_path / "run_state.pt")
    with pytest.raises(ValueError, match="another version of bioacoustics"):
        Folder(tmp_path).checkpoints.load()


def test_numbered_checkpoints_are_kept_as_configured(tmp_path: Path) -> None:
    folder = Folder(tmp_path, save_every=5, keep_every=2, keep_last=2)
    due = [update for update in range(1, 13) if folder.checkpoints.is_due(update)]
    assert due == [2, 4, 5, 6, 8, 10, 12]
    (tmp_path / "checkpoint_mine.pt").write_bytes(b"not ours")
    for update in due:
        folder.checkpoints.save(update, {"num_done": update})
    numbered = {"checkpoint_10.pt", "checkpoint_12.pt", "checkpoint_mine.pt"}
    assert folder.names() == numbered | {"run_state.pt", "checkpoint_last.pt"}


def test_full_disk_keeps_what_was_saved(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    folder = Folder(tmp_path)
    folder.checkpoints.save(3, {"num_done": 3, "weights": torch.ones(1000)})
    before = {name: (tmp_path / name).read_bytes() for name in folder.names()}
    folder.model = b"second" * 1000
    limit_file_size(2000)
    try:
        assert not folder.checkpoints.save(4, {"num_done": 4, "weights": torch.zeros(1000)})
    finally:
        limit_file_size(None)
    assert {name: (tmp_path / name).read_bytes() for name in folder.names()} == before
    assert [warning.split()[0] for warning in folder.warnings] == ["checkpoint_last.pt", "run_state.pt"]
    assert "training goes on" in folder.warnings[0]
    assert folder.checkpoints.save(4, {"num_done": 4})
    assert folder.checkpoints.load() == {"num_done": 4}


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("toy.py")), str(folder), *arguments]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *arguments), capture_output=True, text=True, check=False, timeout=120
    )


def assert_same_end(one: Path, other: Path) -> None:
    for name in ("checkpoint_last.pt", "checkpoint_best.pt", "problems.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    states = [torch.load(folder / "run_state.pt", weights_only=True)["state"] for folder in (one, other)]
    plain = [{name: state.pop(name) for name in ("num_done", "best", "problems")} for state in states]
    assert plain[0] == plain[1]
    tensors = [{name: state["learner"][name] for name in ("objective", "means")} for state in states]
    torch.testing.assert_close(tensors[0], tensors[1], rtol=0, atol=0)
    updaters = [state["learner"]["updater"]["optimizer"] for state in states]
    torch.testing.assert_close(updaters[0]["state"], updaters[1]["state"], rtol=0, atol=0)
    rows = [
        [{name: value for name, value in row.items() if name not in TIMING} for row in read_metrics(folder)]
        for folder in (one, other)
    ]
    assert rows[0] == rows[1]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert run(folder, "--num_updates", "40").returncode == 0
    return folder


@pytest.mark.slow
def test_killed_runs_end_like_the_undisturbed_one(tmp_path: Path, undisturbed: Path) -> None:
    """Kills at random moments, of which many lie within a save: every update is saved, in three files."""
    chance = random.Random(4)
    folder, num_kills = tmp_path / "killed", 0
    arguments = ("--num_updates", "40", "--save_every", "1", "--pause_s", "0.005")
    while True:
        process = subprocess.Popen(
            command(folder, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before = (folder / "environment.json").stat().st_mtime_ns if folder.exists() else 0
        while process.poll() is None:
            started = folder / "environment.json"
            if num_kills < 6 and started.exists() and started.stat().st_mtime_ns > before:
                time.sleep(chance.uniform(0.02, 0.35))
                process.kill()
                process.wait()
                num_kills += 1
                break
            time.sleep(0.01)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert num_kills == 6
    starts = json.loads((folder / "environment.json").read_text())["starts"]
    assert len(starts) == 7
    assert sum(start["after_update"] > 0 for start in starts) >= 3  # the kills did hit runs that had begun
    assert_same_end(folder, undisturbed)


@pytest.mark.slow
def test_full_disk_for_a_while_loses_nothing(tmp_path: Path, undisturbed: Path) -> None:
    pytest.importorskip("resource")
    folder = tmp_path / "full"
    done = run(folder, "--num_updates", "40", "--full_disk_between", "10", "20")
    assert done.returncode == 0, done.stderr
    assert "run_state.pt could not be written (File too large)" in done.stderr
    assert_same_end(folder, undisturbed)


@pytest.mark.slow
def test_disk_that_stays_full_is_an_error_at_the_end(tmp_path: Path, undisturbed: Path) -> None:
    pytest.importorskip("resource")
    folder = tmp_path / "full"
    done = run(folder, "--num_updates", "40", "--full_disk_between", "10", "1000")
    assert done.returncode != 0
    assert "The run is complete, but its end could not be written" in done.stderr
    assert torch.load(folder / "run_state.pt", weights_only=True)["state"]["num_done"] >= 6
    assert run(folder, "--num_updates", "40").returncode == 0
    assert_same_end(folder, undisturbed)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_a_run_saves_and_exits(
    tmp_path: Path, undisturbed: Path, number: int, code: int
) -> None:
    folder = tmp_path / "stopped"
    arguments = ("--num_updates", "40", "--save_every", "1000")
    process = subprocess.Popen(
        command(folder, *arguments, "--pause_s", "0.01"), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "update 16/40" in line:
            process.send_signal(number)
            break
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == code
    assert "the same command goes on" in said
    assert 16 <= torch.load(folder / "run_state.pt", weights_only=True)["state"]["num_done"] < 40
    again = run(folder, *arguments)
    assert again.returncode == 0
    assert "Going on after update" in again.stderr
    assert_same_end(folder, undisturbed)


@pytest.mark.slow
def test_run_goes_on_with_another_number_of_processes(tmp_path: Path, undisturbed: Path) -> None:
    folder = tmp_path / "spread"
    script = command(folder, "--num_updates", "40", "--batch_size", "3", "--pause_s", "0.01")
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    process = subprocess.Popen(
        [*torchrun, *script[1:]],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "update 16/40" in line:
            process.send_signal(signal.SIGTERM)  # torchrun hands it on to both processes
            break
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) != 0
    assert "the same command goes on" in said
    refused = run(folder, "--num_updates", "40", "--batch_size", "3")
    assert refused.returncode != 0
    assert "data.rows_per_update was 6, now 3" in refused.stderr
    assert run(folder, "--num_updates", "40", "--batch_size", "6").returncode == 0
    ends = [torch.load(path / "checkpoint_last.pt", weights_only=True) for path in (folder, undisturbed)]
    for name, value in ends[0].items():  # other micro-batches draw other dropout masks
        assert value.shape == ends[1][name].shape
        assert torch.isfinite(value).all()
    rows = [read_metrics(path) for path in (folder, undisturbed)]
    assert [row["update"] for row in rows[0]] == [row["update"] for row in rows[1]]
