"""Relative attention: every token attends to every other, with a gated bias of their distance, as in BEATs.

The bias is that of T5 (Raffel et al. 2020, buckets of distances), the gate that of WavLM (Chen et al. 2022).
"""

import itertools
import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bioacoustics.models.attention import attend
from bioacoustics.models.linear import Linear

NUM_GATE_ADDENDS = 4  # each of the gate's two numbers is a sum of so many outputs of its linear layer
# Bytes of bias that are made at a time where no gradient is wanted: more does not stay in the cache.
BYTES_PER_PASS = 2**24


def distance_buckets(distances: Int[Tensor, "*shape"], num_buckets: int, max_distance: int) -> Tensor:
    """Bucket of each distance key - query: exact when near, logarithmic up to `max_distance`, then one.

    Half of the buckets are for keys that come later.
    """
    half = num_buckets // 2
    num_exact = half // 2
    sizes = distances.abs()
    # Clamped, because a logarithm of 0 would be turned into an integer, though it is not used.
    ratios = sizes.clamp(min=max(num_exact, 1)).float() / num_exact
    far = num_exact + (ratios.log() / math.log(max_distance / num_exact) * (half - num_exact)).long()
    buckets = torch.where(sizes < num_exact, sizes, far.clamp(max=half - 1))
    return buckets + half * (distances > 0)


class RelativeBias(nn.Module):
    """One learned number for each head and bucket of distances; all layers share it."""

    def __init__(self, num_heads: int, num_buckets: int, max_distance: int) -> None:
        super().__init__()
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.table = nn.Parameter(torch.empty(num_buckets, num_heads))
        nn.init.normal_(self.table, std=0.02)

    def forward(
        self, num_positions: int, positions: Int[Tensor, "batch tokens"] | None = None
    ) -> Float[Tensor, "rows heads queries keys"]:
        """Bias of each pair of tokens, the queries in REVERSE order; rows is 1 where all have the same.

        In that order the bias of a whole sequence is a view of one line of numbers, one for each distance:
        pair (last - q, k) lies at place q + k. So nothing of the size queries x keys is made here.

        Args:
            num_positions: how many places there are.
            positions: places of the tokens, all of them in their order by default.
        """
        distances = torch.arange(1 - num_positions, num_positions, device=self.table.device)
        by_distance = self.table[distance_buckets(distances, self.num_buckets, self.max_distance)].T
        if positions is None:
            return by_distance.unfold(1, num_positions, 1).unsqueeze(0)
        places = positions[:, None, :] - positions.flip(1)[:, :, None] + num_positions - 1
        return by_distance[:, places].transpose(0, 1)


class RelativeAttention(nn.Module):
    """Multi-head self-attention whose logits have a bias of the distance, scaled by a gate of the query."""

    def __init__(self, dim: int, num_heads: int, *, is_gated: bool, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.q_proj = Linear(dim, dim)
        self.k_proj = Linear(dim, dim)
        self.v_proj = Linear(dim, dim)
        self.out_proj = Linear(dim, dim)
        self.gate = nn.Linear(dim // num_heads, 2 * NUM_GATE_ADDENDS) if is_gated else None
        self.gate_scale = nn.Parameter(torch.ones(1, num_heads, 1, 1)) if is_gated else None

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        bias: Float[Tensor, "rows heads tokens tokens"] | None,
        is_padding: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """Every token attends to every token of its row that is no padding; `bias` is of `RelativeBias`."""
        asking = tokens if bias is None else tokens.flip(1)
        queries, keys, values = (
            projection(source).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection, source in ((self.q_proj, asking), (self.k_proj, tokens), (self.v_proj, tokens))
        )
        if bias is None or torch.is_grad_enabled():
            mask = self._mask(queries, bias, is_padding)
            dropout = self.dropout if self.training else 0.0
            mixed = attend(queries, keys, values, mask, dropout=dropout)
        else:
            mixed = self._in_parts(queries, keys, values, bias, is_padding)
        projected: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return projected if bias is None else projected.flip(1)

    def _in_parts(
        self,
        queries: Float[Tensor, "batch heads queries width"],
        keys: Float[Tensor, "batch heads keys width"],
        values: Float[Tensor, "batch heads keys width"],
        bias: Float[Tensor, "rows heads queries keys"],
        is_padding: Bool[Tensor, "batch keys"] | None,
    ) -> Float[Tensor, "batch heads queries width"]:
        """Some rows, or some queries of a row, at a time, so that their bias stays in the cache."""
        batch, num_heads, num_queries, _ = queries.shape
        num_fitting = BYTES_PER_PASS // (num_heads * bias.shape[-1] * queries.element_size())
        some_rows, some_queries = max(1, num_fitting // num_queries), max(16, num_fitting)
        bias = bias.expand(batch, -1, -1, -1)
        dropout = self.dropout if self.training else 0.0
        rows = [slice(start, start + some_rows) for start in range(0, batch, some_rows)]
        asking = [slice(start, start + some_queries) for start in range(0, num_queries, some_queries)]
        mixed = torch.empty_like(queries)
        for row, some in itertools.product(rows, asking):
            part = queries[row, :, some]
            mask = self._mask(part, bias[row, :, some], None if is_padding is None else is_padding[row])
            mixed[row, :, some] = attend(part, keys[row], values[row], mask, dropout=dropout)
        return mixed

    def _mask(
        self,
        queries: Float[Tensor, "batch heads queries width"],
        bias: Float[Tensor, "rows heads queries keys"] | None,
        is_padding: Bool[Tensor, "batch keys"] | None,
    ) -> Tensor | None:
        """What is added to the logits: the gated bias, and a very low number for padding."""
        if bias is None:
            return None if is_padding is None else ~is_padding[:, None, None, :]
        mask = bias if self.gate is None else self._gated(queries, bias)
        if is_padding is not None:
            # Not minus infinity: where a row is nothing but padding, that would give NaN.
            mask = mask.masked_fill(is_padding[:, None, None, :], torch.finfo(mask.dtype).min / 2)
        return mask.to(queries.dtype)

    def _gated(
        self,
        queries: Float[Tensor, "batch heads queries width"],
        bias: Float[Tensor, "rows heads queries keys"],
    ) -> Float[Tensor, "batch heads queries keys"]:
        gates = self.gates(queries)
        if torch.is_grad_enabled():
            return gates * bias
        # The product would be laid out like the view that the bias is, and attention would copy it.
        gated = bias.new_empty(*queries.shape[:3], bias.shape[-1])
        return torch.mul(gates, bias, out=gated)

    def gates(
        self, queries: Float[Tensor, "batch heads queries width"]
    ) -> Float[Tensor, "batch heads queries 1"]:
        """Factor of each query's bias, from 1 to about 3: a (b s - 1) + 2, with a and b of the query."""
        assert self.gate is not None
        assert self.gate_scale is not None
        of_two = (2, NUM_GATE_ADDENDS)
        weight = self.gate.weight.view(*of_two, -1).sum(dim=1)
        offset = self.gate.bias.view(of_two).sum(dim=1)
        a, b = F.linear(queries, weight, offset).sigmoid().chunk(2, dim=-1)
        factors: Tensor = a * (b * self.gate_scale - 1) + 2
        return factors
