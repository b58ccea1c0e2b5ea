from collections import Counter

import numpy as np
import pytest
import torch

from bioacoustics.data.batches import Batch, DataConfig, UpdatePlan


def batch_of(num_rows: int, num_classes: int | None = 2) -> Batch:
    return Batch(
        waveforms=torch.arange(num_rows * 3.0).reshape(num_rows, 3),
        num_samples=torch.arange(num_rows),
        draw_ids=torch.arange(num_rows) + 10,
        targets=None if num_classes is None else torch.ones(num_rows, num_classes),
    )


def test_batch_keeps_its_rows_together() -> None:
    batch = batch_of(4)
    assert len(batch) == 4
    part = batch.rows(1, 3)
    assert part.draw_ids.tolist() == [11, 12]
    assert part.num_samples.tolist() == [1, 2]
    assert torch.equal(part.waveforms, batch.waveforms[1:3])
    assert part.targets is not None
    assert part.targets.shape == (2, 2)
    moved = batch_of(2, num_classes=None).to("cpu")
    assert moved.targets is None


def test_every_epoch_visits_each_window_once_in_a_new_order() -> None:
    plan = UpdatePlan(num_windows=7, rows_per_update=4, seed=3)
    epochs = [[plan.index_of(7 * epoch + i) for i in range(7)] for epoch in range(20)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 15
    assert epochs[0] != [UpdatePlan(num_windows=7, rows_per_update=4, seed=4).index_of(i) for i in range(7)]


def test_weighted_draws_follow_the_weights() -> None:
    weights = np.array([1.0, 0.0, 3.0])
    plan = UpdatePlan(num_windows=3, rows_per_update=4, weights=weights)
    counts = Counter(plan.index_of(draw_id) for draw_id in range(8000))
    assert counts[1] == 0
    assert counts[2] / 8000 == pytest.approx(0.75, abs=0.02)
    assert all(plan.replacement_of(draw_id, 0) != 1 for draw_id in range(100))


def test_replacements_differ_from_draw_to_draw_and_try_to_try() -> None:
    plan = UpdatePlan(num_windows=1000, rows_per_update=4)
    found = {plan.replacement_of(draw_id, attempt) for draw_id in range(10) for attempt in range(8)}
    assert len(found) > 70


@pytest.mark.parametrize("batch_size", [2, 3, 4, 5, 12])
@pytest.mark.parametrize(("num_processes", "num_micro"), [(1, 1), (1, 3), (2, 1), (2, 2), (3, 2)])
def test_micro_batches_share_out_an_update(batch_size: int, num_processes: int, num_micro: int) -> None:
    rows = batch_size * num_processes * num_micro
    plan = UpdatePlan(
        num_windows=50, rows_per_update=rows, num_processes=num_processes, num_micro_batches=num_micro
    )
    parts = [part for rank in range(num_processes) for part in plan.micro_batches(5, rank)]
    assert len(parts) == num_processes * num_micro
    assert sorted(row for part in parts for row in part) == list(range(5 * rows, 6 * rows))
    for part in parts:
        assert abs(len(part) - batch_size) <= 2
        assert part == sorted(part)
        # Mixup mixes row j with row B - 1 - j: the same pairs however the update is shared out.
        assert all(first + last == 11 * rows - 1 for first, last in zip(part, reversed(part), strict=True))


def test_batches_of_one_row_are_not_paired() -> None:
    plan = UpdatePlan(num_windows=5, rows_per_update=4, num_processes=4)
    assert [plan.micro_batches(1, rank) for rank in range(4)] == [[[4]], [[5]], [[6]], [[7]]]


def test_the_same_update_whether_gathered_or_spread() -> None:
    gathered = UpdatePlan(num_windows=9, rows_per_update=12, num_micro_batches=4)
    spread = UpdatePlan(num_windows=9, rows_per_update=12, num_processes=2, num_micro_batches=2)
    assert gathered.micro_batches(3, 0) == spread.micro_batches(3, 0) + spread.micro_batches(3, 1)


def test_impossible_plans_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="no window to train on"):
        UpdatePlan(num_windows=0, rows_per_update=4)
    with pytest.raises(ValueError, match="raise the batch size"):
        UpdatePlan(num_windows=4, rows_per_update=2, num_processes=3)


def test_data_config_counts() -> None:
    config = DataConfig(batch_size=12, update_freq=2, micro_batch_size=5)
    assert config.rows_per_update(num_processes=4) == 96
    assert config.num_micro_batches == 6
    assert DataConfig(batch_size=4, micro_batch_size=100).num_micro_batches == 1
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        DataConfig(batch_size=0)
