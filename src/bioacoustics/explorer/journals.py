"""Journals: what one person says of the windows of several stores, taken back in the order it was said."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bioacoustics.explorer.label_journal import LabelJournal, Undone, statements
from bioacoustics.store.database import Store


class LabelJournals:
    """A journal for each store; what is said at once is taken back at once."""

    def __init__(self, locations: Sequence[str], who: str) -> None:
        self.who = who.strip()
        self.locations = tuple(locations)
        self._journals = {location: LabelJournal(Store.open(location), who) for location in locations}
        self._said: list[tuple[str, ...]] = []  # in which stores, the newest last

    def say(self, windows: Mapping[str, Sequence[str]], label: str, *, is_present: bool = True) -> int:
        """Say that a label is, or is not, in windows of each store; returns in how many.

        Raises:
            ValueError: As `LabelJournal.say`.
        """
        counts = {
            location: self._journals[location].say(ids, label, is_present=is_present)
            for location, ids in windows.items()
            if len(ids)
        }
        if counts:
            self._said.append(tuple(counts))
        return sum(counts.values())

    def undo(self) -> Undone | None:
        """Take back what this person said last, wherever that was; None if there is nothing."""
        places = self._said.pop() if self._said else self._newest()
        undone = [found for place in places if (found := self._journals[place].undo()) is not None]
        if not undone:
            return None
        return Undone(label=undone[0].label, num_windows=sum(one.num_windows for one in undone))

    def _newest(self) -> tuple[str, ...]:
        """The store of what was said last before the page was opened."""
        moments = {
            place: moment
            for place, journal in self._journals.items()
            if (moment := journal.newest()) is not None
        }
        return (max(moments, key=moments.__getitem__),) if moments else ()


def all_statements(locations: Sequence[str]) -> pd.DataFrame:
    """What is held true in all stores, in the order of time; see `statements`."""
    tables = [statements(Store.open(location)) for location in locations]
    if len(tables) == 1:
        return tables[0]
    return pd.concat(tables).sort_values("at", kind="stable").reset_index(drop=True)
