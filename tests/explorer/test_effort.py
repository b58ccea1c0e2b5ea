"""Effort is what was recorded, hour by hour, whatever part of it has windows."""

from collections.abc import Callable
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from bioacoustics.explorer.collection import read_collection
from bioacoustics.explorer.effort import Effort, effort_of
from bioacoustics.explorer.temporal import activity_by_hour, heat_map
from bioacoustics.store.database import Store

EVENING = datetime(2026, 3, 1, 22, 30)


def windows_at(starts_s: list[float], began_h: float = 22.5, recording: str = "a") -> pd.DataFrame:
    """Windows of 60 s of a recording that began on the first of March at some hour."""
    hours = began_h + np.array(starts_s) / 3600
    return pd.DataFrame(
        {
            "recording": recording,
            "channel": "mix",
            "start_s": starts_s,
            "end_s": np.array(starts_s) + 60,
            "hour": hours % 24,
            "date": [f"2026-03-{1 + int(hour // 24):02d}" for hour in hours],
        }
    )


def slowly(begins_h: float, length_h: float, num_cells: int) -> list[float]:
    """What a recording adds to each hour, minute by minute."""
    total = [0.0] * num_cells
    for minute in range(round(length_h * 60)):
        cell = int(begins_h + minute / 60 + 1e-9)
        if cell < num_cells:
            total[cell] += 1 / 60
    return total


def test_a_recording_counts_as_long_as_it_is_not_as_its_windows() -> None:
    few = windows_at([0.0, 7200.0])  # two minutes of windows in a recording of three hours
    effort = Effort.of(few, pd.Series({"a": 3 * 3600.0}))
    assert effort.dates == ("2026-03-01", "2026-03-02")
    assert effort.hours.ravel() == pytest.approx(slowly(22.5, 3.0, 48))
    assert effort.total_h == pytest.approx(3)
    table = activity_by_hour(few, ["owl", "owl"], effort)
    assert table.loc["owl", 22] == pytest.approx(1 / 0.5)
    assert table.loc["owl", 0] == pytest.approx(1.0)
    assert np.isnan(table.loc["owl", 23])  # recorded, but no window says what was there
    unknown = Effort.of(few, pd.Series({"a": np.nan}))
    assert unknown.total_h == pytest.approx((7200 + 60) / 3600)


def test_channels_and_recordings_add_up_and_unknown_times_do_not_count() -> None:
    two = pd.concat([windows_at([0.0]), windows_at([0.0], 22.0, "b"), windows_at([0.0]).assign(channel="1")])
    lost = windows_at([0.0]).assign(recording="c", hour=np.nan, date="")
    effort = Effort.of(
        pd.concat([two, lost], ignore_index=True), pd.Series({"a": 900.0, "b": 900.0, "c": 900.0})
    )
    assert effort.hours[0, 22] == pytest.approx(0.75)
    assert effort.total_h == pytest.approx(0.75)


def test_a_sample_tells_the_rate_of_all_windows() -> None:
    """Every second minute of the evening has an owl: whatever is drawn, about thirty an hour are told."""
    starts = [60.0 * i for i in range(600)]
    everything = windows_at(starts, 12.0)
    values = ["owl" if i % 2 else "" for i in range(600)]
    whole = activity_by_hour(everything, values, Effort.of(everything, pd.Series({"a": 36_000.0})))
    assert whole.loc["owl"].dropna().tolist() == pytest.approx([30.0] * 10)
    drawn = np.sort(np.random.default_rng(0).choice(600, 200, replace=False))
    heard = [values[i] for i in drawn]
    effort = Effort.of(everything.iloc[drawn], pd.Series({"a": 36_000.0}), windows_per_hour=60.0)
    part = activity_by_hour(everything.iloc[drawn], heard, effort)
    assert part.loc["owl"].mean() == pytest.approx(30, rel=0.15)
    cells = heat_map(everything.iloc[drawn], heard, "owl", effort)
    assert np.nanmean(cells) == pytest.approx(part.loc["owl"].mean())
    assert np.nanmax(cells) <= 60


def test_a_store_says_its_durations_and_whether_it_is_a_sample(make_store: Callable[..., Store]) -> None:
    store = make_store({"r": ("s", EVENING, np.zeros((40, 12)))})
    whole = effort_of(read_collection(store.location))
    assert whole.total_h == pytest.approx(200 / 3600)
    assert whole.windows_per_hour is None
    sampled = effort_of(read_collection(store.location, max_samples=10))
    assert sampled.total_h == pytest.approx(200 / 3600)
    assert sampled.windows_per_hour == pytest.approx(720)
    about = store.fact("embed")
    store.state("embed", about | {"front_end": {"max_samples": 40, "stride_s": 2.5, "window_s": 5.0}})
    assert effort_of(read_collection(store.location)).windows_per_hour == pytest.approx(1440)
