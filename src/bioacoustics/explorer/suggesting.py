"""Suggesting: which windows to listen to next."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from bioacoustics.explorer.teaching import Taught, Vectors, layer_normed

MAX_CANDIDATES = 20_000  # windows that are looked at, drawn by the seed

Kind = Literal["uncertain", "likely", "diverse"]


def suggestions(
    taught: Taught | None,
    vectors: Vectors,
    is_labelled: Bool[np.ndarray, " windows"],
    recordings: Sequence[str],
    kind: Kind,
    *,
    label: str | None = None,
    num: int = 20,
    seed: int = 0,
) -> Int[np.ndarray, " suggested"]:
    """Windows without labels that teach most, the best first.

    - uncertain: the probability lies nearest to the threshold: an answer moves the border.
    - likely: the most probable finds: yes confirms, no corrects a mistake that is sure of itself.
    - diverse: each as far as possible from all that is labelled and from each other: what nobody has named.

    Of `uncertain` and `likely` no recording gives more than its share while others have any: ten windows of
    one bout teach as much as one.

    Args:
        taught: The classifier; only "diverse" does without.
        vectors: All windows.
        is_labelled: Which are not asked about.
        recordings: The recording of each window.
        kind: By which rule.
        label: Which label it is about; None: whichever is nearest to its threshold, or most probable.
        num: How many.
        seed: Of the draw where there are more than `MAX_CANDIDATES` windows.
    """
    free = np.flatnonzero(~is_labelled & np.isfinite(np.asarray(vectors[:, :1], np.float32))[:, 0])
    if len(free) > MAX_CANDIDATES:
        free = np.sort(np.random.default_rng(seed).choice(free, MAX_CANDIDATES, replace=False))
    if kind == "diverse":
        known = layer_normed(vectors[is_labelled])
        return np.asarray(free[_farthest(layer_normed(vectors[free]), known, num)])
    if taught is None:
        raise ValueError(f"what is {kind} is known once a classifier is taught: label some windows first")
    logits = taught.logits(vectors[free])
    limits = np.clip([threshold.value for threshold in taught.thresholds], 1e-6, 1 - 1e-6)
    worth = -np.abs(logits - np.log(limits / (1 - limits))) if kind == "uncertain" else logits
    columns = range(len(taught.labels)) if label is None else [taught.labels.index(label)]
    best = worth[:, list(columns)].max(axis=1)
    order = free[np.argsort(-best, kind="stable")]
    return _shared(order, np.asarray(recordings, dtype=str), num)


def _shared(
    order: Int[np.ndarray, " candidates"], recordings: np.ndarray, num: int
) -> Int[np.ndarray, " suggested"]:
    """The first of an order, none of a recording's second ones before every first one among twice as many."""
    near = order[: 4 * num]
    names = recordings[near]
    seen: dict[str, int] = {}
    turns = np.empty(len(near), int)
    for i, name in enumerate(names):
        turns[i] = seen.get(str(name), 0)
        seen[str(name)] = turns[i] + 1
    return near[np.lexsort((np.arange(len(near)), turns))][:num]


def _farthest(
    rows: Float[np.ndarray, "candidates width"],
    known: Float[np.ndarray, "known width"],
    num: int,
) -> Int[np.ndarray, " suggested"]:
    """Farthest-first traversal (Gonzalez 1985)."""
    distances = np.full(len(rows), np.inf)
    for row in known:
        distances = np.minimum(distances, np.square(rows - row).sum(axis=1))
    chosen: list[int] = []
    for _ in range(min(num, len(rows))):
        if np.isinf(distances).all():  # nothing is labelled: begin in the middle of everything
            best = int(np.square(rows - rows.mean(axis=0)).sum(axis=1).argmin())
        else:
            best = int(distances.argmax())
        chosen.append(best)
        distances = np.minimum(distances, np.square(rows - rows[best]).sum(axis=1))
        distances[chosen] = -1
    return np.array(chosen, int)
