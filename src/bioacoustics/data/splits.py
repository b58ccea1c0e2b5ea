"""Splits: which clips train and which validate, so that one recording is never on both sides."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool, Float, Int

from bioacoustics.audio.dated_names import dated_name
from bioacoustics.audio.search import AUDIO_SUFFIXES
from bioacoustics.data.file_names import plain
from bioacoustics.data.labels import LabelTable
from bioacoustics.data.spreadsheets import Complaints, read_table, some_of

_VERSION = re.compile(r"[ _.-]+(?:v\d+|copy|kopie|copia|\(\d+\))$")
# Clip numbers, start and end in seconds, window or selection numbers; longer numbers are catalogue numbers.
_CLIP_WORD = r"(?:clip|seg|segment|part|chunk|win|window|sel|selection|[cswp])"
_CLIP_NUMBER = re.compile(rf"[ _.-]+{_CLIP_WORD}?[ _.-]?\d{{1,4}}(?:\.\d+)?(?:m?s)?$")
_TAKE_LETTER = re.compile(r"(?<=\d)[ _.-]+[a-z]$")
_WORD_AT_END = re.compile(r"([^\W_]+)[\W_]*$")


@dataclass(frozen=True, kw_only=True)
class Split:
    """Row numbers of the clips (counted from 0) on either side, ascending."""

    train: tuple[int, ...]
    valid: tuple[int, ...]
    warnings: tuple[str, ...] = ()


def group_of(filename: str) -> str:
    """The recording that a clip was cut from, guessed from its file name.

    - A name with date and time belongs to that moment and to the word before it (the site); the clip number
      after it, and the folder, say nothing: `a/INCT17_20200211_041500_5_10.wav` -> `inct17_20200211041500`.
    - Else versions (`_v2`), then up to two clip numbers (`_3`, `_0_5`, `_clip12`) or one take letter (`-A`)
      are cut off the end, as long as a digit stays that tells recordings apart: `frog_2_0_v2` -> `frog_2`,
      but `dog_17` stays. The folder counts: `north/rec1_2.wav` and `south/rec1_2.wav` are two recordings.

    Where the names say less than their owner knows, a column `group` in the table says it.
    """
    path = PurePosixPath(plain(filename.replace("\\", "/")))
    stem = path.stem if path.suffix in AUDIO_SUFFIXES else path.name
    if dated := dated_name(stem):
        site = _WORD_AT_END.search(dated.prefix)
        return f"{site.group(1)}_{dated.digits}" if site else dated.digits
    folder = "" if path.parent == PurePosixPath(".") else f"{path.parent}/"
    return folder + _without_clip_number(_VERSION.sub("", stem))


def _without_clip_number(stem: str) -> str:
    for _ in range(2):
        if letter := _TAKE_LETTER.search(stem):
            return stem[: letter.start()]
        number = _CLIP_NUMBER.search(stem)
        if number is None or not re.search(r"\d", stem[: number.start()]):
            break
        stem = stem[: number.start()]
    return stem


def groups_of(table: LabelTable) -> tuple[str, ...]:
    """The group of every clip: the table's own column, or where that is empty or absent the guess."""
    return tuple(clip.group or group_of(_name_in(table, clip.path)) for clip in table.clips)


def split_labels(table: LabelTable, *, valid_fraction: float = 0.2, seed: int = 0) -> Split:
    """Divide labelled clips by recording, every class on both sides where its recordings allow it."""
    groups = groups_of(table)
    split = split_groups(groups, table.targets(), valid_fraction=valid_fraction, seed=seed)
    warnings = list(split.warnings)
    if len(set(groups)) == len(groups) > 1 and not any(clip.group for clip in table.clips):
        warnings.append(
            f"{table.path}: every clip counts as a recording of its own, going by the file names; if some "
            "were cut from one recording, add a column 'group', else validation looks better than it is"
        )
    if valid_fraction > 0:  # else nobody asked for two sides
        warnings += _one_sided(table, split)
    return Split(train=split.train, valid=split.valid, warnings=tuple(warnings))


def split_groups(
    groups: Sequence[str],
    targets: Float[np.ndarray, "clips classes"] | None = None,
    *,
    valid_fraction: float = 0.2,
    seed: int = 0,
) -> Split:
    """Divide clips by group, about `valid_fraction` of each class (or of all clips) for validation.

    A class of one group trains and is not validated. The same arguments give the same split everywhere.

    Raises:
        ValueError: The fraction is not in [0, 1).
    """
    if not 0 <= valid_fraction < 1:
        raise ValueError(f"the share of clips for validation must be in [0, 1), got {valid_fraction}")
    names, group_index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if valid_fraction == 0 or len(names) < 2:
        warning = (
            f"all {len(groups)} clips belong to one recording ({some_of(list(names))}), so none can validate"
        )
        return Split(
            train=tuple(range(len(groups))), valid=(), warnings=(warning,) if valid_fraction > 0 else ()
        )
    counts = _count(group_index, targets)
    only_one = np.count_nonzero(counts, axis=0) == 1
    must_train = np.any(counts[:, only_one] > 0, axis=1)
    bins = _assign(counts, np.array([1 - valid_fraction, valid_fraction]), must_train, seed)
    _return_to_training(bins, counts)
    is_valid = bins[group_index] == 1
    return Split(
        train=tuple(np.flatnonzero(~is_valid).tolist()), valid=tuple(np.flatnonzero(is_valid).tolist())
    )


def grouped_folds(
    groups: Sequence[str],
    targets: Float[np.ndarray, "clips classes"] | None,
    *,
    num_folds: int,
    seed: int = 0,
) -> Int[np.ndarray, " clips"]:
    """The fold of every clip, for cross-validation: groups stay whole, classes are spread evenly.

    Raises:
        ValueError: There are fewer groups than folds.
    """
    names, group_index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if not 2 <= num_folds <= len(names):
        raise ValueError(f"{num_folds} folds of {len(names)} recordings: give 2 to {len(names)} folds")
    counts = _count(group_index, targets)
    shares = np.full(num_folds, 1 / num_folds)
    nowhere = np.zeros(len(names), dtype=bool)
    return _assign(counts, shares, nowhere, seed)[group_index]


def split_by_folds(table: LabelTable, folds_path: Path, *, valid_fold: str = "0") -> Split:
    """Divide clips as a table `filename,fold` says; the clips of `valid_fold` validate.

    Raises:
        ValueError: A column, a clip's fold, or `valid_fold` is missing, or a clip has two folds.
    """
    fold_of = _read_folds(folds_path)
    complaints = Complaints(table.path)
    is_valid = []
    for clip in table.clips:
        names = (plain(clip.filename), plain(_name_in(table, clip.path)), plain(clip.path.name))
        fold = next((fold_of[name] for name in names if name in fold_of), None)
        if fold is None:
            complaints.add(
                f"no fold in {folds_path}; add a row 'filename,fold'", clip.row, repr(clip.filename)
            )
        is_valid.append(fold == valid_fold)
    complaints.raise_if_any()
    if not any(is_valid) or all(is_valid):
        raise ValueError(
            f"{folds_path}: {'every' if any(is_valid) else 'no'} clip has fold {valid_fold!r}; "
            f"its folds are {some_of(sorted(set(fold_of.values())), 20)}"
        )
    split = Split(
        train=tuple(i for i, valid in enumerate(is_valid) if not valid),
        valid=tuple(i for i, valid in enumerate(is_valid) if valid),
    )
    return Split(train=split.train, valid=split.valid, warnings=tuple(_one_sided(table, split)))


def _read_folds(folds_path: Path) -> dict[str, str]:
    rows = read_table(folds_path)
    if not {"filename", "fold"} <= set(rows.columns):
        raise ValueError(
            f"{folds_path}, row 1: the columns are {', '.join(rows.columns)}, but must be filename and fold"
        )
    fold_of: dict[str, str] = {}
    complaints = Complaints(folds_path)
    for row in rows.rows:
        name, fold = plain(row.cells["filename"].replace("\\", "/")), row.cells["fold"]
        if fold_of.setdefault(name, fold) != fold:
            complaints.add("a clip with two folds; keep one row", row.number, repr(row.cells["filename"]))
    complaints.raise_if_any()
    return fold_of


def _name_in(table: LabelTable, path: Path) -> str:
    """The clip's file relative to its folder tree, so that equal names in two folders stay apart."""
    return path.relative_to(table.audio_dir).as_posix() if path.is_relative_to(table.audio_dir) else path.name


def _one_sided(table: LabelTable, split: Split) -> list[str]:
    """Warnings that name the classes which only train, or only validate."""
    targets = table.targets()
    in_train, in_valid = targets[list(split.train)].any(axis=0), targets[list(split.valid)].any(axis=0)
    warnings = []
    for one_side, what, remedy in (
        (in_train & ~in_valid, "trained but not validated", "give them clips of more recordings"),
        (in_valid & ~in_train, "validated but never trained, so never recognised", "choose another split"),
    ):
        names = [table.vocabulary[column] for column in np.flatnonzero(one_side)]
        if names:
            num_of = f"{len(names)} of {len(table.vocabulary)} labels"
            warnings.append(f"{table.path}: {num_of}: {what}: {some_of(names, 10)}; {remedy}")
    return warnings


def _count(
    group_index: Int[np.ndarray, " clips"], targets: Float[np.ndarray, "clips classes"] | None
) -> Float[np.ndarray, "groups columns"]:
    """Clips of each class in each group; the last column counts all clips of the group."""
    columns = np.ones((len(group_index), 1))
    if targets is not None:
        columns = np.hstack([targets[:, targets.any(axis=0)], columns])
    counts = np.zeros((group_index.max() + 1, columns.shape[1]))
    np.add.at(counts, group_index, columns)
    return counts


def _assign(
    counts: Float[np.ndarray, "groups columns"],
    shares: Float[np.ndarray, " bins"],
    fixed_in_first: Bool[np.ndarray, " groups"],
    seed: int,
) -> Int[np.ndarray, " groups"]:
    """Put whole groups into bins so that each bin holds its share of each column.

    Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011, section 3) lifted from examples to groups:
    the class with fewest groups chooses first; a group goes where the squared relative error falls most.
    When no more groups of a class are left than bins without it, those bins come first. scikit-learn's
    StratifiedGroupKFold knows neither several labels a clip nor that last rule.
    """
    rng = np.random.default_rng(seed)
    wanted = shares[:, None] * counts.sum(axis=0)
    filled = np.zeros_like(wanted)
    bins = np.where(fixed_in_first, 0, -1)
    filled[0] += counts[fixed_in_first].sum(axis=0)
    for column in np.argsort((counts > 0).sum(axis=0), kind="stable"):
        waiting = rng.permutation(np.flatnonzero((counts[:, column] > 0) & (bins < 0)))
        for num_done, group in enumerate(waiting):
            ratio = filled / wanted
            cost = np.square(ratio + counts[group] / wanted - 1).sum(axis=1) - np.square(ratio - 1).sum(
                axis=1
            )
            is_empty = filled[:, column] == 0
            if is_empty.any() and len(waiting) - num_done <= is_empty.sum():
                cost = np.where(is_empty, cost, np.inf)
            bins[group] = np.argmin(cost)
            filled[bins[group]] += counts[group]
    return bins


def _return_to_training(
    bins: Int[np.ndarray, " groups"], counts: Float[np.ndarray, "groups columns"]
) -> None:
    """Give a class that other classes pulled wholly into validation its smallest group back."""
    for column in range(counts.shape[1] - 1):
        holders = np.flatnonzero(counts[:, column] > 0)
        if (bins[holders] == 1).all():
            bins[holders[np.argmin(counts[holders, -1])]] = 0
