"""Linear: logistic regression on frozen features, its penalty chosen without a look at who is judged."""

from dataclasses import dataclass

import numpy as np
import scipy.special
from jaxtyping import Bool, Float, Int

from bioacoustics.training.probes import (
    Features,
    ProbeResult,
    ProbeTask,
    Targets,
    folds_to_choose_by,
    standardised,
)

PENALTIES = (1e-2, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)  # of the linear probe, from stiff to supple


def linear_probe(features: Features, task: ProbeTask, *, seed: int = 0) -> ProbeResult:
    """Logistic regression on standardised features: softmax for one label a clip, sigmoids for several.

    The penalty is the one of `PENALTIES` with the least log loss on inner folds, again divided by recording
    and made of fitted clips alone.
    """
    predictions = np.zeros(task.targets.shape)
    for fitted, judged in task.sides:
        rows, asked = standardised(features[fitted], features[judged])
        directions = _directions(rows)
        rows, asked = rows @ directions, asked @ directions
        folds = folds_to_choose_by(task.targets[fitted], task.groups[fitted], seed)
        penalty = _chosen_penalty(rows, task.targets[fitted], folds, task.multi_label)
        fit = _Linear.fit(rows, task.targets[fitted], penalty, task.multi_label)
        predictions[judged] = fit.probabilities(asked)
    return task.result("linear", predictions)


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearLayer:
    """A layer whose logits are features @ weights + bias."""

    weights: Float[np.ndarray, "dim classes"]
    bias: Float[np.ndarray, " classes"]


def fitted_layer(
    features: Features,
    targets: Targets,
    groups: Int[np.ndarray, " clips"],
    *,
    multi_label: bool,
    seed: int = 0,
) -> LinearLayer:
    """The linear probe that all these clips fit, as a layer.

    Features are taken as they are: give them standardised, as far as they may be blown up.
    A class that no clip has, or every one, gets the logit of its share, held within 0.1 and 99.9 %.
    """
    rows = features.astype(np.float64)
    mean = rows.mean(axis=0)
    directions = _directions(rows - mean)
    columns = (rows - mean) @ directions
    penalty = _chosen_penalty(columns, targets, folds_to_choose_by(targets, groups, seed), multi_label)
    fit = _Linear.fit(columns, targets, penalty, multi_label)
    weights = np.zeros((features.shape[1], targets.shape[1]))
    weights[:, fit.is_known] = directions @ fit.weights[:-1]
    shares = np.clip(fit.shares, 1e-3, 1 - 1e-3)
    bias = np.log(shares / (1 - shares)) if multi_label else np.log(shares)
    bias[fit.is_known] = fit.weights[-1]
    return LinearLayer(weights=weights, bias=bias - mean @ weights)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Linear:
    """A fitted logistic regression; columns of classes that the fit could not learn keep their share."""

    weights: Float[np.ndarray, "inputs known"]  # the last input is 1
    is_known: Bool[np.ndarray, " classes"]
    shares: Float[np.ndarray, " classes"]
    multi_label: bool

    @classmethod
    def fit(
        cls,
        rows: Features,
        targets: Targets,
        penalty: float,
        multi_label: bool,
        start: "_Linear | None" = None,
    ) -> "_Linear":
        """Least mean log loss + penalty / 2 * squared weights, the intercept free."""
        import scipy.optimize  # late, as it takes a while to load

        shares = targets.mean(axis=0)
        is_known = (shares > 0) & ((shares < 1) | (not multi_label))
        wanted = targets[:, is_known].astype(np.float64)
        inputs = _with_ones(rows)
        penalties = np.append(np.full(rows.shape[1], penalty), 0.0)[:, None]

        def cost(flat: Float[np.ndarray, " weights"]) -> tuple[float, Float[np.ndarray, " weights"]]:
            weights = flat.reshape(first.shape)
            logits = inputs @ weights
            if multi_label:
                sums = np.logaddexp(0, logits)
                errors = scipy.special.expit(logits) - wanted
            else:
                sums = scipy.special.logsumexp(logits, axis=1, keepdims=True)
                errors = np.exp(logits - sums) - wanted
            gradient = inputs.T @ errors / len(inputs) + penalties * weights
            loss = (sums.sum() - (wanted * logits).sum()) / len(inputs)
            return float(loss + (penalties * np.square(weights)).sum() / 2), gradient.ravel()

        first = np.zeros((inputs.shape[1], wanted.shape[1])) if start is None else start.weights
        found = scipy.optimize.minimize(
            cost,
            first.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 500, "gtol": 1e-5, "ftol": 1e-6},
        )
        weights = found.x.reshape(first.shape)
        return cls(weights=weights, is_known=is_known, shares=shares, multi_label=multi_label)

    def probabilities(self, rows: Features) -> Targets:
        """Probability of every class."""
        logits = _with_ones(rows) @ self.weights
        probabilities = np.tile(self.shares.astype(np.float64), (len(rows), 1))
        known = scipy.special.expit(logits) if self.multi_label else scipy.special.softmax(logits, axis=1)
        probabilities[:, self.is_known] = known
        return probabilities

    def log_loss(self, rows: Features, targets: Targets) -> float:
        """Summed log loss, without what the fit had no chance to know."""
        p = np.clip(self.probabilities(rows), 1e-12, 1 - 1e-12)
        if self.multi_label:
            losses = -(targets * np.log(p) + (1 - targets) * np.log1p(-p))
            return float(losses[:, self.is_known].sum())
        return float(-(targets * np.log(p))[:, self.is_known].sum())


def _chosen_penalty(
    rows: Features, targets: Targets, folds: Int[np.ndarray, " clips"], multi_label: bool
) -> float:
    """The penalty with the least loss on inner folds; from stiff to supple, until the loss rises."""
    num_inner = 1 + int(folds.max())
    if num_inner == 1:
        return PENALTIES[len(PENALTIES) // 2]  # one recording: nothing to choose by
    fits: list[_Linear | None] = [None] * num_inner
    best, least = PENALTIES[0], np.inf
    for penalty in PENALTIES:
        loss = 0.0
        for fold in range(num_inner):
            inside, outside = folds != fold, folds == fold
            fit = _Linear.fit(rows[inside], targets[inside], penalty, multi_label, fits[fold])
            loss += fit.log_loss(rows[outside], targets[outside])
            fits[fold] = fit
        if loss > least:
            break
        best, least = penalty, loss
    return best


def _directions(fitted: Float[np.ndarray, "fitted dim"]) -> Float[np.ndarray, "dim columns"]:
    """What rows are multiplied by, so that there are no more columns than fitted rows.

    A ridge penalty does not notice a rotation, and the solution lies in the span of the fitted rows. Rows are
    divided by the root of the number of features: one penalty then means the same at any number of them.
    """
    if fitted.shape[1] <= fitted.shape[0]:
        directions = np.eye(fitted.shape[1])
    else:
        directions = np.linalg.svd(fitted, full_matrices=False)[2].T
    scaled: Float[np.ndarray, "dim columns"] = directions / np.sqrt(max(1, fitted.shape[1]))
    return scaled


def _with_ones(rows: Features) -> Float[np.ndarray, "clips inputs"]:
    return np.hstack([rows, np.ones((len(rows), 1))])
