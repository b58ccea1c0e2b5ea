"""Evaluation inputs: what a model said of the annotated recordings, from whatever predict wrote."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from jaxtyping import Float

from bioacoustics.data.events import Event
from bioacoustics.data.spreadsheets import some_of
from bioacoustics.formats.event_tables import read_events
from bioacoustics.inference.event_stream import EventStream
from bioacoustics.inference.patch_scores import joined
from bioacoustics.models.bundle import Header
from bioacoustics.workflows.clips import read_candidates
from bioacoustics.workflows.evaluation import Judged, window_targets
from bioacoustics.workflows.event_making import EventRules
from bioacoustics.workflows.output import Location, is_store
from bioacoustics.workflows.score_reading import SCORE_COLUMN, Piece, ScoreSource, open_scores
from bioacoustics.workflows.window_scores import windows_beside

Truth = dict[str, list[Event]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """Units with scores and events, as far as there are any."""

    labels: tuple[str, ...]
    judged: Judged | None
    events: Sequence[Event] | None
    model: str
    window_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is truly in recordings, and by which rules predictions are judged."""

    truth: Truth  # recordings that were never heard are taken out, heard ones may be added
    has_times: bool
    rates_hz: Mapping[str, int]
    rules: EventRules
    min_overlap: float
    unannotated: Literal["skip", "empty"]
    header: Header | None

    def judges(self, file: str) -> bool:
        """Whether it is known what is in a recording."""
        return file in self.truth or self.unannotated == "empty"


def read_predicted(location: Location, trial: Trial) -> Predicted:
    """What a table or store says of the recordings of a trial.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: it is no table of predictions or events, or is about other recordings.
    """
    path = Path(location)
    names = () if is_store(location) else _columns(path)
    if names and not windows_beside(path).is_file():
        if "label" in names and not any(map(SCORE_COLUMN.fullmatch, names)):
            return _of_events(path, trial)
        if "start_s" not in names and "scores" not in names:
            return _of_recordings(path, trial)
    fingerprint = trial.header.fingerprint if trial.header else None
    return _of_windows(open_scores(location, model=fingerprint), trial)


def _columns(path: Path) -> tuple[str, ...]:
    """Names of the columns, as they are written."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; give what predict wrote")
    if path.suffix.lower() == ".parquet":
        return tuple(pa.parquet.read_schema(path).names)
    with path.open(newline="", encoding="utf-8-sig") as file:
        return tuple(next(csv.reader(file), []))


def _of_events(path: Path, trial: Trial) -> Predicted:
    events = [event for event in read_events(path) if event.recording in trial.truth]
    marked = {event.label for members in trial.truth.values() for event in members}
    labels = tuple(sorted({event.label for event in events} | marked))
    return Predicted(labels=labels, judged=None, events=events, model="", window_s=0.0)


def _of_recordings(path: Path, trial: Trial) -> Predicted:
    candidates = read_candidates(path)
    labels = tuple(candidates.scores)
    rows = [i for i, file in enumerate(candidates.files) if trial.judges(file)]
    files = [candidates.files[row] for row in rows]
    _check_common(path, files, candidates.files, trial.truth)
    judged = Judged(
        unit="recording",
        files=files,
        starts_s=np.zeros(len(rows)),
        scores=np.stack([candidates.scores[label][1][rows] for label in labels], axis=1),
        targets=_file_targets(files, trial.truth, labels),
    )
    return Predicted(labels=labels, judged=judged, events=None, model="", window_s=0.0)


def _file_targets(
    files: Sequence[str], truth: Truth, labels: tuple[str, ...]
) -> Float[np.ndarray, "units classes"]:
    present = [{event.label for event in truth.get(file, ())} for file in files]
    return np.array([[float(label in names) for label in labels] for names in present])


def _of_windows(source: ScoreSource, trial: Trial) -> Predicted:
    """Windows with their scores, targets and events, recording by recording."""
    gathered = _Gathered(source, trial)
    seen = []
    for (file, _), pieces in groupby(source.pieces(), key=lambda piece: piece.take):
        seen.append(file)
        if trial.judges(file):
            gathered.add(file, pieces)
    _check_common(source.location, gathered.files, seen, trial.truth)
    judged = Judged(
        unit="window" if trial.has_times else "recording",
        files=gathered.files,
        starts_s=np.concatenate(gathered.starts),
        scores=np.nan_to_num(np.concatenate(gathered.scores).astype(np.float64), nan=0.0),
        targets=np.concatenate(gathered.targets),
    )
    return Predicted(
        labels=source.facts.labels,
        judged=judged,
        events=gathered.events,
        model=gathered.model,
        window_s=gathered.window_s,
    )


class _Gathered:
    """What was gathered of the recordings so far."""

    def __init__(self, source: ScoreSource, trial: Trial) -> None:
        self._source, self._trial, self._labels = source, trial, source.facts.labels
        thresholds = trial.header.thresholds if trial.header else None
        self._open_at = np.array(list(trial.rules.opening(self._labels, thresholds).values()))
        self.files: list[str] = []
        self.starts: list[Float[np.ndarray, " units"]] = []
        self.scores: list[Float[np.ndarray, "units classes"]] = []
        self.targets: list[Float[np.ndarray, "units classes"]] = []
        self.events: list[Event] = []
        self.model, self.window_s = "", 0.0

    def add(self, file: str, pieces: Iterable[Piece]) -> None:
        """Take in one channel of a recording."""
        trial, facts = self._trial, self._source.facts
        members = trial.truth.setdefault(file, [])
        nyquist_hz = trial.rates_hz.get(file, 2e9) / 2
        stream = EventStream(file, self._labels, trial.rules.rules(), self._open_at, facts.grid, nyquist_hz)
        heard = []
        for piece in pieces:
            self.model = piece.model
            self.events += stream.add(piece.windows)
            heard.append(replace(piece.windows, kept=None, patches=()))
        self.events += stream.close()
        windows = joined(heard)
        self.window_s = max(self.window_s, float((windows.ends_s - windows.starts_s).max()))
        if trial.has_times:
            starts_s, scores = windows.starts_s, windows.scores
            targets = window_targets(starts_s, windows.ends_s, members, self._labels, trial.min_overlap)
        else:
            starts_s, scores = np.zeros(1), _of_whole(windows.scores, facts.multi_label)
            targets = _file_targets([file], trial.truth, self._labels)
        self.files += [file] * len(starts_s)
        self.starts.append(starts_s)
        self.scores.append(scores)
        self.targets.append(targets)


def _of_whole(
    scores: Float[np.ndarray, "windows classes"], multi_label: bool | None
) -> Float[np.ndarray, "1 classes"]:
    """Scores of a recording from those of its windows, as predict has them."""
    if multi_label is None:  # a table does not say so, but probabilities of one label sum to one
        multi_label = not np.allclose(scores.sum(axis=1), 1, atol=1e-3)
    whole: Float[np.ndarray, " classes"] = scores.max(axis=0) if multi_label else scores.mean(axis=0)
    return whole[None]


def _check_common(location: object, files: Sequence[str], seen: Sequence[str], truth: Truth) -> None:
    """Forget annotated recordings that were never heard; refuse if none is left."""
    if not files:
        raise ValueError(
            f"{location} and the annotations have no recording in common: there are {some_of(seen, 2)} there "
            f"and {some_of(list(truth), 2)} here; --data_dir must be the one that predict was given"
        )
    for file in truth.keys() - set(files):
        del truth[file]
