"""The batch grows by measured memory, halves when there is none left, and never changes a row."""

import mmap

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor

from bioacoustics.inference import batch_size as module
from bioacoustics.inference.batch_size import FIRST, LARGEST, BatchSize, ran_out_of_memory
from bioacoustics.inference.windows import WindowBatch

CPU = torch.device("cpu")
NUM_SAMPLES = 160


def batch_of(num_windows: int, num_samples: int = NUM_SAMPLES) -> WindowBatch:
    waveforms = torch.from_numpy(np.random.default_rng(0).normal(size=(num_windows, num_samples)))
    return WindowBatch(
        positions=tuple(range(num_windows)),
        takes=(),
        segments=(),
        readings=(),
        waveforms=waveforms.float(),
        num_samples=torch.full((num_windows,), num_samples),
    )


def taken(num_bytes: int) -> mmap.mmap | None:
    """So much new memory: numpy might get what earlier tests gave back to this process."""
    if not num_bytes:
        return None
    pages = mmap.mmap(-1, num_bytes)
    np.frombuffer(pages, np.uint8)[:] = 1
    return pages


class Hungry:
    """A model that wants so many bytes for a window, of a device that has only so many windows' worth."""

    def __init__(self, *, num_fitting: int = 10**6, bytes_per_window: int = 0, error: str = "") -> None:
        self.sizes: list[int] = []
        self._num_fitting, self._bytes, self._error = num_fitting, bytes_per_window, error

    def __call__(self, batch: WindowBatch) -> Tensor:
        self.sizes.append(len(batch))
        if len(batch) > self._num_fitting:
            if self._error:
                raise RuntimeError(self._error)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        held = taken(self._bytes * len(batch))
        values = batch.waveforms.square().mean(dim=1, keepdim=True)
        del held
        return values


@pytest.mark.parametrize(
    "error",
    [
        "",
        "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: not enough memory: you tried to allocate",
        "MPS backend out of memory (MPS allocated: 8 GB)",
    ],
)
def test_it_halves_until_the_windows_fit_and_every_row_is_there(error: str) -> None:
    model, size = Hungry(num_fitting=3, error=error), BatchSize(CPU, 16, NUM_SAMPLES)
    batch = batch_of(16)
    ours = size.outputs(model, batch)
    torch.testing.assert_close(ours, batch.waveforms.square().mean(dim=1, keepdim=True), rtol=0, atol=0)
    assert model.sizes == [16, 8, 4, *[2] * 8]
    assert size.has_run_out
    assert size.now == 2  # later batches are asked for in the size that fits
    size.outputs(model, batch_of(2))
    assert model.sizes[-1] == 2


def test_one_window_that_does_not_fit_is_an_error_that_helps() -> None:
    with pytest.raises(ValueError, match=r"not even one window of 160 .* shorter --window_s"):
        BatchSize(CPU, 4, NUM_SAMPLES).outputs(Hungry(num_fitting=0), batch_of(4))


def test_other_errors_pass() -> None:
    model = Hungry(num_fitting=0, error="mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes"):
        BatchSize(CPU, None, NUM_SAMPLES).outputs(model, batch_of(2))
    assert not ran_out_of_memory(RuntimeError("shapes"))
    assert ran_out_of_memory(MemoryError())


def test_a_number_of_the_user_is_kept() -> None:
    size = BatchSize(CPU, 5, NUM_SAMPLES)
    size.outputs(Hungry(), batch_of(5))
    assert size.now == 5


def test_with_memory_to_spare_a_processor_takes_what_pays() -> None:
    size = BatchSize(CPU, None, NUM_SAMPLES)
    for _ in range(3):
        size.outputs(Hungry(), batch_of(size.now))
    assert size.now == LARGEST["cpu"]


def test_the_memory_that_was_measured_sets_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 MB a window, 240 MB to spare and a quarter of that to be used: about 3 windows."""
    free = 240_000_000
    monkeypatch.setattr(module, "_free_bytes", lambda device: free)
    size = BatchSize(CPU, None, NUM_SAMPLES)
    size.outputs(Hungry(bytes_per_window=20_000_000), batch_of(size.now))
    assert 2 <= size.now <= 5
    short = BatchSize(CPU, None, 10 * NUM_SAMPLES)  # the first windows are short, later ones ten times longer
    short.outputs(Hungry(bytes_per_window=20_000_000), batch_of(short.now))
    assert short.now == 1


def test_a_large_device_is_filled_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LARGEST, "cpu", 100)
    size, sizes = BatchSize(CPU, None, NUM_SAMPLES), []
    for _ in range(6):
        sizes.append(size.now)
        size.outputs(Hungry(), batch_of(size.now))
    assert sizes == [FIRST, 16, 32, 64, 100, 100]


def test_watching_memory_leaves_no_thread_behind() -> None:
    before = psutil.Process().num_threads()
    with module._peak_of(CPU) as peak:
        held = taken(50_000_000)
        assert held is not None
        assert 40e6 < peak() < 80e6
    assert psutil.Process().num_threads() == before
