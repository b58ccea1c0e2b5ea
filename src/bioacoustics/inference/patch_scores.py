"""Patch scores: where in a window its likeliest labels were heard, carried beside the window's own scores.

A window of ten seconds has half a thousand patches for each of perhaps hundreds of labels. Events come from
the few labels that stand out, so only the patches of the likeliest few are kept, and of these only where the
window's own score is not next to nothing: a quiet night takes hardly any room.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, Field
from torch import Tensor

from bioacoustics.inference.refinement import band_edges_hz
from bioacoustics.models.audio_encoder import AudioClassifier

NUM_KEPT = 8  # labels whose patches are kept, of each window
LOWEST = 0.02  # of a window's scores with patches; events hardly ever close so low
ABSENT = -1  # in place of a label whose patches are not kept


class PatchGrid(BaseModel, frozen=True, extra="forbid"):
    """What the columns and rows of patches mean, in true seconds and Hz."""

    num_kept: int = Field(ge=1)
    lowest: float = Field(default=0.0, ge=0)  # score of a window from which on a label has patches
    column_s: float = Field(gt=0)
    edges_hz: tuple[float, ...] = Field(min_length=2)  # of the bands, ascending

    @classmethod
    def of(cls, classifier: AudioClassifier, time_expansion: float) -> "PatchGrid | None":
        """The grid of a classifier that hears everything slowed down; None if its head hears no patches."""
        if not classifier.head.config.hears_patches:
            return None
        size = classifier.encoder.config.patch_size
        front_end = classifier.encoder.front_end.config
        column_s = size * front_end.frame_shift / front_end.sample_rate_hz
        return cls(
            num_kept=min(NUM_KEPT, len(classifier.labels)),
            lowest=LOWEST,
            column_s=column_s / time_expansion,
            edges_hz=tuple((band_edges_hz(front_end, size) * time_expansion).tolist()),
        )

    @property
    def num_bands(self) -> int:
        """Rows of the grid."""
        return len(self.edges_hz) - 1

    @property
    def told(self) -> str:
        """What is kept, in words for the settings of a run."""
        return f"of {self.num_kept} labels from {self.lowest:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowScores:
    """Scores of windows of one recording that follow each other in time; all arrays are as long."""

    starts_s: Float[np.ndarray, " windows"]
    ends_s: Float[np.ndarray, " windows"]
    scores: Float[np.ndarray, "windows classes"]
    # The labels whose patches follow, then ABSENT up to the width of the table; None: of no label.
    kept: Int[np.ndarray, "windows kept"] | None = None
    patches: Sequence[Float[np.ndarray, "_ _ bands"]] = ()

    def __len__(self) -> int:
        return len(self.starts_s)

    def part(self, first: int, stop: int) -> "WindowScores":
        """Some of the windows."""
        return WindowScores(
            starts_s=self.starts_s[first:stop],
            ends_s=self.ends_s[first:stop],
            scores=self.scores[first:stop],
            kept=None if self.kept is None else self.kept[first:stop],
            patches=self.patches[first:stop],
        )


def joined(pieces: Sequence[WindowScores]) -> WindowScores:
    """Several runs of windows, one after the other, as one."""
    kept = [piece.kept for piece in pieces if piece.kept is not None]
    return WindowScores(
        starts_s=np.concatenate([piece.starts_s for piece in pieces]),
        ends_s=np.concatenate([piece.ends_s for piece in pieces]),
        scores=np.concatenate([piece.scores for piece in pieces]),
        kept=np.concatenate(kept) if kept else None,
        patches=[patches for piece in pieces for patches in piece.patches],
    )


def pack(
    probabilities: Float[Tensor, "batch classes"],
    patches: Float[Tensor, "batch columns bands classes"],
    grid: PatchGrid,
) -> Float[Tensor, "batch values"]:
    """Scores, numbers and patches of the likeliest labels, one row of plain numbers for each window."""
    best = probabilities.topk(grid.num_kept, dim=1)
    index = best.indices[:, None, None, :].expand(-1, patches.shape[1], patches.shape[2], -1)
    chosen = patches.gather(3, index).permute(0, 3, 1, 2)
    has_patches = best.values >= grid.lowest
    kept = best.indices.masked_fill(~has_patches, ABSENT).to(probabilities.dtype)
    # What is not kept is 0, which packs well, so that all rows are of one length.
    return torch.cat([probabilities, kept, (chosen * has_patches[:, :, None, None]).flatten(1)], dim=1)


def unpack(
    values: Float[np.ndarray, " values"], num_classes: int, grid: PatchGrid, duration_s: float
) -> tuple[Int[np.ndarray, " kept"], Float[np.ndarray, " patches"]]:
    """Which labels a row of `pack` keeps, and what of their patches holds sound, in one flat array."""
    kept = values[num_classes : num_classes + grid.num_kept].astype(np.int32)
    flat = values[num_classes + grid.num_kept :]
    columns = flat.reshape(grid.num_kept, -1, grid.num_bands)[kept != ABSENT]
    heard: Float[np.ndarray, " patches"] = (
        columns[:, : num_columns(duration_s, grid)].astype(np.float16).ravel()
    )
    return kept, heard


def shaped(
    patches: Float[np.ndarray, " patches"], kept: Int[np.ndarray, " kept"], grid: PatchGrid
) -> Float[np.ndarray, "labels columns bands"]:
    """Flat patches as a grid for each label that has some."""
    num_labels = int((kept != ABSENT).sum())
    num_columns = len(patches) // max(1, num_labels * grid.num_bands)
    return patches.reshape(num_labels, num_columns, grid.num_bands)


def num_columns(duration_s: float, grid: PatchGrid) -> int:
    """Columns that hold sound; the rest of a padded window does not count."""
    return max(1, math.ceil(duration_s / grid.column_s - 1e-6))
