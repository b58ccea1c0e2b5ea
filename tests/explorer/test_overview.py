"""An overview shows what is there and where, and reads no more than it says."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.recordings import UnreadableAudioError
from bioacoustics.explorer import overview as overview_module
from bioacoustics.explorer.overview import MAX_COLUMNS, NUM_BINS, PIECE_S, WHOLE_S, overview

RATE_HZ = 8000


def tones(seconds: float, pitches_hz: list[float]) -> np.ndarray:
    """One pitch after the other, each as long as the others."""
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    which = np.minimum((time / seconds * len(pitches_hz)).astype(int), len(pitches_hz) - 1)
    return 0.5 * np.sin(2 * np.pi * np.array(pitches_hz)[which] * time)


def loudest_hz(levels: np.ndarray) -> np.ndarray:
    return (levels.argmax(axis=1) + 0.5) / NUM_BINS * RATE_HZ / 2


@pytest.mark.parametrize("seconds", [3.0, 240.0])
def test_every_part_has_its_own_pitch(tmp_path: Path, seconds: float) -> None:
    pitches = [500.0, 1500.0, 3000.0]
    soundfile.write(tmp_path / "Ñandú.wav", tones(seconds, pitches), RATE_HZ)
    seen = overview(tmp_path / "Ñandú.wav", "mix", 0.0, seconds)
    assert seen.sample_rate_hz == RATE_HZ
    for found, pitch_hz in zip(np.array_split(loudest_hz(seen.levels), 3), pitches, strict=True):
        assert np.median(np.abs(found - pitch_hz)) < 50
    assert len(seen.levels) == min(MAX_COLUMNS, round(seconds / 0.01))
    assert seen.heard_s == pytest.approx(min(seconds, WHOLE_S), rel=0.01)
    part = overview(tmp_path / "Ñandú.wav", "mix", seconds / 3, 2 * seconds / 3)
    assert np.median(np.abs(loudest_hz(part.levels) - 1500)) < 50


def test_little_is_read_of_a_long_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(RATE_HZ * 1200), RATE_HZ)
    num_read = 0
    fill = soundfile.SoundFile.read

    def counted(self: soundfile.SoundFile, *arguments: object, **named: object) -> np.ndarray:
        nonlocal num_read
        found: np.ndarray = fill(self, *arguments, **named)  # type: ignore[arg-type]
        num_read += len(found)
        return found

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    seen = overview(path, "mix", 0.0, 1200.0)
    assert seen.heard_s == pytest.approx(MAX_COLUMNS * PIECE_S)
    assert num_read <= WHOLE_S * RATE_HZ * 1.01


def test_channels_are_told_apart_and_do_not_cancel(tmp_path: Path) -> None:
    left, right = tones(2.0, [600.0]), tones(2.0, [2400.0])
    soundfile.write(tmp_path / "two.wav", np.column_stack([left, right]), RATE_HZ)
    for channel, pitch_hz in (("0", 600), ("1", 2400)):
        seen = overview(tmp_path / "two.wav", channel, 0.0, 2.0)
        assert np.median(np.abs(loudest_hz(seen.levels) - pitch_hz)) < 50
    soundfile.write(tmp_path / "opposite.wav", np.column_stack([left, -left]), RATE_HZ)
    mixed, one = (overview(tmp_path / "opposite.wav", name, 0.0, 2.0).levels for name in ("mix", "0"))
    loudest = overview(tmp_path / "opposite.wav", "loudest", 0.0, 2.0).levels
    is_loud = one > -60  # below lies the rounding of 16 bits
    assert is_loud.any()
    assert np.allclose(mixed[is_loud], one[is_loud], atol=0.1)
    assert np.allclose(loudest[is_loud], one[is_loud], atol=0.1)


def test_formats_that_seek_badly_are_followed_only_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "song.mp3"
    soundfile.write(path, tones(40.0, [1000.0]), RATE_HZ, format="MP3")
    monkeypatch.setattr(overview_module, "MAX_DECODED_S", 20.0)
    seen = overview(path, "mix", 0.0, 40.0)
    is_there = np.isfinite(seen.levels).all(axis=1)
    assert is_there[: len(is_there) // 2].all()
    assert not is_there[len(is_there) // 2 + 2 :].any()
    assert np.median(np.abs(loudest_hz(seen.levels[is_there]) - 1000)) < 50


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableAudioError):
        overview(tmp_path / "gone.wav", "mix", 0.0, 1.0)
    soundfile.write(tmp_path / "short.wav", np.zeros(RATE_HZ), RATE_HZ)
    with pytest.raises(ValueError, match="begins in the recording"):
        overview(tmp_path / "short.wav", "mix", 5.0, 6.0)
    assert np.ptp(overview(tmp_path / "short.wav", "mix", 0.0, 9.0).levels) == 0
