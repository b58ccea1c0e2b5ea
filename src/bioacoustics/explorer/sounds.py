"""Sounds: exactly one window of one recording, for the ear of a browser and for the picture beside it."""

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import soxr
from jaxtyping import Float

from bioacoustics.audio.reading import Channel, read_segment
from bioacoustics.audio.recordings import Recording, UnreadableAudioError, read_header
from bioacoustics.audio.search import AUDIO_SUFFIXES
from bioacoustics.audio.segments import Segment

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8000, 48000  # what every browser plays
PEAK = 0.9


class NotOpenedError(ValueError):
    """A recording lies outside of what was opened."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A stretch of sound, mono at its native rate; it may begin later or end earlier than was asked."""

    samples: Float[np.ndarray, " samples"]
    sample_rate_hz: int
    start_s: float

    @property
    def end_s(self) -> float:
        """Where it ends in the recording."""
        return self.start_s + len(self.samples) / self.sample_rate_hz

    def between(self, start_s: float, end_s: float) -> "Cut":
        """A part of it."""
        first = max(0, round((start_s - self.start_s) * self.sample_rate_hz))
        last = max(first, round((end_s - self.start_s) * self.sample_rate_hz))
        return Cut(self.samples[first:last], self.sample_rate_hz, self.start_s + first / self.sample_rate_hz)


class Sounds:
    """The recordings of a store, read window by window where they lie now.

    Only files that the store names are ever opened; with `data_dir`, only those that lie in it.
    """

    def __init__(self, windows: pd.DataFrame, data_dir: Path | None = None) -> None:
        self._windows, self._data_dir = windows, data_dir

    def path_of(self, position: int) -> Path:
        """Where the recording of a window lies.

        Raises:
            NotOpenedError: outside of the opened folder, or no recording at all.
            UnreadableAudioError: it is not there.
        """
        file, noted = (str(self._windows[name].iloc[position]) for name in ("file", "path"))
        return located(file, Path(noted), self._data_dir)

    def cut(self, position: int, context_s: float = 0.0) -> Cut:
        """The sound of a window, with so many seconds before and behind it where the recording has them.

        Raises:
            NotOpenedError: the recording lies outside of the opened folder.
            UnreadableAudioError: it is not there any more, or nothing can be decoded.
        """
        row = self._windows.iloc[position]
        path = self.path_of(position)
        recording = _header(path, path.stat().st_mtime_ns)
        start_s = max(0.0, float(row["start_s"]) - context_s)
        end_s = min(recording.duration_s, float(row["end_s"]) + context_s)
        segment = Segment(recording, start_s, max(end_s - start_s, 0.0))
        reading = read_segment(segment, recording.sample_rate_hz, channel_of(str(row["channel"])))
        return Cut(reading.samples, recording.sample_rate_hz, start_s)


def located(file: str, noted: Path, data_dir: Path | None) -> Path:
    """The path of a recording, which the store names `file` and found at `noted`.

    Raises:
        NotOpenedError: it lies outside of `data_dir`, or is no recording.
        UnreadableAudioError: it is not there.
    """
    path = noted if data_dir is None else data_dir / file
    if data_dir is not None and not path.resolve().is_relative_to(data_dir.resolve()):
        raise NotOpenedError(f"{file}: this recording lies outside of {data_dir}, which was opened")
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        raise NotOpenedError(f"{file}: this is no recording")
    if not path.is_file():
        raise UnreadableAudioError(path, "it is not there any more")
    return path


def channel_of(name: str) -> Channel:
    """The channel as the store names it."""
    if name == "loudest":
        return "loudest"
    return int(name) if name.isdigit() else "mix"


@lru_cache(maxsize=256)
def _header(path: Path, changed_ns: int) -> Recording:
    return read_header(path, path.parent)


def flac_of(cut: Cut, slowdown: float = 1.0, *, is_evened: bool = True) -> bytes:
    """A file that browsers play: `slowdown` times longer and lower, which brings ultrasound into hearing.

    Evened sounds are as loud as they may be, so that faint calls are heard.
    """
    if not len(cut.samples):
        raise ValueError("there is no sound to play")
    rate_hz = round(cut.sample_rate_hz / slowdown)
    samples = cut.samples
    wanted_hz = min(max(rate_hz, LOWEST_RATE_HZ), HIGHEST_RATE_HZ)
    if wanted_hz != rate_hz:
        num_samples = round(len(samples) / rate_hz * wanted_hz)
        samples = soxr.resample(samples, rate_hz, wanted_hz, quality="HQ")[:num_samples]
        samples = np.pad(samples, (0, num_samples - len(samples)))
    peak = float(np.abs(samples).max(initial=0.0))
    if is_evened and peak > 0:
        samples = samples * (PEAK / peak)
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), wanted_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()
