"""Linear: whichever library multiplies, values and gradients are those of plain PyTorch."""

import pytest
import torch
import torch.nn.functional as F

from bioacoustics.models import linear
from bioacoustics.models.linear import Linear, gelu_mlp


def layers() -> tuple[Linear, Linear, torch.Tensor]:
    torch.manual_seed(0)
    return Linear(96, 384), Linear(384, 96), torch.randn(5, 40, 96, requires_grad=True)


def both(tokens: torch.Tensor, first: Linear, second: Linear, *, ours: bool) -> list[torch.Tensor]:
    """Output and gradients of an MLP, by our layers or written out in float64."""
    if ours:
        output = gelu_mlp(first, second, first(second(first(tokens)))[..., :96])
    else:
        f, s, tokens = first.double(), second.double(), tokens.double()
        wide = F.linear(F.linear(F.linear(tokens, f.weight, f.bias), s.weight, s.bias), f.weight, f.bias)
        output = F.linear(F.gelu(F.linear(wide[..., :96], f.weight, f.bias)), s.weight, s.bias)
    leaves = [first.weight, first.bias, second.weight, second.bias]
    gradients = torch.autograd.grad(output.square().sum(), leaves)
    return [output.detach().double(), *(gradient.double() for gradient in gradients)]


def test_values_and_gradients_are_those_of_float64() -> None:
    ours = both(layers()[2], *layers()[:2], ours=True)
    exact = both(layers()[2], *layers()[:2], ours=False)
    for one, other in zip(ours, exact, strict=True):
        assert ((one - other).abs().max() / other.abs().max()).item() < 1e-5


@pytest.mark.skipif(not linear.HAS_ONEDNN_PRODUCT, reason="this processor or PyTorch has no such product")
def test_onednn_is_used_and_gives_the_gradient_of_the_input() -> None:
    first, second, tokens = layers()
    output = gelu_mlp(first, second, tokens)
    assert "GeluProduct" in type(output.grad_fn.next_functions[0][0]).__name__ + type(output.grad_fn).__name__
    output.square().sum().backward()
    ours, tokens.grad = tokens.grad, None
    F.linear(
        F.gelu(F.linear(tokens, first.weight, first.bias)), second.weight, second.bias
    ).square().sum().backward()
    torch.testing.assert_close(ours, tokens.grad, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(gelu_mlp(first, second, tokens), output, rtol=1e-5, atol=1e-5)


def test_autocast_is_obeyed() -> None:
    first, second, tokens = layers()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert first(tokens).dtype == gelu_mlp(first, second, tokens).dtype == torch.bfloat16
