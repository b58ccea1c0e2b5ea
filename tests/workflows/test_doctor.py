"""The doctor finds what is there, and names what is missing with its remedy, brackets and all."""

import importlib.util
from collections.abc import Callable

import pytest
import torch
from rich.console import Console

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
