"""Progress: how a run tells the user where it is, on a terminal, in a log file and in TensorBoard."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from bioacoustics.training.metrics import Row

SECONDS_OF_SILENCE = 60


class Progress:
    """A bar on a terminal, plain lines elsewhere, and nothing in all processes but the first."""

    def __init__(
        self, console: Console, *, num_updates: int, is_shown: bool, tensorboard_folder: Path | None = None
    ) -> None:
        self._console = console
        self._is_shown = is_shown
        self._num_updates = num_updates
        self._curves = _tensorboard_writer(tensorboard_folder) if tensorboard_folder and is_shown else None
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
        )
        self._bar = Bar(*columns, console=console, disable=not (is_shown and console.is_terminal))
        self._task = self._bar.add_task("training", total=num_updates, status="")
        self._begun_at = self._said_at = time.monotonic()
        self._num_before: int | None = None  # updates done when this process began

    def __enter__(self) -> "Progress":
        self._bar.start()
        self._begun_at = self._said_at = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._curves is not None:
            self._curves.close()

    def advance(self, num_done: int) -> None:
        """Move the bar; where there is none, say at least once a minute how far the run has come."""
        self._bar.update(self._task, completed=num_done)
        if self._num_before is None:
            self._num_before = num_done - 1
        now = time.monotonic()
        if self._console.is_terminal or not self._is_shown or now - self._said_at < SECONDS_OF_SILENCE:
            return
        pace_s = (now - self._begun_at) / (num_done - self._num_before)
        left = time_left(pace_s * (self._num_updates - num_done))
        self._say(f"update {num_done}/{self._num_updates}  {left} left")

    def report(self, row: Mapping[str, int | float]) -> None:
        """Show the newest means: a row of metrics.jsonl."""
        if self._curves is not None:
            for name, value in row.items():
                self._curves.add_scalar(name, value, row["update"])
        if self._console.is_terminal and "learning_rate" in row:
            self._bar.update(self._task, status=_status(row, self._num_updates))
        elif self._is_shown:
            words = _status(row, self._num_updates) if "learning_rate" in row else _validation(row)
            self._say(f"update {row['update']}/{self._num_updates}  {words}")

    def note(self, text: str) -> None:
        """Say something in passing."""
        if self._is_shown:
            self._say(text)

    def warn(self, text: str) -> None:
        """Say something that the user should act on."""
        if self._is_shown:
            self._console.print(f"[yellow]warning[/] {escape(text)}", highlight=False, soft_wrap=True)

    def _say(self, text: str) -> None:
        self._said_at = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Pace:
    """How fast a run goes, without the time it spends on validation."""

    def __init__(self, rows_per_update: int, window_s: float) -> None:
        self.rows_per_update = rows_per_update
        self.elapsed_s = 0.0  # since training began, pauses between processes left out
        self._window_s = window_s
        self._clock, self._since = time.monotonic(), 0

    def resume(self, num_done: int, elapsed_s: float) -> None:
        """Go on from a saved run."""
        self.elapsed_s = elapsed_s
        self.skip(num_done)

    def skip(self, num_done: int) -> None:
        """Leave out the time until now."""
        self._clock, self._since = time.monotonic(), num_done

    def measure(self, num_done: int) -> Row:
        """The pace since the last call."""
        duration_s = max(time.monotonic() - self._clock, 1e-9)
        num_updates = num_done - self._since
        clips_per_s = num_updates * self.rows_per_update / duration_s
        self.elapsed_s += duration_s
        self.skip(num_done)
        return {
            "seconds_per_update": duration_s / num_updates,
            "clips_per_s": clips_per_s,
            "audio_hours_per_hour": clips_per_s * self._window_s,
            "elapsed_s": self.elapsed_s,
        }


def time_left(seconds: float) -> str:
    """A duration as people say it."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86_400
    if days >= 2:
        return f"{days:.1f} days"
    if hours >= 2:
        return f"{hours:.1f} h"
    return f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"


def _status(row: Mapping[str, int | float], num_updates: int) -> str:
    seconds = row["seconds_per_update"] * (num_updates - row["update"])
    return (
        f"loss {row['loss']:.4g}  lr {row['learning_rate']:.2e}  {row['clips_per_s']:.3g} clips/s  "
        f"{row['audio_hours_per_hour']:.3g} h/h  {time_left(seconds)} left"
    )


def _validation(row: Mapping[str, int | float]) -> str:
    return "  ".join(
        f"{name} {value:.4g}" for name, value in row.items() if name not in {"update", "elapsed_s"}
    )


def _tensorboard_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "TensorBoard needs one more package: pip install 'bioacoustics[tensorboard]'"
        ) from error
    return SummaryWriter(folder)
