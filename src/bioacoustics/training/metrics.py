"""Metrics: running means of the losses, scores of a classifier, and the file that keeps them."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bioacoustics.audio.writing import atomic_write
from bioacoustics.objectives.objective import Losses

Row = dict[str, int | float]


class RunningMeans:
    """Weighted means of the losses and their terms, summed on the device so that nothing waits for it.

    The sums are float64 where the device has it (all but MPS): float32 would lose small terms of long sums.
    """

    def __init__(self, device: torch.device) -> None:
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._device = device
        self._sums: dict[str, Tensor] = {}

    def add(self, losses: Losses) -> None:
        """Count the losses of one micro-batch, each as much as its weight says."""
        for name, term in {"loss": losses.total, **losses.terms}.items():
            weight = losses.term_weights.get(name, losses.weight).detach().to(self._dtype)
            self._count(name, torch.stack([term.detach() * weight, weight]))

    def means(self) -> Row:
        """The means since the last reset; waits for the device."""
        names = sorted(self._sums)
        if not names:
            return {}
        sums = torch.stack([self._sums[name] for name in names]).tolist()
        return {
            name: total / weight if weight else 0.0 for name, (total, weight) in zip(names, sums, strict=True)
        }

    def over_processes(self, accelerator: Accelerator) -> "RunningMeans":
        """The sums of all processes together; every process must ask, even one that has counted nothing."""
        if accelerator.num_processes == 1:
            return self
        total = RunningMeans(torch.device("cpu"))
        for sums in gather_object([{name: value.cpu() for name, value in self._sums.items()}]):
            total.merge(sums)
        return total

    def reset(self) -> None:
        """Begin anew."""
        self._sums = {}

    def state_dict(self) -> dict[str, Tensor]:
        """The sums so far."""
        return dict(self._sums)

    def merge(self, sums: Mapping[str, Tensor]) -> None:
        """Add saved sums, or those of another process."""
        for name, value in sums.items():
            self._count(name, value.to(self._device))

    def _count(self, name: str, value: Float[Tensor, " 2"]) -> None:
        value = value.to(self._dtype)
        self._sums[name] = self._sums[name] + value if name in self._sums else value


class MetricsFile:
    """metrics.jsonl: one JSON object a line, in the order of the updates."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unwritten: list[Mapping[str, int | float]] = []

    def append(self, row: Mapping[str, int | float]) -> None:
        """Add one line, and those that a full disk has refused before.

        Raises:
            OSError: The disk is full, or the file cannot be written; the next call tries again.
        """
        self._unwritten.append(row)
        size = self._path.stat().st_size if self._path.exists() else 0
        try:
            with self._path.open("ab") as file:
                file.write(b"".join(json.dumps(row).encode() + b"\n" for row in self._unwritten))
        except OSError:
            if self._path.exists():
                os.truncate(self._path, size)  # nothing torn, nothing twice
            raise
        self._unwritten = []

    def rows(self) -> list[Row]:
        """All complete lines; one that a kill cut short is left out."""
        if not self._path.exists():
            return []
        rows = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return rows

    def keep_until(self, update: int) -> None:
        """Remove the lines after an update, and what a kill left of a line: that part is done again."""
        kept = [row for row in self.rows() if row["update"] <= update]
        with atomic_write(self._path) as file:
            file.writelines(json.dumps(row).encode() + b"\n" for row in kept)


def average_precisions(
    targets: Float[np.ndarray, "clips classes"],
    scores: Float[np.ndarray, "clips classes"],
) -> Float[np.ndarray, " classes"]:
    """Average precision of each class: the area under its precision-recall steps, ties counted together.

    The same numbers as scikit-learn's, without its checks of every class: an interval asks a thousand times.

    Args:
        targets: 1 where the class is present, NaN where that is not known: the clip is left out for it.
        scores: Higher means more likely present.

    Returns:
        One value per class; NaN for a class that is never present, for it has no recall. (Some versions of
        scikit-learn say 0 there, which would pull the mean down by a class that cannot be found.)
    """
    is_known = np.isfinite(targets)
    return np.array(
        [
            _average_precision(targets[is_known[:, c], c] > 0.5, scores[is_known[:, c], c])
            for c in range(targets.shape[1])
        ]
    )


def accuracy(
    targets: Float[np.ndarray, "clips classes"], scores: Float[np.ndarray, "clips classes"]
) -> float:
    """Share of the clips whose highest score is one of their labels; what is not known (NaN) is left out."""
    hits = targets[np.arange(len(targets)), scores.argmax(axis=1)]
    return float(np.nanmean(hits)) if np.isfinite(hits).any() else float("nan")


def classification_scores(
    targets: Float[np.ndarray, "clips classes"], scores: Float[np.ndarray, "clips classes"]
) -> Row:
    """Mean average precision over the classes that are present, and accuracy."""
    precisions = average_precisions(targets, scores)
    mean = float(np.nanmean(precisions)) if np.isfinite(precisions).any() else 0.0
    return {"mean_average_precision": mean, "accuracy": accuracy(targets, scores)}


def bootstrap_interval(
    score: Callable[[Int[np.ndarray, " drawn"]], float],
    groups: Int[np.ndarray, " clips"],
    *,
    num_draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Between which values a score lies when other recordings of the same kind had been tested.

    Whole groups are drawn, with replacement: clips of one recording are not independent witnesses.

    Args:
        score: Computes the score of the clips at the given positions (a position may occur several times).
        groups: The group of each clip.
        num_draws: How many test sets to draw.
        confidence: Share of the drawn test sets whose score lies inside.
        seed: Seed of the draws.

    Returns:
        The two values; NaN where no draw has a score.
    """
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = (generator.integers(len(members), size=len(members)) for _ in range(num_draws))
    scores = [score(np.concatenate([members[g] for g in chosen])) for chosen in drawn]
    if not np.isfinite(scores).any():
        return float("nan"), float("nan")
    low, high = np.nanquantile(scores, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _average_precision(is_present: Bool[np.ndarray, " clips"], scores: Float[np.ndarray, " clips"]) -> float:
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(is_present[order])
    if not is_present.any():
        return float("nan")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # the last clip of each score
    hits = hits[ends]
    return float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / hits[-1])


def read_metrics(folder: Path) -> list[Row]:
    """The rows of a run folder's metrics.jsonl."""
    return MetricsFile(folder / "metrics.jsonl").rows()
