"""Clip features: what a frozen encoder says of each clip, pooled in several ways at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bioacoustics.audio.reading import Channel
from bioacoustics.audio.recordings import Recording
from bioacoustics.data.batches import EVALUATION_DRAWS, Batch, DataConfig
from bioacoustics.data.loading import EvaluationLoader
from bioacoustics.data.windows import ClipWindows, Problem, Windows
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import Features

Pooling = Literal["cls", "mean", "mean_std", "bands", "bands_std"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipFeatures:
    """Features of the clips that could be read.

    Attributes:
        indices: Which clips these are, in their order.
        pooled: One vector a clip for every pooling that was asked for.
        patches: Patch features in half precision, 0 behind the end of a clip; None if not asked for.
        num_patches: How many patches of each clip are sound; the first ones.
        problems: Clips that could not be read, and what else was noticed.
    """

    indices: Int[np.ndarray, " clips"]
    pooled: dict[Pooling, Float[np.ndarray, "clips _"]]
    patches: Float[Tensor, "clips patches dim"] | None
    num_patches: Int[Tensor, " clips"]
    problems: tuple[Problem, ...] = ()


def clip_windows(
    encoder: AudioEncoder, recordings: Sequence[Recording], *, target_length: int, channel: Channel = "mix"
) -> ClipWindows:
    """The middle of every recording as a window of so many frames; shorter recordings are read whole."""
    front_end = encoder.front_end.config
    window_s = front_end.num_samples(target_length) / front_end.sample_rate_hz
    rate = encoder.sample_rate_hz
    return ClipWindows(recordings, None, window_s=window_s, sample_rate_hz=rate, channel=channel)


@torch.no_grad()
def clip_features(
    encoder: AudioEncoder,
    windows: Windows,
    *,
    target_length: int,
    poolings: Sequence[Pooling] = ("mean",),
    keeps_patches: bool = False,
    layer: int | None = None,
    batch_size: int = 8,
    num_threads: int | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> ClipFeatures:
    """Run a frozen encoder over windows, on its own device, and pool what it says.

    Shorter clips are padded to `target_length`, as in training, and their padding is left out of every
    pooling but "cls".

    Args:
        encoder: In eval mode.
        windows: What to read.
        target_length: Frames of a full window.
        poolings: "cls" is the encoder's own token; "mean" and "mean_std" are over all patches; "bands" and
            "bands_std" over time alone, the frequency bands one after the other.
        keeps_patches: Whether the patch features are kept, too.
        layer: The block whose output is taken, 0 the first; None takes the encoder's features.
        batch_size: Windows at a time.
        num_threads: Threads that read.
        on_batch: Told after each batch how many clips are done.

    Raises:
        ValueError: No window could be read.
    """
    device = next(encoder.parameters()).device
    loader = EvaluationLoader(
        windows, DataConfig(batch_size=batch_size, num_threads=num_threads), device=device
    )
    rows = _Rows(encoder, target_length, tuple(poolings), keeps_patches, layer)
    try:
        for batch in loader:
            rows.add(batch)
            if on_batch is not None:
                on_batch(rows.num_clips)
    finally:
        loader.close()
    if not rows.num_clips:
        first = loader.problems[0]
        raise ValueError(f"none of the {len(windows)} clips can be read, e.g. {first.path}: {first.reason}")
    return rows.joined(tuple(loader.problems))


def pooled(
    patches: Float[Tensor, "patches dim"], cls: Float[Tensor, " dim"] | None, pooling: Pooling, num_bands: int
) -> Float[Tensor, " values"]:
    """One vector of the patches of one clip, column by column, without padding."""
    columns = patches.reshape(-1, num_bands, patches.shape[1])
    match pooling:
        case "cls":
            if cls is None:
                raise ValueError("this encoder has no CLS token: pool its patches, for example by mean")
            return cls
        case "mean":
            return patches.mean(dim=0)
        case "mean_std":
            return torch.cat([patches.mean(dim=0), patches.std(dim=0, correction=0)])
        case "bands":
            return columns.mean(dim=0).flatten()
        case "bands_std":
            return torch.cat([columns.mean(dim=0).flatten(), columns.std(dim=0, correction=0).flatten()])


class _Rows:
    """Gathers the features of batches."""

    def __init__(
        self,
        encoder: AudioEncoder,
        target_length: int,
        poolings: tuple[Pooling, ...],
        keeps_patches: bool,
        layer: int | None,
    ) -> None:
        self._encoder, self._target_length, self._layer = encoder, target_length, layer
        self._poolings, self._keeps_patches = poolings, keeps_patches
        self._indices: list[int] = []
        self._num_patches: list[int] = []
        self._pooled: dict[Pooling, list[Tensor]] = {pooling: [] for pooling in poolings}
        self._patches: list[Tensor] = []

    @property
    def num_clips(self) -> int:
        return len(self._indices)

    def add(self, batch: Batch) -> None:
        encoder = self._encoder
        log_mel = encoder.log_mel(batch.waveforms, batch.num_samples, target_length=self._target_length)
        features = _features(encoder, log_mel, self._layer)
        num_bands = encoder.config.num_bands
        is_sound = torch.zeros(features.patches.shape[:2], dtype=torch.bool)
        for row, num_samples in enumerate(batch.num_samples.tolist()):
            num_patches = min(num_bands * self._num_columns(num_samples), features.patches.shape[1])
            is_sound[row, :num_patches] = True
            sound = features.patches[row, :num_patches].float()
            cls = None if features.cls is None else features.cls[row].float()
            for pooling, vectors in self._pooled.items():
                vectors.append(pooled(sound, cls, pooling, num_bands).cpu())
            self._num_patches.append(num_patches)
        self._indices += (batch.draw_ids - EVALUATION_DRAWS).tolist()
        if self._keeps_patches:
            self._patches.append((features.patches.cpu() * is_sound[..., None]).half())

    def joined(self, problems: tuple[Problem, ...]) -> ClipFeatures:
        return ClipFeatures(
            indices=np.array(self._indices),
            pooled={name: torch.stack(vectors).numpy() for name, vectors in self._pooled.items()},
            patches=torch.cat(self._patches) if self._keeps_patches else None,
            num_patches=torch.tensor(self._num_patches),
            problems=problems,
        )

    def _num_columns(self, num_samples: int) -> int:
        """Columns of patches that hold sound, one at least; the rest of a last column is padding."""
        num_frames = self._encoder.front_end.config.num_frames(num_samples)
        return max(1, round(num_frames / self._encoder.config.patch_size))


def _features(
    encoder: AudioEncoder, log_mel: Float[Tensor, "batch frames mels"], layer: int | None
) -> Features:
    if layer is None:
        return encoder.features(log_mel)
    depth = encoder.config.depth
    if not 0 <= layer < depth:
        raise ValueError(f"layer {layer} is not among the encoder's {depth} blocks, 0 to {depth - 1}")
    patches = encoder.encoder.embed_patches(log_mel)
    tokens = encoder.encoder.encode(patches, collect_block_outputs=True).block_outputs[layer]
    return Features(patches=tokens[:, 1:], cls=tokens[:, 0])
