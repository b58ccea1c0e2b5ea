"""Surveying: what recordings say of themselves, and how loud some of their windows are."""

from pathlib import Path

import numpy as np
import pandas as pd

from bioacoustics.audio.reading import read_segment
from bioacoustics.audio.recordings import UnreadableAudioError, read_header
from bioacoustics.audio.segments import Segment
from bioacoustics.explorer.places import places_of
from bioacoustics.explorer.sounds import channel_of
from bioacoustics.explorer.steps import DONE, Progress, Step, part, silent

NUM_MEASURED = 300  # windows whose loudness is measured


def survey(
    recordings: pd.DataFrame,
    windows: pd.DataFrame,
    deployments: Path | None = None,
    on_progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """The columns of `places_of` under "place ...", and "position" and "level_db" of the windows.

    Args:
        recordings: Columns recording, file, path.
        windows: Columns position, path, channel, start_s, end_s.
        deployments: Table of places.
        on_progress: Is told how far it is.

    Raises:
        FileNotFoundError: There is no such table of deployments.
        ValueError: The table contradicts itself.
    """
    report = on_progress or silent
    report(0.0, Step("headers"))
    places = places_of(recordings, deployments, part(report, 0.0, 0.5)).reset_index()
    levels = []
    columns = (windows[name] for name in ("path", "channel", "start_s", "end_s"))
    for done, (path, channel, start_s, end_s) in enumerate(zip(*columns, strict=True)):
        report(0.5 + done / len(windows) / 2, Step("loudness", done + 1, len(windows)))
        levels.append(_level_db(Path(path), channel, start_s, end_s))
    report(1.0, DONE)
    texts = {"recording", "recorder"}
    return {
        **{f"place {name}": places[name].to_numpy(str if name in texts else float) for name in places},
        "position": windows["position"].to_numpy(int),
        "level_db": np.array(levels, float),
    }


def _level_db(path: Path, channel: str, start_s: float, end_s: float) -> float:
    """Power in dB of full scale; NaN where nothing can be read."""
    try:
        recording = read_header(path, path.parent)
        segment = Segment(recording, start_s, end_s - start_s)
        reading = read_segment(segment, recording.sample_rate_hz, channel_of(channel))
    except (UnreadableAudioError, OSError, ValueError):
        return float("nan")
    power = float(np.square(reading.samples, dtype=np.float64).mean()) if reading.samples.size else 0.0
    return float(10 * np.log10(power + 1e-12))
