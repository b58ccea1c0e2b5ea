"""Rows of reading: the loader of training from three formats, and the whole `embed` against its model."""

import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
import torch
from ceilings import Bench, Row
from rich.console import Console
from speed_models import CLIPS, RATE_HZ, WINDOW_S, eat_encoder, usual_precision

from bioacoustics.audio.recordings import scan_recordings
from bioacoustics.audio.segments import SegmentConfig, SegmentIndex
from bioacoustics.data.batches import DataConfig, UpdatePlan
from bioacoustics.data.loading import BatchLoader
from bioacoustics.data.windows import SegmentWindows
from bioacoustics.inference.precision import arithmetic
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.saved import bundle_of_encoder, load_encoder, write_bundle
from bioacoustics.workflows.embed import EmbedConfig, embed

FORMATS = ("wav", "flac", "ogg")
FILE_RATE_HZ = 48000
LOADER_MINUTES, LOADER_UPDATES = 20, 30
EMBED_MINUTES, QUICK_MINUTES = 60, 5
EMBED_S, QUICK_EMBED_S = 240.0, 40.0  # most that the model alone may need for what `embed` hears


def loader_rows(bench: Bench) -> Iterator[Row]:
    """Windows a second at random places of long recordings, 48 to 16 kHz, as training reads them."""
    quarter = 4 if bench.is_quick else 1
    for ending in FORMATS:
        with tempfile.TemporaryDirectory() as name:
            write_sound(Path(name) / f"long.{ending}", LOADER_MINUTES // quarter)
            row = _loader(Path(name), LOADER_UPDATES // quarter)
        yield {"what": f"loader, {ending}"} | row | _beside_step(bench, row["windows/s per core"])


def _loader(folder: Path, num_updates: int) -> Row:
    index = SegmentIndex(scan_recordings(folder).recordings, SegmentConfig(window_s=WINDOW_S))
    windows = SegmentWindows(index, sample_rate_hz=RATE_HZ, max_jitter_s=1.0)
    plan = UpdatePlan(num_windows=len(windows), rows_per_update=CLIPS)
    loader = BatchLoader(windows, plan, DataConfig(batch_size=CLIPS))
    started, used = time.perf_counter(), time.process_time()
    num_read = sum(len(batch) for _, _, batch in loader.batches(0, num_updates))
    took_s, cpu_s = time.perf_counter() - started, time.process_time() - used
    loader.close()
    return {"windows/s": round(num_read / took_s, 1), "windows/s per core": round(num_read / cpu_s, 1)}


def _beside_step(bench: Bench, per_core: float) -> Row:
    """How many cores the fastest pre-training step of this run keeps reading."""
    rates = [row["clips/s"] for row in bench.rows if row["what"].startswith("EAT step") and "clips/s" in row]
    if not rates:
        return {}
    return {"cores for the step": f"{max(rates) / per_core:.3f} of {os.cpu_count()}"}


def embed_rows(bench: Bench) -> Iterator[Row]:
    """The command on one long recording, against its model alone on the same windows, before and after."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bundle(bundle_of_encoder(eat_encoder(bench)), folder / "model.pt")
        (folder / "audio").mkdir()
        before = _alone(bench, folder / "model.pt")
        longest = QUICK_MINUTES if bench.is_quick else EMBED_MINUTES
        minutes = minutes_within(QUICK_EMBED_S if bench.is_quick else EMBED_S, before, longest)
        write_sound(folder / "audio" / "long.flac", minutes)
        settings = EmbedConfig(
            model_path=folder / "model.pt",
            data_dir=folder / "audio",
            output=str(folder / "out.parquet"),
            device="cuda" if bench.meter.is_gpu else "cpu",
        )
        started = time.perf_counter()
        embed(settings, Console(file=io.StringIO()))
        rate = 60 * minutes / WINDOW_S / (time.perf_counter() - started)
        after = _alone(bench, folder / "model.pt")
    row: Row = {"what": f"embed, {minutes} min of flac at 48 kHz", "windows/s": round(rate, 2)}
    row["model alone, before and after"] = f"{before:.2f} {after:.2f}"
    yield row | {"share of model alone": round(rate / ((before + after) / 2), 3)}


def minutes_within(most_s: float, windows_per_s: float, longest: int) -> int:
    """Minutes of sound that a model hears in the time there is, at least one."""
    return max(1, min(longest, int(most_s * windows_per_s * WINDOW_S / 60)))


def _alone(bench: Bench, path: Path) -> float:
    """Windows a second of front end and model, the sound already in memory."""
    device = bench.meter.device
    model = load_encoder(path, device=device)
    waveforms = 0.1 * torch.randn(CLIPS, WINDOW_S * RATE_HZ, device=device)
    with torch.inference_mode(), arithmetic(usual_precision(bench), device):
        model.embed(waveforms)
        took_s = [_clock_s(model, waveforms) for _ in range(2 if bench.is_quick else 5)]
    return CLIPS / median(took_s)


def _clock_s(model: AudioEncoder, waveforms: torch.Tensor) -> float:
    started = time.perf_counter()
    model.embed(waveforms).cpu()
    return time.perf_counter() - started


def write_sound(path: Path, minutes: int) -> None:
    """Noise that swells and fades: like a recording, it compresses to about half."""
    rng = np.random.default_rng(0)
    second = rng.normal(0, 0.05, FILE_RATE_HZ) * np.sin(np.linspace(0, np.pi, FILE_RATE_HZ))
    with soundfile.SoundFile(path, "w", FILE_RATE_HZ, 1) as file:
        for _ in range(60 * minutes):
            file.write(second)
