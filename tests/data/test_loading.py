import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bioacoustics.audio.recordings import UnreadableAudioError
from bioacoustics.data.batches import EVALUATION_DRAWS, Batch, DataConfig, UpdatePlan
from bioacoustics.data.loading import BatchLoader, EvaluationLoader
from bioacoustics.data.windows import Problem, Window


class NumberedWindows:
    """Window i has i + 1 samples (at most 6) of value i."""

    num_samples = 6
    window_s = 1.0

    def __init__(
        self,
        num_windows: int,
        *,
        broken: tuple[int, ...] = (),
        on_read: Callable[[int], None] = lambda index: None,
    ) -> None:
        self.num_windows, self.broken, self.on_read = num_windows, broken, on_read

    def __len__(self) -> int:
        return self.num_windows

    def read(self, index: int, draw_id: int) -> Window:
        self.on_read(index)
        if index in self.broken:
            raise UnreadableAudioError(Path(f"{index}.wav"), "it is broken")
        samples = np.full(min(index + 1, 6), index, dtype=np.float32)
        return Window(samples=samples, target=np.array([index, -index], dtype=np.float32))


def training_batches(
    windows: NumberedWindows, *, first: int = 0, end: int = 4, num_threads: int = 3, look_ahead: int = 2
) -> list[tuple[int, int, Batch]]:
    config = DataConfig(batch_size=4, update_freq=2, num_threads=num_threads, look_ahead=look_ahead)
    plan = UpdatePlan(num_windows=len(windows), rows_per_update=8, num_micro_batches=2, seed=3)
    loader = BatchLoader(windows, plan, config)
    try:
        return list(loader.batches(first, end))
    finally:
        loader.close()


def test_batches_hold_the_planned_rows_padded_with_zeros() -> None:
    windows = NumberedWindows(11)
    plan = UpdatePlan(num_windows=11, rows_per_update=8, num_micro_batches=2, seed=3)
    found = training_batches(windows)
    assert [(update, micro) for update, micro, _ in found] == [(u, m) for u in range(4) for m in range(2)]
    for update, micro, batch in found:
        assert batch.draw_ids.tolist() == plan.micro_batches(update, 0)[micro]
        indices = [plan.index_of(draw_id) for draw_id in batch.draw_ids.tolist()]
        assert batch.num_samples.tolist() == [min(index + 1, 6) for index in indices]
        assert batch.targets is not None
        assert batch.targets.tolist() == [[index, -index] for index in indices]
        for row, index in zip(batch.waveforms, indices, strict=True):
            assert row.tolist() == [float(index)] * min(index + 1, 6) + [0.0] * (5 - index)
    assert len({index for _, _, batch in found for index in batch.targets[:, 0].tolist()}) == 11


def equal(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.waveforms, other.waveforms)
        and torch.equal(one.draw_ids, other.draw_ids)
        and one.problems == other.problems
    )


def test_start_and_threads_change_nothing() -> None:
    def stumble(index: int) -> None:
        time.sleep(0.002 * (index % 3))

    windows = NumberedWindows(11, broken=(2, 7), on_read=stumble)
    whole = training_batches(windows, num_threads=4, look_ahead=5)
    rest = training_batches(windows, first=2, num_threads=1, look_ahead=1)
    assert all(equal(one[2], other[2]) for one, other in zip(whole[4:], rest, strict=True))


def test_unreadable_windows_are_replaced_and_reported() -> None:
    found = training_batches(NumberedWindows(11, broken=(2, 7)), end=11)
    problems = [problem for _, _, batch in found for problem in batch.problems]
    assert {problem.path for problem in problems} == {"2.wav", "7.wav"}
    assert all(problem == Problem(problem.path, "it is broken", is_unusable=True) for problem in problems)
    assert len(problems) >= 16  # 88 draws are 8 epochs of 11, and replacements may fail too
    assert all(len(batch) == 4 for _, _, batch in found)
    values = {value for _, _, batch in found for value in batch.waveforms[:, 0].tolist()}
    assert values == set(range(11)) - {2, 7}


def test_data_that_is_mostly_unreadable_stops_the_run() -> None:
    with pytest.raises(
        ValueError, match=r"of the first \d+ windows could not be read, e.g. .*wav: it is broken"
    ):
        training_batches(NumberedWindows(40, broken=tuple(range(30))), end=10)
    with pytest.raises(ValueError, match="8 windows in a row could not be read"):
        training_batches(NumberedWindows(4, broken=(0, 1, 2, 3)))


def test_a_few_unreadable_windows_at_the_start_are_no_reason_to_stop() -> None:
    assert len(training_batches(NumberedWindows(40, broken=tuple(range(10))), end=10)) == 20


def test_errors_of_our_own_are_not_hidden() -> None:
    def fail(index: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        training_batches(NumberedWindows(4, on_read=fail))


def test_reading_runs_ahead_but_not_away() -> None:
    read: list[int] = []
    config = DataConfig(batch_size=4, num_threads=2, look_ahead=3)
    windows = NumberedWindows(1000, on_read=read.append)
    loader = BatchLoader(windows, UpdatePlan(num_windows=1000, rows_per_update=4), config)
    batches = loader.batches(0, 100)
    next(batches)
    deadline = time.monotonic() + 10
    while len(read) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert 16 <= len(read) <= 4 * (1 + 1 + 3 + 1)
    loader.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read-", "join-"))]


@pytest.mark.parametrize("num_processes", [1, 2, 3, 8])
def test_evaluation_reads_every_window_once(num_processes: int) -> None:
    seen: list[int] = []
    for rank in range(num_processes):
        loader = EvaluationLoader(
            NumberedWindows(7, broken=(5,)),
            DataConfig(batch_size=2),
            rank=rank,
            num_processes=num_processes,
        )
        for _ in range(2):  # it can be used again
            ids = [draw_id for batch in loader for draw_id in batch.draw_ids.tolist()]
            indices = [draw_id - EVALUATION_DRAWS for draw_id in ids]
            assert indices == sorted(indices)
        seen += indices
        assert [problem.path for problem in loader.problems] == (
            ["5.wav"] if 5 % num_processes == rank else []
        )
        loader.close()
    assert sorted(seen) == [0, 1, 2, 3, 4, 6]
