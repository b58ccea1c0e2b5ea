"""Audacity label tracks: start, end and label of each event, with frequencies where they are known."""

import re
from collections.abc import Iterable
from pathlib import Path

from bioacoustics.audio.writing import atomic_write
from bioacoustics.data.events import Event, by_recording, plain_label
from bioacoustics.data.spreadsheets import Complaints, read_text
from bioacoustics.formats.numbers import number_of, number_text

SUFFIX = ".labels.txt"
_SCORE = re.compile(r" \[(\d(?:\.\d+)?)\]$")  # how we write a score behind a label
_TRACK_NAME = re.compile(r"(?:\.labels)?\.txt$", re.IGNORECASE)
_UNTOLD_HZ = -1.0  # Audacity's word for no frequency


def write_audacity(events: Iterable[Event], folder: Path) -> list[Path]:
    """Write one label track for each recording, `north/a.wav.labels.txt` for `north/a.wav`.

    A label track has no place for scores: they stand in brackets behind the label, `frog [0.93]`.
    """
    paths = []
    for name, members in by_recording(events).items():
        path = folder / f"{name}{SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write("".join(label_lines(event) for event in members).encode())
        paths.append(path)
    return paths


def label_lines(event: Event) -> str:
    """A label, and below it its frequencies where they are known."""
    score = "" if event.score is None else f" [{number_text(event.score)}]"
    line = f"{number_text(event.start_s)}\t{number_text(event.end_s)}\t{event.label}{score}\n"
    if event.low_hz is None or event.high_hz is None:
        return line
    return f"{line}\\\t{number_text(event.low_hz)}\t{number_text(event.high_hz)}\n"


def read_audacity(path: Path, *, recording: str | None = None) -> list[Event]:
    """Read a label track; the events belong to `recording`, or to the one that the file is named after.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is no label; each is named with its number.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; give the path of a label track")
    name = recording_named_by(path) if recording is None else recording
    text, _ = read_text(path)
    complaints = Complaints(path)
    events: list[Event] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        cells = line.split("\t")
        try:
            if cells[0] == "\\":
                events[-1] = _with_band(events[-1], cells)
            else:
                events.append(_event(name, cells))
        except (ValueError, IndexError):
            complaints.add(
                "no label of Audacity's: start, end and label must stand there with tabs between them; "
                "export the labels again, or correct the line",
                number,
                repr(line[:60]),
            )
    complaints.raise_if_any()
    return events


def recording_named_by(track: Path) -> str:
    """The recording that a track is named after: `a.wav.labels.txt` and `a.txt` name `a.wav` and `a`."""
    return _TRACK_NAME.sub("", track.name)


def _event(name: str, cells: list[str]) -> Event:
    start_s, end_s = number_of(cells[0]), number_of(cells[1])
    label = plain_label(" ".join(cells[2:]))
    score = _SCORE.search(label)
    label = label[: score.start()] if score else label
    if not label:
        raise ValueError("a label must not be empty")
    return Event(
        recording=name,
        start_s=start_s,
        end_s=end_s,
        label=label,
        score=float(score[1]) if score else None,
    )


def _with_band(event: Event, cells: list[str]) -> Event:
    """The event with the frequencies of the line that follows it."""
    low_hz, high_hz = number_of(cells[1]), number_of(cells[2])
    if _UNTOLD_HZ in {low_hz, high_hz}:
        return event
    return Event(
        recording=event.recording,
        start_s=event.start_s,
        end_s=event.end_s,
        label=event.label,
        low_hz=low_hz,
        high_hz=high_hz,
        score=event.score,
    )
