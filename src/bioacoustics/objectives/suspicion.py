"""Suspicion: which clips of `negative/` sound so much like the positives that they may hold the target."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bioacoustics.objectives.memory_bank import NO_CLASS, Keys

NUM_NEAREST = 5  # positives that make a negative suspicious


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """Items of `negative/` from the most to the least similar to the positives, each once."""

    items: Int[Tensor, " negatives"]
    similarities: Float[Tensor, " negatives"]  # mean over the nearest positives
    nearest_items: Int[Tensor, " negatives"]  # the most similar positive


@torch.no_grad()
def suspicion_of(keys: Keys) -> Suspicion:
    """Compare every negative, a clip without class, with all positives; `keys` are of unit length.

    Raises:
        ValueError: No positive is among them, so that there is nothing to be similar to.
    """
    is_negative = keys.classes == NO_CLASS
    positives, negatives = (keys.at(side.nonzero()[:, 0]) for side in (~is_negative, is_negative))
    if len(positives) == 0:
        raise ValueError("none of the positive clips could be heard, so no negative resembles them")
    top = (negatives.features @ positives.features.T).topk(min(NUM_NEAREST, len(positives)), dim=1)
    means = top.values.mean(dim=1)
    order = means.argsort(descending=True, stable=True)
    nearest = positives.items[top.indices[:, 0]]
    return Suspicion(items=negatives.items[order], similarities=means[order], nearest_items=nearest[order])
