"""The positional convolution against PyTorch's own weight norm, and sum by sum."""

import pytest
import torch
from torch import nn

from bioacoustics.models.positional_convolution import PositionalConvolution


@pytest.mark.parametrize("kernel", [1, 5, 6])
@pytest.mark.parametrize("wants_gradients", [False, True])
def test_equals_a_convolution_with_weight_norm(kernel: int, wants_gradients: bool) -> None:
    torch.manual_seed(0)
    ours = PositionalConvolution(12, kernel, groups=3)
    theirs = nn.Conv1d(12, 12, kernel, padding=kernel // 2, groups=3)
    nn.utils.parametrizations.weight_norm(theirs, dim=2)
    nn.init.normal_(ours.gain)
    nn.init.normal_(ours.bias)
    state = {"original0": ours.gain, "original1": ours.direction}
    theirs.load_state_dict(
        {f"parametrizations.weight.{name}": value for name, value in state.items()} | {"bias": ours.bias}
    )
    patches = torch.randn(2, 20, 12)
    with torch.set_grad_enabled(wants_gradients):
        result = ours(patches)
    expected = nn.functional.gelu(theirs(patches.transpose(1, 2))[..., :20]).transpose(1, 2)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_begins_with_a_gain_that_leaves_the_direction_as_drawn() -> None:
    convolution = PositionalConvolution(64, 8, groups=4)
    torch.testing.assert_close(convolution.weight(), convolution.direction)
    assert convolution.direction.std().item() == pytest.approx((4 / (8 * 64)) ** 0.5, rel=0.05)
    assert not convolution.bias.any()


@torch.no_grad()
def test_what_changes_the_weight_changes_the_result() -> None:
    convolution = PositionalConvolution(12, 4, groups=3).eval()
    patches = torch.randn(1, 9, 12)
    before = convolution(patches)
    convolution.gain.mul_(2)
    assert not torch.allclose(convolution(patches), before)
    convolution.load_state_dict({**convolution.state_dict(), "gain": convolution.gain / 2}, assign=True)
    torch.testing.assert_close(convolution(patches), before)
