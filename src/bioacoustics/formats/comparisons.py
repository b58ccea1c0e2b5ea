"""Comparisons: charts of two models side by side, as PNG."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bioacoustics.formats.axes import png_of, style
from bioacoustics.formats.pictures import COLOURS
from bioacoustics.formats.words import Language, word

_FAINT = "#c3ccd2"
Values = Sequence[tuple[float, float, float]]  # value, low, high


def score_bars(
    names: Sequence[str], series: Sequence[tuple[str, Values]], *, language: Language = "en"
) -> bytes:
    """Scores with their 95 % intervals: a group of bars for each name, a bar for each of the series.

    A value that is NaN has no bar.
    """
    figure = Figure(figsize=(max(6.4, 1.9 * len(names) + 1.6), 4.2), layout="constrained")
    axes = figure.add_subplot()
    style(axes, "", word("score", language))
    width = 0.8 / len(series)
    for number, (label, values) in enumerate(series):
        places = np.arange(len(names)) + (number - (len(series) - 1) / 2) * width
        value, low, high = np.array(values, dtype=np.float64).T
        spread = np.clip(np.stack([value - low, high - value]), 0, None)
        axes.bar(
            places, np.nan_to_num(value), 0.92 * width, color=COLOURS[(5, 0, 4)[number % 3]], label=label
        )
        has_spread = np.isfinite(spread).all(axis=0)
        axes.errorbar(
            places[has_spread],
            value[has_spread],
            spread[:, has_spread],
            fmt="none",
            ecolor="#333333",
            capsize=3,
            elinewidth=1.2,
        )
        for place, one, top in zip(places, value, high, strict=True):
            if np.isfinite(one):
                height = top if np.isfinite(top) else one
                axes.text(place, height + 0.015, f"{100 * one:.1f}", ha="center", fontsize=8.5)
    axes.set_xticks(range(len(names)), names, fontsize=10)
    axes.set_xlim(-max(0.6, 1.5 - 0.5 * len(names)), len(names) - 1 + max(0.6, 1.5 - 0.5 * len(names)))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(visible=False, axis="x")
    highest = max((high for _, values in series for _, _, high in values if np.isfinite(high)), default=0)
    axes.set_ylim(0, min(1.15, 1.18 * max(0.1, highest)))
    axes.legend(fontsize=9, frameon=False, ncols=len(series), loc="upper center", bbox_to_anchor=(0.5, 1.12))
    return png_of(figure)


def embedding_maps(
    panels: Sequence[tuple[str, Float[np.ndarray, "clips _"]]],
    names: Sequence[str],
    *,
    language: Language = "en",
) -> bytes:
    """Embeddings along their two principal axes, a panel for each model; the commonest names are coloured."""
    common = [name for name, _ in Counter(names).most_common(len(COLOURS) - 1)]
    figure = Figure(figsize=(4.6 * len(panels), 4.6), layout="constrained")
    first: Float[np.ndarray, "clips 2"] | None = None
    for number, (title, vectors) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        style(axes, "", "")
        axes.set_title(title, fontsize=11, loc="left")
        points, shares = _principal(vectors)
        # The sign of an axis is arbitrary: without this, a panel may be the mirror image of the first.
        first = points if first is None else first
        points = points * np.where((points * first).sum(axis=0) < 0, -1, 1)
        is_other = np.array([name not in common for name in names])
        others = word("others", language) if is_other.any() else None
        axes.scatter(points[is_other, 0], points[is_other, 1], s=9, color=_FAINT, label=others)
        for name, colour in zip(common, COLOURS, strict=False):
            chosen = np.array([other == name for other in names])
            x, y = points[chosen].T
            axes.scatter(x, y, s=20, color=colour, alpha=0.85, label=name[:28], linewidths=0)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(word("shown_share", language).format(round(100 * shares)), fontsize=9)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8.5, frameon=False, loc="outside lower center", ncols=4)
    return png_of(figure)


def _principal(vectors: Float[np.ndarray, "clips _"]) -> tuple[Float[np.ndarray, "clips 2"], float]:
    """Places along the first two principal axes, and their share of the variance."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(vectors), 2))
    num_axes = min(2, len(values))
    points[:, :num_axes] = left[:, :num_axes] * values[:num_axes]
    total = np.square(values).sum()
    return points, float(np.square(values[:2]).sum() / total) if total > 0 else 0.0
