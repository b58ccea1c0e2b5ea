"""Clips: cut the best, the random and the borderline windows of each label, for people to listen to."""

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from jaxtyping import Float, Int
from pydantic import BaseModel, Field
from rich.console import Console

from bioacoustics.audio.cutting import CutFormat, cut_to_file
from bioacoustics.audio.recordings import Recording, UnreadableAudioError, UnreadableFile, read_header
from bioacoustics.data.deployments import NO_DEPLOYMENTS, Placement, place, read_deployments
from bioacoustics.data.file_names import FileMatcher
from bioacoustics.formats.tables import Cell, check_ending, write_rows
from bioacoustics.workflows.survey import BadFiles, Outcome

KINDS = ("best", "random", "borderline")
COLUMNS = (
    *("clip", "label", "kind", "score", "file", "start_s", "end_s", "start_time", "time_source", "verdict"),
)
_SCORE_COLUMN = re.compile(r"p\((.+)\)")
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # on Windows


class ClipsConfig(BaseModel, frozen=True, extra="forbid"):
    """What `clips` needs to know."""

    predictions: Path = Field(
        description="table with file, start_s, end_s and p(label) columns, or events with label and score"
    )
    data_dir: Path = Field(description="the recordings that the table names")
    output_dir: Path = Field(description="folder for the clips: LABEL/best, LABEL/random, LABEL/borderline")
    num_clips: int = Field(default=20, ge=1, description="clips of each kind for each label")
    threshold: float = Field(
        default=0.5, ge=0, le=1, description="random clips reach it, borderline ones lie nearest to it"
    )
    label: str | None = Field(default=None, description="only this label [default: all of them]")
    context_s: float = Field(default=0.0, ge=0, description="seconds to add before and behind")
    format: CutFormat = Field(default="wav", description="of the clips")
    deployments: Path | None = Field(default=None, description="table of sites, zones and clock offsets")
    seed: int = Field(default=0, ge=0, description="of the random clips")
    bad_files: BadFiles = Field(default=BadFiles.REPORT, description="recordings that cannot be used")


@dataclass(frozen=True, slots=True)
class Candidates:
    """The windows of a table, and for each label the rows it can be cut from with their scores."""

    files: Sequence[str]
    starts_s: Float[np.ndarray, " rows"]
    ends_s: Float[np.ndarray, " rows"]  # infinite: to the end of the file
    scores: Mapping[str, tuple[Int[np.ndarray, " _"], Float[np.ndarray, " _"]]]


def clips(config: ClipsConfig, console: Console) -> Outcome:
    """Cut clips for review into a folder for each label, with a table that has room for verdicts.

    Best are the highest scores; random ones are drawn from all that reach the threshold, so that the share of
    right ones among them estimates precision there; borderline ones are those of the rest that lie nearest to
    the threshold. Clips keep the native sample rate and all channels.
    """
    candidates = read_candidates(config.predictions)
    labels = _wanted(config, candidates)
    deployments = read_deployments(config.deployments) if config.deployments else NO_DEPLOYMENTS
    matcher = FileMatcher(config.data_dir)
    outcome = Outcome()
    found: dict[str, Placement | None] = {}
    rows: list[list[Cell]] = []
    for label, folder in zip(labels, folder_names(labels), strict=True):
        members, scores = candidates.scores[label]
        for kind, number, chosen in _choose(scores, config, label):
            row = int(members[chosen])
            file = candidates.files[row]
            if file not in found:
                recording = _recording(file, matcher, config.data_dir, outcome)
                found[file] = place(recording, deployments) if recording else None
            placement = found[file]
            if placement is None:
                continue
            score = float(scores[chosen])
            start_s = max(0.0, float(candidates.starts_s[row]) - config.context_s)
            end_s = min(float(candidates.ends_s[row]) + config.context_s, placement.recording.duration_s)
            stem = _safe(PurePosixPath(file).stem)
            name = f"{folder}/{kind}/{number:03d}_{score:.3f}_{stem}_{start_s:.2f}s.{config.format}"
            try:
                cut_to_file(placement.recording, start_s, end_s, config.output_dir / name)
            except UnreadableAudioError as error:
                outcome.unusable.append(_unreadable(file, placement.recording.path, error.reason))
                continue
            times: list[Cell] = [placement.iso_time(start_s), placement.source.value]
            rows.append([name, label, kind, score, file, start_s, end_s, *times, None])
    if not rows:
        reasons = "".join(f"\n  {file.relative_path}: {file.reason}" for file in outcome.unusable[:5])
        raise ValueError(f"{config.predictions}: no clip could be cut from {config.data_dir}{reasons}")
    write_rows(config.output_dir / "review.csv", COLUMNS, rows)
    outcome.show(console)
    console.print(
        f"{config.output_dir / 'review.csv'}: {len(rows)} clips of {len(labels)} labels; "
        "listen, and write yes or no into the column verdict",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return outcome


def read_candidates(path: Path) -> Candidates:
    """Read a table of predictions (p(label) columns) or events (label, score); whole files without start_s.

    Raises:
        FileNotFoundError: There is no such table.
        ValueError: It has no file column or no scores.
    """
    if path.suffix.lower() == ".lance":
        raise ValueError(
            f"{path} is a store, and clips are cut by a table: write its events with 'bioacoustics events "
            f"{path} --data_dir ...', and give their events.csv"
        )
    check_ending(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; give a table that predict wrote")
    table = pa.parquet.read_table(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    columns = ", ".join(table.column_names)
    if "file" not in table.column_names:
        raise ValueError(f"{path}: no column 'file'; its columns are {columns}")
    labels = {name: found[1] for name in table.column_names if (found := _SCORE_COLUMN.fullmatch(name))}
    if labels:
        everyone = np.arange(table.num_rows)
        scores = {label: (everyone, _column(table, name)) for name, label in labels.items()}
    elif {"label", "score"} <= set(table.column_names):
        names, values = np.array(table["label"].to_pylist(), dtype=str), _column(table, "score")
        members = {str(label): np.flatnonzero(names == label) for label in np.unique(names)}
        scores = {label: (rows, values[rows]) for label, rows in members.items()}
    else:
        raise ValueError(
            f"{path}: no scores; there must be columns p(label), or the columns label and score. "
            f"Its columns are {columns}"
        )
    has_times = {"start_s", "end_s"} <= set(table.column_names)
    return Candidates(
        files=table["file"].to_pylist(),
        starts_s=_column(table, "start_s") if has_times else np.zeros(table.num_rows),
        ends_s=_column(table, "end_s") if has_times else np.full(table.num_rows, np.inf),
        scores=scores,
    )


def _read_csv(path: Path) -> Any:
    """The table with names as text, also where they look like numbers or dates."""
    options = pa.csv.ConvertOptions(column_types={"file": pa.string(), "label": pa.string()})
    try:
        return pa.csv.read_csv(path, convert_options=options)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: no table that can be read: {error}") from error


def _column(table: Any, name: str) -> Float[np.ndarray, " rows"]:
    """A column of numbers; empty cells are NaN."""
    try:
        values: Float[np.ndarray, " rows"] = table[name].cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise ValueError(f"the column {name} holds something that is no number: {error}") from error
    return values


def _wanted(config: ClipsConfig, candidates: Candidates) -> list[str]:
    labels = list(candidates.scores)
    if config.label is None:
        return labels
    if config.label not in labels:
        raise ValueError(f"--label {config.label}: {config.predictions} has {', '.join(labels[:20])}")
    return [config.label]


def _choose(
    scores: Float[np.ndarray, " _"], config: ClipsConfig, label: str
) -> Iterator[tuple[str, int, int]]:
    """(kind, number from 1, position) of the chosen; only a random one may be among the best, too."""
    known = np.flatnonzero(np.isfinite(scores))
    order = known[np.argsort(-scores[known], kind="stable")]
    best, rest = order[: config.num_clips], order[config.num_clips :]
    # A draw that depends on the label alone stays the same when other labels come or go.
    rng = np.random.default_rng([config.seed, zlib.crc32(label.encode())])
    above = order[scores[order] >= config.threshold]
    drawn = rng.permutation(above)[: config.num_clips]
    rest = np.setdiff1d(rest, drawn)
    nearest = rest[np.argsort(np.abs(scores[rest] - config.threshold), kind="stable")][: config.num_clips]
    for kind, positions in zip(KINDS, (best, drawn, nearest), strict=True):
        for number, position in enumerate(positions.tolist(), start=1):
            yield kind, number, position


def _recording(file: str, matcher: FileMatcher, data_dir: Path, outcome: Outcome) -> Recording | None:
    match = matcher.find(file)
    if match.path is None:
        outcome.unusable.append(_unreadable(file, data_dir / file, match.remark))
        return None
    try:
        is_inside = match.path.is_relative_to(data_dir)
        return read_header(match.path, data_dir if is_inside else match.path.parent)
    except UnreadableAudioError as error:
        outcome.unusable.append(_unreadable(file, match.path, error.reason))
        return None


def _unreadable(file: str, path: Path, reason: str) -> UnreadableFile:
    return UnreadableFile(path=path, relative_path=file, reason=reason)


def folder_names(labels: Sequence[str]) -> list[str]:
    """A folder name for each label that every system allows, no two alike."""
    names: list[str] = []
    for label in labels:
        name = _safe(label)
        while name.casefold() in {other.casefold() for other in names}:
            name += "_"
        names.append(name)
    return names


def _safe(name: str) -> str:
    safe = _UNSAFE.sub("_", name).strip(". ") or "_"
    return f"{safe}_" if _RESERVED.fullmatch(safe) else safe
