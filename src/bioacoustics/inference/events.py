"""Events: runs of high scores along a recording, opened and closed by two thresholds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field, model_validator

from bioacoustics.data.events import Event

_ROUNDING_S = 1e-6


class EventConfig(BaseModel, frozen=True, extra="forbid"):
    """When an event begins and ends, in the order in which the rules are applied.

    1. Neighbouring windows whose score is at least the closing threshold form a run; a run in which no score
       reaches the opening threshold is no event. An event reaches from the start of its first window to the
       end of its last.
    2. Events of one label with `max_gap_s` or less between them are one; so are those that overlap.
    3. What is shorter than `min_length_s` is dropped.
    4. What is longer than `max_length_s` is cut into pieces of equal length; each keeps the event's score.

    The score of an event is the largest, or the mean, of the windows of its runs.
    """

    open_at: float = Field(default=0.5, gt=0, le=1, description="score that opens an event")
    close_at: float | None = Field(
        default=None, gt=0, le=1, description="score that keeps it open [default: 0.7 of the opening score]"
    )
    max_gap_s: float = Field(default=0.0, ge=0, description="seconds between events that are one")
    min_length_s: float = Field(default=0.0, ge=0, description="shorter events are dropped")
    max_length_s: float | None = Field(default=None, gt=0, description="longer events are cut")
    takes_mean: bool = Field(default=False, description="score by the mean of the windows, not the largest")

    @model_validator(mode="after")
    def _check_thresholds(self) -> "EventConfig":
        if self.close_at is not None and self.close_at > self.open_at:
            raise ValueError(
                f"close_at {self.close_at:g} is above open_at {self.open_at:g}: an event would close before "
                "it opens; give a smaller one"
            )
        if self.max_length_s is not None and self.max_length_s < self.min_length_s:
            raise ValueError(
                f"max_length_s {self.max_length_s:g} is below min_length_s {self.min_length_s:g}"
            )
        return self

    @property
    def close_share(self) -> float:
        """The closing threshold as a share of the opening one; it holds for thresholds per class, too."""
        return 0.7 if self.close_at is None else self.close_at / self.open_at


def find_events(
    recording: str,
    starts_s: Float[np.ndarray, " windows"],
    ends_s: Float[np.ndarray, " windows"],
    scores: Float[np.ndarray, "windows classes"],
    labels: Sequence[str],
    config: EventConfig,
    *,
    open_at: Float[np.ndarray, " classes"] | None = None,
) -> list[Event]:
    """The events of one recording, by label and time.

    Args:
        recording: its relative path.
        starts_s: when windows start, ascending.
        ends_s: when they end, ascending; windows may overlap, and may be missing where nothing was decoded.
        scores: of each window and class; NaN counts as 0.
        labels: of the classes.
        config: the rules.
        open_at: opening threshold of each class, in place of the config's.

    Raises:
        ValueError: the windows are not in order of time.
    """
    if (np.diff(starts_s) < 0).any() or (np.diff(ends_s) < 0).any():
        raise ValueError(f"{recording}: windows must be in order of time")
    thresholds = np.full(len(labels), config.open_at) if open_at is None else open_at
    if not len(starts_s):
        return []
    clean = np.nan_to_num(scores, nan=0.0).T
    classes, first, last, peak, total = _runs(clean, starts_s, ends_s, thresholds, config.close_share)
    if not len(classes):
        return []
    begins_s, finishes_s = starts_s[first], ends_s[last]
    group = _groups(classes, begins_s, finishes_s, config.max_gap_s)
    heads = np.flatnonzero(np.diff(group, prepend=-1))
    num_windows = np.add.reduceat(last - first + 1, heads)
    score = (
        np.add.reduceat(total, heads) / num_windows if config.takes_mean else np.maximum.reduceat(peak, heads)
    )
    ends_s = np.maximum.reduceat(finishes_s, heads)
    whole = [
        Event(
            recording=recording, start_s=float(start_s), end_s=float(end_s), label=labels[c], score=float(one)
        )
        for start_s, end_s, c, one in zip(
            begins_s[heads], ends_s, classes[heads].tolist(), score, strict=True
        )
    ]
    return within_lengths(whole, config)


def within_lengths(events: Sequence[Event], config: EventConfig) -> list[Event]:
    """Rules 3 and 4: events without those that are too short, and with those that are too long in pieces."""
    long = [event for event in events if event.duration_s >= config.min_length_s - _ROUNDING_S]
    if config.max_length_s is None or not long:
        return long
    spans = np.array([(event.start_s, event.end_s) for event in long])
    pieces, owner = _pieces(spans, config.max_length_s)
    return [
        replace(long[i], start_s=float(start_s), end_s=float(end_s))
        for (start_s, end_s), i in zip(pieces, owner.tolist(), strict=True)
    ]


def _runs(
    scores: Float[np.ndarray, "classes windows"],
    starts_s: Float[np.ndarray, " windows"],
    ends_s: Float[np.ndarray, " windows"],
    open_at: Float[np.ndarray, " classes"],
    close_share: float,
) -> tuple[
    Int[np.ndarray, " runs"],
    Int[np.ndarray, " runs"],
    Int[np.ndarray, " runs"],
    Float[np.ndarray, " runs"],
    Float[np.ndarray, " runs"],
]:
    """Class, first and last window, largest and summed score of each run that opened, by class and time."""
    is_on = scores >= (close_share * open_at)[:, None] - 1e-12  # 0.7 of 0.7 is no number of two digits
    follows = np.concatenate([[False], starts_s[1:] <= ends_s[:-1] + _ROUNDING_S])
    before: Bool[np.ndarray, "classes windows"] = np.zeros_like(is_on)
    before[:, 1:] = is_on[:, :-1]
    after: Bool[np.ndarray, "classes windows"] = np.zeros_like(is_on)
    after[:, :-1] = is_on[:, 1:] & follows[1:]
    classes, first = np.nonzero(is_on & ~(before & follows))
    _, last = np.nonzero(is_on & ~after)
    if not len(classes):
        return classes, first, last, np.empty(0), np.empty(0)
    num_windows = scores.shape[1]
    # reduceat sums from each edge to the next; every second stretch lies between runs.
    edges = np.stack([classes * num_windows + first, classes * num_windows + last + 1], axis=1).ravel()
    flat = np.append(scores.ravel(), 0.0)
    peak, total = np.maximum.reduceat(flat, edges)[::2], np.add.reduceat(flat, edges)[::2]
    has_opened = peak >= open_at[classes]
    return (
        classes[has_opened],
        first[has_opened],
        last[has_opened],
        peak[has_opened].astype(np.float64),
        total[has_opened].astype(np.float64),
    )


def _groups(
    classes: Int[np.ndarray, " runs"],
    begins_s: Float[np.ndarray, " runs"],
    finishes_s: Float[np.ndarray, " runs"],
    max_gap_s: float,
) -> Int[np.ndarray, " runs"]:
    """Number the events that runs belong to; ends ascend within a class, so the neighbour before suffices."""
    is_new = np.ones(len(classes), bool)
    gaps_s = begins_s[1:] - finishes_s[:-1]
    is_new[1:] = (classes[1:] != classes[:-1]) | (gaps_s > max_gap_s + _ROUNDING_S)
    numbers: Int[np.ndarray, " runs"] = np.cumsum(is_new) - 1
    return numbers


def _pieces(
    spans: Float[np.ndarray, "events 2"], max_length_s: float
) -> tuple[Float[np.ndarray, "pieces 2"], Int[np.ndarray, " pieces"]]:
    """Equal pieces of each event that are not too long, and which event each is of."""
    lengths_s = spans[:, 1] - spans[:, 0]
    counts = np.maximum(1, np.ceil((lengths_s - _ROUNDING_S) / max_length_s)).astype(np.int64)
    owner = np.repeat(np.arange(len(spans)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    step_s = (lengths_s / counts)[owner]
    starts_s = spans[owner, 0] + number * step_s
    ends_s = np.where(number == counts[owner] - 1, spans[owner, 1], starts_s + step_s)
    return np.stack([starts_s, ends_s], axis=1), owner
