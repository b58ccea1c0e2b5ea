"""A bout is shown once, by its best window; finds that shall differ do."""

import numpy as np
import pyarrow as pa

from bioacoustics.store.bouts import diverse, grouped
from bioacoustics.store.nearest import Hits


def hits_of(places: list[tuple[str, str, float]], vectors: np.ndarray | None = None) -> Hits:
    """Hits from best to worst, each 2 s long: (recording, channel, start)."""
    rows = [
        {"recording": recording, "channel": channel, "start_s": start_s, "end_s": start_s + 2}
        for recording, channel, start_s in places
    ]
    scores = np.linspace(1, 0.5, len(places), dtype=np.float32)
    return Hits(pa.Table.from_pylist(rows), scores, np.eye(len(places)) if vectors is None else vectors)


def test_hits_near_a_better_one_belong_to_its_bout() -> None:
    hits = hits_of(
        [
            ("a", "0", 10),
            ("a", "0", 13),
            ("b", "0", 10),
            ("a", "0", 7),
            ("a", "1", 10),
            ("a", "0", 30),
            ("a", "0", 16),
        ]
    )
    bouts = grouped(hits, gap_s=1.0)
    assert [(bout.best, bout.members) for bout in bouts] == [
        (0, (0, 1, 3)), (2, (2,)), (4, (4,)), (5, (5,)), (6, (6,))
    ]  # fmt: skip
    assert (bouts[0].start_s, bouts[0].end_s) == (7, 15)
    assert [bout.best for bout in grouped(hits, gap_s=4.0)] == [0, 2, 4, 5]


def test_more_hits_never_change_the_bouts_above_them() -> None:
    rng = np.random.default_rng(0)
    places = [(rng.choice(["a", "b"]), "0", float(rng.integers(0, 300))) for _ in range(200)]
    few, many = ([bout.best for bout in grouped(hits_of(places[:n]), gap_s=2.0)] for n in (60, 200))
    assert many[: len(few)] == few


def test_finds_that_shall_differ() -> None:
    """Three copies of one sound score best; a different one that scores less comes second."""
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0, 1.0]], np.float32)
    hits = hits_of([("a", "0", 0), ("b", "0", 0), ("c", "0", 0), ("d", "0", 0)], vectors)
    bouts = grouped(hits, gap_s=1.0)
    assert [bout.best for bout in diverse(hits, bouts, 2)] == [0, 3]
    assert [bout.best for bout in diverse(hits, bouts, 9)] == [0, 3, 1, 2]
    assert diverse(hits, [], 3) == []
