"""Effort and detections by occasion, against counting minute by minute."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pytest

from bioacoustics.audio.origins import Origin, TimeSource
from bioacoustics.audio.recorder_notes import Notes
from bioacoustics.audio.recordings import Recording
from bioacoustics.data.deployments import Placement
from bioacoustics.data.events import Event
from bioacoustics.data.histories import histories_of


def placed(
    name: str, site: str, start: datetime | None, minutes: float, source=TimeSource.HEADER
) -> Placement:
    recording = Recording(
        path=Path(name),
        relative_path=name,
        sample_rate_hz=1000,
        num_channels=1,
        num_samples=round(60_000 * minutes),
        container="WAV",
    )
    origin = Origin(start=start, source=source, named_start=None, name_prefix="", notes=Notes())
    return Placement(
        recording=recording,
        origin=origin,
        site=site,
        start=start,
        latitude=None,
        longitude=None,
        gain="",
    )


def heard(name: str, minute: float, label: str = "frog") -> Event:
    return Event(recording=name, start_s=60.0 * minute, end_s=60.0 * minute + 1, label=label)


def counted(placements, calendar, site: str) -> Counter:
    """Minutes by occasion, one by one: the obvious version."""
    minutes = {
        one.start.replace(tzinfo=None) + timedelta(minutes=i)
        for one in placements
        if one.site == site
        for i in range(round(one.recording.duration_s / 60))
    }
    return Counter(calendar.occasion_of(minute) for minute in minutes)


@pytest.mark.parametrize("seed", range(6))
def test_effort_equals_counting_minutes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    placements = [
        placed(
            f"{i}.wav",
            f"site {i % 3}",
            datetime(2024, 2, 27, tzinfo=UTC) + timedelta(minutes=int(rng.integers(0, 6 * 1440))),
            int(rng.integers(1, 1500)),
        )
        for i in range(9)
    ]
    between = [(time.min, time.min), (time(4), time(6, 30)), (time(21, 10), time(3))][seed % 3]
    found = histories_of(
        placements,
        [],
        ["frog"],
        days_each=1 + seed % 2,
        day_begins=[time.min, time(12), time(5, 20)][seed // 2],
        between=between,
    )
    assert found.hours.any()
    for row, site in enumerate(found.sites):
        minutes = counted(placements, found.calendar, site)
        slowly = [minutes[occasion] / 60 for occasion in range(found.calendar.num_occasions)]
        assert found.hours[row].tolist() == pytest.approx(slowly, abs=1e-9)


def test_heard_not_heard_and_not_listened() -> None:
    placements = [
        placed("a.wav", "A", datetime(2024, 3, 1, 5), 60),
        placed("b.wav", "A", datetime(2024, 3, 3, 5), 6),
        placed("c.wav", "B", datetime(2024, 3, 1, 5), 60),
    ]
    events = [heard("a.wav", 3), heard("a.wav", 9), heard("b.wav", 0), heard("c.wav", 1, "wind")]
    found = histories_of(placements, events, ["frog", "never"])
    assert found.sites == ("A", "B")
    assert found.calendar.days(2) == (date(2024, 3, 3), date(2024, 3, 3))
    assert found.occasions == [0, 2]
    np.testing.assert_array_equal(found.detections("frog"), [[1, np.nan, 1], [0, np.nan, np.nan]])
    np.testing.assert_array_equal(found.detections("frog", 0.5), [[1, np.nan, np.nan], [0, np.nan, np.nan]])
    np.testing.assert_array_equal(found.detections("never"), [[0, np.nan, 0], [0, np.nan, np.nan]])
    assert found.num_events["frog"][0, 0] == 2


def test_a_night_is_one_day_when_days_begin_at_noon() -> None:
    night = placed("a.wav", "A", datetime(2024, 3, 1, 18), 12 * 60)
    calls = [heard("a.wav", 60), heard("a.wav", 11 * 60)]
    by_date = histories_of([night], calls, ["frog"])
    assert by_date.num_events["frog"].tolist() == [[1, 1]]
    by_night = histories_of([night], calls, ["frog"], day_begins=time(12))
    assert by_night.num_events["frog"].tolist() == [[2]]
    assert by_night.calendar.first_day == date(2024, 3, 1)
    assert by_night.hours.tolist() == [[12.0]]


def test_two_recorders_of_a_site_count_a_minute_once() -> None:
    placements = [placed(name, "A", datetime(2024, 3, 1, 5), 60) for name in ("a.wav", "b.wav")]
    assert histories_of(placements, [], []).hours.tolist() == [[1.0]]


def test_guessed_times_do_not_count() -> None:
    guessed = placed("a.wav", "A", datetime(2024, 3, 1, 5), 60, TimeSource.FILE_TIME)
    unset = placed("b.wav", "A", datetime(1970, 1, 1), 60)
    found = histories_of([guessed, unset, placed("c.wav", "A", None, 1)], [heard("a.wav", 1)], ["frog"])
    assert found.sites == ()
    assert found.hours.shape == (0, 0)
