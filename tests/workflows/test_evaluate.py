"""Evaluate: on composed soundscapes, where the truth is exact, and against obvious computations."""

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from sklearn.metrics import average_precision_score, roc_auc_score

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.audio.recordings import read_header
from bioacoustics.audio.segments import Segment
from bioacoustics.data.events import Event
from bioacoustics.data.synthesis import SyntheticDataset, synthesise_dataset
from bioacoustics.data.voices import SPECIES
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.bundle import seal
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.saved import bundle_of_classifier, read_bundle, write_bundle
from bioacoustics.workflows.convert import convert
from bioacoustics.workflows.evaluate import EvaluateConfig, evaluate
from bioacoustics.workflows.evaluation import Evaluation, window_targets
from bioacoustics.workflows.import_labels import label_windows
from bioacoustics.workflows.predict import PredictConfig, predict

SMALL = EATConfig(embed_dim=32, depth=2, num_heads=2, num_position_columns=16)
LABELS = tuple(species.label for species in SPECIES)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SyntheticDataset:
    """Half a minute in which animals take turns."""
    folder = tmp_path_factory.mktemp("paisaje sonoro")
    return synthesise_dataset(
        folder, seed=9, num_unlabeled=0, num_labeled_per_class=3, clip_s=1.0, long_recording_s=30.0
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random classifier that knows the animals of the soundscape by name."""
    torch.manual_seed(2)
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(SMALL))
    head = ClassificationHead(HeadConfig(num_classes=len(LABELS), prediction_mode="LIN_SOFTMAX"), 32)
    with torch.no_grad():
        head.standardise(head.pool(encoder(0.1 * torch.randn(8, 10240) * torch.rand(8, 1))))
    torch.nn.init.normal_(head.head.weight, std=0.3)
    path = tmp_path_factory.mktemp("models") / "model.pt"
    classifier = AudioClassifier(encoder, head, LABELS, multi_label=True, target_length=64)
    write_bundle(bundle_of_classifier(classifier), path)
    return path


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory, model: Path, scene: SyntheticDataset) -> Path:
    path = tmp_path_factory.mktemp("out") / "p.csv"
    config = {"model_path": model, "data_dir": scene.long_recording.parent, "output": path}
    flags = {"events": "csv", "device": "cpu", "window_s": 0.64, "stride_s": 0.32}
    predict(PredictConfig.model_validate({**config, **flags}), Console(quiet=True))
    return path


def run(predictions: Path, annotations: Path, data_dir: Path, folder: Path, **changes: Any) -> Evaluation:
    settings = {"predictions": predictions, "annotations": annotations, "data_dir": data_dir}
    config = EvaluateConfig.model_validate({**settings, "output_dir": folder, **changes})
    return evaluate(config, Console(quiet=True))


def truth_of(scene: SyntheticDataset) -> list[dict[str, str]]:
    with scene.annotations_csv.open(newline="") as file:
        return list(csv.DictReader(file))


def obvious_targets(frame: pd.DataFrame, rows: list[dict[str, str]]) -> np.ndarray:
    """The rule of windows, one window, one event at a time."""
    targets = np.zeros((len(frame), len(LABELS)))
    for i, window in enumerate(frame.itertuples()):
        for row in rows:
            start_s, end_s = float(row["start_s"]), float(row["end_s"])
            shared_s = min(window.end_s, end_s) - max(window.start_s, start_s)
            if shared_s >= 0.25 * min(end_s - start_s, window.end_s - window.start_s) - 1e-9:
                targets[i, LABELS.index(row["label"])] = 1
    return targets


def test_scores_of_a_composed_soundscape(tmp_path: Path, predictions: Path, scene: SyntheticDataset) -> None:
    data_dir = scene.long_recording.parent
    found = run(predictions, scene.annotations_csv, data_dir, tmp_path, precision_wanted=0.5)
    frame = pd.read_parquet(f"{predictions}.windows.parquet")
    targets = obvious_targets(frame, truth_of(scene))
    scores = np.stack(list(frame["scores"]))
    assert targets.sum() > 10
    table = pd.read_csv(tmp_path / "per_class.csv", index_col="label")
    present = [c for c in range(len(LABELS)) if 0 < targets[:, c].sum() < len(targets)]
    expected = [average_precision_score(targets[:, c], scores[:, c]) for c in present]
    np.testing.assert_allclose(table.loc[[LABELS[c] for c in present], "average_precision"], expected)
    every = [
        average_precision_score(targets[:, c], scores[:, c])
        for c in range(len(LABELS))
        if targets[:, c].any()
    ]
    assert found.mean("average_precision") == pytest.approx(np.mean(every))
    for c in present:
        row = table.loc[LABELS[c]]
        assert row["auroc"] == pytest.approx(roc_auc_score(targets[:, c], scores[:, c]))
        named = scores[:, c] >= 0.5
        assert row["recall"] == pytest.approx(named[targets[:, c] > 0].mean())
        if named.any():
            assert row["precision"] == pytest.approx(targets[named, c].mean())
    bins = pd.read_csv(tmp_path / "reliability.csv")
    assert bins["count"].sum() == scores.size
    gap = (bins["count"] * (bins["mean_score"] - bins["share_present"]).abs()).sum() / scores.size
    assert found.calibration_error == pytest.approx(gap, abs=1e-5)
    events = pd.read_csv(f"{predictions}.events/events.csv")
    assert table.loc["(mean)", "events_predicted"] == len(events)
    assert table.loc["(mean)", "events_annotated"] == len(truth_of(scene))
    single = targets.sum(axis=1) <= 1
    assert pd.read_csv(tmp_path / "confusion.csv", index_col="true").to_numpy().sum() == single.sum()


def test_a_model_that_knows_all_has_nothing_but_ones(tmp_path: Path, scene: SyntheticDataset) -> None:
    rows = truth_of(scene)
    frame = pd.DataFrame({"file": "long.wav", "start_s": np.arange(0, 30, 0.5)})
    frame["end_s"] = frame["start_s"] + 0.5
    targets = obvious_targets(frame, rows)
    for c, label in enumerate(LABELS):
        frame[f"p({label})"] = targets[:, c]
    frame.to_csv(tmp_path / "perfect.csv", index=False)
    data_dir = scene.long_recording.parent
    found = run(tmp_path / "perfect.csv", scene.annotations_csv, data_dir, tmp_path / "report")
    for name in ("average_precision", "auroc", "precision", "recall", "f1"):
        assert found.mean(name) == 1, name
    assert found.calibration_error == 0
    assert found.confusion is not None
    assert found.confusion.sum() == np.trace(found.confusion)


@pytest.mark.parametrize(("language", "words"), [("en", "Are probabilities true?"), ("es", "¿Son ciertas")])
def test_the_report(
    tmp_path: Path, predictions: Path, scene: SyntheticDataset, language: str, words: str
) -> None:
    data_dir = scene.long_recording.parent
    flags = {"precision_wanted": 0.3, "language": language}
    run(predictions, scene.annotations_csv, data_dir, tmp_path, **flags)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert words in html and f'lang="{language}"' in html
    assert html.count("<img") >= 4 and 'src="http' not in html
    text = re.sub(r"</?span>", "", html)  # the words of a command
    assert f"clips --predictions {predictions} " in text.replace("&quot;", "")
    assert f"--annotations {scene.annotations_csv} " in text.replace("&quot;", "")


def test_thresholds_are_kept_in_the_model_and_used(
    tmp_path: Path, predictions: Path, scene: SyntheticDataset, model: Path
) -> None:
    mine = tmp_path / "mine.pt"
    shutil.copy(model, mine)
    data_dir = scene.long_recording.parent
    flags: dict[str, Any] = {"bundle": mine, "precision_wanted": 0.3}
    found = run(predictions, scene.annotations_csv, data_dir, tmp_path / "report", **flags)
    before, after = read_bundle(model), read_bundle(mine)
    assert after.header.fingerprint == before.header.fingerprint
    assert all(torch.equal(after.weights[name], weight) for name, weight in before.weights.items())
    thresholds = after.header.thresholds
    assert thresholds is not None and thresholds.window_s == pytest.approx(0.64)
    expected = {one.label: one.found.threshold for one in found.classes if one.found is not None}
    assert {name: one.threshold for name, one in thresholds.classes.items()} == expected
    # The same command goes on with the table that is there, and opens events at the model's thresholds.
    again = tmp_path / "p.csv"
    for end in ("", ".run.json", ".windows.parquet"):
        shutil.copy(f"{predictions}{end}", f"{again}{end}")
    config = {"model_path": mine, "data_dir": data_dir, "output": again, "device": "cpu", "events": "csv"}
    predict(PredictConfig.model_validate({**config, "window_s": 0.64, "stride_s": 0.32}), Console(quiet=True))
    events = pd.read_csv(f"{again}.events/events.csv")
    assert len(events)
    for row in events.itertuples():
        assert row.threshold == pytest.approx(expected.get(row.label, 0.5))
        assert row.score >= row.threshold - 1e-6


def test_what_cannot_be_kept_is_refused_before_anything_is_read(
    tmp_path: Path, predictions: Path, scene: SyntheticDataset, model: Path
) -> None:
    data_dir, flags = scene.long_recording.parent, {"precision_wanted": 0.3}
    convert(model, tmp_path / "published.pt", "fairseq")
    with pytest.raises(ValueError, match="bioacoustics convert"):
        run(predictions, scene.annotations_csv, data_dir, tmp_path, bundle=tmp_path / "published.pt", **flags)
    other = tmp_path / "other.pt"
    bundle = read_bundle(model)
    header = bundle.header.model_copy(update={"target_length": 32})
    write_bundle(seal(header, bundle.weights), other)
    with pytest.raises(ValueError, match="was not made by"):
        run(predictions, scene.annotations_csv, data_dir, tmp_path, bundle=other, **flags)


def test_labels_of_clips_judge_recordings(tmp_path: Path, scene: SyntheticDataset, model: Path) -> None:
    path = tmp_path / "p.csv"
    config = {"model_path": model, "data_dir": scene.audio_dir, "output": path, "device": "cpu"}
    predict(PredictConfig.model_validate(config), Console(quiet=True))
    found = run(path, scene.labels_csv, scene.audio_dir, tmp_path / "report")
    frame = pd.read_csv(path).merge(pd.read_csv(scene.labels_csv), left_on="file", right_on="filename")
    assert found.judged is not None and found.judged.unit == "recording"
    assert found.num_recordings == len(frame) == 30
    expected = [average_precision_score(frame["labels"] == label, frame[f"p({label})"]) for label in LABELS]
    np.testing.assert_allclose([one.average_precision for one in found.classes], expected)
    assert found.total("collar") is None


def test_events_alone_are_judged_as_events(
    tmp_path: Path, predictions: Path, scene: SyntheticDataset
) -> None:
    data_dir = scene.long_recording.parent
    events = Path(f"{predictions}.events/events.csv")
    alone = run(events, scene.annotations_csv, data_dir, tmp_path / "a")
    with_scores = run(predictions, scene.annotations_csv, data_dir, tmp_path / "b")
    assert alone.judged is None
    assert alone.total("collar") == with_scores.total("collar")
    assert alone.total("overlap") == with_scores.total("overlap")
    perfect = run(scene.annotations_csv.rename(tmp_path / "t.csv"), tmp_path / "t.csv", data_dir, tmp_path)
    (tmp_path / "t.csv").rename(scene.annotations_csv)
    assert perfect.total("collar").f1 == 1  # type: ignore[union-attr]


def test_names_of_annotators_and_strangers(
    tmp_path: Path, predictions: Path, scene: SyntheticDataset
) -> None:
    data_dir = scene.long_recording.parent
    rows = truth_of(scene)
    table = tmp_path / "annotations.csv"
    renamed = pd.DataFrame(rows)
    renamed["label"] = renamed["label"].str.upper()
    renamed.to_csv(table, index=False)
    with pytest.raises(ValueError, match="--label_map"):
        run(predictions, table, data_dir, tmp_path / "a")
    names = tmp_path / "names.csv"
    pairs = [f"{label.upper()},{label}\n" for label in LABELS]
    names.write_text("annotation,label\n" + "".join(pairs))
    mapped = run(predictions, table, data_dir, tmp_path / "b", label_map=names)
    plain = run(predictions, scene.annotations_csv, data_dir, tmp_path / "c")
    assert [one.num_present for one in mapped.classes] == [one.num_present for one in plain.classes]
    with pytest.raises(ValueError, match="no recording in common"):
        run(predictions, scene.labels_csv, scene.audio_dir, tmp_path / "d")


def test_window_targets_follow_the_rule_of_import_labels(scene: SyntheticDataset) -> None:
    recording = read_header(scene.long_recording, scene.long_recording.parent)
    rng = np.random.default_rng(0)
    starts_s = np.arange(0, 6, 0.25)
    ends_s = np.minimum(starts_s + 1.0, recording.duration_s)
    begins_s = rng.choice(np.arange(0, 5.9, 0.125), 30)
    lengths_s = rng.choice([0.0, 0.125, 0.5, 3.0], 30)
    events = [
        Event(recording="x", start_s=b, end_s=min(b + length, 6.0), label=LABELS[i % 3])
        for i, (b, length) in enumerate(zip(begins_s, lengths_s, strict=True))
    ]
    segments = [Segment(recording, float(s), float(e - s)) for s, e in zip(starts_s, ends_s, strict=True)]
    for min_overlap in (0.25, 0.5, 1.0):
        targets = window_targets(starts_s, ends_s, events, LABELS, min_overlap)
        expected = [set(names) for _, names in label_windows(segments, events, min_overlap)]
        assert [{LABELS[c] for c in np.flatnonzero(row)} for row in targets] == expected


def test_the_real_raven_table(tmp_path: Path, shared: Path) -> None:
    """One recording of four birds, in a folder with others; a table of scores says too little of one."""
    data_dir = shared / "data" / "recordings"
    table = data_dir / "powdermill_recording1_segment07.Table.1.selections.txt"
    frame = pd.DataFrame({"file": "powdermill_recording1_segment07.flac", "start_s": np.arange(10.0)})
    frame["end_s"] = frame["start_s"] + 1
    truth = pd.read_csv(table, sep="\t")
    for name in sorted(set(truth["Species"])):
        mine = truth[truth["Species"] == name]
        frame[f"p({name})"] = [
            0.9 if ((mine["Begin Time (s)"] < s + 1) & (mine["End Time (s)"] > s)).any() else 0.1
            for s in frame["start_s"]
        ]
    frame.to_csv(tmp_path / "p.csv", index=False)
    found = run(tmp_path / "p.csv", table, data_dir, tmp_path / "report", min_overlap=0.01)
    assert found.num_recordings == 1
    assert found.mean("average_precision") > 0.95
    total = found.total("overlap")
    assert total is not None and total.recall == 1
    # The table goes on for minutes after the end of what is here of its recording.
    assert total.num_annotated == (truth["Begin Time (s)"] < 10).sum() < len(truth)
