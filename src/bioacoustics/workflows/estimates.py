"""Estimates: how long a model will take over all recordings, measured on a little of them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from bioacoustics.audio.reading import UnreadableAudioError, read_segment
from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.segments import Segment, SegmentConfig, num_segments
from bioacoustics.inference.device import DeviceChoice, pick_device
from bioacoustics.models.saved import load_encoder

MEASURED_S = 30.0
ROW_BYTES = 64  # file, times and findings of a row, beside its vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What embedding all recordings will take on this machine."""

    measured_s: float  # seconds of audio that were timed
    device: str
    num_windows: int
    embedding_dim: int
    reading_share: float  # seconds of reading for a second of audio, in one thread
    model_share: float  # seconds of the model for a second of audio
    total_s: float
    table_bytes: int

    @property
    def speed(self) -> float:
        """Hours of audio in an hour."""
        return 1 / max(self.reading_share, self.model_share, 1e-9)


def estimate_embedding(
    recordings: Sequence[Recording],
    model_path: Path,
    *,
    window_s: float,
    stride_s: float | None,
    device: DeviceChoice,
) -> Estimate | None:
    """Time 30 s of the recordings through a model; None where no window of them can be read.

    Reading runs in threads beside the model, so the slower of the two sets the pace.
    """
    chosen = pick_device(device)
    encoder = load_encoder(model_path, device=chosen)
    frame_length = encoder.front_end.config.frame_length
    config = SegmentConfig(
        window_s=window_s, stride_s=stride_s, min_duration_s=frame_length / encoder.sample_rate_hz
    )
    num_windows = sum(num_segments(recording, config) for recording in recordings)
    read_s = heard_s = model_s = 0.0
    waveforms = []
    for segment in islice(_windows(recordings, window_s), max(1, round(MEASURED_S / window_s))):
        started = time.perf_counter()
        try:
            reading = read_segment(segment, encoder.sample_rate_hz)
        except UnreadableAudioError:
            continue
        read_s += time.perf_counter() - started
        if len(reading.samples) >= frame_length:
            heard_s += len(reading.samples) / encoder.sample_rate_hz
            waveforms.append(torch.from_numpy(reading.samples)[None])
    if not waveforms:
        return None
    with torch.inference_mode():
        encoder.embed(waveforms[0].to(chosen)).cpu()  # the first pass sets things up
        started = time.perf_counter()
        for waveform in waveforms:
            encoder.embed(waveform.to(chosen)).cpu()
        model_s = time.perf_counter() - started
    # Windows that overlap are heard as often as they are cut.
    audio_s = sum(recording.duration_s for recording in recordings) * window_s / config.step_s
    return Estimate(
        measured_s=heard_s,
        device=str(chosen),
        num_windows=num_windows,
        embedding_dim=encoder.embedding_dim,
        reading_share=read_s / heard_s,
        model_share=model_s / heard_s,
        total_s=audio_s * max(read_s, model_s) / heard_s,
        table_bytes=num_windows * (4 * encoder.embedding_dim + ROW_BYTES),
    )


def _windows(recordings: Sequence[Recording], window_s: float) -> Iterator[Segment]:
    """First windows, from the longest recordings down: short ones would measure the opening of files."""
    for recording in sorted(recordings, key=lambda one: (-one.duration_s, one.relative_path)):
        yield Segment(recording, 0.0, window_s)
