"""Filters: which windows a search looks at, by recording, site, time of day and label."""

import re
from collections.abc import Iterable

from pydantic import BaseModel, field_validator

from bioacoustics.store.database import Store, quoted

_CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?")


class Filter(BaseModel, frozen=True, extra="forbid"):
    """Windows for which all of this holds; what is left empty does not matter."""

    recordings: tuple[str, ...] = ()  # file names as the store has them; * stands for any letters
    sites: tuple[str, ...] = ()
    between: tuple[str, str] | None = None  # times of day, such as 22:00 and 04:30, by the recorder's clock
    labels: tuple[str, ...] = ()  # windows that somebody gave one of these labels

    @field_validator("between")
    @classmethod
    def _check_clock(cls, between: tuple[str, str] | None) -> tuple[str, str] | None:
        for time in between or ():
            second_of_day(time)
        return between

    def condition(self, store: Store) -> str:
        """The SQL condition on the table of windows; empty where all fit."""
        parts = [
            _any_of(_is_named(name) for name in self.recordings),
            _any_of(f"site = {quoted(site)}" for site in self.sites),
            self._time_condition(),
            self._label_condition(store),
        ]
        return " AND ".join(part for part in parts if part)

    def _time_condition(self) -> str:
        if self.between is None:
            return ""
        first, last = map(second_of_day, self.between)
        # A night runs over midnight. A window counts by its start; one whose time nobody knows never fits.
        joint = "AND" if first <= last else "OR"
        return f"(second_of_day >= {first} {joint} second_of_day < {last})"

    def _label_condition(self, store: Store) -> str:
        if not self.labels:
            return ""
        is_named = _any_of(f"label = {quoted(label)}" for label in self.labels)
        windows = store.rows("labels", ["window"], f"is_present AND {is_named}")["window"].to_pylist()
        return f"id IN ({', '.join(quoted(window) for window in windows)})" if windows else "false"


def second_of_day(time: str) -> int:
    """Seconds since midnight of a time like 04:30 or 04:30:15; 24:00 ends a day.

    Raises:
        ValueError: it is no time of day.
    """
    match = _CLOCK.fullmatch(time.strip())
    seconds = 0
    if match is not None:
        hours, minutes, rest = (int(part or 0) for part in match.groups())
        seconds = 3600 * hours + 60 * minutes + rest
    if match is None or seconds > 24 * 3600:
        raise ValueError(f"a time of day is written like 04:30 or 22:05:30, not {time!r}")
    return seconds


def _is_named(name: str) -> str:
    if "*" not in name:
        return f"file = {quoted(name)}"
    # An underline and a per cent sign, which names of recordings are full of, stand for themselves.
    literal = re.sub(r"([\\%_])", r"\\\1", name)
    return f"file LIKE {quoted(literal.replace('*', '%'))} ESCAPE '\\'"


def _any_of(conditions: Iterable[str]) -> str:
    joined = " OR ".join(conditions)
    return f"({joined})" if joined else ""
