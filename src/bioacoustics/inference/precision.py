"""Precision: the arithmetic in which a saved model is used; weights on disk stay float32."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from bioacoustics.models.linear import Linear

Precision = Literal["float32", "bf16", "int8"]
PrecisionChoice = Literal["auto", "float32", "bf16", "int8"]
_LARGEST = 127  # symmetric: -128 is left out
_ROWS = 256


class Int8Linear(nn.Module):
    """A linear layer in 8-bit integers: one scale for each output of the weights and for each token.

    The scale of a token is its own, so a window's result does not depend on which windows are beside it.
    """

    weight: Tensor
    scales: Tensor
    bias: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        quantised, scales = _quantised(weight)
        self.register_buffer("weight", quantised.t())
        self.register_buffer("scales", scales.view(1, -1))
        bias = torch.zeros(len(weight)) if linear.bias is None else linear.bias.detach().float()
        self.register_buffer("bias", bias)

    def forward(self, tokens: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width_out"]:
        """Project the last axis; sums are exact 32-bit integers."""
        rows = tokens.reshape(-1, tokens.shape[-1])
        projected = rows.new_empty(len(rows), self.weight.shape[1], dtype=torch.float32)
        # Some rows at a time: their sums are scaled while they are still in the processor's cache.
        for first in range(0, len(rows), _ROWS):
            quantised, scales = _quantised(rows[first : first + _ROWS])
            sums = torch._int_mm(quantised, self.weight).float().mul_(scales)
            torch.addcmul(self.bias, sums, self.scales, out=projected[first : first + _ROWS])
        return projected.view(*tokens.shape[:-1], -1)


def pick_precision(choice: PrecisionChoice, device: torch.device) -> Precision:
    """The precision asked for, or float32; bf16 on a CUDA GPU that has it.

    Raises:
        ValueError: If the device cannot compute in the precision asked for.
    """
    if choice == "auto":
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if has_bf16 else "float32"
    if choice == "int8" and device.type != "cpu":
        raise ValueError(
            f"int8 is for the processor, but the model runs on {device.type}: use --precision bf16 or auto "
            "there, or --device cpu"
        )
    return choice


def prepare(model: nn.Module, precision: Precision) -> None:
    """Turn the linear layers of an encoder's blocks into 8-bit ones where int8 is asked for, in place.

    Attention, norms, the front end and the classification head stay in float32.
    """
    if precision != "int8":
        return
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Linear):
                setattr(module, name, Int8Linear(child))


def arithmetic(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Context in which the model computes."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def _quantised(
    rows: Float[Tensor, "rows width"],
) -> tuple[Int8[Tensor, "rows width"], Float[Tensor, "rows 1"]]:
    """Integers and the scale of each row; a row of zeros has scale 1 / 127 of the smallest number."""
    scales = rows.abs().amax(dim=1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny) / _LARGEST
    # A scale near the smallest number would round the quotient beyond the range.
    return (rows / scales).round_().clamp_(-_LARGEST, _LARGEST).to(torch.int8), scales
