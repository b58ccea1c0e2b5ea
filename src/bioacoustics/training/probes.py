"""Probes: how much frozen features know of the labels, always judged on recordings that a probe never saw.

A probe is a small classifier on features that stay as they are. Clips are divided into folds by recording;
each fold is predicted by a probe that was fitted on the others. Retrieval needs no fitting: it asks whether
the neighbours of a clip, those of its own recording left out, have its label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bioacoustics.data.splits import grouped_folds
from bioacoustics.training.metrics import average_precisions, bootstrap_interval

NUM_FOLDS = 5
NUM_NEIGHBOURS = 10
TEMPERATURE = 0.07  # of the neighbours' votes, as in the evaluation of DINO (Caron et al. 2021, appendix F.1)
NUM_INNER_FOLDS = 3
SMALLEST_STD = 1e-6  # of a feature that says something

Probe = Literal["nearest", "linear", "attentive", "retrieval", "neighbours"]
Measure = Literal["accuracy", "mean_average_precision", "consistency"]
Features = Float[np.ndarray, "clips dim"]
Targets = Float[np.ndarray, "clips classes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbeTask:
    """What is asked of features: the labels of clips, and which clips belong together.

    Attributes:
        targets: 1 where the clip has the label.
        groups: The recording of every clip, as a number.
        folds: The fold of every clip; no recording is in two of them.
        multi_label: Whether a clip may have several labels; otherwise it has exactly one.
    """

    targets: Targets
    groups: Int[np.ndarray, " clips"]
    folds: Int[np.ndarray, " clips"]
    multi_label: bool

    def __post_init__(self) -> None:
        if self.targets.shape[1] < 2 and not self.multi_label:
            raise ValueError("all clips have the same label, so there is nothing to tell it from")
        if not self.multi_label and not (self.targets.sum(axis=1) == 1).all():
            raise ValueError("some clips have no label or several, but the task says one label a clip")
        if len(np.unique(self.folds)) < 2:
            raise ValueError("a probe is fitted on some folds and judged on another: give two or more")
        for group in np.unique(self.groups):
            folds = np.unique(self.folds[self.groups == group])
            if len(folds) > 1:
                raise ValueError(
                    f"clips of one recording (group {group}) are in the folds {folds.tolist()}: the probe "
                    "would be judged on a recording that it knows; put them into one fold"
                )

    @classmethod
    def of(
        cls,
        targets: Targets,
        groups: Sequence[str],
        *,
        multi_label: bool,
        num_folds: int = NUM_FOLDS,
        seed: int = 0,
    ) -> "ProbeTask":
        """A task with folds made here, by recording and with every class spread as evenly as it goes.

        Raises:
            ValueError: There are fewer than two recordings, or the targets do not fit the task.
        """
        numbers = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
        num_folds = min(num_folds, int(numbers.max(initial=-1)) + 1)
        if num_folds < 2:
            raise ValueError(
                "all labelled clips belong to one recording, so none can judge what another taught"
            )
        folds = grouped_folds(groups, targets, num_folds=num_folds, seed=seed)
        return cls(targets=targets, groups=numbers, folds=folds, multi_label=multi_label)

    @property
    def measure(self) -> Measure:
        """What probes are judged by."""
        return "mean_average_precision" if self.multi_label else "accuracy"

    @property
    def sides(self) -> list[tuple[Int[np.ndarray, " fitted"], Int[np.ndarray, " judged"]]]:
        """Which clips fit and which are judged, fold by fold."""
        folds = np.unique(self.folds)
        return [(np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)) for fold in folds]

    def result(self, probe: Probe, predictions: Targets) -> "ProbeResult":
        """The result of a probe with these out-of-fold predictions."""
        per_clip = None
        if not self.multi_label:
            right = self.targets[np.arange(len(predictions)), predictions.argmax(axis=1)]
            per_clip = right.astype(np.float64)
        return ProbeResult(
            probe=probe,
            measure=self.measure,
            targets=self.targets,
            groups=self.groups,
            predictions=predictions,
            per_clip=per_clip,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbeResult:
    """What a probe said of every clip, and how good that is.

    Attributes:
        probe: Which probe it was.
        measure: What `value` is; for retrieval the mean average precision over queries, not over classes.
        targets: 1 where the clip has the label.
        groups: The recording of every clip.
        predictions: Out-of-fold scores of every clip; None for retrieval.
        per_clip: What each clip adds to a score that is a mean over clips (1 or 0 for right or wrong, the
            precision of a query; NaN for a query without answers); None for mean average precision.
    """

    probe: Probe
    measure: Measure
    targets: Targets
    groups: Int[np.ndarray, " clips"]
    predictions: Targets | None
    per_clip: Float[np.ndarray, " clips"] | None

    @property
    def value(self) -> float:
        """The score over all clips; NaN if none of them can be judged."""
        return self.over(np.arange(len(self.targets)))

    def over(self, chosen: Int[np.ndarray, " drawn"]) -> float:
        """The score over the chosen clips, each as often as it is named."""
        if self.per_clip is not None:
            values = self.per_clip[chosen]
        else:
            assert self.predictions is not None
            values = average_precisions(self.targets[chosen], self.predictions[chosen])
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value and between what it lies, with 95 % confidence, when other recordings had been labelled."""

    value: float
    low: float
    high: float


def interval_of(result: ProbeResult, *, num_draws: int = 1000, seed: int = 0) -> Interval:
    """The score of a probe and its interval, by drawing recordings anew."""
    low, high = bootstrap_interval(result.over, result.groups, num_draws=num_draws, seed=seed)
    return Interval(value=result.value, low=low, high=high)


def difference_of(
    before: Sequence[ProbeResult], after: Sequence[ProbeResult], *, num_draws: int = 1000, seed: int = 0
) -> Interval:
    """By how much the mean score of `after` exceeds that of `before`, on the same clips and the same draws.

    Two feature sets find the same clips hard, so the difference is known far better than either score: each
    draw of recordings scores both. What is not in the interval: another seed of the training.
    """
    pairs = list(zip(before, after, strict=True))
    assert pairs, "there is something to compare"
    for one, other in pairs:
        if not np.array_equal(one.groups, other.groups) or not np.array_equal(one.targets, other.targets):
            raise ValueError("two results can only be compared on the same clips in the same order")

    def difference(chosen: Int[np.ndarray, " drawn"]) -> float:
        return float(np.mean([other.over(chosen) - one.over(chosen) for one, other in pairs]))

    groups = pairs[0][0].groups
    low, high = bootstrap_interval(difference, groups, num_draws=num_draws, seed=seed)
    return Interval(value=difference(np.arange(len(groups))), low=low, high=high)


def nearest_probe(
    features: Features, task: ProbeTask, *, num_neighbours: int = NUM_NEIGHBOURS
) -> ProbeResult:
    """Vote of the nearest neighbours by the cosine of standardised features.

    A neighbour votes for its labels with weight exp(cosine / 0.07); the votes of the `num_neighbours` nearest
    clips of the other folds are added and divided by their sum.
    """
    predictions = np.zeros(task.targets.shape)
    for fitted, judged in task.sides:
        known, asked = (_unit_rows(rows) for rows in standardised(features[fitted], features[judged]))
        cosines = asked @ known.T
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :num_neighbours]
        votes = np.exp((np.take_along_axis(cosines, nearest, axis=1) - 1) / TEMPERATURE)
        votes /= votes.sum(axis=1, keepdims=True)
        predictions[judged] = np.einsum("ak,akc->ac", votes, task.targets[fitted][nearest])
    return task.result("nearest", predictions)


def retrieval(features: Features, task: ProbeTask) -> ProbeResult:
    """Mean average precision of neighbours that share a label, clips of the same recording never counted.

    Each clip asks once: the clips of all other recordings are ranked by the cosine of standardised features,
    and those with a label in common are the answers. Clips without an answer anywhere do not count.
    """
    unit = _unit_rows(standardised(features, features)[0])
    precisions = np.full(len(unit), np.nan)
    for query in range(len(unit)):
        others = np.flatnonzero(task.groups != task.groups[query])
        is_answer = task.targets[others] @ task.targets[query] > 0
        if is_answer.any():
            cosines = unit[others] @ unit[query]
            precisions[query] = average_precisions(is_answer[:, None].astype(np.float64), cosines[:, None])[0]
    return ProbeResult(
        probe="retrieval",
        measure="mean_average_precision",
        targets=task.targets,
        groups=task.groups,
        predictions=None,
        per_clip=precisions,
    )


def neighbour_consistency(
    features: Features, recordings: Int[np.ndarray, " clips"], positions: Int[np.ndarray, " clips"]
) -> ProbeResult:
    """How often a window is nearer to the window beside it in time than to others of the same recording.

    The recorder, the place and the noise are those of the whole recording, so they favour no window of it:
    half of the comparisons are won by chance. What is won beyond that is sound that lasts longer than a
    window, which is often a calling animal, and sometimes a passing car. It is weaker evidence than labels.

    Args:
        features: One row for each window; windows of one recording do not overlap.
        recordings: The recording of every window.
        positions: Its number within the recording; windows with successive numbers touch.
    """
    unit = _unit_rows(standardised(features, features)[0])
    shares = np.full(len(unit), np.nan)
    for window in range(len(unit)):
        others = np.flatnonzero(recordings == recordings[window])
        distances = np.abs(positions[others] - positions[window])
        cosines = unit[others] @ unit[window]
        near, far = cosines[distances == 1], cosines[distances > 1]
        if len(near) and len(far):
            gaps = near[:, None] - far[None]
            shares[window] = (gaps > 0).mean() + 0.5 * (gaps == 0).mean()
    return ProbeResult(
        probe="neighbours",
        measure="consistency",
        targets=np.zeros((len(unit), 0)),
        groups=recordings,
        predictions=None,
        per_clip=shares,
    )


def effective_rank(features: Features) -> float:
    """How many directions features use: exp of the entropy of their singular values (Roy & Vetterli 2007).

    It is 1 when all clips differ along one line, and 0 when they do not differ at all: collapse.
    """
    values = np.linalg.svd(features - features.mean(axis=0), compute_uv=False).astype(np.float64)
    if values.sum() < SMALLEST_STD:
        return 0.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def inner_folds(task: ProbeTask, fitted: Int[np.ndarray, " fitted"], seed: int) -> Int[np.ndarray, " fitted"]:
    """Folds of the fitted clips, by recording; all in fold 0 when they are of one recording."""
    return folds_to_choose_by(task.targets[fitted], task.groups[fitted], seed)


def folds_to_choose_by(
    targets: Targets, groups: Int[np.ndarray, " clips"], seed: int
) -> Int[np.ndarray, " clips"]:
    """A few folds, divided by recording, on which settings are chosen; all 0 when there is one recording."""
    names = [str(group) for group in groups]
    num_folds = min(NUM_INNER_FOLDS, len(set(names)))
    if num_folds < 2:
        return np.zeros(len(names), dtype=np.int64)
    return grouped_folds(names, targets, num_folds=num_folds, seed=seed)


def standardised(
    fitted: Float[np.ndarray, "fitted dim"], judged: Float[np.ndarray, "judged dim"]
) -> tuple[Float[np.ndarray, "fitted dim"], Float[np.ndarray, "judged dim"]]:
    """Both with mean 0 and deviation 1 as measured on the fitted; what does not vary there becomes 0."""
    fitted, judged = fitted.astype(np.float64), judged.astype(np.float64)
    mean, std = fitted.mean(axis=0), fitted.std(axis=0)
    scale = np.where(std > SMALLEST_STD, 1 / np.maximum(std, SMALLEST_STD), 0.0)
    return (fitted - mean) * scale, (judged - mean) * scale


def mel_statistics(log_mel: Float[Tensor, "batch frames mels"]) -> Float[Tensor, "batch values"]:
    """Mean, deviation, 95th percentile and deviation of the frame-to-frame change of every mel band.

    Four numbers a band and nothing learnt: what every trained encoder has to beat. Frames of padding must not
    be among them.
    """
    deltas = torch.diff(log_mel, dim=1) if log_mel.shape[1] > 1 else torch.zeros_like(log_mel)
    high = torch.quantile(log_mel, 0.95, dim=1)
    spreads = (log_mel.std(dim=1, correction=0), high, deltas.std(dim=1, correction=0))
    return torch.cat([log_mel.mean(dim=1), *spreads], dim=1)


def _unit_rows(rows: Features) -> Features:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
