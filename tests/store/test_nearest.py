"""Search is exact: the same windows, scores and order as a loop over all vectors."""

import numpy as np
import pytest

from bioacoustics.store.database import Store
from bioacoustics.store.nearest import direction_of, nearest, vectors_of


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("num_unlike", [0, 2])
@pytest.mark.parametrize("condition", ["", "recording = 'r1' AND start_s >= 300"])
def test_scores_and_order_are_those_of_a_slow_loop(store: Store, num_unlike: int, condition: str) -> None:
    rng = np.random.default_rng(5)
    like = rng.normal(size=(3, 16)) * [[1], [10], [0.1]]  # loudness must not count
    unlike = rng.normal(size=(num_unlike, 16))
    rows = store.rows("windows", ["id", "vector"], condition)
    expected = {}
    for name, vector in zip(rows["id"].to_pylist(), vectors_of(rows), strict=True):
        score = np.mean([cosine(vector, one) for one in like])
        if num_unlike:
            score -= 0.7 * np.mean([cosine(vector, one) for one in unlike])
        expected[name] = score
    hits = nearest(store, direction_of(like, unlike, 0.7), 25, condition=condition)
    best = sorted(expected, key=lambda name: -expected[name])[:25]
    assert hits.rows["id"].to_pylist() == best
    np.testing.assert_allclose(hits.scores, [expected[name] for name in best], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(hits.vectors, axis=1), 1, rtol=1e-5)


def test_fewer_windows_than_wanted_and_none_at_all(store: Store) -> None:
    direction = np.ones(16, np.float32)
    assert len(nearest(store, direction, 50, condition="start_s < 25").scores) == 10
    assert len(nearest(store, direction, 50, condition="site = 'nowhere'").scores) == 0


def test_equal_windows_come_in_order_of_their_ids(store: Store) -> None:
    rows = store.rows("windows", store.table("windows").schema.names, "recording = 'r0'")
    one = rows.slice(0, 1)["vector"].combine_chunks()
    same = one.take([0] * rows.num_rows)
    store.upsert("windows", rows.set_column(rows.schema.get_field_index("vector"), "vector", same))
    hits = nearest(store, vectors_of(rows.slice(0, 1))[0], 200)
    assert hits.rows["id"].to_pylist()[:3] == ["r0-mix-000000", "r0-mix-000001", "r0-mix-000002"]
