"""Every malformed or unusual file of the collection behaves as its list says."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from bioacoustics.audio.reading import Finding, Reading, read_recording, read_segment, stream_segments
from bioacoustics.audio.recordings import Recording, Scan, scan_recordings
from bioacoustics.audio.segments import Segment, SegmentConfig, num_segments

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "odd"
LIST = FOLDER / "expected.csv"
ROWS = list(csv.DictReader(LIST.read_text(encoding="utf-8").splitlines())) if LIST.exists() else []
WANTED_HZ = 16000

FINDINGS = {
    "wav_float_with_nan.wav": {Finding.NAN},
    "stereo_antiphase.wav": {Finding.ANTIPHASE},
    "silent.wav": {Finding.SILENT},
    "ultrasonic_250k.wav": {Finding.SILENT},  # at 16 kHz nothing is left of a bat
    "ultrasonic_96k.wav": {Finding.SILENT},
    "dc_offset.wav": {Finding.DC},
    "hard_clipped.wav": {Finding.CLIPPED},
    "clip_50ms.wav": {Finding.SHORT},
    "clip_1_sample.wav": {Finding.SHORT},
    "truncated_data.wav": {Finding.PARTIAL},
    "truncated.flac": {Finding.PARTIAL},
    "corrupt_middle.flac": {Finding.PARTIAL},
}
REASONS = {
    "zero_length.wav": "it is empty (0 bytes)",
    "header_only_no_samples.wav": "it holds no samples: the recorder stopped before it wrote any sound",
    "truncated_header.wav": "its header is damaged or cut off (Error in WAV file. No 'data' chunk marker)",
    "text_renamed.wav": "it is a text file, not sound",
}


@pytest.fixture(scope="module")
def scan(shared: Path) -> Scan:
    return scan_recordings(shared / "data" / "odd")


@pytest.fixture(scope="module")
def recordings(scan: Scan) -> dict[str, Recording]:
    return {recording.relative_path: recording for recording in scan.recordings}


def test_every_listed_file_is_found_and_no_other(scan: Scan) -> None:
    found = [file.relative_path for file in (*scan.recordings, *scan.unreadable)]
    assert sorted(found) == sorted(row["filename"] for row in ROWS)
    assert len(ROWS) == 35


@pytest.mark.parametrize("row", ROWS, ids=[row["filename"] for row in ROWS])
def test_file_behaves_as_listed(scan: Scan, recordings: dict[str, Recording], row: dict[str, str]) -> None:
    name = row["filename"]
    if row["decodes"] in {"0", "empty"}:
        [reason] = [file.reason for file in scan.unreadable if file.relative_path == name]
        assert reason == REASONS[name]
        return
    if row["decodes"] == "needs ffmpeg":
        pytest.importorskip("av")
    recording = recordings[name]
    if row["sample_rate"]:
        listed = (int(row["sample_rate"]), int(row["channels"]), int(row["frames"]))
        assert (recording.sample_rate_hz, recording.num_channels, recording.num_samples) == listed
    reading = read_recording(recording)
    assert set(reading.findings) == FINDINGS.get(name, set())
    assert np.isfinite(reading.samples).all()
    if name != "truncated.flac":
        assert len(reading.samples) == round(recording.duration_s * WANTED_HZ)
    _check_windows(recording, reading)


def _check_windows(recording: Recording, whole: Reading) -> None:
    """Windows, alone or streamed, hold the same sound as the whole."""
    config = SegmentConfig(window_s=0.7, stride_s=0.5)
    pairs = list(stream_segments(recording, config))
    if Finding.PARTIAL not in whole.findings:
        assert len(pairs) == num_segments(recording, config)
    is_per_window = Finding.ANTIPHASE in whole.findings
    for segment, reading in pairs:
        first = round(segment.start_s * WANTED_HZ)
        expected = whole.samples[first : first + len(reading.samples)]
        if Finding.PARTIAL not in reading.findings and not is_per_window:
            np.testing.assert_allclose(reading.samples, expected, atol=1e-6)
            np.testing.assert_allclose(read_segment(segment).samples, expected, atol=1e-6)


def test_antiphase_stereo_does_not_become_silence(recordings: dict[str, Recording]) -> None:
    recording = recordings["stereo_antiphase.wav"]
    mixed, left = read_recording(recording), read_recording(recording, channel=0)
    np.testing.assert_array_equal(mixed.samples, left.samples)
    assert np.abs(mixed.samples).max() > 0.5


def test_corrupt_and_truncated_flac_give_what_can_be_decoded(recordings: dict[str, Recording]) -> None:
    corrupt = read_recording(recordings["corrupt_middle.flac"]).samples
    truncated = read_recording(recordings["truncated.flac"]).samples
    np.testing.assert_array_equal(truncated[:36_864], corrupt[:36_864])  # made from the same recording
    assert len(truncated) >= 36_864
    assert np.abs(corrupt[60_000:]).max() > 0.1  # behind the damage too
    behind = read_segment(Segment(recordings["corrupt_middle.flac"], 4.0, 2.0))
    assert behind.findings == frozenset()
    np.testing.assert_array_equal(behind.samples, corrupt[64_000:])


def test_samples_beyond_full_scale_are_kept(recordings: dict[str, Recording]) -> None:
    assert np.abs(read_recording(recordings["wav_float_over_fullscale.wav"]).samples).max() > 1.5


def test_an_mp3_is_known_under_a_wrong_name(recordings: dict[str, Recording]) -> None:
    assert recordings["real_mp3_named.wav"].container == "MP3"


def test_without_the_extra_the_reason_names_it(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    scan = scan_recordings(shared / "data" / "odd")
    reasons = {file.relative_path: file.reason for file in scan.unreadable}
    expected = "AAC and WMA sound needs one more package: pip install 'bioacoustics[av]'"
    assert reasons == REASONS | {"real_recording.m4a": expected}
