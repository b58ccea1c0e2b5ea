"""The doctor finds what is there, and names what is missing with its remedy, brackets and all."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bioacoustics.models.bundle import Bundle
from bioacoustics.models.saved import read_bundle, write_bundle
from bioacoustics.models.thresholds import ClassThreshold, Thresholds
from bioacoustics.workflows.doctor import PACKAGES, doctor, examine


def test_everything_is_looked_at(console: Console, said: Callable[[], str]) -> None:
    assert doctor(console) == all(
        finding.is_well for finding in examine() if not finding.topic.startswith("optional")
    )
    for word in (*PACKAGES, "Python", "processor", "memory", "disk", "decoder FLAC", "decoder MP3"):
        assert word in said()
    assert torch.__version__ in said()


def test_decoders_are_tried() -> None:
    decoders = {finding.topic: finding for finding in examine() if finding.topic.startswith("decoder")}
    assert len(decoders) == 5
    assert decoders["decoder WAV"].is_well
    assert decoders["decoder FLAC"].text == "works"


def test_what_is_missing_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, console: Console, said: Callable[[], str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "av" else find(name, *rest)
    )
    doctor(console)
    line = next(line for line in said().splitlines() if "optional: av" in line)
    assert line.startswith("--")
    assert "pip install 'bioacoustics[av]'" in line
    assert "not installed" in line


def test_a_model_says_what_it_is_and_where_its_events_open(
    tmp_path: Path, multi_label_model: Path, small_model: Path, console: Console, said: Callable[[], str]
) -> None:
    findings = {one.topic: one for one in examine(multi_label_model)}
    assert "events open at 0.5" in findings["thresholds"].text
    assert findings["licence of weights"].text == "not stated"
    assert "thresholds" not in {one.topic for one in examine(small_model)}
    rain = ClassThreshold(
        threshold=0.31, precision=0.92, precision_low=0.85, precision_high=0.97, recall=0.6, num_present=40
    )
    found = Thresholds(precision_wanted=0.9, window_s=5.0, num_recordings=12, classes={"p(rain)": rain})
    bundle = read_bundle(multi_label_model)
    header = bundle.header.model_copy(update={"thresholds": found})
    write_bundle(Bundle(header, bundle.weights), tmp_path / "model.pt")
    doctor(console, tmp_path / "model.pt")
    assert "1 of 3 labels for a precision of 0.9, found on 12 recordings" in said()
    assert "threshold of p(rain)" in said() and "0.310; precision 0.92 (0.85 to 0.97)" in said()
    (tmp_path / "text.pt").write_text("no model")
    assert not doctor(console, tmp_path / "text.pt")
