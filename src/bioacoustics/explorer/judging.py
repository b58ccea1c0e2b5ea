"""Judging: how good probabilities are, how to calibrate them, and from where on to believe them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

MIN_TO_CALIBRATE = 4  # judged windows of either kind
_Z = 1.96  # 95 % of a normal distribution

Scores = Float[np.ndarray, " windows"]
Truth = Bool[np.ndarray, " windows"]


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """From where on a label counts as present.

    Attributes:
        value: The probability; 1 if nothing can be said.
        precision: The share that is right among the judged windows above it.
        lowest_precision: The precision could also be as low as this (95 %, Wilson 1927).
        recall: The share of the present that lies above it.
        is_reached: Whether the precision that was asked for is reached; else this is the best there is.
    """

    value: float
    precision: float
    lowest_precision: float
    recall: float
    is_reached: bool


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How good a label is on held-out recordings; NaN where too little was labelled to tell.

    Attributes:
        label: Which.
        num_present: Judged windows where it is.
        num_absent: Judged windows where it is not.
        precision: At the threshold.
        recall: At the threshold.
        average_precision: Over all thresholds.
    """

    label: str
    num_present: int
    num_absent: int
    precision: float
    recall: float
    average_precision: float


def scale_of(logits: Scores, is_present: Truth) -> tuple[float, float]:
    """Scale and shift that turn held-out logits into probabilities (Platt 1999, with his softened targets).

    1 and 0 where there are fewer than `MIN_TO_CALIBRATE` of either kind. The order of windows never changes.
    """
    known = np.isfinite(logits)
    x, y = logits[known].astype(np.float64), is_present[known]
    if min(y.sum(), (~y).sum()) < MIN_TO_CALIBRATE or np.ptp(x) == 0:
        return 1.0, 0.0
    import scipy.optimize

    wanted = np.where(y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2))

    def loss(parameters: Float[np.ndarray, " 2"]) -> float:
        z = np.exp(parameters[0]) * x + parameters[1]
        return float((np.logaddexp(0, z) - wanted * z).sum())

    found = scipy.optimize.minimize(loss, np.array([-np.log(x.std()), 0.0]), method="Nelder-Mead")
    return float(np.exp(found.x[0])), float(found.x[1])


def threshold_for(probabilities: Scores, is_present: Truth, precision: float) -> Threshold:
    """The lowest probability above which at least the share `precision` of the judged windows is right."""
    known = np.isfinite(probabilities)
    p, y = probabilities[known], is_present[known]
    if not y.any():
        nothing = float("nan")
        return Threshold(
            value=1.0, precision=nothing, lowest_precision=nothing, recall=nothing, is_reached=False
        )
    order = np.argsort(-p, kind="stable")
    hits = np.cumsum(y[order])
    counts = np.arange(1, len(p) + 1)
    ends = np.append(np.flatnonzero(np.diff(p[order])), len(p) - 1)  # the last window of each probability
    precisions = hits[ends] / counts[ends]
    fits = np.flatnonzero(precisions >= precision)
    best = int(fits[-1]) if len(fits) else int(np.flatnonzero(precisions == precisions.max())[-1])
    end = ends[best]
    below = p[order][end + 1] if end + 1 < len(p) else 0.0
    return Threshold(
        value=float((p[order][end] + below) / 2),
        precision=float(precisions[best]),
        lowest_precision=wilson_low(int(hits[end]), int(counts[end])),
        recall=float(hits[end] / y.sum()),
        is_reached=bool(len(fits)),
    )


def judged(label: str, probabilities: Scores, is_present: Truth, threshold: float) -> Judgement:
    """Precision and recall at a threshold, and average precision."""
    known = np.isfinite(probabilities)
    p, y = probabilities[known], is_present[known]
    above = p >= threshold
    nothing = float("nan")
    average = nothing
    if y.any() and not y.all():
        from sklearn.metrics import average_precision_score

        average = float(average_precision_score(y, p))
    return Judgement(
        label=label,
        num_present=int(y.sum()),
        num_absent=int((~y).sum()),
        precision=float(y[above].mean()) if above.any() else nothing,
        recall=float(above[y].mean()) if y.any() else nothing,
        average_precision=average,
    )


def wilson_low(hits: int, count: int) -> float:
    """The lower end of the 95 % interval of a share (Wilson 1927, score interval)."""
    share = hits / count
    centre = share + _Z**2 / (2 * count)
    spread = _Z * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return float(max(0.0, (centre - spread) / (1 + _Z**2 / count)))
