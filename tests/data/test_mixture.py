"""Mixed sources: shares of every update, epochs of each source, and the same draws however they are split."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioacoustics.audio.recordings import UnreadableAudioError
from bioacoustics.data.batches import Batch, DataConfig, UpdatePlan
from bioacoustics.data.loading import BatchLoader, EvaluationLoader
from bioacoustics.data.mixture import MixedWindows, Mixture, Source, shared_out
from bioacoustics.data.windows import Origin, Window


class Numbers:
    """Windows that sound like their number in their source."""

    num_samples = 4
    window_s = 0.1

    def __init__(self, first: int, count: int, broken: tuple[int, ...] = ()) -> None:
        self.first, self.count, self.broken = first, count, broken

    def __len__(self) -> int:
        return self.count

    def read(self, index: int, draw_id: int) -> Window:
        if index in self.broken:
            raise UnreadableAudioError(Path(f"{index}.wav"), "it is broken")
        samples = np.full(self.num_samples, self.first + index, dtype=np.float32)
        return Window(samples=samples)


def sources(*sizes: int, broken: tuple[int, ...] = ()) -> list[Source]:
    return [
        Source(
            windows=Numbers(100 * n, size, broken),
            origins=[Origin(f"source {n}", item=100 * n + i) for i in range(size)],
            ratio=1.0,
        )
        for n, size in enumerate(sizes)
    ]


@given(st.integers(1, 60), st.lists(st.floats(0.05, 20), min_size=1, max_size=5))
def test_rows_are_shared_out_by_the_ratios(num_rows: int, ratios: list[float]) -> None:
    if num_rows < len(ratios):
        with pytest.raises(ValueError, match="cannot hold one of each"):
            shared_out(num_rows, ratios)
        return
    counts = shared_out(num_rows, ratios)
    assert sum(counts) == num_rows
    assert min(counts) >= 1
    wanted = [ratio * num_rows / sum(ratios) for ratio in ratios]
    if min(wanted) >= 1:
        assert all(abs(count - share) < 1 for count, share in zip(counts, wanted, strict=True))


def test_every_update_has_its_shares_and_every_source_its_epochs() -> None:
    mixture = Mixture((50, 3, 7), (4.0, 1.0, 1.0), rows_per_update=12)
    assert mixture.num_rows == (8, 2, 2)
    starts = (0, 50, 53, 60)
    seen: list[list[int]] = [[], [], []]
    for update in range(40):
        indices = [mixture.index_of(12 * update + row, seed=3) for row in range(12)]
        for n in range(3):
            of_source = [i for i in indices if starts[n] <= i < starts[n + 1]]
            assert len(of_source) == mixture.num_rows[n]
            seen[n] += of_source
    for n, size in enumerate((50, 3, 7)):
        for epoch in range(len(seen[n]) // size):
            assert sorted(seen[n][epoch * size : (epoch + 1) * size]) == list(range(starts[n], starts[n + 1]))
        assert seen[n][:size] != seen[n][size : 2 * size]


def test_every_part_of_an_update_has_about_the_same_mixture() -> None:
    mixture = Mixture((9, 9, 9), (2.0, 1.0, 1.0), rows_per_update=32)
    plan = UpdatePlan(
        num_windows=27, rows_per_update=32, num_processes=2, num_micro_batches=2, mixture=mixture
    )
    for rank in range(2):
        for part in plan.micro_batches(5, rank):
            counts = Counter(plan.index_of(draw) // 9 for draw in part)
            assert counts[0] in range(3, 6)
            assert counts[1] >= 1
            assert counts[2] >= 1


def batches(plan: UpdatePlan, windows: MixedWindows, rank: int = 0) -> list[Batch]:
    loader = BatchLoader(windows, plan, DataConfig(num_threads=2), rank=rank)
    try:
        return [batch for _, _, batch in loader.batches(0, 6)]
    finally:
        loader.close()


def test_rows_say_where_they_come_from_and_replacements_come_from_there_too() -> None:
    windows = MixedWindows(sources(20, 5, broken=(1, 4)))
    mixture = Mixture((20, 5), (1.0, 1.0), rows_per_update=6)

    def plan(num_processes: int, num_micro_batches: int) -> UpdatePlan:
        return UpdatePlan(
            num_windows=25,
            rows_per_update=6,
            num_processes=num_processes,
            num_micro_batches=num_micro_batches,
            mixture=mixture,
        )

    whole = batches(plan(1, 1), windows)
    for batch in whole:
        assert Counter(origin.source for origin in batch.origins) == {"source 0": 3, "source 1": 3}
        assert [origin.item for origin in batch.origins] == batch.waveforms[:, 0].tolist()
    assert any(batch.problems for batch in whole)
    split = [
        *batches(plan(2, 1), windows, 0),
        *batches(plan(2, 1), windows, 1),
        *batches(plan(1, 3), windows),
    ]
    by_draw = {int(d): o for batch in whole for d, o in zip(batch.draw_ids, batch.origins, strict=True)}
    for batch in split:
        assert all(by_draw[int(d)] == o for d, o in zip(batch.draw_ids, batch.origins, strict=True))
    assert sum(len(batch) for batch in split) == 72
    part = whole[0].at([4, 1])
    assert part.origins == (whole[0].origins[4], whole[0].origins[1])
    assert part.waveforms[:, 0].tolist() == [origin.item for origin in part.origins]
    assert whole[0].rows(2, 4).origins == whole[0].origins[2:4]


def test_evaluation_reads_all_sources_in_order() -> None:
    loader = EvaluationLoader(MixedWindows(sources(3, 2)), DataConfig(batch_size=2))
    items = [origin.item for batch in loader for origin in batch.origins]
    loader.close()
    assert items == [0, 1, 2, 100, 101]


def test_ratios_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Mixture((2, 2), (1.0, 0.0), rows_per_update=4)
