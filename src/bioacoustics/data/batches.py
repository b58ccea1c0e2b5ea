"""Batches: which windows form an update, and how they reach the device in time."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one recording, in plain words."""

    path: str
    reason: str
    is_replaced: bool = False  # the window could not be used, another one took its place


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Waveforms of several windows, zero-padded at the end to one length.

    `draw_ids` number the draws since training began; everything random about a row is a function of the seed and
    its draw id. `num_samples` counts the samples of each row that are sound and not padding.
    """

    waveforms: Float[Tensor, "batch samples"]
    num_samples: Int[Tensor, " batch"]
    draw_ids: Int[Tensor, " batch"]
    targets: Float[Tensor, "batch classes"] | None = None
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return self.waveforms.shape[0]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """The same batch with its tensors on `device`."""
        return replace(
            self,
            waveforms=self.waveforms.to(device, non_blocking=non_blocking),
            num_samples=self.num_samples.to(device, non_blocking=non_blocking),
            draw_ids=self.draw_ids.to(device, non_blocking=non_blocking),
            targets=None if self.targets is None else self.targets.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, from which copies to a GPU need not wait."""
        return replace(
            self,
            waveforms=self.waveforms.pin_memory(),
            num_samples=self.num_samples.pin_memory(),
            draw_ids=self.draw_ids.pin_memory(),
            targets=None if self.targets is None else self.targets.pin_memory(),
        )

    def rows(self, start: int, stop: int) -> "Batch":
        """Rows `start` to `stop` of this batch."""
        return replace(
            self,
            waveforms=self.waveforms[start:stop],
            num_samples=self.num_samples[start:stop],
            draw_ids=self.draw_ids[start:stop],
            targets=None if self.targets is None else self.targets[start:stop],
        )
