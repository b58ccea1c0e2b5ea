from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.recordings import Recording, UnreadableAudioError, read_header
from bioacoustics.audio.segments import SegmentConfig, SegmentIndex
from bioacoustics.data.windows import ClipWindows, SegmentWindows, Windows, class_balanced_weights

RATE_HZ = 16_000


def ramp(folder: Path, name: str, duration_s: float) -> Recording:
    """A recording whose samples tell where they are: 1/1000 a second."""
    path = folder / name
    samples = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ / 1000
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    return read_header(path, folder)


def start_s(samples: np.ndarray) -> float:
    return float(samples[0]) * 1000


def test_segments_are_read_where_they_were_cut(tmp_path: Path) -> None:
    recordings = [ramp(tmp_path, "a.wav", 5.0), ramp(tmp_path, "b.wav", 1.5)]
    index = SegmentIndex(recordings, SegmentConfig(window_s=2.0))
    windows = SegmentWindows(index, sample_rate_hz=RATE_HZ)
    assert isinstance(windows, Windows)
    assert (len(windows), windows.num_samples, windows.window_s) == (4, 32_000, 2.0)
    read = [windows.read(i, draw_id=99).samples for i in range(4)]
    assert [len(samples) for samples in read] == [32_000, 32_000, 16_000, 24_000]
    assert [start_s(samples) for samples in read] == pytest.approx([0, 2, 4, 0], abs=1e-3)


def test_jitter_follows_the_draw_and_stays_inside(tmp_path: Path) -> None:
    index = SegmentIndex([ramp(tmp_path, "a.wav", 10.0)], SegmentConfig(window_s=2.0))

    def starts(seed: int, number: int) -> list[float]:
        windows = SegmentWindows(index, sample_rate_hz=RATE_HZ, max_jitter_s=1.0, seed=seed)
        return [start_s(windows.read(number, draw_id).samples) for draw_id in range(40)]

    middle = starts(1, 2)
    assert middle == starts(1, 2) != starts(2, 2)
    assert 3.0 <= min(middle) < 3.3
    assert 4.7 < max(middle) <= 5.0
    assert all(0 <= start <= 1 for start in starts(1, 0))
    windows = SegmentWindows(index, sample_rate_hz=RATE_HZ, max_jitter_s=1.0)
    assert all(len(windows.read(4, draw_id).samples) == 32_000 for draw_id in range(10))


def test_clips_come_with_targets_and_are_cropped_as_asked(tmp_path: Path) -> None:
    clips = [ramp(tmp_path, "long.wav", 6.0), ramp(tmp_path, "short.wav", 1.0)]
    targets = np.eye(2, dtype=np.float32)

    def clip_windows(crop: str) -> ClipWindows:
        return ClipWindows(clips, targets, window_s=2.0, sample_rate_hz=RATE_HZ, crop=crop)  # type: ignore[arg-type]

    assert isinstance(clip_windows("first"), Windows)
    for crop, expected in (("first", 0.0), ("centre", 2.0)):
        window = clip_windows(crop).read(0, draw_id=5)
        assert start_s(window.samples) == pytest.approx(expected, abs=1e-3)
        assert len(window.samples) == 32_000
        assert window.target is not None
        assert window.target.tolist() == [1, 0]
    starts = [start_s(clip_windows("random").read(0, draw_id).samples) for draw_id in range(60)]
    assert starts == [start_s(clip_windows("random").read(0, draw_id).samples) for draw_id in range(60)]
    assert 0 <= min(starts) < 0.5
    assert 3.5 < max(starts) <= 4.0
    short = clip_windows("random").read(1, draw_id=3)
    assert len(short.samples) == 16_000


def test_short_clips_can_be_repeated_instead_of_padded(tmp_path: Path) -> None:
    clips = [ramp(tmp_path, "short.wav", 0.3), ramp(tmp_path, "long.wav", 2.0)]
    windows = ClipWindows(clips, None, window_s=1.0, sample_rate_hz=RATE_HZ, repeats=True)
    plain = ClipWindows(clips, None, window_s=1.0, sample_rate_hz=RATE_HZ)
    repeated, once = windows.read(0, 0).samples, plain.read(0, 0).samples
    assert len(repeated) == RATE_HZ > len(once)
    assert np.array_equal(repeated, [once[i % len(once)] for i in range(RATE_HZ)])
    assert np.array_equal(windows.read(1, 0).samples, plain.read(1, 0).samples)


def test_what_is_worth_telling_is_told(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    sound = generator.uniform(-0.5, 0.5, 2 * RATE_HZ)
    soundfile.write(tmp_path / "anti.wav", np.stack([sound, -sound], axis=1), RATE_HZ, subtype="FLOAT")
    sound[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", sound, RATE_HZ, subtype="FLOAT")
    soundfile.write(tmp_path / "silent.wav", np.zeros(2 * RATE_HZ), RATE_HZ)
    clips = [read_header(tmp_path / name, tmp_path) for name in ("anti.wav", "nan.wav", "silent.wav")]
    windows = ClipWindows(clips, None, window_s=2.0, sample_rate_hz=RATE_HZ)
    told = [windows.read(i, 0).problems for i in range(3)]
    assert [(p.path, p.is_unusable) for p in told[0]] == [("anti.wav", False)]
    assert "cancel each other" in told[0][0].reason
    assert "no numbers" in told[1][0].reason
    assert told[2] == ()
    assert np.abs(windows.read(0, 0).samples).max() > 0.1


def test_vanished_file_is_unreadable(tmp_path: Path) -> None:
    recording = ramp(tmp_path, "gone.wav", 2.0)
    index = SegmentIndex([recording], SegmentConfig(window_s=2.0))
    recording.path.unlink()
    for windows in (
        ClipWindows([recording], None, window_s=2.0, sample_rate_hz=RATE_HZ),
        SegmentWindows(index, sample_rate_hz=RATE_HZ),
    ):
        with pytest.raises(UnreadableAudioError, match=r"^gone\.wav: there is no such file"):
            windows.read(0, 0)  # named as everywhere else, not by where the folder lies


def test_targets_must_match_the_clips(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 clips need as many rows of targets, got 3"):
        ClipWindows([ramp(tmp_path, "a.wav", 1.0)], np.eye(3), window_s=1.0, sample_rate_hz=RATE_HZ)


def test_balanced_weights_make_classes_equally_frequent() -> None:
    targets = np.array([[1, 0, 0]] * 8 + [[0, 1, 0]] * 2, dtype=np.float32)
    weights = class_balanced_weights(targets)
    assert (targets.T @ weights)[:2].tolist() == pytest.approx([1.0, 1.0])
    several = class_balanced_weights(np.array([[1, 1], [1, 0], [0, 0]], dtype=np.float32))
    assert several.tolist() == [1.5, 0.5, 0.5]
    assert class_balanced_weights(np.zeros((3, 2), dtype=np.float32)).tolist() == [1, 1, 1]
