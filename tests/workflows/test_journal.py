"""Results of different settings, models or recordings are never mixed, in tables as in stores."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console

from bioacoustics.models.saved import read_bundle
from bioacoustics.store.database import Store
from bioacoustics.workflows.embed import EmbedConfig, embed
from bioacoustics.workflows.predict import PredictConfig, predict
from bioacoustics.workflows.survey import Outcome


@pytest.fixture
def cards(tmp_path: Path, clips: Path) -> Path:
    """Two recordings whose names tell a site and a time, and one that is no sound."""
    folder = tmp_path / "Grabación Ñandú 2026"
    folder.mkdir()
    shutil.copy(clips / "a.wav", folder / "north_20260301_220000.wav")
    shutil.copy(clips / "b.wav", folder / "north_20260302_040000.wav")
    (folder / "broken.wav").write_text("no sound")
    return folder


def run(output: Path, model: Path, data_dir: Path, **changes: Any) -> tuple[Outcome, str]:
    said = io.StringIO()
    settings = {"model_path": model, "data_dir": data_dir, "output": output, "window_s": 0.5, "device": "cpu"}
    outcome = embed(EmbedConfig.model_validate({**settings, **changes}), Console(file=said, width=300))
    return outcome, said.getvalue()


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.lance"])
def test_the_same_command_again_hears_nothing_twice(
    tmp_path: Path, small_model: Path, cards: Path, name: str
) -> None:
    first, said = run(tmp_path / name, small_model, cards)
    assert "hours of audio per hour: decoding" in said
    assert "the bottleneck is" in said
    again, said = run(tmp_path / name, small_model, cards)
    assert "hours of audio per hour" not in said
    assert "2 recordings are done, 0 are left" in said
    assert [file.relative_path for file in again.unusable] == ["broken.wav"]
    assert (first.findings, first.unusable) == (again.findings, again.unusable)


@pytest.mark.parametrize("name", ["out.csv", "out.lance"])
def test_other_settings_and_models_are_refused_with_what_differs(
    tmp_path: Path, small_model: Path, multi_label_model: Path, cards: Path, name: str
) -> None:
    output = tmp_path / name
    run(output, small_model, cards)
    with pytest.raises(
        ValueError, match=r"must not be mixed:\n  edge: keep there, drop now\n  stride_s: 0.5 there"
    ):
        run(output, small_model, cards, stride_s=0.25, edge="drop")
    with pytest.raises(
        ValueError, match=r"model: [0-9a-f]{8}… \(.*small.pt\) there, [0-9a-f]{8}… .*several.pt"
    ):
        run(output, multi_label_model, cards)
    run(output, multi_label_model, cards, overwrite=True)
    with pytest.raises(ValueError, match="must not be mixed"):
        run(output, small_model, cards)


def test_a_table_is_of_its_recordings_and_a_store_grows(
    tmp_path: Path, small_model: Path, cards: Path
) -> None:
    for name in ("out.csv", "out.lance"):
        run(tmp_path / name, small_model, cards)
    soundfile.write(cards / "new.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 16_000)
    with pytest.raises(FileExistsError, match=r"other recordings \(2 then, 3 now\)"):
        run(tmp_path / "out.csv", small_model, cards)
    _, said = run(tmp_path / "out.lance", small_model, cards)
    assert "2 recordings are done, 1 are left" in said
    store = Store.open(tmp_path / "out.lance")
    assert store.count("windows", "file = 'new.wav'") == 1
    # A file whose content changed is heard anew, and what was heard in the old one goes.
    soundfile.write(cards / "new.wav", np.random.default_rng(1).normal(0, 0.1, 16_000), 16_000)
    run(tmp_path / "out.lance", small_model, cards)
    store = Store.open(tmp_path / "out.lance")
    assert store.rows("windows", ["start_s"], "file = 'new.wav'")["start_s"].to_pylist() == [0, 0.5]
    assert store.count("recordings") == 3
    assert store.count("progress") == 3


def test_a_table_of_somebody_else_is_not_written_over(tmp_path: Path, small_model: Path, cards: Path) -> None:
    (tmp_path / "mine.csv").write_text("my,own,work\n")
    with pytest.raises(FileExistsError, match="nothing says what it was made of"):
        run(tmp_path / "mine.csv", small_model, cards)
    assert (tmp_path / "mine.csv").read_text() == "my,own,work\n"
    run(tmp_path / "mine.csv", small_model, cards, overwrite=True)
    assert len(pd.read_csv(tmp_path / "mine.csv")) == 6


def test_rows_tell_true_times_sites_and_fingerprints(tmp_path: Path, small_model: Path, cards: Path) -> None:
    table = tmp_path / "deployments.csv"
    table.write_text("folder,site,zone\n.,Río Norte,America/Bogota\n")
    for name in ("out.csv", "out.lance"):
        run(tmp_path / name, small_model, cards, deployments=table)
    frame = pd.read_csv(tmp_path / "out.csv")
    assert list(frame["start_time"][:3]) == [
        "2026-03-01T22:00:00.000-05:00", "2026-03-02T04:00:00.000-05:00", "2026-03-02T04:00:00.500-05:00"
    ]  # fmt: skip
    assert set(frame["site"]) == {"Río Norte"}
    assert set(frame["model"]) == {read_bundle(small_model).header.fingerprint[:16]}
    assert frame["audio"].nunique() == 2
    assert frame["front_end"].nunique() == 1
    windows = Store.open(tmp_path / "out.lance").table("windows").to_pandas().sort_values("id")
    for column in (
        "file",
        "start_s",
        "end_s",
        "start_time",
        "site",
        "channel",
        "model",
        "front_end",
        "audio",
    ):
        assert sorted(windows[column]) == sorted(frame[column]), column
    last = windows[windows["start_s"] == 2.0].iloc[0]
    assert last["start_utc"] == pd.Timestamp("2026-03-02T09:00:02Z")
    assert last["second_of_day"] == 4 * 3600 + 2
    assert last["end_s"] == 2.5


def test_the_manifest_says_what_a_table_was_made_of(tmp_path: Path, small_model: Path, cards: Path) -> None:
    run(tmp_path / "out.csv", small_model, cards)
    manifest = json.loads((tmp_path / "out.csv.run.json").read_text())
    assert manifest["num_rows"] == 6
    assert manifest["settings"]["model"] == read_bundle(small_model).header.fingerprint
    assert manifest["settings"]["front_end"]["window_s"] == 0.5
    assert list(manifest["unusable"]) == ["broken.wav"]


def test_scores_of_several_classifiers_stand_side_by_side(
    tmp_path: Path, small_model: Path, single_label_model: Path, multi_label_model: Path, cards: Path
) -> None:
    output = tmp_path / "out.lance"
    run(output, small_model, cards)
    for model in (single_label_model, multi_label_model, single_label_model):
        settings = {
            "model_path": model,
            "data_dir": cards,
            "output": output,
            "window_s": 0.5,
            "device": "cpu",
        }
        predict(PredictConfig.model_validate(settings), Console(file=io.StringIO()))
    store = Store.open(output)
    scores = store.table("scores").to_pandas()
    assert len(scores) == 2 * 6
    assert set(scores["id"]) == set(store.rows("windows", ["id"])["id"].to_pylist())
    for model, one in scores.groupby("model"):
        labels = store.fact(f"predict {model}")["labels"]
        for row in one.itertuples():
            assert len(row.scores) == len(labels)
            assert row.predicted == labels[int(np.argmax(row.scores))]
            assert row.probability == np.max(row.scores)


def test_predictions_of_windows_are_those_that_files_are_made_of(
    tmp_path: Path, multi_label_model: Path, cards: Path
) -> None:
    frames = {}
    for per in ("file", "window"):
        output = tmp_path / f"{per}.parquet"
        settings = {"model_path": multi_label_model, "data_dir": cards, "output": output, "per": per}
        config = PredictConfig.model_validate({**settings, "window_s": 0.5, "device": "cpu"})
        predict(config, Console(file=io.StringIO()))
        frames[per] = pd.read_parquet(output)
    columns = [name for name in frames["file"] if name.startswith("p(")]
    assert list(frames["window"]["start_s"]) == [0, 0, 0.5, 1, 1.5, 2]
    joined = frames["window"].groupby("file")[columns].max()
    np.testing.assert_array_equal(joined.to_numpy(), frames["file"][columns].to_numpy())
