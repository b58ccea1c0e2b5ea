"""Windows reach the model in order, in bounded memory, whatever is wrong with a recording."""

import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.reading import read_segment
from bioacoustics.audio.recordings import Recording, read_header
from bioacoustics.audio.segments import SegmentConfig, cut
from bioacoustics.inference.windows import WINDOWS_AHEAD, Take, WindowReader, in_file_order

RATE_HZ = 16000


def recording_of(folder: Path, name: str, duration_s: float, seed: int = 0) -> Recording:
    noise = np.random.default_rng(seed).normal(0, 0.1, round(duration_s * RATE_HZ)).astype(np.float32)
    soundfile.write(folder / name, noise, RATE_HZ)
    return read_header(folder / name, folder)


def reader_of(recordings: list[Recording], *, num_threads: int = 2, window_s: float = 1.0) -> WindowReader:
    return WindowReader(
        [Take(recording) for recording in recordings],
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
    assert [window.position for window in windows] == list(range(len(expected)))
    assert [window.segment for window in windows] == expected
    for window in windows:
        np.testing.assert_array_equal(window.reading.samples, read_segment(window.segment, RATE_HZ).samples)


def test_batches_hold_windows_of_one_length_and_lose_none(tmp_path: Path) -> None:
    durations_s = [0.5 + 0.11 * i for i in range(12)]
    recordings = [recording_of(tmp_path, f"{i:02}.wav", d, seed=i) for i, d in enumerate(durations_s)]
    reader = reader_of(recordings)
    batches = list(reader.batches(lambda: 2))
    for batch in batches:
        assert {len(reading.samples) for reading in batch.readings} == {batch.waveforms.shape[1]}
    positions = sorted(position for batch in batches for position in batch.positions)
    assert positions == list(range(len(list(reader_of(recordings)))))


def test_outputs_come_back_in_file_order(tmp_path: Path) -> None:
    recordings = [recording_of(tmp_path, f"{i:02}.wav", 0.5 + 0.13 * i, seed=i) for i in range(9)]
    reader = reader_of(recordings)
    outputs = (
        (batch, batch.waveforms.square().mean(1, keepdim=True).numpy()) for batch in reader.batches(lambda: 3)
    )
    places = []
    for output in in_file_order(outputs):
        samples = read_segment(output.segment, RATE_HZ).samples
        assert output.values[0] == pytest.approx(np.square(samples).mean(), rel=1e-5)
        places.append((output.segment.recording.relative_path, output.segment.start_s))
    assert places == sorted(places)


def test_a_window_of_rare_length_does_not_hold_back_what_follows(tmp_path: Path) -> None:
    """Its batch waits for nothing but the next few windows: else a long run would commit nothing."""
    recordings = [recording_of(tmp_path, "a.wav", 0.3), recording_of(tmp_path, "b.wav", 100.0)]
    first = [
        batch.positions for batch, _ in zip(reader_of(recordings).batches(lambda: 2), range(9), strict=False)
    ]
    assert (0,) in first[:9]
    assert first[0] == (1, 2)


def test_takes_begin_anywhere_and_each_channel_is_one(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (5 * RATE_HZ, 2)).astype(np.float32)
    soundfile.write(tmp_path / "stereo.wav", noise, RATE_HZ)
    recording = read_header(tmp_path / "stereo.wav", tmp_path)
    config = SegmentConfig(window_s=1.0, min_duration_s=0.025)
    takes = [Take(recording, 0, first_window=3), Take(recording, 1), Take(recording, 0, first_window=5)]
    reader = WindowReader(takes, config, sample_rate_hz=RATE_HZ, min_samples=400)
    windows = list(reader)
    assert [(w.take.channel, w.segment.start_s) for w in windows] == [
        *((0, 3.0), (0, 4.0)),
        *((1, float(i)) for i in range(5)),
    ]
    for window in windows:
        expected = read_segment(window.segment, RATE_HZ, window.take.channel)
        np.testing.assert_array_equal(window.reading.samples, expected.samples)
    assert [(ending.take, ending.end, ending.problem) for ending in reader.endings] == [
        (takes[0], 2, None), (takes[1], 7, None), (takes[2], 7, None)
    ]  # fmt: skip


def test_a_recording_that_vanishes_is_a_problem_and_the_rest_goes_on(tmp_path: Path) -> None:
    recordings = [recording_of(tmp_path, f"{i}.wav", 2.0) for i in range(3)]
    recordings[1].path.unlink()
    reader = reader_of(recordings)
    names = [window.segment.recording.relative_path for window in reader]
    assert names == ["0.wav", "0.wav", "2.wav", "2.wav"]
    assert [ending.problem and ending.problem.relative_path for ending in reader.endings] == [
        None, "1.wav", None
    ]  # fmt: skip


def test_a_blink_of_sound_is_named_too_short(tmp_path: Path) -> None:
    reader = reader_of([recording_of(tmp_path, "blink.wav", 0.01), recording_of(tmp_path, "ok.wav", 1.0)])
    assert [window.segment.recording.relative_path for window in reader] == ["ok.wav"]
    problem = reader.endings[0].problem
    assert problem is not None
    assert problem.relative_path == "blink.wav"
    assert "10 ms" in problem.reason
    assert "25 ms" in problem.reason


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

    def counted(*args: object, **options: object) -> object:
        nonlocal num_read
        for window in stream(*args, **options):  # type: ignore[arg-type]
            num_read += 1
            yield window

    monkeypatch.setattr(module, "stream_segments", counted)
    reader = reader_of([recording_of(tmp_path, "long.wav", 120.0)], num_threads=1, window_s=0.25)
    windows = iter(reader)
    next(windows)
    threading.Event().wait(0.5)
    assert num_read <= WINDOWS_AHEAD + 2
    windows.close()  # type: ignore[attr-defined]
