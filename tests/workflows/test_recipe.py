"""Recipes: what suits little data, and that given flags and published settings stay as they are."""

from pathlib import Path

import pytest

from bioacoustics.objectives.masked_latent import MaskedLatentConfig
from bioacoustics.workflows.pretrain import PretrainConfig
from bioacoustics.workflows.recipe import (
    SMALL_FLAGS,
    advice,
    settings_beside_others,
    target_settings,
    with_recipe,
)


def flags(**given: object) -> PretrainConfig:
    return PretrainConfig.model_validate({"save_dir": Path("run"), "data_dir": Path("sounds"), **given})


def test_published_changes_nothing() -> None:
    assert with_recipe(flags()) == flags()
    assert MaskedLatentConfig(**target_settings(flags())) == MaskedLatentConfig()


def test_small_changes_what_was_not_given() -> None:
    small = with_recipe(flags(recipe="small"))
    assert {name: getattr(small, name) for name in SMALL_FLAGS} == SMALL_FLAGS
    mine = with_recipe(flags(recipe="small", target_length=512, utterance_weight=0.5))
    assert (mine.target_length, mine.utterance_weight, mine.num_clones) == (512, 0.5, 4)
    assert with_recipe(flags(recipe="small", target_length=1024)).target_length == 1024  # though the default
    settings = MaskedLatentConfig(**target_settings(small))
    assert settings.removes_position
    assert settings.reconstruction_weight == 20
    assert target_settings(with_recipe(flags(recipe="small", ema_decay=0.9999)))["ema_end_decay"] == 0.9999


def test_beats_has_no_such_recipe() -> None:
    with pytest.raises(ValueError, match="--recipe says nothing to --model beats"):
        flags(recipe="small", model="beats")


def test_advice_goes_to_those_who_need_it() -> None:
    assert "--recipe small" in (advice(flags(), 1.0) or "")
    assert advice(flags(), 200.0) is None
    assert advice(flags(recipe="small"), 1.0) is None
    assert advice(flags(model="beats"), 1.0) is None
    assert advice(flags(model_path=Path("published.pt")), 1.0) is None


def test_beside_labels_and_examples_the_hours_choose() -> None:
    few, many = (MaskedLatentConfig(**settings_beside_others(hours, 64)) for hours in (1.0, 200.0))
    assert (few.removes_position, few.num_clones, few.utterance_weight) == (True, 4, 0.0)
    assert (many.removes_position, many.num_clones, many.utterance_weight) == (False, 16, 1.0)
    assert few.ema_end_decay < many.ema_end_decay
    # Beside others the patch loss is a mean over 64 channels, alone their sum by 8: an eighth of it.
    alone = MaskedLatentConfig(**target_settings(with_recipe(flags(recipe="small"))))
    assert few.loss_scale == many.loss_scale == 1 / 64
    assert few.reconstruction_weight == pytest.approx(alone.reconstruction_weight / 8)
