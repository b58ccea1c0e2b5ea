"""Features: what an encoder says about a batch of spectrograms."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Features:
    """What an encoder says about a batch of spectrograms.

    `patches` are ordered column by column: patch index = time column * bands + band, band 0 the lowest. One
    column spans `patch_size` frames (160 ms as published). `cls` is one vector for the whole row,
    None for encoders that have no such token. `is_padding` marks patches that stand for nothing, None where
    every patch counts.
    """

    patches: Float[Tensor, "batch patches dim"]
    cls: Float[Tensor, "batch dim"] | None
    is_padding: Bool[Tensor, "batch patches"] | None = None

    def mean(self) -> Float[Tensor, "batch dim"]:
        """Mean of the patches of each row, padding left out."""
        if self.is_padding is None:
            return self.patches.mean(dim=1)
        total = self.patches.masked_fill(self.is_padding[..., None], 0).sum(dim=1)
        return total / (~self.is_padding).sum(dim=1, keepdim=True).clamp(min=1)
