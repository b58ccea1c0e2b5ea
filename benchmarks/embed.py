"""How fast is `embed` end to end, and which share of the model alone? Prints one table and writes one JSON.

Run: python benchmarks/embed.py [--minutes 60] [--sizes tiny,base] [embed.json]; it makes its own recordings,
48 kHz, as wav and flac. `base` hears as many minutes as it can in about a minute of this machine.

The model alone is measured before and after each run, so that a machine that others use too gives a fair
share; the share by the processor's time counts what decoding and writing cost wherever they ran.
"""

import io
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import psutil
import soundfile
import torch
from rich.console import Console

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder, Size
from bioacoustics.models.saved import bundle_of_encoder, load_encoder, write_bundle
from bioacoustics.workflows.embed import EmbedConfig, embed

RATE_HZ = 48_000
WINDOW_S = 5.0
BATCH_SIZE = 8
ALONE_S = 5.0  # of the processor
LONGEST_S = 60.0  # of a measurement: slow models hear fewer minutes
FORMATS = ("wav", "flac")


def main() -> None:
    """Measure, print and save."""
    words = sys.argv[1:]
    minutes = int(words[words.index("--minutes") + 1]) if "--minutes" in words else 60
    chosen = words[words.index("--sizes") + 1].split(",") if "--sizes" in words else ["tiny", "base"]
    sizes = [size for size in get_args(Size) if size in chosen]
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        for size in sizes:
            results |= _measure(Path(name), size, minutes)
    for what, value in results.items():
        print(f"{what:60} {value:12.2f}")
    if words and words[-1].endswith(".json"):
        Path(words[-1]).write_text(json.dumps(results, indent=1) + "\n")


def _measure(folder: Path, size: Size, minutes: int) -> dict[str, float]:
    model = folder / f"{size}.pt"
    torch.manual_seed(0)
    write_bundle(
        bundle_of_encoder(AudioEncoder(LogMelConfig.eat(), EATEncoder(EATConfig.of_size(size)))), model
    )
    encoder = load_encoder(model)
    speed = _model_alone(encoder).by_clock
    heard_min = max(2, min(minutes, int(speed * LONGEST_S / 60)))
    results = {f"{size}: minutes heard": float(heard_min)}
    for suffix in FORMATS:
        path = folder / f"{size}.{suffix}"
        _write(path, 1)
        _embedded(model, path, folder / f"{size}-warm.lance")  # loads what is loaded once
        _write(path, heard_min)
        before = _model_alone(encoder)
        whole, memory_mb = _embedded(model, path, folder / f"{size}-{suffix}.lance")
        after = _model_alone(encoder)
        results |= {
            f"{size}: hours per hour, {suffix} to a store": whole.by_clock,
            f"{size}: the model alone, before": before.by_clock,
            f"{size}: the model alone, after {suffix}": after.by_clock,
            f"{size}: share by the clock, {suffix}, %": 200
            * whole.by_clock
            / (before.by_clock + after.by_clock),
            f"{size}: share by the processor's time, {suffix}, %": 200
            * whole.by_processor
            / (before.by_processor + after.by_processor),
            f"{size}: growth of resident memory, {suffix}, MB": memory_mb,
        }
        path.unlink()
    return results


def _write(path: Path, minutes: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 60 * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1) as file:
        for _ in range(minutes):
            file.write(noise)


class Speed(NamedTuple):
    """Hours of audio in an hour of the clock, and of the processor."""

    by_clock: float
    by_processor: float


def _speed(audio_s: float, began: tuple[float, float]) -> Speed:
    return Speed(audio_s / (time.perf_counter() - began[0]), audio_s / (time.process_time() - began[1]))


def _model_alone(encoder: AudioEncoder) -> Speed:
    """With the sound already in memory."""
    waveforms = torch.randn(BATCH_SIZE, round(WINDOW_S * encoder.sample_rate_hz)) * 0.05
    num_batches = 0
    with torch.inference_mode():
        encoder.embed(waveforms)
        began = time.perf_counter(), time.process_time()
        while time.process_time() - began[1] < ALONE_S or num_batches < 2:
            encoder.embed(waveforms)
            num_batches += 1
    return _speed(num_batches * BATCH_SIZE * WINDOW_S, began)


def _embedded(model: Path, recording: Path, output: Path) -> tuple[Speed, float]:
    """The speed of the whole run, and by how many MB the process grew."""
    process, peak = psutil.Process(), 0
    before = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    config = EmbedConfig(
        model_path=model, data_dir=recording, output=str(output), window_s=WINDOW_S, device="cpu"
    )
    began = time.perf_counter(), time.process_time()
    embed(config, Console(file=io.StringIO()))
    speed = _speed(soundfile.info(recording).duration, began)
    done.set()
    watcher.join()
    return speed, (peak - before) / 1e6


if __name__ == "__main__":
    main()
