"""Places: where recordings were made and by what, from their headers and the table of deployments."""

from pathlib import Path

import pandas as pd

from bioacoustics.audio.recordings import UnreadableAudioError, read_header
from bioacoustics.data.deployments import NO_DEPLOYMENTS, place, read_deployments
from bioacoustics.explorer.steps import Progress, Step, silent

SECONDS_PER_HOUR = 3600.0


def places_of(
    windows: pd.DataFrame, deployments: Path | None = None, on_progress: Progress | None = None
) -> pd.DataFrame:
    """One row a recording: recorder ("" where unknown), latitude, longitude and hours east of UTC (NaN).

    Only headers are read; a recording that is not where it was has an empty row.

    Raises:
        FileNotFoundError: There is no such table of deployments.
        ValueError: The table contradicts itself.
    """
    table = read_deployments(deployments) if deployments is not None else NO_DEPLOYMENTS
    report = on_progress or silent
    rows: list[dict[str, object]] = []
    firsts = windows.drop_duplicates("recording")
    for name, file, path in zip(firsts["recording"], firsts["file"], firsts["path"], strict=True):
        report(len(rows) / len(firsts), Step("headers"))
        row: dict[str, object] = {"recording": str(name), "recorder": ""}
        try:
            found = place(read_header(Path(str(path)), _root(Path(str(path)), str(file))), table)
        except (UnreadableAudioError, OSError, ValueError):
            rows.append(row)
            continue
        offset = found.start.utcoffset() if found.start is not None else None
        rows.append(
            row
            | {
                "recorder": found.origin.notes.device,
                "latitude": found.latitude,
                "longitude": found.longitude,
                "utc_offset_h": None if offset is None else offset.total_seconds() / SECONDS_PER_HOUR,
            }
        )
    columns = ["recording", "recorder", "latitude", "longitude", "utc_offset_h"]
    frame = pd.DataFrame(rows, columns=columns).set_index("recording")
    return frame.astype(dict.fromkeys(columns[2:], float))


def _root(path: Path, file: str) -> Path:
    """The folder that a file's name in the store counts from, so that deployments find their folders."""
    depth = len(Path(file).parts)
    root = path.parents[depth - 1] if 0 < depth <= len(path.parents) else path.parent
    return root if (root / file) == path else path.parent
