"""Windows at the wanted rate, and what is noticed about them."""

import struct
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from bioacoustics.audio.reading import (
    Channel,
    Finding,
    Reading,
    read_recording,
    read_segment,
    stream_segments,
)
from bioacoustics.audio.recordings import Recording, UnreadableAudioError, read_header
from bioacoustics.audio.segments import Segment, SegmentConfig, cut

RATE_HZ = 16000


def _noise(num_samples: int, num_channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (num_samples, num_channels)).astype(np.float32)


def _written(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, **options: object) -> Recording:
    soundfile.write(
        path, samples, rate_hz, **({"subtype": "FLOAT"} if path.suffix == ".wav" else {}) | options
    )
    return read_header(path, path.parent)


def _findings(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> set[Finding]:
    return set(read_recording(_written(path, samples, rate_hz)).findings)


@pytest.mark.parametrize(
    "rate_hz", [8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000, 250_000, 384_000, 500_000, 44_099]
)
def test_a_window_is_a_slice_of_the_whole_resampled_recording(tmp_path: Path, rate_hz: int) -> None:
    samples = _noise(int(4.003 * rate_hz))
    recording = _written(tmp_path / "x.wav", samples, rate_hz)
    whole = soxr.resample(samples[:, 0], rate_hz, RATE_HZ, quality="HQ")
    for start_s in (0.0, 0.00003, 0.4, 1.0, 1.23456, 2.99, 3.2, 3.999):
        reading = read_segment(Segment(recording, start_s, 1.0))
        first = round(start_s * RATE_HZ)
        expected = whole[first : first + RATE_HZ]
        assert len(reading.samples) == len(expected)
        np.testing.assert_allclose(reading.samples, expected, atol=1e-6)
    np.testing.assert_allclose(read_recording(recording).samples, whole, atol=1e-6)


@pytest.mark.parametrize("wanted_hz", [2000, 8000, 32000, 48000, 256_000])
def test_any_wanted_rate(tmp_path: Path, wanted_hz: int) -> None:
    samples = _noise(5 * 44100)
    recording = _written(tmp_path / "x.wav", samples, 44100)
    whole = soxr.resample(samples[:, 0], 44100, wanted_hz, quality="HQ")
    reading = read_segment(Segment(recording, 2.125, 1.5), wanted_hz)
    first = round(2.125 * wanted_hz)
    np.testing.assert_allclose(reading.samples, whole[first : first + round(1.5 * wanted_hz)], atol=1e-6)


@pytest.mark.parametrize("name", ["x.wav", "x.flac"])
def test_seeks_are_exact_to_the_sample(tmp_path: Path, name: str) -> None:
    recording = _written(tmp_path / name, _noise(100_000))
    every, _ = soundfile.read(recording.path, dtype="float32")
    for first, last in [(0, 1), (12_345, 50_000), (99_999, 100_000), (50_000, 100_000)]:
        segment = Segment(recording, first / RATE_HZ, (last - first) / RATE_HZ)
        np.testing.assert_array_equal(read_segment(segment).samples, every[first:last])


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("x.wav", {}, 0),
        ("x.flac", {}, 0),
        ("x.ogg", {}, 0),
        ("x.mp3", {}, 0),
        ("x.opus", {"format": "OGG", "subtype": "OPUS"}, 5e-3),
    ],
)
@pytest.mark.parametrize(
    "config",
    [
        SegmentConfig(window_s=1.0),
        SegmentConfig(window_s=1.5, stride_s=0.4, edge="shift"),
        SegmentConfig(window_s=0.5, stride_s=1.7, edge="drop"),
        SegmentConfig(window_s=20.0),
    ],
)
def test_streaming_gives_what_reading_window_by_window_gives(
    tmp_path: Path, name: str, options: dict[str, str], tolerance: float, config: SegmentConfig
) -> None:
    recording = _written(tmp_path / name, _noise(48000 * 7 + 1234, 2), 48000, **options)
    pairs = list(stream_segments(recording, config))
    assert [segment for segment, _ in pairs] == cut(recording, config)
    for segment, reading in pairs:
        alone = read_segment(segment)
        np.testing.assert_allclose(reading.samples, alone.samples, atol=tolerance, rtol=0)
        assert reading.findings == alone.findings


@pytest.mark.parametrize(("name", "options"), [("x.wav", {"subtype": "PCM_16"}), ("x.mp3", {})])
def test_streaming_takes_memory_for_one_window_only(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    samples = _noise(48000 * 10)
    with soundfile.SoundFile(tmp_path / name, "w", 48000, 1, **options) as file:
        for _ in range(24):
            file.write(samples)
    recording = read_header(tmp_path / name, tmp_path)  # four minutes: 46 MB as float32
    tracemalloc.start()
    num_windows = sum(1 for _ in stream_segments(recording, SegmentConfig(window_s=2.0)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert num_windows == 120
    assert peak < 8e6


def test_a_window_deep_in_an_mp3_takes_little_memory(tmp_path: Path) -> None:
    recording = _written(tmp_path / "x.mp3", _noise(48000 * 120), 48000)
    tracemalloc.start()
    read_segment(Segment(recording, 115.0, 2.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6


@pytest.mark.skipif(sys.platform != "linux", reason="needs files with holes, which take no room on the disk")
@pytest.mark.parametrize(("num_bytes", "is_rf64"), [(3_000_000_000, False), (5_000_000_000, True)])
def test_files_beyond_two_and_four_gigabytes(tmp_path: Path, num_bytes: int, *, is_rf64: bool) -> None:
    path = tmp_path / "long.wav"
    last = (np.arange(16000) % 100 * 300).astype("<i2")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, num_bytes + 72, num_bytes, num_bytes // 2, 0)
    if is_rf64:
        head = b"RF64" + b"\xff" * 4 + b"WAVE" + ds64 + form + b"data" + b"\xff" * 4
    else:
        head = (
            b"RIFF"
            + struct.pack("<I", num_bytes + 36)
            + b"WAVE"
            + form
            + struct.pack("<4sI", b"data", num_bytes)
        )
    with path.open("wb") as file:
        file.write(head)
        file.seek(len(head) + num_bytes - 2 * len(last))
        file.write(last.tobytes())
    recording = read_header(path, tmp_path)
    assert recording.num_samples == num_bytes // 2
    assert not recording.is_truncated
    reading = read_segment(Segment(recording, recording.duration_s - 1, 1.0))
    np.testing.assert_array_equal(reading.samples, last.astype(np.float32) / 2**15)


def test_a_window_over_the_end_gives_what_exists(tmp_path: Path) -> None:
    samples = _noise(20_000)
    recording = _written(tmp_path / "x.wav", samples)
    reading = read_segment(Segment(recording, 1.0, 5.0))
    np.testing.assert_array_equal(reading.samples, samples[16_000:, 0])
    assert reading.findings == frozenset()


def test_a_window_behind_the_end_is_an_error(tmp_path: Path) -> None:
    recording = _written(tmp_path / "x.wav", _noise(20_000))
    with pytest.raises(UnreadableAudioError, match=r"no sound can be decoded from 2.00 to 3.00 s"):
        read_segment(Segment(recording, 2.0, 1.0))


def test_mix_is_the_mean_and_a_channel_is_itself(tmp_path: Path) -> None:
    samples = _noise(20_000, 3)
    recording = _written(tmp_path / "x.wav", samples)
    np.testing.assert_allclose(read_recording(recording).samples, samples.mean(axis=1), atol=1e-7)
    for channel in range(3):
        np.testing.assert_array_equal(read_recording(recording, channel=channel).samples, samples[:, channel])


@pytest.mark.parametrize("channel", [2, -1])
def test_a_channel_that_is_not_there(tmp_path: Path, channel: Channel) -> None:
    recording = _written(tmp_path / "x.wav", _noise(20_000, 2))
    config = SegmentConfig(window_s=1.0)
    for read in (
        lambda: read_recording(recording, channel=channel),
        lambda: list(stream_segments(recording, config, channel=channel)),
    ):
        with pytest.raises(UnreadableAudioError, match=f"there is no channel {channel}: it has 2"):
            read()


def test_antiphase_falls_back_to_the_first_channel_that_sounds(tmp_path: Path) -> None:
    left = _noise(20_000)
    silence = np.zeros_like(left)
    for channels in ([left, -left], [silence, left, -left], [left, 0.99 * -left]):
        reading = read_recording(_written(tmp_path / "x.wav", np.hstack(channels)))
        assert reading.findings == {Finding.ANTIPHASE}
        np.testing.assert_array_equal(reading.samples, left[:, 0])
    assert _findings(tmp_path / "x.wav", np.hstack([left, -0.8 * left])) == set()
    assert _findings(tmp_path / "x.wav", np.hstack([left, silence])) == set()
    chosen = read_recording(_written(tmp_path / "x.wav", np.hstack([left, -left])), channel=1)
    assert chosen.findings == frozenset()
    np.testing.assert_array_equal(chosen.samples, -left[:, 0])


def test_numbers_that_are_none_become_zero(tmp_path: Path) -> None:
    samples = _noise(20_000, 2)
    samples[[3, 500], 0] = np.nan, np.inf
    reading = read_recording(_written(tmp_path / "x.wav", samples))
    assert reading.findings == {Finding.NAN}
    samples[~np.isfinite(samples)] = 0
    np.testing.assert_allclose(reading.samples, samples.mean(axis=1), atol=1e-7)


def test_only_the_window_is_judged_not_its_context(tmp_path: Path) -> None:
    samples = _noise(4 * 48000)
    samples[48000 - 50 : 48000] = np.nan
    recording = _written(tmp_path / "x.wav", samples, 48000)
    assert read_segment(Segment(recording, 0.0, 1.0)).findings == {Finding.NAN}
    reading = read_segment(Segment(recording, 1.0, 1.0))
    assert reading.findings == frozenset()
    assert np.isfinite(reading.samples).all()


def test_levels(tmp_path: Path) -> None:
    path, noise = tmp_path / "x.wav", _noise(20_000)
    assert _findings(path, noise) == set()
    assert _findings(path, noise + 0.3) == {Finding.DC}
    assert _findings(path, 0 * noise) == {Finding.SILENT}
    assert _findings(path, 0 * noise + 0.5) == {Finding.SILENT, Finding.DC}
    assert _findings(path, (noise * 20).clip(-1, 1)) == {Finding.CLIPPED}
    assert _findings(path, noise * 20) == set()  # floating point holds more than full scale
    assert _findings(path, noise[:1000]) == {Finding.SHORT}


def test_sound_above_the_wanted_rate_is_silence(tmp_path: Path) -> None:
    bat = 0.5 * np.sin(2 * np.pi * 40_000 * np.arange(100_000) / 250_000)[:, None]
    recording = _written(tmp_path / "x.wav", bat, 250_000)
    assert read_segment(Segment(recording, 0.1, 0.2)).findings == {Finding.SILENT}
    assert read_segment(Segment(recording, 0.1, 0.2), 250_000).findings == frozenset()


def test_a_truncated_wav_is_partial_at_its_end_only(tmp_path: Path) -> None:
    recording = _written(tmp_path / "x.wav", _noise(40_000), subtype="PCM_16")
    recording.path.write_bytes(recording.path.read_bytes()[: 44 + 2 * 30_000])
    recording = read_header(recording.path, tmp_path)
    assert read_segment(Segment(recording, 0.0, 1.0)).findings == frozenset()
    assert read_segment(Segment(recording, 1.0, 1.0)).findings == {Finding.PARTIAL}


def test_a_truncated_flac_ends_where_its_sound_ends(tmp_path: Path) -> None:
    recording = _written(tmp_path / "x.flac", _noise(160_000))
    every = read_recording(recording).samples
    recording.path.write_bytes(recording.path.read_bytes()[: recording.path.stat().st_size // 2])
    reading = read_recording(recording)
    assert reading.findings == {Finding.PARTIAL}
    np.testing.assert_array_equal(reading.samples, every[: len(reading.samples)])
    assert 60_000 < len(reading.samples) < 100_000
    with pytest.raises(UnreadableAudioError, match="no sound can be decoded"):
        read_segment(Segment(recording, 8.0, 1.0))
    windows = list(stream_segments(recording, SegmentConfig(window_s=1.0)))
    assert len(windows) == -(-len(reading.samples) // RATE_HZ)
    assert [bool(reading.findings) for _, reading in windows] == [False] * (len(windows) - 1) + [True]


def test_a_recording_without_any_sound_left_is_an_error(tmp_path: Path) -> None:
    recording = _written(tmp_path / "x.flac", _noise(160_000))
    recording.path.write_bytes(recording.path.read_bytes()[:100])
    with pytest.raises(UnreadableAudioError, match=r"no sound can be decoded from 0.00 to 10.00 s"):
        list(stream_segments(recording, SegmentConfig(window_s=1.0)))


def test_a_recording_too_short_for_a_window_streams_nothing(tmp_path: Path) -> None:
    recording = _written(tmp_path / "x.wav", _noise(800))
    assert list(stream_segments(recording, SegmentConfig(window_s=1.0))) == []


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    recordings = [
        _written(tmp_path / name, _noise(48000 * 4, 2), 48000)
        for name in ("x.wav", "x.flac", "x.ogg", "x.mp3")
    ]
    segments = [Segment(recording, 0.13 * i, 1.0) for i in range(20) for recording in recordings]
    alone = [read_segment(segment) for segment in segments]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(read_segment, segments))
    assert all(_equal(a, b) for a, b in zip(alone, together, strict=True))


def _equal(one: Reading, other: Reading) -> bool:
    return np.array_equal(one.samples, other.samples) and one.findings == other.findings


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "opus"])
def test_a_stream_that_begins_later_gives_the_same_windows(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 6 * 48000)
    options = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
    soundfile.write(tmp_path / f"a.{suffix}", noise, 48000, **options)
    recording = read_header(tmp_path / f"a.{suffix}", tmp_path)
    config = SegmentConfig(window_s=1.0, stride_s=0.7)
    everything = list(stream_segments(recording, config, RATE_HZ))
    for first in (1, 5, len(everything)):
        later = list(stream_segments(recording, config, RATE_HZ, first=first))
        assert [segment for segment, _ in later] == [segment for segment, _ in everything[first:]]
        for (_, ours), (_, theirs) in zip(later, everything[first:], strict=True):
            np.testing.assert_allclose(ours.samples, theirs.samples, atol=2e-6)


def test_a_recording_beyond_four_gigabytes_is_read_to_its_end(tmp_path: Path) -> None:
    """RF64, 5 GB of mostly silence that takes no room on disks that know holes; its last second is noise."""
    rate_hz, num_channels, num_bytes = 96_000, 8, 5 * 2**30
    frame_bytes = 2 * num_channels
    num_bytes -= num_bytes % frame_bytes
    noise = np.random.default_rng(0).integers(-9000, 9000, (rate_hz, num_channels), dtype=np.int16)
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        sizes = struct.pack("<QQQI", num_bytes + 72, num_bytes, num_bytes // frame_bytes, 0)
        file.write(b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<I", 28) + sizes)
        form = struct.pack("<HHIIHH", 1, num_channels, rate_hz, rate_hz * frame_bytes, frame_bytes, 16)
        file.write(b"fmt " + struct.pack("<I", 16) + form + b"data\xff\xff\xff\xff")
        begin = file.tell()
        file.truncate(begin + num_bytes)
        file.seek(begin + num_bytes - noise.nbytes)
        file.write(noise.tobytes())
    if path.stat().st_blocks * 512 > 2**30:
        path.unlink()
        pytest.skip("this file system knows no holes")
    recording = read_header(path, tmp_path)
    assert recording.num_samples == num_bytes // frame_bytes
    config = SegmentConfig(window_s=1.0, edge="shift")
    num_windows = len(cut(recording, config))
    (segment, reading), *_ = stream_segments(recording, config, rate_hz, 3, first=num_windows - 1)
    assert segment.end_s == pytest.approx(recording.duration_s)
    np.testing.assert_allclose(reading.samples[-rate_hz + 1 :], noise[1:, 3] / 32768, atol=1e-6)
