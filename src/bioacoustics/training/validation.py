"""Validation: how good a model is on held-out windows, the same number on any number of processes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from jaxtyping import Float, Int
from torch import Tensor

from bioacoustics.data.batches import EVALUATION_DRAWS, Batch, DataConfig
from bioacoustics.data.loading import EvaluationLoader
from bioacoustics.data.windows import Problem, Windows
from bioacoustics.objectives.objective import Objective
from bioacoustics.training.metrics import Row, RunningMeans, classification_scores


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best validation so far."""

    score: float
    update: int


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Which windows judge a run, and by which number.

    Attributes:
        windows: Held-out windows, cropped and cut the same way every time.
        score: The number whose best value makes checkpoint_best.pt: "loss" or another term of the losses;
            with `predict` also "mean_average_precision" or "accuracy".
        is_higher_better: Whether the best value is the largest.
        predict: Probabilities of a batch, for a classifier.
    """

    windows: Windows
    score: str = "loss"
    is_higher_better: bool = False
    predict: Callable[[Batch], Float[Tensor, "batch classes"]] | None = None

    def is_better(self, score: float, best: Best | None) -> bool:
        """Whether a score is better than the best so far; one that is not finite never is."""
        if best is None or not math.isfinite(score):
            return math.isfinite(score)
        return score > best.score if self.is_higher_better else score < best.score


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What validation found; the arrays are there for classifiers only.

    Attributes:
        scores: Means of the losses and their terms, and of a classifier its scores.
        indices: Which windows could be read, in order; the rows of the arrays.
        targets: What is heard in them.
        probabilities: What the classifier says.
        problems: Windows that could not be read and what else was noticed, in this process.
    """

    scores: Row
    indices: Int[np.ndarray, " windows"] | None = None
    targets: Float[np.ndarray, "windows classes"] | None = None
    probabilities: Float[np.ndarray, "windows classes"] | None = None
    problems: tuple[Problem, ...] = ()


_Rows = tuple[list[int], Float[np.ndarray, "_ classes"], Float[np.ndarray, "_ classes"]]


@torch.no_grad()
def evaluate(
    objective: Objective, validation: Validation, data: DataConfig, accelerator: Accelerator
) -> Evaluation:
    """Judge the objective's present weights; its mode (training or not) is as before afterwards.

    All processes must call it, and all get the same result.

    Raises:
        ValueError: No window could be read.
    """
    was_training = objective.training
    objective.eval()
    loader = EvaluationLoader(
        validation.windows,
        data,
        rank=accelerator.process_index,
        num_processes=accelerator.num_processes,
        device=accelerator.device,
    )
    means, rows = RunningMeans(accelerator.device), list[_Rows]()
    try:
        for batch in loader:
            means.add(objective(batch))
            if validation.predict is not None:
                rows.append(_rows(batch, validation.predict(batch)))
    finally:
        loader.close()
        objective.train(was_training)
    scores = means.over_processes(accelerator).means()
    if not scores:
        first = loader.problems[0] if loader.problems else None
        raise ValueError(
            f"None of the {len(validation.windows)} held-out windows could be read"
            + (f", e.g. {first.path}: {first.reason}" if first else "")
        )
    if validation.score not in scores and validation.predict is None:
        raise ValueError(f"there is no score {validation.score!r} to choose by, only {', '.join(scores)}")
    problems = tuple(loader.problems)
    if validation.predict is None:
        return Evaluation(scores=scores, problems=problems)
    indices, targets, probabilities = _in_order(gather_object(rows))
    scores |= classification_scores(targets, probabilities)
    return Evaluation(
        scores=scores, indices=indices, targets=targets, probabilities=probabilities, problems=problems
    )


def probabilities_of(
    logits: Float[Tensor, "batch classes"], multi_label: bool
) -> Float[Tensor, "batch classes"]:
    """Probabilities on the processor in float64, in which even a sure model's logits can be found again."""
    logits = logits.cpu().double()
    return logits.sigmoid() if multi_label else logits.softmax(dim=-1)


def _rows(batch: Batch, probabilities: Float[Tensor, "batch classes"]) -> _Rows:
    if batch.targets is None:
        raise ValueError("A classifier can only be judged on windows with targets")
    indices = (batch.draw_ids - EVALUATION_DRAWS).tolist()
    return indices, batch.targets.cpu().numpy(), probabilities.double().cpu().numpy()


def _in_order(
    rows: Sequence[_Rows],
) -> tuple[
    Int[np.ndarray, " windows"], Float[np.ndarray, "windows classes"], Float[np.ndarray, "windows classes"]
]:
    indices = np.array([index for some, _, _ in rows for index in some])
    order = np.argsort(indices)
    targets = np.concatenate([targets for _, targets, _ in rows])
    probabilities = np.concatenate([probabilities for _, _, probabilities in rows])
    return indices[order], targets[order], probabilities[order]
