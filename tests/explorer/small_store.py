"""A store made by hand: windows of real sound in three kinds, so that nothing needs to be embedded."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile

from bioacoustics.store.database import Store
from bioacoustics.store.labels import add_labels
from bioacoustics.store.schema import RECORDINGS, windows_schema

RATE_HZ, WINDOW_S, DIM = 16000, 2.0, 12
KINDS = ("frog", "bird", "rain")


def make_store(
    folder: Path,
    *,
    num_recordings: int = 6,
    windows_each: int = 10,
    silent: bool = False,
    name: str = "season",
    first: int = 0,
) -> Path:
    """Recordings in `folder/cards`, counted from `first`, and a store `folder/NAME.lance` of them."""
    rng = np.random.default_rng(7 + first)
    store = Store.create(folder / f"{name}.lance")
    store.make_windows(DIM)
    recordings, windows = [], []
    for number in range(first, first + num_recordings):
        site = ("north", "south")[number % 2]
        file = f"{site}/card_{number}.wav"
        path = folder / "cards" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        begin = datetime(2026, 3, 1 + number // 2, 18, 0, tzinfo=UTC) + timedelta(hours=number)
        kinds = [KINDS[(number + i) % len(KINDS)] for i in range(windows_each)]
        sound = np.concatenate([sound_of(kind, rng) * (not silent) for kind in kinds])
        soundfile.write(path, sound, RATE_HZ, subtype="PCM_16")
        place = {"recording": f"r{number}", "file": file, "site": site, "channel": "mix", "audio": "a"}
        recordings.append(
            {"id": f"r{number}", "file": file, "path": str(path.resolve()), "site": site, "audio": "a",
             "start_time": begin.isoformat(), "duration_s": len(sound) / RATE_HZ, "sample_rate_hz": RATE_HZ,
             "num_channels": 1}
        )  # fmt: skip
        for i, kind in enumerate(kinds):
            moment = begin + timedelta(seconds=i * WINDOW_S)
            vector = np.eye(DIM)[KINDS.index(kind)] * 3 + rng.normal(0, 0.4, DIM)
            windows.append(
                {**place, "id": f"r{number}-{i}", "start_s": i * WINDOW_S, "end_s": (i + 1) * WINDOW_S,
                 "start_time": moment.isoformat(), "time_source": "header", "start_utc": moment,
                 "second_of_day": moment.hour * 3600 + moment.second, "findings": "", "model": "m",
                 "front_end": "f", "vector": vector.astype(np.float16)}
            )  # fmt: skip
    store.upsert("recordings", pa.Table.from_pylist(recordings, RECORDINGS))
    store.upsert("windows", pa.Table.from_pylist(windows, windows_schema(DIM)))
    store.state("embed", {"command": "embed", "model": "m", "front_end": {}, "model_path": "none.pt"})
    if num_recordings > 1 and not first:
        add_labels(store, ["r0-0", "r1-2"], "frog", who="ana")
    return folder / f"{name}.lance"


def sound_of(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Two seconds of it."""
    time = np.arange(round(WINDOW_S * RATE_HZ)) / RATE_HZ
    noise = rng.normal(0, 0.01, len(time))
    if kind == "rain":
        return 8 * noise
    pitch_hz, beat_hz = {"frog": (700, 4), "bird": (4200, 9)}[kind]
    return noise + 0.3 * np.sin(2 * np.pi * pitch_hz * time) * (np.sin(2 * np.pi * beat_hz * time) > 0)
