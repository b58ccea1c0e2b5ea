"""Nearest: the windows of a store that sound most like some examples and least like others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from bioacoustics.store.database import Store

COLUMNS = (
    "id",
    "recording",
    "file",
    "site",
    "channel",
    "start_s",
    "end_s",
    "start_time",
    "findings",
    "vector",
)
INDEX_PROBES = 20  # of the index's partitions; `index` measures the recall with these
INDEX_REFINES = 10  # the candidates that an index gives are many times the wanted number, ranked exactly


@dataclass(frozen=True, slots=True)
class Hits:
    """Rows of the table of windows, the best first."""

    rows: pa.Table
    scores: Float[np.ndarray, " hits"]
    vectors: Float[np.ndarray, "hits dim"]  # of length one


def direction_of(
    like: Float[np.ndarray, "examples dim"],
    unlike: Float[np.ndarray, "counterexamples dim"],
    unlike_weight: float = 0.5,
) -> Float[np.ndarray, " dim"]:
    """The vector whose product with a window's is the score of that window.

    The score is the mean cosine to the examples minus `unlike_weight` times the mean cosine to the
    counterexamples. Both means are linear in the window's unit vector, so one vector holds all examples and
    a single pass over the store ranks by them, exactly.
    """
    direction: Float[np.ndarray, " dim"] = unit(like).mean(axis=0)
    if len(unlike):
        direction = direction - unlike_weight * unit(unlike).mean(axis=0)
    return direction


def nearest(
    store: Store, direction: Float[np.ndarray, " dim"], top: int, *, condition: str = "", exact: bool = True
) -> Hits:
    """The `top` windows with the highest scores among those that fit `condition`, ties by their id.

    Exact search looks at every window that fits. With `exact` false the index that `build_index` made is
    asked, which is faster and may miss some.
    """
    query = store.table("windows").search(direction.astype(np.float32), vector_column_name="vector")
    query = query.distance_type("cosine").select([*COLUMNS, "_distance"]).limit(top)
    if condition:
        query = query.where(condition, prefilter=True)
    query = query.bypass_vector_index() if exact else query.nprobes(INDEX_PROBES).refine_factor(INDEX_REFINES)
    rows = query.to_arrow()
    vectors = unit(vectors_of(rows))
    scores = vectors @ direction.astype(np.float32)
    order = np.lexsort((np.array(rows["id"].to_pylist(), dtype=str), -scores))
    rows = rows.take(pa.array(order, pa.int64())).drop_columns(["vector", "_distance"])
    return Hits(rows, scores[order], vectors[order])


def unit(vectors: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    """Vectors of length one; zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Float[np.ndarray, "rows dim"] = vectors / np.where(lengths > 0, lengths, 1)
    return scaled


def vectors_of(rows: pa.Table | pa.RecordBatch, column: str = "vector") -> Float[np.ndarray, "rows dim"]:
    """A column of vectors as float32."""
    dim = rows.schema.field(column).type.list_size
    values = rows[column].combine_chunks() if isinstance(rows, pa.Table) else rows[column]
    chunks: Sequence[pa.Array] = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in chunks]
    flat = np.concatenate(parts) if parts else np.empty(0, np.float16)
    return flat.reshape(-1, dim).astype(np.float32)
