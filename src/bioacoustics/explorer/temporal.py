"""Temporal patterns: activity by hour and day on the local clock, timelines, transitions, ways over the map.

Activity is windows per hour that was recorded, so that a night with more recordings is not a louder night;
`effort` says how those hours are known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from bioacoustics.explorer.effort import NUM_HOURS, SECONDS_PER_HOUR, Effort, cells_of, days_of, hours_of


@dataclass(frozen=True, eq=False, kw_only=True)
class Transitions:
    """How often one thing follows another in a recording.

    Attributes:
        names: What follows what, in order of rows and columns.
        counts: Row: before, column: after.
    """

    names: tuple[str, ...]
    counts: Int[np.ndarray, "before after"]

    @property
    def shares(self) -> Float[np.ndarray, "before after"]:
        """What follows, as shares of each row; NaN where nothing ever does."""
        sums = self.counts.sum(axis=1, keepdims=True)
        return np.where(sums > 0, self.counts / np.maximum(sums, 1), np.nan)


def activity_by_hour(
    windows: pd.DataFrame, values: Sequence[str], effort: Effort | None = None
) -> pd.DataFrame:
    """Windows of each value per recorded hour, by hour of day: one row a value, columns 0 to 23.

    NaN where no window of the collection lies; "" is no value. Windows without a known time do not count.
    Without `effort` recordings are as long as their windows reach.
    """
    known = effort or Effort.of(windows)
    return _activity(values, hours_of(windows), known, known.hours.sum(axis=0), list(range(NUM_HOURS)))


def activity_by_day(
    windows: pd.DataFrame, values: Sequence[str], effort: Effort | None = None
) -> pd.DataFrame:
    """The same by day: columns are dates from the first to the last, days without recordings are NaN."""
    known = effort or Effort.of(windows)
    return _activity(values, days_of(windows), known, known.hours.sum(axis=1), known.dates)


def heat_map(
    windows: pd.DataFrame, values: Sequence[str], value: str, effort: Effort | None = None
) -> pd.DataFrame:
    """Windows of one value per recorded hour: a row for each day, columns 0 to 23; NaN without recordings."""
    known, cells = effort or Effort.of(windows), cells_of(windows)
    is_value = np.asarray(values, dtype=str) == value
    hours = known.hours.ravel()
    counts, num_windows = (_counts(cells[chosen], len(hours)) for chosen in (is_value, slice(None)))
    return _by_day(known.rate(counts, num_windows, hours), known.dates)


def mean_score(windows: pd.DataFrame, scores: Float[np.ndarray, " windows"]) -> pd.DataFrame:
    """The mean score of the windows: one row a day, columns 0 to 23; NaN where nothing was recorded."""
    cells, names = cells_of(windows), Effort.of(windows).dates
    known = (cells >= 0) & np.isfinite(scores)
    size = len(names) * NUM_HOURS
    counts = np.bincount(cells[known], minlength=size)
    sums = np.bincount(cells[known], weights=scores[known], minlength=size)
    return _by_day(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), names)


def legible(table: pd.DataFrame, max_days: int) -> pd.DataFrame:
    """Of more days than can be told apart those with recordings; of more still, means of some in a row.

    A row of means is named after the first of its days.
    """
    if len(table) <= max_days:
        return table
    heard = table.dropna(how="all")
    days_a_row = -(-len(heard) // max_days)
    if days_a_row <= 1:
        return heard
    groups = np.arange(len(heard)) // days_a_row
    means = heard.groupby(groups).mean()
    return means.set_axis(heard.index[::days_a_row])


def sun_times(dates: Sequence[str], latitude: float, longitude: float, zone: str | float) -> pd.DataFrame:
    """Sunrise and sunset in hours of the local clock; NaN where the sun does not rise or set that day.

    Args:
        dates: Such as "2026-03-01".
        latitude: Degrees north.
        longitude: Degrees east.
        zone: An IANA name, or hours east of UTC.

    Raises:
        ModuleNotFoundError: The package astral is not there.
    """
    from astral import Observer
    from astral.sun import sunrise, sunset

    observer = Observer(latitude, longitude)
    clock = _clock(zone)
    rows = []
    for text in dates:
        day = date.fromisoformat(text)
        row: list[object] = [text]
        for event in (sunrise, sunset):
            try:
                row.append(_hour_on(event(observer, day, tzinfo=clock), day))
            except ValueError:  # it is above, or below, the horizon all day
                row.append(float("nan"))
        rows.append(row)
    return pd.DataFrame(rows, columns=["date", "sunrise", "sunset"])


def timeline(windows: pd.DataFrame, values: Sequence[str], recording: str) -> pd.DataFrame:
    """The windows of one recording in order of channel and time: position, channel, start_s, end_s, value."""
    members = np.flatnonzero(windows["recording"].astype(str).to_numpy() == recording)
    rows = windows.iloc[members]
    frame = pd.DataFrame(
        {
            "position": members,
            "channel": rows["channel"].astype(str).to_numpy(),
            "start_s": rows["start_s"].to_numpy(),
            "end_s": rows["end_s"].to_numpy(),
            "value": np.asarray(values, dtype=object)[members],
        }
    )
    return frame.sort_values(["channel", "start_s"], kind="stable").reset_index(drop=True)


def transitions(
    windows: pd.DataFrame, values: Sequence[str], *, max_gap_s: float = 1.0, num_names: int = 20
) -> Transitions:
    """Count what follows what: windows of one recording and channel with no more than a gap between them.

    The `num_names` commonest values count; "" is no value and breaks the chain.
    """
    named = np.asarray(values, dtype=str)
    known, numbers = np.unique(named[named != ""], return_counts=True)
    commonest = known[np.argsort(-numbers, kind="stable")[:num_names]]
    names = tuple(sorted(commonest.tolist(), key=_natural))
    number_of = {name: i for i, name in enumerate(names)}
    codes = np.array([number_of.get(name, -1) for name in named], dtype=int)
    keys = [windows[name].astype("category").cat.codes.to_numpy() for name in ("channel", "recording")]
    starts, ends = windows["start_s"].to_numpy(), windows["end_s"].to_numpy()
    order = np.lexsort((starts, *keys))
    before, after = order[:-1], order[1:]
    follows = (codes[before] >= 0) & (codes[after] >= 0) & (starts[after] - ends[before] <= max_gap_s)
    for key in keys:
        follows &= key[before] == key[after]
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (codes[before[follows]], codes[after[follows]]), 1)
    return Transitions(names=names, counts=counts)


def trajectory(
    windows: pd.DataFrame, recording: str, channel: str | None = None
) -> Int[np.ndarray, " steps"]:
    """The windows of a recording in order of time: the way that it takes over a map."""
    is_member = windows["recording"].astype(str).to_numpy() == recording
    channels = windows["channel"].astype(str).to_numpy()
    if is_member.any():
        is_member &= channels == (channel or channels[is_member][0])
    members = np.flatnonzero(is_member)
    return np.asarray(members[np.argsort(windows["start_s"].to_numpy()[members], kind="stable")])


def _natural(name: str) -> tuple[int, float, str]:
    return (0, float(name), "") if name.isdigit() else (1, 0.0, name)


def _activity(
    values: Sequence[str],
    bins: Int[np.ndarray, " windows"],
    effort: Effort,
    hours: Float[np.ndarray, " bins"],
    names: Sequence[object],
) -> pd.DataFrame:
    named = np.asarray(values, dtype=str)
    num_windows = _counts(bins, len(hours))
    rows = {
        value: effort.rate(_counts(bins[named == value], len(hours)), num_windows, hours)
        for value in sorted(set(named.tolist()) - {""}, key=_natural)
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(names), dtype=float)


def _counts(bins: Int[np.ndarray, " windows"], size: int) -> Int[np.ndarray, " bins"]:
    return np.bincount(bins[bins >= 0], minlength=size)


def _by_day(values: Float[np.ndarray, " bins"], names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(values.reshape(-1, NUM_HOURS), index=list(names), columns=range(NUM_HOURS))


def _clock(zone: str | float) -> tzinfo:
    return ZoneInfo(zone) if isinstance(zone, str) else timezone(timedelta(hours=zone))


def _hour_on(moment: datetime, day: date) -> float:
    """Hours since that day's midnight on the wall."""
    midnight = datetime(day.year, day.month, day.day)
    return (moment.replace(tzinfo=None) - midnight).total_seconds() / SECONDS_PER_HOUR
