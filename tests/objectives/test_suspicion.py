"""Which negatives resemble the positives, against loops that say the same."""

import pytest
import torch

from bioacoustics.objectives.memory_bank import NO_CLASS, Keys
from bioacoustics.objectives.suspicion import NUM_NEAREST, suspicion_of


def keys_of(num_positives: int, num_negatives: int) -> Keys:
    generator = torch.Generator().manual_seed(num_positives)
    count = num_positives + num_negatives
    items = torch.randperm(count, generator=generator) + 50
    return Keys(
        features=torch.nn.functional.normalize(torch.randn(count, 6, generator=generator), dim=1),
        draw_ids=torch.arange(count),
        items=items,
        recordings=items,
        classes=torch.where(torch.arange(count) < num_positives, items % 2, NO_CLASS),
    )


@pytest.mark.parametrize("num_positives", [1, 3, 9])
def test_every_negative_is_listed_by_the_mean_over_its_nearest_positives(num_positives: int) -> None:
    keys = keys_of(num_positives, 7)
    rows = []
    for i in range(num_positives, len(keys)):
        similar = [
            (float(keys.features[i] @ keys.features[j]), int(keys.items[j])) for j in range(num_positives)
        ]
        top = sorted(similar, reverse=True)[:NUM_NEAREST]
        rows.append((sum(s for s, _ in top) / len(top), int(keys.items[i]), top[0][1]))
    rows.sort(reverse=True)
    found = suspicion_of(keys)
    assert found.items.tolist() == [item for _, item, _ in rows]
    assert found.nearest_items.tolist() == [nearest for _, _, nearest in rows]
    assert found.similarities.tolist() == pytest.approx([mean for mean, _, _ in rows], abs=1e-6)


def test_without_positives_nothing_can_be_said() -> None:
    with pytest.raises(ValueError, match="none of the positive clips could be heard"):
        suspicion_of(keys_of(0, 3))
