"""Ceilings: what a machine reaches in one large product, and computations timed between two looks at it.

Other programs of a machine make it faster and slower. So the ceiling is measured before and after each
repetition, with the same threads in the same process, and only the ratio is worth anything.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch

from bioacoustics.models import linear
from bioacoustics.models.eat import Size

Row = dict[str, Any]
Compute = Callable[[], object]


@dataclass
class Meter:
    """Times computations on one device.

    Args:
        device: Where they run.
        num_repetitions: How often each is timed, if `most_s` allows; the medians count.
        most_s: Seconds after which a computation is not repeated again.
        by_processor: Count seconds of processor time instead of the clock's. On a machine that others use
            these stay comparable, with one thread: several wait for each other busily.
    """

    device: torch.device
    num_repetitions: int = 5
    most_s: float = 60.0
    by_processor: bool = False
    _ceilings: dict[str, Callable[[], float]] = field(default_factory=dict)

    @property
    def is_gpu(self) -> bool:
        """Whether computations run beside the processor and must be waited for."""
        return self.device.type == "cuda"

    def seconds(self, compute: Compute) -> float:
        """How long one call takes."""
        clock = time.process_time if self.by_processor else time.perf_counter
        if self.is_gpu:
            torch.cuda.synchronize()
        started = clock()
        compute()
        if self.is_gpu:
            torch.cuda.synchronize()
        return clock() - started

    def ceilings(self) -> dict[str, float]:
        """Rates of large products in GFLOP/s, at this moment."""
        if not self._ceilings:
            self._ceilings = self._products()
            self.ceilings()  # the first look also starts threads and libraries
        return {name: rate() for name, rate in self._ceilings.items()}

    def copy_rate(self) -> float:
        """GB/s of a large copy, read and written."""
        big = torch.ones(2**28 if self.is_gpu else 2**26, device=self.device)
        copy = torch.ones_like(big)
        return 2 * big.nbytes / min(self.seconds(lambda: copy.copy_(big)) for _ in range(5)) / 1e9

    def against_ceilings(self, what: str, compute: Compute, gflop: float) -> Row:
        """Time a computation of so many GFLOP, and say which share of each ceiling that is."""
        deadline = time.perf_counter() + self.most_s
        compute()
        seconds: list[float] = []
        shares: dict[str, list[float]] = {}
        while not seconds or (len(seconds) < self.num_repetitions and time.perf_counter() < deadline):
            before, took_s, after = self.ceilings(), self.seconds(compute), self.ceilings()
            seconds.append(took_s)
            for name, rate in before.items():
                shares.setdefault(name, []).append(gflop / took_s / ((rate + after[name]) / 2))
        row: Row = {"what": what, "seconds": round(median(seconds), 4), "GFLOP": round(gflop, 1)}
        return row | {f"share of {name}": round(median(values), 3) for name, values in shares.items()}

    def times_faster(self, slow: Compute, fast: Compute) -> float:
        """How many times faster the second is, both called in turns."""
        deadline = time.perf_counter() + self.most_s
        slow(), fast()
        ratios: list[float] = []
        while not ratios or (len(ratios) < self.num_repetitions and time.perf_counter() < deadline):
            ratios.append(self.seconds(slow) / self.seconds(fast))
        return round(median(ratios), 2)

    @contextmanager
    def peak_memory(self) -> Iterator[list[float]]:
        """The most GB that were held: on a GPU allocated, else resident in the whole process."""
        peak, ended, process = [0.0], threading.Event(), psutil.Process()

        def watch() -> None:
            while not ended.wait(0.01):
                peak[0] = max(peak[0], process.memory_info().rss / 1e9)

        if self.is_gpu:
            torch.cuda.reset_peak_memory_stats()
            yield peak
            peak[0] = torch.cuda.max_memory_allocated() / 1e9
            return
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield peak
        finally:
            ended.set()
            watcher.join()

    def _products(self) -> dict[str, Callable[[], float]]:
        """Two ceilings on x86: torch's own product of float32, and the fastest that it has (oneDNN's).

        A share above 100 % of the first is no mistake: our linear layers use the second.
        """
        size = 8192 if self.is_gpu else 2048
        dtype = torch.bfloat16 if self.is_gpu else torch.float32
        one, two = (torch.randn(size, size, device=self.device, dtype=dtype) for _ in range(2))
        gflop = 2 * size**3 / 1e9
        name = "matmul bf16" if self.is_gpu else "matmul float32"
        rates = {name: lambda: gflop / self.seconds(lambda: one @ two)}
        if linear.HAS_ONEDNN_PRODUCT and not self.is_gpu:
            rates["fastest float32"] = lambda: gflop / self.seconds(lambda: linear.product(one, two))
        return rates


@dataclass(frozen=True)
class Bench:
    """What all rows of the table share.

    Attributes:
        size: Size of the models; others than base only show that everything runs.
        is_quick: Less sound and fewer repetitions.
        recordings: Real recordings, for the cosines of lower precision.
        model_path: A trained model for the same; random weights without it.
        rows: The rows so far.
    """

    meter: Meter
    size: Size
    is_quick: bool
    recordings: Path
    model_path: Path | None
    rows: list[Row]
