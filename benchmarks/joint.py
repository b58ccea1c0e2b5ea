"""Do recordings without labels help beside labels? Joint training against supervised alone.

From a pre-trained model, by shares of the labels (of each label one clip at least) and values of
`supervised_weight`, through `train` itself. "head" is what the classifier begins as, a regression on the
encoder as it is. "alone" sees the same labelled clips in as many updates as joint training, and no recordings
without labels. With weight 0 no label is learnt from: there, and in every other row, a nearest-neighbour
probe on the labelled clips says what the encoder has become. Judged on whole folds that nothing here has
trained on: MODEL=FOLDS names a model and the folds that it judges; several such pairs make one result. With
several seeds, each of which draws other labelled clips, a clip counts as often as it was told right.

Run: python benchmarks/joint.py DATA MODEL=3,4 [--work_dir runs/joint] [--epochs 1] [--lr 1e-4]
     [--shares 0.1 0.3 1] [--weights 0 0.1 0.3 1] [--seeds 1]
"""

import argparse
import csv
import io
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from bioacoustics.audio.reading import read_segment
from bioacoustics.audio.recordings import read_header, scan_recordings
from bioacoustics.audio.segments import Segment, SegmentConfig, SegmentIndex
from bioacoustics.models.saved import load_classifier
from bioacoustics.workflows.train import TrainConfig, train

WINDOW_S, ROWS_LABELED, ROWS_UNLABELED = 2.56, 8, 8
STILL = 1e-12  # a rate at which nothing moves
QUIET = Console(file=io.StringIO())


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A labelled clip, and the recording that it was cut from."""

    path: Path
    label: str
    group: str
    is_test: bool


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is trained, beside its clips; weight None: on the labels alone."""

    weight: float | None
    learning_rate: float
    num_updates: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """A model, the clips that it may learn from and those that it judges, with their sound."""

    model: Path
    folds: str
    taught: list[Clip]
    judged: list[Clip]
    sounds: torch.Tensor


def main() -> None:
    """Train, judge, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="+", metavar="MODEL=FOLDS")
    parser.add_argument("--work_dir", type=Path, default=Path("runs/joint"))
    parser.add_argument("--epochs", type=int, default=1, help="passes over the recordings without labels")
    parser.add_argument("--lr", type=float, default=1e-4, help="the default of `train`")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.3, 1.0])
    parser.add_argument("--weights", type=float, nargs="*", default=[0.0, 0.1, 0.3, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    given = parser.parse_args()
    torch.set_num_threads(1)
    all_updates = given.epochs * -(-_num_windows(given.data / "unlabeled") // ROWS_UNLABELED)
    parts = [part_of_data(given.data, *pair.rsplit("=", maxsplit=1)) for pair in given.models]
    judged = [clip for part in parts for clip in part.judged]
    trainings = [("head", None, STILL, 1), ("alone", None, given.lr, all_updates)]
    trainings += [(f"weight_{weight:g}", weight, given.lr, all_updates) for weight in given.weights]
    rows = []
    for share in given.shares:
        alone: np.ndarray | None = None
        for name, weight, rate, num_updates in trainings:
            of_seeds = []
            for seed in given.seeds:
                training = Training(weight=weight, learning_rate=rate, num_updates=num_updates, seed=seed)
                of_seeds.append([judge(part, share, training, given.data, given.work_dir) for part in parts])
            right = {
                probe: np.mean([np.concatenate([told[probe] for told in one]) for one in of_seeds], axis=0)
                for probe in ("classifier", "neighbour")
            }
            alone = right["classifier"] if name == "alone" else alone
            row = {"share": share, "training": name, "judged": len(judged), "lr": rate, "seeds": given.seeds}
            if alone is not None:
                right["over_alone"] = right["classifier"] - alone
            for probe, values in right.items():
                row |= {probe: values.mean(), f"{probe}_interval": interval(values, judged)}
            rows.append(row)
            print(_line(row), flush=True)
            (given.work_dir / "joint.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def part_of_data(data: Path, model: str, folds: str) -> Part:
    """Judge these folds, and learn from the others."""
    clips = labelled_clips(data, folds.split(","))
    judged = [clip for clip in clips if clip.is_test]
    return Part(
        model=Path(model),
        folds=folds,
        taught=[clip for clip in clips if not clip.is_test],
        judged=judged,
        sounds=torch.stack([middle_of(clip) for clip in judged]),
    )


def judge(part: Part, share: float, training: Training, data: Path, work_dir: Path) -> dict[str, np.ndarray]:
    """Train on a share of the labels; by each probe 1 for every clip that is told right."""
    taught = part_of(part.taught, share, training.seed)
    labeled_dir = laid_out(taught, work_dir / f"labels_{part.folds}_{share:g}_{training.seed}")
    about = "_".join(f"{value:g}" for value in vars(training).values() if value is not None)
    kind = "alone" if training.weight is None else "joint"
    model = trained(
        part.model,
        data,
        labeled_dir,
        len(taught),
        training,
        work_dir / f"{part.folds}_{share:g}_{kind}_{about}",
    )
    of_taught = torch.stack([middle_of(clip) for clip in taught])
    return {
        "classifier": by_classifier(model, part.sounds, part.judged),
        "neighbour": by_neighbour(model, part.sounds, part.judged, of_taught, taught),
    }


def labelled_clips(data: Path, test_folds: Sequence[str]) -> list[Clip]:
    """All labelled clips; of the test folds those whose label can be learnt from the others."""
    labels = _column(data / "labeled/labels.csv", "filename", "labels")
    folds = _column(data / "labeled/folds.csv", "filename", "fold")
    groups = _column(data / "clips.csv", "path", "group")
    known = {label for name, label in labels.items() if folds[name] not in test_folds}
    return [
        Clip(
            path=data / "labeled/audio" / name,
            label=label,
            group=groups[f"labeled/audio/{name}"],
            is_test=folds[name] in test_folds,
        )
        for name, label in sorted(labels.items())
        if label in known
    ]


def part_of(clips: list[Clip], share: float, seed: int) -> list[Clip]:
    """A share of the clips of each label, drawn at random, at least one."""
    generator, chosen = np.random.default_rng(seed), []
    for label in sorted({clip.label for clip in clips}):
        own = [clip for clip in clips if clip.label == label]
        order = generator.permutation(len(own))[: max(1, math.ceil(share * len(own)))]
        chosen += [own[i] for i in sorted(order)]
    return chosen


def laid_out(clips: list[Clip], folder: Path) -> Path:
    """The clips and their labels as `--labeled_dir` expects them."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "audio").mkdir(parents=True)
    for clip in clips:
        shutil.copy(clip.path, folder / "audio" / clip.path.name)
    lines = [f'{clip.path.name},"{clip.label}"\n' for clip in clips]
    (folder / "labels.csv").write_text("filename,labels\n" + "".join(lines), encoding="utf-8")
    return folder


def trained(
    model: Path, data: Path, labeled_dir: Path, num_clips: int, training: Training, folder: Path
) -> Path:
    """Train on the labels, and with a weight on recordings without labels beside them."""
    is_joint = training.weight is not None
    # An epoch is a pass over what has no labels, else over the clips.
    num_windows, rows = (
        (_num_windows(data / "unlabeled"), ROWS_UNLABELED) if is_joint else (num_clips, ROWS_LABELED)
    )
    config = TrainConfig(
        output_dir=folder,
        model_path=model,
        data_dir=data / "unlabeled" if is_joint else None,
        labeled_dir=labeled_dir,
        supervised_weight=1.0 if training.weight is None else training.weight,
        unlabeled_ratio=float(ROWS_UNLABELED),
        labeled_ratio=float(ROWS_LABELED),
        batch_size=ROWS_LABELED + (ROWS_UNLABELED if is_joint else 0),
        segment_duration=WINDOW_S,
        epochs=max(1, round(training.num_updates / -(-num_windows // rows))),
        lr=training.learning_rate,
        validation_share=0.0,
        save_every=10**6,
        precision="bf16",
        device="cpu",
        num_threads=1,
        seed=training.seed,
    )
    train(config, QUIET)
    return folder / "checkpoint_last.pt"


@torch.no_grad()
def by_classifier(model: Path, sounds: torch.Tensor, judged: list[Clip]) -> np.ndarray:
    """1 where the classifier names the label."""
    classifier = load_classifier(model)
    said = torch.cat([classifier(part) for part in sounds.split(32)]).argmax(dim=1).tolist()
    return np.array([classifier.labels[i] == clip.label for i, clip in zip(said, judged, strict=True)], float)


@torch.no_grad()
def by_neighbour(
    model: Path, sounds: torch.Tensor, judged: list[Clip], of_taught: torch.Tensor, taught: list[Clip]
) -> np.ndarray:
    """1 where the most similar labelled clip has the label; means of patches, standardised."""
    encoder = load_classifier(model).encoder
    vectors = [
        torch.cat([encoder.embed(part, pooling="mean") for part in all_of.split(32)])
        for all_of in (of_taught, sounds)
    ]
    mean, std = vectors[0].mean(dim=0), vectors[0].std(dim=0)
    known, asked = (torch.nn.functional.normalize((v - mean) / std, dim=1) for v in vectors)
    nearest = (asked @ known.T).argmax(dim=1).tolist()
    return np.array([taught[i].label == clip.label for i, clip in zip(nearest, judged, strict=True)], float)


def interval(values: np.ndarray, judged: list[Clip]) -> tuple[float, float]:
    """95 % of the means when recordings are drawn anew."""
    names, group = np.unique([clip.group for clip in judged], return_inverse=True)
    sums, counts = np.bincount(group, values), np.bincount(group)
    drawn = np.random.default_rng(0).integers(len(names), size=(2000, len(names)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def middle_of(clip: Clip) -> torch.Tensor:
    """The window in the middle of a clip, followed by silence where it is shorter."""
    recording = read_header(clip.path, clip.path.parent)
    length = min(WINDOW_S, recording.duration_s)
    segment = Segment(recording, (recording.duration_s - length) / 2, length)
    samples = torch.from_numpy(read_segment(segment, 16000).samples)
    width = round(WINDOW_S * 16000)
    return torch.nn.functional.pad(samples, (0, max(0, width - len(samples))))[:width]


def _num_windows(folder: Path) -> int:
    config = SegmentConfig(window_s=WINDOW_S, stride_s=WINDOW_S)
    return len(SegmentIndex(scan_recordings(folder).recordings, config))


def _line(row: dict[str, object]) -> str:
    def percent(name: str) -> str:
        (low, high), value = row[f"{name}_interval"], row[name]  # type: ignore[misc]
        return f"{100 * value:5.1f} ({100 * low:5.1f} to {100 * high:5.1f})"  # type: ignore[operator]

    probes = [name for name in ("classifier", "neighbour", "over_alone") if name in row]
    judges = "  ".join(f"{name} {percent(name)}" for name in probes)
    return f"{row['share']:4.0%} of the labels, {row['training']:10} {judges}"


def _column(path: Path, key: str, value: str) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row[key]: row[value] for row in csv.DictReader(file)}


if __name__ == "__main__":
    main()
