"""Faults that were put into recordings are found, and sound ones have none."""

import math

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.recordings import UnreadableAudioError, read_header
from bioacoustics.audio.sound_checks import NUM_BANDS, Fault, check_sound

RATE_HZ = 16000


def noise(seconds: float = 8.0, level: float = 0.01) -> np.ndarray:
    return np.random.default_rng(0).normal(0, level, round(seconds * RATE_HZ)).astype(np.float32)


def checked(path, samples, **kwargs):
    soundfile.write(path, samples, RATE_HZ, **kwargs)
    return check_sound(read_header(path, path.parent))


def test_level_and_spectrum_are_those_of_the_sound(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 3000 * np.arange(8 * RATE_HZ) / RATE_HZ)
    check = checked(tmp_path / "tone.wav", tone)
    assert check.level_db == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.01)
    assert check.peak == pytest.approx(0.5, abs=1e-3)
    assert check.faults == frozenset()
    assert 10 * math.log10(check.power.sum()) == pytest.approx(check.level_db, abs=0.1)
    band_hz = RATE_HZ / 2 / NUM_BANDS
    assert (check.power.argmax() + 1) * band_hz == pytest.approx(3000, abs=band_hz)


@pytest.mark.parametrize("seconds", [8.0, 3.0, 0.2])
def test_noise_is_flat_and_faultless(tmp_path, seconds):
    check = checked(tmp_path / "noise.flac", noise(seconds))
    assert check.faults == frozenset()
    assert check.level_db == pytest.approx(-40, abs=0.5)
    if seconds > 1:
        levels_db = 10 * np.log10(check.power[1:-1].reshape(-1, 2).mean(axis=1))
        assert np.ptp(levels_db) < 2.5


@pytest.mark.parametrize(
    ("fault", "samples"),
    [
        (Fault.SILENT, np.zeros(8 * RATE_HZ)),
        (Fault.FAINT, noise(level=5e-5)),
        (Fault.CLIPPED, np.clip(noise(level=0.6), -1, 1)),
        (Fault.DC, noise() + 0.1),
        (Fault.DEAD_CHANNEL, np.stack([noise(), np.zeros(8 * RATE_HZ, np.float32)], axis=1)),
        (Fault.SHORT, noise(0.05)),
    ],
)
def test_each_fault_alone(tmp_path, fault, samples):
    check = checked(tmp_path / "a.wav", samples, subtype="FLOAT")
    assert check.faults == {fault}


def test_float_files_beyond_full_scale_have_lost_nothing(tmp_path):
    assert checked(tmp_path / "a.wav", noise(level=0.6), subtype="FLOAT").faults == frozenset()


def test_no_numbers(tmp_path):
    samples = noise()
    samples[::7] = np.nan
    check = checked(tmp_path / "a.wav", samples, subtype="FLOAT")
    assert check.faults == {Fault.NAN}
    assert math.isfinite(check.level_db)


def test_bounded_reading_of_long_recordings(tmp_path):
    samples = noise(60.0)
    samples[20 * RATE_HZ : 22 * RATE_HZ] = 1.0  # between the windows, which lie around 10, 30 and 50 s
    assert checked(tmp_path / "a.wav", samples).faults == frozenset()
    samples[29 * RATE_HZ : 31 * RATE_HZ] = 1.0
    assert Fault.CLIPPED in checked(tmp_path / "b.wav", samples).faults


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("silent.wav", {Fault.SILENT}),
        ("dc_offset.wav", {Fault.DC}),
        ("hard_clipped.wav", {Fault.CLIPPED}),
        ("corrupt_middle.flac", {Fault.DAMAGED}),
        ("truncated.flac", {Fault.DAMAGED}),
        ("truncated_data.wav", {Fault.DAMAGED}),
        ("wav_float_with_nan.wav", {Fault.NAN}),
        ("clip_1_sample.wav", {Fault.SHORT}),
        ("real_recording.mp3", set()),
        ("four_channels.wav", set()),
        ("ultrasonic_250k.wav", set()),
    ],
)
def test_odd_files(shared, name, faults):
    folder = shared / "data" / "odd"
    assert check_sound(read_header(folder / name, folder)).faults == faults


def test_what_cannot_be_decoded_is_told(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(), RATE_HZ)
    recording = read_header(path, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:90] + np.random.default_rng(1).bytes(len(content) - 90))
    with pytest.raises(UnreadableAudioError, match="no sound can be decoded"):
        check_sound(recording)
