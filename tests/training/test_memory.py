import pytest
import torch

from bioacoustics.data.batches import Batch
from bioacoustics.training.memory import advice, num_fitting_rows


def batch_of(num_rows: int) -> Batch:
    return Batch(
        waveforms=torch.zeros(num_rows, 4),
        num_samples=torch.full((num_rows,), 4),
        draw_ids=torch.arange(num_rows),
    )


@pytest.mark.parametrize(
    ("num_rows", "room", "expected"),
    [(12, 12, 6), (12, 5, 3), (12, 1, 1), (7, 2, 2), (7, 0, None), (1, 0, None)],
)
def test_halves_until_it_fits(num_rows: int, room: int, expected: int | None) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    tried: list[int] = []

    def learn(batch: Batch) -> None:
        tried.append(len(batch))
        weight.grad = torch.ones(3)
        if len(batch) > room:
            raise torch.OutOfMemoryError("no room")

    assert num_fitting_rows(learn, batch_of(num_rows), [weight], has_moments=False) == expected
    assert tried == sorted(tried, reverse=True)
    assert expected is None or weight.grad is None


def test_advice_names_the_flags() -> None:
    assert "--micro_batch_size 3" in advice(12, 3)
    assert "--batch_size to 3" in advice(12, 3)
    assert "shorter windows" in advice(12, None)
