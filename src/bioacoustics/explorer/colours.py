"""Colours: what the points of the map show, as a code for each point and a legend."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

# Twenty-four hues that differ on white, the most different first; then others.
HUES = (
    *("#1f77b4", "#e8743b", "#2a9d5c", "#c2334d", "#7b5fc7", "#8c6239", "#d95fa8", "#17a5b8", "#b8a21a"),
    *("#5b6bd6", "#94b83d", "#f0a23c", "#5f8f8f", "#a83279", "#3d6b35", "#e35d5d", "#7ec4e8", "#6b4c7a"),
    *("#c9a36b", "#2e5a88", "#4fc29a", "#a35a2a", "#d492d9", "#808c1f"),
)
GREY = "#b4bcc4"
NUM_SHADES = 255
NOTHING = 255  # the code of a point without a value


@dataclass(frozen=True, slots=True)
class Colouring:
    """A code for each window, the colour of each code and what it stands for."""

    codes: UInt8[np.ndarray, " windows"]
    palette: tuple[str, ...]  # 256 of them
    names: tuple[str, ...] = ()  # of the codes, where they are kinds; empty where they are shades
    sizes: tuple[int, ...] = ()  # windows of each kind
    limits: tuple[float, float] | None = None  # the values of the first and the last shade
    ticks: tuple[str, ...] = field(default=())


def by_kind(values: Sequence[Any] | pd.Series, others: str = "others", nothing: str = "–") -> Colouring:
    """Kinds by frequency: each of the commonest has its colour, the rest share one, as do those without."""
    series = pd.Series(np.asarray(values, dtype=object)).astype(str)
    counts = series[series != ""].value_counts()
    counts = counts.iloc[np.lexsort((counts.index.astype(str), -counts.to_numpy()))]
    named = [str(name) for name in counts.index[: len(HUES)]]
    code_of = {name: code for code, name in enumerate(named)}
    codes = series.map(code_of).fillna(len(named)).to_numpy(np.uint8)
    codes = np.where(series == "", NOTHING, codes).astype(np.uint8)
    num_others = int((codes == len(named)).sum())
    names, sizes = named, [int(counts[name]) for name in named]
    palette = [*HUES[: len(named)], *[GREY] * (256 - len(named))]
    if num_others:
        names, sizes = [*names, f"{others} ({len(counts) - len(named)})"], [*sizes, num_others]
    num_without = int((codes == NOTHING).sum())
    filled = [*names, *[""] * (NOTHING - len(names)), nothing] if num_without else names
    return Colouring(codes, tuple(palette), tuple(filled), tuple(sizes))


def by_number(
    values: Float[np.ndarray, " windows"],
    colour_map: str = "viridis",
    limits: tuple[float, float] | None = None,
) -> Colouring:
    """Shades between the lowest and the highest value; windows without a value are grey."""
    known = np.isfinite(values)
    low, high = limits or (
        (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 1.0)
    )
    shares = np.clip((np.where(known, values, low) - low) / ((high - low) or 1.0), 0, 1)
    codes = np.where(known, np.round(shares * (NUM_SHADES - 1)), NOTHING).astype(np.uint8)
    shades = matplotlib.colormaps[colour_map](np.linspace(0, 1, NUM_SHADES), bytes=True)
    palette = ["#{:02x}{:02x}{:02x}".format(*shade[:3]) for shade in shades]
    return Colouring(codes, (*palette, GREY), limits=(low, high))


def by_hour(hours: Float[np.ndarray, " windows"]) -> Colouring:
    """The round of the day: midnight is dark, noon light, and both ends meet."""
    return by_number(hours, "twilight_shifted", (0.0, 24.0))
