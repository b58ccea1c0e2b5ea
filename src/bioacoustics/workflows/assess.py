"""Assess: judge a fine-tuned classifier on held-out clips, calibrate it, and leave tables and pictures."""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.special
import torch
from accelerate import Accelerator
from jaxtyping import Float, Int
from pydantic import JsonValue
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bioacoustics.audio.writing import atomic_write
from bioacoustics.data.batches import DataConfig
from bioacoustics.models.audio_encoder import AudioClassifier
from bioacoustics.models.saved import build_classifier, bundle_of_classifier, read_bundle, write_bundle
from bioacoustics.objectives.objective import Objective
from bioacoustics.training.metrics import accuracy, average_precisions, bootstrap_interval
from bioacoustics.training.validation import Evaluation, Validation, evaluate

LOWEST_PROBABILITY = 1e-7
TEMPERATURES = (0.05, 20.0)
NUM_SHOWN_CLASSES = 15
MANY_CELLS = 200_000  # clips x labels
Probabilities = Float[np.ndarray, "clips classes"]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The held-out clips and what is known about them."""

    validation: Validation
    names: list[str]
    groups: Int[np.ndarray, " clips"]  # clips of one recording have one number
    num_training_clips: Float[np.ndarray, " classes"]


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """How well one label is recognised; NaN where no held-out clip has it."""

    label: str
    num_training: int
    num_held_out: int
    average_precision: float
    precision: float
    recall: float
    f1: float


def assess(
    folder: Path,
    objective: Objective,
    classifier: AudioClassifier,
    held_out: HeldOut,
    data: DataConfig,
    accelerator: Accelerator,
    console: Console,
) -> None:
    """Judge checkpoint_best.pt in a run folder and calibrate it; every process must call this.

    Writes per_class.csv, predictions.csv and a confusion matrix (one label a clip) or precision-recall curves
    (several). The checkpoint is replaced by the same model with calibrated probabilities. Where it is not
    known whether a clip has a label (NaN), the clip does not count for that label.

    Args:
        folder: The run folder.
        objective: What was trained.
        classifier: Its classifier, by which `held_out` predicts.
        held_out: The clips that judge.
        data: How they are read.
        accelerator: Device and processes.
        console: Where to show the scores.
    """
    accelerator.wait_for_everyone()
    best = folder / "checkpoint_best.pt"
    saved = read_bundle(best)
    best_classifier = build_classifier(saved)
    classifier.load_state_dict(best_classifier.state_dict())
    evaluation = evaluate(objective, held_out.validation, data, accelerator)
    if not accelerator.is_main_process:
        return
    assert evaluation.targets is not None and evaluation.probabilities is not None
    probabilities = evaluation.probabilities
    if saved.header.calibration is None:  # else an earlier start of this run came this far
        temperature = fitted_temperature(evaluation.targets, probabilities, classifier.multi_label)
        probabilities = tempered(probabilities, temperature, classifier.multi_label)
        calibration: dict[str, JsonValue] = {
            "method": "temperature, already part of the head's weights",
            "temperature": temperature,
            "num_clips": len(probabilities),
            "calibration_error_before": calibration_error(evaluation.targets, evaluation.probabilities),
            "calibration_error_after": calibration_error(evaluation.targets, probabilities),
        }
        _temper(best_classifier, temperature)
        write_bundle(bundle_of_classifier(best_classifier, calibration).with_card(saved.header.card), best)
    _write_results(folder, best_classifier, held_out, evaluation, probabilities, console)


def fitted_temperature(
    targets: Float[np.ndarray, "clips classes"], probabilities: Probabilities, multi_label: bool
) -> float:
    """The most likely temperature given the held-out targets (Guo et al. 2017, section 4.2).

    Its logarithm is taken to be normal around 0 beforehand: a handful of clips that are all right would else
    make a model certain of everything it says, and a few hundred overrule it anyway.
    """
    import scipy.optimize  # late, as it takes a while to load

    def cost(log_temperature: float) -> float:
        p = tempered(probabilities, float(np.exp(log_temperature)), multi_label)
        p = np.clip(p, LOWEST_PROBABILITY, 1 - LOWEST_PROBABILITY)
        likelihood = np.nansum(targets * np.log(p))
        if multi_label:
            likelihood += np.nansum((1 - targets) * np.log1p(-p))
        return float(0.5 * log_temperature**2 - likelihood)

    found = scipy.optimize.minimize_scalar(cost, bounds=tuple(np.log(TEMPERATURES)), method="bounded")
    return float(np.exp(found.x))


def tempered(probabilities: Probabilities, temperature: float, multi_label: bool) -> Probabilities:
    """Probabilities after their logits are divided by a temperature."""
    p = probabilities.astype(np.float64)
    if multi_label:
        p = np.clip(p, 1e-15, 1 - 1e-15)
        return np.asarray(scipy.special.expit(scipy.special.logit(p) / temperature))
    return np.asarray(scipy.special.softmax(np.log(np.maximum(p, 1e-300)) / temperature, axis=1))


def calibration_error(
    targets: Float[np.ndarray, "clips classes"], probabilities: Probabilities, num_bins: int = 10
) -> float:
    """Expected calibration error: mean gap between promised and true shares, over bins of promises."""
    is_known = np.isfinite(targets)
    promised, came_true = probabilities[is_known], targets[is_known]
    bins = np.minimum((promised * num_bins).astype(int), num_bins - 1)
    gaps = [
        np.count_nonzero(bins == b) * abs(promised[bins == b].mean() - came_true[bins == b].mean())
        for b in np.unique(bins)
    ]
    return float(np.sum(gaps) / len(promised))


def class_scores(
    labels: tuple[str, ...],
    targets: Float[np.ndarray, "clips classes"],
    probabilities: Probabilities,
    num_training: Float[np.ndarray, " classes"],
    multi_label: bool,
) -> list[ClassScore]:
    """Scores of every label; it is named at 0.5 where several may hold, else where it is the likeliest."""
    named = (
        probabilities >= 0.5
        if multi_label
        else probabilities.argmax(axis=1)[:, None] == np.arange(len(labels))[None]
    )
    is_present = targets > 0.5
    named = named & np.isfinite(targets)
    scores = []
    for c, ap in enumerate(average_precisions(targets, probabilities)):
        hits, num_named, num_present = (
            (named & is_present)[:, c].sum(),
            named[:, c].sum(),
            is_present[:, c].sum(),
        )
        precision = float(hits / num_named) if num_named else float("nan")
        recall = float(hits / num_present) if num_present else float("nan")
        f1 = float(2 * hits / (num_named + num_present)) if num_present else float("nan")
        counts = {"num_training": int(num_training[c]), "num_held_out": int(num_present)}
        scores.append(
            ClassScore(
                label=labels[c],
                **counts,
                average_precision=float(ap),
                precision=precision,
                recall=recall,
                f1=f1,
            )
        )
    return scores


def _temper(classifier: AudioClassifier, temperature: float) -> None:
    """Divide the logits by a temperature through the weights that make them: every export then has it too."""
    with torch.no_grad():
        classifier.head.head.weight.div_(temperature)
        classifier.head.head.bias.div_(temperature)


def _write_results(
    folder: Path,
    classifier: AudioClassifier,
    held_out: HeldOut,
    evaluation: Evaluation,
    probabilities: Probabilities,
    console: Console,
) -> None:
    # Late, because plotting takes seconds to load, which every command would wait for.
    from bioacoustics.formats.pictures import confusion_matrix, precision_recall, write_picture

    targets, indices = evaluation.targets, evaluation.indices
    assert targets is not None and indices is not None
    labels, multi_label = classifier.labels, classifier.multi_label
    scores = class_scores(labels, targets, probabilities, held_out.num_training_clips, multi_label)
    columns = list(ClassScore.__annotations__)
    _write_csv(folder / "per_class.csv", columns, [[getattr(s, name) for name in columns] for s in scores])
    rows = [
        [held_out.names[i], "|".join(np.array(labels)[target > 0.5]), *(f"{p:.4f}" for p in row)]
        for i, target, row in zip(indices, targets, probabilities, strict=True)
    ]
    _write_csv(folder / "predictions.csv", ["file", "labels", *(f"p({label})" for label in labels)], rows)
    if multi_label:
        write_picture(precision_recall(targets, probabilities, labels), folder / "precision_recall.png")
    else:
        counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
        np.add.at(counts, (targets.argmax(axis=1), probabilities.argmax(axis=1)), 1)
        write_picture(confusion_matrix(counts, labels), folder / "confusion.png")
    _show(console, scores, targets, probabilities, held_out.groups[indices], multi_label)


def _show(
    console: Console,
    scores: list[ClassScore],
    targets: Float[np.ndarray, "clips classes"],
    probabilities: Probabilities,
    groups: Int[np.ndarray, " clips"],
    multi_label: bool,
) -> None:
    def mean_average_precision(chosen: Int[np.ndarray, " drawn"]) -> float:
        precisions = average_precisions(targets[chosen], probabilities[chosen])
        return float(np.nanmean(precisions)) if np.isfinite(precisions).any() else float("nan")

    def share_right(chosen: Int[np.ndarray, " drawn"]) -> float:
        return accuracy(targets[chosen], probabilities[chosen])

    wanted: dict[str, Callable[[Int[np.ndarray, " drawn"]], float]] = {"mAP": mean_average_precision}
    if not multi_label:
        wanted = {"accuracy": share_right, **wanted}
    num_draws = 1000 if targets.size < MANY_CELLS else 200  # a minute and more otherwise
    for name, score in wanted.items():
        low, high = bootstrap_interval(score, groups, num_draws=num_draws)
        value = score(np.arange(len(targets)))
        # Where most classes have one recording, a draw without it loses the class: that is another mean.
        is_telling = low <= value <= high
        interval = (
            f"95 % interval {100 * low:.1f} to {100 * high:.1f}" if is_telling else "too few for an interval"
        )
        console.print(
            f"held out: {name} {100 * value:.1f} % ({interval}, "
            f"{len(targets)} clips of {len(np.unique(groups))} recordings)",
            highlight=False,
            soft_wrap=True,
        )
    table = Table("label", "clips", "average precision", "precision", "recall", box=None, header_style="bold")
    for of_class in sorted(scores, key=lambda s: -s.num_held_out)[:NUM_SHOWN_CLASSES]:
        cells = (
            f"{v:.2f}" if np.isfinite(v) else "-"
            for v in (of_class.average_precision, of_class.precision, of_class.recall)
        )
        table.add_row(escape(of_class.label), str(of_class.num_held_out), *cells)
    console.print(table)


def _write_csv(path: Path, columns: list[str], rows: list[list[object]]) -> None:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(
        ["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row] for row in rows
    )
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
