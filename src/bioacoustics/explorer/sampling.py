"""Sampling: fewer windows by a rule that can be told, and never without saying how many are left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bioacoustics.explorer.sentences import Sentence


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """Some of many windows.

    Attributes:
        positions: Which, ascending.
        num_windows: How many there were.
        rule: How they were chosen and how many were not.
    """

    positions: Int[np.ndarray, " taken"]
    num_windows: int
    rule: Sentence

    @property
    def num_left_out(self) -> int:
        """How many were not chosen."""
        return self.num_windows - len(self.positions)


@dataclass(frozen=True, eq=False, kw_only=True)
class Thinned:
    """The points that are drawn of a map that has too many.

    Attributes:
        positions: Which, ascending.
        stands_for: How many points of its cell each drawn point stands for.
        num_not_drawn: How many points are not drawn.
        max_per_cell: A cell of the map with more points than this was thinned to so many; 0: none was.
        rule: The same in words.
    """

    positions: Int[np.ndarray, " drawn"]
    stands_for: Float[np.ndarray, " drawn"]
    num_not_drawn: int
    max_per_cell: int
    rule: Sentence


def fair_sample(
    recordings: Sequence[str],
    starts_s: Float[np.ndarray, " windows"],
    max_samples: int | None,
    *,
    seed: int = 0,
    sites: Sequence[str] | None = None,
    moments: Sequence[str] | None = None,
) -> Sample:
    """Draw windows so that every recording has the same say, and every part of it.

    Each recording gives the same number, those with fewer windows all of them. Within a recording they are
    evenly spaced in time, from an offset that the seed draws. Where there are more recordings than samples,
    recordings are chosen evenly along sites and, within each, along time, and each gives one window.

    Raises:
        ValueError: `max_samples` is not positive.
    """
    if max_samples is not None and max_samples < 1:
        raise ValueError(f"max_samples must be 1 or more, got {max_samples}")
    num_windows = len(starts_s)
    if max_samples is None or max_samples >= num_windows:
        text = Sentence(
            f"All {num_windows} windows of the store.", f"Todas las {num_windows} ventanas del almacén."
        )
        return Sample(positions=np.arange(num_windows), num_windows=num_windows, rule=text)
    names, numbers = np.unique(np.asarray(recordings, dtype=str), return_inverse=True)
    rng = np.random.default_rng(seed)
    order = np.lexsort((starts_s, numbers))
    counts = np.bincount(numbers, minlength=len(names))
    firsts = np.cumsum(counts) - counts
    if max_samples < len(names):
        quotas = np.zeros(len(names), int)
        quotas[_spread(numbers, order[firsts], max_samples, rng, sites, moments)] = 1
    else:
        quotas = even_quotas(counts, max_samples, rng)
    taken = [
        order[first + evenly(count, quota, rng)]
        for first, count, quota in zip(firsts.tolist(), counts.tolist(), quotas.tolist(), strict=True)
        if quota
    ]
    num_chosen = int((quotas > 0).sum())
    rule = Sentence(
        f"{max_samples} of {num_windows} windows: from {num_chosen} of {len(names)} recordings, the same "
        f"number from each as far as it has them, evenly spaced in time (seed {seed}). "
        f"Left out: {num_windows - max_samples}.",
        f"{max_samples} de {num_windows} ventanas: de {num_chosen} de {len(names)} grabaciones, el mismo "
        f"número de cada una mientras las tenga, repartidas por igual en el tiempo (semilla {seed}). "
        f"Quedan fuera: {num_windows - max_samples}.",
    )
    return Sample(positions=np.sort(np.concatenate(taken)), num_windows=num_windows, rule=rule)


def even_quotas(
    counts: Int[np.ndarray, " recordings"], total: int, rng: np.random.Generator
) -> Int[np.ndarray, " recordings"]:
    """How many each gives: all the same, but none more than it has; the seed says who gives one more."""
    quotas = np.zeros(len(counts), int)
    left = min(total, int(counts.sum()))
    while left:
        open_ones = np.flatnonzero(quotas < counts)
        share = left // len(open_ones)
        if share == 0:
            quotas[rng.permutation(open_ones)[:left]] += 1
            break
        given = np.minimum(share, counts[open_ones] - quotas[open_ones])
        quotas[open_ones] += given
        left -= int(given.sum())
    return quotas


def evenly(count: int, quota: int, rng: np.random.Generator) -> Int[np.ndarray, " quota"]:
    """`quota` of the numbers 0 to count - 1 at equal distances, from a random offset."""
    step = count / quota
    places = (rng.uniform() * step + step * np.arange(quota)).astype(int)
    return np.asarray(np.minimum(places, count - 1))


def thinned(
    coordinates: Float[np.ndarray, "windows dimensions"],
    max_points: int,
    *,
    seed: int = 0,
    always: Int[np.ndarray, " kept"] | None = None,
    num_cells: int = 100,
) -> Thinned:
    """Draw a map with at most `max_points` points: crowded places lose points, sparse ones lose none.

    The map is divided into `num_cells` cells along each axis. A cell with more points than the largest number
    that lets all fit is thinned to that number by the seed; every other cell is drawn whole. Points of
    `always` (a selection) are drawn in any case, and windows without a place never are.
    """
    finite = np.flatnonzero(np.isfinite(coordinates).all(axis=1))
    cells = _cells(coordinates[finite], num_cells)
    numbers, counts = np.unique(cells, return_inverse=True, return_counts=True)[1:]
    limit = _largest_limit(counts, max_points)
    order = np.random.default_rng(seed).permutation(len(finite))
    order = order[np.argsort(numbers[order], kind="stable")]
    firsts = np.cumsum(counts) - counts
    rank = np.empty(len(finite), int)
    rank[order] = np.arange(len(finite)) - firsts[numbers[order]]
    is_drawn = rank < limit
    if always is not None:
        is_drawn |= np.isin(finite, always)
    drawn_counts = np.bincount(numbers[is_drawn], minlength=len(counts))
    positions = finite[is_drawn]
    stands_for = counts[numbers[is_drawn]] / np.maximum(drawn_counts[numbers[is_drawn]], 1)
    num_not_drawn = len(finite) - len(positions)
    is_thinned = num_not_drawn > 0
    rule = Sentence(
        f"{len(positions)} of {len(finite)} points are drawn: where the map is crowded, {limit} of each of "
        f"its {num_cells}^{coordinates.shape[1]} cells, drawn at random; elsewhere all. "
        f"Not drawn: {num_not_drawn}.",
        f"Se dibujan {len(positions)} de {len(finite)} puntos: donde el mapa está lleno, {limit} de cada "
        f"una de sus {num_cells}^{coordinates.shape[1]} celdas, al azar; en lo demás, todos. "
        f"Sin dibujar: {num_not_drawn}.",
    )
    if not is_thinned:
        rule = Sentence(f"All {len(finite)} points are drawn.", f"Se dibujan los {len(finite)} puntos.")
    return Thinned(
        positions=positions,
        stands_for=stands_for,
        num_not_drawn=num_not_drawn,
        max_per_cell=limit if is_thinned else 0,
        rule=rule,
    )


def _spread(
    numbers: Int[np.ndarray, " windows"],
    one_of_each: Int[np.ndarray, " recordings"],
    max_samples: int,
    rng: np.random.Generator,
    sites: Sequence[str] | None,
    moments: Sequence[str] | None,
) -> Int[np.ndarray, " chosen"]:
    """Recordings at equal distances along sites and, within each site, along time."""
    keys = [numbers[one_of_each]]
    told = (texts for texts in (moments, sites) if texts is not None)
    keys += [np.asarray(texts, dtype=object)[one_of_each].astype(str) for texts in told]
    along = np.lexsort(keys)
    return np.asarray(along[evenly(len(along), max_samples, rng)])


def _cells(coordinates: Float[np.ndarray, "points dimensions"], num_cells: int) -> Int[np.ndarray, " points"]:
    if not len(coordinates):
        return np.zeros(0, int)
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    size = np.where(high > low, high - low, 1).astype(np.float64)
    places = np.minimum(((coordinates - low) / size * num_cells).astype(int), num_cells - 1)
    return np.asarray(places @ num_cells ** np.arange(places.shape[1]))


def _largest_limit(counts: Int[np.ndarray, " cells"], max_points: int) -> int:
    """The most points, at least 1, that cells may keep to have no more than `max_points` together."""
    low, high = 1, int(counts.max(initial=1))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(counts, middle).sum() <= max_points else (low, middle - 1)
    return low
