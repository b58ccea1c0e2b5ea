"""Attention and block against their formulas, and stochastic depth by its statistics."""

import math

import pytest
import torch
from torch import Tensor, nn

from bioacoustics.models.transformer import Attention, DropPath, Mlp, PostNormBlock


def block_of(dim: int = 24, num_heads: int = 3, *, drop_path_rate: float = 0.0) -> PostNormBlock:
    torch.manual_seed(0)
    block = PostNormBlock(dim, num_heads, 4 * dim, norm_eps=1e-6, drop_path_rate=drop_path_rate)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    return block


def slow_attention(attention: Attention, tokens: Tensor) -> Tensor:
    """Softmax(q k / sqrt(d)) v, one row, head and query at a time."""
    batch, length, dim = tokens.shape
    size = dim // attention.num_heads
    queries, keys, values = attention.qkv(tokens).split(dim, dim=2)
    mixed = torch.zeros_like(tokens)
    for row in range(batch):
        for head in range(attention.num_heads):
            part = slice(head * size, (head + 1) * size)
            for place in range(length):
                scores = (keys[row, :, part] @ queries[row, place, part]) / math.sqrt(size)
                mixed[row, place, part] = scores.softmax(0) @ values[row, :, part]
    return attention.proj(mixed)


def test_attention_equals_slow_obvious_version() -> None:
    attention, tokens = block_of().attn, torch.randn(2, 5, 24)
    torch.testing.assert_close(attention(tokens), slow_attention(attention, tokens))


def test_attention_follows_a_permutation_of_the_tokens() -> None:
    attention, tokens, order = block_of().attn, torch.randn(2, 7, 24), torch.randperm(7)
    torch.testing.assert_close(attention(tokens[:, order]), attention(tokens)[:, order])


def test_mlp_uses_the_exact_gelu() -> None:
    mlp, tokens = Mlp(4, 16), torch.randn(1, 3, 4)
    hidden = mlp.fc1(tokens)
    exact = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    torch.testing.assert_close(mlp(tokens), mlp.fc2(exact))


def test_block_normalises_after_each_sum() -> None:
    block, tokens = block_of(), torch.randn(2, 5, 24)
    output, mlp_output = block(tokens)
    attended = block.norm1(tokens + block.attn(tokens))
    torch.testing.assert_close(mlp_output, block.mlp(attended))
    torch.testing.assert_close(output, block.norm2(attended + mlp_output))


def test_parameter_names_are_those_of_the_official_code() -> None:
    names = {"attn.qkv", "attn.proj", "norm1", "mlp.fc1", "mlp.fc2", "norm2"}
    assert set(block_of().state_dict()) == {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}


def test_drop_path_is_idle_in_eval_mode_and_at_rate_zero() -> None:
    branch = torch.randn(4, 3, 2)
    assert DropPath(0.5).eval()(branch) is branch
    assert DropPath(0.0).train()(branch) is branch


def test_drop_path_drops_whole_rows_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = DropPath(0.25).train()(torch.ones(20_000, 3, 2))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (dropped.amax(dim=(1, 2)) == dropped.amin(dim=(1, 2))).all()
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)


def test_drop_path_acts_on_both_branches_but_not_on_the_target() -> None:
    block, tokens = block_of(drop_path_rate=0.999999).train(), torch.randn(2, 5, 24)
    output, mlp_output = block(tokens)
    attended = block.norm1(tokens)
    torch.testing.assert_close(output, block.norm2(attended))
    torch.testing.assert_close(mlp_output, block.mlp(attended))


def test_residual_stream_stays_float32_under_autocast() -> None:
    block = block_of()
    with torch.autocast("cpu", torch.bfloat16):
        output, mlp_output = block(torch.randn(2, 5, 24))
    assert output.dtype == torch.float32 and mlp_output.dtype == torch.bfloat16
