"""Memory: how many windows at a time fit on the device, found by trying."""

import gc
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from bioacoustics.data.batches import Batch


class TooLargeBatchError(ValueError):
    """The device ran out of memory."""


def num_fitting_rows(
    learn: Callable[[Batch], None], batch: Batch, parameters: Iterable[Tensor], *, has_moments: bool
) -> int | None:
    """How many rows of a batch can be learnt from at a time, halving until they fit; None if not even one.

    Args:
        learn: Forward and backward pass of a batch.
        batch: The batch that did not fit.
        parameters: What is trained.
        has_moments: Whether the optimizer already holds its two moments; else their room is kept free.
    """
    weights = list(parameters)
    num_rows = len(batch)
    while num_rows > 1:
        num_rows = (num_rows + 1) // 2
        _free(weights)
        if _fits(learn, batch.rows(0, num_rows), weights, has_moments=has_moments):
            _free(weights)
            return num_rows
    return None


def advice(num_rows: int, num_fitting: int | None) -> str:
    """What to tell a user whose batch does not fit."""
    said = f"Out of memory: {num_rows} windows at a time do not fit on the device"
    if num_fitting is None:
        return (
            f"{said}, and not even one does. Use shorter windows (--target_length), fewer clones, a smaller "
            "model or --precision bf16, or free the device of other programs"
        )
    return (
        f"{said}, but {num_fitting} do. Add --micro_batch_size {num_fitting}: the result is the same, "
        f"gathered in smaller steps. Or lower --batch_size to {num_fitting}, which makes each update smaller"
    )


def _fits(learn: Callable[[Batch], None], batch: Batch, weights: list[Tensor], *, has_moments: bool) -> bool:
    try:
        kept_free = [] if has_moments else [torch.empty_like(weight) for weight in weights for _ in range(2)]
        learn(batch)
        del kept_free
    except torch.OutOfMemoryError:
        return False
    return True


def _free(weights: list[Tensor]) -> None:
    """Give back what a failed attempt held; the caller must have left its `except` block."""
    for weight in weights:
        weight.grad = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
