"""Scores are the same whichever way they were kept, and what holds none is refused with the remedy."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bioacoustics.inference.patch_scores import joined
from bioacoustics.models.saved import read_bundle
from bioacoustics.workflows.predict import PredictConfig, predict
from bioacoustics.workflows.score_reading import ScoreSource, open_scores


def predicted(model: Path, data_dir: Path, output: Path, **flags: object) -> str:
    config = {"model_path": model, "data_dir": data_dir, "output": output, "device": "cpu", "window_s": 0.2}
    predict(PredictConfig.model_validate({**config, **flags}), Console(quiet=True))
    return str(output)


def by_recording(source: ScoreSource) -> dict[str, list[tuple[float, ...]]]:
    found: dict[str, list[tuple[float, ...]]] = {}
    for piece in source.pieces():
        windows = joined([piece.windows])
        rows = np.column_stack([windows.starts_s, windows.ends_s, windows.scores]).round(5)
        found.setdefault(piece.file, []).extend(map(tuple, rows.tolist()))
    return found


def test_four_ways_of_keeping_scores(tmp_path: Path, multi_label_model: Path, clips: Path) -> None:
    ways = {
        "table": predicted(multi_label_model, clips, tmp_path / "a.csv", per="window"),
        "parquet": predicted(multi_label_model, clips, tmp_path / "b.parquet", per="window"),
        "beside": predicted(multi_label_model, clips, tmp_path / "c.csv", events="csv"),
        "store": predicted(multi_label_model, clips, tmp_path / "d.lance"),
    }
    sources = {name: open_scores(location) for name, location in ways.items()}
    expected = by_recording(sources["table"])
    assert sum(map(len, expected.values())) > 20
    for name, source in sources.items():
        assert source.facts.labels == ("coquí", "file", "p(rain)")
        assert by_recording(source) == expected, name
        (piece, *_) = source.pieces()
        assert piece.model == read_bundle(multi_label_model).header.fingerprint[:16]


def test_what_holds_no_scores_of_windows_is_refused(
    tmp_path: Path, multi_label_model: Path, single_label_model: Path, clips: Path
) -> None:
    per_file = predicted(multi_label_model, clips, tmp_path / "a.csv")
    with pytest.raises(ValueError, match="--per window"):
        open_scores(per_file)
    with pytest.raises(FileNotFoundError, match="predict wrote"):
        open_scores(str(tmp_path / "nothing.csv"))
    store = predicted(multi_label_model, clips, tmp_path / "d.lance")
    predicted(single_label_model, clips, tmp_path / "d.lance")
    with pytest.raises(ValueError, match="--model_path"):
        open_scores(store)
    one = open_scores(store, model=read_bundle(single_label_model).header.fingerprint)
    scores = np.concatenate([piece.windows.scores for piece in one.pieces()])
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-4)
