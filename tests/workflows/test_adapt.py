"""Adapting a small model: the run, the verdict, the page, and what is refused before anything is trained."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bioacoustics.data.synthesis import SyntheticDataset
from bioacoustics.models.saved import load_encoder
from bioacoustics.training.metrics import read_metrics
from bioacoustics.workflows.adapt import AdaptConfig, adapt
from bioacoustics.workflows.before_after import compare_on_labels
from bioacoustics.workflows.pretrain import pretrain
from bioacoustics.workflows.survey import Outcome


def run(folder: Path, sounds: SyntheticDataset, model: Path, console: Console, **changes: Any) -> Outcome:
    return adapt(config_of(folder, sounds, model, **changes), console)


def config_of(folder: Path, sounds: SyntheticDataset, model: Path, **changes: Any) -> AdaptConfig:
    settings = {
        "model_path": model,
        "data_dir": sounds.unlabeled_dir,
        "save_dir": folder,
        "target_length": 64,
        "batch_size": 4,
        "num_clones": 2,
        "num_updates": 2,
        "validation_share": 0.3,
        "device": "cpu",
    }
    return AdaptConfig.model_validate({**settings, **changes})


def table_of(folder: Path, rows: list[tuple[str, str]]) -> Path:
    path = folder / "labels.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("filename", "labels"), *rows])
    return path


def few_labels(folder: Path, sounds: SyntheticDataset, num_labels: int = 3) -> Path:
    """The clips of some of the animals."""
    with sounds.labels_csv.open(newline="") as file:
        rows = [(row["filename"], row["labels"]) for row in csv.DictReader(file)]
    kept = sorted({label for _, label in rows})[:num_labels]
    return table_of(folder, [row for row in rows if row[1] in kept])


def test_with_labels_the_probes_decide(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, console: Console, said: Callable[[], str]
) -> None:
    labels = few_labels(tmp_path, sounds)
    judging = {"labels": labels, "labels_dir": sounds.audio_dir}
    assert run(tmp_path / "run", sounds, small_model, console, **judging).unusable == []
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert verdict["decision"] in {"keep", "discard", "undecided"}
    assert verdict["evidence"] == "labels"
    assert verdict["num_recordings"] == 6
    probes = {row["probe"]: row for row in verdict["scores"]}
    assert set(probes) == {"nearest", "linear", "attentive", "retrieval"}
    judges = [probes[name]["difference"][0] for name in ("nearest", "linear", "attentive")]
    assert verdict["difference"][0] == pytest.approx(sum(judges) / 3)
    assert verdict["reason"] in said()
    page = (tmp_path / "run" / "report.html").read_text()
    assert verdict["reason"] in page
    assert page.count("<img") == 4
    assert load_encoder(tmp_path / "run" / "checkpoint_last.pt").embedding_dim == 32


def test_a_killed_run_is_judged_when_it_is_repeated(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, console: Console
) -> None:
    from bioacoustics.workflows.adapt import _pretrain_config

    config = config_of(tmp_path / "run", sounds, small_model, language="es", target_length=48)
    pretrain(_pretrain_config(config), console)  # and then the kill, before the verdict
    learnt = json.loads((tmp_path / "run" / "config.json").read_text())["decisive"]["objective"]
    assert learnt["removes_position"]
    assert learnt["reconstruction_weight"] > 0  # what suits little data, beside what has a flag
    assert (learnt["target_length"], learnt["num_clones"]) == (48, 2)
    weights = (tmp_path / "run" / "checkpoint_last.pt").read_bytes()
    assert not (tmp_path / "run" / "verdict.json").exists()
    adapt(config, console)
    assert (tmp_path / "run" / "checkpoint_last.pt").read_bytes() == weights
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert verdict["evidence"] == "neighbours"
    assert [row["probe"] for row in verdict["scores"]] == ["neighbours"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert '<html lang="es">' in page
    assert "coherencia de vecinos" in page
    assert max(row["update"] for row in read_metrics(tmp_path / "run")) == 2


def test_the_same_model_twice_differs_by_nothing(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, console: Console
) -> None:
    comparison = compare_on_labels(
        (small_model, small_model),
        few_labels(tmp_path, sounds),
        sounds.audio_dir,
        target_length=64,
        channel="mix",
        device="cpu",
        num_threads=None,
        console=console,
    )
    assert comparison.verdict.difference == (0, 0, 0)
    assert comparison.verdict.decision == "undecided"
    assert comparison.verdict.rank_before == comparison.verdict.rank_after


def test_what_cannot_be_judged_is_said_before_the_training(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, console: Console
) -> None:
    with sounds.labels_csv.open(newline="") as file:
        name = next(csv.DictReader(file))["filename"]
    judging: dict[str, Any] = {"labels_dir": sounds.audio_dir}
    with pytest.raises(FileNotFoundError, match="none of its 1 rows can be used with the clips in"):
        run(
            tmp_path / "a",
            sounds,
            small_model,
            console,
            labels=table_of(tmp_path, [("x.wav", "y")]),
            **judging,
        )
    with pytest.raises(ValueError, match="every clip has the one label 'y'"):
        run(tmp_path / "a", sounds, small_model, console, labels=table_of(tmp_path, [(name, "y")]), **judging)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        run(tmp_path / "a", sounds, tmp_path / "no.pt", console)
    with pytest.raises(ValueError, match="give that table, too"):
        config_of(tmp_path, sounds, small_model, **judging)
    with pytest.raises(ValueError, match="raise --validation_share"):
        config_of(tmp_path, sounds, small_model, validation_share=0)
    assert not (tmp_path / "a").exists()


def test_the_default_length_follows_from_the_recordings(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    from bioacoustics.workflows import adapt as module

    def updates(batch_size: int) -> int:
        config = config_of(tmp_path, sounds, small_model, num_updates=None, batch_size=batch_size)
        return module._default_num_updates(config)

    assert updates(100) == module.FEWEST_UPDATES
    assert updates(2) == pytest.approx(2 * updates(4), abs=1)
    assert module.FEWEST_UPDATES < updates(2) <= module.MOST_UPDATES


def test_recordings_too_short_to_judge_leave_it_undecided(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    config = config_of(tmp_path, sounds, small_model, num_updates=1, target_length=96)
    assert adapt(config, Console(file=io.StringIO(), quiet=True)).unusable == []
    # No recording holds three windows of a second, so nothing was measured, and JSON has no NaN.
    verdict = json.loads((tmp_path / "verdict.json").read_text(), parse_constant=pytest.fail)
    assert verdict["decision"] == "undecided"
    assert verdict["difference"] == [None, None, None]
    assert "only 0 recordings can judge" in verdict["reason"]
