"""First head: a new head that already tells the clips apart, as well as a line can, before `train` begins.

A pre-trained encoder and a random head would first spoil the one to please the other (Kumar et al. 2022), and
beside self-supervision, which holds the encoder, the head would learn for too short a time.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bioacoustics.models.heads import whitening_of
from bioacoustics.objectives.classification import Classification

MOST_CLIPS = 4000  # that are heard for it
MOST_STEPS = 200  # of the fit, which ends by itself before that


def some_of(num_clips: int, seed: int) -> list[int]:
    """The clips that are heard for it: all, or so many drawn at random."""
    return sorted(np.random.default_rng(seed).permutation(num_clips)[:MOST_CLIPS].tolist())


def begin_head(
    classification: Classification,
    views: Float[Tensor, "clips views dim"],
    targets: Float[Tensor, "clips classes"],
) -> None:
    """Let the head's norm fit these pooled features, and its last layer be a logistic regression on them.

    The penalty is half the squared weights by the number of clips, on features that are stretched as
    `whitening_of` says. Views of which a number is not finite, of clips that could not be read, do not count.
    """
    head = classification.classifier.head
    is_heard = views.isfinite().all(dim=2).all(dim=1)
    views, targets = views[is_heard], targets[is_heard]
    head.whiten(views)
    with torch.no_grad():
        seen = head.represent(views)
        stretch = whitening_of(seen)
        inputs = (seen @ stretch[0] + stretch[1]).flatten(0, 1)
    weight, bias = _fitted(
        classification, inputs, targets.repeat_interleave(views.shape[1], dim=0), len(views)
    )
    with torch.no_grad():
        head.head.weight.copy_(weight @ stretch[0].T)
        head.head.bias.copy_(bias + weight @ stretch[1])


def _fitted(
    classification: Classification,
    inputs: Float[Tensor, "rows dim"],
    targets: Float[Tensor, "rows classes"],
    num_clips: int,
) -> tuple[Float[Tensor, "classes dim"], Float[Tensor, " classes"]]:
    """Weight and bias with the least loss of the objective itself, and penalty."""
    weight = inputs.new_zeros(targets.shape[1], inputs.shape[1], requires_grad=True)
    bias = inputs.new_zeros(targets.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=MOST_STEPS, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def cost() -> Tensor:
        optimizer.zero_grad()
        losses = classification.losses_of_logits(inputs @ weight.T + bias, targets)
        total = losses.total + weight.square().sum() / (2 * num_clips)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(cost)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
