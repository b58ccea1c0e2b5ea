"""Joint training, from nothing and from a checkpoint: killed and resumed, by one process and by two."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import ROOT, assert_alike, by_two, deviation, environment, forked, rows_of

from bioacoustics.models.saved import load_classifier, read_bundle

SPREADS = ("prediction_std", "target_std")  # over the patches of a micro-batch, not a mean over rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="kills are others on Windows"),
]


@pytest.fixture(scope="module")
def flags(folders: list[str]) -> list[str]:
    """The flags of the documented calls together, but for --batch_size and --output_dir."""
    given = (
        "--model eat --encoder_layers 1 --encoder_embed_dim 32 --epochs 2 --checkpoint_freq 1 "
        "--segment_duration 1 --supervised_weight 0.3 --lr 1e-3 --save_every 1 --log_every 1 "
        "--num_threads 2 --validation_share 0.4"
    )
    return [*given.split(), *folders]


def run(launcher: list[str], *words: str) -> str:
    done = subprocess.run(
        [*launcher, "beats/train.py", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def killed_after(updates: int, *words: str) -> None:
    command = [sys.executable, "beats/train.py", *words]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment())
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"update {updates}/"):
            time.sleep(0.03)
            process.send_signal(signal.SIGKILL)
            break
    process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == -signal.SIGKILL


def test_one_process_killed_or_not_and_two(tmp_path: Path, flags: list[str]) -> None:
    whole, disturbed, two = (tmp_path / name for name in ("whole", "disturbed", "two"))
    one_batch = [*flags, "--batch_size", "16"]
    said = run(
        ["accelerate", "launch", "--cpu", "--num_processes", "2"], *one_batch, "--output_dir", str(whole)
    )
    assert "torchrun --nproc_per_node N" in said  # accelerate starts one process, without a word
    killed_after(3, *one_batch, "--output_dir", str(disturbed))
    assert "Going on after update" in run([sys.executable], *one_batch, "--output_dir", str(disturbed))
    results = ("checkpoint_best.pt", "checkpoint_last.pt", "predictions.csv", "suspicious_negatives.csv")
    for name in (*results, *(path.name for path in whole.glob("checkpoint_[0-9]*.pt"))):
        assert (disturbed / name).read_bytes() == (whole / name).read_bytes(), name

    by_two("beats/train.py", *flags, "--batch_size", "8", "--output_dir", str(two))
    assert_alike(whole, two, *SPREADS)
    classifier = load_classifier(two / "checkpoint_best.pt")
    assert "positive" in classifier.labels
    assert read_bundle(two / "checkpoint_best.pt").header.calibration is not None


@pytest.mark.parametrize("kind", ["beats", "eat"])
def test_from_a_checkpoint_killed_or_not_and_by_two(
    tmp_path: Path, models: dict[str, Path], folders: list[str], kind: str
) -> None:
    """Here the head begins as a regression on what all processes have heard together."""
    given = (
        "--epochs 2 --checkpoint_freq 1 --segment_duration 1 --supervised_weight 0.3 --lr 1e-3 "
        "--save_every 1 --log_every 1 --num_threads 1 --validation_share 0.4"
    )
    flags = [*folders, *given.split()]

    def words(model: str, name: str, batch_size: int) -> list[str]:
        path = models[f"{kind} {model}"]
        about = ["--model_path", str(path), "--output_dir", str(tmp_path / name)]
        return [*flags, *about, "--batch_size", str(batch_size)]

    begun, *_, end = forked(
        (["train", *words("plain", "one", 16)], []),
        (["train", *words("dropping", "whole", 16)], []),
        (["train", *words("dropping", "disturbed", 16)], ["hearing"]),
        (["train", *words("dropping", "disturbed", 16)], ["update", "update"]),
        (["train", *words("dropping", "disturbed", 16)], []),
    )
    assert "hearing" in begun["said"]  # what the head begins with
    assert "Going on after update" in end["said"]
    whole, disturbed = tmp_path / "whole", tmp_path / "disturbed"
    results = {path.name for path in whole.glob("checkpoint_*.pt")}
    assert len(results) >= 3
    for name in (*results, "predictions.csv", "suspicious_negatives.csv"):
        assert (disturbed / name).read_bytes() == (whole / name).read_bytes(), name
    assert rows_of(disturbed) == rows_of(whole)
    by_two("beats/train.py", *words("plain", "two", 8))
    assert_alike(tmp_path / "one", tmp_path / "two", *SPREADS)
    assert deviation(tmp_path / "one", tmp_path / "two", models[f"{kind} plain"]) < 0.02
