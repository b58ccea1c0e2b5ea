"""Attention: softmax(queries keys' / sqrt(width) + bias) values, by the fastest products there are here.

PyTorch's own attention multiplies by MKL, which `linear.py` tells of. Without gradients and for rows of some
hundred tokens the same by oneDNN, head by head and in the cache, was measured 1.5 times faster.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bioacoustics.models.linear import product, suits_onednn


def attend(
    queries: Float[Tensor, "batch heads queries width"],
    keys: Float[Tensor, "batch heads keys width"],
    values: Float[Tensor, "batch heads keys width"],
    bias: Tensor | None = None,
    *,
    dropout: float = 0.0,
) -> Float[Tensor, "batch heads queries width"]:
    """Mix the values for each query.

    Args:
        queries: What asks, in any layout of memory, like keys and values.
        keys: What is asked.
        values: What is answered.
        bias: Numbers that are added to the logits, or a mask of the keys that count; of a shape that expands
            to (batch, heads, queries, keys).
        dropout: Share of the weights that is left out.
    """
    is_mask = bias is not None and bias.dtype == torch.bool
    if torch.is_grad_enabled() or dropout > 0 or is_mask or not suits_onednn(queries[0, 0], keys[0, 0]):
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, dropout_p=dropout)
    batch, num_heads, num_queries, width = queries.shape
    # As the layer that follows wants it: the heads of a token side by side.
    mixed = queries.new_empty(batch, num_queries, num_heads, width).transpose(1, 2)
    if bias is not None:
        bias = bias.expand(batch, num_heads, num_queries, keys.shape[2])
    for row in range(batch):
        for head in range(num_heads):
            place = row, head
            asked = product(
                queries[place] * width**-0.5,
                keys[place].contiguous(),
                plus=None if bias is None else bias[place].contiguous(),
            )
            mixed[place] = product(asked.softmax(dim=1), values[place].t().contiguous())
    return mixed
