"""Loading: windows read in threads, joined to batches and brought to the device before they are needed."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from bioacoustics.audio.containers import UnreadableAudioError, printable
from bioacoustics.data.batches import EVALUATION_DRAWS, MAX_REPLACEMENTS, Batch, DataConfig, UpdatePlan
from bioacoustics.data.windows import Problem, Window, Windows

_JUDGED_WINDOWS = 256  # so many first windows decide whether the data can be read at all
_FEWEST_JUDGED = 16


class BatchLoader:
    """Reads the micro-batches of one process in threads, ahead of training, and brings them to the device.

    Decoding and resampling release the interpreter lock, so threads suffice on every platform.

    A window that cannot be read is replaced by another, chosen by its draw id, and reported in the batch.
    """

    def __init__(
        self,
        windows: Windows,
        plan: UpdatePlan,
        config: DataConfig,
        *,
        rank: int = 0,
        device: torch.device | None = None,
    ) -> None:
        assert len(windows) == plan.num_windows
        self._windows = windows
        self._plan = plan
        self._rank = rank
        self._reading = _ReadAhead(windows.num_samples, config, device or torch.device("cpu"))
        self._num_judged = 0
        self._num_unusable = 0

    def batches(self, first_update: int, end_update: int) -> Iterator[tuple[int, int, Batch]]:
        """Yield (update, micro-batch number, batch) for all updates from the first to before the end.

        Raises:
            ValueError: So many windows are unreadable that something more general must be wrong.
        """
        keys = [range(first_update, end_update), range(self._plan.num_micro_batches)]
        jobs = (ids for update in keys[0] for ids in self._plan.micro_batches(update, self._rank))
        batches = self._reading.batches(jobs, self._read)
        for update in keys[0]:
            for micro in keys[1]:
                batch = next(batches)
                self._judge(batch)
                yield update, micro, batch

    def close(self) -> None:
        """Stop the threads; windows not yet begun are dropped."""
        self._reading.close()

    def _read(self, draw_id: int) -> "_Row":
        problems: list[Problem] = []
        index = self._plan.index_of(draw_id)
        for attempt in range(MAX_REPLACEMENTS):
            window, more_problems = _read_window(self._windows, index, draw_id)
            problems += more_problems
            if window is not None:
                return _Row(draw_id, window, tuple(problems))
            index = self._plan.replacement_of(draw_id, attempt)
        raise ValueError(
            f"{MAX_REPLACEMENTS} windows in a row could not be read; the last was {problems[-1].path}: "
            f"{problems[-1].reason}. Remove or repair such files; `bioacoustics doctor` shows which decoders "
            "are missing"
        )

    def _judge(self, batch: Batch) -> None:
        if self._num_judged >= _JUDGED_WINDOWS:
            return
        unusable = [problem for problem in batch.problems if problem.is_unusable]
        self._num_judged += len(batch) + len(unusable)
        self._num_unusable += len(unusable)
        if unusable and self._num_judged >= _FEWEST_JUDGED and 2 * self._num_unusable > self._num_judged:
            raise ValueError(
                f"{self._num_unusable} of the first {self._num_judged} windows could not be read, e.g. "
                f"{unusable[-1].path}: {unusable[-1].reason}. Training on the rest would hide that: remove "
                "or repair these files; `bioacoustics doctor` shows which decoders are missing"
            )


class EvaluationLoader:
    """Reads every window once, in order, shared by the processes: rank r has windows r, r + P, r + 2P, ...

    Nothing is padded and nothing read twice, so sums over all processes are exact; processes may have a
    different number of batches. Draw ids are `EVALUATION_DRAWS + index`: the same masks every time. A window
    that cannot be read is left out; `problems` tells.
    """

    def __init__(
        self,
        windows: Windows,
        config: DataConfig,
        *,
        rank: int = 0,
        num_processes: int = 1,
        device: torch.device | None = None,
    ) -> None:
        self._windows = windows
        self._batch_size = min(config.micro_batch_size or config.batch_size, config.batch_size)
        self._indices = range(rank, len(windows), num_processes)
        self._reading = _ReadAhead(windows.num_samples, config, device or torch.device("cpu"))
        self.problems: list[Problem] = []

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of this process; each iteration begins anew."""
        self.problems = []
        starts = range(0, len(self._indices), self._batch_size)
        jobs = ([EVALUATION_DRAWS + i for i in self._indices[s : s + self._batch_size]] for s in starts)
        for batch in self._reading.batches(jobs, self._read):
            self.problems += batch.problems
            if len(batch):
                yield batch

    def close(self) -> None:
        """Stop the threads."""
        self._reading.close()

    def _read(self, draw_id: int) -> "_Row":
        window, problems = _read_window(self._windows, draw_id - EVALUATION_DRAWS, draw_id)
        return _Row(draw_id, window, problems)


@dataclass(frozen=True, slots=True)
class _Row:
    draw_id: int
    window: Window | None
    problems: tuple[Problem, ...]


class _ReadAhead:
    """Threads that read rows, one that joins them to batches, and a batch that waits on the device."""

    def __init__(self, num_samples: int, config: DataConfig, device: torch.device) -> None:
        self._num_samples = num_samples
        self._look_ahead = config.look_ahead
        self._device = device
        self._readers = ThreadPoolExecutor(config.num_threads or _default_num_threads(), "read-window")
        self._joiner = ThreadPoolExecutor(1, "join-batch")

    def batches(self, jobs: Iterable[Sequence[int]], read: Callable[[int], _Row]) -> Iterator[Batch]:
        """Yield one batch for each job, a list of draw ids, in order."""
        pending: deque[Future[Batch]] = deque()
        upload = deque[Batch]()  # copied to the device while the batch before it is being used
        try:
            for job in jobs:
                rows = [self._readers.submit(read, draw_id) for draw_id in job]
                pending.append(self._joiner.submit(self._joined, rows))
                if len(pending) > self._look_ahead:
                    upload.append(self._on_device(pending.popleft()))
                if len(upload) > 1:
                    yield upload.popleft()
            while pending:
                upload.append(self._on_device(pending.popleft()))
                if len(upload) > 1:
                    yield upload.popleft()
            yield from upload
        finally:
            for future in pending:
                future.cancel()

    def close(self) -> None:
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._joiner.shutdown(wait=True, cancel_futures=True)

    def _on_device(self, batch: "Future[Batch]") -> Batch:
        return batch.result().to(self._device, non_blocking=True)

    def _joined(self, futures: Sequence["Future[_Row]"]) -> Batch:
        rows = [future.result() for future in futures]
        batch = _batch_of(rows, self._num_samples)
        # Page-locked memory exists for CUDA only.
        return batch.pin_memory() if self._device.type == "cuda" else batch


def _batch_of(rows: Sequence[_Row], num_samples: int) -> Batch:
    read = [(row.draw_id, row.window) for row in rows if row.window is not None]
    waveforms = torch.zeros(len(read), num_samples)
    for waveform, (_, window) in zip(waveforms, read, strict=True):
        waveform[: len(window.samples)] = torch.from_numpy(window.samples)
    targets = [window.target for _, window in read if window.target is not None]
    return Batch(
        waveforms=waveforms,
        num_samples=torch.tensor([len(window.samples) for _, window in read], dtype=torch.int64),
        draw_ids=torch.tensor([draw_id for draw_id, _ in read], dtype=torch.int64),
        targets=torch.from_numpy(np.stack(targets).astype(np.float32)) if targets else None,
        problems=tuple(problem for row in rows for problem in row.problems),
        origins=tuple(window.origin for _, window in read if window.origin is not None),
    )


def _read_window(windows: Windows, index: int, draw_id: int) -> tuple[Window | None, tuple[Problem, ...]]:
    try:
        window = windows.read(index, draw_id)
    except UnreadableAudioError as error:
        return None, (Problem(printable(error.path), error.reason, is_unusable=True),)
    return window, window.problems


def _default_num_threads() -> int:
    has_affinity = hasattr(os, "sched_getaffinity")
    num_cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(2, min(8, num_cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
