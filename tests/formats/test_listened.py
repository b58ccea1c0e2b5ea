"""What was listened to is told, found beside events, and read as people write it."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bioacoustics.formats.annotations import find_annotations
from bioacoustics.formats.listened import columns_of, find_listened, read_listened, stretches_of


@pytest.mark.parametrize("seed", range(4))
def test_stretches_hold_the_same_seconds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    windows = [(float(start), float(start + rng.integers(1, 5))) for start in rng.integers(0, 60, 15)]
    stretches = stretches_of(windows)
    assert stretches == sorted(stretches)
    assert all(one[1] < other[0] for one, other in pairwise(stretches))
    for second in np.arange(70) + 0.5:
        heard = any(start <= second < end for start, end in windows)
        assert heard == any(start <= second < end for start, end in stretches)


def test_windows_with_rounded_ends_touch() -> None:
    third = 10 / 3
    assert stretches_of([(0.0, 3.333), (third, 2 * third), (2 * third, 10.0)]) == [(0, 10)]
    assert columns_of("ñ.wav", [(0.0, 1.0), (5.0, 6.0)]) == {
        "file": ["ñ.wav"] * 2,
        "start_s": [0, 5],
        "end_s": [1, 6],
    }


def test_a_table_of_names_means_whole_recordings(tmp_path: Path) -> None:
    path = tmp_path / "escuchado.csv"
    path.write_text("file,start_s,end_s\nñ/a.wav,,\nb.wav,5,9\nb.wav,1,2\n", encoding="utf-8")
    assert read_listened(path) == {"ñ/a.wav": [(0.0, float("inf"))], "b.wav": [(1.0, 2.0), (5.0, 9.0)]}
    path.write_text("file\na.wav\n")
    assert read_listened(path) == {"a.wav": [(0.0, float("inf"))]}


def test_what_cannot_be_is_named_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "listened.csv"
    path.write_text("file,start_s,end_s\na.wav,3,2\n")
    with pytest.raises(ValueError, match=r"row 2.*impossible stretch|impossible stretch.*2"):
        read_listened(path)
    path.write_text("recording,start_s\na.wav,3\n")
    with pytest.raises(ValueError, match="but file is needed"):
        read_listened(path)


def test_it_is_found_beside_events_and_is_no_table_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "p.csv.events"
    (folder / "raven").mkdir(parents=True)
    for name in ("events.csv", "listened.csv", "raven/all.selections.txt"):
        (folder / name).touch()
    for place in (folder, folder / "events.csv", folder / "raven", folder / "raven/all.selections.txt"):
        assert find_listened(place) == folder / "listened.csv"
    assert find_listened(tmp_path) is None
    assert {path.name for path in find_annotations(folder)} == {"events.csv", "all.selections.txt"}
    (folder / "raven/a.wav.selections.txt").touch()  # of which the other one is the sum
    assert {path.name for path in find_annotations(folder / "raven")} == {"a.wav.selections.txt"}
