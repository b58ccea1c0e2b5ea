"""Filters take what fits, as a loop over the rows would."""

import numpy as np
import pandas as pd

from bioacoustics.explorer.filtering import Wanted, fitting

WINDOWS = pd.DataFrame(
    {
        "file": ["North/a.wav", "north/b.wav", "south/c.wav", "south/d.wav"],
        "site": ["north", "north", "south", "south"],
        "labels": ["frog,owl", "", "owl", "frogmouth"],
        "predicted": ["", "Frog", "", ""],
        "hour": [23.5, 3.0, 12.0, np.nan],
        "date": ["2026-03-01", "2026-03-02", "2026-03-02", ""],
        "probability": [np.nan, 0.9, 0.2, np.nan],
    }
)


def found(**wanted: object) -> list[int]:
    clusters, novelty = np.array([0, 1, 1, -1]), np.array([0.1, 0.9, np.nan, 0.5])
    return np.flatnonzero(fitting(WINDOWS, Wanted(**wanted), clusters, novelty)).tolist()  # type: ignore[arg-type]


def test_each_filter_takes_what_fits() -> None:
    assert found() == [0, 1, 2, 3]
    assert Wanted().is_everything
    assert found(text="NORTH") == [0, 1]
    assert found(text="frog") == [0, 1, 3]
    assert found(labels=("frog",)) == [0]  # not frogmouth
    assert found(labels=("frog", "owl")) == [0, 2]
    assert found(sites=("south",)) == [2, 3]
    assert found(clusters=(1,)) == [1, 2]
    assert found(hours=(22.0, 4.0)) == [0, 1]
    assert found(hours=(4.0, 22.0)) == [2]
    assert found(dates=("2026-03-02",)) == [1, 2]
    assert found(min_score=0.5) == [1]
    assert found(min_novelty=0.4) == [1, 3]
    assert found(text="(") == []  # no pattern, but letters
    assert found(text="owl", sites=("south",)) == [2]
