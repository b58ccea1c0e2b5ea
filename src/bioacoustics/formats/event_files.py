"""Event files: events of one recording after the other, in several formats at once, as they are found."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Protocol

import pyarrow as pa

from bioacoustics.audio.writing import atomic_write
from bioacoustics.data.deployments import Placement
from bioacoustics.data.events import Event
from bioacoustics.formats import audacity, kaleidoscope, raven
from bioacoustics.formats.event_tables import SCHEMA
from bioacoustics.formats.numbers import DECIMALS
from bioacoustics.formats.tables import TableWriter

EventFormat = Literal["csv", "parquet", "raven", "audacity", "kaleidoscope"]
TABLE_NAME = "events"
_ROWS_AT_ONCE = 4096
# What a row tells besides the event: enough to find its like again, and never to mix it with others.
ROW_SCHEMA = pa.schema(
    [
        *SCHEMA,
        ("end_time", pa.string()),
        ("time_source", pa.string()),
        ("site", pa.string()),
        ("channel", pa.string()),
        ("threshold", pa.float64()),
        ("model", pa.string()),
        ("front_end", pa.string()),
        ("audio", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one channel of a recording is called in rows."""

    placement: Placement
    channel: str  # a number from 0, mix or loudest
    model: str  # fingerprints
    front_end: str
    audio: str

    @property
    def channel_number(self) -> int:
        """From 0; of a mixture, 0."""
        return int(self.channel) if self.channel.isdecimal() else 0


class _Writer(Protocol):
    def begin(self, heard: Heard) -> None:
        """A recording, or another channel of the same, follows."""
        ...

    def write(self, heard: Heard, events: Sequence[Event]) -> None:
        """Some of its events, in order of time."""
        ...


class EventFiles:
    """Writes events to a folder; a file takes its name when it is whole, at the latest when the block ends.

    `csv` and `parquet` make events.csv and events.parquet, `kaleidoscope` makes kaleidoscope.csv; `raven`
    makes a table for each recording, raven/north/a.wav.selections.txt, and one for all that are opened
    together, raven/all.selections.txt; `audacity` makes a track for each. A recording without events has its
    empty table: it was listened to.

    Args:
        folder: where.
        formats: which.
        thresholds: score from which on an event of each label opened, as rows tell it.
    """

    def __init__(self, folder: Path, formats: Sequence[EventFormat], thresholds: Mapping[str, float]) -> None:
        self._folder, self._formats, self._thresholds = folder, formats, thresholds
        self._stack = ExitStack()
        self._writers: list[_Writer] = []
        self._last: Heard | None = None
        self.num_events = self.num_recordings = 0

    def __enter__(self) -> "EventFiles":
        self._stack.__enter__()
        for name in dict.fromkeys(self._formats):
            match name:
                case "csv" | "parquet":
                    path = self._folder / f"{TABLE_NAME}.{name}"
                    self._writers.append(_Table(path, self._thresholds, self._stack))
                case "raven":
                    self._writers += [
                        _Raven(self._folder / "raven", self._stack),
                        _CombinedRaven(self._folder / "raven" / raven.COMBINED_NAME, self._stack),
                    ]
                case "audacity":
                    self._writers.append(_Audacity(self._folder / "audacity", self._stack))
                case "kaleidoscope":
                    self._writers.append(_Kaleidoscope(self._folder / "kaleidoscope.csv", self._stack))
        return self

    def write(self, heard: Heard, events: Sequence[Event]) -> None:
        """Add events, in order of time; recordings, and channels within them, come one after the other."""
        if self._last is None or self._last != heard:
            is_new = self._last is None or self._last.placement.recording != heard.placement.recording
            self.num_recordings += is_new
            self._last = heard
            for writer in self._writers:
                writer.begin(heard)
        self.num_events += len(events)
        for writer in self._writers:
            writer.write(heard, events)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)


def _opened(path: Path, stack: ExitStack) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return stack.enter_context(atomic_write(path))


class _Table:
    """CSV or Parquet."""

    def __init__(self, path: Path, thresholds: Mapping[str, float], stack: ExitStack) -> None:
        self._table = stack.enter_context(TableWriter(path, ROW_SCHEMA))
        self._thresholds = thresholds
        self._rows: list[dict[str, object]] = []
        stack.callback(self._flush)  # before the table is closed

    def begin(self, heard: Heard) -> None:
        pass

    def write(self, heard: Heard, events: Sequence[Event]) -> None:
        placement = heard.placement
        self._rows += [
            {
                "file": event.recording,
                "start_s": round(event.start_s, DECIMALS),
                "end_s": round(event.end_s, DECIMALS),
                "low_hz": None if event.low_hz is None else round(event.low_hz, DECIMALS),
                "high_hz": None if event.high_hz is None else round(event.high_hz, DECIMALS),
                "label": event.label,
                "score": event.score,
                "start_time": placement.iso_time(event.start_s),
                "end_time": placement.iso_time(event.end_s),
                "time_source": placement.source.value,
                "site": placement.site,
                "channel": heard.channel,
                "threshold": self._thresholds[event.label],
                "model": heard.model,
                "front_end": heard.front_end,
                "audio": heard.audio,
            }
            for event in events
        ]
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._table.write({name: [row[name] for row in self._rows] for name in ROW_SCHEMA.names})
        self._rows = []


class _Raven:
    """A table for each recording; the channels of one stand one below the other."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._each = stack.enter_context(ExitStack())
        self._file: BinaryIO | None = None
        self._recording = ""
        self._number = 0

    def begin(self, heard: Heard) -> None:
        name = heard.placement.recording.relative_path
        if name != self._recording:
            self._each.close()
            self._recording, self._number = name, 0
            self._file = _opened(self._folder / f"{name}{raven.SUFFIX}", self._each)
            self._file.write(raven.HEADER.encode())

    def write(self, heard: Heard, events: Sequence[Event]) -> None:
        assert self._file is not None
        recording, channel = heard.placement.recording, heard.channel_number + 1
        for event in events:
            self._number += 1
            line = raven.selection_line(self._number, event, recording, channel=channel)
            self._file.write(line.encode())


class _CombinedRaven:
    """One table for all recordings, opened together in this order."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._file = _opened(path, stack)
        self._file.write(raven.HEADER.encode())
        self._number = 0
        self._begin_s = self._next_begin_s = 0.0
        self._recording = ""

    def begin(self, heard: Heard) -> None:
        recording = heard.placement.recording
        if recording.relative_path != self._recording:
            self._recording, self._begin_s = recording.relative_path, self._next_begin_s
            self._next_begin_s += recording.duration_s

    def write(self, heard: Heard, events: Sequence[Event]) -> None:
        recording, channel = heard.placement.recording, heard.channel_number + 1
        for event in events:
            self._number += 1
            line = raven.selection_line(
                self._number, event, recording, begin_s=self._begin_s, channel=channel
            )
            self._file.write(line.encode())


class _Audacity:
    """A label track for each recording."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._each = stack.enter_context(ExitStack())
        self._file: BinaryIO | None = None
        self._recording = ""

    def begin(self, heard: Heard) -> None:
        name = heard.placement.recording.relative_path
        if name != self._recording:
            self._each.close()
            self._recording = name
            self._file = _opened(self._folder / f"{name}{audacity.SUFFIX}", self._each)

    def write(self, heard: Heard, events: Sequence[Event]) -> None:
        assert self._file is not None
        self._file.writelines(audacity.label_lines(event).encode() for event in events)


class _Kaleidoscope:
    """One table for all recordings."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._file = _opened(path, stack)
        self._file.write(kaleidoscope.HEADER.encode())

    def begin(self, heard: Heard) -> None:
        pass

    def write(self, heard: Heard, events: Sequence[Event]) -> None:
        placement, channel = heard.placement, heard.channel_number
        for event in events:
            line = kaleidoscope.detection_line(
                event, placement.recording, moment=placement.when(event.start_s), channel=channel
            )
            self._file.write(line.encode())
