"""The demo from beginning to end, as small as it can be, and again."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bioacoustics.data.synthesis import SyntheticDataset
from bioacoustics.workflows.demo import DemoConfig, demo


def config_of(folder: Path, **changes: Any) -> DemoConfig:
    smallest = {"pretrain_updates": 1, "finetune_updates": 1, "num_unlabeled": 3, "num_labeled_per_class": 4}
    return DemoConfig.model_validate({"output_dir": folder, "device": "cpu", **smallest, **changes})


@pytest.mark.slow
def test_from_nothing_to_a_report_and_again(
    tmp_path: Path, console: Console, said: Callable[[], str]
) -> None:
    folder = tmp_path / "demo [1]"
    report = demo(config_of(folder, language="es"), console)
    assert report == folder / "report.html"
    page = report.read_text(encoding="utf-8")
    assert "Su primer modelo de sonidos animales" in page
    assert len(pd.read_parquet(folder / "embeddings.parquet")) == 3
    assert list(pd.read_csv(folder / "predictions.csv")["file"]) == ["long.wav"]
    assert f"Open {report} in a browser" in said()
    models = [folder / part / "checkpoint_best.pt" for part in ("pretrain", "finetune")]
    before = [path.read_bytes() for path in models]
    demo(config_of(folder, language="en"), console)
    assert [path.read_bytes() for path in models] == before
    assert said().count("Going on after update 1 of 1") == 2
    assert "Your first animal sound model" in report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_ones_own_recordings_without_labels(
    tmp_path: Path, sounds: SyntheticDataset, console: Console, said: Callable[[], str]
) -> None:
    own = tmp_path / "mis datos [/x]"
    shutil.copytree(sounds.unlabeled_dir, own / "unlabeled")
    (own / "recordings").mkdir()
    (own / "recordings" / "notes.txt").write_text("nothing here yet")
    report = demo(config_of(tmp_path / "out", data_dir=own), console)
    assert f"Your recordings in {own}" in said()
    assert "fine-tuning is left out" in said()
    assert not (tmp_path / "out" / "finetune").exists()
    assert not (tmp_path / "out" / "predictions.csv").exists()
    assert "It is a first look" in report.read_text(encoding="utf-8")


def test_a_folder_laid_out_differently_is_explained(tmp_path: Path, console: Console) -> None:
    with pytest.raises(FileNotFoundError, match="has no folder 'unlabeled' with recordings; the layout is"):
        demo(config_of(tmp_path / "out", data_dir=tmp_path), console)
