"""A tone is bright at its frequency and nowhere else; the picture is a small PNG."""

import numpy as np
import pytest

from bioacoustics.formats.spectrogram import power_db, spectrogram_picture


@pytest.mark.parametrize("tone_hz", [1000.0, 6000.0])
def test_a_tone_is_where_it_is(tone_hz: float) -> None:
    samples = 0.5 * np.sin(2 * np.pi * tone_hz * np.arange(32_000) / 16_000)
    levels_db = power_db(samples)
    peaks_hz = levels_db.argmax(axis=1) * 16_000 / 512
    np.testing.assert_allclose(peaks_hz, tone_hz, atol=16_000 / 512)
    assert levels_db.max() - np.median(levels_db) > 60


@pytest.mark.parametrize("num_samples", [10, 400, 512, 513, 16_000, 1_000_000])
def test_sounds_of_any_length_have_a_picture(num_samples: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, num_samples)
    assert len(power_db(samples)) <= 900
    assert spectrogram_picture(samples, 16_000, begin_s=3.0).startswith(b"\x89PNG")


def test_silence_has_one_too() -> None:
    assert spectrogram_picture(np.zeros(16_000), 16_000).startswith(b"\x89PNG")
