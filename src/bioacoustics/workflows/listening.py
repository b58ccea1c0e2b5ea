"""Listening: how far a run over recordings has come, how fast it is and how long it will take."""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bioacoustics.audio.segments import SegmentConfig, num_segments
from bioacoustics.inference.windows import Take

LINE_EVERY_S = 60.0  # where no bar can be drawn, such as in a log file


class ListeningBar:
    """A bar on a terminal, a line a minute elsewhere."""

    def __init__(self, console: Console, takes: Sequence[Take], segments: SegmentConfig) -> None:
        columns = (
            *(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()),
            *(TimeRemainingColumn(), TextColumn("{task.fields[speed]}")),
        )
        self._console = console
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        total = sum(max(0, num_segments(take.recording, segments) - take.first_window) for take in takes)
        self._task = self._progress.add_task("listening", total=total, speed="")
        self._total, self._done, self._step_s = total, 0, segments.step_s
        self._began = self._spoke = time.monotonic()

    def __enter__(self) -> "ListeningBar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    @property
    def hours_per_hour(self) -> float:
        """Hours of recordings heard in an hour, so far."""
        return self._done * self._step_s / max(time.monotonic() - self._began, 1e-9)

    def advance(self) -> None:
        """One more window was heard."""
        self._done += 1
        speed = f"{self.hours_per_hour:.0f} hours of audio per hour"
        self._progress.update(self._task, completed=self._done, speed=speed)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._spoke > LINE_EVERY_S:
            self._spoke = now
            left_min = (self._total - self._done) * (now - self._began) / self._done / 60
            share = 100 * self._done / max(self._total, 1)
            self._console.print(f"{share:.0f} % heard, {speed}, {left_min:.0f} min left", highlight=False)
