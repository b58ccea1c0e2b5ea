"""Codebook: unit vectors that stand for kinds of patches; a patch's token is the number of the nearest.

The vector quantiser of BEATs' self-distilled tokenizer (Chen et al., "BEATs: Audio Pre-Training with Acoustic
Tokenizers", ICML 2023, section 3.2.2). Its vectors follow the patches by a moving average, not by gradients.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field
from torch import Tensor, nn

KMEANS_ITERATIONS = 10
_ROWS_AT_A_TIME = 8192  # of k-means: bounds the table of distances


class CodebookConfig(BaseModel, frozen=True, extra="forbid"):
    """Size of a codebook and how slowly it moves; the defaults are those of BEATs."""

    num_codes: int = Field(default=1024, ge=2)
    dim: int = Field(default=256, ge=1)
    decay: float = Field(default=0.99, ge=0, lt=1)  # of vectors and usage, at each update


class Codebook(nn.Module):
    """Unit vectors in float32, whatever the precision around them.

    Nothing changes by looking up. Whoever trains gathers `statistics` over the rows of an update and hands
    their sums to `move`: so any split of these rows over micro-batches or processes moves it alike.
    """

    vectors: Float[Tensor, "codes dim"]
    usage: Float[Tensor, " codes"]
    is_started: Float[Tensor, " 1"]

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        # Buffers, because an optimizer that keeps its own float32 copies of parameters would undo each move.
        directions = F.normalize(torch.randn(config.num_codes, config.dim), dim=-1)
        self.register_buffer("vectors", directions)
        self.register_buffer("usage", torch.zeros(config.num_codes))  # moving average of patches per update
        self.register_buffer("is_started", torch.zeros(1))  # 1 once the vectors come from data

    def nearest(self, patches: Float[Tensor, "*rows dim"]) -> Int[Tensor, "*rows"]:
        """The code nearest to each patch; the patches need not have unit length."""
        return nearest(unit(patches), self.vectors)

    def quantise(
        self, patches: Float[Tensor, "*rows dim"]
    ) -> tuple[Float[Tensor, "*rows dim"], Int[Tensor, "*rows"], Float[Tensor, "*rows"]]:
        """Each patch's code vector, its number, and the mean squared distance of the unit patch to it.

        Gradients pass through the vector as if it were the unit patch (straight-through), and pull the patch
        towards its code through the distance, the commitment loss.
        """
        with torch.autocast(patches.device.type, enabled=False):
            directions = unit(patches)
            ids = nearest(directions.detach(), self.vectors)
            chosen = self.vectors[ids]
            distances = (chosen - directions).square().mean(dim=-1)
            return directions + (chosen - directions).detach(), ids, distances

    @torch.no_grad()
    def statistics(
        self,
        patches: Float[Tensor, "*rows dim"],
        ids: Int[Tensor, "*rows"],
        is_padding: Bool[Tensor, "*rows"] | None = None,
    ) -> tuple[Float[Tensor, " codes"], Float[Tensor, "codes dim"]]:
        """How many patches chose each code, and the sum of their unit vectors; padding does not count."""
        directions, flat = unit(patches).flatten(0, -2), ids.flatten()
        counts_as = directions.new_ones(len(flat))
        if is_padding is not None:
            counts_as = (~is_padding).flatten().to(directions.dtype)
            directions = directions.masked_fill(is_padding.flatten()[:, None], 0.0)
        return _sums_by_code(directions, counts_as, flat, self.config.num_codes)

    @torch.no_grad()
    def move(self, counts: Float[Tensor, " codes"], sums: Float[Tensor, "codes dim"]) -> None:
        """Move each code towards the mean direction of the patches that chose it; the others stay.

        Sums that are not finite, of an update that went wrong, move nothing.
        """
        decay, is_sound = self.config.decay, sums.isfinite().all()
        means = F.normalize(sums / counts.clamp(min=1)[:, None], dim=-1)
        targets = torch.where((counts > 0)[:, None], means, self.vectors)
        moved = F.normalize(decay * self.vectors + (1 - decay) * targets, dim=-1)
        self.vectors.copy_(torch.where(is_sound, moved, self.vectors))
        self.usage.copy_(torch.where(is_sound, decay * self.usage + (1 - decay) * counts, self.usage))

    @torch.no_grad()
    def start(self, patches: Float[Tensor, "rows dim"], seed: int) -> None:
        """Begin with the cluster means of some patches (cosine k-means) instead of random directions.

        Raises:
            ValueError: There is no patch.
        """
        if not len(patches):
            raise ValueError("a codebook cannot start from no patch at all")
        directions, num_codes = unit(patches), self.config.num_codes
        generator = torch.Generator().manual_seed(seed)
        if len(directions) >= num_codes:
            chosen = torch.randperm(len(directions), generator=generator)[:num_codes]
        else:
            chosen = torch.randint(len(directions), (num_codes,), generator=generator)
        means, _ = cosine_kmeans(directions, directions[chosen.to(directions.device)])
        self.vectors.copy_(means)
        self.is_started.fill_(1.0)


def projection_to_codes(encoder_dim: int, config: CodebookConfig) -> nn.Sequential:
    """What leads from an encoder's features to the space of the codes."""
    return nn.Sequential(nn.Linear(encoder_dim, encoder_dim), nn.Tanh(), nn.Linear(encoder_dim, config.dim))


@torch.no_grad()
def cosine_kmeans(
    samples: Float[Tensor, "rows dim"],
    start: Float[Tensor, "codes dim"],
    num_iterations: int = KMEANS_ITERATIONS,
) -> tuple[Float[Tensor, "codes dim"], Float[Tensor, " codes"]]:
    """Mean directions of clusters of unit vectors, and how many samples the last assignment gave to each.

    A cluster that nothing is nearest to keeps its mean.
    """
    means, counts = start, torch.zeros_like(start[:, 0])
    for _ in range(num_iterations):
        counts, sums = torch.zeros_like(counts), torch.zeros_like(means)
        for rows in torch.split(samples, _ROWS_AT_A_TIME):
            ids = nearest(rows, means)
            some_counts, some_sums = _sums_by_code(rows, torch.ones_like(rows[:, 0]), ids, len(means))
            counts, sums = counts + some_counts, sums + some_sums
        updated = F.normalize(sums / counts.clamp(min=1)[:, None], dim=-1)
        means = torch.where((counts > 0)[:, None], updated, means)
    return means, counts


@torch.no_grad()
def nearest(points: Float[Tensor, "*rows dim"], codes: Float[Tensor, "codes dim"]) -> Int[Tensor, "*rows"]:
    """The code nearest to each point: smallest ||x||^2 + ||c||^2 - 2 x.c, where ||x||^2 changes nothing."""
    with torch.autocast(points.device.type, enabled=False):
        products = points.float().flatten(0, -2) @ codes.T
        distances = codes.square().sum(dim=-1) - 2 * products
        return distances.argmin(dim=-1).view(points.shape[:-1])


def unit(vectors: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    """The vectors in float32, scaled to length 1."""
    return F.normalize(vectors.float(), dim=-1)


def _sums_by_code(
    directions: Float[Tensor, "rows dim"],
    counts_as: Float[Tensor, " rows"],
    ids: Int[Tensor, " rows"],
    num_codes: int,
) -> tuple[Float[Tensor, " codes"], Float[Tensor, "codes dim"]]:
    counts = directions.new_zeros(num_codes).index_add_(0, ids, counts_as)
    sums = directions.new_zeros(num_codes, directions.shape[1]).index_add_(0, ids, directions)
    return counts, sums
