"""Recipes: what depends on the amount of data, and that flags come before it."""

from pathlib import Path

import pytest

from bioacoustics.audio.recordings import Recording
from bioacoustics.objectives.masked_latent import MaskedLatentConfig
from bioacoustics.training.optimizer import OptimizerConfig
from bioacoustics.workflows.pretrain import PretrainConfig
from bioacoustics.workflows.recipe import PUBLISHED, SMALL, RecipeName, recipe_of


@pytest.mark.parametrize(
    ("name", "hours", "is_new", "expected"),
    [
        ("auto", 99.0, True, SMALL),
        ("auto", 101.0, True, PUBLISHED),
        ("auto", 1.0, False, PUBLISHED),
        ("small", 1000.0, False, SMALL),
        ("published", 1.0, True, PUBLISHED),
    ],
)
def test_auto_goes_by_hours_and_by_what_is_continued(
    name: RecipeName, hours: float, is_new: bool, expected: object
) -> None:
    half = Recording(
        path=Path("a.wav"),
        relative_path="a.wav",
        sample_rate_hz=1000,
        num_channels=1,
        num_samples=int(hours * 1_800_000),
        container="WAV",
    )
    assert recipe_of(name, [half, half], is_new=is_new) is expected


def test_published_is_what_the_parts_have_by_default() -> None:
    objective = MaskedLatentConfig()
    shared = ("num_clones", "utterance_weight", "removes_position", "ema_decay", "ema_end_decay")
    for name in (*shared, "ema_anneal_updates"):
        assert getattr(PUBLISHED, name) == getattr(objective, name)
    assert OptimizerConfig().learning_rate == PUBLISHED.learning_rate


def test_flags_come_before_the_recipe() -> None:
    def flags(**given: object) -> PretrainConfig:
        return PretrainConfig(save_dir=Path("run"), data_dir=Path("sounds"), **given)

    assert SMALL.with_flags(flags()) == SMALL
    mine = SMALL.with_flags(flags(target_length=512, utterance_weight=0.5, learning_rate=1e-4, num_clones=2))
    assert (mine.target_length, mine.utterance_weight, mine.learning_rate) == (512, 0.5, 1e-4)
    assert (mine.num_clones, mine.ema_decay) == (2, SMALL.ema_decay)
    assert SMALL.with_flags(flags(ema_decay=0.9999)).ema_end_decay == 0.9999
    assert PUBLISHED.with_flags(flags(ema_decay=0.999)).ema_end_decay == PUBLISHED.ema_end_decay
