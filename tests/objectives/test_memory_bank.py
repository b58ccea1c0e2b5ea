"""The ring of keys against a plain list of the newest ones."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bioacoustics.objectives.memory_bank import Keys, MemoryBank

DIM = 3


def keys_of(numbers: list[int], draw_ids: list[int] | None = None) -> Keys:
    """Keys whose every field follows from their number."""
    values = torch.tensor(numbers, dtype=torch.int64)
    angles = values.float()[:, None] * torch.tensor([1.0, 2.0, 3.0])
    return Keys(
        features=5 * torch.cos(angles),
        draw_ids=values if draw_ids is None else torch.tensor(draw_ids, dtype=torch.int64),
        items=values + 10,
        recordings=values + 20,
        classes=values + 30,
    )


@given(size=st.integers(1, 7), counts=st.lists(st.integers(0, 16), max_size=9))
def test_the_bank_is_a_list_of_the_newest_entries(size: int, counts: list[int]) -> None:
    """Whatever the sizes of the updates, also those that cross the end of the ring or exceed it."""
    bank, plain, number = MemoryBank(size, DIM), list[tuple[int, int]](), 0
    for step, count in enumerate(counts):
        numbers = list(range(number, number + count))
        number += count
        bank.enqueue(keys_of(numbers), step)
        plain = [*plain, *((n, step) for n in numbers)][-size:]
    held = bank.is_valid
    found = sorted(zip((bank.items[held] - 10).tolist(), bank.steps[held].tolist(), strict=True))
    assert found == plain
    numbers_held = bank.items[held] - 10
    assert torch.equal(bank.recordings[held], numbers_held + 20)
    assert torch.equal(bank.classes[held], numbers_held + 30)
    wanted = keys_of(numbers_held.tolist()).features
    torch.testing.assert_close(bank.features[held], wanted / wanted.norm(dim=1, keepdim=True))
    assert bank.features.dtype == torch.float32
    age = sum(20 - step for _, step in plain) / max(1, len(plain))
    assert bank.mean_age(20).item() == pytest.approx(age)


def test_keys_enter_in_the_order_of_their_draws() -> None:
    one, other = MemoryBank(4, DIM), MemoryBank(4, DIM)
    one.enqueue(keys_of([0, 1, 2]), 1)
    other.enqueue(keys_of([2, 0, 1], draw_ids=[2, 0, 1]), 1)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_a_saved_bank_goes_on_as_if_nothing_had_happened() -> None:
    whole, first, second = (MemoryBank(5, DIM) for _ in range(3))
    for bank in (whole, first):
        bank.enqueue(keys_of([0, 1, 2, 3]), 1)
    second.load_state_dict(first.state_dict())
    for bank in (whole, second):
        bank.enqueue(keys_of([4, 5, 6]), 2)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_a_key_that_is_not_finite_is_never_compared_with() -> None:
    bank = MemoryBank(4, DIM)
    keys = keys_of([1, 2, 3])
    keys.features[1, 0] = torch.inf
    keys.features[2, 0] = torch.nan
    bank.enqueue(keys, 1)
    assert bank.is_valid.tolist() == [True, False, False, False]
    assert bank.features.isfinite().all()


def test_a_bank_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one slot, got 0"):
        MemoryBank(0, DIM)
