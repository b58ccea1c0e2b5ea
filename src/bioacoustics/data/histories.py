"""Histories: on which occasions each site was listened to, and on which of them a label was heard."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
from jaxtyping import Float, Int

from bioacoustics.data.deployments import Placement, sites_of
from bioacoustics.data.events import Event
from bioacoustics.data.spans import joined
from bioacoustics.data.timelines import is_dated

_DAY = timedelta(days=1)
_NEVER = (time.min, time.min)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The occasions of a survey: equal numbers of days, one after the other, on the clock of each site."""

    first_day: date
    num_occasions: int
    days_each: int = 1
    day_begins: time = time.min  # at noon for what calls at night, so that a night is one day
    between: tuple[time, time] = _NEVER  # only this part of each day counts; equal times: all of it

    def __post_init__(self) -> None:
        if self.days_each < 1 or self.num_occasions < 0:
            raise ValueError(f"occasions of {self.days_each} days: they must have one or more")

    def day_of(self, moment: datetime) -> date:
        """The day that a moment belongs to, which may be the one before its date."""
        since_midnight = timedelta(hours=self.day_begins.hour, minutes=self.day_begins.minute)
        return (moment - since_midnight).date()

    def occasion_of(self, moment: datetime) -> int | None:
        """The number of the occasion of a moment; None where it does not count."""
        number = (self.day_of(moment) - self.first_day).days // self.days_each
        if not 0 <= number < self.num_occasions:
            return None
        return number if self._counts(moment.time()) else None

    def days(self, occasion: int) -> tuple[date, date]:
        """First and last day of an occasion."""
        first = self.first_day + timedelta(days=occasion * self.days_each)
        return first, first + timedelta(days=self.days_each - 1)

    def pieces(self, start: datetime, end: datetime) -> Iterable[tuple[int, float]]:
        """What of a span counts: the numbers of its occasions, and how many seconds fall into each."""
        day = start.date() - _DAY
        while day <= end.date():
            for opens, closes in self._bands(day):
                begin, finish = max(start, opens), min(end, closes)
                number = (self.day_of(opens) - self.first_day).days // self.days_each
                if begin < finish and 0 <= number < self.num_occasions:
                    yield number, (finish - begin).total_seconds()
            day += _DAY

    def _bands(self, day: date) -> list[tuple[datetime, datetime]]:
        """When listening counts from one midnight to the next; cut where a day of the survey begins."""
        midnight = datetime.combine(day, time.min)
        first, last = (datetime.combine(day, moment) for moment in self.between)
        if first == last:
            bands = [(midnight, midnight + _DAY)]
        elif first < last:
            bands = [(first, last)]
        else:
            bands = [(midnight, last), (first, midnight + _DAY)]
        cut = datetime.combine(day, self.day_begins)
        parts = [(max(a, low), min(b, high)) for a, b in bands for low, high in _halves(midnight, cut)]
        return [(a, b) for a, b in parts if a < b]

    def _counts(self, moment: time) -> bool:
        first, last = self.between
        if first == last:
            return True
        return first <= moment < last if first < last else moment >= first or moment < last


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """Effort and detections of a survey; rows are sites, in order of their names, columns are occasions."""

    calendar: Calendar
    sites: tuple[str, ...]
    hours: Float[np.ndarray, "sites occasions"]
    num_events: Mapping[str, Int[np.ndarray, "sites occasions"]]  # of each label

    @property
    def occasions(self) -> list[int]:
        """The occasions on which some site was listened to."""
        return [int(number) for number in np.flatnonzero(self.hours.any(axis=0))]

    def detections(self, label: str, min_hours: float = 0.0) -> Float[np.ndarray, "sites occasions"]:
        """1 where a label was heard, 0 where it was not, NaN where less than `min_hours` were listened to."""
        heard = (self.num_events[label] > 0).astype(float)
        listened = (self.hours > 0) & (self.hours >= min_hours)
        return np.where(listened, heard, np.nan)


def histories_of(
    placements: Sequence[Placement],
    events: Iterable[Event],
    labels: Sequence[str],
    *,
    days_each: int = 1,
    day_begins: time = time.min,
    between: tuple[time, time] = _NEVER,
    listened: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> Histories:
    """The histories of a survey; recordings whose time is a guess, and their events, are left out.

    Two recorders that hear the same minute at one site count it once. An event belongs to the occasion in
    which it begins.

    Args:
        placements: the recordings, also those in which nothing was found.
        events: what was found; those of other recordings or labels are ignored.
        labels: what was looked for, also where it was never found.
        days_each: days of an occasion.
        day_begins: when a day of the survey begins.
        between: only recordings and events at these times of day count.
        listened: the seconds of each recording, by its name, that were listened to; what is not there was
            not surveyed. None: all of every recording.
    """
    dated = [placement for placement in placements if is_dated(placement)]
    spans = {
        site: joined(span for member in members for span in _spans(member, listened))
        for site, members in sites_of(dated).items()
    }
    calendar = _calendar(spans.values(), days_each, day_begins, between)
    rows = {site: row for row, site in enumerate(spans)}
    hours = np.zeros((len(rows), calendar.num_occasions))
    for site, members in spans.items():
        for start, end in members:
            for occasion, seconds in calendar.pieces(start, end):
                hours[rows[site], occasion] += seconds / 3600
    counts = {label: np.zeros(hours.shape, dtype=int) for label in labels}
    by_name = {
        placement.recording.relative_path: placement
        for placement in dated
        if listened is None or placement.recording.relative_path in listened
    }
    for event in events:
        place = by_name.get(event.recording)
        moment = place.when(event.start_s) if place else None
        if place is None or moment is None or event.label not in counts:
            continue
        number = calendar.occasion_of(moment.replace(tzinfo=None))
        if number is not None:
            counts[event.label][rows[place.site], number] += 1
    return Histories(calendar=calendar, sites=tuple(rows), hours=hours, num_events=counts)


def _calendar(
    spans: Iterable[Sequence[tuple[datetime, datetime]]],
    days_each: int,
    day_begins: time,
    between: tuple[time, time],
) -> Calendar:
    """From the first day on which any site was listened to, to the last."""
    moments = [moment for members in spans for span in members for moment in span]
    if not moments:
        return Calendar(first_day=date.min, num_occasions=0, days_each=days_each)
    whole = Calendar(first_day=date.min, num_occasions=0, days_each=days_each, day_begins=day_begins)
    first, last = whole.day_of(min(moments)), whole.day_of(max(moments) - timedelta(microseconds=1))
    return Calendar(
        first_day=first,
        num_occasions=(last - first).days // days_each + 1,
        days_each=days_each,
        day_begins=day_begins,
        between=between,
    )


def _spans(
    placement: Placement, listened: Mapping[str, Sequence[tuple[float, float]]] | None
) -> Iterable[tuple[datetime, datetime]]:
    """What was listened to of a recording, from start to end on the site's clock."""
    whole_s = placement.recording.duration_s
    name = placement.recording.relative_path
    for start_s, end_s in [(0.0, whole_s)] if listened is None else listened.get(name, ()):
        start, end = placement.when(start_s), placement.when(min(end_s, whole_s))
        assert start is not None and end is not None
        if start < end:
            yield start.replace(tzinfo=None), end.replace(tzinfo=None)


def _halves(midnight: datetime, cut: datetime) -> list[tuple[datetime, datetime]]:
    return [(midnight, cut), (cut, midnight + _DAY)]
