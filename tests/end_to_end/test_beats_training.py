"""BEATs through the real commands: killed in every stage, by two processes; the same of joint training."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bioacoustics.data.synthesis import SyntheticDataset
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.predictors import LabelPredictor, LabelPredictorConfig
from bioacoustics.models.saved import read_bundle, write_bundle
from bioacoustics.models.saved_tokenizers import bundle_of_masked_tokens
from bioacoustics.training.metrics import read_metrics

sys.path.insert(0, str(Path(__file__).parents[1] / "objectives"))
from small_beats import DROPOUTS, audio_encoder, beats_config, random_tokenizer

ROOT = Path(__file__).resolve().parents[2]
FORKS = Path(__file__).with_name("forks.py")
STAGES = ("iteration_1/encoder", "iteration_2/tokenizer", "iteration_2/encoder")
TIMING = {"elapsed_s", "seconds_per_update", "clips_per_s", "audio_hours_per_hour"}
MODELS = ("checkpoint_best.pt", "checkpoint_last.pt")
TWO = ["torchrun", "--standalone", "--nproc_per_node", "2"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="forks, and kills are others there"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Very small BEATs with their tokenizers: one with dropout, one without, which no split can change."""
    folder = tmp_path_factory.mktemp("models")
    for name, share in (("dropping", 0.2), ("plain", 0.0)):
        encoder: AudioEncoder = audio_encoder(**dict.fromkeys(DROPOUTS, share))
        shape = LabelPredictorConfig.beside(beats_config(), num_codes=16, depth=1)
        predictor = LabelPredictor(shape, encoder.embedding_dim)
        write_bundle(bundle_of_masked_tokens(encoder, predictor, random_tokenizer()), folder / f"{name}.pt")
    return {path.stem: path for path in folder.iterdir()}


def environment() -> dict[str, str]:
    folder = str(Path(sys.executable).parent)
    own = {"VIRTUAL_ENV": sys.prefix, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "COLUMNS": "200"}


def forked(*jobs: tuple[list[str], list[str]]) -> list[dict[str, Any]]:
    """What commands have said, and how they ended; see forks.py."""
    orders = json.dumps([{"words": words, "kill_after": marks} for words, marks in jobs])
    command = [sys.executable, str(FORKS)]
    done = subprocess.run(
        command, input=orders, capture_output=True, text=True, env=environment(), check=True, timeout=300
    )
    ends: list[dict[str, Any]] = json.loads(done.stdout)
    for (_, marks), end in zip(jobs, ends, strict=True):
        assert end["code"] == (-9 if marks else 0), end["said"]
    return ends


def by_two(*words: str) -> None:
    done = subprocess.run(
        [*TWO, *words], cwd=ROOT, capture_output=True, text=True, env=environment(), check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr


def rows_of(folder: Path, *ignored: str) -> list[dict[str, float]]:
    left_out = TIMING | set(ignored)
    return [{k: v for k, v in row.items() if k not in left_out} for row in read_metrics(folder)]


def assert_alike(one: Path, two: Path, *ignored: str) -> None:
    pairs = zip(rows_of(one, *ignored), rows_of(two, *ignored), strict=True)
    for ours, theirs in pairs:
        assert theirs == pytest.approx(ours, rel=2e-3, abs=2e-4, nan_ok=True)


def deviation(one: Path, two: Path, start: Path) -> float:
    """How far apart two runs ended, as a share of the way that the encoder went."""
    before = {name: w for name, w in read_bundle(start).weights.items() if name.startswith("encoder.")}
    ends = [read_bundle(folder / "checkpoint_last.pt").weights for folder in (one, two)]
    # A bias of keys changes nothing after the softmax: its gradient is rounding, of which Adam makes steps.
    names = [name for name, w in before.items() if w.is_floating_point() and "k_proj.bias" not in name]
    apart = sum((ends[0][name] - ends[1][name]).square().sum() for name in names)
    way = sum((ends[0][name] - before[name]).square().sum() for name in names)
    return float(torch.as_tensor(apart / way).sqrt())


def iterations(model: Path, data: SyntheticDataset, batch_size: int) -> list[str]:
    """Two iterations, but for --save_dir."""
    flags = (
        "pretrain --model beats --iterations 2 --target_length 64 --num_updates 4 --tokenizer_updates 4 "
        "--num_codes 16 --save_every 1 --log_every 1 --validate_every 2 --validation_share 0.3 "
        f"--min_code_perplexity 0 --num_threads 1 --batch_size {batch_size}"
    )
    paths = ["--model_path", str(model), "--tokenizer_path", str(model)]
    return [*flags.split(), *paths, "--data_dir", str(data.unlabeled_dir)]


def test_iterations_survive_a_kill_in_every_stage(
    tmp_path: Path, models: dict[str, Path], tiny_data: SyntheticDataset
) -> None:
    command = iterations(models["dropping"], tiny_data, 4)
    whole, disturbed = ([*command, "--save_dir", str(tmp_path / name)] for name in ("whole", "disturbed"))
    marks = (
        "Iteration 1 of 2: the encoder",
        "Iteration 2 of 2: the tokenizer",
        "Iteration 2 of 2: the encod",
    )
    kills = [(disturbed, [mark, "update 2/"]) for mark in marks]
    ends = forked((whole, []), *kills, (disturbed, []))
    for stage, end in zip(STAGES, ends[2:], strict=True):  # each start goes on inside the stage that was hit
        starts = json.loads((tmp_path / "disturbed" / stage / "environment.json").read_text())["starts"]
        assert any(0 < start["after_update"] < 4 for start in starts), stage
        assert "Going on after update" in end["said"]
    for stage in (*STAGES, "."):
        for name in MODELS:
            one, other = ((tmp_path / run / stage / name).read_bytes() for run in ("whole", "disturbed"))
            assert one == other, (stage, name)
    for stage in STAGES:
        assert rows_of(tmp_path / "whole" / stage) == rows_of(tmp_path / "disturbed" / stage)


def test_iterations_by_two_processes_equal_one(
    tmp_path: Path, models: dict[str, Path], tiny_data: SyntheticDataset
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    forked(([*iterations(models["plain"], tiny_data, 4), "--save_dir", str(one)], []))
    by_two("-m", "bioacoustics", *iterations(models["plain"], tiny_data, 2), "--save_dir", str(two))
    for stage in STAGES:
        starts = json.loads((two / stage / "environment.json").read_text())["starts"]
        assert [start["num_processes"] for start in starts] == [2]
        assert_alike(one / stage, two / stage)
    assert deviation(one, two, models["plain"]) < 0.02


def test_joint_training_of_beats_killed_or_not_and_by_two(
    tmp_path: Path, models: dict[str, Path], folders: list[str]
) -> None:
    given = (
        "--epochs 2 --checkpoint_freq 1 --segment_duration 1 --supervised_weight 0.3 --lr 1e-3 "
        "--save_every 1 --log_every 1 --num_threads 1 --validation_share 0.4"
    )
    flags = [*folders, *given.split()]

    def words(model: str, name: str, batch_size: int) -> list[str]:
        about = ["--model_path", str(models[model]), "--output_dir", str(tmp_path / name)]
        return [*flags, *about, "--batch_size", str(batch_size)]

    *_, end = forked(
        (["train", *words("plain", "one", 16)], []),
        (["train", *words("dropping", "whole", 16)], []),
        (["train", *words("dropping", "disturbed", 16)], ["update 3/"]),
        (["train", *words("dropping", "disturbed", 16)], []),
    )
    assert "Going on after update" in end["said"]
    whole, disturbed = tmp_path / "whole", tmp_path / "disturbed"
    results = {path.name for path in whole.glob("checkpoint_*.pt")}
    assert len(results) >= 3
    for name in (*results, "predictions.csv", "suspicious_negatives.csv"):
        assert (disturbed / name).read_bytes() == (whole / name).read_bytes(), name
    assert rows_of(disturbed) == rows_of(whole)
    by_two("beats/train.py", *words("plain", "two", 8))
    assert_alike(tmp_path / "one", tmp_path / "two")
    assert deviation(tmp_path / "one", tmp_path / "two", models["plain"]) < 0.02
