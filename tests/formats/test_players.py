"""Players hold the sound at its pitch and length, at a rate that browsers know."""

import io

import numpy as np
import pytest
import soundfile

from bioacoustics.formats.players import mp3_of


@pytest.mark.parametrize(
    ("rate_hz", "played_hz"), [(16_000, 16_000), (24_414, 32_000), (256_000, 48_000), (500, 8000)]
)
def test_any_rate_is_played_at_its_pitch(rate_hz: int, played_hz: int) -> None:
    tone_hz = rate_hz / 20 if rate_hz < 200_000 else 5000
    samples = 0.001 * np.sin(2 * np.pi * tone_hz * np.arange(rate_hz) / rate_hz)
    played, found_hz = soundfile.read(io.BytesIO(mp3_of(samples, rate_hz)))
    assert found_hz == played_hz
    assert len(played) / found_hz == pytest.approx(1.0, abs=0.35)  # MP3 counts in blocks
    assert 0.5 < np.abs(played).max() <= 1  # faint sounds are to be heard
    spectrum = np.abs(np.fft.rfft(played * np.hanning(len(played))))
    assert spectrum.argmax() * found_hz / len(played) == pytest.approx(tone_hz, rel=0.02)


def test_silence_stays_silent() -> None:
    played, _ = soundfile.read(io.BytesIO(mp3_of(np.zeros(16_000), 16_000)))
    assert np.abs(played).max() < 1e-3
