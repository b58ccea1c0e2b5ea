"""A traversal gives every window once, in file order, and tells what went wrong on the way."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

from bioacoustics.inference.windows import WindowBatch
from bioacoustics.workflows.traverse import Traversal, TraverseConfig


def traversal_of(folder: Path, console: Console, **changes: object) -> Traversal:
    def loudness(batch: WindowBatch) -> torch.Tensor:
        assert batch.waveforms.is_inference() or not torch.is_grad_enabled()
        return batch.waveforms.square().mean(dim=1, keepdim=True).sqrt()

    config = TraverseConfig.model_validate({"data_dir": folder, "device": "cpu", **changes})
    return Traversal(
        config,
        loudness,
        window_s=0.5,
        sample_rate_hz=16_000,
        min_samples=400,
        precision="float32",
        console=console,
    )


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_every_window_once_in_file_order(clips: Path, console: Console, batch_size: int) -> None:
    rows = list(traversal_of(clips, console, batch_size=batch_size))
    places = [(segment.recording.relative_path, segment.start_s) for segment, _, _ in rows]
    assert places == sorted(places)
    assert places == [
        *(("a.wav", 0.0), *(("b.wav", 0.5 * i) for i in range(5)), ("c.flac", 0.0)),
        *(("sub [1]/d.wav", 0.5 * i) for i in range(3)),
        ("sub [1]/e.wav", 0.0),
    ]
    for _, reading, values in rows:
        assert values[0] == pytest.approx(np.sqrt(np.square(reading.samples).mean()), rel=1e-5)


def test_a_file_that_fails_after_its_header_is_reported(tmp_path: Path, console: Console) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    for name in ("a.flac", "b.flac"):
        soundfile.write(tmp_path / name, noise, 16_000)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[:100] + b"\x55" * (len(content) - 100))
    traversal = traversal_of(tmp_path, console)
    assert {segment.recording.relative_path for segment, _, _ in traversal} == {"b.flac"}
    assert [file.relative_path for file in traversal.outcome.unusable] == ["a.flac"]


def test_an_error_of_the_model_ends_the_reading_threads(clips: Path, console: Console) -> None:
    import threading

    def fail(batch: WindowBatch) -> torch.Tensor:
        raise RuntimeError("the model broke")

    before = threading.active_count()
    traversal = Traversal(
        TraverseConfig(data_dir=clips),
        fail,
        window_s=0.5,
        sample_rate_hz=16_000,
        min_samples=400,
        precision="float32",
        console=console,
    )
    with pytest.raises(RuntimeError, match="the model broke"):
        list(traversal)
    assert threading.active_count() == before
