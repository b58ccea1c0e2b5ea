"""Windows reach the model in order, in bounded memory, whatever is wrong with a recording."""

import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.reading import read_segment
from bioacoustics.audio.recordings import Recording, read_header
from bioacoustics.audio.segments import SegmentConfig, cut
from bioacoustics.inference.windows import WINDOWS_AHEAD, WindowReader, in_file_order

RATE_HZ = 16000


def recording_of(folder: Path, name: str, duration_s: float, seed: int = 0) -> Recording:
    noise = np.random.default_rng(seed).normal(0, 0.1, round(duration_s * RATE_HZ)).astype(np.float32)
    soundfile.write(folder / name, noise, RATE_HZ)
    return read_header(folder / name, folder)


def reader_of(recordings: list[Recording], *, num_threads: int = 2, window_s: float = 1.0) -> WindowReader:
    return WindowReader(
        recordings,
        SegmentConfig(window_s=window_s, min_duration_s=0.025),
        sample_rate_hz=RATE_HZ,
        num_threads=num_threads,
        min_samples=400,
    )


@pytest.mark.parametrize("num_threads", [1, 3])
def test_every_window_comes_once_and_in_file_order(tmp_path: Path, num_threads: int) -> None:
    durations_s = [2.5, 0.3, 4.0, 1.0, 3.25]
    recordings = [recording_of(tmp_path, f"{i}.wav", d, seed=i) for i, d in enumerate(durations_s)]
    expected = [s for r in recordings for s in cut(r, SegmentConfig(window_s=1.0, min_duration_s=0.025))]
    windows = list(reader_of(recordings, num_threads=num_threads))
    assert [position for position, _, _ in windows] == list(range(len(expected)))
    assert [segment for _, segment, _ in windows] == expected
    for _, segment, reading in windows:
        np.testing.assert_array_equal(reading.samples, read_segment(segment, RATE_HZ).samples)


def test_batches_hold_windows_of_one_length_and_lose_none(tmp_path: Path) -> None:
    durations_s = [0.5 + 0.11 * i for i in range(12)]
    recordings = [recording_of(tmp_path, f"{i:02}.wav", d, seed=i) for i, d in enumerate(durations_s)]
    reader = reader_of(recordings)
    batches = list(reader.batches(2))
    for batch in batches:
        assert {len(reading.samples) for reading in batch.readings} == {batch.waveforms.shape[1]}
    positions = sorted(position for batch in batches for position in batch.positions)
    assert positions == list(range(len(list(reader_of(recordings)))))


def test_outputs_come_back_in_file_order(tmp_path: Path) -> None:
    recordings = [recording_of(tmp_path, f"{i:02}.wav", 0.5 + 0.13 * i, seed=i) for i in range(9)]
    reader = reader_of(recordings)
    outputs = ((batch, batch.waveforms.square().mean(1, keepdim=True).numpy()) for batch in reader.batches(3))
    for segment, reading, values in in_file_order(outputs):
        assert values[0] == pytest.approx(np.square(reading.samples).mean(), rel=1e-5)
        assert segment.recording.relative_path
    names = [
        s.recording.relative_path
        for s, _, _ in in_file_order((batch, batch.waveforms[:, :1].numpy()) for batch in reader.batches(3))
    ]
    assert names == sorted(names)


def test_a_recording_that_vanishes_is_a_problem_and_the_rest_goes_on(tmp_path: Path) -> None:
    recordings = [recording_of(tmp_path, f"{i}.wav", 2.0) for i in range(3)]
    recordings[1].path.unlink()
    reader = reader_of(recordings)
    assert [s.recording.relative_path for _, s, _ in reader] == ["0.wav", "0.wav", "2.wav", "2.wav"]
    assert [problem.relative_path for problem in reader.problems] == ["1.wav"]


def test_a_blink_of_sound_is_named_too_short(tmp_path: Path) -> None:
    reader = reader_of([recording_of(tmp_path, "blink.wav", 0.01), recording_of(tmp_path, "ok.wav", 1.0)])
    assert [s.recording.relative_path for _, s, _ in reader] == ["ok.wav"]
    assert reader.problems[0].relative_path == "blink.wav"
    assert "10 ms" in reader.problems[0].reason
    assert "25 ms" in reader.problems[0].reason


def test_leaving_early_stops_the_threads(tmp_path: Path) -> None:
    before = threading.active_count()
    reader = reader_of([recording_of(tmp_path, f"{i}.wav", 60.0) for i in range(4)], window_s=0.25)
    windows = iter(reader)
    next(windows)
    windows.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_no_thread_reads_further_ahead_than_its_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_read = 0
    from bioacoustics.inference import windows as module

    stream = module.stream_segments

    def counted(*args: object) -> object:
        nonlocal num_read
        for window in stream(*args):  # type: ignore[arg-type]
            num_read += 1
            yield window

    monkeypatch.setattr(module, "stream_segments", counted)
    reader = reader_of([recording_of(tmp_path, "long.wav", 120.0)], num_threads=1, window_s=0.25)
    windows = iter(reader)
    next(windows)
    threading.Event().wait(0.5)
    assert num_read <= WINDOWS_AHEAD + 2
    windows.close()  # type: ignore[attr-defined]
