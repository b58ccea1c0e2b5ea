"""Does self-supervision help on an hour of recordings? Prints tables, writes learning.md and learning.json.

Run: python benchmarks/learning.py DATA [--work_dir runs/learning] [--quick] [--also NAME=CHECKPOINT]

DATA has `unlabeled/`, `recordings/`, `positive/`, `negative/`, `labeled/audio`, `labeled/labels.csv`,
`labeled/folds.csv` and `clips.csv` with the recording of every clip. Two tiny EATs are pre-trained without
labels, each on everything but the labelled clips of some folds, and judge exactly these: all labelled clips
are judged, none by a model that has heard it. `--also` adds a checkpoint that was trained elsewhere.

Every row and every training is kept in the work folder: a run that was interrupted goes on, and one with
another `--also` computes only what is new.
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from learning_clips import (
    PARTS,
    Clips,
    Predictions,
    band_statistics,
    channel_statistics,
    mean,
    padded_patches,
    patch_grids,
    pooled,
)
from rich.console import Console
from rich.table import Table

from bioacoustics.audio.log_mel import LogMel, LogMelConfig
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.saved import bundle_of_encoder, load_classifier, load_encoder, write_bundle
from bioacoustics.training.attentive import attentive_probe
from bioacoustics.training.linear import linear_probe
from bioacoustics.training.probes import Interval, ProbeResult, difference_of, interval_of, mel_statistics
from bioacoustics.workflows.finetune import FinetuneConfig, finetune
from bioacoustics.workflows.pretrain import PretrainConfig, pretrain

CLIP_FRAMES = 496  # of fine-tuning: 5 s in whole patches
PRETRAIN_UPDATES = 2600
FINETUNE_EPOCHS = 20
# What is pooled for a fine-tuned head, and how it is trained.
FINETUNED = {
    "on the mean": {
        "prediction_mode": "MEAN_POOLING",
        "head_start": "random",
        "learning_rate": 5e-4,
        "layer_decay": 1.0,
    },
    "per band": {"prediction_mode": "BAND_STATISTICS", "learning_rate": 3e-4},
}
SEED = 1
BIRDNET = "BirdNET 2.4, linear, as given"
Checkpoints = Mapping[str, Path]  # of each part


class Rows:
    """Predictions by the name of their row, each computed once."""

    def __init__(self, folder: Path, clips: Clips, console: Console) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._clips, self._console = folder, clips, console
        self.results: dict[str, ProbeResult] = {}

    def add(self, name: str, predict: Callable[[str], Predictions]) -> None:
        """Judge each part by `predict(part)`, of which only the clips of that part count."""
        path = self._folder / f"{re.sub(r'[^a-zA-Z0-9.-]+', '_', name)}.npy"
        if not path.exists():
            self._console.print(f"computing: {name}", highlight=False)
            predictions = np.zeros(self._clips.targets.shape)
            for part in PARTS:
                judged = self._clips.part_of == part
                predictions[judged] = predict(part)[judged]
            with path.with_suffix(".part").open("wb") as file:
                np.save(file, predictions)
            path.with_suffix(".part").rename(path)
        self.results[name] = self._clips.result(np.load(path))


def main() -> None:
    """Train, probe, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work_dir", type=Path, default=Path("runs/learning"))
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes: shows that it runs, nothing else"
    )
    parser.add_argument("--also", action="append", default=[], metavar="NAME=CHECKPOINT")
    arguments = parser.parse_args()
    console, started = Console(), time.perf_counter()
    work = arguments.work_dir / ("quick" if arguments.quick else "full")
    work.mkdir(parents=True, exist_ok=True)
    updates, epochs = (20, 1) if arguments.quick else (PRETRAIN_UPDATES, FINETUNE_EPOCHS)
    clips = Clips(arguments.data)
    trained = {part: pretrained(clips, part, work, updates, console) for part in PARTS}
    random = {part: random_like(path, work / f"random_{part}.pt") for part, path in trained.items()}
    rows = Rows(work / "rows", clips, console)
    rows.add("mel statistics, linear", lambda part: of_mel_statistics(clips, part, half=False))
    for name, checkpoints in {"random weights": random, "pre-trained": trained}.items():
        add_probes(rows, clips, name, checkpoints)
    for further in arguments.also:
        name, path = further.split("=", maxsplit=1)
        add_probes(rows, clips, name, dict.fromkeys(PARTS, Path(path)))
    rows.add(
        "half the labels: mel statistics, linear", lambda part: of_mel_statistics(clips, part, half=True)
    )
    for pool, settings in FINETUNED.items():
        for name, checkpoints in {"random": random, "pre-trained": trained}.items():
            folder = work / f"finetuned_{name}_{pool.replace(' ', '_')}"
            rows.add(
                f"half the labels: fine-tuned from {name}, {pool}",
                lambda part, start=checkpoints, folder=folder, settings=settings: fine_tuned(
                    clips, part, start[part], folder.with_name(f"{folder.name}_{part}"), epochs, settings
                ),
            )
    report(rows.results, console, work, time.perf_counter() - started)


def pretrained(clips: Clips, part: str, work: Path, num_updates: int, console: Console) -> Path:
    """Pre-train on all that may be heard when `part` is to judge."""
    save_dir = work / f"pretrained_{part}"
    config = PretrainConfig(
        save_dir=save_dir,
        data_dir=clips.audio_without(part, work / f"audio_{part}"),
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
    return save_dir / "checkpoint_last.pt"


def random_like(path: Path, random: Path) -> Path:
    """The same encoder and front end with weights as they are before any training."""
    encoder = load_encoder(path)
    assert isinstance(encoder.config, EATConfig)
    torch.manual_seed(SEED)
    write_bundle(
        bundle_of_encoder(AudioEncoder(encoder.front_end.config, EATEncoder(encoder.config))), random
    )
    return random


def add_probes(rows: Rows, clips: Clips, name: str, checkpoints: Checkpoints) -> None:
    """Probes with the labels of the other four folds, and one of them again with half the labels."""
    kept: dict[Path, list[list[torch.Tensor]]] = {}

    def grids(part: str, layer: int = -1) -> list[torch.Tensor]:
        path = checkpoints[part]
        if path not in kept:
            encoder = load_encoder(path)
            both = [patch_grids(encoder, clips.samples(clip)) for clip in range(len(clips))]
            kept[path] = [list(grids) for grids in zip(*both, strict=True)]
        return kept[path][layer]

    def both_ends(part: str, *, half: bool) -> Predictions:
        ends = [pooled(grids(part, layer), band_statistics) for layer in (0, -1)]
        return _predictions(linear_probe(np.hstack(ends), clips.task(part, has_half_the_labels=half)))

    def linear(part: str, pool: Callable[[torch.Tensor], torch.Tensor], *, half: bool) -> Predictions:
        task = clips.task(part, has_half_the_labels=half)
        return _predictions(linear_probe(pooled(grids(part), pool), task))

    def attentive(part: str) -> Predictions:
        patches, lengths = padded_patches(grids(part))
        task = clips.task(part, has_half_the_labels=False)
        return _predictions(attentive_probe(patches, task, num_patches=lengths))

    def beside_mel(part: str) -> Predictions:
        features = np.hstack([mel_rows(clips), pooled(grids(part), channel_statistics)])
        return _predictions(linear_probe(features, clips.task(part, has_half_the_labels=False)))

    rows.add(f"{name}, linear on the mean", lambda part: linear(part, mean, half=False))
    rows.add(f"{name}, linear per band", lambda part: linear(part, band_statistics, half=False))
    rows.add(f"{name}, linear per band of both ends", lambda part: both_ends(part, half=False))
    rows.add(f"{name}, attentive", attentive)
    rows.add(f"mel statistics and {name}, linear", beside_mel)
    rows.add(
        f"half the labels: {name}, linear per band", lambda part: linear(part, band_statistics, half=True)
    )
    rows.add(
        f"half the labels: {name}, linear per band of both ends", lambda part: both_ends(part, half=True)
    )


def of_mel_statistics(clips: Clips, part: str, *, half: bool) -> Predictions:
    """A linear probe on what needs no training."""
    return _predictions(linear_probe(mel_rows(clips), clips.task(part, has_half_the_labels=half)))


@lru_cache(maxsize=1)
def mel_rows(clips: Clips) -> Float[np.ndarray, "clips values"]:
    """Mel statistics of every clip."""
    front_end = LogMel(LogMelConfig.eat())
    statistics = []
    for clip in range(len(clips)):
        samples = clips.samples(clip)
        statistics.append(mel_statistics(front_end.unnormalised((samples - samples.mean())[None])))
    return torch.cat(statistics).numpy()


def fine_tuned(
    clips: Clips, part: str, start: Path, save_dir: Path, epochs: int, settings: Mapping[str, Any]
) -> Predictions:
    """Fine-tune on the other part; the last checkpoint is judged, not the best on the judged clips."""
    config = FinetuneConfig(
        save_dir=save_dir,
        data_dir=clips.data / "labeled/audio",
        labels=clips.data / "labeled/labels.csv",
        folds=clips.write_folds(save_dir.with_suffix(".csv")),
        valid_fold=part,
        model_path=start,
        target_length=CLIP_FRAMES,
        batch_size=16,
        micro_batch_size=16,
        epochs=epochs,
        validate_every=10**6,
        precision="bf16",
        device="cpu",
        num_threads=1,
        seed=SEED,
        **settings,
    )
    finetune(config, Console())
    classifier = load_classifier(save_dir / "checkpoint_last.pt").eval()
    predictions = np.zeros(clips.targets.shape)
    order = [classifier.labels.index(label) for label in clips.vocabulary]
    with torch.no_grad():
        for clip in np.flatnonzero(clips.part_of == part).tolist():
            predictions[clip] = classifier(clips.samples(clip)[None, : 16_000 * 5])[0, order].numpy()
    return predictions


def report(results: Mapping[str, ProbeResult], console: Console, work: Path, elapsed_s: float) -> None:
    """The table, the differences that matter, both as Markdown and JSON."""
    rows = {name: interval_of(result) for name, result in results.items()}
    half, ends = "half the labels", "linear per band of both ends"
    tuned, mel = f"{half}: fine-tuned from", "mel statistics, linear"
    pairs = [
        *[
            (f"pre-trained, {probe}", f"random weights, {probe}")
            for probe in ("linear on the mean", "attentive", "linear per band", ends)
        ],
        *[(f"pre-trained, {probe}", mel) for probe in ("attentive", "linear per band", ends)],
        (f"random weights, {ends}", mel),
        ("mel statistics and pre-trained, linear", mel),
        ("mel statistics and pre-trained, linear", "mel statistics and random weights, linear"),
        (f"{half}: pre-trained, {ends}", f"{half}: {mel}"),
        *[(f"{tuned} pre-trained, {pool}", f"{tuned} random, {pool}") for pool in FINETUNED],
        (f"{tuned} pre-trained, per band", f"{half}: {mel}"),
        (f"{tuned} pre-trained, per band", f"{half}: pre-trained, linear per band"),
    ]
    differences = {
        f"{after} - {before}": difference_of([results[before]], [results[after]]) for after, before in pairs
    }
    lines = ["| features | accuracy | 95 % interval |", "|---|---|---|"]
    lines += [f"| {name} | {_percent(row, '')} |" for name, row in rows.items()]
    lines += [f"| {BIRDNET} | 71.1 | |", "", "| difference | points | 95 % interval |", "|---|---|---|"]
    lines += [f"| {name} | {_percent(row, '+')} |" for name, row in differences.items()]
    (work / "learning.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plain = {
        "accuracy": {name: vars(row) for name, row in rows.items()},
        "differences": {name: vars(row) for name, row in differences.items()},
        "elapsed_s_of_this_run": elapsed_s,
    }
    (work / "learning.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    for title, found, sign in (("Accuracy", rows, ""), ("Differences", differences, "+")):
        table = Table("", "percent", "95 % interval", title=f"{title}, each clip by who had not heard it")
        for name, row in found.items():
            table.add_row(name, *_percent(row, sign).split(" | "))
        console.print(table)
    console.print(f"{BIRDNET}: 71.1")


def _percent(interval: Interval, sign: str) -> str:
    value, low, high = (
        f"{100 * number:{sign}.1f}" for number in (interval.value, interval.low, interval.high)
    )
    return f"{value} | {low} to {high}"


def _predictions(result: ProbeResult) -> Predictions:
    assert result.predictions is not None
    return result.predictions


if __name__ == "__main__":
    main()
