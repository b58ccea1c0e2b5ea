"""Spectrogram: the picture of one sound, with true times and a linear axis of true frequencies."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from bioacoustics.formats.axes import INK, png_of
from bioacoustics.formats.words import Language, word

_DYNAMIC_RANGE_DB = 60.0
_FRAMES = 400  # columns of the picture: more than its pixels show nothing


def spectrogram_picture(
    samples: Float[np.ndarray, " samples"],
    sample_rate_hz: int,
    *,
    begin_s: float = 0.0,
    language: Language = "en",
) -> bytes:
    """A PNG of the power in decibels, the loudest 60 dB; time counts from the start of the recording."""
    levels_db = power_db(samples)
    figure = Figure(figsize=(3.6, 2.0), layout="constrained")
    axes = figure.add_subplot()
    top = float(levels_db.max())
    duration_s = len(samples) / sample_rate_hz
    axes.imshow(
        levels_db.T,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(begin_s, begin_s + duration_s, 0.0, sample_rate_hz / 2000),
        vmin=max(top - _DYNAMIC_RANGE_DB, float(np.percentile(levels_db, 5))),
        vmax=top + 1e-3,
    )
    axes.set_xlabel(word("time", language), fontsize=8, color=INK)
    axes.set_ylabel(word("frequency", language), fontsize=8, color=INK)
    axes.tick_params(labelsize=7, colors=INK)
    return png_of(figure)


def power_db(samples: Float[np.ndarray, " samples"]) -> Float[np.ndarray, "frames bins"]:
    """Power of Hann windows of 512 samples, in decibels over the quietest that 16 bits can hold."""
    size = min(512, max(2, len(samples)))
    step = max(1, min(size // 4, (len(samples) - size) // _FRAMES) if len(samples) > size else size)
    step = max(step, (len(samples) - size) // _FRAMES, 1)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::step]
    spectrum = np.fft.rfft(frames * np.hanning(size), axis=1)
    floor = (size / 2 / 32768) ** 2
    levels_db: Float[np.ndarray, "frames bins"] = 10 * np.log10(np.square(np.abs(spectrum)) + floor)
    return levels_db
