"""Precision: 8-bit layers against exact arithmetic, and what cannot be had is refused."""

import pytest
import torch

from bioacoustics.inference.precision import Int8Linear, arithmetic, pick_precision, prepare
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig


def layer() -> tuple[torch.nn.Linear, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    linear = torch.nn.Linear(48, 20)
    with torch.no_grad():
        linear.weight.normal_(std=0.1, generator=generator)
        linear.bias.normal_(generator=generator)
    tokens = torch.randn(3, 200, 48, generator=generator)  # more rows than are scaled at a time
    return linear, tokens * torch.tensor([0.01, 1, 100]).view(3, 1, 1)


def test_int8_equals_rounded_integers_times_scales() -> None:
    linear, tokens = layer()
    weight = linear.weight.detach().double()
    scales = weight.abs().amax(1) / 127
    token_scales = tokens.double().abs().amax(-1, keepdim=True) / 127
    integers = torch.round(tokens.double() / token_scales) @ torch.round(weight / scales[:, None]).T
    expected = integers * token_scales * scales + linear.bias.detach()
    ours = Int8Linear(linear)(tokens)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=1e-4)
    error = (ours - linear(tokens)).norm(dim=-1) / (linear(tokens) - linear.bias).norm(dim=-1)
    assert error.max() < 0.02


def test_int8_gives_each_token_the_same_whatever_is_beside_it() -> None:
    linear, tokens = layer()
    int8 = Int8Linear(linear)
    assert torch.equal(int8(tokens)[1:2], int8(tokens[1:2]))


def test_int8_takes_silence() -> None:
    linear, tokens = layer()
    assert torch.equal(Int8Linear(linear)(0 * tokens)[0, 0], linear.bias)
    assert torch.isfinite(Int8Linear(linear)(torch.full((1, 48), 1e-45))).all()


def test_int8_replaces_the_layers_of_the_blocks_only() -> None:
    model = torch.nn.ModuleList(
        [
            EATEncoder(EATConfig(embed_dim=32, depth=2, num_heads=2)),
            ClassificationHead(HeadConfig(num_classes=3), 32),
        ]
    )
    prepare(model, "float32")
    assert not any(isinstance(module, Int8Linear) for module in model.modules())
    prepare(model, "int8")
    assert sum(isinstance(module, Int8Linear) for module in model.modules()) == 2 * 4
    assert isinstance(model[1].head, torch.nn.Linear)


def test_choice_of_precision() -> None:
    cpu = torch.device("cpu")
    assert pick_precision("auto", cpu) == "float32"
    assert pick_precision("int8", cpu) == "int8"
    with pytest.raises(ValueError, match="int8 is for the processor, but the model runs on cuda"):
        pick_precision("int8", torch.device("cuda"))
    with arithmetic("bf16", cpu):
        assert torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16
