"""Places come from the table of deployments and the headers; what is gone has none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bioacoustics.explorer.places import places_of


def test_headers_and_deployments_say_where(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    files = ["norte/ARU1_20260301_220000.wav", "sur/ARU2_20260301_220000.wav", "sur/gone.wav"]
    for name in files[:2]:
        write_wav(tmp_path / name)
    table = tmp_path / "deployments.csv"
    table.write_text("folder,site,latitude,longitude,zone\nnorte,N,4.5,-74.1,-05:00\n", encoding="utf-8")
    windows = pd.DataFrame(
        {
            "recording": ["a", "a", "b", "c"],
            "file": [files[0], files[0], files[1], files[2]],
            "path": [str(tmp_path / name) for name in (files[0], files[0], files[1], files[2])],
        }
    )
    places = places_of(windows, table)
    assert places.index.tolist() == ["a", "b", "c"]
    assert places.loc["a", ["latitude", "longitude", "utc_offset_h"]].tolist() == [4.5, -74.1, -5.0]
    assert np.isnan(places.loc["b", "latitude"])
    assert places.loc["c", "recorder"] == ""
    assert places_of(windows)["latitude"].isna().all()
    with pytest.raises(FileNotFoundError):
        places_of(windows, tmp_path / "nowhere.csv")
