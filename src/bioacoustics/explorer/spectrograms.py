"""Spectrograms: a picture of sound as the viewer wants it, with a linear axis of true frequencies."""

import io
from typing import Literal

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from pydantic import BaseModel, Field, model_validator

from bioacoustics.explorer.sounds import Cut

ColourMap = Literal["magma", "viridis", "cividis", "inferno", "gray_r"]
Preset = Literal["all", "birds", "frogs", "insects", "bats"]
MAX_COLUMNS, MAX_ROWS = 900, 320  # more than the place on the page shows nothing
MAX_SLOWDOWN = 50.0
QUIETEST = (1.0 / 32768) ** 2  # of 16 bits


class SpectrogramConfig(BaseModel, frozen=True, extra="forbid"):
    """How a spectrogram is drawn and its sound played."""

    preset: Preset = "all"
    low_khz: float = Field(default=0.0, ge=0)
    high_khz: float | None = Field(default=None, gt=0)  # None: as high as the recording goes
    range_db: float = Field(default=60.0, ge=10, le=120)  # below the loudest
    window_ms: float = Field(default=16.0, ge=0.5, le=200)  # long: fine in frequency; short: fine in time
    colour_map: ColourMap = "magma"
    slowdown: float = Field(default=1.0, ge=1, le=MAX_SLOWDOWN)
    context: float = Field(default=0.5, ge=0, le=5)  # lengths of the window shown before and behind it
    is_evened: bool = True

    @model_validator(mode="after")
    def _check_band(self) -> "SpectrogramConfig":
        if self.high_khz is not None and self.high_khz <= self.low_khz:
            raise ValueError(
                f"the band ends at {self.high_khz:g} kHz, below its beginning {self.low_khz:g} kHz"
            )
        return self


PRESETS: dict[Preset, SpectrogramConfig] = {
    "all": SpectrogramConfig(),
    "birds": SpectrogramConfig(preset="birds", low_khz=0.5, high_khz=12, range_db=60, window_ms=11),
    "frogs": SpectrogramConfig(preset="frogs", low_khz=0.1, high_khz=6, range_db=60, window_ms=24),
    "insects": SpectrogramConfig(preset="insects", low_khz=2, high_khz=24, range_db=70, window_ms=6),
    "bats": SpectrogramConfig(
        preset="bats", low_khz=10, high_khz=125, range_db=60, window_ms=2, slowdown=10, context=0.2
    ),
}


def view_of(time_expansion: float) -> SpectrogramConfig:
    """How windows are first shown: those that the model heard slowed down are played as slowly."""
    if time_expansion <= 1:
        return PRESETS["all"]
    return PRESETS["bats"].model_copy(update={"slowdown": min(time_expansion, MAX_SLOWDOWN)})


def band_khz(config: SpectrogramConfig, sample_rate_hz: int) -> tuple[float, float]:
    """The frequencies that the picture shows: what was asked for, as far as the recording has it."""
    top = sample_rate_hz / 2000
    high = min(config.high_khz or top, top)
    return (config.low_khz, high) if config.low_khz < high else (0.0, high)


def picture(
    cut: Cut, config: SpectrogramConfig, *, columns: int = MAX_COLUMNS, rows: int = MAX_ROWS
) -> bytes:
    """A PNG of the band of `config`, without axes; silence is the colour of nothing."""
    levels = levels_db(cut, config.window_ms, columns)
    low, high = band_khz(config, cut.sample_rate_hz)
    bins_khz = np.linspace(0, cut.sample_rate_hz / 2000, levels.shape[1])
    first = min(int(np.searchsorted(bins_khz, low)), levels.shape[1] - 1)
    last = max(int(np.searchsorted(bins_khz, high, side="right")), first + 1)
    return png_of(levels[:, first:last], config, columns, rows)


def png_of(
    levels: Float[np.ndarray, "frames bins"], config: SpectrogramConfig, columns: int, rows: int
) -> bytes:
    """Levels as a PNG; the loudest has the brightest colour, what is `range_db` below it the darkest."""
    loudest = float(levels.max())
    shares = np.clip((levels - loudest) / config.range_db + 1, 0, 1)
    if loudest <= 10 * np.log10(QUIETEST) + 3:
        shares = np.zeros_like(levels)
    upright = (shares.T[::-1] * 255).astype(np.uint8)
    image = Image.fromarray(upright).resize((columns, rows), Image.Resampling.BILINEAR)
    image.putpalette(_palette(config.colour_map).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return file.getvalue()


def levels_db(cut: Cut, window_ms: float, columns: int) -> Float[np.ndarray, "frames bins"]:
    """Power in decibels of full scale, of Hann windows; about one for each column of the picture."""
    size = max(16, round(window_ms / 1000 * cut.sample_rate_hz))
    samples = np.pad(cut.samples.astype(np.float32), size // 2)
    step = max(1, (len(samples) - size) // columns)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::step]
    taper = np.hanning(size + 2)[1:-1].astype(np.float32)
    spectrum = np.fft.rfft(frames * taper, n=max(size, 256), axis=1)
    power = np.square(np.abs(spectrum)) / np.square(taper.sum() / 2)
    levels: Float[np.ndarray, "frames bins"] = 10 * np.log10(power + QUIETEST)
    return levels


def _palette(name: ColourMap) -> UInt8[np.ndarray, "256 3"]:
    colours = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    return np.ascontiguousarray(colours, dtype=np.uint8)
