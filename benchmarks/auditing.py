"""How many files a second does an audit date, compare and listen to? Prints one table and writes one JSON.

Run: python benchmarks/auditing.py [auditing.json]; it makes its own card. The rates of the processor are
those of a machine of one core that nobody else uses.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import soundfile

from bioacoustics.audio.copies import find_copies
from bioacoustics.audio.recordings import scan_recordings
from bioacoustics.audio.sound_checks import check_sound
from bioacoustics.data.deployments import place
from bioacoustics.data.timelines import flags_of, gaps_of

NUM_FILES = 2000
NUM_HEARD = 300
NUM_THREADS = 4
MINUTES = 1
RATE_HZ = 48000


def main() -> None:
    """Measure, print and save."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_card(folder)
        results = _measured(folder)
    for what, value in results.items():
        print(f"{what:60} {value:10.1f}")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(results, indent=1) + "\n")


def _make_card(folder: Path) -> None:
    """Links to one recording of a minute, named as a recorder would: the disk's cache is warm."""
    noise = np.random.default_rng(0).normal(0, 0.01, MINUTES * 60 * RATE_HZ)
    original = folder / "original"
    soundfile.write(original, noise, RATE_HZ, format="WAV")
    for i in range(NUM_FILES):
        start = datetime(2024, 3, 1) + timedelta(minutes=10 * i)
        path = folder / "card" / f"site{i % 10}" / f"{start:%Y%m%d_%H%M%S}.WAV"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(original)


def _measured(folder: Path) -> dict[str, float]:
    results: dict[str, float] = {}

    def note(what: str, num_files: int, work: Callable[[], object]) -> None:
        began = time.perf_counter(), time.process_time()
        work()
        results[f"{what}: files/s"] = num_files / (time.perf_counter() - began[0])
        results[f"{what}: files/s of the processor"] = num_files / (time.process_time() - began[1])

    recordings = scan_recordings(folder / "card", num_threads=NUM_THREADS).recordings
    note("headers", NUM_FILES, lambda: scan_recordings(folder / "card", num_threads=NUM_THREADS))
    placements = [place(recording) for recording in recordings]
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        note("dates", NUM_FILES, lambda: list(pool.map(place, recordings)))
        heard = recordings[:NUM_HEARD]
        note("listening, 3 x 2 s of each", len(heard), lambda: list(pool.map(check_sound, heard)))
    note("flags and gaps", NUM_FILES, lambda: (flags_of(placements, datetime.now(UTC)), gaps_of(placements)))
    alike = [recording.path for recording in recordings[:20]]
    note("copies, all alike, whole content", len(alike), lambda: find_copies(alike))
    return results


if __name__ == "__main__":
    main()
