"""Embeddings: one row per window, in any table, the same whatever else is in the folder or the batch."""

import csv
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from rich.console import Console

from bioacoustics.audio.band import Band
from bioacoustics.data.synthesis import SyntheticDataset
from bioacoustics.models.saved import load_encoder
from bioacoustics.workflows.embed import EmbedConfig, embed
from bioacoustics.workflows.survey import BadFiles, Outcome


def run(
    path: Path, model: Path, data_dir: Path, console: Console | None = None, **changes: Any
) -> tuple[pd.DataFrame, Outcome]:
    settings = {"model_path": model, "data_dir": data_dir, "output": path, "window_s": 1.0, "device": "cpu"}
    config = EmbedConfig.model_validate({**settings, **changes})
    outcome = embed(config, console or Console(file=io.StringIO()))
    return (pd.read_csv if path.suffix.lower() == ".csv" else pd.read_parquet)(path), outcome


def vectors(frame: pd.DataFrame) -> np.ndarray:
    if "embedding" in frame:
        return np.stack(list(frame["embedding"]))
    return frame[[name for name in frame if name[0] == "e" and name[1:].isdigit()]].to_numpy(np.float32)


def test_one_row_for_each_window(tmp_path: Path, small_model: Path, clips: Path) -> None:
    frame, outcome = run(tmp_path / "out.parquet", small_model, clips)
    assert list(zip(frame["file"], frame["start_s"], frame["end_s"].round(3), strict=True)) == [
        ("a.wav", 0.0, 0.5),
        ("b.wav", 0.0, 1.0),
        ("b.wav", 1.0, 2.0),
        ("b.wav", 2.0, 2.5),
        ("c.flac", 0.0, 0.05),
        ("sub [1]/d.wav", 0.0, 1.0),
        ("sub [1]/d.wav", 1.0, 1.1),
        ("sub [1]/e.wav", 0.0, 0.5),
    ]
    assert list(frame["findings"]) == ["", "", "", "", "short", "", "", ""]
    assert vectors(frame).shape == (8, 32)
    assert np.isfinite(vectors(frame)).all()
    assert outcome.unusable == []
    beside = {"out.parquet.problems.csv", "out.parquet.run.json"}
    assert {entry.name for entry in tmp_path.iterdir()} == {"out.parquet", *beside}


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_row_is_the_embedding_of_that_sound_alone_and_unpadded(
    tmp_path: Path, small_model: Path, clips: Path, pooling: str
) -> None:
    frame, _ = run(tmp_path / "out.parquet", small_model, clips, pooling=pooling)
    encoder = load_encoder(small_model)
    for row, vector in zip(frame.itertuples(), vectors(frame), strict=True):
        samples, rate_hz = soundfile.read(clips / row.file, dtype="float32")
        window = torch.from_numpy(samples[round(row.start_s * rate_hz) : round(row.end_s * rate_hz)])
        with torch.inference_mode():
            alone = encoder.embed(window[None], pooling=pooling)[0]
        np.testing.assert_allclose(vector, alone.numpy(), rtol=1e-4, atol=1e-5)


def test_batches_threads_and_neighbours_change_nothing(
    tmp_path: Path, small_model: Path, clips: Path
) -> None:
    one, _ = run(tmp_path / "one.parquet", small_model, clips, batch_size=1, num_threads=1)
    many, _ = run(tmp_path / "many.parquet", small_model, clips, batch_size=7, num_threads=4)
    shutil.copy(clips / "b.wav", tmp_path / "b.wav")
    alone, _ = run(tmp_path / "alone.parquet", small_model, tmp_path / "b.wav")
    pd.testing.assert_frame_equal(one.drop(columns="embedding"), many.drop(columns="embedding"))
    np.testing.assert_allclose(vectors(one), vectors(many), rtol=1e-4, atol=1e-5)
    of_b = vectors(many)[many["file"] == "b.wav"]
    np.testing.assert_allclose(vectors(alone), of_b, rtol=1e-4, atol=1e-5)


def test_csv_and_parquet_hold_the_same(tmp_path: Path, small_model: Path, clips: Path) -> None:
    as_csv, _ = run(tmp_path / "out.CSV", small_model, clips)
    as_parquet, _ = run(tmp_path / "out.parquet", small_model, clips)
    about = ["channel", "site", "start_time", "time_source", "model", "front_end", "audio"]
    assert list(as_csv.columns[:12]) == ["file", "start_s", "end_s", "findings", *about, "e0"]
    assert list(as_csv["file"]) == list(as_parquet["file"])
    np.testing.assert_allclose(vectors(as_csv), vectors(as_parquet), rtol=1e-6)


def test_a_band_is_heard_alone_and_never_mixes_with_other_results(
    tmp_path: Path, small_model: Path, clips: Path
) -> None:
    whole, _ = run(tmp_path / "whole.parquet", small_model, clips)
    limited, _ = run(tmp_path / "limited.parquet", small_model, clips, low_hz=1000, high_hz=4000)
    assert not set(whole["front_end"]) & set(limited["front_end"])
    assert not np.allclose(vectors(whole)[1], vectors(limited)[1], atol=1e-3)
    samples, rate_hz = soundfile.read(clips / "b.wav", dtype="float32")
    window = torch.from_numpy(Band(1000.0, 4000.0).limited(samples[:rate_hz], rate_hz))
    with torch.inference_mode():
        alone = load_encoder(small_model).embed(window[None])[0]
    np.testing.assert_allclose(vectors(limited)[1], alone.numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"low_hz: 1000\.0 there, 2000\.0 now"):
        run(tmp_path / "limited.parquet", small_model, clips, low_hz=2000, high_hz=4000)


def test_windows_may_overlap(tmp_path: Path, small_model: Path, clips: Path) -> None:
    frame, _ = run(tmp_path / "out.parquet", small_model, clips / "b.wav", stride_s=0.5)
    assert list(frame["start_s"]) == [0.0, 0.5, 1.0, 1.5]
    assert list(frame["file"]) == ["b.wav"] * 4


def test_a_published_beats_model_has_means_of_patches(
    tmp_path: Path, golden_beats: Path, clips: Path
) -> None:
    model = golden_beats / "beats_pretrained.pt"
    frame, outcome = run(tmp_path / "out.parquet", model, clips)
    assert outcome.unusable == []
    assert vectors(frame).shape == (8, 64)
    samples, _ = soundfile.read(clips / "c.flac", dtype="float32")  # 50 ms, less than one column of patches
    with torch.inference_mode():
        alone = load_encoder(model)(torch.from_numpy(samples)[None]).patches.mean(dim=1)[0]
    np.testing.assert_allclose(vectors(frame)[4], alone, atol=1e-4)


def test_many_windows_are_written_in_parts(tmp_path: Path, small_model: Path, clips: Path) -> None:
    frame, _ = run(tmp_path / "out.csv", small_model, clips / "b.wav", window_s=0.1, stride_s=0.008)
    assert len(frame) == 300  # more than are written at a time
    assert np.allclose(np.diff(frame["start_s"]), 0.008)


def test_odd_files_are_all_accounted_for(
    tmp_path: Path, small_model: Path, shared: Path, console: Console, said: Callable[[], str]
) -> None:
    frame, outcome = run(tmp_path / "out.csv", small_model, shared / "data" / "odd", console, window_s=2.0)
    with (tmp_path / "out.csv.problems.csv").open(newline="", encoding="utf-8") as file:
        problems = list(csv.DictReader(file))
    unusable = {row["file"] for row in problems if row["kind"] == "unusable"}
    assert unusable == {file.relative_path for file in outcome.unusable}
    embedded = set(frame["file"])
    assert not embedded & unusable
    with (shared / "data" / "odd" / "expected.csv").open(newline="", encoding="utf-8") as file:
        expected = {row["filename"]: row["decodes"] for row in csv.DictReader(file)}
    assert embedded | unusable == set(expected)
    for name, decodes in expected.items():
        if decodes in {"1", "partial", "decoder dependent"} and name != "clip_1_sample.wav":
            assert name in embedded, name
        if decodes in {"0", "empty"}:
            assert name in unusable, name
        if name in unusable:
            assert f"unusable {name}: " in said()
    warned = {row["file"]: row["reason"] for row in problems if row["kind"] == "warning"}
    partial = {name for name, decodes in expected.items() if decodes == "partial"}
    assert partial <= {name for name, reason in warned.items() if reason == "partial"}
    assert warned["wav_float_with_nan.wav"] == "nan"
    assert warned["dc_offset.wav"] == "dc"
    assert np.isfinite(vectors(frame)).all()


def test_bad_files_can_stop_it(tmp_path: Path, small_model: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")
    soundfile.write(tmp_path / "b.wav", np.ones(16_000, np.float32), 16_000)
    with pytest.raises(ValueError, match="1 file"):
        run(tmp_path / "out.csv", small_model, tmp_path, bad_files=BadFiles.STOP)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": Path("out.xlsx")}, r"written as \.csv or \.parquet, a store as a folder \.lance"),
        ({"window_s": 0.01}, r"--window_s 0.01 is too short: this model needs 0.025 s or more"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_reading(
    tmp_path: Path, small_model: Path, clips: Path, console: Console, said: Callable[[], str],
    changes: dict[str, Any], message: str,
) -> None:  # fmt: skip
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "out.csv", small_model, clips, console, **changes)
    assert said() == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may write anywhere")
def test_a_folder_that_is_closed_is_told_before_any_reading(
    tmp_path: Path, small_model: Path, clips: Path, console: Console, said: Callable[[], str]
) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(PermissionError, match="nothing can be written here; choose another --output"):
        run(tmp_path / "closed" / "new" / "out.csv", small_model, clips, console)
    assert said() == ""


def test_names_that_are_no_text_and_names_like_markup(
    tmp_path: Path, small_model: Path, sounds: SyntheticDataset, console: Console, said: Callable[[], str]
) -> None:
    data = tmp_path / "[red] [/x]"
    data.mkdir(parents=True)
    first = min(sounds.unlabeled_dir.rglob("*.wav"))
    shutil.copy(first, data / "[bold].wav")
    (data / "[/bold] no.wav").mkdir(parents=True)
    (data / "[/bold] no.wav" / "a.wav").write_text("no sound")
    is_told = True
    try:
        shutil.copy(str(first).encode(), bytes(data) + b"/Grabaci\xf3n.wav")
    except OSError:  # this file system wants Unicode
        is_told = False
    output = tmp_path / "[red] [/x].csv"
    frame, _ = run(output, small_model, data, console)
    assert set(frame["file"]) == {"[bold].wav", *(["Grabaci\\udcf3n.wav"] if is_told else [])}
    assert "unusable [/bold] no.wav/a.wav: it is a text file, not sound" in said()
    assert f"{output}: {len(frame)} embeddings of 32 dimensions" in said()


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_lower_precision_stays_close_says_so_and_does_not_depend_on_the_batch(
    tmp_path: Path, small_model: Path, clips: Path, precision: str
) -> None:
    exact, _ = run(tmp_path / "float32.parquet", small_model, clips)
    said = io.StringIO()
    near, _ = run(tmp_path / "near.parquet", small_model, clips, Console(file=said), precision=precision)
    ours, theirs = vectors(near), vectors(exact)
    cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosines.min() > 0.999
    assert not np.array_equal(ours, theirs)
    assert f"dimensions, {precision}" in said.getvalue()
    assert pq.read_schema(tmp_path / "near.parquet").metadata[b"precision"] == precision.encode()
    if precision == "int8":
        alone, _ = run(tmp_path / "alone.parquet", small_model, clips, precision=precision, batch_size=1)
        np.testing.assert_allclose(vectors(alone), ours, rtol=0, atol=1e-4)
