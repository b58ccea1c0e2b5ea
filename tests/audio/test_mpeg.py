"""What libsndfile does not say about MP3 files."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.mpeg import has_untold_length
from bioacoustics.audio.recordings import UnreadableAudioError, read_header

RATE_HZ = 44100


def _mp3(path: Path, bitrate_mode: str) -> bytes:
    rng = np.random.default_rng(0)
    loud = rng.normal(0, 0.2, 2 * RATE_HZ)
    quiet = 0.001 * np.sin(np.arange(2 * RATE_HZ) / 20)
    with soundfile.SoundFile(
        path,
        "w",
        RATE_HZ,
        1,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=0.5,
        bitrate_mode=bitrate_mode,
    ) as file:
        file.write(np.concatenate([quiet, loud, quiet, loud]))
    return path.read_bytes()


def _without_table(data: bytes) -> bytes:
    """What lies behind the first frame, which holds the table and no sound."""
    return data[data.index(data[:2], 4) :]


@pytest.mark.parametrize("bitrate_mode", ["CONSTANT", "VARIABLE"])
def test_a_file_with_a_table_tells_its_length(tmp_path: Path, bitrate_mode: str) -> None:
    path = tmp_path / "x.mp3"
    data = _mp3(path, bitrate_mode)
    assert not has_untold_length(path)
    picture = bytes([0x49, 0x44, 0x33, 4, 0, 0, 0, 0, 3, 4])
    path.write_bytes(picture + bytes(3 * 128 + 4) + data)
    assert not has_untold_length(path)
    assert read_header(path, tmp_path).duration_s == pytest.approx(8, abs=0.1)


def test_a_constant_bit_rate_needs_no_table(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(_without_table(_mp3(path, "CONSTANT")))
    assert not has_untold_length(path)
    assert read_header(path, tmp_path).duration_s == pytest.approx(8, abs=0.1)


def test_a_variable_bit_rate_without_table_is_refused_instead_of_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(_without_table(_mp3(path, "VARIABLE")))
    assert soundfile.info(path).duration != pytest.approx(8, rel=0.1)  # what we would lose or invent
    assert has_untold_length(path)
    with pytest.raises(UnreadableAudioError, match="mend it with: ffmpeg"):
        read_header(path, tmp_path)


def test_other_bytes_tell_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    for content in (b"", b"\xff", bytes(1000), b"\xff" * 1000):
        path.write_bytes(content)
        assert not has_untold_length(path)
