"""Inverse block masks against the official statistics, a slow obvious version and what must never change."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from bioacoustics.audio.draws import Stream, uniform, uniforms
from bioacoustics.objectives.masks import (
    MaskConfig,
    distances_to_blocks,
    inverse_block_masks,
    scattered_mask,
)

NUM_CLONES = 16
NAMES = {
    "mask_dropout": "extra_blocks",
    "expand_adjcent": "grows_from_blocks",
    "flexible_mask": "varies_block_shape",
}
SETTINGS = (
    "base_AS2M_1024", "large_AS2M_1024", "base_512", "base_256", "base_192_onecentre", "base_128_zerocentres",
    "block3", "block7_adj0", "adjust0", "dropout0.1", "non_inverse_0.8", "expand_adjacent", "flexible",
)  # fmt: skip


def masks_of(
    config: MaskConfig, num_columns: int, *, num_clips: int = 4, num_clones: int = NUM_CLONES, seed: int = 1
):
    return inverse_block_masks(
        config,
        torch.arange(num_clips),
        num_columns=num_columns,
        num_bands=8,
        num_clones=num_clones,
        seed=seed,
    )


def neighbours(regions: np.ndarray) -> np.ndarray:
    """How many 4-neighbours of each cell lie in the region."""
    padded = np.pad(regions.astype(int), ((0, 0), (1, 1), (1, 1)))
    return padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]


def num_components(region: np.ndarray) -> int:
    cells, count = set(zip(*np.nonzero(region), strict=True)), 0
    while cells:
        count, reached = count + 1, [cells.pop()]
        while reached:
            t, f = reached.pop()
            near = cells & {(t - 1, f), (t + 1, f), (t, f - 1), (t, f + 1)}
            cells -= near
            reached.extend(near)
    return count


def config_of(setting: dict[str, Any]) -> MaskConfig:
    return MaskConfig(
        mask_ratio=setting["mask_prob"],
        adjust=setting["adjust"],
        block_size=setting["mask_length"],
        paints_visible=setting["inverse"],
        official=True,
        **{NAMES[name]: value for name, value in setting["opts"].items()},
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_official_statistics(golden_eat: Path, name: str) -> None:
    setting = json.loads((golden_eat / "mask_stats.json").read_text())[name]
    config, num_columns = config_of(setting), setting["grid"][0]
    masks = masks_of(config, num_columns, num_clips=125).flatten(0, 1).numpy()
    regions = (~masks if config.paints_visible else masks).reshape(2000, num_columns, 8)

    assert config.blocks(num_columns * 8)[0] == setting["n_centres"]
    assert set(regions.sum(axis=(1, 2))) == {setting["target_region_count"]}
    near = neighbours(regions)[regions]
    assert near.mean() == pytest.approx(setting["mean_4neighbours"], rel=0.05)
    assert (near == 0).mean() == pytest.approx(setting["isolated_share"], abs=0.015)
    components = np.mean([num_components(region) for region in regions])
    assert components == pytest.approx(setting["components_mean"], rel=0.05)
    with np.load(golden_eat / "mask_maps.npz") as maps:
        # This one map is a mean over 300 samples: its own standard error is 0.023 a cell, and there are 512.
        limit = 0.11 if name == "expand_adjacent" else 0.05
        assert np.abs(regions.mean(axis=0) - maps[name]).max() < limit


@pytest.mark.parametrize("name", SETTINGS)
def test_official_cover_of_blocks(golden_eat: Path, name: str) -> None:
    """What the blocks cover before the count is fixed: every patch at distance 0."""
    setting = json.loads((golden_eat / "mask_stats.json").read_text())[name]
    draws = uniforms(2, Stream.MASK, torch.arange(2000), 1 + setting["n_centres"])[:, None]
    distances = distances_to_blocks(config_of(setting), draws, num_columns=setting["grid"][0], num_bands=8)
    covers = (distances == 0).sum(dim=-1)
    assert covers.float().mean().item() == pytest.approx(setting["raw_block_cover_mean"], rel=0.02)
    target = setting["target_region_count"]
    assert (covers < target).float().mean().item() == pytest.approx(setting["share_needing_fill"], abs=0.05)
    assert (covers > target).float().mean().item() == pytest.approx(setting["share_needing_drop"], abs=0.05)


def painted_slowly(draws: list[float], num_columns: int, num_blocks: int, num_visible: int) -> set[int]:
    """One clone's visible patches by the description in the paper, from the same draws."""
    num_patches = num_columns * 8
    centres, order = draws[1 : 1 + num_blocks], draws[1 + num_blocks :]
    region = set()
    for draw in centres:
        t, f = divmod(int(draw * num_patches), 8)
        region |= {
            (t + i) * 8 + f + j
            for i in range(-2, 3)
            for j in range(-2, 3)
            if 0 <= t + i < num_columns and 0 <= f + j < 8
        }
    outside = sorted(set(range(num_patches)) - region, key=lambda patch: order[patch])
    inside = sorted(region, key=lambda patch: order[patch])
    return set((inside + outside)[:num_visible])


def test_equals_the_slow_version() -> None:
    masks = masks_of(MaskConfig(), 64, num_clones=3, seed=5)
    for clip in range(4):
        draws = uniform(5, Stream.MASK, clip, 3 * (1 + 5 + 512))
        for clone in range(3):
            of_clone = draws[clone * 518 : (clone + 1) * 518]
            visible = set(torch.nonzero(~masks[clip, clone]).flatten().tolist())
            assert visible == painted_slowly(of_clone, 64, 5, 102)


@pytest.mark.parametrize("mask_ratio", [0.05, 0.3, 0.5, 0.75, 0.8, 0.9, 0.99])
@pytest.mark.parametrize("num_columns", [1, 2, 6, 20, 33, 63, 750])
@pytest.mark.parametrize("paints_visible", [True, False])
def test_counts_are_exact_for_any_ratio_and_length(
    mask_ratio: float, num_columns: int, paints_visible: bool
) -> None:
    config = MaskConfig(mask_ratio=mask_ratio, paints_visible=paints_visible)
    masks = masks_of(config, num_columns, num_clips=2, num_clones=3)
    num_visible = config.num_visible(num_columns * 8)
    assert (~masks).sum(dim=-1).unique().tolist() == [num_visible]
    assert 1 <= num_visible < num_columns * 8
    assert abs(num_visible - num_columns * 8 * (1 - mask_ratio)) < 1 or num_columns == 1


def test_ratio_of_the_documented_command() -> None:
    assert MaskConfig(mask_ratio=0.75).num_visible(512) == 128
    assert masks_of(MaskConfig(mask_ratio=0.75), 64).sum(dim=-1).unique().tolist() == [384]


def test_official_rounding_is_by_choice() -> None:
    assert MaskConfig().num_visible(160) == 32
    assert MaskConfig(official=True).num_visible(160) == 31


@pytest.mark.parametrize("num_columns", [2, 4, 6, 8, 11])
def test_short_clips_get_a_real_block(num_columns: int) -> None:
    num_patches = num_columns * 8
    num_blocks, size = MaskConfig().blocks(num_patches)
    assert num_blocks >= 1
    assert size > 1
    assert MaskConfig(official=True).blocks(num_patches) == (0, 5)
    if num_columns >= 6:
        seen = (
            (~masks_of(MaskConfig(), num_columns, num_clips=100))
            .flatten(0, 1)
            .view(-1, num_columns, 8)
            .numpy()
        )
        official = ~masks_of(MaskConfig(official=True), num_columns, num_clips=100).flatten(0, 1).numpy()
        alone = (neighbours(seen)[seen] == 0).mean()
        alone_official = (neighbours(official.reshape(seen.shape))[official.reshape(seen.shape)] == 0).mean()
        assert alone < alone_official / 2


def test_one_block_is_a_rectangle() -> None:
    """With the count at the area of the block, nothing is scattered unless the border cuts the block."""
    config = MaskConfig(mask_ratio=1 - 25 / 512, adjust=0.0, official=False)
    masks = masks_of(config, 64, num_clips=50)
    assert config.blocks(512) == (1, 5)
    whole = 0
    for visible in (~masks).flatten(0, 1).view(-1, 64, 8):
        rows, columns = torch.nonzero(visible.any(1)), torch.nonzero(visible.any(0))
        whole += bool(rows.max() - rows.min() == 4 and columns.max() - columns.min() == 4)
    assert whole > 0.3 * 50 * NUM_CLONES


def test_reproducible_and_independent_of_the_other_rows() -> None:
    config, shape = MaskConfig(), {"num_columns": 64, "num_bands": 8, "num_clones": 4, "seed": 3}
    ids = torch.tensor([7, 1_000_000_007, 0, 12])
    masks = inverse_block_masks(config, ids, **shape)
    assert torch.equal(masks, inverse_block_masks(config, ids, **shape))
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(masks[order], inverse_block_masks(config, ids[order], **shape))
    assert torch.equal(masks[1:2], inverse_block_masks(config, ids[1:2], **shape))
    assert not torch.equal(masks, inverse_block_masks(config, ids, **{**shape, "seed": 4}))
    rows = {tuple(row.tolist()) for row in masks.flatten(0, 1)}
    assert len(rows) == 16


@pytest.mark.parametrize(
    "wrong",
    [{"mask_ratio": 0.0}, {"mask_ratio": 1.0}, {"block_size": 0}, {"adjust": -0.1}, {"mask_rato": 0.8}],
)
def test_refuses_wrong_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MaskConfig(**wrong)


def test_scattered_masks_hide_the_share_of_each_row_that_is_no_padding() -> None:
    is_padding = torch.zeros(5, 40, dtype=torch.bool)
    for row, num_real in enumerate((40, 20, 8, 1, 0)):
        is_padding[row, num_real:] = True
    mask = scattered_mask(0.75, torch.arange(5) + 100, is_padding, seed=3)
    assert mask.is_masked.sum(dim=1).tolist() == [30, 15, 6, 0, 0]
    assert not (mask.is_masked & is_padding).any()
    assert mask.places.shape == (5, 10)
    for row, num_visible in enumerate((10, 5, 2, 1, 0)):
        assert mask.is_missing[row].tolist() == [False] * num_visible + [True] * (10 - num_visible)
        visible = mask.places[row, :num_visible]
        assert visible.tolist() == (~(mask.is_masked | is_padding))[row].nonzero().flatten().tolist()
        assert len(set(mask.places[row].tolist())) == 10  # also the missing ones have places of their own


def test_scattered_masks_follow_from_draw_and_length_alone() -> None:
    draw_ids = torch.tensor([7, 8, 9])
    is_padding = torch.zeros(3, 24, dtype=torch.bool)
    is_padding[1, 16:] = True
    together = scattered_mask(0.75, draw_ids, is_padding, seed=1).is_masked
    for row, length in enumerate((24, 16, 24)):
        alone = scattered_mask(0.75, draw_ids[row : row + 1], is_padding[row : row + 1, :length], seed=1)
        assert torch.equal(alone.is_masked[0], together[row, :length])
    assert not torch.equal(together, scattered_mask(0.75, draw_ids, is_padding, seed=2).is_masked)
    assert not torch.equal(together[0], together[2])


def test_scattered_masks_hide_every_patch_equally_often() -> None:
    is_padding = torch.zeros(2000, 16, dtype=torch.bool)
    shares = scattered_mask(0.75, torch.arange(2000), is_padding, seed=1).is_masked.float().mean(dim=0)
    assert (shares - 0.75).abs().max() < 4 * (0.75 * 0.25 / 2000) ** 0.5
