"""Windows of recordings."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.segments import Segment, SegmentConfig, SegmentIndex, cut, jittered, num_segments


def _recording(duration_s: float, sample_rate_hz: int = 48000) -> Recording:
    return Recording(
        path=Path("x.wav"),
        relative_path="x.wav",
        sample_rate_hz=sample_rate_hz,
        num_channels=1,
        num_samples=round(duration_s * sample_rate_hz),
        container="WAV",
    )


def _starts(duration_s: float, **config: object) -> list[float]:
    return [segment.start_s for segment in cut(_recording(duration_s), SegmentConfig.model_validate(config))]


@pytest.mark.parametrize(
    ("duration_s", "config", "starts"),
    [
        (10, {"window_s": 5}, [0, 5]),
        (12, {"window_s": 5}, [0, 5, 10]),
        (12, {"window_s": 5, "edge": "drop"}, [0, 5]),
        (12, {"window_s": 5, "edge": "shift"}, [0, 5, 7]),
        (10.05, {"window_s": 5}, [0, 5]),  # 0.05 s more are not worth a window
        (10.05, {"window_s": 5, "min_duration_s": 0}, [0, 5, 10]),
        (10, {"window_s": 5, "stride_s": 2.5}, [0, 2.5, 5]),  # no window that holds nothing new
        (11, {"window_s": 5, "stride_s": 2.5}, [0, 2.5, 5, 7.5]),
        (10, {"window_s": 2, "stride_s": 4}, [0, 4, 8]),
        (9, {"window_s": 2, "stride_s": 4, "edge": "shift"}, [0, 4, 7]),
        (7, {"window_s": 2, "stride_s": 4}, [0, 4]),  # the end lies between two windows
        (3, {"window_s": 5}, [0]),
        (3, {"window_s": 5, "edge": "shift"}, [0]),
        (3, {"window_s": 5, "edge": "drop"}, []),
        (0.05, {"window_s": 5}, []),
        (0.05, {"window_s": 5, "min_duration_s": 0}, [0]),
        (0, {"window_s": 5, "min_duration_s": 0}, []),
        (60, {"window_s": 0.1, "edge": "drop"}, [i * 0.1 for i in range(600)]),  # 59.999999 is 60
    ],
)
def test_windows(duration_s: float, config: dict[str, object], starts: list[float]) -> None:
    assert _starts(duration_s, **config) == pytest.approx(starts)


@settings(deadline=None)
@given(
    duration_s=st.floats(0, 300),
    window_s=st.floats(0.2, 20),
    stride_share=st.floats(0.1, 1),
    edge=st.sampled_from(["pad", "shift", "drop"]),
)
def test_windows_cover_the_recording_in_order(
    duration_s: float, window_s: float, stride_share: float, edge: str
) -> None:
    config = SegmentConfig.model_validate(
        {"window_s": window_s, "stride_s": window_s * stride_share, "edge": edge}
    )
    recording = _recording(duration_s)
    segments = cut(recording, config)
    starts = [segment.start_s for segment in segments]
    assert starts == sorted(set(starts))
    assert all(segment.duration_s == window_s for segment in segments)
    covered_s = segments[-1].end_s if segments else 0.0
    if edge == "drop":
        assert covered_s <= recording.duration_s + 1e-4
        assert recording.duration_s - covered_s < window_s + 1e-4
    else:
        assert recording.duration_s - covered_s < config.min_duration_s + 1e-4
    if edge == "shift" and recording.duration_s >= window_s:
        assert covered_s <= recording.duration_s + 1e-9


def test_index_numbers_all_windows_through() -> None:
    recordings = [_recording(duration_s) for duration_s in (12, 0.01, 5, 3, 0.02, 61)]
    config = SegmentConfig(window_s=5, stride_s=3)
    every = [segment for recording in recordings for segment in cut(recording, config)]
    index = SegmentIndex(recordings, config)
    assert len(index) == len(every) == sum(num_segments(recording, config) for recording in recordings)
    assert [index[i] for i in range(len(index))] == every
    assert [recordings[index.recording_of(i)] for i in range(len(index))] == [s.recording for s in every]
    for i in (-1, len(index)):
        with pytest.raises(IndexError):
            index[i]


def test_index_of_nothing() -> None:
    assert len(SegmentIndex([], SegmentConfig(window_s=1))) == 0
    assert len(SegmentIndex([_recording(0.01)], SegmentConfig(window_s=1))) == 0


def test_index_of_very_many_windows_takes_no_memory() -> None:
    index = SegmentIndex([_recording(3600.0)] * 20_000, SegmentConfig(window_s=0.5))
    assert len(index) == 20_000 * 7200
    assert index[len(index) - 1].start_s == 3599.5


@pytest.mark.parametrize(("shift_s", "start_s"), [(1.0, 3.0), (-1.0, 1.0), (-5.0, 0.0), (99.0, 7.0)])
def test_jitter_stays_inside(shift_s: float, start_s: float) -> None:
    assert jittered(Segment(_recording(10), 2.0, 3.0), shift_s).start_s == start_s


def test_jitter_of_a_short_recording_does_nothing() -> None:
    segment = Segment(_recording(2), 0.0, 3.0)
    assert jittered(segment, 0.7) == segment


@pytest.mark.parametrize(
    "values",
    [
        {"window_s": 0},
        {"window_s": math.nan},
        {"window_s": math.inf},
        {"window_s": 1, "stride_s": 0},
        {"window_s": 1, "edge": "wrap"},
        {"window_s": 1, "hop": 2},
        {"window_s": 0.05},  # shorter than the least that makes a window
    ],
)
def test_wrong_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SegmentConfig.model_validate(values)
