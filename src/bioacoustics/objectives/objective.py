"""Objective: what training minimises, and the one contract the training loop knows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor, nn

from bioacoustics.data.batches import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What one micro-batch costs.

    The loop minimises `sum(total * weight) / sum(weight)` over the micro-batches and processes of an update,
    so any split of the same rows gives the same gradient.

    Attributes:
        total: Mean loss of this micro-batch, to be differentiated.
        weight: How much this micro-batch counts, in the objective's unit (clips, positive labels).
        terms: Detached scalars for the logs, each averaged with the same weight.
        term_weights: How much some of the terms count instead, where they are of a part of the rows.
    """

    total: Float[Tensor, ""]
    weight: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    term_weights: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)


class Objective(nn.Module, ABC):
    """A trainable module that turns a batch into losses."""

    @abstractmethod
    def forward(self, batch: Batch) -> Losses:
        """Compute the losses of one micro-batch that lies on this module's device."""

    def after_step(self, num_updates: int) -> None:
        """Do what has to follow every optimizer step; by default nothing.

        Args:
            num_updates: Optimizer steps done so far, this one included.
        """
