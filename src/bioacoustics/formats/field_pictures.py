"""Field pictures: when sites recorded, and what a day sounds like there."""

from collections.abc import Sequence
from datetime import date

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from bioacoustics.formats.axes import INK, png_of
from bioacoustics.formats.words import Language, word

_MAX_LABEL_LENGTH = 28
_MAX_DAY_TICKS = 14
_MAX_COLUMNS = 150  # of a calendar
_BAR_INCHES = 3.0
_MAX_RANGE_DB = 70.0  # what codecs cut off would otherwise take half of the colours


def calendar(
    days: Sequence[date],
    sites: Sequence[str],
    recorded_h: Float[np.ndarray, "sites days"],
    *,
    language: Language = "en",
) -> bytes:
    """Hours recorded by each site (rows) on each day (columns); white is nothing at all.

    Of years, a column is several days: a single day would be too narrow to be seen.
    """
    num_folded = -(-len(days) // _MAX_COLUMNS)
    if num_folded > 1:
        recorded_h = np.add.reduceat(recorded_h, range(0, len(days), num_folded), axis=1)
        days = days[::num_folded]
    height = float(np.clip(1.4 + 0.3 * len(sites), 2.2, 16))
    figure = Figure(figsize=(9.4, height), layout="constrained")
    axes = figure.add_subplot()
    shown = np.where(recorded_h > 0, recorded_h, np.nan)
    top = float(np.nanmax(shown)) if np.isfinite(shown).any() else 1.0
    picture = axes.imshow(shown, aspect="auto", cmap="viridis_r", vmin=0, vmax=top, interpolation="nearest")
    axes.set_yticks(
        range(len(sites)), [_short(site) for site in sites], fontsize=9, color=INK, parse_math=False
    )
    step = -(-len(days) // _MAX_DAY_TICKS)
    ticks = range(0, len(days), step)
    axes.set_xticks(
        ticks, [days[i].isoformat() for i in ticks], rotation=40, ha="right", fontsize=9, color=INK
    )
    axes.set_yticks(np.arange(len(sites) + 1) - 0.5, minor=True)
    axes.grid(which="minor", axis="y", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    # Of many sites, too, a bar of a hand's length: a longer one would be as broad as some days.
    length = min(1.0, _BAR_INCHES / height)
    bar = figure.colorbar(
        picture, ax=axes, pad=0.01, fraction=0.04, shrink=length, aspect=12, anchor=(0.0, 1.0)
    )
    said = word("hours_recorded", language)
    said = word("hours_in_days", language).format(num_folded) if num_folded > 1 else said
    bar.set_label(said, fontsize=10, color=INK)
    bar.ax.tick_params(labelsize=9, colors=INK)
    bar.outline.set_visible(False)
    return png_of(figure)


def long_term_spectrograms(
    levels_db: Sequence[Float[np.ndarray, "24 bands"]],
    highest_hz: Sequence[float],
    titles: Sequence[str],
    *,
    language: Language = "en",
) -> bytes:
    """What each hour of the day sounds like at each site: hours, frequency in kHz, level in dB.

    Of a long title the middle is left out: its end tells how many recordings there are.

    An hour without recordings is NaN and stays white. All pictures share one scale of colours, so that a
    quiet site looks quiet.
    """
    num_columns = min(2, len(titles))
    num_rows = -(-len(titles) // num_columns)
    figure = Figure(figsize=(4.9 * num_columns + 0.8, 2.9 * num_rows + 0.2), layout="constrained")
    known = np.concatenate([level[np.isfinite(level)] for level in levels_db])
    floor, top = np.percentile(known, (1, 99.7)) if known.size else (-100.0, 0.0)
    floor = max(floor, top - _MAX_RANGE_DB)
    panels, picture = [], None
    for position, (level_db, high_hz, title) in enumerate(zip(levels_db, highest_hz, titles, strict=True)):
        axes = figure.add_subplot(num_rows, num_columns, position + 1)
        panels.append(axes)
        extent = (0.0, 24.0, 0.0, high_hz / 1000)
        picture = axes.imshow(
            level_db.T, origin="lower", aspect="auto", cmap="magma", extent=extent, vmin=floor, vmax=top,
            interpolation="nearest",
        )  # fmt: skip
        axes.set_title(_without_middle(title), fontsize=10, color=INK, loc="left", parse_math=False)
        axes.set_xticks(range(0, 25, 4))
        axes.tick_params(labelsize=9, colors=INK)
        if position % num_columns == 0:
            axes.set_ylabel(word("frequency", language), fontsize=10, color=INK)
        if position + num_columns >= len(titles):
            axes.set_xlabel(word("hour_of_day", language), fontsize=10, color=INK)
    if picture is not None:
        bar = figure.colorbar(picture, ax=panels, shrink=0.9 if num_rows == 1 else 0.5, pad=0.01)
        bar.set_label(word("band_level", language), fontsize=10, color=INK)
        bar.ax.tick_params(labelsize=9, colors=INK)
        bar.outline.set_visible(False)
    return png_of(figure)


def _short(label: str) -> str:
    return label if len(label) <= _MAX_LABEL_LENGTH else label[: _MAX_LABEL_LENGTH - 1] + "…"


def _without_middle(title: str) -> str:
    if len(title) <= _MAX_LABEL_LENGTH:
        return title
    half = _MAX_LABEL_LENGTH // 2
    return f"{title[: half - 1]}…{title[-half:]}"
