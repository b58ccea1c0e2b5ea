"""Similar: the windows whose vectors point most nearly where another's does."""

import numpy as np

from bioacoustics.explorer.collection import Collection

BLOCK = 50_000  # windows at a time: bounds memory


def most_similar(collection: Collection, position: int, num: int) -> list[tuple[int, float]]:
    """Positions and cosines of the `num` windows most like one, itself left out, ties by their order."""
    wanted = collection.rows(np.array([position]))[0]
    length = float(np.linalg.norm(wanted))
    if not np.isfinite(length) or length == 0:
        return []
    cosines = np.empty(len(collection.windows), np.float32)
    for first in range(0, len(cosines), BLOCK):
        block = collection.rows(np.arange(first, min(first + BLOCK, len(cosines))))
        lengths = np.linalg.norm(block, axis=1)
        cosines[first : first + BLOCK] = block @ wanted / np.where(lengths > 0, lengths, 1) / length
    cosines = np.where(np.isfinite(cosines), cosines, -np.inf)
    cosines[position] = -np.inf
    best = np.argpartition(-cosines, min(num, len(cosines) - 1))[:num]
    best = best[np.lexsort((best, -cosines[best]))]
    return [(int(at), float(cosines[at])) for at in best if np.isfinite(cosines[at])]
