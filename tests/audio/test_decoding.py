"""Native samples in order, and around damage."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.decoding import decoder_of
from bioacoustics.audio.recordings import Recording, UnreadableAudioError, read_header

RATE_HZ = 16000
FORMATS = {
    "x.wav": {},
    "x.flac": {},
    "x.ogg": {},
    "x.mp3": {"compression_level": 0.5, "bitrate_mode": "VARIABLE"},
    "x.opus": {"format": "OGG", "subtype": "OPUS"},
}
OPUS_TOLERANCE = 5e-3


def _sound(num_samples: int, num_channels: int = 1) -> np.ndarray:
    """Loud and quiet by turns, so that the bit rate varies."""
    noise = np.random.default_rng(0).normal(0, 0.1, (num_samples, num_channels))
    return (noise * (np.arange(num_samples) // 5000 % 2 + 0.01)[:, None]).astype(np.float32)


def _written(path: Path, samples: np.ndarray) -> Recording:
    soundfile.write(path, samples, RATE_HZ, **FORMATS[path.name])
    return read_header(path, path.parent)


def _damage(path: Path, num_bytes: int) -> None:
    data = bytearray(path.read_bytes())
    start = len(data) // 2
    data[start : start + num_bytes] = np.random.default_rng(1).bytes(num_bytes)
    path.write_bytes(data)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("num_channels", [1, 2])
def test_reads_and_skips_give_the_samples_of_one_long_read(
    tmp_path: Path, name: str, num_channels: int
) -> None:
    recording = _written(tmp_path / name, _sound(170_000, num_channels))
    every, _ = soundfile.read(recording.path, dtype="float32", always_2d=True)
    tolerance = OPUS_TOLERANCE if name == "x.opus" else 2e-7
    position = 0
    with decoder_of(recording) as decoder:
        for i, num_samples in enumerate([1, 999, 40_000, 0, 70_001, 3, 20_000]):
            if i % 2:
                decoder.skip(num_samples)
            else:
                stretch = decoder.read(num_samples)
                assert stretch.is_decoded.all()
                np.testing.assert_allclose(
                    stretch.frames, every[position : position + num_samples], atol=tolerance, rtol=0
                )
            position += num_samples


@pytest.mark.parametrize("name", FORMATS)
def test_beyond_the_end_nothing_is_decoded(tmp_path: Path, name: str) -> None:
    recording = _written(tmp_path / name, _sound(20_000))
    with decoder_of(recording) as decoder:
        decoder.skip(recording.num_samples - 100)
        stretch = decoder.read(300)
        assert stretch.is_decoded.sum() == 100
        assert stretch.is_decoded[:100].all()
        assert not stretch.frames[100:].any()
        assert not decoder.read(300).is_decoded.any()


def test_behind_damage_samples_keep_their_place(tmp_path: Path) -> None:
    sound = _sound(160_000)
    recording = _written(tmp_path / "x.flac", sound)
    expected, _ = soundfile.read(recording.path, dtype="float32", always_2d=True)
    _damage(recording.path, num_bytes=3000)
    with decoder_of(recording) as decoder:
        stretches = [decoder.read(20_000) for _ in range(8)]
    frames = np.concatenate([stretch.frames for stretch in stretches])
    is_decoded = np.concatenate([stretch.is_decoded for stretch in stretches])
    np.testing.assert_array_equal(frames[is_decoded], expected[is_decoded])
    assert not frames[~is_decoded].any()
    [gap] = np.flatnonzero(np.diff(is_decoded.astype(int)) == -1)
    assert 40_000 < gap < 120_000
    assert 0 < (~is_decoded).sum() < 20_000


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.mp3"])
def test_a_file_cut_in_the_middle(tmp_path: Path, name: str) -> None:
    recording = _written(tmp_path / name, _sound(160_000))
    every, _ = soundfile.read(recording.path, dtype="float32", always_2d=True)
    recording.path.write_bytes(recording.path.read_bytes()[: recording.path.stat().st_size // 2])
    with decoder_of(recording) as decoder:
        stretch = decoder.read(160_000)
    num_decoded = int(stretch.is_decoded.sum())
    assert 30_000 < num_decoded < 130_000
    assert stretch.is_decoded[:num_decoded].all()
    num_sure = num_decoded - 4608  # the last MP3 frames lean on those that are gone
    np.testing.assert_allclose(stretch.frames[:num_sure], every[:num_sure], atol=2e-7)


def test_much_missing_sound_takes_few_tries(tmp_path: Path) -> None:
    recording = _written(tmp_path / "x.flac", _sound(160_000))
    recording.path.write_bytes(recording.path.read_bytes()[:20_000])
    long_recording = Recording(
        path=recording.path,
        relative_path="x.flac",
        sample_rate_hz=RATE_HZ,
        num_channels=1,
        num_samples=3600 * RATE_HZ,
        container="FLAC",
    )
    opened = _count_openings(long_recording)
    assert opened < 200


def _count_openings(recording: Recording) -> int:
    """How often a decoder opens the file of a recording on its way through."""
    with decoder_of(recording) as decoder, pytest.MonkeyPatch.context() as patch:
        count = 0
        original = soundfile.SoundFile.__init__

        def counted(self: soundfile.SoundFile, *args: object, **options: object) -> None:
            nonlocal count
            count += 1
            original(self, *args, **options)

        patch.setattr(soundfile.SoundFile, "__init__", counted)
        decoder.read(recording.num_samples)
    return count


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    recording = _written(tmp_path / "x.wav", _sound(100))
    recording.path.unlink()
    with pytest.raises(UnreadableAudioError, match="there is no such file"), decoder_of(recording):
        pass


def test_aac_goes_forward_exactly(shared: Path) -> None:
    pytest.importorskip("av")
    path = shared / "data" / "odd" / "real_recording.m4a"
    recording = read_header(path, path.parent)
    with decoder_of(recording) as decoder:
        every = decoder.read(recording.num_samples)
    assert every.is_decoded.all()
    with decoder_of(recording) as decoder:
        decoder.skip(50_000)
        part = decoder.read(10_001)
    np.testing.assert_array_equal(part.frames, every.frames[50_000:60_001])


def test_damaged_aac_gives_what_comes_before(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    original = shared / "data" / "odd" / "real_recording.m4a"
    path = tmp_path / "x.m4a"
    path.write_bytes(original.read_bytes())
    _damage(path, num_bytes=5000)
    with decoder_of(read_header(original, original.parent)) as decoder:
        expected = decoder.read(30_000)
    recording = read_header(path, tmp_path)
    with decoder_of(recording) as decoder:
        stretch = decoder.read(recording.num_samples)
    assert 0.3 < stretch.is_decoded.mean() < 0.9
    np.testing.assert_array_equal(stretch.frames[:30_000], expected.frames)
