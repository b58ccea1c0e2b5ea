"""How fast are headers scanned and windows read? Prints one table and writes one JSON; needs no data.

Run: python benchmarks/audio_reading.py [audio_reading.json]
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import soundfile

from bioacoustics.audio.reading import read_segment, stream_segments
from bioacoustics.audio.recordings import read_header, scan_recordings
from bioacoustics.audio.segments import Segment, SegmentConfig

NUM_FILES = 5000
NUM_THREADS = (1, None)
MINUTES = 20
RATE_HZ = 48000
WINDOW_S = 10.0
FORMATS: dict[str, dict[str, str]] = {
    "wav": {"subtype": "PCM_16"},
    "flac": {},
    "ogg": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {},
}


def main() -> None:
    """Measure, print and save."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = _scanning(folder / "many") | _reading(folder)
    for what, value in results.items():
        print(f"{what:55} {value:10.1f}")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(results, indent=1) + "\n")


def _scanning(folder: Path) -> dict[str, float]:
    """Small files in many folders, half WAV and half FLAC; the disk's cache is warm."""
    folder.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.05, 4800)
    originals = [folder / "original.wav", folder / "original.flac"]
    for original in originals:
        soundfile.write(original, noise, RATE_HZ)
    for i in range(NUM_FILES):
        path = folder / f"site {i % 50:02d}" / f"{i:05d}{originals[i % 2].suffix}"
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(originals[i % 2], path)
    results = {}
    for num_threads in NUM_THREADS:
        elapsed_s = min(scan_recordings(folder, num_threads=num_threads).elapsed_s for _ in range(3))
        results[f"scan: files/s, threads: {num_threads or 'default'}"] = NUM_FILES / elapsed_s
    return results


def _reading(folder: Path) -> dict[str, float]:
    """Windows of long recordings, resampled from 48 to 16 kHz."""
    rng = np.random.default_rng(0)
    second = rng.normal(0, 0.05, RATE_HZ)
    results = {}
    for name, options in FORMATS.items():
        path = folder / f"long.{name}"
        with soundfile.SoundFile(path, "w", RATE_HZ, 1, **options) as file:
            for _ in range(60 * MINUTES):
                file.write(second)
        recording = read_header(path, folder)
        started = time.perf_counter()
        for _ in stream_segments(recording, SegmentConfig(window_s=WINDOW_S)):
            pass
        elapsed_s = time.perf_counter() - started
        results[f"{name}: times real time, streamed"] = recording.duration_s / elapsed_s
        starts_s = rng.uniform(0, recording.duration_s - WINDOW_S, 9)
        took_s = [_seconds_to_read(Segment(recording, float(start_s), WINDOW_S)) for start_s in starts_s]
        results[f"{name}: ms for a 10-s window anywhere in {MINUTES} minutes"] = 1000 * median(took_s)
    return results


def _seconds_to_read(segment: Segment) -> float:
    started = time.perf_counter()
    read_segment(segment)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
