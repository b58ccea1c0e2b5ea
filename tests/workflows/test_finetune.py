"""A fine-tuning run: the tables it reads, the results it leaves, and what these do not depend on."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

from bioacoustics.data.splits import group_of
from bioacoustics.data.synthesis import SyntheticDataset
from bioacoustics.models.saved import load_classifier, load_encoder, read_bundle
from bioacoustics.training.metrics import read_metrics
from bioacoustics.workflows.finetune import FinetuneConfig, finetune
from bioacoustics.workflows.survey import BadFiles, Outcome

PNG = b"\x89PNG\r\n\x1a\n"
LENGTH = 160  # longer than the clips, so that each is heard whole


def run(
    folder: Path, sounds: SyntheticDataset, model: Path | None, console: Console | None = None, **changes: Any
) -> Outcome:
    settings = {
        "save_dir": folder,
        "data_dir": sounds.audio_dir,
        "labels": sounds.labels_csv,
        "model_path": model,
        "target_length": LENGTH,
        "batch_size": 8,
        "num_updates": 4,
        "learning_rate": 1e-3,
        "validation_share": 0.4,
        "log_every": 2,
        "validate_every": 2,
        "device": "cpu",
    }
    config = FinetuneConfig.model_validate({**settings, **changes})
    return finetune(config, console or Console(file=io.StringIO()))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(path: Path, rows: list[tuple[str, str]], columns: str = "filename,labels") -> Path:
    lines = [columns, *(f'{name},"{labels}"' for name, labels in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def labelled(sounds: SyntheticDataset) -> list[tuple[str, str]]:
    return [(row["filename"], row["labels"]) for row in rows_of(sounds.labels_csv)]


def probabilities(model: Path, clip: Path) -> np.ndarray:
    """What the saved model says of a clip, by the public face alone."""
    samples, rate_hz = soundfile.read(clip, dtype="float32")
    assert rate_hz == 16_000
    with torch.inference_mode():
        return load_classifier(model)(torch.from_numpy(samples)[None])[0].numpy()


def assert_predictions_are_those_of_the_saved_model(folder: Path, audio_dir: Path) -> None:
    rows = rows_of(folder / "predictions.csv")
    assert rows
    for row in rows[:4]:
        said = probabilities(folder / "checkpoint_best.pt", audio_dir / row["file"])
        listed = [float(value) for name, value in row.items() if name.startswith("p(")]
        assert listed == pytest.approx(said.tolist(), abs=6e-5)  # four decimals are listed


@pytest.fixture(scope="module")
def single(
    tmp_path_factory: pytest.TempPathFactory, sounds: SyntheticDataset, small_model: Path
) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("single")
    console = Console(file=io.StringIO(), width=200)
    assert run(folder, sounds, small_model, console, num_updates=16).unusable == []
    assert isinstance(console.file, io.StringIO)
    return folder, console.file.getvalue()


def test_run_folder_of_one_label_a_clip(single: tuple[Path, str], sounds: SyntheticDataset) -> None:
    folder, said = single
    assert {path.name for path in folder.iterdir()} == {
        *("checkpoint_best.pt", "checkpoint_last.pt", "run_state.pt", "config.json", "environment.json"),
        *("metrics.jsonl", "losses.png", "problems.csv", "per_class.csv", "predictions.csv", "confusion.png"),
    }
    for name in ("losses.png", "confusion.png"):
        assert (folder / name).read_bytes().startswith(PNG)
    labels = sorted({label for _, label in labelled(sounds)})
    assert [row["label"] for row in rows_of(folder / "per_class.csv")] == labels
    predictions = rows_of(folder / "predictions.csv")
    assert list(predictions[0]) == ["file", "labels", *(f"p({label})" for label in labels)]
    truth = dict(labelled(sounds))
    assert all(truth[row["file"]] == row["labels"] for row in predictions)
    for row in predictions:
        assert sum(float(row[f"p({label})"]) for label in labels) == pytest.approx(1, abs=1e-3)
    classifier = load_classifier(folder / "checkpoint_best.pt")
    assert classifier.labels == tuple(labels)
    assert not classifier.multi_label
    assert classifier.target_length == LENGTH
    assert "40 clips, 10 labels, one label a clip" in said
    assert "held out: accuracy" in said
    record = json.loads((folder / "config.json").read_text())
    assert record["workflow"] == "finetune"
    assert record["decisive"]["labels"] == labels


def test_scores_per_class_are_those_of_the_predictions(single: tuple[Path, str]) -> None:
    folder, _ = single
    predictions = rows_of(folder / "predictions.csv")
    labels = [name[2:-1] for name in predictions[0] if name.startswith("p(")]
    for row in rows_of(folder / "per_class.csv"):
        label = row["label"]
        best = [max(labels, key=lambda name: float(clip[f"p({name})"])) for clip in predictions]
        present = [clip["labels"] == label for clip in predictions]
        assert int(row["num_held_out"]) == sum(present)
        assert int(row["num_training"]) == 4 - sum(present)
        hits = sum(b == label and p for b, p in zip(best, present, strict=True))
        if sum(present):
            assert float(row["recall"]) == pytest.approx(hits / sum(present))
        else:
            assert row["recall"] == row["average_precision"] == row["f1"] == ""
        if best.count(label):
            assert float(row["precision"]) == pytest.approx(hits / best.count(label))


def test_one_recording_is_never_on_both_sides(single: tuple[Path, str], sounds: SyntheticDataset) -> None:
    held_out = {row["file"] for row in rows_of(single[0] / "predictions.csv")}
    training = {name for name, _ in labelled(sounds)} - held_out
    assert not {group_of(name) for name in held_out} & {group_of(name) for name in training}


def test_the_saved_model_is_calibrated_and_says_what_the_table_says(
    single: tuple[Path, str], sounds: SyntheticDataset
) -> None:
    folder, _ = single
    calibration = read_bundle(folder / "checkpoint_best.pt").header.calibration
    assert calibration is not None
    assert isinstance(calibration["temperature"], float)
    assert calibration["temperature"] != 1
    assert calibration["num_clips"] == len(rows_of(folder / "predictions.csv"))
    assert_predictions_are_those_of_the_saved_model(folder, sounds.audio_dir)


def test_the_saved_model_says_what_it_was_trained_on(
    single: tuple[Path, str], small_model: Path, sounds: SyntheticDataset
) -> None:
    card = read_bundle(single[0] / "checkpoint_best.pt").header.card  # after its calibration
    assert card is not None
    assert [(one.command, one.data) for one in card.schooling] == [("finetune", sounds.audio_dir.name)]
    held_out = {row["file"] for row in rows_of(single[0] / "predictions.csv")}
    assert card.schooling[0].num_recordings == len(labelled(sounds)) - len(held_out)
    assert [one.name for one in card.parents] == [small_model.name]
    assert card.parents[0].fingerprint == read_bundle(small_model).header.fingerprint


def test_the_model_learns(single: tuple[Path, str]) -> None:
    losses = [row["loss"] for row in read_metrics(single[0]) if "loss" in row]
    assert losses[-1] < losses[0]


def test_a_finished_run_is_left_as_it_is(
    tmp_path: Path, single: tuple[Path, str], sounds: SyntheticDataset, small_model: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(single[0], folder)
    kept = ("checkpoint_best.pt", "checkpoint_last.pt", "predictions.csv", "per_class.csv", "metrics.jsonl")
    before = [(folder / name).read_bytes() for name in kept]
    for _ in range(2):
        run(folder, sounds, small_model, num_updates=16)
        assert [(folder / name).read_bytes() for name in kept] == before


def test_a_run_killed_between_training_and_calibration_is_calibrated_once(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, single: tuple[Path, str]
) -> None:
    """As if killed right after the last update, and once more after the calibrated model was written."""
    folder = tmp_path / "run"
    shutil.copytree(single[0], folder)
    whole = {name: (folder / name).read_bytes() for name in ("checkpoint_best.pt", "predictions.csv")}
    (folder / "predictions.csv").unlink()
    run(folder, sounds, small_model, num_updates=16)
    assert {name: (folder / name).read_bytes() for name in whole} == whole


def test_several_labels_a_clip(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, console: Console, said: Callable[[], str]
) -> None:
    clips = [
        (name, f"{label},rain" if i % 3 == 0 else label) for i, (name, label) in enumerate(labelled(sounds))
    ]
    labels = table(tmp_path / "labels.csv", clips)
    run(tmp_path / "run", sounds, small_model, console, labels=labels, mixup=0.8)
    folder = tmp_path / "run"
    assert (folder / "precision_recall.png").read_bytes().startswith(PNG)
    assert not (folder / "confusion.png").exists()
    classifier = load_classifier(folder / "checkpoint_best.pt")
    assert classifier.multi_label
    assert "rain" in classifier.labels
    assert any("|" in row["labels"] for row in rows_of(folder / "predictions.csv"))
    assert_predictions_are_those_of_the_saved_model(folder, sounds.audio_dir)
    assert "several labels a clip" in said()
    assert "accuracy" not in said().partition("held out")[2].partition("\n")[0]


def test_one_label_a_clip_can_be_trained_as_several(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    run(tmp_path, sounds, small_model, label_type="multi", num_updates=1)
    assert load_classifier(tmp_path / "checkpoint_best.pt").multi_label


def test_several_labels_cannot_be_trained_as_one(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    clips = labelled(sounds)
    labels = table(tmp_path / "labels.csv", [(clips[0][0], "frog,rain"), *clips[1:]])
    with pytest.raises(ValueError, match=r"labels.csv.*row.? 2.*keep one label"):
        run(tmp_path / "run", sounds, small_model, labels=labels, label_type="single")


def test_folds_say_who_is_held_out(tmp_path: Path, sounds: SyntheticDataset, small_model: Path) -> None:
    clips = labelled(sounds)
    folds = tmp_path / "folds.csv"
    folds.write_text("filename,fold\n" + "".join(f"{name},{i % 4}\n" for i, (name, _) in enumerate(clips)))
    run(tmp_path / "run", sounds, small_model, folds=folds, valid_fold="2", num_updates=1)
    held_out = [row["file"] for row in rows_of(tmp_path / "run" / "predictions.csv")]
    assert held_out == [name for i, (name, _) in enumerate(clips) if i % 4 == 2]
    with pytest.raises(ValueError, match="7"):
        run(tmp_path / "other", sounds, small_model, folds=folds, valid_fold="7")


def test_a_wrong_number_of_classes_is_refused(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    with pytest.raises(ValueError, match=r"--num_classes is 9, but .*labels.csv has 10 labels \(bullfrog"):
        run(tmp_path, sounds, small_model, num_classes=9)


def test_tables_as_spreadsheets_write_them(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, single: tuple[Path, str]
) -> None:
    """BOM, semicolons and Windows line ends give the very run of the plain table."""
    lines = sounds.labels_csv.read_text().splitlines()
    excel = tmp_path / "etiquetas.csv"
    excel.write_bytes("\r\n".join(line.replace(",", ";") for line in [*lines, ""]).encode("utf-8-sig"))
    run(tmp_path / "run", sounds, small_model, labels=excel, num_updates=16)
    assert (tmp_path / "run" / "checkpoint_last.pt").read_bytes() == (
        single[0] / "checkpoint_last.pt"
    ).read_bytes()


def test_hand_made_tables(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, console: Console, said: Callable[[], str]
) -> None:
    """A clip that is missing, one without label, one twice, a label that occurs once, and markup in names."""
    clips = labelled(sounds)
    rows = [("gone.wav", "fox"), (clips[0][0], "quetzal [/b]"), *clips[1:], (clips[3][0], clips[3][1])]
    labels = table(tmp_path / "labels.csv", rows)
    with labels.open("a") as file:
        file.write(f"{clips[0][0]},\n")
    run(tmp_path / "run", sounds, small_model, console, labels=labels, num_updates=1, head_start="random")
    warnings = [line for line in said().splitlines() if line.startswith("warning")]
    for row, words in (
        ("row 2", "gone.wav"),
        ("row 3", "'quetzal [/b]'"),
        ("row 43 and row 6", "the same file twice"),
        ("row 44", "no label"),
    ):
        assert any(row in line and words in line and "labels.csv" in line for line in warnings), (row, said())
    assert "too few for an interval" in said()  # one clip a class: most draws have other classes
    scores = {row["label"]: row for row in rows_of(tmp_path / "run" / "per_class.csv")}
    assert scores["quetzal [/b]"]["num_training"] == "1"
    assert scores["quetzal [/b]"]["average_precision"] == ""


@pytest.mark.parametrize("mode", ["CLS_TOKEN", "MEAN_POOLING", "LIN_SOFTMAX", "BAND_STATISTICS"])
def test_every_prediction_mode(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, mode: str
) -> None:
    run(tmp_path, sounds, small_model, prediction_mode=mode, num_updates=1)
    assert load_classifier(tmp_path / "checkpoint_best.pt").head.config.prediction_mode == mode
    assert_predictions_are_those_of_the_saved_model(tmp_path, sounds.audio_dir)


@pytest.mark.parametrize("mode", ["MEAN_POOLING", "BAND_STATISTICS"])
def test_a_head_begins_as_the_linear_probe_of_the_training_clips(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, mode: str
) -> None:
    accuracies = {}
    for start in ("probe", "random"):
        settings = {"head_start": start, "num_updates": 1, "learning_rate": 1e-12, "prediction_mode": mode}
        run(tmp_path / start, sounds, small_model, **settings)
        classifier = load_classifier(tmp_path / start / "checkpoint_last.pt")
        held_out = {row["file"] for row in rows_of(tmp_path / start / "predictions.csv")}
        learnt = [(name, labels) for name, labels in labelled(sounds) if name not in held_out]
        said = [
            probabilities(tmp_path / start / "checkpoint_last.pt", sounds.audio_dir / name)
            for name, _ in learnt
        ]
        right = [
            classifier.labels[row.argmax()] == labels for row, (_, labels) in zip(said, learnt, strict=True)
        ]
        accuracies[start] = np.mean(right)
    assert accuracies["probe"] > accuracies["random"] + 0.4


def test_a_head_begins_from_no_more_clips_than_memory_holds(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bioacoustics.workflows.finetune.MOST_CLIPS", 6)
    console = Console(file=io.StringIO(), width=200)
    run(tmp_path, sounds, small_model, console, num_updates=1)
    assert isinstance(console.file, io.StringIO)
    assert "begins as the linear probe of 6 clips" in console.file.getvalue()
    run(tmp_path / "other", sounds, small_model, console, num_updates=1)


def test_a_frozen_encoder_stays_as_it_was(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    for name, changes in (("short", {"num_updates": 1}), ("long", {"num_updates": 4})):
        run(
            tmp_path / name,
            sounds,
            small_model,
            freeze_encoder=True,
            target_length=64,
            drop_path=0.3,
            **changes,
        )
    given = load_encoder(small_model).encoder.state_dict()
    short, long = (load_classifier(tmp_path / name / "checkpoint_last.pt") for name in ("short", "long"))
    for classifier in (short, long):
        torch.testing.assert_close(classifier.encoder.encoder.state_dict(), given, rtol=0, atol=0)
    assert not torch.equal(short.head.head.weight, long.head.head.weight)
    with pytest.raises(ValueError, match="a head on random features"):
        run(tmp_path / "none", sounds, None, freeze_encoder=True)


@pytest.mark.parametrize("mode", [None, "MEAN_LOGITS"])
def test_a_published_beats_model(
    tmp_path: Path,
    sounds: SyntheticDataset,
    golden_beats: Path,
    console: Console,
    said: Callable[[], str],
    mode: str | None,
) -> None:
    chosen = {} if mode is None else {"prediction_mode": mode}
    run(tmp_path, sounds, golden_beats / "beats_pretrained.pt", console, mixup=0.8, **chosen)
    assert ("classified by MEAN_POOLING" in said()) == (mode is None)
    header = read_bundle(tmp_path / "checkpoint_best.pt").header
    assert header.architecture == "beats"
    assert header.head is not None
    assert header.head.prediction_mode == (mode or "MEAN_POOLING")
    # Clips in a padded batch were judged like each clip alone.
    assert_predictions_are_those_of_the_saved_model(tmp_path, sounds.audio_dir)


def test_without_a_model_it_begins_from_scratch(tmp_path: Path, sounds: SyntheticDataset) -> None:
    run(tmp_path, sounds, None, model_size="tiny", num_updates=1, batch_size=2, target_length=64)
    assert load_encoder(tmp_path / "checkpoint_best.pt").embedding_dim == 192


def test_a_fine_tuned_model_can_be_fine_tuned_again(
    tmp_path: Path, single: tuple[Path, str], sounds: SyntheticDataset
) -> None:
    clips = [(name, "frog" if "frog" in label else "other") for name, label in labelled(sounds)]
    labels = table(tmp_path / "labels.csv", clips)
    run(tmp_path / "run", sounds, single[0] / "checkpoint_best.pt", labels=labels, num_updates=1)
    assert load_classifier(tmp_path / "run" / "checkpoint_best.pt").labels == ("frog", "other")


def test_rare_classes_are_drawn_as_often(tmp_path: Path, sounds: SyntheticDataset, small_model: Path) -> None:
    run(tmp_path, sounds, small_model, class_balanced=True, num_updates=2)
    assert json.loads((tmp_path / "config.json").read_text())["decisive"]["data"]["is_weighted"]


@pytest.mark.parametrize("batch_size", [1, 57])
def test_odd_batch_sizes_with_mixup(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, batch_size: int
) -> None:
    run(
        tmp_path,
        sounds,
        small_model,
        batch_size=batch_size,
        mixup=0.8,
        noise=True,
        target_length=64,
        num_updates=2,
    )
    assert all(np.isfinite(row["loss"]) for row in read_metrics(tmp_path) if "loss" in row)


@pytest.mark.parametrize("split", [{"batch_size": 4, "update_freq": 2}, {"micro_batch_size": 3}])
def test_accumulation_equals_the_larger_batch(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, split: dict[str, int]
) -> None:
    """With everything that is drawn by clip; drop path is drawn by forward pass and is off."""
    changes: dict[str, Any] = {"drop_path": 0.0, "mixup": 0.8, "noise": True, "target_length": 64}
    for name, more in (("whole", {}), ("split", split)):
        run(tmp_path / name, sounds, small_model, **{**changes, **more})
    ends = [read_bundle(tmp_path / name / "checkpoint_last.pt").weights for name in ("whole", "split")]
    start = read_bundle(small_model).weights
    # Biases of keys get rounding noise for a gradient, of which Adam makes full steps.
    names = [name for name in ends[0] if name in start and "qkv.bias" not in name]
    apart = sum((ends[0][name] - ends[1][name]).square().sum() for name in names)
    way = sum((ends[0][name] - start[name]).square().sum() for name in names)
    assert float((apart / way).sqrt()) < 2e-3


def test_same_seed_same_bits(tmp_path: Path, sounds: SyntheticDataset, small_model: Path) -> None:
    for name in ("one", "again"):
        torch.manual_seed(len(name))
        run(tmp_path / name, sounds, small_model, mixup=0.8, noise=True, target_length=64)
    for name in ("checkpoint_last.pt", "checkpoint_best.pt", "predictions.csv", "per_class.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixup": 0.8}, "objective.augment.mixup_alpha was 0.0, now 0.8"),
        ({"drop_path": 0.0}, "encoder.drop_path_rate was 0.1, now 0.0"),
        ({"prediction_mode": "MEAN_POOLING"}, "head.prediction_mode was 'CLS_TOKEN', now 'MEAN_POOLING'"),
        ({"class_balanced": True}, "class_balanced was False, now True"),
        ({"label_smoothing": 0.0}, "objective.label_smoothing was 0.1, now 0.0"),
        ({"layer_decay": 1.0}, "optimizer.layer_decay was 0.75, now 1.0"),
        ({"validation_share": 0.0}, "clips was"),
    ],
)
def test_changed_settings_are_refused_by_name(
    single: tuple[Path, str],
    sounds: SyntheticDataset,
    small_model: Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    before = {path.name: path.read_bytes() for path in single[0].iterdir()}
    with pytest.raises(ValueError, match=message):
        run(single[0], sounds, small_model, **{"num_updates": 16, **changes})
    assert {path.name: path.read_bytes() for path in single[0].iterdir()} == before


def test_clips_outside_the_folder_are_found_by_their_full_path(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    (tmp_path / "empty").mkdir()
    clips = [(str(sounds.audio_dir / name), label) for name, label in labelled(sounds)]
    labels = table(tmp_path / "labels.csv", clips)
    run(tmp_path / "run", sounds, small_model, labels=labels, data_dir=tmp_path / "empty", num_updates=1)
    assert len(rows_of(tmp_path / "run" / "predictions.csv")) > 0


def test_unusable_clips_are_named_and_the_rest_is_used(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, console: Console, said: Callable[[], str]
) -> None:
    audio = tmp_path / "audio"
    shutil.copytree(sounds.audio_dir, audio)
    clips = labelled(sounds)
    (audio / clips[5][0]).write_text("not sound")
    dead = audio / clips[6][0]
    content = dead.read_bytes()
    dead.write_bytes(content[:100] + b"\x55" * (len(content) - 100))  # its header is sound
    changes: dict[str, Any] = {"data_dir": audio, "num_updates": 6, "validation_share": 0.0}
    outcome = run(tmp_path / "run", sounds, small_model, console, **changes)
    assert {file.path.name for file in outcome.unusable} == {Path(clips[i][0]).name for i in (5, 6)}
    assert f"{clips[5][0]}: it is a text file, not sound" in said()
    with pytest.raises(ValueError, match="it is a text file"):
        run(tmp_path / "stop", sounds, small_model, **changes, bad_files=BadFiles.STOP)


def test_one_label_alone_is_nothing_to_learn(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    labels = table(tmp_path / "labels.csv", [(name, "frog") for name, _ in labelled(sounds)])
    with pytest.raises(ValueError, match=r"every clip has the one label 'frog'.*add clips of anything else"):
        run(tmp_path / "run", sounds, small_model, labels=labels)


def test_nothing_usable_is_an_error(tmp_path: Path, sounds: SyntheticDataset, small_model: Path) -> None:
    (tmp_path / "a.wav").write_text("not sound")
    (tmp_path / "b.wav").touch()
    labels = table(tmp_path / "labels.csv", [("a.wav", "frog"), ("b.wav", "rain")])
    with pytest.raises(
        ValueError, match=r"none of the 2 clips of .* can be read, e\.g\. .*: it is a text file"
    ):
        run(tmp_path / "run", sounds, small_model, labels=labels, data_dir=tmp_path)


def test_without_held_out_clips_the_last_model_is_the_best(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    run(tmp_path, sounds, small_model, validation_share=0.0, num_updates=2)
    assert not (tmp_path / "predictions.csv").exists()
    assert (tmp_path / "checkpoint_best.pt").read_bytes() == (tmp_path / "checkpoint_last.pt").read_bytes()
