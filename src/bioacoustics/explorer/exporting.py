"""Exporting: windows as tables, as selections of other programs, as clips; the map as a picture."""

import csv
import io
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int
from matplotlib.figure import Figure

from bioacoustics.audio.cutting import cut_to_file
from bioacoustics.audio.recordings import Recording, UnreadableAudioError, read_header
from bioacoustics.data.events import Event
from bioacoustics.explorer.collection import Collection
from bioacoustics.explorer.colours import Colouring
from bioacoustics.explorer.sounds import NotOpenedError, Sounds
from bioacoustics.formats.audacity import write_audacity
from bioacoustics.formats.raven import write_combined_raven

COLUMNS = (
    "id",
    "file",
    "site",
    "channel",
    "start_s",
    "end_s",
    "start_time",
    "labels",
    "predicted",
    "probability",
    "findings",
)
Positions = Int[np.ndarray, " _"]


@dataclass(frozen=True, slots=True)
class Tables:
    """The same windows in the words of three programs; Audacity has one track for each recording."""

    csv: bytes
    raven: bytes
    audacity: bytes  # a ZIP


def selection_tables(collection: Collection, positions: Positions, sounds: Sounds) -> Tables:
    """Windows as tables; recordings that are not there any more stand in the CSV alone."""
    windows = collection.windows.iloc[positions]
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for row in windows[list(COLUMNS)].itertuples(index=False):
        rows.writerow(["" if value is None or value != value else _cell(value) for value in row])  # noqa: PLR0124
    recordings = _recordings(collection, positions, sounds)
    events = [
        Event(
            recording=str(row.file),
            start_s=_number(row.start_s),
            end_s=_number(row.end_s),
            label=str(row.labels or row.predicted or "window"),
        )
        for row in windows.itertuples(index=False)
        if str(row.file) in recordings
    ]
    with tempfile.TemporaryDirectory() as folder:
        raven = Path(folder) / "windows.txt"
        write_combined_raven(events, list(recordings.values()), raven)
        tracks = Path(folder) / "audacity"
        write_audacity(events, tracks)
        return Tables(text.getvalue().encode(), raven.read_bytes(), _zipped(tracks))


def clips_zip(collection: Collection, positions: Positions, sounds: Sounds) -> bytes:
    """Each window as a file of its own, at its native rate and with all its channels; with their list."""
    file, problems = io.BytesIO(), []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive, tempfile.TemporaryDirectory() as folder:
        for number, position in enumerate(np.asarray(positions).tolist(), start=1):
            row = collection.windows.iloc[position]
            stem = PurePosixPath(str(row["file"])).stem
            name = f"{number:04d}_{stem}_{row['start_s']:.2f}s.flac"
            path = Path(folder) / "clip.flac"
            try:
                found = sounds.path_of(position)
                recording = read_header(found, found.parent)
                cut_to_file(recording, float(row["start_s"]), float(row["end_s"]), path)
            except (UnreadableAudioError, NotOpenedError, OSError) as error:
                problems.append(f"{row['file']} {row['start_s']:.2f}: {error}")
                continue
            archive.write(path, name)
        if problems:
            archive.writestr("problems.txt", "\n".join(problems) + "\n")
    return file.getvalue()


def map_picture(
    fitted: Any,
    colouring: Colouring,
    passes: Bool[np.ndarray, " windows"],
    selected: Positions,
    kind: Literal["png", "svg"],
) -> bytes:
    """The map in print quality, in its present colours; of a 3-D map the first two axes."""
    places = np.asarray(fitted.coordinates)[:, :2]
    x, y = places.T
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.add_subplot()
    colours = np.array(colouring.palette)[colouring.codes]
    size = max(1.0, 60 / max(len(places), 1) ** 0.35)
    axes.scatter(x[~passes], y[~passes], s=size, c="#d9dee2", linewidths=0)
    axes.scatter(x[passes], y[passes], s=size, c=colours[passes], linewidths=0, alpha=0.85)
    axes.scatter(
        x[selected], y[selected], s=3 * size, facecolors="none", edgecolors="#22303c", linewidths=0.5
    )
    axes.set_aspect("equal", "datalim")
    axes.set_axis_off()
    if colouring.names:
        for name, colour in list(zip(colouring.names, colouring.palette, strict=False))[:25]:
            if name:
                axes.scatter([], [], c=colour, s=25, label=name)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=200)
    return file.getvalue()


def _recordings(collection: Collection, positions: Positions, sounds: Sounds) -> dict[str, Recording]:
    found: dict[str, Recording] = {}
    files = collection.windows["file"].to_numpy(str)
    for position in np.asarray(positions).tolist():
        name = files[position]
        if name in found:
            continue
        try:
            path = sounds.path_of(position)
            found[name] = replace(read_header(path, path.parent), relative_path=name)
        except (UnreadableAudioError, NotOpenedError, OSError):
            continue
    return found


def _number(value: Any) -> float:
    return float(value)


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _zipped(folder: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return file.getvalue()
