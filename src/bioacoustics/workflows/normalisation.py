"""Normalisation: measure mean and deviation of the log-mel, whole or by band, on the user's recordings."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bioacoustics.audio.draws import permuted
from bioacoustics.audio.log_mel import LogMel, LogMelConfig
from bioacoustics.audio.reading import Channel, UnreadableAudioError, read_segment
from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.segments import SegmentConfig, SegmentIndex

MAX_WINDOWS = 400
WINDOW_S = 10.0


def measured_normalisation(
    config: LogMelConfig, recordings: Sequence[Recording], *, seed: int, channel: Channel = "mix"
) -> LogMelConfig:
    """The same front end with the mean and standard deviation of the log-mel of these recordings.

    Up to 400 windows of 10 s are heard, drawn over all recordings; every cell of them counts alike.

    Raises:
        ValueError: If none of them can be read, or they hold nothing but silence.
    """
    count, total, total_of_squares = 0, 0.0, 0.0
    for frames in _heard(config, recordings, seed=seed, channel=channel):
        count += frames.numel()
        total += float(frames.sum())
        total_of_squares += float(frames.square().sum())
    if count == 0:
        raise ValueError(
            "the normalisation cannot be measured: none of the recordings holds a readable window"
        )
    mean = total / count
    std = float(np.sqrt(max(total_of_squares / count - mean**2, 0.0)))
    if std < 1e-3:
        raise ValueError("the normalisation cannot be measured: the recordings hold nothing but silence")
    return config.model_copy(update={"mean": round(mean, 4), "std": round(std, 4)})


def band_statistics(
    config: LogMelConfig, recordings: Sequence[Recording], *, seed: int, channel: Channel = "mix"
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each mel band of the normalised log-mel, over the same windows.

    Raises:
        ValueError: If none of the recordings can be read.
    """
    count, total, total_of_squares = 0, torch.zeros(()), torch.zeros(())
    for frames in _heard(config, recordings, seed=seed, channel=channel):
        normalised = (frames - config.mean) / (2 * config.std)
        count += len(frames)
        total = total + normalised.sum(dim=0)
        total_of_squares = total_of_squares + normalised.square().sum(dim=0)
    if count == 0:
        raise ValueError("the mel bands cannot be measured: none of the recordings holds a readable window")
    mean = total / count
    std = (total_of_squares / count - mean.square()).clamp(min=0).sqrt()
    return tuple(round(value, 4) for value in mean.tolist()), tuple(round(value, 4) for value in std.tolist())


def _heard(
    config: LogMelConfig, recordings: Sequence[Recording], *, seed: int, channel: Channel
) -> Iterator[Float[Tensor, "frames mels"]]:
    """Log-mel, not normalised, of the windows that are heard; what cannot be read is left out."""
    index = SegmentIndex(recordings, SegmentConfig(window_s=WINDOW_S))
    front_end = LogMel(config)
    for position in range(min(MAX_WINDOWS, len(index))):
        segment = index[permuted(position, len(index), seed, 0)]
        try:
            samples = read_segment(segment, config.sample_rate_hz, channel).samples
        except UnreadableAudioError:
            continue  # the training run that follows reports it
        if config.removes_clip_mean:
            samples = samples - samples.mean() if len(samples) else samples
        yield front_end.unnormalised(torch.from_numpy(samples)[None])[0].double()
