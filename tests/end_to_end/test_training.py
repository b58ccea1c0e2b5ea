"""Training through the real commands: several processes, kills at any moment, requests to stop, odd files."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.synthesis import SyntheticDataset
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.saved import bundle_of_pretraining, read_bundle, write_bundle
from bioacoustics.training.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[2]
SIZE = EATConfig(embed_dim=32, depth=2, num_heads=2, num_position_columns=16)
TIMING = {"elapsed_s", "seconds_per_update", "clips_per_s", "audio_hours_per_hour"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="the scripts need a POSIX shell, and kills are others there"),
]


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(SIZE))
    decoder = EATDecoder(DecoderConfig(width=32, num_layers=2), 32)
    path = tmp_path_factory.mktemp("models") / "small.pt"
    write_bundle(bundle_of_pretraining(encoder, decoder, EATEncoder(SIZE)), path)
    return path


@pytest.fixture
def pretrain(small_model: Path, tiny_data: SyntheticDataset) -> list[str]:
    """The command, but for --save_dir."""
    flags = "--target_length 64 --batch_size 4 --num_clones 2 --num_updates 40 --save_every 1 --log_every 1"
    rest = ["--model_path", str(small_model), "--data_dir", str(tiny_data.unlabeled_dir)]
    script = str(ROOT / "scripts" / "pretrain.sh")
    return [script, *rest, *flags.split(), "--validate_every", "20", "--validation_share", "0.3"]


@pytest.fixture
def finetune(small_model: Path, tiny_data: SyntheticDataset) -> list[str]:
    """The command with everything that is drawn at random switched on."""
    flags = (
        "--target_length 64 --batch_size 5 --num_updates 40 --save_every 1 --log_every 1 --validate_every 8"
    )
    chance = "--mixup 0.8 --mask_ratio 0.2 --drop_path 0.3 --noise --class_balanced --learning_rate 1e-3"
    rest = ["--model_path", str(small_model), "--data_dir", str(tiny_data.audio_dir)]
    labels = ["--labels", str(tiny_data.labels_csv), "--validation_share", "0.4"]
    script = str(ROOT / "scripts" / "finetune.sh")
    return [script, *rest, *labels, *flags.split(), *chance.split()]


def environment() -> dict[str, str]:
    folder = str(Path(sys.executable).parent)
    own = {"VIRTUAL_ENV": sys.prefix, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "COLUMNS": "200"}


def run(command: list[str], folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = [*command, "--save_dir", str(folder), *more]
    return subprocess.run(words, capture_output=True, text=True, env=environment(), check=False, timeout=300)


def disturbed(command: list[str], folder: Path, number: int, delay_s: float) -> int:
    """Start the command and send it a signal some time after its first update; its exit code."""
    words = [*command, "--save_dir", str(folder)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment())
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("update"):
            time.sleep(delay_s)
            process.send_signal(number)
            break
    process.stderr.read()
    process.stderr.close()
    return process.wait(timeout=120)


def assert_same_end(one: Path, other: Path, *tables: str) -> None:
    for name in ("checkpoint_last.pt", "checkpoint_best.pt", *tables):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    rows = [
        [{name: value for name, value in row.items() if name not in TIMING} for row in read_metrics(folder)]
        for folder in (one, other)
    ]
    assert rows[0] == rows[1]
    assert not list(one.glob(".*"))


def starts(folder: Path) -> list[int]:
    """After which update each start of the run went on."""
    record = json.loads((folder / "environment.json").read_text())
    return [start["after_update"] for start in record["starts"]]


def test_pretraining_survives_kills_and_a_request_to_stop(tmp_path: Path, pretrain: list[str]) -> None:
    done = run(pretrain, tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    chance = random.Random(7)
    folder = tmp_path / "disturbed"
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143)):
        assert disturbed(pretrain, folder, number, chance.uniform(0.0, 0.15)) == code
    done = run(pretrain, folder)
    assert done.returncode == 0, done.stderr
    assert "Going on after update" in done.stderr
    gone_on = starts(folder)
    assert gone_on[0] == 0
    assert gone_on == sorted(gone_on)
    assert 0 < gone_on[-1] < 40
    assert_same_end(folder, tmp_path / "whole", "problems.csv")


def test_fine_tuning_survives_kills(tmp_path: Path, finetune: list[str]) -> None:
    done = run(finetune, tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    chance = random.Random(3)
    folder = tmp_path / "disturbed"
    assert disturbed(finetune, folder, signal.SIGKILL, chance.uniform(0.05, 0.2)) == -9
    assert run(finetune, folder).returncode == 0
    assert 0 < starts(folder)[-1] < 40
    assert_same_end(folder, tmp_path / "whole", "predictions.csv", "per_class.csv", "problems.csv")


def test_two_processes_equal_one_and_die_together(tmp_path: Path, pretrain: list[str]) -> None:
    """However they were disturbed, two processes equal one with twice the batch."""
    two = [*pretrain, "--num_updates", "12", "--validate_every", "6", "--world_size", "2"]
    done = run(two, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    if "runs as 1 process(es)" in done.stderr:
        pytest.skip("this machine has one core: two processes were folded into one")
    assert json.loads((tmp_path / "two" / "environment.json").read_text())["starts"][0]["num_processes"] == 2
    # Whoever kills the command must not have to hunt for its processes, which would go on writing.
    assert disturbed(two, tmp_path / "disturbed", signal.SIGKILL, 0.02) == -9
    assert disturbed(two, tmp_path / "disturbed", signal.SIGTERM, 0.0) == 143
    assert run(two, tmp_path / "disturbed").returncode == 0
    assert_same_end(tmp_path / "disturbed", tmp_path / "two")
    one = [*pretrain, "--num_updates", "12", "--validate_every", "6", "--batch_size", "8"]
    assert run(one, tmp_path / "one").returncode == 0
    start = read_bundle(Path(pretrain[pretrain.index("--model_path") + 1])).weights
    assert deviation(tmp_path / "two", tmp_path / "one", start) < 5e-3
    losses = [
        [row["loss"] for row in read_metrics(tmp_path / name) if "loss" in row] for name in ("two", "one")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def deviation(one: Path, other: Path, start: dict[str, torch.Tensor]) -> float:
    """How far apart two runs ended, as a share of the way they went.

    Biases of keys are left out: softmax ignores them, so their gradient is rounding noise, and Adam makes
    steps of full length of that.
    """
    ends = [read_bundle(folder / "checkpoint_last.pt").weights for folder in (one, other)]
    names = [name for name, value in start.items() if value.is_floating_point() and "qkv.bias" not in name]
    apart = sum((ends[0][name] - ends[1][name]).square().sum() for name in names)
    way = sum((ends[0][name] - start[name]).square().sum() for name in names)
    return float((apart / way) ** 0.5)


def test_odd_recordings_are_used_or_named(tmp_path: Path, pretrain: list[str], shared: Path) -> None:
    odd = ["--data_dir", str(shared / "data" / "odd"), "--num_updates", "8", "--world_size", "2"]
    done = run(pretrain, tmp_path, *odd)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    unusable = {"zero_length.wav", "header_only_no_samples.wav", "truncated_header.wav", "text_renamed.wav"}
    with (tmp_path / "problems.csv").open(newline="", encoding="utf-8") as file:
        left_out = {row["path"] for row in csv.DictReader(file) if row["was_left_out"] == "yes"}
    assert unusable <= {Path(name).name for name in left_out}
    for name in unusable:
        assert done.stderr.count(f"unusable {name}: ") == 1
