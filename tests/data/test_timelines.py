"""Clocks that went wrong are flagged, and gaps are those that were cut into a schedule."""

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioacoustics.audio.origins import Origin, TimeSource
from bioacoustics.audio.recorder_notes import Notes
from bioacoustics.audio.recordings import Recording
from bioacoustics.data.deployments import Placement
from bioacoustics.data.timelines import Flag, efforts_of, flags_of, gaps_of, is_dated

NOW = datetime(2024, 6, 1, tzinfo=UTC)
MONDAY = datetime(2024, 3, 4)
MOTH = Notes(device="24F3190361CA8341")


def placed(
    name: str,
    start: datetime | None,
    duration_s: float = 60.0,
    *,
    site: str = "north",
    source: TimeSource = TimeSource.HEADER,
    named: datetime | None = None,
    notes: Notes = MOTH,
    told: datetime | None = None,
) -> Placement:
    recording = Recording(
        path=Path(name),
        relative_path=name,
        sample_rate_hz=10,
        num_channels=1,
        num_samples=round(10 * duration_s),
        container="WAV",
    )
    origin = Origin(start=told or start, source=source, named_start=named, name_prefix="", notes=notes)
    return Placement(
        recording=recording,
        origin=origin,
        site=site,
        start=start,
        latitude=None,
        longitude=None,
        gain="",
    )


def flags(*placements: Placement, copies=()) -> list[set[Flag]]:
    found = flags_of(placements, NOW, copies)
    return [found[one.recording.relative_path] - {Flag.NO_ZONE} for one in placements]


def test_a_sound_recording_has_no_flag():
    assert flags(placed("a", MONDAY.replace(tzinfo=UTC))) == [set()]


@pytest.mark.parametrize(
    ("placement", "flag"),
    [
        (placed("a", datetime(1970, 1, 1, 0, 0, 12)), Flag.UNSET_CLOCK),
        (placed("a", datetime(2025, 1, 1)), Flag.FUTURE),
        (placed("a", MONDAY, source=TimeSource.FILE_TIME), Flag.GUESSED_TIME),
        (placed("a", None, source=TimeSource.UNKNOWN), Flag.GUESSED_TIME),
        (placed("a", MONDAY, named=MONDAY + timedelta(hours=1)), Flag.NAME_DIFFERS),
        (placed("a", MONDAY, notes=Notes(battery_v=3.4)), Flag.LOW_BATTERY),
        (placed("a", MONDAY, notes=Notes(battery_v=2.5, is_battery_low=True)), Flag.LOW_BATTERY),
        (placed("a", MONDAY, notes=Notes(stopped="due to low voltage")), Flag.STOPPED),
    ],
)
def test_flags_of_one_recording(placement, flag):
    assert flags(placement) == [{flag}]


def test_readings_without_a_zone_are_told():
    assert flags_of([placed("a", MONDAY)], NOW)["a"] == {Flag.NO_ZONE}
    guessed = placed("a", MONDAY, source=TimeSource.FILE_TIME)
    assert Flag.NO_ZONE not in flags_of([guessed], NOW)["a"]


@pytest.mark.parametrize(
    ("named", "differs"),
    [
        (MONDAY, False),
        (MONDAY + timedelta(seconds=1), False),  # rounding
        ((MONDAY + timedelta(hours=5)).replace(tzinfo=UTC), False),  # the same moment, told in UTC
        ((MONDAY + timedelta(hours=4)).replace(tzinfo=UTC), True),
        (MONDAY + timedelta(hours=5), True),
    ],
)
def test_names_may_tell_the_same_moment_in_another_zone(named, differs):
    start = MONDAY.replace(tzinfo=timezone(timedelta(hours=-5)))
    assert (Flag.NAME_DIFFERS in flags(placed("a", start, named=named))[0]) == differs


@pytest.mark.parametrize(
    ("reading", "is_doubtful"),
    [
        (datetime(2024, 3, 31, 2, 30), True),  # skipped in Madrid
        (datetime(2023, 10, 29, 2, 30), True),  # there twice
        (datetime(2024, 3, 31, 3, 30), False),
    ],
)
def test_hours_that_clocks_skip_or_repeat(reading, is_doubtful):
    placement = placed("a", reading.replace(tzinfo=ZoneInfo("Europe/Madrid")), told=reading)
    assert (Flag.DOUBTFUL_HOUR in flags(placement)[0]) == is_doubtful


def test_overlaps_and_same_starts_of_one_recorder():
    first = placed("a", MONDAY)
    assert flags(first, placed("b", MONDAY + timedelta(seconds=59))) == [set(), set()]  # rounding
    assert flags(first, placed("b", MONDAY + timedelta(seconds=50))) == [set(), {Flag.OVERLAP}]
    assert flags(first, placed("b", MONDAY)) == [{Flag.SAME_START}] * 2
    other = Notes(device="247AA5075E06337D")
    assert flags(first, placed("b", MONDAY, notes=other)) == [set(), set()]


def test_overlaps_reach_over_short_files():
    long_one, blink = placed("a", MONDAY, 3600.0), placed("b", MONDAY + timedelta(minutes=1), 1.0)
    late = placed("c", MONDAY + timedelta(minutes=30), 1.0)
    assert flags(long_one, blink, late) == [set(), {Flag.OVERLAP}, {Flag.OVERLAP}]


def test_time_expanded_recordings_are_as_long_as_the_sound_was():
    bat = Notes(device="bat", time_expansion=10.0)
    first, second = (
        placed(name, MONDAY + timedelta(seconds=s), notes=bat) for name, s in (("a", 0), ("b", 7))
    )
    assert flags(first, second) == [set(), set()]


def test_running_numbers_betray_a_clock_that_went_back():
    names = ("REC2.WAV", "REC9.WAV", "REC10.WAV", "REC11.WAV")
    hours = (0, 7, 2, 3)
    placements = [placed(name, MONDAY + timedelta(hours=h)) for name, h in zip(names, hours, strict=True)]
    assert flags(*placements) == [set(), set(), {Flag.CLOCK_JUMP}, set()]


def test_running_numbers_start_anew_in_each_folder():
    later, earlier = placed("a/REC1.WAV", MONDAY + timedelta(hours=5)), placed("b/REC1.WAV", MONDAY)
    assert flags(later, earlier) == [set(), set()]


def test_a_few_recordings_far_from_the_rest_jumped():
    season = [
        placed(f"s{i}", MONDAY + timedelta(hours=i), named=MONDAY + timedelta(hours=i)) for i in range(30)
    ]
    lost = datetime(2016, 1, 1)
    found = flags(*season, placed("lost", lost, named=lost))
    assert found == [set()] * 30 + [{Flag.CLOCK_JUMP}]
    # Two seasons of the same size are no mistake.
    last_year = [
        placed(f"l{i}", lost + timedelta(hours=i), named=lost + timedelta(hours=i)) for i in range(30)
    ]
    assert flags(*season, *last_year) == [set()] * 60


def test_copies_are_flagged():
    assert flags(placed("a", MONDAY), placed("b", None, source=TimeSource.UNKNOWN), copies=[["a", "b"]]) == [
        {Flag.COPY},
        {Flag.COPY, Flag.GUESSED_TIME},
    ]


def test_effort_is_shared_among_the_hours():
    start = MONDAY.replace(hour=22, minute=30)
    effort = efforts_of([placed("a", start, 3 * 3600.0)])["north"]
    assert effort.first_day == date(2024, 3, 4)
    assert effort.days == [date(2024, 3, 4), date(2024, 3, 5)]
    assert effort.recorded_s[0, 22:].tolist() == [1800, 3600]
    assert effort.recorded_s[1, :2].tolist() == [3600, 1800]
    assert effort.recorded_s.sum() == 3 * 3600


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5 * 86400), st.integers(1, 5000)), min_size=1, max_size=8))
def test_effort_equals_counting_seconds(spans):
    placements = [
        placed(str(i), MONDAY + timedelta(seconds=start), float(length))
        for i, (start, length) in enumerate(spans)
    ]
    effort = efforts_of(placements)["north"]
    slow = np.zeros(7 * 24)
    for start, length in spans:
        for second in range(start, start + length):
            slow[second // 3600] += 1
    first = (effort.first_day - MONDAY.date()).days * 24
    expected = np.minimum(slow[first : first + effort.recorded_s.size], 3600)
    np.testing.assert_allclose(effort.recorded_s.ravel(), expected)


def test_guesses_and_unset_clocks_have_no_effort():
    guess = placed("a", MONDAY, source=TimeSource.FILE_TIME)
    unset = placed("b", datetime(1970, 1, 1))
    assert not is_dated(guess)
    assert not is_dated(unset)
    assert efforts_of([guess, unset]) == {}
    assert gaps_of([guess, unset]) == []


def schedule(num_days: int, hours: range, every_min: int, lost: tuple[datetime, datetime] | None = None):
    """Recordings of a minute, at certain hours of each day, without those that were lost."""
    starts = [
        MONDAY + timedelta(days=day, hours=hour, minutes=minute)
        for day in range(num_days)
        for hour in hours
        for minute in range(0, 60, every_min)
    ]
    return [
        placed(f"{start:%Y%m%d_%H%M%S}", start, named=start)
        for start in starts
        if lost is None or not lost[0] <= start < lost[1]
    ]


def test_a_schedule_that_was_kept_has_no_gaps():
    assert gaps_of(schedule(6, range(4, 9), 10)) == []
    assert gaps_of(schedule(1, range(24), 10)) == []


def test_hours_that_are_missing_from_a_schedule():
    lost = (MONDAY + timedelta(days=2, hours=6), MONDAY + timedelta(days=3, hours=5))
    (gap,) = gaps_of(schedule(6, range(4, 9), 10, lost))
    # What is never recorded, 9:00 to 4:00, does not end the gap.
    assert (gap.site, gap.start, gap.end) == ("north", *lost)
    assert gap.expected_s == 4 * 6 * 60  # hours 6, 7, 8 and 4, six minutes each


def test_long_pauses_of_a_single_day():
    lost = (MONDAY + timedelta(hours=3), MONDAY + timedelta(hours=5))
    (gap,) = gaps_of(schedule(1, range(12), 10, lost))
    assert gap.start == lost[0] - timedelta(minutes=9)  # the end of the last file before
    assert gap.end == lost[1]
    assert gap.expected_s == 12 * 60


def test_triggered_recorders_have_no_schedule():
    notes = Notes(device="bat", is_triggered=True)
    placements = [placed(str(i), MONDAY + timedelta(minutes=i**3), notes=notes) for i in range(12)]
    assert gaps_of(placements) == []
