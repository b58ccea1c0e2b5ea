"""Joint training: the four sources, what it leaves, what it refuses, and what a frozen encoder needs."""

import csv
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from rich.console import Console

from bioacoustics.data.splits import group_of
from bioacoustics.data.synthesis import SyntheticDataset
from bioacoustics.models.saved import load_classifier, load_encoder, read_bundle
from bioacoustics.training.metrics import read_metrics
from bioacoustics.workflows.conclusion import SUSPICIOUS
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.train import TrainConfig, train

SMALL_RUN = {
    "segment_duration": 1.0,
    "batch_size": 10,
    "epochs": 1,
    "lr": 1e-3,
    "validation_share": 0.4,
    "log_every": 1,
    "device": "cpu",
    "num_threads": 2,
}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, sounds: SyntheticDataset) -> dict[str, Path]:
    """The documented layout: two labels are the classes of examples, two others what they are not."""
    root = tmp_path_factory.mktemp("campo")
    labels = {row["filename"]: row["labels"] for row in rows_of(sounds.labels_csv)}
    words = sorted(set(labels.values()))
    for name, label in labels.items():
        if (number := words.index(label)) < 4:
            folder = root / "negative" if number > 1 else root / "positive" / label
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(sounds.audio_dir / name, folder / Path(name).name)
    return {
        "data_dir": sounds.unlabeled_dir,
        "labeled_dir": sounds.labels_csv.parent,
        "positive_dir": root / "positive",
        "negative_dir": root / "negative",
    }


def run(output_dir: Path, **settings: Any) -> tuple[Outcome, str]:
    console = Console(file=io.StringIO(), width=200)
    outcome = train(TrainConfig.model_validate({"output_dir": output_dir, **SMALL_RUN, **settings}), console)
    assert isinstance(console.file, io.StringIO)
    return outcome, console.file.getvalue()


@pytest.mark.parametrize("model", ["eat", "beats"])
def test_all_four_sources_in_one_run(tmp_path: Path, folders: dict[str, Path], model: str) -> None:
    shape = {"model": model, "encoder_layers": 1, "encoder_embed_dim": 32}
    if model == "beats":
        shape["num_codes"] = 16
    outcome, said = run(tmp_path, checkpoint_freq=1, **shape, **folders)
    assert outcome.unusable == []
    row = read_metrics(tmp_path)[0]
    for term in ("self_supervised_loss", "supervised_loss", "detector_loss", "contrastive_loss"):
        assert np.isfinite(row[term]), term
    classifier = load_classifier(tmp_path / "checkpoint_best.pt")
    labels = {row["labels"] for row in rows_of(folders["labeled_dir"] / "labels.csv")}
    assert set(classifier.labels) == labels
    assert classifier.multi_label
    assert load_encoder(tmp_path / "checkpoint_best.pt").config == classifier.encoder.config
    assert read_bundle(tmp_path / "checkpoint_best.pt").header.architecture == model
    updates = [path.name for path in tmp_path.glob("checkpoint_*.pt") if path.stem[11:].isdecimal()]
    assert len(updates) == 1
    held_out = {row["file"] for row in rows_of(tmp_path / "predictions.csv")}
    assert any(name.startswith("labeled/") for name in held_out)
    assert any(name.startswith("negative/") for name in held_out)
    negatives = {path.name for path in folders["negative_dir"].iterdir()}
    suspicious = rows_of(tmp_path / SUSPICIOUS)
    assert {row["file"] for row in suspicious} == negatives  # those held out, too
    similarities = [float(row["similarity"]) for row in suspicious]
    assert similarities == sorted(similarities, reverse=True)
    assert "held out: mAP" in said


def test_without_labels_it_ends_with_a_pre_training(tmp_path: Path, folders: dict[str, Path]) -> None:
    _, said = run(tmp_path, model="eat", encoder_layers=1, encoder_embed_dim=32, data_dir=folders["data_dir"])
    header = read_bundle(tmp_path / "checkpoint_best.pt").header
    assert header.kind == "pretraining"
    assert header.card is not None and header.card.parents == ()
    assert [(one.command, one.data) for one in header.card.schooling] == [("train", folders["data_dir"].name)]
    assert any("valid_loss" in row for row in read_metrics(tmp_path))
    assert "bioacoustics finetune" in said


def test_one_label_a_clip_is_judged_by_accuracy(
    tmp_path: Path, folders: dict[str, Path], small_model: Path
) -> None:
    _, said = run(tmp_path, model_path=small_model, labeled_dir=folders["labeled_dir"])
    assert not load_classifier(tmp_path / "checkpoint_best.pt").multi_label
    assert "held out: accuracy" in said
    assert (tmp_path / "confusion.png").exists()


@pytest.fixture(scope="module")
def frozen(
    tmp_path_factory: pytest.TempPathFactory, folders: dict[str, Path], small_model: Path
) -> tuple[Path, dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("frozen") / "run"
    settings = {
        "model_path": small_model,
        "freeze_encoder": True,
        "epochs": 20,
        "lr": 1e-2,
        "log_every": 5,
        "checkpoint_freq": 1,
        "positive_dir": folders["positive_dir"],
        "negative_dir": folders["negative_dir"],
    }
    return folder, settings, run(folder, **settings)[1]


def test_a_frozen_encoder_stays_as_it_is_and_the_rest_learns(
    frozen: tuple[Path, dict[str, Any], str], small_model: Path
) -> None:
    folder, settings, said = frozen
    weights = read_bundle(folder / "checkpoint_best.pt").weights
    for name, value in read_bundle(small_model).weights.items():
        if name.startswith("encoder."):
            assert torch.equal(weights[name], value), name
    losses = [row["detector_loss"] for row in read_metrics(folder) if "detector_loss" in row]
    assert losses[-1] < 0.7 * losses[0]
    assert "hearing" in said
    classifier = load_classifier(folder / "checkpoint_best.pt")
    assert classifier.labels == tuple(sorted(path.name for path in settings["positive_dir"].iterdir()))
    assert classifier.head.config.refines
    card = read_bundle(folder / "checkpoint_best.pt").header.card
    assert card is not None
    assert [one.name for one in card.parents] == [small_model.name]
    held_out = rows_of(folder / "predictions.csv")
    num_clips = sum(len(list(settings[f"{side}_dir"].rglob("*.flac"))) for side in ("positive", "negative"))
    assert card.schooling[-1].num_recordings == num_clips - len(held_out)


def numbered(folder: Path) -> list[int]:
    """The updates of the checkpoints that were kept on the way."""
    return sorted(int(path.stem[11:]) for path in folder.glob("checkpoint_[0-9]*.pt"))


def test_best_is_the_first_with_the_highest_score_on_what_is_held_out(
    frozen: tuple[Path, dict[str, Any], str],
) -> None:
    folder, settings, _ = frozen
    scores = {
        int(row["update"]): row["valid_mean_average_precision"]
        for row in read_metrics(folder)
        if "valid_mean_average_precision" in row
    }
    updates = numbered(folder)
    assert updates == [updates[0] * epoch for epoch in range(1, settings["epochs"] + 1)]
    assert list(scores) == updates  # judged after every epoch
    chosen = max(scores, key=lambda update: scores[update])
    best, same = (read_bundle(folder / f"checkpoint_{name}.pt").weights for name in ("best", chosen))
    learnt = [name for name in same if not name.startswith("head.head")]  # that layer was calibrated since
    for name in learnt:
        assert torch.equal(best[name], same[name]), name
    last = read_bundle(folder / "checkpoint_last.pt").weights
    assert any(not torch.equal(best[name], last[name]) for name in learnt)


def test_held_out_examples_are_of_other_recordings(frozen: tuple[Path, dict[str, Any], str]) -> None:
    folder, settings, _ = frozen
    held_out = {row["file"].split("/", 1)[1] for row in rows_of(folder / "predictions.csv")}
    everything = {
        path.relative_to(settings[side]).as_posix()
        for side in ("positive_dir", "negative_dir")
        for path in settings[side].rglob("*.*")
    }
    assert held_out
    assert not {group_of(name) for name in held_out} & {group_of(name) for name in everything - held_out}


def test_features_are_heard_once(frozen: tuple[Path, dict[str, Any], str], tmp_path: Path) -> None:
    folder, settings, _ = frozen
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.glob("features_*.npy"):
        shutil.copy(path, copy)
    _, said = run(copy, **{**settings, "checkpoint_freq": 5})
    assert "hearing" not in said
    assert numbered(copy) == numbered(folder)[4::5]
    for name in ("checkpoint_best.pt", "predictions.csv", SUSPICIOUS):
        assert (copy / name).read_bytes() == (folder / name).read_bytes()
    _, said = run(tmp_path / "other", **{**settings, "num_views": 2, "epochs": 1})
    assert "hearing" in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "nothing to learn from"),
        ({"data_dir": "d", "negative_dir": "n"}, "give the target as --positive_dir"),
        ({"data_dir": "d", "bank_size": 9}, "--bank_size needs --positive_dir"),
        ({"positive_dir": "p", "freeze_encoder": True}, "would learn from random features"),
        ({"data_dir": "d", "freeze_encoder": True, "model_path": "m"}, "leaves it as it is"),
        ({"data_dir": "d", "model_path": "m", "encoder_layers": 2}, "but --model_path gives one"),
        ({"labeled_dir": "d", "tokenizer_path": "t"}, "give them as --data_dir"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainConfig.model_validate({"output_dir": "o", **settings})


def test_sources_that_cannot_be_used_are_told_before_training(
    tmp_path: Path, folders: dict[str, Path], small_model: Path
) -> None:
    empty, single = tmp_path / "empty", tmp_path / "single"
    empty.mkdir()
    single.mkdir()
    (empty / "broken.wav").write_bytes(b"no sound")
    clip = next(folders["negative_dir"].iterdir())
    shutil.copy(clip, single)
    one_class = next(folders["positive_dir"].iterdir())
    base = {"model_path": small_model, "negative_dir": folders["negative_dir"]}
    for settings, message in (
        ({**base, "positive_dir": empty}, r"holds no usable recording:\n  broken.wav"),
        ({**base, "positive_dir": folders["positive_dir"], "negative_dir": empty}, "holds no usable"),
        ({**base, "positive_dir": single}, "one clip only of single"),
        ({"model_path": small_model, "positive_dir": one_class}, "nothing to tell them from"),
        ({**base, "positive_dir": folders["positive_dir"], "data_dir": empty}, "holds no usable"),
        ({"model_path": small_model, "model": "beats", "data_dir": folders["data_dir"]}, "is of eat"),
        ({**base, "positive_dir": one_class, "batch_size": 1}, "cannot hold one of each of 2 sources"),
    ):
        with pytest.raises(ValueError, match=message):
            run(tmp_path / "run", **settings)
    with pytest.raises(FileNotFoundError, match=r"labels\.csv"):
        run(tmp_path / "run", labeled_dir=empty)
    (empty / "audio").mkdir()
    (empty / "broken.wav").rename(empty / "audio/broken.wav")
    (empty / "audio/too.wav").write_bytes(b"")
    (empty / "labels.csv").write_text("filename,labels\nbroken.wav,frog\ntoo.wav,toad\n")
    with pytest.raises(ValueError, match=r"broken\.wav"):
        run(tmp_path / "run", labeled_dir=empty)
    for source in ("data_dir", "labeled_dir", "positive_dir"):
        with pytest.raises(FileNotFoundError):
            run(tmp_path / "run", **{source: tmp_path / "not there"})
    assert not (tmp_path / "run" / "run_state.pt").exists()
