"""Estimates count the windows that embedding makes, and scale what was timed."""

from pathlib import Path

import pytest

from bioacoustics.audio.recordings import scan_recordings
from bioacoustics.workflows.estimates import ROW_BYTES, estimate_embedding


def test_windows_and_bytes_are_exact_and_times_scale(clips: Path, small_model: Path) -> None:
    recordings = scan_recordings(clips).recordings
    estimate = estimate_embedding(recordings, small_model, window_s=1.0, stride_s=None, device="cpu")
    assert estimate is not None
    assert estimate.num_windows == 1 + 3 + 1 + 2 + 1  # of 0.5, 2.5, 0.05, 1.1 and 0.5 s
    assert estimate.table_bytes == estimate.num_windows * (4 * 32 + ROW_BYTES)
    assert estimate.measured_s == pytest.approx(0.5 + 1.0 + 0.05 + 1.0 + 0.5, abs=0.01)
    total_s = sum(recording.duration_s for recording in recordings)
    assert estimate.total_s == pytest.approx(total_s / estimate.speed)


def test_overlapping_windows_take_longer(clips: Path, small_model: Path) -> None:
    recordings = scan_recordings(clips).recordings
    estimate = estimate_embedding(recordings, small_model, window_s=1.0, stride_s=0.25, device="cpu")
    assert estimate is not None
    total_s = sum(recording.duration_s for recording in recordings)
    assert estimate.total_s == pytest.approx(4 * total_s / estimate.speed)


def test_nothing_to_time(small_model: Path) -> None:
    assert estimate_embedding([], small_model, window_s=1.0, stride_s=None, device="cpu") is None
