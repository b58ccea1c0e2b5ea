"""Code usage: which tokens occurred in the last updates, the same numbers however the rows are shared out."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bioacoustics.objectives.processes import summed

DECAY = 0.98  # remembers about the last 50 updates
RARE = 1e-3  # a code counts as used while it has so many patches left in the moving sum


class CodeUsage(nn.Module):
    """A moving histogram of tokens; it moves once an update, and is saved with the run.

    What it says during an update is the state before it, so that all micro-batches and processes agree.
    """

    counts: Float[Tensor, " codes"]
    new_counts: Float[Tensor, " codes"]

    def __init__(self, num_codes: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(num_codes))
        self.register_buffer("new_counts", torch.zeros(num_codes), persistent=False)

    @torch.no_grad()
    def add(self, ids: Int[Tensor, "batch patches"], is_padding: Bool[Tensor, "batch patches"]) -> None:
        """Note the tokens of a micro-batch; padding does not count."""
        self.new_counts.index_add_(0, ids.flatten(), (~is_padding).flatten().to(self.new_counts.dtype))

    @torch.no_grad()
    def advance(self) -> None:
        """Move the histogram by what all processes have added in this update."""
        self.counts.mul_(DECAY).add_(summed(self.new_counts))
        self.new_counts.zero_()

    def majority(self) -> Int[Tensor, ""]:
        """The commonest token."""
        return self.counts.argmax()

    def terms(self) -> dict[str, Float[Tensor, ""]]:
        """`code_usage`, the share of the codes that occur, and `code_perplexity`: as many codes, evenly used.

        Both are all codes before the first update: nothing is known against them.
        """
        num_codes = float(len(self.counts))
        total = self.counts.sum()
        shares = self.counts / total.clamp(min=1)
        perplexity = torch.special.entr(shares).sum().exp()
        used = (self.counts > RARE).float().mean()
        is_known = total > 0
        return {
            "code_usage": torch.where(is_known, used, 1.0),
            "code_perplexity": torch.where(is_known, perplexity, num_codes),
        }
