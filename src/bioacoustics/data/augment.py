"""Augment: change training clips at random, in waveform and spectrogram, on the device they lie on.

The functions take their random numbers as arguments; `Augmentation` draws them from (seed, draw id), so
that a resumed or split run changes every clip in the same way.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, Field
from torch import Tensor, nn

from bioacoustics.audio.draws import Stream, uniforms

NUM_QUANTILES = 4097
MAX_NOISE_SHIFT = 10  # frames


class AugmentConfig(BaseModel, frozen=True, extra="forbid"):
    """Which augmentations act in training.

    Attributes:
        roll: Shift the waveform in a circle by any number of samples.
        gain: Multiply the waveform by 0.5 to 1.5, mostly near 1.
        noise: Add up to a tenth of uniform noise to the normalised log-mel and shift it up to 10 frames.
        mixup_alpha: Both parameters of the Beta distribution of the mixing weight; 0 switches mixup off.
        mixup_probability: Share of the pairs of clips that are mixed.
        spec_augment_ratio: Longest share of the frames, and of the mel bands, that is blanked (`--mask_ratio`
            of fine-tuning); 0 switches it off.
    """

    roll: bool = True
    gain: bool = True
    noise: bool = False
    mixup_alpha: float = Field(0.0, ge=0.0)
    mixup_probability: float = Field(0.9, ge=0.0, le=1.0)
    spec_augment_ratio: float = Field(0.0, ge=0.0, le=1.0)


class Augmentation(nn.Module):
    """Augments batches as a config says; all randomness is a function of the seed and each row's draw id."""

    mixup_quantiles: Float[Tensor, " quantiles"]

    def __init__(self, config: AugmentConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        quantiles = beta_quantiles(config.mixup_alpha) if config.mixup_alpha else np.zeros(1)
        self.register_buffer("mixup_quantiles", torch.from_numpy(quantiles).float(), persistent=False)

    def waveforms(
        self,
        waveforms: Float[Tensor, "batch samples"],
        num_samples: Int[Tensor, " batch"],
        draw_ids: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch samples"]:
        """Roll each clip inside its real samples and scale it."""
        if self.config.roll:
            draws = uniforms(self.seed, Stream.ROLL, draw_ids, 1)[:, 0]
            waveforms = roll(waveforms, num_samples, _integers(draws, num_samples))
        if self.config.gain:
            waveforms = waveforms * gains(uniforms(self.seed, Stream.GAIN, draw_ids, 19))[:, None]
        return waveforms

    def spectrograms(
        self,
        log_mel: Float[Tensor, "batch frames mels"],
        targets: Float[Tensor, "batch classes"],
        draw_ids: Int[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch frames mels"], Float[Tensor, "batch classes"]]:
        """Add noise, mix pairs of clips and their targets, then blank bands and spans, in this order."""
        _, frames, mels = log_mel.shape
        if self.config.noise:
            draws = uniforms(self.seed, Stream.NOISE, draw_ids, 2 + frames * mels)
            shifts = _integers(draws[:, 1], torch.full_like(draw_ids, 2 * MAX_NOISE_SHIFT)) - MAX_NOISE_SHIFT
            log_mel = add_noise(log_mel, draws[:, 2:].view(-1, frames, mels), draws[:, 0] / 10, shifts)
        if self.config.mixup_alpha:
            log_mel, targets = mixup(log_mel, targets, self.mixup_weights(draw_ids))
        if self.config.spec_augment_ratio:
            draws = uniforms(self.seed, Stream.SPEC_AUGMENT, draw_ids, 4)
            ratio = self.config.spec_augment_ratio
            log_mel = spec_augment(log_mel, draws, max_frames=frames * ratio, max_mels=mels * ratio)
        return log_mel, targets

    def mixup_weights(self, draw_ids: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Share that each row keeps of itself: Beta(alpha, alpha), or 1 where the pair is not mixed.

        Both rows of a pair get one weight, so it does not matter how an update is split into micro-batches
        as long as pairs stay together. (The published code draws one weight for all pairs of a batch.)
        """
        pairs = torch.minimum(draw_ids, draw_ids.flip(0))
        draws = uniforms(self.seed, Stream.MIXUP, pairs, 2)
        positions = draws[:, 1] * (len(self.mixup_quantiles) - 1)
        below = positions.long()
        weights = torch.lerp(
            self.mixup_quantiles[below], self.mixup_quantiles[below + 1], positions - below.float()
        )
        return torch.where(draws[:, 0] < self.config.mixup_probability, weights, torch.ones_like(weights))


def roll(
    waveforms: Float[Tensor, "batch samples"],
    num_samples: Int[Tensor, " batch"],
    shifts: Int[Tensor, " batch"],
) -> Float[Tensor, "batch samples"]:
    """Shift the first `num_samples` of each row to the right in a circle; padding stays where it is."""
    positions = torch.arange(waveforms.shape[1], device=waveforms.device)
    lengths = num_samples.clamp(min=1)[:, None]
    sources = torch.where(positions < lengths, (positions - shifts[:, None]) % lengths, positions)
    return waveforms.gather(1, sources)


def gains(draws: Float[Tensor, "batch 19"]) -> Float[Tensor, " batch"]:
    """Beta(10, 10) + 0.5: the middle one of 19 uniform numbers has exactly this Beta distribution."""
    return draws.median(dim=1).values + 0.5


def add_noise(
    log_mel: Float[Tensor, "batch frames mels"],
    field: Float[Tensor, "batch frames mels"],
    scales: Float[Tensor, " batch"],
    shifts: Int[Tensor, " batch"],
) -> Float[Tensor, "batch frames mels"]:
    """Add a scaled field, then shift the frames of each row to later times in a circle."""
    noisy = log_mel + scales[:, None, None] * field
    frames = torch.arange(log_mel.shape[1], device=log_mel.device)
    sources = (frames - shifts[:, None]) % log_mel.shape[1]
    return noisy.gather(1, sources[..., None].expand_as(noisy))


def mixup(
    log_mel: Float[Tensor, "batch frames mels"],
    targets: Float[Tensor, "batch classes"],
    weights: Float[Tensor, " batch"],
) -> tuple[Float[Tensor, "batch frames mels"], Float[Tensor, "batch classes"]]:
    """Mix row i with row batch - 1 - i; the middle row of an odd batch is mixed with itself."""
    of_cells, of_targets = weights[:, None, None], weights[:, None]
    mixed = of_cells * log_mel + (1 - of_cells) * log_mel.flip(0)
    return mixed, of_targets * targets + (1 - of_targets) * targets.flip(0)


def spec_augment(
    log_mel: Float[Tensor, "batch frames mels"],
    draws: Float[Tensor, "batch 4"],
    *,
    max_frames: float,
    max_mels: float,
) -> Float[Tensor, "batch frames mels"]:
    """Set one span of frames and one band of mels of each row to 0, the mean of normalised spectrograms.

    Widths are uniform up to the given ones and rounded down, as are the starts (iid masking of torchaudio).
    """
    _, frames, mels = log_mel.shape
    in_span = _spans(draws[:, 0], draws[:, 1], frames, max_frames)
    in_band = _spans(draws[:, 2], draws[:, 3], mels, max_mels)
    return log_mel.masked_fill(in_span[:, :, None] | in_band[:, None, :], 0.0)


def beta_quantiles(alpha: float) -> Float[np.ndarray, " quantiles"]:
    """Quantiles of Beta(alpha, alpha) at equal steps of probability from 0 to 1.

    The density is integrated over s = t^min(alpha, 1), in which it has no pole at 0, up to t = 1/2; the rest
    is symmetric.
    """
    power = min(alpha, 1.0)
    s = np.linspace(0.0, 0.5**power, 2**16 + 1)
    density = s ** (alpha / power - 1) * (1 - s ** (1 / power)) ** (alpha - 1)
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    probabilities = np.linspace(0.0, 0.5, NUM_QUANTILES // 2 + 1)
    lower = np.interp(probabilities, cumulative / cumulative[-1] / 2, s) ** (1 / power)
    return np.concatenate([lower, 1 - lower[-2::-1]])


def _spans(
    widths: Float[Tensor, " batch"], starts: Float[Tensor, " batch"], size: int, max_width: float
) -> Tensor:
    """True inside one span of each row of `size` cells, from two uniform numbers."""
    width = widths * max_width
    start = (starts * (size - width)).floor()
    cells = torch.arange(size, device=widths.device)
    return (cells >= start[:, None]) & (cells < (start + width.floor())[:, None])


def _integers(draws: Float[Tensor, " batch"], limits: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    """Uniform integers from 0 up to, not including, each limit."""
    # A draw close to 1 may be rounded up to the limit itself.
    return torch.minimum((draws * limits).long(), limits.long() - 1).clamp(min=0)
