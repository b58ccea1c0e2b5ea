"""Teaching: a classifier from a handful of labels on vectors that stay, in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field

from bioacoustics.explorer.judging import Judgement, Threshold, judged, scale_of, threshold_for
from bioacoustics.explorer.sentences import Sentence
from bioacoustics.explorer.steps import Progress, Step, silent

NORM_EPS = 1e-6  # of the layer norm of a classification head, which has to give the same numbers
SMALLEST_STD = 1e-3  # of a channel that says nothing
MAX_STANDARD = 20_000  # windows that means and deviations are measured on
STRENGTHS = (0.1, 1.0, 10.0)  # inverse penalties, from stiff to supple
MIN_TO_CHOOSE = 10  # labelled windows of either kind; with fewer the middle strength is taken
SHARES = (0.25, 0.5, 0.75, 1.0)

Vectors = Float[np.ndarray, "windows width"]
Targets = Float[np.ndarray, "windows classes"]  # 1 present, 0 absent, NaN nobody knows


class TeachConfig(BaseModel, frozen=True, extra="forbid"):
    """How a classifier is made of labels."""

    method: Literal["linear", "prototype"] = "linear"
    strength: float | None = Field(default=None, gt=0)  # inverse penalty; None: the best of STRENGTHS
    num_presumed: int = Field(default=300, ge=0)  # windows without labels that stand for "nothing of it"
    presumed_weight: float = Field(default=0.1, gt=0, le=1)  # what one of them counts beside a labelled one
    precision: float = Field(default=0.9, gt=0, lt=1)  # that the thresholds are to keep
    seed: int = Field(default=0, ge=0, lt=2**31)


@dataclass(frozen=True, eq=False, kw_only=True)
class Taught:
    """A classifier: the probability of a label is sigmoid(weights @ layer_norm(vector) + bias).

    Attributes:
        labels: What it knows.
        weights: One row a label, with standardisation and calibration in it.
        bias: One number a label.
        thresholds: From where on a label counts as present, each with what it is worth.
        judgements: How good each label is on recordings that did not teach it.
        notes: What limits the judgement.
    """

    labels: tuple[str, ...]
    weights: Float[np.ndarray, "classes width"]
    bias: Float[np.ndarray, " classes"]
    thresholds: tuple[Threshold, ...]
    judgements: tuple[Judgement, ...]
    notes: tuple[Sentence, ...]

    def logits(self, vectors: Vectors) -> Float[np.ndarray, "windows classes"]:
        """One logit per label."""
        return layer_normed(vectors) @ self.weights.T.astype(np.float32) + self.bias.astype(np.float32)

    def probabilities(self, vectors: Vectors) -> Float[np.ndarray, "windows classes"]:
        """The probability of each label, each by itself."""
        return sigmoid(self.logits(vectors))


def teach(
    vectors: Vectors,
    labels: Sequence[str],
    targets: Targets,
    recordings: Sequence[str],
    config: TeachConfig = TeachConfig(),  # noqa: B008 -- frozen
    *,
    on_progress: Progress | None = None,
) -> Taught:
    """Fit a classifier to the labelled windows of a collection.

    Windows without labels stand for sound without any of them, with little weight, in the fit and never in
    the judgement. Labels are judged by windows of recordings that had no part in fitting; the same windows
    calibrate the probabilities (Platt scaling) and set the thresholds.

    Args:
        vectors: All windows, labelled or not.
        labels: Names of the columns of `targets`.
        targets: What is known, as `targets_of` says it.
        recordings: The recording of every window.
        config: How.
        on_progress: Is told how far it is.

    Raises:
        ValueError: Nothing is labelled as present, or there is nothing to tell a label from.
    """
    if not len(labels):
        raise ValueError("nothing is labelled as present yet: give at least one window a name")
    report = on_progress or silent
    known = np.flatnonzero(np.isfinite(targets).any(axis=1))
    presumed = _presumed(targets, config)
    rows = _Standard.of(vectors, config.seed)
    weights, bias, thresholds, judgements = [], [], [], []
    notes: list[Sentence] = []
    groups, is_grouped = _groups(known, recordings)
    if not is_grouped:
        notes.append(_ONE_RECORDING)
    for column, label in enumerate(labels):
        report(column / len(labels), Step("teaching", column + 1, len(labels)))
        mine = np.isfinite(targets[known, column])
        is_present = targets[known[mine], column] == 1
        fit = _Fit(
            rows=rows.apply(vectors[known[mine]]),
            is_present=is_present,
            groups=groups[mine],
            presumed=rows.apply(vectors[presumed]),
            config=config,
        )
        direction, offset, held_out = fit.result(label)
        scale, shift = scale_of(held_out, is_present)
        probabilities = sigmoid(scale * held_out + shift)
        thresholds.append(threshold_for(probabilities, is_present, config.precision))
        judgements.append(judged(label, probabilities, is_present, thresholds[-1].value))
        w, b = rows.folded(direction, offset)
        weights.append(scale * w)
        bias.append(scale * b + shift)
    return Taught(
        labels=tuple(labels),
        weights=np.array(weights, np.float32),
        bias=np.array(bias, np.float32),
        thresholds=tuple(thresholds),
        judgements=tuple(judgements),
        notes=tuple(notes),
    )


def growth(
    vectors: Vectors,
    labels: Sequence[str],
    targets: Targets,
    recordings: Sequence[str],
    order: Int[np.ndarray, " labelled"],
    config: TeachConfig = TeachConfig(),  # noqa: B008 -- frozen
    *,
    on_progress: Progress | None = None,
) -> pd.DataFrame:
    """How much each further quarter of the labels was worth.

    A classifier is taught by the first quarter of the labelled windows in the order they were labelled, then
    by the first half, and so on; each judges itself by held-out recordings. Columns: num_labelled, label,
    precision, recall, average_precision. Labels that are not there yet have no row.

    Args:
        vectors: All windows.
        labels: Names of the columns of `targets`.
        targets: What is known.
        recordings: The recording of every window.
        order: Positions of the labelled windows, the first labelled first.
        config: How.
        on_progress: Is told how far it is.
    """
    rows = []
    report = on_progress or silent
    for done, share in enumerate(SHARES):
        report(done / len(SHARES), Step("growing", done + 1, len(SHARES)))
        part = order[: max(1, round(share * len(order)))]
        seen = np.full_like(targets, np.nan)
        seen[part] = targets[part]
        there = [i for i in range(len(labels)) if (seen[:, i] == 1).any()]
        if there:
            taught = teach(vectors, [labels[i] for i in there], seen[:, there], recordings, config)
            rows += [
                (len(part), one.label, one.precision, one.recall, one.average_precision)
                for one in taught.judgements
            ]
    return pd.DataFrame(rows, columns=["num_labelled", "label", "precision", "recall", "average_precision"])


def layer_normed(vectors: Vectors) -> Vectors:
    """Every vector with mean 0 and deviation 1 over its own numbers, as a classification head does it."""
    rows = np.asarray(vectors, np.float32)
    centred = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + NORM_EPS))


def sigmoid(logits: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """1 / (1 + exp(-x)) without overflow."""
    import scipy.special

    return np.asarray(scipy.special.expit(logits))


@dataclass(frozen=True, eq=False)
class _Standard:
    """Layer norm, then mean 0 and one deviation for each channel, divided by the root of the width."""

    mean: Float[np.ndarray, " width"]
    scale: Float[np.ndarray, " width"]

    @classmethod
    def of(cls, vectors: Vectors, seed: int) -> "_Standard":
        chosen = np.arange(len(vectors))
        if len(chosen) > MAX_STANDARD:
            chosen = np.sort(np.random.default_rng(seed).choice(chosen, MAX_STANDARD, replace=False))
        normed = layer_normed(vectors[chosen])
        normed = normed[np.isfinite(normed).all(axis=1)]
        std = np.maximum(normed.std(axis=0), SMALLEST_STD)
        return cls(normed.mean(axis=0), 1 / (std * np.sqrt(vectors.shape[1])))

    def apply(self, vectors: Vectors) -> Vectors:
        return np.asarray((layer_normed(vectors) - self.mean) * self.scale)

    def folded(
        self, direction: Float[np.ndarray, " width"], offset: float
    ) -> tuple[Float[np.ndarray, " width"], float]:
        """The same linear function of vectors that are only layer-normed."""
        weights = direction * self.scale
        return weights, offset - float(self.mean @ weights)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Fit:
    """One label: the windows that teach it, and the same fit without the recordings that judge it."""

    rows: Float[np.ndarray, "labelled width"]
    is_present: Bool[np.ndarray, " labelled"]
    groups: Int[np.ndarray, " labelled"]
    presumed: Float[np.ndarray, "presumed width"]
    config: TeachConfig

    def result(self, label: str) -> tuple[Float[np.ndarray, " width"], float, Float[np.ndarray, " labelled"]]:
        """Direction and offset of all windows, and of each window the logit of a fit without its recording.

        NaN where such a fit had nothing to tell apart.
        """
        everything = np.ones(len(self.rows), bool)
        if self.is_present.all() and not len(self.presumed):
            raise ValueError(
                f"there is nothing to tell {label!r} from: label windows where it is not heard, "
                "or windows with other sounds"
            )
        strength = self.config.strength or self._best_strength()
        direction, offset = self._fitted(everything, strength)
        return direction, offset, self._held_out(strength)

    def _best_strength(self) -> float:
        middle = STRENGTHS[len(STRENGTHS) // 2]
        num_present = int(self.is_present.sum())
        if (
            self.config.method == "prototype"
            or min(num_present, len(self.rows) - num_present) < MIN_TO_CHOOSE
        ):
            return middle
        losses = []
        for strength in STRENGTHS:
            logits = self._held_out(strength)
            known = np.isfinite(logits)
            signed = np.where(self.is_present, -logits, logits)[known]
            losses.append(np.logaddexp(0, signed).mean() if known.any() else np.inf)
        return STRENGTHS[int(np.argmin(losses))]

    def _held_out(self, strength: float) -> Float[np.ndarray, " labelled"]:
        logits = np.full(len(self.rows), np.nan)
        for fold in np.unique(self.groups):
            asked = self.groups == fold
            inside = self.is_present[~asked]
            if inside.any() and (len(self.presumed) or not inside.all()):
                direction, offset = self._fitted(~asked, strength)
                logits[asked] = self.rows[asked] @ direction + offset
        return logits

    def _fitted(
        self, chosen: Bool[np.ndarray, " labelled"], strength: float
    ) -> tuple[Float[np.ndarray, " width"], float]:
        rows = np.vstack([self.rows[chosen], self.presumed])
        is_present = np.concatenate([self.is_present[chosen], np.zeros(len(self.presumed), bool)])
        weights = np.full(len(rows), self.config.presumed_weight)
        weights[: int(chosen.sum())] = 1.0
        for side in (is_present, ~is_present):  # both sides count the same, however few they are
            weights[side] *= len(rows) / (2 * weights[side].sum())
        if self.config.method == "prototype":
            here = np.average(rows[is_present], axis=0, weights=weights[is_present])
            there = np.average(rows[~is_present], axis=0, weights=weights[~is_present])
            direction = here - there
            direction /= max(float(np.linalg.norm(direction)), 1e-12)
            return direction, -float(direction @ (here + there)) / 2
        from sklearn.linear_model import LogisticRegression

        engine = LogisticRegression(C=strength, max_iter=1000).fit(rows, is_present, sample_weight=weights)
        return engine.coef_[0].astype(np.float64), float(engine.intercept_[0])


_ONE_RECORDING = Sentence(
    "All labels are in one recording: other parts of it judge them, which is easier than a new one.",
    "Todas las etiquetas están en una grabación: las juzgan otras partes de ella, más fácil que otra.",
)


def _groups(
    known: Int[np.ndarray, " labelled"], recordings: Sequence[str]
) -> tuple[Int[np.ndarray, " labelled"], bool]:
    """Folds of the labelled windows: five by recording; with one recording, five stretches of it."""
    numbers = np.unique(np.asarray(recordings, dtype=str)[known], return_inverse=True)[1]
    if numbers.max(initial=0) > 0:
        return numbers % 5, True
    return np.arange(len(known)) * 5 // max(len(known), 1), False


def _presumed(targets: Targets, config: TeachConfig) -> Int[np.ndarray, " presumed"]:
    unlabelled = np.flatnonzero(np.isnan(targets).all(axis=1))
    count = min(config.num_presumed, len(unlabelled))
    return np.sort(np.random.default_rng(config.seed).choice(unlabelled, count, replace=False))
