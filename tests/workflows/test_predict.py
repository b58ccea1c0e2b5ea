"""Predictions: one row per clip, a column for each label, windows joined as the kind of labels wants it."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from rich.console import Console

from bioacoustics.models.saved import load_classifier
from bioacoustics.workflows.predict import PredictConfig, column_of, predict
from bioacoustics.workflows.survey import Outcome

LABELS = ("coquí", "file", "p(rain)")
COLUMNS = ["p(coquí)", "p(file)", "p(p(rain))"]


def run(output: Path, model: Path, data_dir: Path, **changes: Any) -> tuple[pd.DataFrame, Outcome]:
    settings = {"model_path": model, "data_dir": data_dir, "output": output, "device": "cpu"}
    outcome = predict(PredictConfig.model_validate({**settings, **changes}), Console(file=io.StringIO()))
    words = dict.fromkeys(("channel", "site", "start_time"), str)
    is_csv = output.suffix == ".csv"
    frame = pd.read_csv(output, keep_default_na=False, dtype=words) if is_csv else pd.read_parquet(output)
    return frame, outcome


def windows_of(model: Path, clip: Path, window_samples: int) -> np.ndarray:
    """Probabilities of each window of a clip, by the public face alone."""
    samples, _ = soundfile.read(clip, dtype="float32")
    classifier = load_classifier(model)
    starts = range(0, len(samples), window_samples)
    windows = [torch.from_numpy(samples[start : start + window_samples]) for start in starts]
    with torch.inference_mode():
        return np.stack([classifier(window[None])[0].numpy() for window in windows if len(window) >= 400])


def test_a_published_beats_model(tmp_path: Path, golden_beats: Path, clips: Path) -> None:
    model = golden_beats / "beats_finetuned.pt"
    frame, _ = run(tmp_path / "out.csv", model, clips)
    names = [column_of(label) for label in load_classifier(model).labels]
    assert len(names) == 11 and names[0] == "p(/m/0009a0)"
    assert [name for name in frame if name.startswith("p(")] == names
    np.testing.assert_allclose(
        frame[names].to_numpy()[1], windows_of(model, clips / "b.wav", 160_000)[0], atol=1e-5
    )


def test_one_row_for_each_clip_and_one_column_for_each_label(
    tmp_path: Path, single_label_model: Path, clips: Path
) -> None:
    frame, outcome = run(tmp_path / "out.csv", single_label_model, clips)
    assert list(frame.columns) == [
        *("file", "duration_s", "predicted", "probability", *COLUMNS),
        *("channel", "site", "start_time", "time_source", "model", "front_end", "audio"),
    ]
    assert list(frame["file"]) == ["a.wav", "b.wav", "c.flac", "sub [1]/d.wav", "sub [1]/e.wav"]
    assert list(frame["duration_s"].round(3)) == [0.5, 2.5, 0.05, 1.1, 0.5]
    np.testing.assert_allclose(frame[COLUMNS].sum(axis=1), 1, rtol=1e-5)
    best = frame[COLUMNS].to_numpy().argmax(axis=1)
    assert list(frame["predicted"]) == [LABELS[i] for i in best]
    np.testing.assert_allclose(frame["probability"], frame[COLUMNS].max(axis=1))
    assert outcome.unusable == []


@pytest.mark.parametrize("name", ["a.wav", "b.wav", "sub [1]/d.wav"])
def test_windows_of_a_longer_clip_are_joined(
    tmp_path: Path, single_label_model: Path, multi_label_model: Path, clips: Path, name: str
) -> None:
    """Windows are those of fine-tuning; their mean counts where one label holds, else the largest."""
    for model, join in ((single_label_model, np.mean), (multi_label_model, np.max)):
        frame, _ = run(tmp_path / f"{model.stem}.csv", model, clips / name)
        front_end = load_classifier(model).encoder.front_end.config
        expected = join(windows_of(model, clips / name, front_end.num_samples(64)), axis=0)
        np.testing.assert_allclose(frame[COLUMNS].to_numpy()[0], expected, rtol=1e-4, atol=1e-6)


def test_the_window_can_be_chosen(tmp_path: Path, multi_label_model: Path, clips: Path) -> None:
    frame, _ = run(tmp_path / "out.csv", multi_label_model, clips / "b.wav", window_s=1.25)
    expected = windows_of(multi_label_model, clips / "b.wav", 20_000).max(axis=0)
    np.testing.assert_allclose(frame[COLUMNS].to_numpy()[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.999])
def test_several_labels_are_named_from_the_threshold_on(
    tmp_path: Path, multi_label_model: Path, clips: Path, threshold: float
) -> None:
    frame, _ = run(tmp_path / "out.parquet", multi_label_model, clips, threshold=threshold)
    assert (frame[COLUMNS].sum(axis=1) != 1).all()
    for _, row in frame.iterrows():
        named = [label for label in LABELS if row[column_of(label)] >= threshold]
        assert row["predicted"] == ",".join(named)
        assert row["probability"] == max(row[column] for column in COLUMNS)


def test_batches_threads_and_neighbours_change_nothing(
    tmp_path: Path, single_label_model: Path, clips: Path
) -> None:
    one, _ = run(tmp_path / "one.csv", single_label_model, clips, batch_size=1, num_threads=1)
    many, _ = run(tmp_path / "many.csv", single_label_model, clips, batch_size=8, num_threads=3)
    pd.testing.assert_frame_equal(one, many, rtol=1e-4, atol=1e-6)
    alone, _ = run(tmp_path / "alone.csv", single_label_model, clips / "b.wav")
    of_b = many[many["file"] == "b.wav"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, of_b, rtol=1e-4, atol=1e-6)


def test_what_could_not_be_used_is_listed(tmp_path: Path, single_label_model: Path, clips: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "text.wav").write_text("no sound")
    soundfile.write(data / "blink.wav", np.zeros(100, np.float32), 16_000)
    soundfile.write(data / "silence.wav", np.zeros(16_000, np.float32), 16_000)
    frame, outcome = run(tmp_path / "out.csv", single_label_model, data)
    assert list(frame["file"]) == ["silence.wav"]
    assert [file.relative_path for file in outcome.unusable] == ["text.wav", "blink.wav"]
    lines = (tmp_path / "out.csv.problems.csv").read_text().splitlines()
    assert lines == [
        "file,kind,reason",
        'text.wav,unusable,"it is a text file, not sound"',
        'blink.wav,unusable,"too short: 6.25 ms, at least 25 ms are needed"',
        "silence.wav,warning,silent",
    ]


def test_a_model_without_labels_is_refused(tmp_path: Path, small_model: Path, clips: Path) -> None:
    with pytest.raises(ValueError, match="no classification head"):
        run(tmp_path / "out.csv", small_model, clips)
