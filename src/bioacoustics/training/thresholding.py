"""Thresholding: from which score on a class is right as often as one wishes, and how sure that is."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

NUM_DRAWS = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundThreshold:
    """The lowest threshold that is precise enough, and what it gives on what it was found on."""

    threshold: float
    precision: float
    recall: float
    precision_interval: tuple[float, float]
    recall_interval: tuple[float, float]
    num_present: int


def precise_threshold(
    is_present: Bool[np.ndarray, " windows"],
    scores: Float[np.ndarray, " windows"],
    groups: Int[np.ndarray, " windows"],
    precision_wanted: float,
    *,
    seed: int = 0,
) -> FoundThreshold | None:
    """The lowest score from which on `precision_wanted` of the windows have the class; None if there is none.

    The lowest has the largest recall. The intervals say between which values precision and recall at this
    threshold lie when other recordings of the same kind had been annotated: whole groups are drawn, with
    replacement.

    Args:
        is_present: whether the window has the class.
        scores: of the class.
        groups: windows of one group are no independent witnesses.
        precision_wanted: share of the named windows that shall be right.
        seed: of the draws.
    """
    if not is_present.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(order) - 1)  # the last window of each score
    hits = np.cumsum(is_present[order])[ends]
    is_precise = hits / (ends + 1) >= precision_wanted - 1e-12
    if not is_precise.any():
        return None
    last = np.flatnonzero(is_precise)[-1]
    threshold = float(ordered[ends[last]])
    if threshold <= 0:  # everything is named, and that is precise enough
        threshold = float(np.min(scores[scores > 0], initial=1.0))
    is_named = scores >= threshold
    _, numbers = np.unique(groups, return_inverse=True)
    counts = np.stack(
        [np.bincount(numbers, weights=weights) for weights in (is_named & is_present, is_named, is_present)],
        axis=1,
    )
    rng = np.random.default_rng(seed)
    num_groups = len(counts)
    draws = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=NUM_DRAWS) @ counts
    return FoundThreshold(
        threshold=threshold,
        precision=float(is_present[is_named].mean()),
        recall=float(is_named[is_present].mean()),
        precision_interval=_interval(draws[:, 0], draws[:, 1]),
        recall_interval=_interval(draws[:, 0], draws[:, 2]),
        num_present=int(is_present.sum()),
    )


def _interval(hits: Float[np.ndarray, " draws"], of: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    """Quantiles of the quotient over the draws that have one."""
    shares = hits[of > 0] / of[of > 0]
    low, high = np.quantile(shares, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
