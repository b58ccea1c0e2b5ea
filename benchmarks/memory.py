"""Does memory stay constant over a day of sound? Resident memory by the hour, as a table and a JSON.

Run: python benchmarks/memory.py [--hours 24] [--only mp3] [memory.json]; it makes its own recordings: an RF64
wav of 48 kHz, which is mostly a hole on the disk, a flac and an MP3 of 16 kHz. With `--only` the process has
heard nothing else before.
"""

import io
import json
import struct
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile
import torch
from rich.console import Console

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.inference.windows import WindowBatch
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.workflows.journal import RunSettings
from bioacoustics.workflows.store_journal import StoreJournal
from bioacoustics.workflows.traverse import Traversal, TraverseConfig, reading_settings

WINDOW_S = 10.0
MP3_PIECE_S = 60


def main() -> None:
    """Measure, print and save."""
    words = sys.argv[1:]
    hours = int(words[words.index("--hours") + 1]) if "--hours" in words else 24
    writers = {"wav": _write_rf64, "flac": _write_flac, "mp3": _write_mp3}
    wanted = [words[words.index("--only") + 1]] if "--only" in words else list(writers)
    results: dict[str, dict[str, object]] = {}
    for suffix in wanted:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / f"day.{suffix}"
            writers[suffix](path, hours)
            results[suffix] = _measured(path)
        print(f"{suffix}: {results[suffix]}", flush=True)
    if words and words[-1].endswith(".json"):
        Path(words[-1]).write_text(json.dumps(results, indent=1) + "\n")


def _measured(path: Path) -> dict[str, object]:
    """MB after each hour of sound, and how fast it went; a small model, whose memory hides nothing."""
    torch.manual_seed(0)
    config = EATConfig(embed_dim=32, depth=1, num_heads=2, num_position_columns=64)
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(config))
    process, by_hour, heard_s = psutil.Process(), [], 0.0

    def compute(batch: WindowBatch) -> torch.Tensor:
        nonlocal heard_s
        heard_s += batch.waveforms.numel() / encoder.sample_rate_hz
        if heard_s >= 3600 * (len(by_hour) + 1) - 1:
            by_hour.append(round(process.memory_info().rss / 1e6))
        return encoder.embed(batch.waveforms)

    traversal = Traversal(
        settings := TraverseConfig(data_dir=path, device="cpu"),
        compute,
        window_s=WINDOW_S,
        sample_rate_hz=encoder.sample_rate_hz,
        min_samples=400,
        precision="float32",
        console=Console(file=io.StringIO()),
    )
    run = RunSettings(
        command="embed", model="0", model_path="-", front_end=reading_settings(settings, WINDOW_S)
    )
    journal = StoreJournal(f"{path}.lance", run, traversal.sources, traversal.segments, dim=32)
    started = time.perf_counter()
    traversal.run(journal)
    journal.finish(traversal.outcome)
    return {
        "bytes of the file": path.stat().st_size,
        "rows": journal.store.count("windows"),
        "hours per hour": round(heard_s / (time.perf_counter() - started)),
        "MB after each hour": by_hour,
        "growth from hour 1, MB": max(by_hour) - by_hour[0],
    }


def _noise(rate_hz: int, num_s: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.05, num_s * rate_hz)


def _write_rf64(path: Path, hours: int) -> None:
    """Beyond 4 GB from 13 hours on; a minute of noise in each hour, else a hole."""
    rate_hz = 48_000
    num_bytes = 2 * rate_hz * 3600 * hours
    noise = (32767 * _noise(rate_hz)).astype("<i2").tobytes()
    with path.open("wb") as file:
        sizes = struct.pack("<QQQI", num_bytes + 72, num_bytes, num_bytes // 2, 0)
        file.write(b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<I", 28) + sizes)
        form = struct.pack("<HHIIHH", 1, 1, rate_hz, 2 * rate_hz, 2, 16)
        file.write(b"fmt " + struct.pack("<I", 16) + form + b"data\xff\xff\xff\xff")
        begin = file.tell()
        file.truncate(begin + num_bytes)
        for hour in range(hours):
            file.seek(begin + 2 * rate_hz * 3600 * hour)
            file.write(noise)


def _write_flac(path: Path, hours: int) -> None:
    noise = _noise(16_000)
    with soundfile.SoundFile(path, "w", 16_000, 1) as file:
        for _ in range(60 * hours):
            file.write(noise)


def _write_mp3(path: Path, hours: int) -> None:
    """A minute, coded once at a constant bit rate, again and again: to code a day takes too long."""
    minute = path.with_name("minute.mp3")
    time_s = np.arange(MP3_PIECE_S * 16_000) / 16_000
    tone = 0.2 * np.sin(2 * np.pi * 700 * time_s) * np.sin(2 * np.pi * 0.3 * time_s)
    soundfile.write(minute, tone, 16_000, bitrate_mode="CONSTANT", compression_level=0.8)
    content = minute.read_bytes()
    minute.unlink()
    frames = content[content.index(content[:2], 4) :]  # the first frame tells the length of a minute
    with path.open("wb") as file:
        for _ in range(60 * hours):
            file.write(frames)


if __name__ == "__main__":
    main()
