"""Label journal: what people say of windows, with who and when, undone, exported and taken in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float

from bioacoustics.audio.cutting import cut_to_file
from bioacoustics.audio.recordings import UnreadableAudioError, read_header
from bioacoustics.data.events import plain_label
from bioacoustics.data.spreadsheets import Complaints, read_table
from bioacoustics.formats.numbers import number_of
from bioacoustics.formats.tables import write_rows
from bioacoustics.store.database import Store, quoted
from bioacoustics.store.labels import add_labels, labels, remove_labels
from bioacoustics.store.schema import LABELS

COLUMNS = ("filename", "labels", "group", "start_s", "end_s", "who", "at")
_SAME_MOMENT_S = 0.01


@dataclass(frozen=True, kw_only=True)
class Undone:
    """What was taken back."""

    label: str
    num_windows: int


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One thing that was said: which rows it made, and which it replaced."""

    label: str
    ids: list[str]
    replaced: pa.Table


class LabelJournal:
    """What one person says of the windows of a store, and how to take it back."""

    def __init__(self, store: Store, who: str) -> None:
        if not who.strip():
            raise ValueError("labels belong to somebody: give a name")
        self.store, self.who = store, who.strip()
        self._entries: list[_Entry] = []

    def say(self, windows: Sequence[str], label: str, *, is_present: bool = True) -> int:
        """Say that a label is, or is not, in some windows; returns in how many.

        Raises:
            ValueError: The label is empty or has a comma, which separates labels in the table; or a window is
                not in the store.
        """
        label = plain_label(label)
        if "," in label:
            raise ValueError(f"the label {label!r} has a comma, which separates labels: give one at a time")
        ids = ["/".join((window, label, self.who)) for window in dict.fromkeys(windows)]
        replaced = self._rows(ids)
        count = add_labels(
            self.store, windows, label, who=self.who, is_present=is_present, at=self._next_moment()
        )
        if count:
            self._entries.append(_Entry(label=label, ids=ids, replaced=replaced))
        return count

    def undo(self) -> Undone | None:
        """Take back what this person said last; None if there is nothing.

        What it replaced comes back, as long as this journal said both; of what was said before the page was
        opened, the newest goes.
        """
        if self._entries:
            entry = self._entries.pop()
            remove_labels(self.store, entry.ids)
            self.store.upsert("labels", entry.replaced)
            return Undone(label=entry.label, num_windows=len(entry.ids))
        rows = self.store.rows("labels", ["id", "label", "at"], f"who = {quoted(self.who)}").to_pylist()
        if not rows:
            return None
        newest = max(row["at"] for row in rows)
        last = [row for row in rows if row["at"] == newest]
        remove_labels(self.store, [row["id"] for row in last])
        return Undone(label=last[0]["label"], num_windows=len(last))

    def newest(self) -> datetime | None:
        """When this person said something last."""
        said = self.store.rows("labels", ["at"], f"who = {quoted(self.who)}")["at"].to_pylist()
        return max(said, default=None)

    def _rows(self, ids: Sequence[str]) -> pa.Table:
        condition = f"id IN ({', '.join(map(quoted, ids))})" if ids else "false"
        return self.store.rows("labels", LABELS.names, condition).cast(LABELS)

    def _next_moment(self) -> datetime:
        """Now, but later than all that this person said: the order of what was said must be known."""
        now, newest = datetime.now(UTC), self.newest()
        return now if newest is None else max(now, newest + timedelta(microseconds=1))


def statements(store: Store) -> pd.DataFrame:
    """What is held true of each window and label: the newest that anybody said, in the order of time.

    Columns: window, file, channel, start_s, end_s, label, is_present, who, at.
    """
    rows: pd.DataFrame = labels(store).to_pandas()
    return rows.drop_duplicates(["window", "label"], keep="last").drop(columns="id").reset_index(drop=True)


def targets_of(
    windows: Sequence[str], said: pd.DataFrame
) -> tuple[tuple[str, ...], Float[np.ndarray, "windows classes"]]:
    """Which labels there are, and of every window: 1 where it is, 0 where it is not, NaN where nobody knows.

    Whoever names what is heard in a window has listened to it: other labels are not in it, unless said.
    """
    names = tuple(sorted(set(said["label"][said["is_present"].astype(bool)])))
    place_of = {window: i for i, window in enumerate(windows)}
    targets = np.full((len(windows), len(names)), np.nan, np.float32)
    rows = [
        (place_of[window], label, bool(is_present))
        for window, label, is_present in zip(said["window"], said["label"], said["is_present"], strict=True)
        if window in place_of
    ]
    targets[[place for place, _, is_present in rows if is_present]] = 0
    for place, label, is_present in rows:
        if label in names:
            targets[place, names.index(label)] = float(is_present)
    return names, targets


def write_labels(store: Store, path: Path, clips_dir: Path | None = None) -> int:
    """Write the labels that are present as labels.csv; returns the number of rows.

    Columns: filename, labels ("label1,label2"), group (the recording, so that a recording is never divided),
    start_s, end_s, who, at. With `clips_dir` every window is cut into a clip of its own there, which
    `filename` names: then the table trains a model as it is. Without, `filename` is the whole recording.
    Clips of a store that was made with --time_expansion play as slowly as the model heard them; `start_s` and
    `end_s` stay true seconds of the recording.

    Raises:
        ValueError: Nothing is labelled, or a recording that is to be cut cannot be read.
    """
    said = statements(store)
    said = said[said["is_present"].astype(bool)]
    if said.empty:
        raise ValueError(f"{store.location}: nothing is labelled yet")
    paths = {row["file"]: row["path"] for row in store.rows("recordings", ["file", "path"]).to_pylist()}
    expansion = _time_expansion(store)
    digits = 2 if expansion == 1 else 4
    rows = []
    for _, members in said.groupby("window", sort=True):
        first = members.iloc[0]
        name = str(first["file"])
        if clips_dir is not None:
            place = PurePosixPath(name)
            clip = f"{place.stem}_{first['start_s']:.{digits}f}_{first['end_s']:.{digits}f}.wav"
            name = str(place.with_name(clip))
            _cut(Path(paths.get(first["file"], first["file"])), first, clips_dir / name, expansion)
        who = ",".join(sorted(set(members["who"])))
        at = max(members["at"]).isoformat(timespec="seconds")
        names = ",".join(sorted(members["label"]))
        rows.append(
            (name, names, str(first["file"]), float(first["start_s"]), float(first["end_s"]), who, at)
        )
    write_rows(path, COLUMNS, rows)
    return len(rows)


def read_labels_into(store: Store, path: Path, who: str) -> int:
    """Take in a labels.csv (filename, labels; start_s and end_s where a file has several windows).

    A row labels the window that it names. Returns how many windows were labelled.

    Raises:
        FileNotFoundError: There is no such table.
        ValueError: Rows fit no window of the store; each is named with what to do.
    """
    table = read_table(path)
    if not {"filename", "labels"} <= set(table.columns):
        raise ValueError(
            f"{path}, row 1: the columns are {', '.join(table.columns)}, but they must be filename and labels"
        )
    windows = store.rows("windows", ["id", "file", "start_s", "end_s"]).to_pandas()
    by_file = {str(file): rows for file, rows in windows.groupby("file")}
    complaints, found = Complaints(path), list[tuple[str, str]]()
    for row in table.rows:
        file = row.cells["filename"]
        names = (file, row.cells.get("group", ""))  # a clip of ours has the recording as its group
        members = next((by_file[n] for name in names if (n := name.replace("\\", "/")) in by_file), None)
        if members is None:
            complaints.add(
                "no such recording in the store; write its name as the store has it", row.number, repr(file)
            )
            continue
        if row.cells.get("start_s"):
            begins = number_of(row.cells["start_s"])
            away_s = (members["start_s"] - begins).abs()
            members = members[(away_s < _SAME_MOMENT_S) & (away_s == away_s.min())]
        if len(members) != 1:
            complaints.add(
                f"it fits {len(members)} windows, not one; write the columns start_s and end_s as the "
                "store has them",
                row.number,
                repr(file),
            )
            continue
        found += [
            (str(members["id"].iloc[0]), label) for label in row.cells["labels"].split(",") if label.strip()
        ]
    complaints.raise_if_any()
    journal = LabelJournal(store, who)
    for label in sorted({label for _, label in found}):
        journal.say([window for window, name in found if name == label], label)
    return len({window for window, _ in found})


def _time_expansion(store: Store) -> float:
    reading = (store.fact("embed") or {}).get("front_end") or {}
    return float(reading.get("time_expansion", 1))


def _cut(source: Path, window: pd.Series, clip: Path, slowdown: float) -> None:
    try:
        recording = read_header(source, source.parent)
        cut_to_file(recording, window["start_s"], window["end_s"], clip, slowdown=slowdown)
    except UnreadableAudioError as error:
        raise ValueError(f"{source}: no clip can be cut, since {error.reason}") from error
