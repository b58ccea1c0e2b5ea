"""Does self-supervision help on an hour of recordings? Prints one table and writes one JSON.

Run: python benchmarks/learning.py DATA [--work_dir runs/learning] [--quick]

DATA has `unlabeled/`, `labeled/audio`, `labeled/labels.csv`, `labeled/folds.csv` and `clips.csv` with the
recording of every clip. A tiny EAT is pre-trained once, without labels, on `unlabeled/` and on the audio of
the training folds. Everything is judged on the clips of the test folds, which nothing has heard before:
probes and fine-tuning learn from the labels of the training folds alone. A run that was interrupted goes on.
"""

import argparse
import csv
import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.audio.reading import read_segment
from bioacoustics.audio.recordings import read_header
from bioacoustics.audio.segments import Segment
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.saved import load_classifier, load_encoder
from bioacoustics.training.attentive import AttentiveConfig, attentive_probe
from bioacoustics.training.linear import linear_probe
from bioacoustics.training.probes import ProbeResult, ProbeTask, difference_of, interval_of, mel_statistics
from bioacoustics.workflows.finetune import FinetuneConfig, finetune
from bioacoustics.workflows.pretrain import PretrainConfig, pretrain

TEST_FOLDS = ("3", "4")
WINDOW_FRAMES = 256  # of pre-training and of the probes
CLIP_FRAMES = 496  # of fine-tuning: 5 s in whole patches
PRETRAIN_UPDATES = 1400
FINETUNE_EPOCHS = 40
ATTENTIVE = AttentiveConfig(max_epochs=200, patience=20)
SEED = 1


class Clips:
    """The labelled clips: samples at 16 kHz, labels, recordings, and which of them test."""

    def __init__(self, data: Path) -> None:
        rows = list(csv.DictReader((data / "labeled/folds.csv").open(encoding="utf-8")))
        labels = _column(data / "labeled/labels.csv", "filename", "labels")
        groups = _column(data / "clips.csv", "path", "group")
        self.names = [row["filename"] for row in rows]
        self.is_test = np.array([row["fold"] in TEST_FOLDS for row in rows])
        self.labels = [labels[name] for name in self.names]
        self.vocabulary = sorted(set(self.labels))
        known = {label for label, test in zip(self.labels, self.is_test, strict=True) if not test}
        # Nobody can name what no training clip has.
        self.is_judged = self.is_test & np.array([label in known for label in self.labels])
        self.paths = [data / "labeled/audio" / name for name in self.names]
        numbers = np.unique([groups[f"labeled/audio/{name}"] for name in self.names], return_inverse=True)[1]
        classes = [self.vocabulary.index(label) for label in self.labels]
        self.task = ProbeTask(
            targets=np.eye(len(self.vocabulary))[classes],
            groups=numbers,
            folds=self.is_test.astype(np.int64),
            multi_label=False,
        )

    def samples(self, clip: int) -> Float[Tensor, " samples"]:
        """Sound of a clip."""
        recording = read_header(self.paths[clip], self.paths[clip].parent)
        return torch.from_numpy(read_segment(Segment(recording, 0.0, recording.duration_s), 16000).samples)

    def judged(self, predictions: Float[np.ndarray, "clips classes"], probe: str) -> ProbeResult:
        """The result on the test clips whose label was to be learnt."""
        test, targets = np.flatnonzero(self.is_judged), self.task.targets
        is_right = targets[test, predictions[test].argmax(axis=1)]
        return ProbeResult(
            probe="attentive" if probe == "attentive" else "linear",
            measure="accuracy",
            targets=targets[test],
            groups=self.task.groups[test],
            predictions=predictions[test],
            per_clip=is_right.astype(np.float64),
        )


def main() -> None:
    """Train, probe, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work_dir", type=Path, default=Path("runs/learning"))
    parser.add_argument("--quick", action="store_true", help="two minutes: shows that it runs, nothing else")
    arguments = parser.parse_args()
    console, started = Console(), time.perf_counter()
    work = arguments.work_dir / ("quick" if arguments.quick else "full")
    updates, epochs = (20, 1) if arguments.quick else (PRETRAIN_UPDATES, FINETUNE_EPOCHS)
    clips = Clips(arguments.data)
    console.print(
        f"{len(clips.names)} labelled clips, {clips.is_test.sum()} of them test, of which "
        f"{clips.is_judged.sum()} have a label to be learnt"
    )
    pretrained = pretrained_encoder(arguments.data, work, updates, console)
    results = probed(clips, pretrained, console)
    for name, path in (("random", None), ("pre-trained", pretrained)):
        results[f"fine-tuned from {name}"] = fine_tuned(clips, arguments.data, work, path, epochs, console)
    report(results, console, work / "learning.json", time.perf_counter() - started)


def pretrained_encoder(data: Path, work: Path, num_updates: int, console: Console) -> Path:
    """Pre-train on `unlabeled/` and the training folds' audio; the labels are not looked at."""
    audio = work / "audio"
    if not audio.exists():
        part = work / "audio.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(data / "unlabeled", part / "unlabeled")
        (part / "training_folds").mkdir()
        for row in csv.DictReader((data / "labeled/folds.csv").open(encoding="utf-8")):
            if row["fold"] not in TEST_FOLDS:
                shutil.copy(data / "labeled/audio" / row["filename"], part / "training_folds")
        part.rename(audio)
    config = PretrainConfig(
        save_dir=work / "pretrained",
        data_dir=audio,
        model_size="tiny",
        recipe="small",
        batch_size=32,
        micro_batch_size=32,
        num_updates=num_updates,
        normalisation="measured",
        validation_share=0.0,
        precision="bf16",
        device="cpu",
        num_threads=1,
        save_every=100,
        log_every=20,
        seed=SEED,
    )
    pretrain(config, console)
    return work / "pretrained" / "checkpoint_last.pt"


def probed(clips: Clips, pretrained: Path, console: Console) -> dict[str, ProbeResult]:
    """Probes on mel statistics, on random weights and on pre-trained weights, all on the same pooling."""
    trained = load_encoder(pretrained)
    torch.manual_seed(SEED)
    random = AudioEncoder(trained.front_end.config, EATEncoder(EATConfig.of_size("tiny")))
    results = {}
    front_end = AudioEncoder(LogMelConfig.eat(), EATEncoder(EATConfig.of_size("tiny"))).front_end
    statistics = [mel_statistics(front_end.unnormalised(_centred(clips, i)[None])) for i in _all(clips)]
    results["mel statistics, linear"] = _linear(clips, torch.cat(statistics))
    for name, encoder in (("random weights", random), ("pre-trained", trained)):
        grids = [patch_grid(encoder.eval(), clips.samples(i)) for i in _all(clips)]
        console.print(f"probing {name}", highlight=False)
        results[f"{name}, linear on the mean"] = _linear(clips, _pooled(grids, _mean))
        results[f"{name}, linear on statistics"] = _linear(clips, _pooled(grids, channel_statistics))
        results[f"{name}, linear on statistics per band"] = _linear(clips, _pooled(grids, band_statistics))
        patches = [grid[:2].flatten(0, 2) for grid in grids]
        longest = max(map(len, patches))
        padded = torch.stack(
            [torch.nn.functional.pad(rows, (0, 0, 0, longest - len(rows))) for rows in patches]
        )
        lengths = torch.tensor([len(rows) for rows in patches])
        found = attentive_probe(padded, clips.task, num_patches=lengths, config=ATTENTIVE)
        assert found.predictions is not None
        results[f"{name}, attentive"] = clips.judged(found.predictions, "attentive")
    return results


@torch.no_grad()
def patch_grid(
    encoder: AudioEncoder, samples: Float[Tensor, " samples"]
) -> Float[Tensor, "windows columns bands dim"]:
    """Patch features of the last block in as many evenly spaced windows as cover the clip."""
    front_end, size = encoder.front_end.config, encoder.config.patch_size
    # Only whole patches: padding is no sound.
    num_frames = max(size, min(WINDOW_FRAMES, front_end.num_frames(len(samples)) // size * size))
    width = front_end.num_samples(num_frames)
    count = max(1, math.ceil(len(samples) / width))
    starts = np.linspace(0, max(0, len(samples) - width), count).round().astype(int)
    windows = torch.stack([samples[start : start + width] for start in starts])
    return encoder(windows).patches.unflatten(1, (-1, encoder.config.num_bands))


def channel_statistics(grid: Float[Tensor, "windows columns bands dim"]) -> Float[Tensor, " values"]:
    """Mean, deviation, 95th percentile and deviation of the change in time of every channel."""
    return _statistics(grid.flatten(0, 2), _changes(grid).flatten(0, -2))


def band_statistics(grid: Float[Tensor, "windows columns bands dim"]) -> Float[Tensor, " values"]:
    """The same of every channel in every band of patches: what `mel_statistics` takes of every mel band."""
    return _statistics(grid.flatten(0, 1), _changes(grid).flatten(0, 1))


def fine_tuned(
    clips: Clips, data: Path, work: Path, start: Path | None, epochs: int, console: Console
) -> ProbeResult:
    """Fine-tune on the training folds; the last checkpoint is judged, not the best on the test clips."""
    folds = work / "folds.csv"
    sides = [
        f"{name},{'test' if test else 'train'}\n"
        for name, test in zip(clips.names, clips.is_test, strict=True)
    ]
    folds.write_text("filename,fold\n" + "".join(sides), encoding="utf-8")
    save_dir = work / ("finetuned_random" if start is None else "finetuned_pretrained")
    config = FinetuneConfig(
        save_dir=save_dir,
        data_dir=data / "labeled/audio",
        labels=data / "labeled/labels.csv",
        folds=folds,
        valid_fold="test",
        model_path=start,
        model_size="tiny",
        prediction_mode="MEAN_POOLING",
        target_length=CLIP_FRAMES,
        batch_size=16,
        micro_batch_size=16,
        epochs=epochs,
        learning_rate=5e-4,
        # Random blocks have nothing to keep, so they learn at the full rate.
        layer_decay=1.0 if start is None else 0.75,
        validate_every=10**6,
        precision="bf16",
        device="cpu",
        num_threads=1,
        seed=SEED,
    )
    finetune(config, console)
    classifier = load_classifier(save_dir / "checkpoint_last.pt").eval()
    predictions = np.zeros(clips.task.targets.shape)
    order = [classifier.labels.index(label) for label in clips.vocabulary]
    for i in np.flatnonzero(clips.is_judged):
        with torch.no_grad():
            predictions[i] = classifier(clips.samples(int(i))[None, : 16000 * 5])[0, order].numpy()
    return clips.judged(predictions, "fine-tuned")


def report(results: dict[str, ProbeResult], console: Console, path: Path, elapsed_s: float) -> None:
    """One table, the differences that matter, and one JSON."""
    table = Table("features", "accuracy", "95 % interval", title="Accuracy on the test folds, in percent")
    rows = {name: _percent(interval_of(result)) for name, result in results.items()}
    for name, row in rows.items():
        table.add_row(name, f"{row['value']:.1f}", f"{row['low']:.1f} to {row['high']:.1f}")
    table.add_row("BirdNET 2.4, linear, as given for five folds", "71.1", "")
    console.print(table)
    trained = "pre-trained, linear on statistics per band"
    pairs = [
        ("pre-trained, linear on the mean", "random weights, linear on the mean"),
        ("pre-trained, linear on statistics", "random weights, linear on statistics"),
        (trained, "random weights, linear on statistics per band"),
        ("pre-trained, attentive", "random weights, attentive"),
        (trained, "mel statistics, linear"),
        ("fine-tuned from pre-trained", "fine-tuned from random"),
    ]
    differences = Table("difference", "points", "95 % interval", title="Differences on the same clips")
    found = {}
    for after, before in pairs:
        row = _percent(difference_of([results[before]], [results[after]]))
        found[f"{after} minus {before}"] = row
        differences.add_row(
            f"{after} - {before}", f"{row['value']:+.1f}", f"{row['low']:+.1f} to {row['high']:+.1f}"
        )
    console.print(differences)
    path.write_text(
        json.dumps({"accuracy": rows, "differences": found, "elapsed_s": elapsed_s}, indent=1) + "\n",
        encoding="utf-8",
    )


def _percent(interval: object) -> dict[str, float]:
    return {name: round(100 * getattr(interval, name), 2) for name in ("value", "low", "high")}


def _linear(clips: Clips, features: Float[Tensor, "clips values"]) -> ProbeResult:
    predictions = linear_probe(features.numpy(), clips.task).predictions
    assert predictions is not None
    return clips.judged(predictions, "linear")


def _pooled(grids: list[Tensor], pool: Callable[[Tensor], Tensor]) -> Float[Tensor, "clips values"]:
    return torch.stack([pool(grid) for grid in grids])


def _mean(grid: Float[Tensor, "windows columns bands dim"]) -> Float[Tensor, " dim"]:
    return grid.flatten(0, 2).mean(dim=0)


def _changes(grid: Float[Tensor, "windows columns bands dim"]) -> Float[Tensor, "windows steps bands dim"]:
    return torch.diff(grid, dim=1) if grid.shape[1] > 1 else torch.zeros_like(grid)


def _statistics(values: Tensor, changes: Tensor) -> Float[Tensor, " values"]:
    spread, high = values.std(dim=0, correction=0), values.quantile(0.95, dim=0)
    return torch.stack([values.mean(dim=0), spread, high, changes.std(dim=0, correction=0)]).flatten()


def _centred(clips: Clips, clip: int) -> Float[Tensor, " samples"]:
    samples = clips.samples(clip)
    return samples - samples.mean()


def _all(clips: Clips) -> range:
    return range(len(clips.names))


def _column(path: Path, key: str, value: str) -> dict[str, str]:
    with path.open(encoding="utf-8") as file:
        return {row[key]: row[value] for row in csv.DictReader(file)}


if __name__ == "__main__":
    main()
