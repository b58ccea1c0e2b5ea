"""The attentive probe: it listens where the sound is, and says the same twice."""

import numpy as np
import pytest
import torch

from bioacoustics.training.attentive import AttentiveConfig, attentive_probe
from bioacoustics.training.linear import linear_probe
from bioacoustics.training.probes import ProbeTask


def short_calls(num_clips: int = 90, num_patches: int = 24) -> tuple[torch.Tensor, ProbeTask]:
    """One patch of each clip, somewhere, holds its label and a mark; the others hold louder noise."""
    generator = np.random.default_rng(0)
    labels = np.arange(num_clips) % 3
    patches = generator.normal(size=(num_clips, num_patches, 10))
    patches[..., 9] = 0
    places = generator.integers(num_patches, size=num_clips)
    patches[np.arange(num_clips), places, :3] = 3 * np.eye(3)[labels]
    patches[np.arange(num_clips), places, 9] = 1
    task = ProbeTask.of(np.eye(3)[labels], [str(i // 2) for i in range(num_clips)], multi_label=False)
    return torch.from_numpy(patches).half(), task


def test_attention_finds_a_short_call_that_the_mean_drowns() -> None:
    patches, task = short_calls()
    attentive = attentive_probe(patches, task, config=AttentiveConfig(max_epochs=60))
    linear = linear_probe(patches.float().mean(dim=1).numpy(), task)
    assert attentive.value > 0.8
    assert attentive.value > linear.value + 0.15


def test_the_same_seed_says_the_same() -> None:
    patches, task = short_calls(30, 8)
    config = AttentiveConfig(max_epochs=6)
    one, same = attentive_probe(patches, task, config=config), attentive_probe(patches, task, config=config)
    other = attentive_probe(patches, task, config=AttentiveConfig(max_epochs=6, seed=1))
    assert one.predictions is not None
    np.testing.assert_array_equal(one.predictions, same.predictions)
    assert other.predictions is not None
    assert np.abs(one.predictions - other.predictions).max() > 1e-4


def test_padding_is_not_heard() -> None:
    patches, task = short_calls(30, 8)
    config = AttentiveConfig(max_epochs=4)
    expected = attentive_probe(patches, task, config=config).predictions
    longer = torch.cat([patches, torch.full((30, 3, 10), 100.0, dtype=torch.float16)], dim=1)
    padded = attentive_probe(longer, task, num_patches=torch.full((30,), 8), config=config).predictions
    assert expected is not None
    np.testing.assert_allclose(padded, expected, atol=2e-3)
    with pytest.raises(ValueError, match="at least one patch"):
        attentive_probe(longer, task, num_patches=torch.zeros(30, dtype=torch.int64), config=config)
