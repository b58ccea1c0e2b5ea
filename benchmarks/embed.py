"""How fast is `embed` end to end, and which share of the model alone? Prints one table and writes one JSON.

Run: python benchmarks/embed.py [--minutes 60] [--sizes tiny,base] [embed.json]; it makes its own recordings,
48 kHz, as wav and flac. `base` hears as many minutes as it can in about a minute of this machine.
"""

import io
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import get_args

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
    alone = _model_alone(model)
    heard_min = max(2, min(minutes, int(alone * LONGEST_S / 60)))
    results = {
        f"{size}: minutes heard": float(heard_min),
        f"{size}: hours per hour, front end and model alone": alone,
    }
    for suffix in FORMATS:
        path = folder / f"{size}.{suffix}"
        _write(path, heard_min)
        output = folder / f"{size}-{suffix}.lance"
        speed, memory_mb = _embedded(model, path, output)
        results[f"{size}: hours per hour, {suffix} to a store"] = speed
        results[f"{size}: share of the model alone, {suffix}, %"] = 100 * speed / alone
        results[f"{size}: growth of resident memory, {suffix}, MB"] = memory_mb
        path.unlink()
    results[f"{size}: model alone, measured again"] = _model_alone(model)
    return results


def _write(path: Path, minutes: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 60 * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1) as file:
        for _ in range(minutes):
            file.write(noise)


def _model_alone(model: Path) -> float:
    """Hours of audio per hour, with the sound already in memory."""
    encoder = load_encoder(model)
    waveforms = torch.randn(BATCH_SIZE, round(WINDOW_S * encoder.sample_rate_hz)) * 0.05
    num_batches = 0
    with torch.inference_mode():
        encoder.embed(waveforms)
        started = time.perf_counter()
        while time.perf_counter() - started < 5 or num_batches < 2:
            encoder.embed(waveforms)
            num_batches += 1
        return num_batches * BATCH_SIZE * WINDOW_S / (time.perf_counter() - started)


def _embedded(model: Path, recording: Path, output: Path) -> tuple[float, float]:
    """Hours of audio per hour of the whole run, and by how many MB the process grew."""
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
        model_path=model, data_dir=recording, output=str(output), window_s=WINDOW_S, device="cpu",
        batch_size=BATCH_SIZE,
    )  # fmt: skip
    started = time.perf_counter()
    embed(config, Console(file=io.StringIO()))
    elapsed_s = time.perf_counter() - started
    done.set()
    watcher.join()
    return soundfile.info(recording).duration / elapsed_s, (peak - before) / 1e6


if __name__ == "__main__":
    main()
