"""Distances, their buckets and biases, and attention that knows them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bioacoustics.models import relative_attention
from bioacoustics.models.relative_attention import RelativeAttention, RelativeBias, distance_buckets


@pytest.mark.parametrize(("num_buckets", "max_distance"), [(320, 800), (320, 1280), (32, 64), (16, 40)])
def test_buckets_equal_official(golden_beats: Path, num_buckets: int, max_distance: int) -> None:
    official = np.load(golden_beats / "buckets.npz")[f"bucket_{num_buckets}_{max_distance}"]
    ours = distance_buckets(torch.arange(-2200, 2201), num_buckets, max_distance)
    assert np.array_equal(ours.numpy(), official)


@torch.no_grad()
def test_first_attention_equals_official(golden_beats: Path, official_beats: Callable[..., Any]) -> None:
    arrays = np.load(golden_beats / "beats_pretrained.npz")
    encoder, _ = official_beats("beats_pretrained")
    bias = encoder.transformer.relative_bias(16)
    np.testing.assert_allclose(bias[0].flip(1), arrays["dbg_pos_bias"], atol=1e-6)
    attention = encoder.transformer.blocks[0].attn
    tokens = torch.from_numpy(arrays["dbg_encoder_in"])
    np.testing.assert_allclose(attention(tokens, bias), arrays["dbg_attn_out"], atol=1e-4)
    # Its probabilities, from a projection that shows them: values that are the identity.
    queries, keys = (
        linear(tokens).unflatten(-1, (4, -1)).transpose(1, 2)
        for linear in (attention.q_proj, attention.k_proj)
    )
    logits = queries @ keys.transpose(2, 3) / 4 + attention.gates(queries) * bias.flip(2)
    np.testing.assert_allclose(logits.softmax(dim=-1)[0], arrays["dbg_attn_probs"], atol=1e-4)


def slow_bias(bias: RelativeBias, positions: list[int]) -> Tensor:
    """Head by query by key, a pair at a time."""
    rows = [
        [
            bias.table[distance_buckets(torch.tensor([k - q]), bias.num_buckets, bias.max_distance)[0]]
            for k in positions
        ]
        for q in positions
    ]
    return torch.stack([torch.stack(row) for row in rows]).permute(2, 0, 1)


def test_bias_of_each_pair_is_that_of_its_distance() -> None:
    bias = RelativeBias(3, 8, 20)
    whole = bias(9)
    assert whole.shape == (1, 3, 9, 9)
    assert torch.equal(whole[0].flip(1), slow_bias(bias, list(range(9))))
    assert whole.untyped_storage().nbytes() == 3 * 17 * 4  # a view: a number for each distance, not each pair
    positions = torch.tensor([[3, 0, 8, 5], [1, 2, 3, 7]])
    for row, some in zip(bias(9, positions), positions.tolist(), strict=True):
        assert torch.equal(row.flip(1), slow_bias(bias, some))


def slow_attention(
    attention: RelativeAttention, tokens: Tensor, bias: Tensor | None, is_padding: Tensor | None
) -> Tensor:
    """Row by row and head by head; `bias` is head by query by key, queries in their order."""
    width = tokens.shape[-1] // attention.num_heads
    rows = []
    for i, row in enumerate(tokens):
        heads = []
        for h in range(attention.num_heads):
            part = slice(h * width, (h + 1) * width)
            queries, keys, values = (
                linear(row)[:, part] for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            logits = queries @ keys.T / width**0.5
            if bias is not None:
                gate = torch.ones(len(row), 1)
                if attention.gate is not None and attention.gate_scale is not None:
                    a, b = attention.gate(queries).view(-1, 2, 4).sum(dim=2).sigmoid().unbind(1)
                    gate = (a * (b * attention.gate_scale[0, h, 0, 0] - 1) + 2)[:, None]
                logits = logits + gate * bias[h]
            if is_padding is not None:
                logits = logits.masked_fill(is_padding[i], -torch.inf)
            heads.append(logits.softmax(dim=-1) @ values)
        rows.append(attention.out_proj(torch.cat(heads, dim=1)))
    return torch.stack(rows)


@pytest.mark.parametrize("bytes_per_pass", [1, 2**22])
@pytest.mark.parametrize("wants_gradients", [False, True])
@pytest.mark.parametrize("has_padding", [False, True])
@pytest.mark.parametrize(("has_bias", "is_gated"), [(False, False), (True, False), (True, True)])
def test_attention_equals_a_slow_one(
    monkeypatch: pytest.MonkeyPatch,
    bytes_per_pass: int,
    wants_gradients: bool,
    has_padding: bool,
    has_bias: bool,
    is_gated: bool,
) -> None:
    monkeypatch.setattr(relative_attention, "BYTES_PER_PASS", bytes_per_pass)
    torch.manual_seed(0)
    attention = RelativeAttention(24, 3, is_gated=is_gated, dropout=0.0)
    bias = RelativeBias(3, 8, 20)
    torch.nn.init.normal_(bias.table)
    if attention.gate_scale is not None:
        torch.nn.init.normal_(attention.gate_scale)
    tokens = torch.randn(2, 50, 24)
    is_padding = torch.arange(50) >= torch.tensor([[50], [31]]) if has_padding else None
    with torch.set_grad_enabled(wants_gradients):
        ours = attention(tokens, bias(50) if has_bias else None, is_padding)
    slow = slow_attention(
        attention, tokens, slow_bias(bias, list(range(50))) if has_bias else None, is_padding
    )
    torch.testing.assert_close(ours, slow, atol=1e-5, rtol=1e-4)
