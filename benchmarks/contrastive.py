"""Does contrastive training help to find a sound? Before and after it, with few and with many examples.

On held-out sites and days (or recordings), a nearest-prototype and a linear detector judge clips. "before"
is the mean of the encoder's patches, each channel standardised. With --frozen the encoder stays as it is, and
"after" is what the layers behind it make of that; "start" is what they are told of the views of clips before
they compare anything, as in `train`. Without --frozen the whole encoder learns, by comparison alone.

Run: python benchmarks/contrastive.py MODEL DATA_DIR [--frozen] [--targets stone-curlew rooster]
[--positives 5 10 20 all] [--splits 12] [--output contrastive.json] (DATA_DIR: the shared recordings)
"""

import argparse
import copy
import csv
import io
import json
import tempfile
import warnings
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
from bioacoustics.data.windows import ClipWindows, Origin, Windows
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
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

WINDOW_S, NUM_VIEWS = 2.56, 4
# Chosen on the pied currawong, before the linear detector was looked at.
WHOLE = {"num_updates": 100, "rows": 16, "learning_rate": 1e-4, "momentum": 0.9}
FROZEN = {"num_updates": 200, "rows": 32, "learning_rate": 2e-4, "momentum": 0.0}
QUIET = Console(file=io.StringIO())


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Clips, whether each is the target, and what it must share a side of the split with."""

    recordings: list[Recording]
    is_target: np.ndarray
    groups: list[str]


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--frozen", action="store_true")
    parser.add_argument("--targets", nargs="+", default=["stone-curlew", "rooster"])
    parser.add_argument("--positives", nargs="+", default=["5", "10", "20", "all"])
    parser.add_argument("--splits", type=int, default=12)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        hearer = Hearer(given.model, Path(name), is_frozen=given.frozen)
        for target in given.targets:
            clips = _clips(target, given.data)
            features = hearer.hear(hearer.encoder, clips)
            for k in given.positives:
                num_positives = None if k == "all" else int(k)
                scores = [
                    _scores(clips, features, num_positives, seed, hearer) for seed in range(given.splits)
                ]
                print(f"{target}, k = {k}: {sum(map(bool, scores))} splits", flush=True)
                rows += _summary(target, k, [score for score in scores if score])
                if given.output:
                    given.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        numbers = " ".join(f"{row[stage]:.3f}" for stage in ("before", "start", "after"))
        gains = ", ".join(
            f"{word.replace('_', ' ')} {row[word][0]:+.3f} ({row[word][1]:+.3f} to {row[word][2]:+.3f})"
            for word in ("gain", "gain_over_start")
        )
        print(f"{row['target']}, k = {row['k']}, {row['detector']} {row['score']}: {numbers}; {gains}")


def _clips(target: str, data_dir: Path) -> Clips:
    """The stone-curlew among sounds of its sites, or a label among all other labelled sounds."""
    if target == "stone-curlew":
        positive = scan_recordings(data_dir / "positive").recordings
        recordings = [*positive, *scan_recordings(data_dir / "negative").recordings]
        groups = [_site_and_day(recording.relative_path) for recording in recordings]
        return Clips(
            recordings=recordings, is_target=np.arange(len(recordings)) < len(positive), groups=groups
        )
    label_of = _column(data_dir / "labeled" / "labels.csv", "filename", "labels")
    group_of_clip = _column(data_dir / "clips.csv", "path", "group")
    recordings = list(scan_recordings(data_dir / "labeled" / "audio").recordings)
    names = [recording.relative_path for recording in recordings]
    return Clips(
        recordings=recordings,
        is_target=np.array([label_of.get(name) == target for name in names]),
        groups=[group_of_clip[f"labeled/audio/{name}"] for name in names],
    )


def _column(path: Path, key: str, value: str) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row[key]: row[value] for row in csv.DictReader(file)}


def _site_and_day(name: str) -> str:
    """The group of a clip without its time of day."""
    group = group_of(name)
    return group[:-6] if group[-14:].isdigit() else group


class Hearer:
    """What an encoder says of clips: several views where it stays as it is, else of each clip as it is."""

    def __init__(self, model: Path, folder: Path, *, is_frozen: bool) -> None:
        self.encoder, self.folder, self.is_frozen = load_encoder(model), folder, is_frozen
        self._fingerprint, self._count = read_bundle(model).header.fingerprint, 0

    def hear(self, encoder: AudioEncoder, clips: Clips) -> np.ndarray:
        """Means of the patches (clips, views, dim); short clips are repeated, not padded."""
        head = ClassificationHead(
            HeadConfig(num_classes=1, prediction_mode="MEAN_POOLING"), encoder.embedding_dim
        )
        self._count += 1  # a changed encoder has no fingerprint
        hearing = Hearing(
            classifier=AudioClassifier(encoder, head, ("target",), multi_label=True),
            fingerprint=f"{self._fingerprint} {self._count}",
            clip_settings={"window_s": WINDOW_S, "sample_rate_hz": encoder.sample_rate_hz},
            augment=AugmentConfig(spec_augment_ratio=0.2),
            num_views=NUM_VIEWS if self.is_frozen else 1,
            seed=1,
        )
        data, accelerator = DataConfig(batch_size=16, num_threads=2), accelerator_of("cpu", "no")
        return pooled_features(
            hearing,
            clips.recordings,
            self.folder,
            repeats=True,
            data=data,
            accelerator=accelerator,
            console=QUIET,
        )


def _scores(
    clips: Clips, features: np.ndarray, num_positives: int | None, seed: int, hearer: Hearer
) -> dict[str, list[float]]:
    """Before and after, by detector and score, of one split and one draw of positives, {} if none is left."""
    truth, plain = clips.is_target, features[:, 0]
    one_hot = np.stack([truth, ~truth], axis=1).astype(np.float32)
    split = split_groups(clips.groups, one_hot, valid_fraction=0.4, seed=seed)
    train_rows, test_rows = np.array(split.train), np.array(split.valid)
    positives = train_rows[truth[train_rows]]
    if not truth[test_rows].any() or len(positives) < (num_positives or 2):
        return {}
    chosen = np.random.default_rng(seed).permutation(positives)[:num_positives]
    rows = np.concatenate([chosen, train_rows[~truth[train_rows]]])
    before = StandardScaler().fit(plain[rows]).transform(plain)
    of_stages = {
        detector: [score_of(vectors, truth, rows) for vectors in (before, *learnt)]
        for (detector, score_of), learnt in zip(
            (("prototype", _by_prototypes), ("linear", _by_line)),
            _learnt(clips, features, rows, seed, hearer),
            strict=True,
        )
    }
    return {
        f"{detector} {name}": [float(score(truth[test_rows], values[test_rows])) for values in stages]
        for detector, stages in of_stages.items()
        for name, score in (("AP", average_precision_score), ("AUROC", roc_auc_score))
    }


def _learnt(
    clips: Clips, features: np.ndarray, rows: np.ndarray, seed: int, hearer: Hearer
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Vectors of all clips at the start and after learning from `rows`, for prototypes and for a line."""
    torch.manual_seed(seed)
    encoder = copy.deepcopy(hearer.encoder)
    head = ClassificationHead(
        HeadConfig(num_classes=1, prediction_mode="MEAN_POOLING", refines=True, whitens=hearer.is_frozen),
        encoder.embedding_dim,
    )
    heard = torch.from_numpy(features)
    head.whiten(heard[rows])
    with torch.inference_mode():
        start = head.represent(heard[:, 0]).numpy()
    contrastive = _learn(clips, features if hearer.is_frozen else None, encoder, head, rows, seed)
    if hearer.is_frozen:
        with torch.inference_mode():
            compared, seen = contrastive.queries(heard[:, 0]), head.represent(heard[:, 0])
        return (start, compared.numpy()), (start, seen.numpy())
    adapted = hearer.hear(encoder, clips)[:, 0]
    adapted = StandardScaler().fit(adapted[rows]).transform(adapted)
    return (start, adapted), (start, adapted)


def _learn(
    clips: Clips,
    features: np.ndarray | None,
    encoder: AudioEncoder,
    head: ClassificationHead,
    rows: np.ndarray,
    seed: int,
) -> Contrastive:
    """Train by comparison on these clips: the layer after the encoder, and without `features` the encoder."""
    settings = WHOLE if features is None else FROZEN
    num_updates = int(settings["num_updates"])
    contrastive = Contrastive(
        encoder if features is None else None,
        head,
        ContrastiveConfig(
            momentum=settings["momentum"], bank_size=len(rows), warmup_updates=num_updates // 10
        ),
    )
    sides = {"positive": rows[clips.is_target[rows]], "negative": rows[~clips.is_target[rows]]}
    sources = [_source(clips, features, name, chosen, encoder, seed) for name, chosen in sides.items()]
    mixture = Mixture(
        [len(source.windows) for source in sources], [1.0, 1.0], rows_per_update=int(settings["rows"])
    )
    classifier = AudioClassifier(encoder, head, ("target",), multi_label=True)
    objective = Joint(
        JointConfig(detector_weight=0.0, has_cached_features=features is not None),
        dict(zip(sides, mixture.num_rows, strict=True)),
        self_supervised=None,
        classification=Classification(
            classifier, ClassificationConfig(freezes_encoder=features is not None), seed=seed
        ),
        contrastive=contrastive,
        seed=seed,
    )
    config = TrainingConfig(
        optimizer=OptimizerConfig(
            num_updates=num_updates,
            learning_rate=settings["learning_rate"],
            warmup_updates=num_updates // 10,
        ),
        data=DataConfig(batch_size=int(settings["rows"]), num_threads=2),
        loop=LoopConfig(seed=seed + 1, device="cpu", precision="bf16", log_every=num_updates),
    )
    with tempfile.TemporaryDirectory() as run:
        train(
            objective,
            MixedWindows(sources),
            Path(run),
            config,
            write_model=lambda path: write_torch({}, path),
            mixture=mixture,
            console=QUIET,
        )
    encoder.eval()
    return contrastive


def _source(
    clips: Clips,
    features: np.ndarray | None,
    name: str,
    rows: np.ndarray,
    encoder: AudioEncoder,
    seed: int,
) -> Source:
    """Positives or negatives of the training side, as sound or as features."""
    targets = clips.is_target[rows, None].astype(np.float32)
    windows: Windows
    if features is None:
        windows = ClipWindows(
            [clips.recordings[row] for row in rows],
            targets,
            window_s=WINDOW_S,
            sample_rate_hz=encoder.sample_rate_hz,
            crop="random",
            repeats=True,
            seed=seed,
        )
    else:
        names = [name] * len(rows)
        windows = PooledWindows(
            features[rows], targets, names, window_s=WINDOW_S, is_training=True, seed=seed
        )
    groups = np.unique(clips.groups, return_inverse=True)[1]
    label = 0 if name == "positive" else -1
    origins = [Origin(name, item=int(row), recording=int(groups[row]), label=label) for row in rows]
    return Source(windows=windows, origins=origins, ratio=1.0)


def _by_prototypes(vectors: np.ndarray, is_target: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How much more similar to the mean positive than to the mean negative."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    means = [vectors[rows][is_target[rows] == side].mean(axis=0) for side in (True, False)]
    return vectors @ (means[0] / np.linalg.norm(means[0])) - vectors @ (means[1] / np.linalg.norm(means[1]))


def _by_line(vectors: np.ndarray, is_target: np.ndarray, rows: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        line = LogisticRegression(class_weight="balanced", max_iter=300).fit(vectors[rows], is_target[rows])
    return line.decision_function(vectors)


def _summary(target: str, k: str, scores: list[dict[str, list[float]]]) -> list[dict]:
    """Means over the splits, and the intervals of mean differences when splits are drawn anew."""
    generator = np.random.default_rng(0)
    rows = []
    for name in scores[0] if scores else ():
        before, start, after = np.array([score[name] for score in scores]).T
        drawn = generator.integers(len(before), size=(2000, len(before)))
        detector, score = name.split()
        row = {"target": target, "k": k, "detector": detector, "score": score, "splits": len(before)}
        row |= {"before": float(before.mean()), "start": float(start.mean()), "after": float(after.mean())}
        for word, difference in (("gain", after - before), ("gain_over_start", after - start)):
            low, high = np.quantile(difference[drawn].mean(axis=1), [0.025, 0.975])
            row[word] = [float(difference.mean()), float(low), float(high)]
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
