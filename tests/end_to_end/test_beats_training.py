"""BEATs through the real commands: killed in every stage of its iterations, and by two processes."""

import json
import os
from pathlib import Path

import pytest
from runs import assert_alike, by_two, deviation, forked, rows_of

from bioacoustics.data.synthesis import SyntheticDataset

STAGES = ("iteration_1/encoder", "iteration_2/tokenizer", "iteration_2/encoder")
MODELS = ("checkpoint_best.pt", "checkpoint_last.pt")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="forks, and kills are others there"),
]


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
    command = iterations(models["beats dropping"], tiny_data, 4)
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
    forked(([*iterations(models["beats plain"], tiny_data, 4), "--save_dir", str(one)], []))
    by_two("-m", "bioacoustics", *iterations(models["beats plain"], tiny_data, 2), "--save_dir", str(two))
    for stage in STAGES:
        starts = json.loads((two / stage / "environment.json").read_text())["starts"]
        assert [start["num_processes"] for start in starts] == [2]
        assert_alike(one / stage, two / stage)
    assert deviation(one, two, models["beats plain"]) < 0.02
