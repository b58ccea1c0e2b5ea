"""A tone stands at its own frequency; silence is dark."""

import io

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from bioacoustics.explorer.sounds import Cut
from bioacoustics.explorer.spectrograms import PRESETS, SpectrogramConfig, band_khz, levels_db, picture


def tone(pitch_hz: float, rate_hz: int = 32000) -> Cut:
    return Cut(
        0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(rate_hz) / rate_hz).astype(np.float32), rate_hz, 0.0
    )


def brightest_row(content: bytes) -> float:
    """From 0 (lowest frequency) to 1."""
    image = np.asarray(Image.open(io.BytesIO(content)).convert("L"), float)
    return 1 - float(image.mean(axis=1).argmax()) / image.shape[0]


@pytest.mark.parametrize("pitch_hz", [2000, 8000, 12000])
def test_a_tone_is_drawn_at_its_frequency(pitch_hz: float) -> None:
    assert brightest_row(picture(tone(pitch_hz), PRESETS["all"])) == pytest.approx(pitch_hz / 16000, abs=0.02)
    band = SpectrogramConfig(low_khz=1, high_khz=13)
    assert brightest_row(picture(tone(pitch_hz), band)) == pytest.approx((pitch_hz - 1000) / 12000, abs=0.02)


def test_levels_are_decibels_of_full_scale() -> None:
    assert levels_db(tone(4000), 16.0, 100).max() == pytest.approx(20 * np.log10(0.5), abs=0.1)


def test_silence_is_one_dark_colour() -> None:
    silent = Cut(np.zeros(8000, np.float32), 8000, 0.0)
    assert len(Image.open(io.BytesIO(picture(silent, PRESETS["birds"]))).convert("RGB").getcolors()) == 1


def test_a_band_that_the_recording_does_not_have_falls_back_to_what_it_has() -> None:
    assert band_khz(PRESETS["bats"], 16000) == (0.0, 8.0)
    assert band_khz(PRESETS["bats"], 256000) == (10.0, 125.0)
    with pytest.raises(ValidationError, match="below its beginning"):
        SpectrogramConfig(low_khz=5, high_khz=4)
