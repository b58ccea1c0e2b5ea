"""Effort: how many hours were recorded when, so that more recording does not look like more activity.

Where every window of the recordings is there, activity is divided by the hours that were truly recorded, as
the lengths of the recordings say. Of a sample of windows (`--max_samples`) the share of the drawn windows of
an hour stands for all of them: share times the windows that an hour of recording has.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from bioacoustics.explorer.collection import Collection

NUM_HOURS = 24
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Effort:
    """What was recorded.

    Attributes:
        dates: Every date from the first to the last on which a window begins.
        hours: Recorded hours, a row for each date and a column for each hour of day; each channel counts.
        windows_per_hour: Of recording, where windows are a sample; None if all of them are there.
    """

    dates: tuple[str, ...]
    hours: Float[np.ndarray, "days hours"]
    windows_per_hour: float | None = None

    @classmethod
    def of(
        cls,
        windows: pd.DataFrame,
        durations_s: "pd.Series | None" = None,
        windows_per_hour: float | None = None,
    ) -> "Effort":
        """The effort behind windows.

        Args:
            windows: With recording, channel, start_s, end_s, and hour and date by the clock on the wall.
            durations_s: By recording; where it is not known, a recording ends with its last window.
            windows_per_hour: Of recording, if the windows are a sample.
        """
        dates = tuple(_dates(windows))
        begins_h = windows["hour"].to_numpy(float) + NUM_HOURS * days_of(windows)
        begins_h = begins_h - windows["start_s"].to_numpy(float) / SECONDS_PER_HOUR
        known = pd.DataFrame(
            {
                "recording": windows["recording"].astype(str),
                "channel": windows["channel"].astype(str),
                "begins_h": begins_h,
                "end_s": windows["end_s"].to_numpy(float),
            }
        )[np.isfinite(begins_h) & (days_of(windows) >= 0)]
        takes = known.groupby(["recording", "channel"], sort=False).agg(
            begins_h=("begins_h", "first"), end_s=("end_s", "max")
        )
        lengths_s = takes["end_s"].to_numpy(float)
        if durations_s is not None:
            told = takes.index.get_level_values("recording").map(durations_s).to_numpy(float)
            lengths_s = np.where(np.isfinite(told) & (told > 0), told, lengths_s)
        hours = _spread(takes["begins_h"].to_numpy(float), lengths_s / SECONDS_PER_HOUR, len(dates))
        return cls(dates=dates, hours=hours, windows_per_hour=windows_per_hour)

    @property
    def total_h(self) -> float:
        """Hours in all."""
        return float(self.hours.sum())

    def rate(
        self,
        counts: Int[np.ndarray, " bins"],
        num_windows: Int[np.ndarray, " bins"],
        hours: Float[np.ndarray, " bins"],
    ) -> Float[np.ndarray, " bins"]:
        """Windows per recorded hour in each bin; NaN where there is no window at all.

        Args:
            counts: Windows that count.
            num_windows: All windows that begin in the bin.
            hours: That were recorded in it.
        """
        there = num_windows > 0
        if self.windows_per_hour is None:
            there = there & (hours > 0)
            return np.where(there, counts / np.where(there, hours, 1), np.nan)
        return np.where(there, counts / np.where(there, num_windows, 1) * self.windows_per_hour, np.nan)


def effort_of(collection: Collection) -> Effort:
    """The effort behind the windows of a collection, by the recordings and settings of its store."""
    reading = collection.facts.get("front_end") or {}
    is_sample = collection.sample.num_left_out > 0 or reading.get("max_samples") is not None
    windows_per_hour = None
    if is_sample:
        windows = collection.windows
        usual_s = float((windows["end_s"] - windows["start_s"]).median())
        windows_per_hour = SECONDS_PER_HOUR / float(reading.get("stride_s") or usual_s)
    return Effort.of(collection.windows, collection.recorded["duration_s"], windows_per_hour)


def hours_of(windows: pd.DataFrame) -> Int[np.ndarray, " windows"]:
    """The hour of day in which each window begins, -1 where that is unknown."""
    hours = windows["hour"].to_numpy(float)
    return np.where(np.isfinite(hours), np.minimum(np.nan_to_num(hours), NUM_HOURS - 1e-6), -1).astype(int)


def days_of(windows: pd.DataFrame) -> Int[np.ndarray, " windows"]:
    """The day of the season on which each window begins, from 0, -1 where that is unknown."""
    number_of = {name: i for i, name in enumerate(_dates(windows))}
    return np.array([number_of.get(text, -1) for text in windows["date"].astype(str)], dtype=int)


def cells_of(windows: pd.DataFrame) -> Int[np.ndarray, " windows"]:
    """The hour of the season in which each window begins, -1 where that is unknown."""
    hours, days = hours_of(windows), days_of(windows)
    return np.where((hours >= 0) & (days >= 0), days * NUM_HOURS + hours, -1)


def _dates(windows: pd.DataFrame) -> list[str]:
    """Every date from the first to the last."""
    known = sorted({str(text) for text in windows["date"].astype(str).unique()} - {""})
    if not known:
        return []
    first, last = date.fromisoformat(known[0]), date.fromisoformat(known[-1])
    return [(first + timedelta(days=i)).isoformat() for i in range((last - first).days + 1)]


def _spread(
    begins_h: Float[np.ndarray, " takes"], lengths_h: Float[np.ndarray, " takes"], num_days: int
) -> Float[np.ndarray, "days hours"]:
    """What every take adds to each hour of the season."""
    total = np.zeros(num_days * NUM_HOURS)
    if not len(begins_h):
        return total.reshape(num_days, NUM_HOURS)
    firsts = np.floor(begins_h).astype(int)
    num_cells = np.maximum(np.ceil(begins_h + lengths_h).astype(int) - firsts, 1)
    take = np.repeat(np.arange(len(begins_h)), num_cells)
    steps = np.arange(len(take)) - np.repeat(np.cumsum(num_cells) - num_cells, num_cells)
    cells = firsts[take] + steps
    ends_h = begins_h + lengths_h
    inside = np.minimum(ends_h[take], cells + 1) - np.maximum(begins_h[take], cells)
    counted = (cells >= 0) & (cells < len(total)) & (inside > 0)
    np.add.at(total, cells[counted], inside[counted])
    return total.reshape(num_days, NUM_HOURS)
