"""Principal components: the directions in which vectors differ most, from blocks of any number of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

ROWS_PER_BLOCK = 8192
SMALLEST_SHARE = 1e-9  # of the variance; a direction below it says nothing

Scaling = Literal["unit", "none"]
Vectors = Float[np.ndarray, "windows width"]


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """A linear map from vectors to their components, the one with the most variance first.

    Attributes:
        mean: What is subtracted.
        directions: Orthonormal rows; the largest entry of each is positive, so that maps do not flip.
        explained: The share of the variance along each, between 0 and 1.
        scaling: "unit" if vectors are brought to length one first, so that nearness is that of the cosine.
    """

    mean: Float[np.ndarray, " width"]
    directions: Float[np.ndarray, "components width"]
    explained: Float[np.ndarray, " components"]
    scaling: Scaling

    def apply(self, vectors: Vectors) -> Float[np.ndarray, "windows components"]:
        """The components of vectors, NaN for those that are not finite."""
        components = np.empty((len(vectors), len(self.directions)), np.float32)
        first = 0
        for block in blocks_of(vectors, self.scaling):
            components[first : first + len(block)] = (block - self.mean) @ self.directions.T
            first += len(block)
        return components


def fit_components(
    vectors: Vectors, num_components: int = 50, *, scaling: Scaling = "unit"
) -> PrincipalComponents:
    """The exact components, by the covariance of all finite rows, in as many directions as they span.

    Raises:
        ValueError: There is no vector with finite numbers only.
    """
    mean, covariance, num_rows = _moments(vectors, scaling)
    values, columns = np.linalg.eigh(covariance)
    values = np.clip(values[::-1], 0, None)
    total = values.sum()
    shares = values / total if total > 0 else values
    num_spanned = max(1, int((shares > SMALLEST_SHARE).sum()))
    kept = min(num_components, max(1, num_rows - 1), num_spanned)
    directions = columns.T[::-1][:kept]
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.where(directions[np.arange(kept), largest] < 0, -1, 1)[:, None]
    return PrincipalComponents(
        mean=mean.astype(np.float32),
        directions=np.ascontiguousarray(directions, dtype=np.float32),
        explained=shares[:kept].astype(np.float64),
        scaling=scaling,
    )


def is_finite(vectors: Vectors) -> Bool[np.ndarray, " windows"]:
    """Which vectors have finite numbers only."""
    found = [np.isfinite(block).all(axis=1) for block in blocks_of(vectors, "none")]
    return np.concatenate(found) if found else np.zeros(0, bool)


def blocks_of(vectors: Vectors, scaling: Scaling) -> Iterator[Float[np.ndarray, "rows width"]]:
    """The vectors in float32 and scaled, block by block, so that a memory map never becomes an array."""
    for first in range(0, len(vectors), ROWS_PER_BLOCK):
        block: Float[np.ndarray, "rows width"] = np.asarray(
            vectors[first : first + ROWS_PER_BLOCK], np.float32
        )
        if scaling == "unit":
            with np.errstate(invalid="ignore"):  # what is not finite becomes NaN
                lengths = np.linalg.norm(block, axis=1, keepdims=True)
                block = block / np.where(lengths > 0, lengths, 1)
        yield block


def _moments(
    vectors: Vectors, scaling: Scaling
) -> tuple[Float[np.ndarray, " width"], Float[np.ndarray, "width width"], int]:
    """Mean, covariance and number of the finite rows; the covariance around the mean, for its digits."""
    width = vectors.shape[1]
    total, num_rows = np.zeros(width), 0
    for block in blocks_of(vectors, scaling):
        finite = block[np.isfinite(block).all(axis=1)]
        total += finite.sum(axis=0, dtype=np.float64)
        num_rows += len(finite)
    if not num_rows:
        raise ValueError("none of the windows has a vector of finite numbers: embed the recordings again")
    mean = total / num_rows
    covariance = np.zeros((width, width))
    for block in blocks_of(vectors, scaling):
        centred = block[np.isfinite(block).all(axis=1)] - mean.astype(np.float32)
        covariance += centred.T @ centred
    return mean, covariance / num_rows, num_rows
