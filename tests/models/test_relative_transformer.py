"""Blocks with relative attention: norms, activations and initial weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bioacoustics.models.relative_transformer import (
    Activation,
    RelativeTransformer,
    RelativeTransformerConfig,
)

CONFIG = RelativeTransformerConfig(
    embed_dim=32, hidden_dim=48, depth=2, num_heads=4, num_buckets=8, max_distance=20
)


def glu(hidden: Tensor) -> Tensor:
    return hidden[..., :48] * F.silu(hidden[..., 48:])


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("gelu", F.gelu),
        ("gelu_accurate", lambda x: F.gelu(x, approximate="tanh")),
        ("relu", F.relu),
        ("tanh", torch.tanh),
        ("linear", lambda x: x),
        ("glu", glu),
    ],
)
@pytest.mark.parametrize("norm_first", [False, True])
@torch.no_grad()
def test_blocks_are_what_their_names_say(activation: Activation, function: object, norm_first: bool) -> None:
    torch.manual_seed(0)
    config = CONFIG.model_copy(
        update={"activation": activation, "norm_first": norm_first, "deep_norm": not norm_first}
    )
    transformer = RelativeTransformer(config).eval()
    tokens = torch.randn(2, 10, 32)
    bias = transformer.relative_bias(10) if transformer.relative_bias is not None else None
    expected = tokens
    for block in transformer.blocks:

        def mlp(x: Tensor, block: object = block) -> Tensor:
            return block.fc2(function(block.fc1(x)))  # type: ignore

        if norm_first:
            expected = expected + block.attn(block.norm1(expected), bias)
            expected = expected + mlp(block.norm2(expected))
        else:
            expected = block.norm1(4**0.25 * expected + block.attn(expected, bias))
            expected = block.norm2(4**0.25 * expected + mlp(expected))
    ours, layers = transformer(tokens, collect_layers=True)
    torch.testing.assert_close(ours, expected)
    assert len(layers) == 2 and torch.equal(layers[-1], ours)


def test_initial_weights_are_the_official_ones() -> None:
    torch.manual_seed(0)
    config = RelativeTransformerConfig(embed_dim=96, hidden_dim=192, depth=3, num_heads=4)
    deep = dict(RelativeTransformer(config).named_parameters())
    plain = dict(RelativeTransformer(config.model_copy(update={"deep_norm": False})).named_parameters())
    beta = (8 * 3) ** -0.25
    for name, std in (
        ("attn.q_proj", (2 / 192) ** 0.5),
        ("attn.k_proj", (2 / 192) ** 0.5),
        ("attn.v_proj", beta * (2 / 192) ** 0.5),
        ("attn.out_proj", beta * (2 / 192) ** 0.5),
        ("fc1", beta * (2 / 288) ** 0.5),
        ("fc2", beta * (2 / 288) ** 0.5),
        ("attn.gate", 0.02),
    ):
        assert deep[f"blocks.1.{name}.weight"].std().item() == pytest.approx(std, rel=0.15), name
        assert plain[f"blocks.1.{name}.weight"].std().item() == pytest.approx(0.02, rel=0.15), name
        assert not deep[f"blocks.1.{name}.bias"].any()
    assert deep["relative_bias.table"].std().item() == pytest.approx(0.02, rel=0.15)
    assert (deep["blocks.0.attn.gate_scale"] == 1).all()


def test_the_gate_begins_at_one_and_three_quarters() -> None:
    attention = RelativeTransformer(CONFIG).blocks[0].attn
    torch.nn.init.zeros_(attention.gate.weight)
    assert torch.equal(attention.gates(torch.randn(1, 4, 5, 8)), torch.full((1, 4, 5, 1), 1.75))
