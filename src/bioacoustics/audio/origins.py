"""Origins: when, where and by which device a recording was made, and how we know."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import PurePosixPath

from bioacoustics.audio.dated_names import dated_name
from bioacoustics.audio.recorder_notes import (
    Notes,
    audiomoth_notes,
    broadcast_notes,
    comment_notes,
    guano_notes,
    wamd_notes,
)
from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.search import AUDIO_SUFFIXES
from bioacoustics.audio.tags import Tags, read_tags, text_of


class TimeSource(StrEnum):
    """How a start time is known, from sure to guessed."""

    HEADER = "header"  # the recorder's own sentence or fields in the file
    GUANO = "guano"
    NAME = "name"
    FILE_TIME = "file_time"  # a guess: the file was last written when the recording ended
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """When, where and by what a recording was made; `start` has a zone only where one is known."""

    start: datetime | None
    source: TimeSource
    named_start: datetime | None  # what the file's name says, for comparison
    name_prefix: str  # what stands before the date in the file's name, often the site
    notes: Notes

    @property
    def is_zone_known(self) -> bool:
        """Whether `start` is a moment, and not only the reading of some clock."""
        return self.start is not None and self.start.tzinfo is not None

    @property
    def is_guess(self) -> bool:
        """Whether the start is no better than the time of the file."""
        return self.source in {TimeSource.FILE_TIME, TimeSource.UNKNOWN}

    def when(self, offset_s: float) -> datetime | None:
        """The time `offset_s` seconds of the file after its start, in the zone of the start."""
        return None if self.start is None else later(self.start, offset_s / self.notes.time_expansion)


def origin_of(recording: Recording) -> Origin:
    """Read from header, GUANO, file name or, as a last resort, file time when a recording was made."""
    name = PurePosixPath(recording.relative_path)
    named = dated_name(name.stem if name.suffix.lower() in AUDIO_SUFFIXES else name.name)
    source, notes = _noted(read_tags(recording.path))
    named_start = named.start if named else None
    start = notes.start
    if start is None:
        source, start = TimeSource.NAME, named_start
    if start is None:
        source, start = TimeSource.FILE_TIME, _written_before(recording)
    return Origin(
        start=start,
        source=source if start is not None else TimeSource.UNKNOWN,
        named_start=named_start,
        name_prefix=named.prefix if named else "",
        notes=notes,
    )


def later(start: datetime, seconds: float) -> datetime:
    """The time so many true seconds later: an hour is an hour when the clocks change, too."""
    if start.tzinfo is None:
        return start + timedelta(seconds=seconds)
    return (start.astimezone(UTC) + timedelta(seconds=seconds)).astimezone(start.tzinfo)


def iso_time(moment: datetime | None) -> str:
    """ISO-8601 to the millisecond, with the offset from UTC where it is known; empty for None."""
    if moment is None:
        return ""
    rounded = moment + timedelta(microseconds=500)
    return rounded.isoformat(timespec="milliseconds")


def _noted(tags: Tags) -> tuple[TimeSource, Notes]:
    """The best notes in a header; what better ones leave out, others fill in."""
    texts = {name: text_of(tag) for name, tag in tags.items() if name not in {"wamd", "bext"}}
    comment = texts.get("ICMT") or texts.get("COMMENT") or texts.get("DESCRIPTION", "")
    artist = texts.get("IART") or texts.get("ARTIST", "")
    candidates = [
        (TimeSource.HEADER, audiomoth_notes(comment, artist)),
        (TimeSource.GUANO, guano_notes(texts.get("guan", ""))),
        (TimeSource.HEADER, wamd_notes(tags.get("wamd", b""))),
        (TimeSource.HEADER, comment_notes(texts)),
        (TimeSource.HEADER, broadcast_notes(tags.get("bext", b""))),
    ]
    known = [(source, notes) for source, notes in candidates if notes is not None]
    source = next((source for source, notes in known if notes.start), TimeSource.UNKNOWN)
    merged = Notes()
    for _, notes in reversed(known):
        said = {
            field: value
            for field in Notes.__dataclass_fields__
            if (value := getattr(notes, field)) != getattr(_SILENT, field)
        }
        merged = replace(merged, **said)
    return source, merged


_SILENT = Notes()


def _written_before(recording: Recording) -> datetime | None:
    """The start, if the file was last written when the recording ended; on this machine's clock."""
    try:
        written = datetime.fromtimestamp(recording.path.stat().st_mtime)
    except (OSError, OverflowError, ValueError):
        return None
    return (written - timedelta(seconds=recording.duration_s)).replace(microsecond=0)
