"""Scores are the same whichever way they were kept, and what holds none is refused with the remedy."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from bioacoustics.formats.tables import TableWriter
from bioacoustics.inference.patch_scores import PatchGrid, joined
from bioacoustics.models.saved import read_bundle
from bioacoustics.workflows.predict import PredictConfig, predict
from bioacoustics.workflows.score_reading import ScoreSource, open_scores
from bioacoustics.workflows.window_scores import FACTS_KEY, ScoreFacts


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


def test_a_long_table_is_never_held_whole(tmp_path: Path) -> None:
    """Sixty groups of half a mebibyte of patches are read in turn; the pool holds a few of them."""
    grid = PatchGrid(num_kept=8, column_s=0.16, edges_hz=tuple(np.linspace(0, 8000, 9).tolist()))
    facts = ScoreFacts(labels=tuple("abcdefgh"), multi_label=True, grid=grid)
    columns = [("file", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())]
    columns += [("scores", pa.list_(pa.float32())), ("kept", pa.list_(pa.int32()))]
    schema = pa.schema([*columns, ("patches", pa.list_(pa.float16()))])
    path = tmp_path / "p.csv.windows.parquet"
    rng = np.random.default_rng(0)
    with TableWriter(path, schema.with_metadata({FACTS_KEY: facts.model_dump_json().encode()})) as table:
        for start_s in range(0, 60 * 128, 128):
            starts_s = np.arange(start_s, start_s + 128.0)
            scores = rng.random((128, 8), dtype=np.float32)
            patches = list(rng.random((128, 8 * 32 * 8)).astype(np.float16))
            rows = {"scores": list(scores), "kept": [np.arange(8, dtype=np.int32)] * 128, "patches": patches}
            places = {"file": ["a.wav"] * 128, "start_s": starts_s, "end_s": starts_s + 1}
            table.write({**places, **rows})
    before, most, num_windows = pa.total_allocated_bytes(), 0, 0
    for piece in open_scores(str(path)).pieces():
        num_windows += len(piece.windows)
        most = max(most, pa.total_allocated_bytes() - before)
    assert num_windows == 60 * 128
    assert most < path.stat().st_size / 4
