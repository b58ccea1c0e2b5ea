"""Activity is told per recorded hour on the local clock; what follows what stays inside a recording."""

import numpy as np
import pandas as pd
import pytest

from bioacoustics.explorer.temporal import (
    activity_by_day,
    activity_by_hour,
    heat_map,
    legible,
    mean_score,
    sun_times,
    timeline,
    trajectory,
    transitions,
)


def windows_of(rows: list[tuple[str, float, str]], length_s: float = 1800.0) -> pd.DataFrame:
    """Windows from (recording, start_s, start of the recording on the clock or "")."""
    frame = pd.DataFrame(rows, columns=["recording", "start_s", "began"])
    local = pd.to_datetime(frame["began"].replace("", None)) + pd.to_timedelta(frame["start_s"], unit="s")
    frame["end_s"] = frame["start_s"] + length_s
    frame["channel"] = "mix"
    frame["hour"] = local.dt.hour + local.dt.minute / 60
    frame["date"] = local.dt.strftime("%Y-%m-%d").fillna("")
    return frame.drop(columns="began")


EVENING = [("a", 1800.0 * i, "2026-03-01 22:00") for i in range(4)]  # 22:00, 22:30, 23:00, 23:30
NIGHT = [("b", 1800.0 * i, "2026-03-03 23:00") for i in range(3)]  # 23:00, 23:30, 00:00 of the next day
LOST = [("c", 0.0, "")]
WINDOWS = windows_of(EVENING + NIGHT + LOST)
VALUES = ["owl", "", "owl", "owl", "owl", "rain", "owl", "owl"]


def test_rates_are_windows_per_recorded_hour() -> None:
    table = activity_by_hour(WINDOWS, VALUES)
    assert table.index.tolist() == ["owl", "rain"]
    assert table.loc["owl", 22] == pytest.approx(1)  # one of two half hours
    assert table.loc["owl", 23] == pytest.approx(1.5)  # three of four half hours
    assert table.loc["owl", 0] == pytest.approx(2)
    assert table.loc["rain", 22] == 0
    assert table.drop(columns=[22, 23, 0]).isna().all(axis=None)
    days = activity_by_day(WINDOWS, VALUES)
    assert days.columns.tolist() == ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]
    assert days.loc["owl", "2026-03-01"] == pytest.approx(1.5)
    assert np.isnan(days.loc["owl", "2026-03-02"])
    cells = heat_map(WINDOWS, VALUES, "owl")
    assert cells.shape == (4, 24)
    assert cells.loc["2026-03-01", 23] == pytest.approx(2)
    assert cells.loc["2026-03-03", 23] == pytest.approx(1)
    assert cells.notna().sum(axis=None) == 4


def test_overlapping_windows_are_not_twice_the_effort() -> None:
    once = windows_of([("a", 1800.0 * i, "2026-03-01 10:00") for i in range(2)])
    twice = windows_of([("a", 900.0 * i, "2026-03-01 10:00") for i in range(3)])
    assert activity_by_hour(once, ["x"] * 2).loc["x", 10] == pytest.approx(2)
    assert activity_by_hour(twice, ["x"] * 3).loc["x", 10] == pytest.approx(3)  # still one hour of sound


def test_scores_are_meaned_where_there_are_some() -> None:
    scores = np.array([0.2, 0.4, 1.0, np.nan, 0.5, 0.7, 0.9, 0.1])
    table = mean_score(WINDOWS, scores)
    assert table.loc["2026-03-01", 22] == pytest.approx(0.3)
    assert table.loc["2026-03-01", 23] == pytest.approx(1.0)
    assert np.isnan(table.loc["2026-03-02", 22])


def test_without_any_time_the_tables_are_empty() -> None:
    lost = windows_of(LOST * 3)
    assert heat_map(lost, ["x"] * 3, "x").shape == (0, 24)
    assert activity_by_hour(lost, ["x"] * 3).isna().all(axis=None)
    assert activity_by_day(lost, ["x"] * 3).shape == (1, 0)


def test_the_sun_rises_where_almanacs_say() -> None:
    bogota = sun_times(["2026-03-20", "2026-06-21"], 4.711, -74.072, "America/Bogota")
    assert bogota["sunrise"][0] == pytest.approx(6 + 1 / 60, abs=0.05)  # almanac: 06:01
    assert bogota["sunset"][0] == pytest.approx(18 + 8 / 60, abs=0.05)  # 18:08
    assert np.allclose(
        sun_times(["2026-03-20"], 4.711, -74.072, -5.0).iloc[0, 1:].astype(float),
        bogota.iloc[0, 1:].astype(float),
    )
    tromso = sun_times(["2026-06-21", "2026-12-21"], 69.65, 18.96, "Europe/Oslo")
    assert tromso[["sunrise", "sunset"]].isna().all(axis=None)


def test_transitions_stay_in_a_recording_and_break_at_gaps() -> None:
    rows = [("a", 5.0 * i, "") for i in (0, 1, 2, 3, 9)] + [("b", 5.0 * i, "") for i in range(3)]
    windows = windows_of(rows, 5.0)
    values = ["x", "y", "y", "x", "y", "x", "", "x"]
    mixed = np.random.default_rng(0).permutation(len(rows))
    shuffled = windows.iloc[mixed].reset_index(drop=True)
    told = transitions(shuffled, [values[i] for i in mixed])
    assert told.names == ("x", "y")
    assert told.counts.tolist() == [[0, 1], [1, 1]]
    assert told.shares[1].tolist() == [0.5, 0.5]
    assert transitions(windows, values, max_gap_s=100.0).counts.sum() == 4
    assert np.isnan(transitions(windows, ["x", *[""] * 7]).shares).all()
    assert transitions(windows, [str(i) for i in range(8)]).names[:3] == ("0", "1", "2")


def test_a_recording_in_order_of_time() -> None:
    line = timeline(WINDOWS, VALUES, "a")
    assert line["start_s"].tolist() == [0, 1800, 3600, 5400]
    assert line["value"].tolist() == VALUES[:4]
    backwards = WINDOWS.iloc[::-1].reset_index(drop=True)
    assert trajectory(backwards, "a").tolist() == [7, 6, 5, 4]
    assert trajectory(WINDOWS, "nowhere").tolist() == []


def test_single_days_among_years_can_be_seen() -> None:
    days = [f"d{i:04d}" for i in range(1000)]
    table = pd.DataFrame(np.nan, index=days, columns=range(24))
    table.loc["d0003", 5], table.loc["d0998", 6] = 2.0, 4.0
    few = legible(table, 90)
    assert few.index.tolist() == ["d0003", "d0998"]
    assert few.loc["d0998", 6] == 4.0
    assert legible(table.iloc[:90], 90).shape == (90, 24)


def test_more_days_than_rows_become_means() -> None:
    table = pd.DataFrame({5: [1.0, 3.0, np.nan, 8.0, 2.0]}, index=list("abcde"))
    few = legible(table.assign(**{"6": 1.0}), 3)
    assert few.index.tolist() == ["a", "c", "e"]
    assert few[5].tolist() == [2.0, 8.0, 2.0]
