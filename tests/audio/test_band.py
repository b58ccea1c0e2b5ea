"""A band keeps what lies in it to the last bit that counts, and leaves nothing of the rest."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from bioacoustics.audio.band import FLANK, WHOLE, Band
from bioacoustics.audio.log_mel import LogMel, LogMelConfig
from bioacoustics.audio.reading import Finding, stream_segments
from bioacoustics.audio.recordings import read_header
from bioacoustics.audio.segments import SegmentConfig

RATE_HZ = 16_000


def tone(hz: float, num_samples: int = 4 * RATE_HZ, phase: float = 0.3) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(num_samples) / RATE_HZ + phase)).astype(np.float32)


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean()))


@pytest.mark.parametrize("hz", [1000.0, 1003.7, 1999.0, 2500.0, 4000.0])
def test_what_lies_inside_stays_as_it_is_with_its_phase(hz: float) -> None:
    band = Band(1000.0, 4000.0)
    inner = slice(RATE_HZ // 4, -RATE_HZ // 4)
    np.testing.assert_allclose(band.limited(tone(hz), RATE_HZ)[inner], tone(hz)[inner], atol=2e-3)


@pytest.mark.parametrize("hz", [50.0, 500.0, 0.99 * 1000 / FLANK, 1.01 * 4000 * FLANK, 7000.0])
def test_what_lies_outside_is_gone(hz: float) -> None:
    band = Band(1000.0, 4000.0)
    left = band.limited(tone(hz), RATE_HZ)
    assert level(left[RATE_HZ // 2 : -RATE_HZ // 2]) < 1e-4 * level(tone(hz))
    assert level(left) < 0.05 * level(tone(hz))  # the ends, where the tone stops


def test_a_flank_falls_steadily() -> None:
    gains = [
        level(Band(low_hz=1000.0).limited(tone(1000 / FLANK**share), RATE_HZ))
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert gains == sorted(gains, reverse=True)
    assert gains[2] / gains[0] == pytest.approx(0.5, abs=0.02)


def test_two_sounds_are_told_apart_and_one_side_may_be_open() -> None:
    low, high = tone(300), tone(3000)
    inner = slice(RATE_HZ // 4, -RATE_HZ // 4)
    np.testing.assert_allclose(
        Band(low_hz=1000.0).limited(low + high, RATE_HZ)[inner], high[inner], atol=2e-3
    )
    np.testing.assert_allclose(
        Band(high_hz=1000.0).limited(low + high, RATE_HZ)[inner], low[inner], atol=2e-3
    )


@pytest.mark.parametrize("num_samples", [0, 1, 2, 37, 400, 16_001])
def test_any_length_comes_back_in_its_length(num_samples: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, num_samples).astype(np.float32)
    limited = Band(20.0, 7900.0).limited(samples, RATE_HZ)
    assert len(limited) == num_samples
    assert limited.dtype == np.float32
    assert np.isfinite(limited).all()
    assert WHOLE.limited(samples, RATE_HZ) is samples


@pytest.mark.parametrize("config", [LogMelConfig.eat(), LogMelConfig.beats()], ids=["eat", "beats"])
def test_to_a_log_mel_what_lies_inside_stays_and_the_rest_falls(config: LogMelConfig) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 4 * RATE_HZ).astype(np.float32)
    limited = Band(1000.0, 4000.0).limited(sound, RATE_HZ)
    log_mel = LogMel(config)
    ours, whole = (
        log_mel.unnormalised(torch.from_numpy(one)[None])[0, 50:-50].mean(0) for one in (limited, sound)
    )
    mels = np.linspace(*(1127 * np.log1p(np.array([config.low_hz, config.high_hz]) / 700)), 130)
    edges_hz = 700 * np.expm1(mels / 1127)
    lower, upper = edges_hz[:-2], edges_hz[2:]
    is_inside = (lower > 1100) & (upper < 3900)
    is_outside = (upper < 1000 / FLANK - 80) | (lower > 4000 * FLANK + 80)  # a frame knows 40 Hz
    assert is_inside.sum() > 20
    torch.testing.assert_close(ours[is_inside], whole[is_inside], atol=0.02, rtol=0)
    has_bins = whole > -15  # the narrowest bands may hold no frequency of the transform
    fall_db = 10 / np.log(10) * (whole - ours)[is_outside & has_bins.numpy()]
    assert len(fall_db) > 50
    assert fall_db.min() > 25
    assert fall_db.median() > 45


@pytest.mark.parametrize(
    ("band", "message"),
    [
        (Band(9000.0, None), r"--low_hz 9000 leaves nothing to limit: this model hears up to 8000 Hz"),
        (Band(None, 8000.0), r"--high_hz 8000 leaves nothing"),
        (Band(3000.0, 2000.0), r"--low_hz 3000 must be below --high_hz 2000"),
    ],
)
def test_bands_that_cannot_be_heard_are_refused(band: Band, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        band.check(RATE_HZ)
    Band(3000.0, 4000.0).check(RATE_HZ)


def test_streams_are_limited_window_by_window_and_say_when_nothing_is_left(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.concatenate([tone(300), tone(3000)]), RATE_HZ, subtype="FLOAT")
    recording = read_header(tmp_path / "a.wav", tmp_path)
    config = SegmentConfig(window_s=2.0)
    whole = list(stream_segments(recording, config))
    limited = list(stream_segments(recording, config, band=Band(low_hz=2000.0)))
    assert [segment for segment, _ in limited] == [segment for segment, _ in whole]
    for (_, ours), (_, theirs) in zip(limited, whole, strict=True):
        expected = Band(low_hz=2000.0).limited(theirs.samples, RATE_HZ)
        np.testing.assert_array_equal(ours.samples, expected)
    assert not any(Finding.SILENT in reading.findings for _, reading in limited[2:])
    later = list(stream_segments(recording, config, first=2, band=Band(low_hz=2000.0)))
    np.testing.assert_array_equal(later[0][1].samples, limited[2][1].samples)
    soundfile.write(tmp_path / "hum.wav", np.tile(tone(50, RATE_HZ), 4), RATE_HZ, subtype="FLOAT")
    (_, hum), *_ = stream_segments(
        read_header(tmp_path / "hum.wav", tmp_path), config, band=Band(low_hz=2000.0)
    )
    assert level(hum.samples) < 1e-2
