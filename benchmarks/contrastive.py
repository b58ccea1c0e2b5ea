"""Does contrastive training help to find a sound? Before and after it, with few and with many examples.

A frozen encoder hears every clip once. On held-out sites and days (or recordings), a nearest-prototype and a
linear detector judge its features ("before") and what the trained layer makes of them ("after").

Run: python benchmarks/contrastive.py MODEL DATA_DIR [contrastive.json] (DATA_DIR: the shared recordings)
"""

import csv
import io
import json
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from bioacoustics.audio.recordings import Recording, scan_recordings
from bioacoustics.data.augment import AugmentConfig
from bioacoustics.data.batches import DataConfig
from bioacoustics.data.mixture import MixedWindows, Mixture, Source
from bioacoustics.data.splits import group_of, split_groups
from bioacoustics.data.windows import Origin
from bioacoustics.models.audio_encoder import AudioClassifier
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.saved import load_encoder, read_bundle
from bioacoustics.models.writing import write_torch
from bioacoustics.objectives.classification import Classification, ClassificationConfig
from bioacoustics.objectives.contrastive import Contrastive, ContrastiveConfig
from bioacoustics.objectives.joint import Joint, JointConfig
from bioacoustics.training.acceleration import accelerator_of
from bioacoustics.training.loop import LoopConfig, TrainingConfig, train
from bioacoustics.training.optimizer import OptimizerConfig
from bioacoustics.workflows.pooled_features import Hearing, PooledWindows, pooled_features

SEEDS = range(4)
NUM_POSITIVES: tuple[int | None, ...] = (5, 10, 20, None)  # None: all
NUM_UPDATES, ROWS, WINDOW_S, NUM_VIEWS = 200, 32, 3.0, 3
OTHER_TARGETS = ("eastern_cricket_frog", "koala")
QUIET = Console(file=io.StringIO())


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Features of all clips, whether each is the target, and what it must share a side of the split with."""

    features: np.ndarray  # (clips, views, dim)
    is_target: np.ndarray
    groups: list[str]


def main() -> None:
    """Measure, print and save."""
    model, data_dir = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for target, clips in _tasks(model, data_dir, Path(name)):
            for num_positives in NUM_POSITIVES:
                scores = [_scores(clips, num_positives, seed, Path(name)) for seed in SEEDS]
                print(f"{target}, k = {num_positives or 'all'}: {sum(map(bool, scores))} splits", flush=True)
                rows += _summary(target, num_positives, [score for score in scores if score])
    print(f"{'target':22}{'k':>5} {'detector':12}{'score':7}{'before':>8}{'after':>8}  difference (95 %)")
    for row in rows:
        print(
            f"{row['target']:22}{row['k']:>5} {row['detector']:12}{row['score']:7}{row['before']:8.3f}"
            f"{row['after']:8.3f}  {row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        )
    if len(sys.argv) > 3:
        Path(sys.argv[3]).write_text(json.dumps(rows, indent=1) + "\n")


def _tasks(model: Path, data_dir: Path, folder: Path):
    """Yield the stone-curlew among sounds of its sites, and species among all other labelled sounds."""
    hear = _ear(model, folder)
    positive = scan_recordings(data_dir / "positive").recordings
    negative = scan_recordings(data_dir / "negative").recordings
    recordings = [*positive, *negative]
    groups = [_site_and_day(recording.relative_path) for recording in recordings]
    is_target = np.arange(len(recordings)) < len(positive)
    yield "stone-curlew", Clips(features=hear(recordings), is_target=is_target, groups=groups)
    with (data_dir / "labeled" / "labels.csv").open(newline="", encoding="utf-8") as file:
        label_of = {row["filename"]: row["labels"] for row in csv.DictReader(file)}
    labelled = scan_recordings(data_dir / "labeled" / "audio").recordings
    features = hear(labelled)
    groups = [group_of(recording.relative_path) for recording in labelled]
    for target in OTHER_TARGETS:
        is_target = np.array([label_of.get(recording.relative_path) == target for recording in labelled])
        yield target, Clips(features=features, is_target=is_target, groups=groups)


def _site_and_day(name: str) -> str:
    """The group of a clip without its time of day."""
    group = group_of(name)
    return group[:-6] if group[-14:].isdigit() else group


def _ear(model: Path, folder: Path):
    encoder = load_encoder(model)
    front_end = encoder.front_end.config
    head = ClassificationHead(
        HeadConfig(num_classes=1, prediction_mode="MEAN_POOLING"), encoder.embedding_dim
    )
    hearing = Hearing(
        classifier=AudioClassifier(encoder, head, ("target",), multi_label=True),
        fingerprint=read_bundle(model).header.fingerprint,
        clip_settings={"window_s": WINDOW_S, "sample_rate_hz": front_end.sample_rate_hz},
        augment=AugmentConfig(spec_augment_ratio=0.2),
        num_views=NUM_VIEWS,
        seed=1,
    )
    accelerator = accelerator_of("cpu", "no")

    def hear(recordings: list[Recording]) -> np.ndarray:
        data = DataConfig(batch_size=16, num_threads=2)
        return pooled_features(
            hearing, recordings, folder, repeats=True, data=data, accelerator=accelerator, console=QUIET
        )

    return hear


def _scores(clips: Clips, num_positives: int | None, seed: int, folder: Path) -> dict[str, list[float]]:
    """Before and after, by detector and score, of one split and one draw of positives, {} if none is left."""
    one_hot = np.stack([clips.is_target, ~clips.is_target], axis=1).astype(np.float32)
    split = split_groups(clips.groups, one_hot, valid_fraction=0.4, seed=seed)
    train_rows, test_rows = np.array(split.train), np.array(split.valid)
    positives = train_rows[clips.is_target[train_rows]]
    if not clips.is_target[test_rows].any() or len(positives) < (num_positives or 2):
        return {}
    chosen = np.random.default_rng(seed).permutation(positives)[:num_positives]
    rows = np.concatenate([chosen, train_rows[~clips.is_target[train_rows]]])
    represent, project = _learn(clips, rows, seed, folder)
    plain = clips.features[:, 0]
    scaled = StandardScaler().fit(plain[rows]).transform(plain)
    found: dict[str, list[float]] = {}
    truth = clips.is_target
    for detector, before, after in (
        ("prototype", _by_prototypes(scaled, truth, rows), _by_prototypes(project(plain), truth, rows)),
        ("linear", _by_line(scaled, truth, rows), _by_line(represent(plain), truth, rows)),
    ):
        for name, score in (("AP", average_precision_score), ("AUROC", roc_auc_score)):
            found[f"{detector} {name}"] = [
                float(score(truth[test_rows], values[test_rows])) for values in (before, after)
            ]
    return found


def _learn(clips: Clips, rows: np.ndarray, seed: int, folder: Path):
    """Train the layer after the encoder on these clips; functions from features to what it makes of them."""
    torch.manual_seed(seed)
    dim = clips.features.shape[2]
    head = ClassificationHead(HeadConfig(num_classes=1, prediction_mode="MEAN_POOLING", refines=True), dim)
    head.standardise(torch.from_numpy(clips.features[rows, 0]))
    contrastive = Contrastive(
        None, head, ContrastiveConfig(momentum=0.0, bank_size=len(rows), warmup_updates=NUM_UPDATES // 10)
    )
    sources, groups = [], np.unique(clips.groups, return_inverse=True)[1]
    for name, of_source in (
        ("positive", rows[clips.is_target[rows]]),
        ("negative", rows[~clips.is_target[rows]]),
    ):
        targets = clips.is_target[of_source, None].astype(np.float32)
        windows = PooledWindows(
            clips.features[of_source],
            targets,
            [name] * len(of_source),
            window_s=WINDOW_S,
            is_training=True,
            seed=seed,
        )
        label = 0 if name == "positive" else -1
        origins = [Origin(name, item=int(r), recording=int(groups[r]), label=label) for r in of_source]
        sources.append(Source(windows=windows, origins=origins, ratio=1.0))
    mixture = Mixture([len(source.windows) for source in sources], [1.0, 1.0], rows_per_update=ROWS)
    classifier = _Headless(head)
    objective = Joint(
        JointConfig(has_cached_features=True),
        {"positive": mixture.num_rows[0], "negative": mixture.num_rows[1]},
        self_supervised=None,
        classification=Classification(classifier, ClassificationConfig(), seed=seed),
        contrastive=contrastive,
        seed=seed,
    )
    config = TrainingConfig(
        optimizer=OptimizerConfig(num_updates=NUM_UPDATES, learning_rate=2e-4),
        data=DataConfig(batch_size=ROWS, num_threads=1),
        loop=LoopConfig(seed=seed + 1, device="cpu", log_every=NUM_UPDATES),
    )
    with tempfile.TemporaryDirectory(dir=folder) as run:
        train(
            objective,
            MixedWindows(sources),
            Path(run),
            config,
            write_model=lambda path: write_torch({}, path),
            mixture=mixture,
            console=QUIET,
        )

    def represent(features: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return head.represent(torch.from_numpy(features)).numpy()

    def project(features: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return contrastive.queries(torch.from_numpy(features)).numpy()

    return represent, project


class _Headless(torch.nn.Module):
    """What `Classification` needs of a classifier whose encoder has spoken already."""

    multi_label = True

    def __init__(self, head: ClassificationHead) -> None:
        super().__init__()
        self.head = head


def _by_prototypes(vectors: np.ndarray, is_target: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How much more similar to the mean positive than to the mean negative."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    means = [vectors[rows][is_target[rows] == side].mean(axis=0) for side in (True, False)]
    return vectors @ (means[0] / np.linalg.norm(means[0])) - vectors @ (means[1] / np.linalg.norm(means[1]))


def _by_line(vectors: np.ndarray, is_target: np.ndarray, rows: np.ndarray) -> np.ndarray:
    scaler = StandardScaler().fit(vectors[rows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        line = LogisticRegression(class_weight="balanced", max_iter=300).fit(
            scaler.transform(vectors[rows]), is_target[rows]
        )
    return line.decision_function(scaler.transform(vectors))


def _summary(target: str, num_positives: int | None, scores: list[dict[str, list[float]]]) -> list[dict]:
    """Means over the splits, and the interval of the mean difference when splits are drawn anew."""
    counts = Counter(name for score in scores for name in score)
    generator = np.random.default_rng(0)
    rows = []
    for name in counts:
        before, after = np.array([score[name] for score in scores]).T
        drawn = generator.integers(len(before), size=(2000, len(before)))
        low, high = np.quantile((after - before)[drawn].mean(axis=1), [0.025, 0.975])
        detector, score = name.split()
        means = {"before": before.mean(), "after": after.mean(), "difference": (after - before).mean()}
        values = {key: float(value) for key, value in {**means, "low": low, "high": high}.items()}
        k = "all" if num_positives is None else str(num_positives)
        about = {"target": target, "k": k, "detector": detector, "score": score, "splits": len(before)}
        rows.append({**about, **values})
    return rows


if __name__ == "__main__":
    main()
