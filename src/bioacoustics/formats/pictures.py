"""Pictures: charts of a run as PNG, readable on paper, on dark screens and by colour-blind eyes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter
from sklearn.metrics import average_precision_score, precision_recall_curve

from bioacoustics.audio.writing import atomic_write
from bioacoustics.formats.axes import GRID as _GRID
from bioacoustics.formats.axes import INK as _INK
from bioacoustics.formats.axes import png_of, style
from bioacoustics.formats.words import Language, word

# Okabe & Ito's palette: told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_FAINT = "#9aa5ad"
_MAX_LABEL_LENGTH = 32
_SMOOTHED_FROM = 50  # points: with fewer, noise does not hide the course

_PANELS = (  # axis, names of the rows; those that start with valid_ are dots, the others lines
    ("loss", ("loss", "frame_loss", "utterance_loss", "valid_loss")),
    ("score", ("valid_accuracy", "valid_mean_average_precision")),
    ("spread", ("target_std", "prediction_std")),
    ("learning_rate", ("learning_rate",)),
)


def write_picture(png: bytes, path: Path) -> None:
    """Write a picture, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(png)


def loss_curves(rows: Sequence[Mapping[str, int | float]], *, language: Language = "en") -> bytes:
    """The course of a run from the rows of its metrics.jsonl: losses, scores, spread and learning rate.

    Each row has `update` and any of the names of `_PANELS`; panels without a value are left out.
    """
    panels = [(axis, [name for name in names if any(name in row for row in rows)]) for axis, names in _PANELS]
    panels = [(axis, names) for axis, names in panels if names] or [("loss", [])]
    num_columns = min(len(panels), 2)
    num_rows = -(-len(panels) // 2)
    size = (4.8 * num_columns + 1.6 * (num_columns == 1), 3.5 * num_rows)
    figure = Figure(figsize=size, layout="constrained")
    for position, (axis, names) in enumerate(panels, start=1):
        axes = figure.add_subplot(num_rows, num_columns, position)
        style(axes, word("update", language), word(axis, language))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.ticklabel_format(axis="y", scilimits=(-3, 4))
        for name in names:
            _curve(axes, rows, name, COLOURS[names.index(name)], language)
        if axis == "score":
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        if len(names) > 1 or axis == "score":
            axes.legend(fontsize=9, frameon=False)
        if not names:
            axes.text(0.5, 0.5, word("nothing_yet", language), ha="center", transform=axes.transAxes)
    return png_of(figure)


def _curve(
    axes: Axes, rows: Sequence[Mapping[str, int | float]], name: str, colour: str, language: Language
) -> None:
    points = np.array([(row["update"], row[name]) for row in rows if name in row], dtype=np.float64)
    is_valid = name.startswith("valid_")
    label = word(name.removeprefix("valid_"), language)
    if is_valid:
        label = f"{word('validation', language)}: {label}"
    if is_valid or len(points) == 1:
        axes.plot(*points.T, "o-", color=colour, markersize=4, linewidth=1.5, label=label)
    elif len(points) < _SMOOTHED_FROM:
        axes.plot(*points.T, color=colour, linewidth=1.8, label=label)
    else:
        axes.plot(*points.T, color=colour, linewidth=0.8, alpha=0.3)
        axes.plot(points[:, 0], _smooth(points[:, 1]), color=colour, linewidth=2, label=label)


def _smooth(values: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """The mean over a window of a 25th of the run, shorter at its ends, without what is not finite."""
    half = max(len(values) // 50, 1)
    is_finite = np.isfinite(values)
    sums = np.cumsum(np.concatenate([[0.0], np.where(is_finite, values, 0.0)]))
    counts = np.cumsum(np.concatenate([[0.0], is_finite]))
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    num_finite = counts[last] - counts[first]
    return np.where(num_finite > 0, (sums[last] - sums[first]) / np.maximum(num_finite, 1), np.nan)


def spectrograms(
    log_mels: Sequence[Float[np.ndarray, "_ mels"]],
    titles: Sequence[str],
    *,
    frame_shift_s: float = 0.01,
    low_hz: float = 20.0,
    high_hz: float = 8000.0,
    language: Language = "en",
) -> bytes:
    """Log-mel spectrograms (frames, mels) in a grid, one title each; the front end's band in Hz.

    The frequency axis is the mel scale, so its ticks are unevenly spaced (HTK formula, as Kaldi).
    """
    num_columns = min(3, max(len(log_mels), 1))
    num_rows = -(-len(log_mels) // num_columns) or 1
    figure = Figure(figsize=(4.2 * num_columns, 2.5 * num_rows + 0.3), layout="constrained")
    for position, (log_mel, title) in enumerate(zip(log_mels, titles, strict=True)):
        axes = figure.add_subplot(num_rows, num_columns, position + 1)
        duration_s = len(log_mel) * frame_shift_s
        floor, top = np.percentile(log_mel, (5, 99.8))
        extent = (0.0, duration_s, _mel(low_hz), _mel(high_hz))
        axes.imshow(
            log_mel.T, origin="lower", aspect="auto", cmap="magma", extent=extent, vmin=floor, vmax=top
        )
        axes.set_title(_short(title), fontsize=10, color=_INK, loc="left", parse_math=False)
        kilohertz = [
            khz
            for khz in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
            if low_hz <= 1000 * khz <= high_hz
        ]
        axes.set_yticks([_mel(1000 * khz) for khz in kilohertz], [f"{khz:g}" for khz in kilohertz])
        axes.tick_params(labelsize=9, colors=_INK)
        if position % num_columns == 0:
            axes.set_ylabel(word("frequency", language), fontsize=10, color=_INK)
        if position + num_columns >= len(log_mels):
            axes.set_xlabel(word("time", language), fontsize=10, color=_INK)
    return png_of(figure)


def _mel(frequency_hz: float) -> float:
    return float(1127 * np.log1p(frequency_hz / 700))


def confusion_matrix(
    counts: Int[np.ndarray, "classes classes"], labels: Sequence[str], *, language: Language = "en"
) -> bytes:
    """Clips by true label (rows) and predicted label (columns); colour is the share of the row."""
    num_clips = counts.sum(axis=1)
    shares = counts / np.maximum(num_clips, 1)[:, None]
    side = float(np.clip(2.5 + 0.36 * len(labels), 5, 22))
    font_size = min(10.0, 30 * side / (len(labels) + 7))  # what fits into a cell
    figure = Figure(figsize=(side + 2.4, side), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(labels))
    rows = [f"{_short(label)} ({count})" for label, count in zip(labels, num_clips, strict=True)]
    columns = [_short(label) for label in labels]
    axes.set_xticks(ticks, columns, rotation=90, fontsize=font_size, color=_INK, parse_math=False)
    axes.set_yticks(ticks, rows, fontsize=font_size, color=_INK, parse_math=False)
    title_size = max(11.0, 0.9 * side)
    axes.set_xlabel(word("predicted_label", language), fontsize=title_size, color=_INK)
    axes.set_ylabel(word("true_label", language), fontsize=title_size, color=_INK)
    for row, column in np.argwhere(counts):
        ink = "white" if shares[row, column] > 0.5 else "black"
        text = str(counts[row, column])
        axes.text(column, row, text, ha="center", va="center", fontsize=font_size, color=ink)
    axes.set_xticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=_GRID, linewidth=0.6)
    axes.tick_params(which="both", length=0)
    bar = figure.colorbar(picture, ax=axes, shrink=0.6, format=PercentFormatter(1.0))
    bar.set_label(word("share_of_row", language), fontsize=title_size - 1, color=_INK)
    bar.ax.tick_params(labelsize=title_size - 2, colors=_INK)
    bar.outline.set_visible(False)
    return png_of(figure)


def precision_recall(
    targets: Float[np.ndarray, "clips classes"],
    scores: Float[np.ndarray, "clips classes"],
    labels: Sequence[str],
    *,
    language: Language = "en",
) -> bytes:
    """Precision over recall of each class that is present, and their mean; up to six classes are named.

    A clip counts for the classes of which it is known whether it has them; elsewhere its target is NaN.
    """
    present = np.flatnonzero((targets > 0).any(axis=0)).tolist()
    known = [np.isfinite(targets[:, column]) for column in present]
    classes = [
        (targets[rows, column], scores[rows, column]) for rows, column in zip(known, present, strict=True)
    ]
    areas = [average_precision_score(*of_class) for of_class in classes]
    is_named = len(present) < len(COLOURS)
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.add_subplot()
    style(axes, word("recall", language), word("precision", language))
    for number, column in enumerate(present):
        precision, recall, _ = precision_recall_curve(*classes[number])
        label = f"{_short(labels[column]).lstrip('_')} ({areas[number]:.2f})" if is_named else None
        colour = COLOURS[number] if is_named else _FAINT
        axes.step(recall, precision, where="post", color=colour, linewidth=1.2, alpha=0.8, label=label)
    if not is_named:
        axes.plot([], [], color=_FAINT, label=word("one_class", language))
    if present:
        label = f"{word('mean_of_classes', language)} ({np.mean(areas):.2f})"
        grid = np.linspace(0, 1, 201)
        axes.plot(grid, _mean_precision(classes, grid), color="black", linewidth=2.6, label=label)
        legend = axes.legend(fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
        for text in legend.get_texts():
            text.set_parse_math(False)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.03)
    return png_of(figure)


def _mean_precision(
    classes: Sequence[tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]],  # targets, scores
    grid: Float[np.ndarray, " recalls"],
) -> Float[np.ndarray, " recalls"]:
    """Mean over the classes of the best precision at each recall or a higher one (interpolated precision)."""
    total = np.zeros_like(grid)
    for targets, scores in classes:
        precision, recall, _ = precision_recall_curve(targets, scores)
        best = np.maximum.accumulate(precision)  # recall falls along the arrays
        total += best[len(recall) - 1 - np.searchsorted(recall[::-1], grid)]
    return total / len(classes)


def per_class_bars(
    labels: Sequence[str],
    values: Float[np.ndarray, " classes"],
    *,
    name: str,
    num_clips: Int[np.ndarray, " classes"] | None = None,
    language: Language = "en",
) -> bytes:
    """One bar a class from best to worst; `name` (e.g. "recall") is the axis, `num_clips` follows the label.

    Values lie between 0 and 1; a NaN (a class that cannot be scored) is shown as a dash, last.
    """
    order = np.argsort(np.where(np.isnan(values), -1.0, values), kind="stable")  # barh counts from below
    figure = Figure(figsize=(7.2, float(np.clip(0.9 + 0.29 * len(labels), 2, 40))), layout="constrained")
    axes = figure.add_subplot()
    style(axes, word(name, language), "")
    axes.barh(range(len(labels)), np.nan_to_num(values[order]), color=COLOURS[0], height=0.72)
    for position, value in enumerate(values[order]):
        text = "–" if np.isnan(value) else f"{value:.2f}"
        axes.text(np.nan_to_num(value) + 0.01, position, text, va="center", fontsize=9, color=_INK)
    ticks = [
        _short(labels[i]) + (f" ({num_clips[i]})" if num_clips is not None else "") for i in order.tolist()
    ]
    axes.set_yticks(range(len(labels)), ticks, fontsize=9.5, color=_INK, parse_math=False)
    if num_clips is not None:
        axes.set_ylabel(word("label_clips", language), fontsize=11, color=_INK)
    axes.set_xlim(0, 1.1)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.xaxis.set_major_locator(FixedLocator(np.linspace(0, 1, 6).tolist()))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(visible=False, axis="y")
    return png_of(figure)


def _short(label: str) -> str:
    return label if len(label) <= _MAX_LABEL_LENGTH else label[: _MAX_LABEL_LENGTH - 1] + "…"
