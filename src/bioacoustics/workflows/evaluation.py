"""Evaluation: scores and events of a model against what people annotated, label by label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bioacoustics.data.events import Event
from bioacoustics.inference.event_matching import (
    EventCounts,
    by_label,
    match_by_overlap,
    match_with_collars,
)
from bioacoustics.training.metrics import average_precisions
from bioacoustics.training.thresholding import FoundThreshold, precise_threshold
from bioacoustics.workflows.assess import calibration_error

NUM_BINS = 10
MIN_GROUPS = 5  # fewer recordings say nothing about other recordings
STRETCH_S = 30.0  # then these are drawn instead
NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Windows or whole recordings with their scores and what is truly in them."""

    unit: Literal["window", "recording"]
    files: Sequence[str]
    starts_s: Float[np.ndarray, " units"]
    scores: Float[np.ndarray, "units classes"]
    targets: Float[np.ndarray, "units classes"]

    @property
    def groups(self) -> Int[np.ndarray, " units"]:
        """Which units are no independent witnesses: those of one recording, or of half a minute of it."""
        names: list[tuple[str, int]] = [(file, 0) for file in self.files]
        if len(set(self.files)) < MIN_GROUPS:
            stretches = (self.starts_s // STRETCH_S).astype(int).tolist()
            names = list(zip(self.files, stretches, strict=True))
        number_of = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return np.array([number_of[name] for name in names], dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """How well one label is recognised; NaN or None where that cannot be said."""

    label: str
    threshold: float
    num_present: int = 0  # units
    average_precision: float = NAN
    auroc: float = NAN
    precision: float = NAN
    recall: float = NAN
    f1: float = NAN
    collar: EventCounts | None = None
    overlap: EventCounts | None = None
    found: FoundThreshold | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Promises of one height: how many, what was promised on average, and how much of it came true."""

    count: int
    promised: float
    came_true: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that was found."""

    labels: tuple[str, ...]
    classes: Sequence[ClassResult]
    judged: Judged | None
    num_recordings: int
    bins: Sequence[Bin] = ()
    calibration_error: float = NAN
    confusion: Int[np.ndarray, "true named"] | None = None  # the last row and column stand for nothing
    num_mixed: int = 0  # units with several labels, which no confusion can count

    def mean(self, name: str) -> float:
        """Mean over the labels for which there is a value; of average precisions that is cmAP."""
        values = np.array([getattr(one, name) for one in self.classes], dtype=float)
        return float(np.nanmean(values)) if np.isfinite(values).any() else NAN

    def total(self, name: Literal["collar", "overlap"]) -> EventCounts | None:
        """Events of all labels together."""
        counts = [one for result in self.classes if (one := getattr(result, name)) is not None]
        return sum(counts, EventCounts()) if counts else None


def evaluated(
    labels: tuple[str, ...],
    thresholds: Mapping[str, float],
    judged: Judged | None,
    events: tuple[Sequence[Event], Sequence[Event]] | None,
    *,
    num_recordings: int,
    collar_s: float,
    precision_wanted: float,
) -> Evaluation:
    """Everything there is to say.

    Args:
        labels: of the model.
        thresholds: score from which on each label is named.
        judged: units with scores; None where only events are there.
        events: annotated and predicted; None where annotations have no times.
        num_recordings: that were judged.
        collar_s: see `match_with_collars`.
        precision_wanted: see `precise_threshold`.
    """
    sides = [by_label(side, labels) for side in events] if events else None
    classes = []
    plain = [ClassResult(label=label, threshold=thresholds[label]) for label in labels]
    for result in _scored(plain, judged, precision_wanted) if judged else plain:
        if sides is not None:
            truth, found = (side[result.label] for side in sides)
            counts = match_with_collars(truth, found, collar_s), match_by_overlap(truth, found)
            result = replace(result, collar=counts[0], overlap=counts[1])  # noqa: PLW2901 -- the same, with more
        classes.append(result)
    if judged is None:
        return Evaluation(labels=labels, classes=classes, judged=None, num_recordings=num_recordings)
    confusion, num_mixed = _confusion(judged, np.array([thresholds[label] for label in labels]))
    return Evaluation(
        labels=labels,
        classes=classes,
        judged=judged,
        num_recordings=num_recordings,
        bins=reliability(judged.targets, judged.scores),
        calibration_error=calibration_error(judged.targets, judged.scores, NUM_BINS),
        confusion=confusion,
        num_mixed=num_mixed,
    )


def _scored(plain: Sequence[ClassResult], judged: Judged, precision_wanted: float) -> list[ClassResult]:
    from sklearn.metrics import roc_auc_score  # late, as it takes a while to load

    groups, scored = judged.groups, []
    precisions = average_precisions(judged.targets, judged.scores)
    for c, (result, average_precision) in enumerate(zip(plain, precisions, strict=True)):
        is_present, scores = judged.targets[:, c] > 0.5, judged.scores[:, c]
        is_named = scores >= result.threshold
        num_named, num_present = int(is_named.sum()), int(is_present.sum())
        hits = int((is_named & is_present).sum())
        has_both = 0 < num_present < len(is_present)
        scored.append(
            replace(
                result,
                num_present=num_present,
                average_precision=float(average_precision),
                auroc=float(roc_auc_score(is_present, scores)) if has_both else NAN,
                precision=hits / num_named if num_named else NAN,
                recall=hits / num_present if num_present else NAN,
                f1=2 * hits / (num_named + num_present) if num_present else NAN,
                found=precise_threshold(is_present, scores, groups, precision_wanted),
            )
        )
    return scored


def reliability(
    targets: Float[np.ndarray, "units classes"], scores: Float[np.ndarray, "units classes"]
) -> list[Bin]:
    """Promised and true shares, over bins of promises; every score of every label is a promise."""
    bins = np.minimum((scores * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        Bin(
            count=int((bins == b).sum()),
            promised=float(scores[bins == b].mean()),
            came_true=float(targets[bins == b].mean()),
        )
        for b in np.unique(bins)
    ]


def _confusion(
    judged: Judged, thresholds: Float[np.ndarray, " classes"]
) -> tuple[Int[np.ndarray, "true named"], int]:
    """Units by their one true label, or nothing, and the highest score that reaches its threshold."""
    num_classes = len(thresholds)
    num_true = (judged.targets > 0.5).sum(axis=1)
    reached = np.where(judged.scores >= thresholds, judged.scores, -1.0)
    named = np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), num_classes)
    true = np.where(num_true == 0, num_classes, judged.targets.argmax(axis=1))
    counts = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    is_plain = num_true <= 1
    np.add.at(counts, (true[is_plain], named[is_plain]), 1)
    return counts, int((~is_plain).sum())


def window_targets(
    starts_s: Float[np.ndarray, " windows"],
    ends_s: Float[np.ndarray, " windows"],
    events: Sequence[Event],
    labels: Sequence[str],
    min_overlap: float,
) -> Float[np.ndarray, "windows classes"]:
    """1 where enough of an event lies in the window, by the rule of `import-labels`; see `label_windows`."""
    targets = np.zeros((len(starts_s), len(labels)))
    column_of = {label: column for column, label in enumerate(labels)}
    for event in events:
        if event.label not in column_of:
            continue
        # Windows are in order of time, so those that touch the event follow each other.
        near = slice(
            np.searchsorted(ends_s, event.start_s, "left"), np.searchsorted(starts_s, event.end_s, "right")
        )
        shared_s = np.minimum(ends_s[near], event.end_s) - np.maximum(starts_s[near], event.start_s)
        needed_s = min_overlap * np.minimum(event.duration_s, ends_s[near] - starts_s[near])
        is_in = (shared_s >= np.maximum(needed_s - 1e-9, 0.0)) & (
            (needed_s > 0) | (event.start_s < ends_s[near])
        )
        targets[near, column_of[event.label]] = np.maximum(
            targets[near, column_of[event.label]], is_in.astype(float)
        )
    return targets
