"""Event stream: events of a recording as its windows arrive, in memory that does not grow with its length."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from bioacoustics.data.events import Event
from bioacoustics.inference.events import EventConfig, find_events, within_lengths
from bioacoustics.inference.patch_scores import PatchGrid, WindowScores, joined, num_columns
from bioacoustics.inference.refinement import frequency_bounds, refine_times, stitch_columns

MAX_WINDOWS = 4096  # of an event, and of what lies near it; a longer one is cut, and is two events
STEPS_PER_COLUMN = 4  # windows start where they start, not where columns do: so close they are laid
_ROUNDING_S = 1e-6


class EventStream:
    """Finds events by the rules of `EventConfig`, and narrows them where there are patches.

    Where it is quiet for longer than `max_gap_s`, all before is settled and is handed over, so that what is
    found depends neither on the pieces in which windows come nor on what follows. With a grid, rules 1 and 2
    find events, the patches of their windows narrow them (see `refine_times`) and give them a band, and then
    rules 3 and 4 look at the narrow ones. An event one of whose windows has no patches of its label stays.

    Args:
        recording: its relative path.
        labels: of the classes.
        config: the rules.
        open_at: opening threshold of each class.
        grid: what patches mean; None where there are none.
        nyquist_hz: no band reaches above it.
    """

    def __init__(
        self,
        recording: str,
        labels: Sequence[str],
        config: EventConfig,
        open_at: Float[np.ndarray, " classes"],
        grid: PatchGrid | None,
        nyquist_hz: float,
    ) -> None:
        self._recording, self._labels, self._config = recording, labels, config
        self._open_at, self._close_at = open_at, config.close_share * open_at - 1e-12
        self._grid, self._nyquist_hz = grid, nyquist_hz
        self._class_of = {label: i for i, label in enumerate(labels)}
        self._pending: WindowScores | None = None

    def add(self, windows: WindowScores) -> list[Event]:
        """Take in the windows that follow; return the events that are settled, in order of time."""
        if len(windows):
            self._pending = windows if self._pending is None else joined([self._pending, windows])
        found: list[Event] = []
        while self._pending is not None and (stop := self._settled(self._pending)):
            found += self._events(self._pending.part(0, stop))
            rest = self._pending.part(stop, len(self._pending))
            self._pending = rest if len(rest) else None
        return found

    def close(self) -> list[Event]:
        """The events of what is left."""
        rest, self._pending = self._pending, None
        return [] if rest is None else self._events(rest)

    def _settled(self, windows: WindowScores) -> int:
        """How many of the first windows no later one can touch."""
        is_on = (np.nan_to_num(windows.scores, nan=0.0) >= self._close_at).any(axis=1)
        reach_s = np.maximum.accumulate(np.where(is_on, windows.ends_s, -np.inf))
        is_quiet = windows.starts_s[1:] > reach_s[:-1] + self._config.max_gap_s + _ROUNDING_S
        stretches = np.concatenate([[0], np.flatnonzero(is_quiet) + 1, [len(windows)]])
        too_long = np.flatnonzero(np.diff(stretches) > MAX_WINDOWS)
        if len(too_long):
            return int(stretches[too_long[0]]) + MAX_WINDOWS
        return int(stretches[-2])

    def _events(self, windows: WindowScores) -> list[Event]:
        config, grid = self._config, self._grid
        wide = config.model_copy(update={"min_length_s": 0.0, "max_length_s": None}) if grid else config
        found = find_events(
            self._recording,
            windows.starts_s,
            windows.ends_s,
            windows.scores,
            self._labels,
            wide,
            open_at=self._open_at,
        )
        if grid is not None:
            narrow = [part for event in found for part in self._narrowed(event, windows, grid)]
            found = within_lengths(narrow, config)
        return sorted(found, key=lambda event: (event.start_s, event.end_s, event.label))

    def _narrowed(self, event: Event, windows: WindowScores, grid: PatchGrid) -> list[Event]:
        label = self._class_of[event.label]
        is_within = (windows.starts_s >= event.start_s - _ROUNDING_S) & (
            windows.ends_s <= event.end_s + _ROUNDING_S
        )
        members = np.flatnonzero(is_within & (windows.scores[:, label] >= self._close_at[label]))
        pictures = _pictures(windows, members.tolist(), label, grid)
        if pictures is None:
            return [event]
        step_s = grid.column_s / STEPS_PER_COLUMN
        starts_s = windows.starts_s[members] - event.start_s
        picture = stitch_columns(np.repeat(pictures, STEPS_PER_COLUMN, axis=1), starts_s, step_s)
        begun = replace(event, start_s=0.0, end_s=event.duration_s)
        columns = picture.max(axis=1, keepdims=True)
        gap_s = self._config.max_gap_s
        parts = refine_times([begun], columns, [event.label], step_s, max_gap_s=gap_s)
        return [self._placed(part, event.start_s, self._band(picture, part, step_s, grid)) for part in parts]

    @staticmethod
    def _placed(part: Event, begin_s: float, band: tuple[float, float] | None) -> Event:
        low_hz, high_hz = band or (None, None)
        start_s, end_s = begin_s + part.start_s, begin_s + part.end_s
        return replace(part, start_s=start_s, end_s=end_s, low_hz=low_hz, high_hz=high_hz)

    def _band(
        self, picture: Float[np.ndarray, "columns bands"], part: Event, step_s: float, grid: PatchGrid
    ) -> tuple[float, float] | None:
        first, stop = round(part.start_s / step_s), max(1, round(part.end_s / step_s))
        bounds = frequency_bounds(picture[first:stop], np.array(grid.edges_hz))
        if bounds is None or bounds[0] >= self._nyquist_hz:
            return None
        return bounds[0], min(bounds[1], self._nyquist_hz)


def _pictures(
    windows: WindowScores, members: Sequence[int], label: int, grid: PatchGrid
) -> Float[np.ndarray, "members columns bands"] | None:
    """The patches of one label in some windows, all as wide as the widest; None if some are not kept."""
    if windows.kept is None:
        return None
    is_label: Bool[np.ndarray, "windows kept"] = windows.kept[members] == label
    if not len(members) or not is_label.any(axis=1).all():
        return None
    places = is_label.argmax(axis=1)
    widths = [num_columns(float(windows.ends_s[i] - windows.starts_s[i]), grid) for i in members]
    pictures = np.zeros((len(members), max(widths), grid.num_bands))
    for picture, window, place, width in zip(pictures, members, places.tolist(), widths, strict=True):
        heard = windows.patches[window][place, :width]
        picture[: len(heard)] = heard
    return pictures
