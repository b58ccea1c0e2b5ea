"""Batch size: how many windows a model hears at a time, by the memory that it was measured to need."""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import torch
from jaxtyping import Float
from torch import Tensor

from bioacoustics.inference.windows import WindowBatch

Compute = Callable[[WindowBatch], Float[Tensor, "batch values"]]
FIRST = 8  # windows of the first batch, which is measured
LARGEST = {"cpu": 8, "cuda": 256, "mps": 64}  # more windows at a time were not faster
SHARE_OF_FREE = {"cpu": 0.25, "cuda": 0.7, "mps": 0.4}  # others need memory too, and estimates err
WATCH_EVERY_S = 0.002


class BatchSize:
    """Grows from what was measured, up to what pays; halves when the device runs out of memory.

    On a processor with memory to spare it is the same in every run, and so are the numbers to the last bit.

    Args:
        device: where the model computes.
        wanted: the number that the user gave, which only running out of memory changes; None to measure.
        num_samples: of the longest window.
    """

    def __init__(self, device: torch.device, wanted: int | None, num_samples: int) -> None:
        self._device, self._num_samples = device, num_samples
        self._largest = LARGEST.get(device.type, FIRST)
        self._is_measuring = wanted is None
        self._bytes_per_sample = 0.0
        self.now = wanted or min(FIRST, self._largest)
        self.has_run_out = False

    def outputs(self, compute: Compute, batch: WindowBatch) -> Float[Tensor, "batch values"]:
        """What a model says of a batch, in as many pieces as its memory asks for.

        Raises:
            ValueError: not even one window fits.
        """
        pieces: list[Tensor] = []
        first = 0
        while first < len(batch):
            piece = batch.rows(first, first + self.now)
            values = self._tried(compute, piece)
            if values is None:
                self._halve(len(piece), piece.waveforms.shape[1])
                continue
            pieces.append(values)
            first += len(piece)
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]

    def _tried(self, compute: Compute, piece: WindowBatch) -> Tensor | None:
        """None if the device ran out of memory; what the attempt held is free again by then."""
        try:
            if not self._is_measuring:
                return compute(piece).float().cpu()
            with _peak_of(self._device) as peak:
                values = compute(piece).float().cpu()
        except (RuntimeError, MemoryError) as error:  # of which torch.OutOfMemoryError is one
            if not ran_out_of_memory(error):
                raise
            return None
        self._grow(piece, peak())
        return values

    def _grow(self, piece: WindowBatch, num_bytes: int) -> None:
        self._bytes_per_sample = max(self._bytes_per_sample, num_bytes / piece.waveforms.numel())
        budget = SHARE_OF_FREE.get(self._device.type, 0.25) * (_free_bytes(self._device) + num_bytes)
        fitting = int(budget / max(self._bytes_per_sample * self._num_samples, 1))
        # Not more than double at a time: an estimate from few windows, or from short ones, may be far off.
        self.now = max(1, min(fitting, self._largest, 2 * self.now))
        self._is_measuring = self.now < min(fitting, self._largest)

    def _halve(self, num_windows: int, num_samples: int) -> None:
        _give_back(self._device)
        if num_windows == 1:
            raise ValueError(
                f"out of memory: not even one window of {num_samples} samples fits ({self._device.type}). "
                "Use a shorter --window_s, a smaller model or --precision bf16, or end other programs"
            )
        self.now = (num_windows + 1) // 2
        self._is_measuring, self.has_run_out = False, True


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch says so: only CUDA has an exception of its own for it."""
    words = str(error).lower()
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or "out of memory" in words
        or "not enough memory" in words
    )


@contextmanager
def _peak_of(device: torch.device) -> Iterator[Callable[[], int]]:
    """Measure by how many bytes the memory in use grows at most while the block runs."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield lambda: torch.cuda.max_memory_allocated(device) - before
    elif device.type == "mps":
        before = torch.mps.driver_allocated_memory()  # keeps what was needed at most
        yield lambda: torch.mps.driver_allocated_memory() - before
    else:
        with _watched_resident_memory() as peak:
            yield peak


@contextmanager
def _watched_resident_memory() -> Iterator[Callable[[], int]]:
    process, ended = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    seen = [before]

    def watch() -> None:
        while not ended.wait(WATCH_EVERY_S):
            seen[0] = max(seen[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        yield lambda: max(seen[0], process.memory_info().rss) - before
    finally:
        ended.set()
        watcher.join()


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        held_for_later = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held_for_later
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return psutil.virtual_memory().available


def _give_back(device: torch.device) -> None:
    """Free what a failed attempt left; the caller must have left its `except` block."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
