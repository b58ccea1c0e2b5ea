"""Evaluation pictures: whether probabilities are true, and where thresholds lie, as PNG."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bioacoustics.formats.axes import INK, png_of, style
from bioacoustics.formats.pictures import COLOURS
from bioacoustics.formats.words import Language, word

Interval = tuple[float, float]


def reliability_curve(
    counts: Sequence[int],
    promised: Sequence[float],
    came_true: Sequence[float],
    *,
    language: Language = "en",
) -> bytes:
    """How often what was promised came true, bin by bin; on the dashed line promises are kept.

    Args:
        counts: promises in each bin, shown below on a logarithmic axis.
        promised: mean score of each bin.
        came_true: share of each bin that was right.
        language: of the words.
    """
    figure = Figure(figsize=(5.6, 5.4), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    style(axes, "", word("share_present", language))
    axes.plot([0, 1], [0, 1], "--", color="#777777", linewidth=1.2, label=word("kept_promises", language))
    axes.plot(promised, came_true, "o-", color=COLOURS[0], linewidth=1.8, label=word("this_model", language))
    axes.set_ylim(-0.02, 1.02)
    axes.legend(fontsize=9, frameon=False, loc="upper left")
    style(below, word("mean_score", language), word("count", language))
    below.bar(promised, counts, width=0.05, color=COLOURS[5])
    below.set_yscale("log")
    below.set_ylim(bottom=0.8)
    below.set_xlim(-0.02, 1.02)
    return png_of(figure)


def threshold_intervals(
    labels: Sequence[str],
    thresholds: Sequence[float],
    precisions: Sequence[float],
    intervals: Sequence[Interval],
    wanted: float,
    *,
    language: Language = "en",
) -> bytes:
    """The precision of each label at its threshold with its interval; the wanted one is the dashed line."""
    figure = Figure(figsize=(7.2, float(np.clip(1.3 + 0.32 * len(labels), 2.2, 40))), layout="constrained")
    axes = figure.add_subplot()
    style(axes, word("precision", language), "")
    places = np.arange(len(labels))[::-1]
    low, high = np.array(intervals, dtype=float).T
    spread = np.clip(np.stack([np.array(precisions) - low, high - np.array(precisions)]), 0, None)
    axes.errorbar(
        precisions, places, xerr=spread, fmt="o", color=COLOURS[0], ecolor="#8fb8d6", capsize=3, linewidth=2
    )
    axes.axvline(wanted, linestyle="--", color=COLOURS[1], linewidth=1.2)
    names = [f"{label} (≥ {threshold:.2f})" for label, threshold in zip(labels, thresholds, strict=True)]
    axes.set_yticks(places, names, fontsize=9.5, color=INK, parse_math=False)
    axes.set_xlim(0, 1.03)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    return png_of(figure)
