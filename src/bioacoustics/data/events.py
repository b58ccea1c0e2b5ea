"""Events: something heard from here to there in a recording, by a person or a model."""

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Event:
    """One sound; times in seconds from the start of the file, frequencies in Hz where they are known."""

    recording: str  # path relative to the folder of the recordings, with forward slashes
    start_s: float
    end_s: float
    label: str
    low_hz: float | None = None
    high_hz: float | None = None
    score: float | None = None  # of a model, 0 to 1; None where a person said so

    def __post_init__(self) -> None:
        if not 0 <= self.start_s <= self.end_s < math.inf:
            raise ValueError(
                f"an event of {self.recording} runs from {self.start_s:g} to {self.end_s:g} s, "
                "but it must begin at 0 or later and not end before it begins"
            )
        if (self.low_hz is None) != (self.high_hz is None):
            raise ValueError(f"an event of {self.recording} has one frequency bound; give both or none")
        if self.low_hz is not None and self.high_hz is not None and not 0 <= self.low_hz <= self.high_hz:
            raise ValueError(
                f"an event of {self.recording} reaches from {self.low_hz:g} to {self.high_hz:g} Hz, "
                "but the lower bound comes first and is not negative"
            )
        if self.label != " ".join(self.label.split()):
            raise ValueError(
                f"the label {self.label!r} has tabs, line ends, outer or double spaces; see `plain_label`"
            )

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


def plain_label(text: str) -> str:
    """A label as labels.csv has it: NFC, single spaces, no tabs or line ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def by_recording(events: Iterable[Event]) -> Mapping[str, list[Event]]:
    """The events of each recording in order of time; recordings in order of their names."""
    found: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda one: (one.recording, one.start_s, one.end_s, one.label)):
        found.setdefault(event.recording, []).append(event)
    return found
