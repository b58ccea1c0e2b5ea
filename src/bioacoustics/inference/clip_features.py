"""Clip features: what a frozen encoder says of each clip, pooled in several ways at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bioacoustics.audio.reading import Channel
from bioacoustics.audio.recordings import Recording
from bioacoustics.data.batches import EVALUATION_DRAWS, Batch, DataConfig
from bioacoustics.data.loading import EvaluationLoader
from bioacoustics.data.windows import ClipWindows, Problem, Windows
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import EATEncoder
from bioacoustics.models.features import Features

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
        num_frames = encoder.num_frames(batch.num_samples, batch.waveforms.shape[1])
        features = _features(encoder, log_mel, num_frames, self._layer)
        num_bands = encoder.config.num_bands
        is_sound = self._is_sound(features, batch.num_samples)
        for row, num_patches in enumerate(is_sound.sum(dim=1).tolist()):
            sound = features.patches[row, :num_patches].float()
            cls = None if features.cls is None else features.cls[row].float()
            for pooling, vectors in self._pooled.items():
                vectors.append(pooled(sound, cls, pooling, num_bands).cpu())
            self._num_patches.append(num_patches)
        self._indices += (batch.draw_ids - EVALUATION_DRAWS).tolist()
        if self._keeps_patches:
            self._patches.append((features.patches * is_sound[..., None]).cpu().half())

    def joined(self, problems: tuple[Problem, ...]) -> ClipFeatures:
        return ClipFeatures(
            indices=np.array(self._indices),
            pooled={name: torch.stack(vectors).numpy() for name, vectors in self._pooled.items()},
            patches=torch.cat(self._patches) if self._keeps_patches else None,
            num_patches=torch.tensor(self._num_patches),
            problems=problems,
        )

    def _is_sound(
        self, features: Features, num_samples: Int[Tensor, " batch"]
    ) -> Bool[Tensor, "batch patches"]:
        """Patches of columns that hold sound, one at least; an encoder that skips padding says it itself."""
        if features.is_padding is not None:
            return ~features.is_padding
        config, front_end = self._encoder.config, self._encoder.front_end.config
        num_frames = [front_end.num_frames(count) for count in num_samples.tolist()]
        columns = [[max(1, round(count / config.patch_size))] for count in num_frames]
        num_patches = config.num_bands * torch.tensor(columns, device=features.patches.device)
        return torch.arange(features.patches.shape[1], device=num_patches.device) < num_patches


def _features(
    encoder: AudioEncoder,
    log_mel: Float[Tensor, "batch frames mels"],
    num_frames: Int[Tensor, " batch"] | None,
    layer: int | None,
) -> Features:
    if layer is None:
        return encoder.features(log_mel, num_frames)
    depth = encoder.config.depth
    if not 0 <= layer < depth:
        raise ValueError(f"layer {layer} is not among the encoder's {depth} blocks, 0 to {depth - 1}")
    model = encoder.encoder
    patches = model.embed_patches(log_mel)
    if isinstance(model, EATEncoder):
        tokens = model.encode(patches, collect_block_outputs=True).block_outputs[layer]
        return Features(patches=tokens[:, 1:], cls=tokens[:, 0])
    is_padding = None if num_frames is None else model.is_padding(num_frames, log_mel.shape[1])
    encoded = model.encode(patches, is_padding=is_padding, collect_layers=True)
    return Features(patches=encoded.layers[layer], cls=None, is_padding=is_padding)
