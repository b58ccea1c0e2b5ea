"""Normalisation: measure mean and deviation of the log-mel on the user's own recordings."""

from collections.abc import Sequence

import numpy as np
import torch

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
    index = SegmentIndex(recordings, SegmentConfig(window_s=WINDOW_S))
    front_end = LogMel(config)
    count, total, total_of_squares = 0, 0.0, 0.0
    for position in range(min(MAX_WINDOWS, len(index))):
        segment = index[permuted(position, len(index), seed, 0)]
        try:
            samples = read_segment(segment, config.sample_rate_hz, channel).samples
        except UnreadableAudioError:
            continue  # the training run that follows reports it
        if config.removes_clip_mean:
            samples = samples - samples.mean() if len(samples) else samples
        cells = front_end.unnormalised(torch.from_numpy(samples)[None]).double()
        count += cells.numel()
        total += float(cells.sum())
        total_of_squares += float(cells.square().sum())
    if count == 0:
        raise ValueError(
            "the normalisation cannot be measured: none of the recordings holds a readable window"
        )
    mean = total / count
    std = float(np.sqrt(max(total_of_squares / count - mean**2, 0.0)))
    if std < 1e-3:
        raise ValueError("the normalisation cannot be measured: the recordings hold nothing but silence")
    return config.model_copy(update={"mean": round(mean, 4), "std": round(std, 4)})
