"""A traversal hears every window once, in file order, commits it, and tells what went wrong on the way."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

from bioacoustics.inference.windows import WindowBatch
from bioacoustics.workflows import traverse as module
from bioacoustics.workflows.journal import Chunk, Key, Mark
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.traverse import Traversal, TraverseConfig


class Memory:
    """A journal in memory."""

    def __init__(self, marks: dict[Key, Mark] | None = None) -> None:
        self.chunks: list[Chunk] = []
        self._marks = marks or {}

    def marks(self) -> dict[Key, Mark]:
        return self._marks

    def commit(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)

    def finish(self, outcome: Outcome) -> str:
        return ""

    @property
    def rows(self) -> list[tuple[str, str, float, float]]:
        return [
            (o.take.recording.relative_path, str(o.take.channel), o.segment.start_s, float(o.values[0]))
            for chunk in self.chunks
            for o in chunk.outputs
        ]


def loudness(batch: WindowBatch) -> torch.Tensor:
    assert not torch.is_grad_enabled()
    return batch.waveforms.square().mean(dim=1, keepdim=True).sqrt()


def traversal_of(folder: Path, console: Console, *, window_s: float = 0.5, **changes: object) -> Traversal:
    config = TraverseConfig.model_validate({"data_dir": folder, "device": "cpu", **changes})
    return Traversal(
        config,
        loudness,
        window_s=window_s,
        sample_rate_hz=16_000,
        min_samples=400,
        precision="float32",
        console=console,
    )


def heard(folder: Path, console: Console, **changes: object) -> list[tuple[str, str, float, float]]:
    journal = Memory()
    traversal_of(folder, console, **changes).run(journal)  # type: ignore[arg-type]
    return journal.rows


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_every_window_once_in_file_order(clips: Path, console: Console, batch_size: int) -> None:
    rows = heard(clips, console, batch_size=batch_size)
    places = [(file, start_s) for file, _, start_s, _ in rows]
    assert places == [
        *(("a.wav", 0.0), *(("b.wav", 0.5 * i) for i in range(5)), ("c.flac", 0.0)),
        *(("sub [1]/d.wav", 0.5 * i) for i in range(3)),
        ("sub [1]/e.wav", 0.0),
    ]
    for file, _, start_s, level in rows:
        samples, rate_hz = soundfile.read(clips / file)
        window = samples[round(start_s * rate_hz) : round((start_s + 0.5) * rate_hz)]
        assert level == pytest.approx(np.sqrt(np.square(window).mean()), rel=1e-5)


def test_commits_are_whole_and_say_which_recordings_are_done(
    clips: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_PER_COMMIT", 2)
    journal = Memory()
    traversal_of(clips, console, batch_size=1).run(journal)
    assert [len(chunk.outputs) for chunk in journal.chunks] == [2, 2, 2, 2, 2, 1]
    rows: set[str] = set()
    for chunk in journal.chunks:
        rows |= {f"{o.take.recording.relative_path} {o.segment.start_s}" for o in chunk.outputs}
        for ending in chunk.endings:  # a recording is done only once all its windows are committed
            if ending.take.recording.relative_path == "b.wav":
                assert {f"b.wav {0.5 * i}" for i in range(5)} <= rows
    done = [ending.take.recording.relative_path for chunk in journal.chunks for ending in chunk.endings]
    assert done == ["a.wav", "b.wav", "c.flac", "sub [1]/d.wav", "sub [1]/e.wav"]


def test_it_goes_on_where_the_journal_says(clips: Path, console: Console) -> None:
    traversal = traversal_of(clips, console)
    ids = {source.recording.relative_path: source.id for source in traversal.sources.values()}
    marks = {
        (ids["a.wav"], "mix"): Mark(is_done=True),
        (ids["b.wav"], "mix"): Mark(last_start_s=1.0),
        (ids["sub [1]/e.wav"], "mix"): Mark(is_done=True, findings={"clipped"}),
    }
    journal = Memory(marks)
    traversal.run(journal)
    everything = heard(clips, console)
    expected = [row for row in everything if row[0] not in {"a.wav", "sub [1]/e.wav"} and not (
        row[0] == "b.wav" and row[2] <= 1.0
    )]  # fmt: skip
    assert [row[:3] for row in journal.rows] == [row[:3] for row in expected]
    np.testing.assert_allclose([r[3] for r in journal.rows], [r[3] for r in expected], rtol=1e-6)
    assert traversal.outcome.files_with_findings["sub [1]/e.wav"] == {"clipped"}


@pytest.mark.parametrize(
    ("edge", "starts_s"), [("keep", [0, 0.5, 1]), ("drop", [0, 0.5]), ("shift", [0, 0.5, 0.6])]
)
def test_the_edge_rule(clips: Path, console: Console, edge: str, starts_s: list[float]) -> None:
    rows = heard(clips / "sub [1]" / "d.wav", console, edge=edge)
    assert [row[2] for row in rows] == pytest.approx(starts_s)


def test_channels(tmp_path: Path, console: Console) -> None:
    rng = np.random.default_rng(0)
    quiet_then_loud = np.repeat([0.01, 0.5], 8_000)
    left, right = (rng.normal(0, 0.1, 16_000) * level for level in (quiet_then_loud, quiet_then_loud[::-1]))
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    level = {
        name: [np.sqrt(np.square(part).mean()) for part in (one[:8_000], one[8_000:])]
        for name, one in {"0": left, "1": right, "mix": (left + right) / 2}.items()
    }
    for channel, names in (("mix", ["mix"]), ("each", ["0", "1"]), ("left", ["0"]), ("right", ["1"])):
        rows = heard(tmp_path, console, channel=channel)
        assert [row[1] for row in rows] == [name for name in names for _ in range(2)]
        expected = [one for name in names for one in level[name]]
        np.testing.assert_allclose([row[3] for row in rows], expected, rtol=1e-5)
    loudest = [row[3] for row in heard(tmp_path, console, channel="loudest")]
    np.testing.assert_allclose(loudest, [level["1"][0], level["0"][1]], rtol=1e-5)


def test_ultrasound_is_heard_slowed_and_told_in_true_times(tmp_path: Path, console: Console) -> None:
    """A tone of 40 kHz is one of 4 kHz for a model that hears everything ten times slower."""
    rate_hz = 256_000
    time_s = np.arange(rate_hz) / rate_hz
    soundfile.write(tmp_path / "bat.wav", 0.5 * np.sin(2 * np.pi * 40_000 * time_s), rate_hz)
    seen: list[tuple[int, float]] = []

    def pitch(batch: WindowBatch) -> torch.Tensor:
        spectrum = torch.fft.rfft(batch.waveforms).abs()
        num_samples = batch.waveforms.shape[1]
        seen.append((num_samples, float(spectrum[0].argmax()) * 16_000 / num_samples))
        return spectrum.amax(dim=1, keepdim=True)

    traversal = traversal_of(tmp_path, console, window_s=0.25, time_expansion=10)
    traversal._compute = pitch
    journal = Memory()
    traversal.run(journal)
    assert [row[2] for row in journal.rows] == [0, 0.25, 0.5, 0.75]
    assert seen[0][0] == 40_000  # 0.25 s are 2.5 s of the model
    assert seen[0][1] == pytest.approx(4000, abs=1)


def test_the_band_is_in_true_hertz_and_a_band_beyond_hearing_is_refused(
    tmp_path: Path, console: Console
) -> None:
    rate_hz = 256_000
    time_s = np.arange(rate_hz) / rate_hz
    both = sum(0.3 * np.sin(2 * np.pi * hz * time_s) for hz in (25_000, 60_000))
    soundfile.write(tmp_path / "bats.wav", both, rate_hz, subtype="FLOAT")
    alone = 0.3 / np.sqrt(2)
    for low_hz, high_hz, level in ((None, None, 0.3), (40_000, None, alone), (30_000, 50_000, 0)):
        rows = heard(tmp_path, console, window_s=0.25, time_expansion=10, low_hz=low_hz, high_hz=high_hz)
        np.testing.assert_allclose([row[3] for row in rows], level, atol=0.01)
    with pytest.raises(ValueError, match="this model hears up to 80000 Hz"):
        traversal_of(tmp_path, console, window_s=0.25, time_expansion=10, low_hz=90_000)


def test_what_cannot_be_expanded_is_refused(clips: Path, console: Console) -> None:
    with pytest.raises(ValueError, match="whole number"):
        traversal_of(clips, console, time_expansion=1.00001)


def test_a_file_that_fails_after_its_header_is_reported(tmp_path: Path, console: Console) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    for name in ("a.flac", "b.flac"):
        soundfile.write(tmp_path / name, noise, 16_000)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[:100] + b"\x55" * (len(content) - 100))
    traversal, journal = traversal_of(tmp_path, console), Memory()
    traversal.run(journal)
    assert {row[0] for row in journal.rows} == {"b.flac"}
    assert [file.relative_path for file in traversal.outcome.unusable] == ["a.flac"]


def test_a_device_that_runs_out_of_memory_gets_less_at_a_time_and_loses_nothing(
    clips: Path, console: Console, said: Callable[[], str]
) -> None:
    sizes: list[int] = []

    def narrow(batch: WindowBatch) -> torch.Tensor:
        sizes.append(len(batch))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loudness(batch)

    expected = heard(clips, console, batch_size=1)
    traversal, journal = traversal_of(clips, console), Memory()
    traversal._compute = narrow
    traversal.run(journal)
    assert journal.rows == expected
    assert max(sizes) > 1
    assert sizes.count(1) == len(expected)
    assert "1 windows at a time, because memory ran out with more" in said()


def test_an_error_of_the_model_ends_the_reading_threads(clips: Path, console: Console) -> None:
    def fail(batch: WindowBatch) -> torch.Tensor:
        raise RuntimeError("the model broke")

    before = threading.active_count()
    traversal = traversal_of(clips, console)
    traversal._compute = fail
    with pytest.raises(RuntimeError, match="the model broke"):
        traversal.run(Memory())
    assert threading.active_count() == before


def _write_long(path: Path, num_hours: int) -> None:
    """8 kHz; the sound of a constant bit rate is coded once and repeated, because coding is slow."""
    rate_hz = 8_000
    minute = np.random.default_rng(0).integers(-3000, 3000, rate_hz * 60, dtype=np.int16)
    if path.suffix == ".mp3":
        soundfile.write(path, minute, rate_hz, bitrate_mode="CONSTANT", compression_level=0.5)
        content = path.read_bytes()
        frames = content[content.index(content[:2], 4) :]  # the first frame tells the length of a minute
        path.write_bytes(frames * (60 * num_hours))
        return
    with soundfile.SoundFile(path, "w", rate_hz, 1, subtype="PCM_16") as file:
        for _ in range(60 * num_hours):
            file.write(minute)


@pytest.mark.parametrize("name", ["long.wav", "long.flac", "long.mp3"])
def test_memory_does_not_depend_on_length(tmp_path: Path, name: str) -> None:
    """Three hours more, 690 MB as samples that the model hears, take less than 200 MB more than one.

    `benchmarks/memory.py` does the same with a day of each.
    """
    _write_long(tmp_path / name, 4)
    script = Path(__file__).with_name("long_listening.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / name)], capture_output=True, text=True, check=True
    )
    num_windows, faintest, resident = json.loads(done.stdout)
    assert 1440 <= num_windows <= 1450  # an MP3 of pieces has some frames more of each
    assert faintest > 0.01  # all of it was heard
    first = len(resident) // 4
    assert max(resident[first:]) - max(resident[:first]) < 200e6
