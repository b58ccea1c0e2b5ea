"""Linear: the layer that takes most of a transformer's time, by the fastest product that PyTorch has here.

On x86 PyTorch multiplies float32 matrices with Intel's MKL, which leaves the 512-bit units of other makers'
processors unused. oneDNN, which PyTorch also brings, uses them: measured 1.9 to 2.3 times
faster on an AMD EPYC, equal but for the rounding of sums.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_SMALLEST_PRODUCT = 2**22  # multiplications; below, neither library gains on the other


class Linear(nn.Linear):
    """`nn.Linear`, with the same weights, names and values."""

    def forward(self, tokens: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width_out"]:
        """Project the last axis."""
        if not suits_onednn(tokens, self.weight):
            return F.linear(tokens, self.weight, self.bias)
        rows = tokens.flatten(0, -2).contiguous()
        if torch.is_grad_enabled():
            projected: Tensor = _Product.apply(rows, self.weight, self.bias)  # type: ignore[no-untyped-call]
        else:
            projected = product(rows, self.weight, self.bias)
        return projected.view(*tokens.shape[:-1], -1)


def gelu_mlp(
    first: nn.Module, second: nn.Module, tokens: Float[Tensor, "*rows width"]
) -> Float[Tensor, "*rows width_out"]:
    """Two layers with the exact (erf) GELU between them.

    The widest array of a transformer is kept once for the backward pass, not twice: the GELU is computed
    again. Without gradients it is computed while the first product is still in the cache.
    """
    # They may have become 8-bit layers.
    if not (isinstance(first, Linear) and isinstance(second, Linear) and suits_onednn(tokens, first.weight)):
        transformed: Tensor = second(F.gelu(first(tokens)))
        return transformed
    rows = tokens.flatten(0, -2).contiguous()
    if torch.is_grad_enabled():
        hidden: Tensor = _Product.apply(rows, first.weight, first.bias)  # type: ignore[no-untyped-call]
        projected: Tensor = _GeluProduct.apply(hidden, second.weight, second.bias)  # type: ignore[no-untyped-call]
    else:
        projected = product(product(rows, first.weight, first.bias, then="gelu"), second.weight, second.bias)
    return projected.view(*tokens.shape[:-1], -1)


class _Product(torch.autograd.Function):
    """rows @ weight.T + bias, all three products of it and its gradients by oneDNN."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Float[Tensor, "rows width"],
        weight: Float[Tensor, "width_out width"],
        bias: Float[Tensor, " width_out"] | None,
    ) -> Float[Tensor, "rows width_out"]:
        ctx.save_for_backward(rows, weight)
        return product(rows, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        gradient = gradients[0].contiguous()
        rows, weight = ctx.saved_tensors
        wants_rows, wants_weight, wants_bias = ctx.needs_input_grad
        return (
            product(gradient, _turned(weight)) if wants_rows else None,
            product(_turned(gradient), _turned(rows)) if wants_weight else None,
            gradient.sum(dim=0) if wants_bias else None,
        )


class _GeluProduct(torch.autograd.Function):
    """gelu(hidden) @ weight.T + bias, which keeps `hidden` only."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Float[Tensor, "rows width"],
        weight: Float[Tensor, "width_out width"],
        bias: Float[Tensor, " width_out"] | None,
    ) -> Float[Tensor, "rows width_out"]:
        ctx.save_for_backward(hidden, weight)
        return product(F.gelu(hidden), weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        gradient = gradients[0].contiguous()
        hidden, weight = ctx.saved_tensors
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad
        for_hidden = None
        if wants_hidden:
            for_hidden = torch.ops.aten.gelu_backward(product(gradient, _turned(weight)), hidden)
        return (
            for_hidden,
            product(_turned(gradient), _turned(F.gelu(hidden))) if wants_weight else None,
            gradient.sum(dim=0) if wants_bias else None,
        )


def product(
    rows: Float[Tensor, "rows width"],
    weight: Float[Tensor, "width_out width"],
    bias: Float[Tensor, " width_out"] | None = None,
    *,
    then: Literal["none", "gelu"] = "none",
    plus: Float[Tensor, "rows width_out"] | None = None,
) -> Float[Tensor, "rows width_out"]:
    """Give rows @ weight.T + bias, then the exact GELU or the sum with `plus`, in one go, by oneDNN.

    Rows and weight must lie contiguous in memory, or be the transpose of what does: others are slow.
    """
    if plus is not None:
        summed: Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, plus, weight, bias, "add")
        return summed
    # "none" after "gelu" names the exact one, without the approximation by tanh.
    multiplied: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, then, [], "none")
    return multiplied


def _turned(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "columns rows"]:
    # Copied, because the product of two transposes takes up to a third longer than copies and product.
    return matrix.t().contiguous()


def suits_onednn(tokens: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN can multiply these, and is worth it."""
    return (
        HAS_ONEDNN_PRODUCT
        and tokens.device.type == "cpu"
        and tokens.dtype == weight.dtype == torch.float32
        and tokens.dim() > 1
        and tokens.numel() * weight.shape[0] >= _SMALLEST_PRODUCT
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()  # the compiler chooses by itself
    )


def _has_onednn_product() -> bool:
    """Whether this PyTorch has the product that its own compiler uses, and the processor is one it suits."""
    return (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


HAS_ONEDNN_PRODUCT = _has_onednn_product()
