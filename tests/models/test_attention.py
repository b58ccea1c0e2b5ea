"""Attention: whichever library multiplies, the mixture is that of the formula in float64."""

import math

import pytest
import torch

from bioacoustics.models import attention, linear
from bioacoustics.models.attention import attend

TOKENS = 272  # so many that oneDNN is worth it


def heads(num_queries: int = TOKENS) -> list[torch.Tensor]:
    """Queries, keys and values as views of one projection, as an encoder has them."""
    torch.manual_seed(0)
    whole = torch.randn(2, TOKENS, 3 * 2 * 64).unflatten(-1, (3, 2, 64)).permute(2, 0, 3, 1, 4)
    return [whole[0, :, :, :num_queries], whole[1], whole[2]]


def formula(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    logits = queries.double() @ keys.double().transpose(-1, -2) / math.sqrt(64) + bias.double()
    return logits.softmax(dim=-1) @ values.double()


@pytest.mark.parametrize("num_queries", [TOKENS, 5])
@pytest.mark.parametrize("shape", [None, (2, 2, 1, 1), (1, 2, 1, TOKENS), (2, 1, 1, TOKENS)])
@pytest.mark.parametrize("learns", [False, True])
def test_it_is_the_formula(num_queries: int, shape: tuple[int, ...] | None, learns: bool) -> None:
    queries, keys, values = heads(num_queries)
    bias = None if shape is None else 3 * torch.randn(shape).expand(2, 2, num_queries, TOKENS)
    exact = formula(queries, keys, values, torch.zeros(1) if bias is None else bias)
    with torch.set_grad_enabled(learns):
        mixed = attend(queries, keys, values, bias)
    torch.testing.assert_close(mixed.double(), exact, rtol=0, atol=1e-5)


def test_a_bias_as_low_as_that_of_padding_leaves_the_others_alone() -> None:
    queries, keys, values = heads()
    bias = torch.zeros(2, 1, 1, TOKENS)
    bias[:, ..., 200:] = torch.finfo(torch.float32).min / 2
    with torch.no_grad():
        mixed = attend(queries, keys, values, bias)
        alone = attend(queries, keys[:, :, :200], values[:, :, :200])
    torch.testing.assert_close(mixed, alone, rtol=0, atol=1e-5)


def test_a_mask_of_keys_is_obeyed() -> None:
    queries, keys, values = heads()
    counts = torch.arange(TOKENS) < 200
    with torch.no_grad():
        mixed = attend(queries, keys, values, counts[None, None, None])
        alone = attend(queries, keys[:, :, :200], values[:, :, :200])
    torch.testing.assert_close(mixed, alone, rtol=0, atol=1e-5)


@pytest.mark.skipif(not linear.HAS_ONEDNN_PRODUCT, reason="this processor or PyTorch has no such product")
def test_onednn_is_used_without_gradients_only(monkeypatch: pytest.MonkeyPatch) -> None:
    num_products = 0

    def counted(*arguments: torch.Tensor, plus: torch.Tensor | None) -> torch.Tensor:
        nonlocal num_products
        num_products += 1
        return linear.product(*arguments, plus=plus)

    monkeypatch.setattr(attention, "product", lambda *a, plus=None: counted(*a, plus=plus))
    attend(*heads())
    assert num_products == 0
    with torch.no_grad():
        attend(*heads())
    assert num_products == 2 * 2 * 2  # rows, heads, products
