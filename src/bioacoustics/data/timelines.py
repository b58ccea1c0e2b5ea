"""Timelines: what recorders recorded hour by hour, and what is wrong with their clocks."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from bioacoustics.audio.origins import TimeSource, later
from bioacoustics.data.deployments import Placement, sites_of

_ROUNDING_S = 1.5  # names and headers tell whole seconds
_DATES_FROM = 2000  # earlier years come from clocks that nobody set
_ISOLATED_BY = timedelta(days=366)
_ISOLATED_SHARE = 0.1
_LOW_BATTERY_V = 3.6  # AudioMoths stop soon below it
_MIN_DAYS_OF_SCHEDULE = 3
_HOUR_S = 3600.0


class Flag(StrEnum):
    """What is doubtful about the time of a recording, or about how it ended."""

    UNSET_CLOCK = "unset_clock"  # a year before 2000, as 1970: the clock was never set
    FUTURE = "future"  # later than now
    CLOCK_JUMP = "clock_jump"  # over a year from its recorder's others, or before the one numbered before it
    NAME_DIFFERS = "name_differs"  # the header tells another time than the name
    GUESSED_TIME = "guessed_time"  # only the time of the file is known
    NO_ZONE = "no_zone"  # a clock's reading whose zone nobody told
    DOUBTFUL_HOUR = "doubtful_hour"  # the local time exists twice or not at all: clocks were changed
    SAME_START = "same_start"  # another file of the recorder begins at the same moment
    OVERLAP = "overlap"  # begins before the recorder's previous file has ended
    COPY = "copy"  # the same content as another file
    LOW_BATTERY = "low_battery"
    STOPPED = "stopped"  # the recorder says that it ended early


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Time without sound although the site recorded then on other days."""

    site: str
    start: datetime  # on the site's clock
    end: datetime
    expected_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much one site recorded in each hour of each day, on the site's clock, in seconds."""

    first_day: date
    recorded_s: Float[np.ndarray, "days 24"]

    @property
    def days(self) -> list[date]:
        """The days from the first recording to the last."""
        return [self.first_day + timedelta(days=i) for i in range(len(self.recorded_s))]


def flags_of(
    placements: Sequence[Placement], now: datetime, copies: Sequence[Sequence[str]] = ()
) -> Mapping[str, set[Flag]]:
    """The flags of each recording by its relative path; those without any are there too.

    Args:
        placements: all recordings together, since most flags come from a recorder's other files.
        now: with a zone; later times are wrong.
        copies: relative paths of files with the same content, group by group.
    """
    flags = {placement.recording.relative_path: _own_flags(placement, now) for placement in placements}
    recorders: dict[str, list[Placement]] = {}
    for placement in placements:
        if is_dated(placement):
            recorders.setdefault(placement.recorder, []).append(placement)
    for members in recorders.values():
        _flag_order(members, flags)
        _flag_isolated(members, flags)
    for group in copies:
        for name in group:
            flags[name].add(Flag.COPY)
    return flags


def is_dated(placement: Placement) -> bool:
    """Whether its time comes from a clock that somebody set, and not from the file system."""
    start = placement.start
    return start is not None and placement.source != TimeSource.FILE_TIME and start.year >= _DATES_FROM


def efforts_of(placements: Sequence[Placement]) -> Mapping[str, Effort]:
    """The effort of each site, from recordings that are dated."""
    sites = sites_of([placement for placement in placements if is_dated(placement)])
    return {site: _effort(members) for site, members in sites.items()}


def gaps_of(placements: Sequence[Placement]) -> list[Gap]:
    """Where recordings are missing, by site and time.

    A site with three days or more is measured by its own habit: an hour of the day with less than half of
    what that hour has on the median day. One with fewer is measured by its usual pause between files: one
    more than twice as long is a gap. Triggered recorders have no schedule.
    """
    gaps = []
    scheduled = [one for one in placements if is_dated(one) and not one.origin.notes.is_triggered]
    for site, members in sites_of(scheduled).items():
        effort = _effort(members)
        if len(effort.recorded_s) >= _MIN_DAYS_OF_SCHEDULE:
            gaps += _missing_hours(site, effort, members)
        else:
            gaps += _long_pauses(site, members)
    return gaps


def _own_flags(placement: Placement, now: datetime) -> set[Flag]:
    origin, start, notes = placement.origin, placement.start, placement.origin.notes
    noticed = {
        Flag.GUESSED_TIME: origin.is_guess,
        Flag.NO_ZONE: start is not None and start.tzinfo is None and not origin.is_guess,
        Flag.UNSET_CLOCK: start is not None and start.year < _DATES_FROM,
        Flag.FUTURE: start is not None and instant(start) > instant(now) + timedelta(days=1),
        Flag.DOUBTFUL_HOUR: start is not None
        and origin.start is not None
        and _is_doubtful(origin.start, start),
        Flag.NAME_DIFFERS: _differs(origin.start, origin.named_start),
        Flag.LOW_BATTERY: notes.is_battery_low
        or (notes.battery_v is not None and notes.battery_v < _LOW_BATTERY_V),
        Flag.STOPPED: bool(notes.stopped),
    }
    return {flag for flag, is_so in noticed.items() if is_so}


def instant(moment: datetime) -> datetime:
    """A moment that can be ordered: in UTC where its zone is known, else as the clock read."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _is_doubtful(told: datetime, start: datetime) -> bool:
    """Whether a clock's reading was put into a zone that has that hour twice or skips it."""
    if told.tzinfo is not None or start.tzinfo is None:
        return False
    return start.utcoffset() != start.replace(fold=1 - start.fold).utcoffset()


def _differs(start: datetime | None, named: datetime | None) -> bool:
    """Whether header and name disagree on the clock's reading and, where both know zones, on the moment."""
    if start is None or named is None:
        return False
    tolerance = timedelta(seconds=_ROUNDING_S)
    if abs(start.replace(tzinfo=None) - named.replace(tzinfo=None)) <= tolerance:
        return False
    return not (start.tzinfo and named.tzinfo) or abs(start - named) > tolerance


def _flag_order(members: Sequence[Placement], flags: Mapping[str, set[Flag]]) -> None:
    """Same starts and overlaps in order of time; jumps backwards in order of running numbers."""
    dated = sorted(((_begin(one), one) for one in members), key=lambda pair: pair[0])
    open_until = datetime.min
    for i, (start, placement) in enumerate(dated):
        same = [dated[j][1] for j in (i - 1, i + 1) if 0 <= j < len(dated) and dated[j][0] == start]
        if same:
            flags[placement.recording.relative_path].add(Flag.SAME_START)
        elif start + timedelta(seconds=_ROUNDING_S) < open_until:
            flags[placement.recording.relative_path].add(Flag.OVERLAP)
        open_until = max(open_until, start + timedelta(seconds=_true_duration_s(placement)))
    numbered = [one for one in members if one.origin.named_start is None]
    numbered.sort(key=lambda one: _natural(one.recording.relative_path))
    for before, after in pairwise(numbered):
        is_next = _folder(before) == _folder(after)
        if is_next and _begin(after) + timedelta(seconds=_ROUNDING_S) < _begin(before):
            flags[after.recording.relative_path].add(Flag.CLOCK_JUMP)


def _flag_isolated(members: Sequence[Placement], flags: Mapping[str, set[Flag]]) -> None:
    """A few recordings more than a year from the rest were made with a wrong date."""
    dated = sorted(((_begin(one), one) for one in members), key=lambda pair: pair[0])
    clusters: list[list[Placement]] = []
    last = datetime.min
    for start, placement in dated:
        if not clusters or start - last > _ISOLATED_BY:
            clusters.append([])
        clusters[-1].append(placement)
        last = start
    for cluster in clusters:
        if len(cluster) <= _ISOLATED_SHARE * len(dated):
            for placement in cluster:
                flags[placement.recording.relative_path].add(Flag.CLOCK_JUMP)


def _folder(placement: Placement) -> str:
    return placement.recording.relative_path.rpartition("/")[0]


def _begin(placement: Placement) -> datetime:
    assert placement.start is not None, "only dated recordings have a place on a timeline"
    return instant(placement.start)


def _true_duration_s(placement: Placement) -> float:
    return placement.recording.duration_s / placement.origin.notes.time_expansion


def _natural(name: str) -> list[str | int]:
    """Sort key in which REC2 comes before REC10; texts and numbers take turns, so keys compare."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _effort(members: Sequence[Placement]) -> Effort:
    spans = []
    for placement in members:
        assert placement.start is not None
        end = later(placement.start, _true_duration_s(placement))
        spans.append((placement.start.replace(tzinfo=None), end.replace(tzinfo=None)))
    first_day = min(start for start, _ in spans).date()
    last_day = max(end for _, end in spans).date()
    recorded = np.zeros(((last_day - first_day).days + 1, 24))
    midnight = datetime.combine(first_day, datetime.min.time())
    for start, end in spans:
        begin_s, end_s = (start - midnight).total_seconds(), (end - midnight).total_seconds()
        for hour in range(int(begin_s // _HOUR_S), int(end_s // _HOUR_S) + 1):
            shared_s = min(end_s, (hour + 1) * _HOUR_S) - max(begin_s, hour * _HOUR_S)
            if shared_s > 0:
                recorded[hour // 24, hour % 24] += shared_s
    return Effort(first_day=first_day, recorded_s=np.minimum(recorded, _HOUR_S))


def _missing_hours(site: str, effort: Effort, members: Sequence[Placement]) -> list[Gap]:
    """Runs of hours with less than half of the median day's sound, between first and last recording."""
    starts = [one.start.replace(tzinfo=None) for one in members if one.start is not None]
    midnight = datetime.combine(effort.first_day, datetime.min.time())
    first = int((min(starts) - midnight).total_seconds() // _HOUR_S) + 1
    last = int((max(starts) - midnight).total_seconds() // _HOUR_S)
    usual = np.median(effort.recorded_s, axis=0)
    expected = np.tile(usual, len(effort.recorded_s))
    recorded = effort.recorded_s.ravel()
    is_missing = (expected > 0) & (recorded < 0.5 * expected)
    hours = [hour for hour in range(first, last) if is_missing[hour]]
    runs: list[list[int]] = []
    for hour in hours:
        # Hours in which nothing is ever expected do not end a gap.
        if runs and not (expected[runs[-1][-1] + 1 : hour] > 0).any():
            runs[-1].append(hour)
        else:
            runs.append([hour])
    return [
        Gap(
            site=site,
            start=midnight + timedelta(hours=run[0]),
            end=midnight + timedelta(hours=run[-1] + 1),
            expected_s=float((expected - recorded)[run].sum()),
        )
        for run in runs
    ]


def _long_pauses(site: str, members: Sequence[Placement]) -> list[Gap]:
    """Pauses of more than twice the usual time from one start to the next."""
    ordered = sorted(members, key=_begin)
    starts = [one.start.replace(tzinfo=None) for one in ordered if one.start is not None]
    steps_s = np.array([(b - a).total_seconds() for a, b in pairwise(starts)])
    distinct = steps_s[steps_s > 0]
    if len(distinct) < 4:  # too few to know a habit
        return []
    usual_s = float(np.median(distinct))
    usual_duration_s = float(np.median([_true_duration_s(one) for one in ordered]))
    gaps = []
    for start, step_s, placement in zip(starts, steps_s, ordered, strict=False):
        if step_s > 2 * usual_s:
            end = start + timedelta(seconds=float(step_s))
            num_missing = round(step_s / usual_s) - 1
            gaps.append(
                Gap(
                    site=site,
                    start=start + timedelta(seconds=_true_duration_s(placement)),
                    end=end,
                    expected_s=num_missing * usual_duration_s,
                )
            )
    return gaps
