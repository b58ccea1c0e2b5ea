"""Batches: which windows form an update, and what an objective receives of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, Field
from torch import Tensor

from bioacoustics.audio.draws import Stream, permuted, seed_of
from bioacoustics.data.mixture import Mixture
from bioacoustics.data.windows import Origin, Problem

EVALUATION_DRAWS = 2**62  # draw ids from here on belong to evaluation: no training run comes this far
MAX_REPLACEMENTS = 8


class DataConfig(BaseModel, frozen=True, extra="forbid"):
    """How many windows form an update, and how they are read.

    An update sees `batch_size * num_processes * update_freq` windows. `micro_batch_size` splits the work
    further when memory is short, without changing the result.
    """

    batch_size: int = Field(12, ge=1)  # windows of one process at a time
    update_freq: int = Field(1, ge=1)  # batches gathered before the weights move
    micro_batch_size: int | None = Field(None, ge=1)
    num_threads: int | None = Field(
        None, ge=1
    )  # reading threads of one process; None: by the cores there are
    look_ahead: int = Field(4, ge=1)  # micro-batches read in advance

    def rows_per_update(self, num_processes: int) -> int:
        """Windows of one update over all processes."""
        return self.batch_size * self.update_freq * num_processes

    @property
    def num_micro_batches(self) -> int:
        """Forward passes of one process in an update."""
        size = min(self.micro_batch_size or self.batch_size, self.batch_size)
        return self.update_freq * -(-self.batch_size // size)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Waveforms of several windows, zero-padded at the end to one length.

    `draw_ids` number the draws since training began; everything random about a row is a function of the seed
    and its draw id. `num_samples` counts the samples of each row that are sound and not padding.
    """

    waveforms: Float[Tensor, "batch samples"]
    num_samples: Int[Tensor, " batch"]
    draw_ids: Int[Tensor, " batch"]
    targets: Float[Tensor, "batch classes"] | None = None
    problems: tuple[Problem, ...] = ()
    origins: tuple[Origin, ...] = ()  # of each row, where several sources are mixed; known without the device

    def __len__(self) -> int:
        return self.waveforms.shape[0]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """The same batch with its tensors on `device`."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, from which copies to a GPU need not wait."""
        return self._with(Tensor.pin_memory)

    def rows(self, start: int, stop: int) -> "Batch":
        """Rows `start` to `stop` of this batch."""
        return replace(self._with(lambda tensor: tensor[start:stop]), origins=self.origins[start:stop])

    def at(self, rows: Sequence[int]) -> "Batch":
        """The rows with these numbers."""
        chosen = torch.tensor(rows, dtype=torch.int64).to(self.waveforms.device, non_blocking=True)
        origins = tuple(self.origins[row] for row in rows) if self.origins else ()
        return replace(self._with(lambda tensor: tensor[chosen]), origins=origins)

    def _with(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(
            self,
            waveforms=change(self.waveforms),
            num_samples=change(self.num_samples),
            draw_ids=change(self.draw_ids),
            targets=None if self.targets is None else change(self.targets),
        )


class UpdatePlan:
    """Which window is read at which draw, and which draws form a micro-batch.

    Draw `d` is row `d % rows_per_update` of update `d // rows_per_update`. Every epoch visits each window
    once, in a new order; with weights, every draw picks a window in proportion to its weight. Nothing is
    remembered, so training can start at any update.

    Args:
        num_windows: Windows there are.
        rows_per_update: Windows of one update over all processes and micro-batches.
        num_processes: Processes that share an update.
        num_micro_batches: Forward passes of each process in an update.
        seed: Seed of the order.
        weights: How often to draw each window, in any unit; None: all alike, without repetition.
        mixture: Which source each row is of, where there are several; then there are no weights.
    """

    def __init__(
        self,
        *,
        num_windows: int,
        rows_per_update: int,
        num_processes: int = 1,
        num_micro_batches: int = 1,
        seed: int = 0,
        weights: Float[np.ndarray, " windows"] | None = None,
        mixture: Mixture | None = None,
    ) -> None:
        if num_windows < 1:
            raise ValueError("There is no window to train on: check the data folder and the window length")
        if rows_per_update < num_processes * num_micro_batches:
            raise ValueError(
                f"{rows_per_update} windows per update cannot be shared by {num_processes} processes with "
                f"{num_micro_batches} micro-batches each; raise the batch size"
            )
        self.num_windows = num_windows
        self.rows_per_update = rows_per_update
        self.num_processes = num_processes
        self.num_micro_batches = num_micro_batches
        self._seed = seed
        self._mixture = mixture
        assert mixture is None or (
            weights is None
            and (mixture.num_windows, mixture.rows_per_update) == (num_windows, rows_per_update)
        )
        self._cumulative_weights = None if weights is None else np.cumsum(weights, dtype=np.float64)

    @property
    def is_weighted(self) -> bool:
        """Whether windows are drawn by weights, with repetition."""
        return self._cumulative_weights is not None

    def index_of(self, draw_id: int) -> int:
        """The window that this draw reads."""
        if self._mixture is not None:
            return self._mixture.index_of(draw_id, self._seed)
        if self._cumulative_weights is not None:
            return self._weighted(seed_of(self._seed, Stream.SAMPLING, draw_id))
        epoch, position = divmod(draw_id, self.num_windows)
        return permuted(position, self.num_windows, self._seed, epoch)

    def replacement_of(self, draw_id: int, attempt: int) -> int:
        """The window that takes the place of one that could not be read."""
        number = seed_of(self._seed, Stream.REPLACEMENT, draw_id * MAX_REPLACEMENTS + attempt)
        if self._mixture is not None:
            return self._mixture.replacement_of(draw_id, number)
        return number % self.num_windows if self._cumulative_weights is None else self._weighted(number)

    def micro_batches(self, update: int, rank: int) -> list[list[int]]:
        """The draw ids of each micro-batch of one process.

        Rows i and R - 1 - i of the R rows of an update, which mixup mixes, share a micro-batch, and its row j
        is the partner of its row B - 1 - j. An odd batch size therefore makes micro-batches that differ by
        two rows. Only where there are fewer such pairs than micro-batches are they torn apart.
        """
        num_rows, num_parts = self.rows_per_update, self.num_processes * self.num_micro_batches
        first = update * num_rows
        num_pairs = (num_rows + 1) // 2
        parts = []
        for part in range(rank * self.num_micro_batches, (rank + 1) * self.num_micro_batches):
            if num_pairs < num_parts:
                rows = list(range(part * num_rows // num_parts, (part + 1) * num_rows // num_parts))
            else:
                top = range(part * num_pairs // num_parts, (part + 1) * num_pairs // num_parts)
                rows = [*top, *(num_rows - 1 - row for row in reversed(top) if num_rows - 1 - row != row)]
            parts.append([first + row for row in rows])
        return parts

    def _weighted(self, number: int) -> int:
        assert self._cumulative_weights is not None
        place = number * 2.0**-63 * self._cumulative_weights[-1]
        index = int(np.searchsorted(self._cumulative_weights, place, side="right"))
        return min(index, self.num_windows - 1)
