"""The documented calls of `beats/train.py`: killed and resumed, by one process and by two."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioacoustics.models.saved import load_classifier, read_bundle
from bioacoustics.training.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[2]
SPREADS = {"prediction_std", "target_std"}  # over the patches of a micro-batch, not a mean over rows
TIMING = {"elapsed_s", "seconds_per_update", "clips_per_s", "audio_hours_per_hour"}

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


def environment() -> dict[str, str]:
    folder = str(Path(sys.executable).parent)
    own = {"VIRTUAL_ENV": sys.prefix, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "COLUMNS": "200"}


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

    run(
        ["torchrun", "--standalone", "--nproc_per_node", "2"],
        *flags,
        "--batch_size",
        "8",
        "--output_dir",
        str(two),
    )
    rows = [
        [{k: v for k, v in row.items() if k not in TIMING | SPREADS} for row in read_metrics(f)]
        for f in (whole, two)
    ]
    assert len(rows[0]) == len(rows[1])
    for one, other in zip(*rows, strict=True):
        assert other == pytest.approx(one, rel=2e-3, abs=2e-4, nan_ok=True)
    classifier = load_classifier(two / "checkpoint_best.pt")
    assert "positive" in classifier.labels
    assert read_bundle(two / "checkpoint_best.pt").header.calibration is not None
