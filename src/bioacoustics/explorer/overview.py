"""Overview: a whole recording, or a part of it, as one spectrogram, read in short pieces.

Up to `WHOLE_S` everything is read. Of more, each column of the picture is made of the `PIECE_S` at its
beginning, so that never more than `MAX_COLUMNS * PIECE_S` of sound, that is a minute, is read, however long
the recording is. Formats that seek badly (MP3, AAC, WMA) must be decoded from their start: of those, what
begins later than `MAX_DECODED_S` is not shown.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bioacoustics.audio.decoding import decoder_of
from bioacoustics.audio.recordings import UnreadableAudioError, read_header
from bioacoustics.explorer.sounds import channel_of
from bioacoustics.explorer.steps import DONE, Progress, Step, silent

MAX_COLUMNS = 600
PIECE_S = 0.1
WHOLE_S = MAX_COLUMNS * PIECE_S
MAX_DECODED_S = 1800.0
NUM_BINS = 160
_FRAME_S = 0.02
_QUIETEST = (1.0 / 32768) ** 2  # of 16 bits
_COLUMNS_PER_REPORT = 50


@dataclass(frozen=True, eq=False)
class Overview:
    """A spectrogram of few columns.

    Attributes:
        levels: In decibels of full scale; NaN where nothing can be decoded. Bins go evenly from 0 to half the
            sample rate.
        sample_rate_hz: Of the recording.
        heard_s: How much of the sound was read.
    """

    levels: Float[np.ndarray, "columns bins"]
    sample_rate_hz: int
    heard_s: float


def overview(
    path: Path, channel: str, start_s: float, end_s: float, on_progress: Progress | None = None
) -> Overview:
    """Look at what lies between two moments of a recording; `channel` is named as in the store.

    Of a mix, the power of the channels is averaged, so that they cannot cancel each other.

    Raises:
        UnreadableAudioError: The recording is not there, or nothing of it can be decoded.
    """
    report = on_progress or silent
    recording = read_header(path, path.parent)
    end_s = min(end_s, recording.duration_s)
    if not 0 <= start_s < end_s:
        raise ValueError(f"a part begins in the recording and ends later, got {start_s:g} to {end_s:g} s")
    rate_hz = recording.sample_rate_hz
    num_columns = max(1, min(MAX_COLUMNS, round((end_s - start_s) / (_FRAME_S / 2))))
    begins = np.round(np.linspace(start_s, end_s, num_columns + 1) * rate_hz).astype(int)
    longest = round(PIECE_S * rate_hz)
    levels = np.full((num_columns, NUM_BINS), np.nan, np.float32)
    num_heard = position = 0
    with decoder_of(recording) as decoder:
        for i, (first, last) in enumerate(zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True)):
            if i % _COLUMNS_PER_REPORT == 0:
                report(i / num_columns, Step("overview"))
            if not recording.seeks_well and first > MAX_DECODED_S * rate_hz:
                break
            decoder.skip(first - position)
            stretch = decoder.read(min(last - first, longest))
            position = first + len(stretch.frames)
            if stretch.is_decoded.all() and len(stretch.frames):
                num_heard += len(stretch.frames)
                levels[i] = _column(np.nan_to_num(stretch.frames), channel, rate_hz)
    if not num_heard:
        reason = f"no sound can be decoded from {start_s:.2f} to {end_s:.2f} s"
        raise UnreadableAudioError(path, reason)
    report(1.0, DONE)
    return Overview(levels, rate_hz, num_heard / rate_hz)


def _column(
    frames: Float[np.ndarray, "samples channels"], channel: str, sample_rate_hz: int
) -> Float[np.ndarray, " bins"]:
    """The mean power of a piece in each bin, in decibels."""
    chosen = channel_of(channel)
    if isinstance(chosen, int):
        frames = frames[:, chosen : chosen + 1]
    size = min(len(frames), max(16, round(_FRAME_S * sample_rate_hz)))
    pieces = np.lib.stride_tricks.sliding_window_view(frames, size, axis=0)[:: max(1, size // 2)]
    taper = np.hanning(size + 2)[1:-1].astype(np.float32)
    spectrum = np.fft.rfft(pieces * taper, n=max(size, 2 * NUM_BINS), axis=2)
    power = (np.square(np.abs(spectrum)) / np.square(taper.sum() / 2)).mean(axis=0)
    power = power.max(axis=0) if chosen == "loudest" else power.mean(axis=0)
    edges = np.linspace(0, len(power) - 1, NUM_BINS + 1).astype(int)
    sums = np.add.reduceat(power[:-1], edges[:-1]) / np.diff(edges)
    levels: Float[np.ndarray, " bins"] = 10 * np.log10(sums + _QUIETEST)
    return levels
