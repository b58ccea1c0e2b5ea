"""Measured statistics against those of all cells at once."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from bioacoustics.audio.log_mel import LogMel, LogMelConfig
from bioacoustics.audio.recordings import scan_recordings
from bioacoustics.workflows.normalisation import measured_normalisation


def test_mean_and_deviation_are_those_of_all_cells(clips: Path) -> None:
    recordings = [r for r in scan_recordings(clips).recordings if r.duration_s > 0.1]  # less is no window
    front_end = LogMel(LogMelConfig.eat())
    cells = []
    for recording in recordings:
        samples, _ = soundfile.read(recording.path, dtype="float32")
        cells.append(front_end.unnormalised(torch.from_numpy(samples - samples.mean())[None]).flatten())
    values = torch.cat(cells).double()
    measured = measured_normalisation(LogMelConfig.eat(), scan_recordings(clips).recordings, seed=1)
    assert measured.mean == pytest.approx(float(values.mean()), abs=2e-4)
    assert measured.std == pytest.approx(float(values.std()), abs=2e-4)
    assert measured.model_copy(update={"mean": -4.268, "std": 4.569}) == LogMelConfig.eat()


def test_normalised_like_the_official_code_it_has_deviation_one_half(clips: Path) -> None:
    recordings = scan_recordings(clips / "b.wav").recordings
    measured = LogMel(measured_normalisation(LogMelConfig.eat(), recordings, seed=1))
    samples, _ = soundfile.read(clips / "b.wav", dtype="float32")
    cells = measured(torch.from_numpy(samples)[None])
    assert float(cells.mean()) == pytest.approx(0, abs=0.01)
    assert float(cells.std()) == pytest.approx(0.5, abs=0.01)


def test_unreadable_recordings_are_passed_over(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    for name in ("a.flac", "b.flac"):
        soundfile.write(tmp_path / name, noise, 16_000)
    recordings = scan_recordings(tmp_path).recordings
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[:100] + b"\x55" * (len(content) - 100))
    both = measured_normalisation(LogMelConfig.eat(), recordings, seed=1)
    assert both == measured_normalisation(LogMelConfig.eat(), recordings[1:], seed=1)
    with pytest.raises(ValueError, match="none of the recordings holds a readable window"):
        measured_normalisation(LogMelConfig.eat(), recordings[:1], seed=1)


def test_silence_cannot_be_normalised(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000, np.float32), 16_000)
    with pytest.raises(ValueError, match="nothing but silence"):
        measured_normalisation(LogMelConfig.eat(), scan_recordings(tmp_path).recordings, seed=1)


def test_windows_too_short_for_a_frame_do_not_count(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(300, 0.1, np.float32), 16_000)
    with pytest.raises(ValueError, match="none of the recordings holds a readable window"):
        measured_normalisation(LogMelConfig.eat(), scan_recordings(tmp_path).recordings, seed=1)
