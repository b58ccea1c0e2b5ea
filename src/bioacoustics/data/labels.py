"""Labels: labels.csv becomes clips, a vocabulary and targets; every complaint names file, row and remedy."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bioacoustics.data.file_names import FileMatcher
from bioacoustics.data.spreadsheets import Complaints, Row, Table, read_table, some_of

GROUP_COLUMNS = ("group", "site", "day")  # the first that the table has says which clips belong together
LABEL_COLUMNS = ("labels", "label")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabeledClip:
    """One audio file and what is heard in it."""

    path: Path
    filename: str  # as the table writes it
    labels: tuple[str, ...]  # sorted, at least one
    row: int  # of the table, header = 1
    group: str = ""  # cell of the column group, site or day; empty: to be guessed from the file name


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """The usable rows of a labels.csv, in its order."""

    path: Path
    audio_dir: Path
    clips: tuple[LabeledClip, ...]
    vocabulary: tuple[str, ...]
    multi_label: bool
    warnings: tuple[str, ...]

    def targets(self) -> Float[np.ndarray, "clips classes"]:
        """1 where the clip has the label, else 0; columns as in `vocabulary`."""
        column_of = {label: column for column, label in enumerate(self.vocabulary)}
        targets = np.zeros((len(self.clips), len(self.vocabulary)), dtype=np.float32)
        for row, clip in enumerate(self.clips):
            targets[row, [column_of[label] for label in clip.labels]] = 1.0
        return targets


def read_labels(
    csv_path: Path,
    audio_dir: Path,
    *,
    num_classes: int | None = None,
    vocabulary: Sequence[str] | None = None,
    multi_label: bool | None = None,
) -> LabelTable:
    """Read a table with the columns `filename` and `labels` (several labels: "label1,label2").

    A file is meant relative to `audio_dir`; where it is not there exactly, it is found in a sub-folder, with
    another extension, in other case or Unicode form, if only one file fits, and a warning says so. Rows
    without a file or a label are skipped with a warning. Optional columns: group, site, day (see `splits`).

    Args:
        csv_path: The table.
        audio_dir: The folder of the clips.
        num_classes: If given, the vocabulary must have this size.
        vocabulary: Labels of a trained model, in its order; other labels are then errors.
        multi_label: Whether a clip may have several labels; None: as the table shows.

    Raises:
        FileNotFoundError: The table, the folder, or every audio file of the table is missing.
        ValueError: The table contradicts itself or the arguments.
    """
    table = read_table(csv_path)
    if not audio_dir.is_dir():
        raise FileNotFoundError(
            f"{audio_dir}: there is no such folder; give the folder of the labelled clips"
        )
    label_column, column_warnings = _check_columns(table)
    notes = Complaints(csv_path)
    clips = _usable_clips(table, label_column, FileMatcher(audio_dir), notes)
    if not clips:
        _raise_nothing_usable(table, audio_dir, notes)
    several = multi_label if multi_label is not None else any(len(clip.labels) > 1 for clip in clips)
    clips = _merged(clips, csv_path, several, notes)
    if not several:
        _check_single(clips, csv_path)
    words = _checked_vocabulary(clips, csv_path, vocabulary, num_classes)
    warnings = (*table.warnings, *column_warnings, *notes.sentences(), *_doubtful_labels(clips, csv_path))
    return LabelTable(
        path=csv_path,
        audio_dir=audio_dir,
        clips=tuple(clips),
        vocabulary=words,
        multi_label=several,
        warnings=warnings,
    )


def _check_columns(table: Table) -> tuple[str, list[str]]:
    """The name of the label column, and a warning for every column that nobody reads."""
    label_columns = [column for column in LABEL_COLUMNS if column in table.columns]
    if "filename" not in table.columns or len(label_columns) != 1:
        raise ValueError(
            f"{table.path}, row 1: the columns are {', '.join(table.columns)}, but they must be filename and "
            "labels; write 'filename,labels' as the first line"
        )
    known = {"filename", *label_columns, *GROUP_COLUMNS}
    unknown = [column for column in table.columns if column not in known]
    if not unknown:
        return label_columns[0], []
    warning = (
        f"{table.path}, row 1: nothing reads the column {some_of(unknown)}; if clips with the same "
        "value must not be divided between training and validation, name that column 'group'"
    )
    return label_columns[0], [warning]


def _usable_clips(
    table: Table, label_column: str, files: FileMatcher, notes: Complaints
) -> list[LabeledClip]:
    group_column = next((column for column in GROUP_COLUMNS if column in table.columns), None)
    clips = []
    for row in table.rows:
        filename = _unquoted(row.cells["filename"])
        labels = _split_labels(row, label_column, notes)
        if not filename:
            notes.add("no file name; the row is skipped, write one or remove the row", row.number, "")
            continue
        if not labels:
            notes.add(
                "no label; the clip is skipped, write a label (e.g. background) or remove the row",
                row.number,
                repr(filename),
            )
            continue
        match = files.find(filename)
        if match.path is None:
            notes.add(match.remark, row.number, match.detail)
            continue
        if match.remark:
            notes.add(match.remark, row.number, match.detail)
        group = row.cells[group_column] if group_column else ""
        clips.append(
            LabeledClip(path=match.path, filename=filename, labels=labels, row=row.number, group=group)
        )
    return clips


def _split_labels(row: Row, label_column: str, notes: Complaints) -> tuple[str, ...]:
    """The labels of one cell: NFC, single spaces, without stray quotes, each once, sorted."""
    cell = _unquoted(row.cells[label_column])
    if any(sign in cell for sign in ";|"):
        notes.add("labels are separated by commas, so this is one label", row.number, repr(cell))
    labels = (" ".join(unicodedata.normalize("NFC", _unquoted(label)).split()) for label in cell.split(","))
    return tuple(sorted({label for label in labels if label}))


def _unquoted(cell: str) -> str:
    """The cell without quotes that a second program put around the first one's."""
    cell = cell.strip()
    while len(cell) >= 2 and cell[0] == cell[-1] and cell[0] in "\"'":
        cell = cell[1:-1].strip()
    return cell


def _raise_nothing_usable(table: Table, audio_dir: Path, notes: Complaints) -> None:
    if not table.rows:
        raise ValueError(f"{table.path} has a header but no rows; write one row a clip: clip.wav,label")
    reasons = "\n".join(notes.sentences())
    raise FileNotFoundError(
        f"{table.path}: none of its {len(table.rows)} rows can be used with the clips in {audio_dir}; "
        f"is it the right folder?\n{reasons}"
    )


def _merged(
    clips: Sequence[LabeledClip], csv_path: Path, several: bool, notes: Complaints
) -> list[LabeledClip]:
    """One clip a file: equal rows once; with several labels allowed, the labels of all rows together."""
    first_of: dict[Path, LabeledClip] = {}
    conflicts = Complaints(csv_path)
    for clip in clips:
        first = first_of.setdefault(clip.path, clip)
        if first is clip:
            continue
        detail = f"and row {first.row} {clip.filename!r}"
        labels = tuple(sorted({*first.labels, *clip.labels}))
        if clip.labels == first.labels:
            notes.add("the same file twice with the same labels, used once; remove one", clip.row, detail)
        elif several:
            notes.add("the same file with different labels, all of them are used", clip.row, detail)
            first_of[clip.path] = replace(first, labels=labels)
        else:
            conflicts.add(
                "the same file with different labels; keep one row, or write all its labels in one row: "
                'clip.wav,"label1,label2"',
                clip.row,
                f"{detail} ({', '.join(labels)})",
            )
    conflicts.raise_if_any()
    return list(first_of.values())


def _check_single(clips: Sequence[LabeledClip], csv_path: Path) -> None:
    complaints = Complaints(csv_path)
    for clip in clips:
        if len(clip.labels) > 1:
            complaints.add(
                "several labels, but this model gives one label a clip; keep one label a row",
                clip.row,
                f"({', '.join(clip.labels)})",
            )
    complaints.raise_if_any()


def _checked_vocabulary(
    clips: Sequence[LabeledClip], csv_path: Path, vocabulary: Sequence[str] | None, num_classes: int | None
) -> tuple[str, ...]:
    words = (
        tuple(vocabulary) if vocabulary is not None else tuple(sorted({w for c in clips for w in c.labels}))
    )
    if num_classes is not None and num_classes != len(words):
        raise ValueError(
            f"--num_classes is {num_classes}, but {'the model' if vocabulary is not None else csv_path} has "
            f"{len(words)} labels ({some_of(words)}); correct it or leave it out"
        )
    known = set(words)
    complaints = Complaints(csv_path)
    for clip in clips:
        for label in clip.labels:
            if label not in known:
                complaints.add(
                    f"labels that the model does not know; it knows {some_of(words, 20)}",
                    clip.row,
                    repr(label),
                )
    complaints.raise_if_any()
    return words


def _doubtful_labels(clips: Sequence[LabeledClip], csv_path: Path) -> list[str]:
    """Warnings about labels that occur once, and about two spellings of what may be one label."""
    counts = Counter(label for clip in clips for label in clip.labels)
    first_row: dict[str, int] = {}
    for clip in clips:
        for label in clip.labels:
            first_row.setdefault(label, clip.row)
    notes = Complaints(csv_path)
    for label in sorted(label for label, count in counts.items() if count == 1):
        notes.add(
            "a label of one clip can be learnt but not validated; add clips or join it to another label",
            first_row[label],
            repr(label),
        )
    for spellings in _spellings(counts).values():
        if len(spellings) > 1:
            rows = ", ".join(
                f"{label!r} (row {first_row[label]}, {counts[label]} clips)" for label in spellings
            )
            notes.add(
                "labels that differ only in case, spaces or hyphens count as different; write them alike if "
                "they mean the same",
                first_row[spellings[0]],
                rows,
            )
    return list(notes.sentences())


def _spellings(counts: Mapping[str, int]) -> dict[str, list[str]]:
    spellings: dict[str, list[str]] = {}
    for label in sorted(counts):
        plain = label.casefold().replace("_", "").replace("-", "").replace(" ", "")
        spellings.setdefault(plain, []).append(label)
    return spellings
