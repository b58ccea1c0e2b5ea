"""Windows: what training and evaluation read, one window of one recording at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from bioacoustics.audio.draws import Stream, uniform
from bioacoustics.audio.reading import Channel, Finding, Reading, UnreadableAudioError, read_segment
from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.segments import Segment, SegmentIndex, jittered

# What a user should hear about: the sound was repaired, or is not what the file promised. Silent, short or
# clipped windows are ordinary in field recordings.
_WORTH_TELLING = {
    Finding.NAN: "some samples were no numbers; they were set to 0",
    Finding.ANTIPHASE: "its channels cancel each other when mixed; the first that sounds was read alone",
    Finding.PARTIAL: "it is damaged, or ends before its header says",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one recording, in plain words."""

    path: str
    reason: str
    is_unusable: bool = False  # the window could not be read at all


class Origin(NamedTuple):
    """Where a window comes from, where several kinds of recordings are mixed; -1: not known or not asked."""

    source: str
    item: int = -1  # the clip; two windows of one clip have one number
    recording: int = -1  # clips that were cut from one recording have one number
    label: int = -1  # number of its class of examples


@dataclass(frozen=True, kw_only=True)
class Window:
    """The sound of one window, not padded, and what is known about it."""

    samples: Float[np.ndarray, " samples"]
    target: Float[np.ndarray, " classes"] | None = None
    problems: tuple[Problem, ...] = ()
    origin: Origin | None = None


@runtime_checkable
class Windows(Protocol):
    """Anything that numbers its windows and reads one of them; called from several threads at once."""

    @property
    def num_samples(self) -> int:
        """Samples of a full window."""

    @property
    def window_s(self) -> float:
        """Length of a full window in seconds."""

    def __len__(self) -> int: ...

    def read(self, index: int, draw_id: int) -> Window:
        """Window `index`; whatever is random about it is a function of `draw_id`.

        Raises:
            UnreadableAudioError: The recording cannot be read there.
        """


class SegmentWindows:
    """Windows cut from unlabelled recordings; each draw may shift its window a little.

    Args:
        segments: Which windows there are.
        sample_rate_hz: Rate of the samples.
        channel: Channel to read, or "mix".
        max_jitter_s: Largest shift to either side, uniformly drawn; 0 reads every window where it was cut.
        seed: Seed of the shifts.
    """

    def __init__(
        self,
        segments: SegmentIndex,
        *,
        sample_rate_hz: int,
        channel: Channel = "mix",
        max_jitter_s: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._segments = segments
        self._sample_rate_hz = sample_rate_hz
        self._channel = channel
        self._max_jitter_s = max_jitter_s
        self._seed = seed
        self.window_s = segments.config.window_s
        self.num_samples = round(self.window_s * sample_rate_hz)

    def __len__(self) -> int:
        return len(self._segments)

    def read(self, index: int, draw_id: int) -> Window:
        """Read the window at its shifted place."""
        segment = self._segments[index]
        if self._max_jitter_s > 0:
            share = 2 * uniform(self._seed, Stream.JITTER, draw_id, 1)[0] - 1
            segment = jittered(segment, share * self._max_jitter_s)
        reading = _reading_of(segment, self._sample_rate_hz, self._channel)
        return Window(samples=reading.samples[: self.num_samples], problems=_problems(segment, reading))


class ClipWindows:
    """One window of every clip, with its targets; a clip longer than the window is cropped.

    Args:
        recordings: The clips.
        targets: What is heard in them, or None.
        window_s: Length of the window; shorter clips are read whole.
        sample_rate_hz: Rate of the samples.
        channel: Channel to read, or "mix".
        crop: Where a longer clip is cropped: somewhere else at every draw (for training), in its centre, or
            at its beginning (as the published EAT recipes do).
        repeats: Shorter clips are repeated until they fill the window. Padded, they would differ from longer
            ones by their silence, which a model learns before it learns their sound.
        seed: Seed of the random places.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        targets: Float[np.ndarray, "clips classes"] | None,
        *,
        window_s: float,
        sample_rate_hz: int,
        channel: Channel = "mix",
        crop: Literal["random", "centre", "first"] = "centre",
        repeats: bool = False,
        seed: int = 0,
    ) -> None:
        if targets is not None and len(targets) != len(recordings):
            raise ValueError(f"{len(recordings)} clips need as many rows of targets, got {len(targets)}")
        self._recordings = recordings
        self._targets = targets
        self._sample_rate_hz = sample_rate_hz
        self._channel = channel
        self._crop = crop
        self._repeats = repeats
        self._seed = seed
        self.window_s = window_s
        self.num_samples = round(window_s * sample_rate_hz)

    def __len__(self) -> int:
        return len(self._recordings)

    def read(self, index: int, draw_id: int) -> Window:
        """Read the clip, cropped to the window."""
        recording = self._recordings[index]
        segment = Segment(recording, self._start_s(recording, draw_id), self.window_s)
        reading = _reading_of(segment, self._sample_rate_hz, self._channel)
        samples = reading.samples[: self.num_samples]
        if self._repeats and 0 < len(samples) < self.num_samples:
            samples = np.resize(samples, self.num_samples)
        return Window(
            samples=samples,
            target=None if self._targets is None else self._targets[index],
            problems=_problems(segment, reading),
        )

    def _start_s(self, recording: Recording, draw_id: int) -> float:
        spare_s = max(0.0, recording.duration_s - self.window_s)
        match self._crop:
            case "first":
                return 0.0
            case "centre":
                return spare_s / 2
            case "random":
                return spare_s * uniform(self._seed, Stream.JITTER, draw_id, 1)[0]


def class_balanced_weights(targets: Float[np.ndarray, "clips classes"]) -> Float[np.ndarray, " clips"]:
    """How often to draw each clip so that rare classes are heard as often as common ones.

    A clip weighs the sum over its labels of 1 / (clips with that label), the convention of AST and AudioMAE;
    a clip without labels weighs as much as the lightest one with labels.
    """
    num_clips = targets.sum(axis=0)
    weights = np.asarray((targets / np.maximum(num_clips, 1.0)).sum(axis=1), dtype=np.float64)
    if not weights.any():
        return np.ones(len(targets))
    weights[weights == 0] = weights[weights > 0].min()
    return weights


def _reading_of(segment: Segment, sample_rate_hz: int, channel: Channel) -> Reading:
    """Read a window; an error names the recording as all lists do, by its place in the searched folder."""
    try:
        return read_segment(segment, sample_rate_hz, channel)
    except UnreadableAudioError as error:
        raise UnreadableAudioError(Path(segment.recording.relative_path), error.reason) from error


def _problems(segment: Segment, reading: Reading) -> tuple[Problem, ...]:
    found = [words for finding, words in _WORTH_TELLING.items() if finding in reading.findings]
    return tuple(Problem(segment.recording.relative_path, words) for words in found)
