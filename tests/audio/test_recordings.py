"""Headers of recordings, one and many."""

import os
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.recordings import (
    UnreadableAudioError,
    find_audio_files,
    read_header,
    scan_recordings,
)

RATE_HZ = 16000
DATA_SIZE_AT = 40  # where a plain WAV header holds the length of its sound


def _noise(num_samples: int, num_channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (num_samples, num_channels)).astype(np.float32)


def _with_data_size(path: Path, num_bytes: int) -> None:
    data = bytearray(path.read_bytes())
    assert data[DATA_SIZE_AT - 4 : DATA_SIZE_AT] == b"data"
    data[DATA_SIZE_AT : DATA_SIZE_AT + 4] = struct.pack("<I", num_bytes)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "options", "container", "seeks_well"),
    [
        ("x.wav", {}, "WAV", True),
        ("x.WAV", {"format": "WAVEX"}, "WAVEX", True),
        ("x.rf64", {"format": "RF64"}, "RF64", True),
        ("x.w64", {"format": "W64"}, "W64", True),
        ("x.flac", {}, "FLAC", True),
        ("x.aif", {"format": "AIFF"}, "AIFF", True),
        ("x.ogg", {}, "OGG", True),
        ("x.opus", {"format": "OGG", "subtype": "OPUS"}, "OPUS", False),
        ("x.mp3", {"format": "MP3", "subtype": "MPEG_LAYER_III"}, "MP3", False),
    ],
)
def test_header(
    tmp_path: Path, name: str, options: dict[str, str], container: str, *, seeks_well: bool
) -> None:
    path = tmp_path / "site" / name
    path.parent.mkdir()
    soundfile.write(path, _noise(24000, 2), RATE_HZ, **options)
    recording = read_header(path, tmp_path)
    assert recording.path == path
    assert recording.relative_path == f"site/{name}"
    assert recording.sample_rate_hz == RATE_HZ
    assert recording.num_channels == 2
    assert recording.num_samples == 24000
    assert recording.container == container
    assert recording.seeks_well is seeks_well
    assert not recording.is_truncated
    assert recording.duration_s == 1.5


def test_a_file_that_ends_before_its_header_says(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, _noise(16000), RATE_HZ)
    os.truncate(path, 44 + 2 * 9000)
    recording = read_header(path, tmp_path)
    assert recording.is_truncated
    assert recording.num_samples == 9000


@pytest.mark.parametrize("num_bytes", [0xFFFFFFFF, 0x7FFFF000, 32000 + 44])
def test_placeholders_and_small_mistakes_are_no_truncation(tmp_path: Path, num_bytes: int) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, _noise(16000), RATE_HZ)
    _with_data_size(path, num_bytes)
    recording = read_header(path, tmp_path)
    assert not recording.is_truncated
    assert recording.num_samples == 16000


def test_a_flac_that_does_not_know_its_length_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "piped.flac"
    soundfile.write(path, _noise(150_001), RATE_HZ)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the 36 bits of the number of samples
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert read_header(path, tmp_path).num_samples == 150_001


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty (0 bytes)"),
        (b"filename,labels\r\nx.wav,frog\r\n", "it is a text file, not sound"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "its header is damaged or cut off"),
        (bytes(range(256)), "no decoder knows what it is"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(100), "FFmpeg cannot decode it"),
    ],
)
def test_reasons_in_plain_words(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(UnreadableAudioError) as caught:
        read_header(path, tmp_path)
    assert caught.value.path == path
    assert caught.value.reason.startswith(reason)
    assert str(caught.value) == f"{path.as_posix()}: {caught.value.reason}"


def test_no_samples(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, _noise(0), RATE_HZ)
    with pytest.raises(UnreadableAudioError, match="holds no samples"):
        read_header(path, tmp_path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableAudioError, match="there is no such file"):
        read_header(tmp_path / "x.wav", tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_a_link_to_nowhere_is_listed(tmp_path: Path) -> None:
    (tmp_path / "x.wav").symlink_to(tmp_path / "unplugged.wav")
    [file] = scan_recordings(tmp_path).unreadable
    assert (file.relative_path, file.reason) == ("x.wav", "it is a link that leads nowhere")


def test_the_error_survives_pickling(tmp_path: Path) -> None:
    error = pickle.loads(pickle.dumps(UnreadableAudioError(tmp_path, "why")))
    assert (error.path, error.reason) == (tmp_path, "why")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are no Unicode")
def test_a_name_in_an_old_encoding(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", _noise(100), RATE_HZ)
    (tmp_path / "x.wav").rename(os.fsdecode(os.fsencode(tmp_path) + b"/Grabaci\xf3n.wav"))
    [recording] = scan_recordings(tmp_path).recordings
    assert recording.relative_path == r"Grabaci\udcf3n.wav"
    recording.relative_path.encode()  # so it can be printed and saved
    (tmp_path / os.fsdecode(b"bad\xf3.wav")).touch()
    [file] = scan_recordings(tmp_path).unreadable
    str(UnreadableAudioError(file.path, file.reason)).encode()


def test_scan_lists_good_and_bad_in_order_and_tells_how_far_it_is(tmp_path: Path) -> None:
    for i in range(150):
        path = tmp_path / f"site {i % 3}" / f"{i:03d}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, _noise(160), RATE_HZ)
    (tmp_path / "site 1" / "note.wav").write_text("battery empty")
    (tmp_path / "empty.flac").touch()
    seen: list[tuple[int, int]] = []
    scan = scan_recordings(tmp_path, on_file=lambda done, total: seen.append((done, total)))
    names = [recording.relative_path for recording in scan.recordings]
    assert names == sorted(names)
    assert len(names) == 150
    assert [file.relative_path for file in scan.unreadable] == ["empty.flac", "site 1/note.wav"]
    assert scan.duration_s == pytest.approx(1.5)
    assert scan.elapsed_s > 0
    assert [path.relative_to(tmp_path).as_posix() for path in find_audio_files(tmp_path)] == sorted(
        [*names, "empty.flac", "site 1/note.wav"]
    )
    assert seen[-1] == (152, 152)
    assert seen == sorted(seen)


def test_an_interrupted_scan_ends(tmp_path: Path) -> None:
    for i in range(1000):
        (tmp_path / f"{i}.wav").touch()
    calls: list[int] = []

    def interrupt(num_done: int, _: int) -> None:
        calls.append(num_done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_recordings(tmp_path, num_threads=1, on_file=interrupt)
    assert len(calls) == 1


def test_scan_of_one_file_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "sound.tmp"
    soundfile.write(path, _noise(160), RATE_HZ, format="WAV")
    [recording] = scan_recordings(path).recordings
    assert recording.relative_path == "sound.tmp"
    assert find_audio_files(path) == [path]


def test_scan_of_an_empty_folder(tmp_path: Path) -> None:
    scan = scan_recordings(tmp_path)
    assert (scan.recordings, scan.unreadable, scan.duration_s) == ((), (), 0)


@pytest.mark.parametrize("search", [scan_recordings, find_audio_files])
def test_scan_of_nothing(tmp_path: Path, search: object) -> None:
    assert callable(search)
    with pytest.raises(FileNotFoundError, match="give a folder of recordings"):
        search(tmp_path / "nothing")
