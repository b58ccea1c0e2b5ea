"""Masks: which patches are hidden: blocks for EAT's clones, single patches for BEATs."""

from fractions import Fraction
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field
from torch import Tensor

from bioacoustics.audio.draws import Stream, uniforms

FLEXIBLE_SHAPES = ((6, 4), (5, 5), (8, 3))


class MaskConfig(BaseModel, frozen=True, extra="forbid"):
    """How the inverse block masks of EAT (arXiv 2401.03497, section 3.2) are drawn.

    Attributes:
        mask_ratio: Share of the patches that is masked.
        adjust: Share of extra area to paint, which makes up for blocks that overlap or cross the border.
        block_size: Side of a block in patches. Where even one such block would be more than the share to
            paint, the largest smaller block that fits is taken.
        extra_blocks: Share of blocks drawn on top (`mask_dropout` of the published code).
        paints_visible: Blocks are what the student sees; False paints what it does not see.
        grows_from_blocks: Patches missing to the exact count are taken next to the blocks, not anywhere.
        varies_block_shape: Each clone has blocks of 6x4, 5x5 or 8x3 patches (time by frequency).
        official: Count as the published code does: in double precision, where 1 - 0.8 is a little less than
            0.2, so that 160 patches keep 31 visible instead of 32; and without any block on clips under 192
            frames, which get scattered single patches.
    """

    mask_ratio: float = Field(0.8, gt=0.0, lt=1.0)
    adjust: float = Field(0.07, ge=0.0)
    block_size: int = Field(5, ge=1)
    extra_blocks: float = Field(0.0, ge=0.0)
    paints_visible: bool = True
    grows_from_blocks: bool = False
    varies_block_shape: bool = False
    official: bool = False

    def num_visible(self, num_patches: int) -> int:
        """How many patches of a clip each clone of the student sees; at least one, and one stays masked."""
        num_painted = int(num_patches * self._painted_share)
        num_visible = num_painted if self.paints_visible else num_patches - num_painted
        return min(max(num_visible, 1), num_patches - 1)

    def blocks(self, num_patches: int) -> tuple[int, int]:
        """How many blocks are painted on a clip, and their side in patches."""
        if self.official:
            return self._num_blocks(num_patches, self.block_size), self.block_size
        # With no block at all the mask would be plain random and the task far too easy.
        fitting = (size for size in range(self.block_size, 0, -1) if self._num_blocks(num_patches, size))
        size = next(fitting, 1)
        return max(1, self._num_blocks(num_patches, size)), size

    def _num_blocks(self, num_patches: int, block_size: int) -> int:
        share = (self._painted_share + self._exact(self.adjust)) / block_size**2
        return int(num_patches * share * (1 + self._exact(self.extra_blocks)))

    @property
    def _painted_share(self) -> float | Fraction:
        ratio = self._exact(self.mask_ratio)
        return 1 - ratio if self.paints_visible else ratio

    def _exact(self, share: float) -> float | Fraction:
        return share if self.official else Fraction(str(share))


def inverse_block_masks(
    config: MaskConfig,
    draw_ids: Int[Tensor, " batch"],
    *,
    num_columns: int,
    num_bands: int,
    num_clones: int,
    seed: int,
) -> Bool[Tensor, "batch clones patches"]:
    """Draw the masks of every clone of every clip at once; True is masked.

    Blocks are painted around uniformly drawn centres, cut at the border. Then patches outside the blocks are
    added, or patches inside taken away, at random, so that all rows have exactly the same count.
    A row depends on its draw id and the seed alone. Patches are ordered by time, then frequency.
    """
    num_clips, num_patches = len(draw_ids), num_columns * num_bands
    num_blocks, _ = config.blocks(num_patches)
    draws = uniforms(seed, Stream.MASK, draw_ids, num_clones * (1 + num_blocks + num_patches))
    draws = draws.view(num_clips, num_clones, 1 + num_blocks + num_patches)
    block_draws, order_draws = draws[..., : 1 + num_blocks], draws[..., 1 + num_blocks :]
    distances = distances_to_blocks(config, block_draws, num_columns=num_columns, num_bands=num_bands)
    if not config.grows_from_blocks:
        distances = distances.clamp(max=1)
    # Nearest first, in random order at equal distance: the first ones are painted. This adds and takes away.
    order = (distances + order_draws).argsort(dim=-1, stable=True)
    num_visible = config.num_visible(num_patches)
    num_painted = num_visible if config.paints_visible else num_patches - num_visible
    painted = torch.zeros_like(order, dtype=torch.bool).scatter(-1, order[..., :num_painted], value=True)
    return ~painted if config.paints_visible else painted


class ScatteredMask(NamedTuple):
    """Which patches are hidden, and where the visible ones are.

    Rows of unequal length see different numbers of patches: what a row has too few is marked as missing, and
    its place is that of some hidden patch.
    """

    is_masked: Bool[Tensor, "batch patches"]  # padding is neither masked nor visible
    places: Int[Tensor, "batch visible"]  # in ascending order; the missing ones last
    is_missing: Bool[Tensor, "batch visible"]


def scattered_mask(
    mask_ratio: float,
    draw_ids: Int[Tensor, " batch"],
    is_padding: Bool[Tensor, "batch patches"],
    *,
    seed: int,
) -> ScatteredMask:
    """Hide single patches at random, in every row the same share of what is no padding, as BEATs does.

    At least one patch of a row stays visible. A row depends on its draw id, its length and the seed alone.
    """
    num_patches = is_padding.shape[1]
    draws = uniforms(seed, Stream.MASK, draw_ids, num_patches)
    order = draws.masked_fill(is_padding, 2.0).argsort(dim=1, stable=True)
    ranks = order.argsort(dim=1)
    num_real = num_patches - is_padding.sum(dim=1, keepdim=True)
    num_visible = (num_real * (1 - mask_ratio)).round().long().clamp(min=1)
    is_visible = (ranks < num_visible) & ~is_padding
    # As many places as the longest possible row needs, so that the device need not be asked for the count.
    most = max(1, round(num_patches * (1 - mask_ratio)))
    places = (~is_visible).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    is_missing = ~is_visible.gather(1, places)
    return ScatteredMask(~(is_visible | is_padding), places, is_missing)


def distances_to_blocks(
    config: MaskConfig,
    draws: Float[Tensor, "batch clones draws"],
    *,
    num_columns: int,
    num_bands: int,
) -> Int[Tensor, "batch clones patches"]:
    """Steps between 4-neighbours from each patch to the nearest block; 0 inside, large without blocks.

    Args:
        config: Number and size of the blocks.
        draws: Uniform numbers: one for the shape of the blocks, then one for the centre of each.
        num_columns: Patches along time.
        num_bands: Patches along frequency.
    """
    num_patches = num_columns * num_bands
    _, block_size = config.blocks(num_patches)
    heights, widths = _block_shapes(config, block_size, draws[..., :1])
    # A draw close to 1 may be rounded up to the number of patches itself.
    centres = (draws[..., 1:] * num_patches).long().clamp(max=num_patches - 1)
    offset = block_size // 2
    from_columns = _distances_to_spans(num_columns, centres // num_bands - offset, heights)
    from_bands = _distances_to_spans(num_bands, centres % num_bands - offset, widths)
    grid = (*centres.shape[:2], num_columns, num_bands)
    nearest = torch.full(grid, num_columns + num_bands, device=draws.device)
    # One block at a time: all at once would hold the grid of every block in memory.
    for column, band in zip(from_columns.unbind(2), from_bands.unbind(2), strict=True):
        nearest = torch.minimum(nearest, column[..., :, None] + band[..., None, :])
    return nearest.flatten(2)


def _block_shapes(
    config: MaskConfig, block_size: int, draws: Float[Tensor, "batch clones 1"]
) -> tuple[Int[Tensor, "batch clones 1"], Int[Tensor, "batch clones 1"]]:
    """Height (time columns) and width (frequency bands) of each clone's blocks, in patches."""
    if not config.varies_block_shape:
        size = torch.full_like(draws, block_size, dtype=torch.long)
        return size, size
    which = (draws * len(FLEXIBLE_SHAPES)).long()
    heights, widths = torch.zeros_like(which), torch.zeros_like(which)
    for i, (height, width) in enumerate(FLEXIBLE_SHAPES):
        heights = heights.masked_fill(which == i, height)
        widths = widths.masked_fill(which == i, width)
    return heights, widths


def _distances_to_spans(
    num_positions: int,
    starts: Int[Tensor, "batch clones blocks"],
    lengths: Int[Tensor, "batch clones 1"],
) -> Int[Tensor, "batch clones blocks positions"]:
    """Steps along one axis from each position to each block; 0 inside."""
    positions = torch.arange(num_positions, device=starts.device)
    ends = starts + lengths - 1
    return torch.maximum(starts[..., None] - positions, positions - ends[..., None]).clamp(min=0)
