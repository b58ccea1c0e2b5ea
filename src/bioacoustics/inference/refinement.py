"""Refinement: sides of events in time and frequency, from the scores of patches within their windows."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.events import Event

TIME_SHARE = 0.5  # of an event's best column: patch scores differ from clip scores in scale, shares do not
BAND_SHARE = 0.5  # of its best band


def stitch_columns(
    windows: Float[np.ndarray, "windows columns classes"],
    starts_s: Float[np.ndarray, " windows"],
    column_s: float,
) -> Float[np.ndarray, "all_columns classes"]:
    """Patch columns of a recording's windows on one grid from its start; the mean where windows overlap.

    A window is put on the nearest column of the grid, up to half a column away. Columns that no window
    covers are 0.
    """
    num_columns = windows.shape[1]
    first = np.rint(starts_s / column_s).astype(np.int64)
    total = int(first.max()) + num_columns if len(first) else 0
    sums = np.zeros((total, windows.shape[2]))
    counts = np.zeros((total, 1))
    places = first[:, None] + np.arange(num_columns)
    np.add.at(sums, places, windows)
    np.add.at(counts, places, 1.0)
    return sums / np.maximum(counts, 1.0)


def refine_times(
    events: Sequence[Event],
    columns: Float[np.ndarray, "columns classes"],
    labels: Sequence[str],
    column_s: float,
    *,
    share: float = TIME_SHARE,
    max_gap_s: float = 0.0,
) -> list[Event]:
    """Narrow events of one recording to the patch columns that carry them.

    Within an event, columns whose score is at least `share` of the best one's form runs; runs with
    `max_gap_s` or less between them are one; each becomes an event with the score of the whole. An event in
    which no column has any score stays as it is, and none grows.

    Args:
        events: of one recording, with labels among `labels`.
        columns: score of each column and class, from the start of the recording.
        labels: of the classes.
        column_s: seconds of a column, 0.16 for patches of 16 frames.
        share: of the best column.
        max_gap_s: pauses that do not divide an event.
    """
    class_of = {label: i for i, label in enumerate(labels)}
    refined = []
    for event in events:
        first = math.floor(event.start_s / column_s + 1e-9)
        last = min(math.ceil(event.end_s / column_s - 1e-9), len(columns))
        scores = columns[first:last, class_of[event.label]]
        peak = float(scores.max(initial=0.0))
        if peak <= 0:
            refined.append(event)
            continue
        for begin, end in _runs(scores >= share * peak, max_gap_s / column_s):
            start_s = max(event.start_s, (first + begin) * column_s)
            end_s = min(event.end_s, (first + end) * column_s)
            refined.append(replace(event, start_s=start_s, end_s=max(start_s, end_s)))
    return refined


def frequency_bounds(
    patches: Float[np.ndarray, "columns bands"],
    edges_hz: Float[np.ndarray, " edges"],
    *,
    share: float = BAND_SHARE,
) -> tuple[float, float] | None:
    """Lower and upper bound of what an event's patches show; None where they show nothing.

    A band is as strong as its best patch; the bounds enclose the bands with at least `share` of the best.

    Args:
        patches: score of the event's class in each of its patches.
        edges_hz: of the bands, ascending, one more than there are bands; see `band_edges_hz`.
        share: of the best band.
    """
    if len(edges_hz) != patches.shape[1] + 1:
        raise ValueError(f"{patches.shape[1]} bands have {patches.shape[1] + 1} edges, got {len(edges_hz)}")
    strength = patches.max(axis=0, initial=0.0)
    if strength.max() <= 0:
        return None
    strong = np.flatnonzero(strength >= share * strength.max())
    return float(edges_hz[strong[0]]), float(edges_hz[strong[-1] + 1])


def band_edges_hz(config: LogMelConfig, patch_size: int) -> Float[np.ndarray, " edges"]:
    """Where the rows of a patch grid meet: halfway on the mel scale between the filters on either side."""
    low_mel, high_mel = (1127 * math.log1p(hz / 700) for hz in (config.low_hz, config.high_hz))
    step_mel = (high_mel - low_mel) / (config.num_mels + 1)
    rows = np.arange(config.num_mels // patch_size + 1)
    edges_mel = low_mel + (rows * patch_size + 0.5) * step_mel  # the i-th filter peaks at i + 1 steps
    edges_mel[0], edges_mel[-1] = low_mel, high_mel
    edges: Float[np.ndarray, " edges"] = 700 * np.expm1(edges_mel / 1127)
    return edges


def _runs(is_on: np.ndarray, max_gap: float) -> list[tuple[int, int]]:
    """First and last-plus-one of each run of true values, those with small gaps joined."""
    edges = np.diff(np.concatenate([[False], is_on, [False]]).astype(np.int8))
    runs: list[tuple[int, int]] = []
    for begin, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        if runs and begin - runs[-1][1] <= max_gap + 1e-9:
            runs[-1] = (runs[-1][0], int(end))
        else:
            runs.append((int(begin), int(end)))
    return runs
