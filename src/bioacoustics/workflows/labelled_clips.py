"""Labelled clips: a table of labels joined with the recordings that can be read, divided by recording."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, Field
from rich.console import Console
from rich.markup import escape

from bioacoustics.audio.containers import printable
from bioacoustics.audio.recordings import Recording, UnreadableAudioError, UnreadableFile, read_header
from bioacoustics.data.labels import LabelTable, read_labels
from bioacoustics.data.splits import Split, groups_of, split_by_folds, split_labels
from bioacoustics.workflows.survey import BadFiles, Outcome

MAX_WARNINGS = 30


class SplitConfig(BaseModel, frozen=True, extra="forbid"):
    """Which clips are held out: those of one fold of a table, or a share of the recordings."""

    validation_share: float = Field(default=0.2, ge=0, lt=1)
    folds: Path | None = None
    valid_fold: str = "0"
    seed: int = Field(default=1, ge=0)


@dataclass(frozen=True, kw_only=True)
class LabelledClips:
    """The labelled clips that can be read, and how they are divided."""

    table: LabelTable
    recordings: tuple[Recording, ...]
    groups: tuple[str, ...]
    targets: Float[np.ndarray, "clips classes"]
    split: Split
    outcome: Outcome


def labelled_clips(
    labels: Path,
    audio_dir: Path,
    *,
    split: SplitConfig,
    console: Console,
    num_classes: int | None = None,
    multi_label: bool | None = None,
    bad_files: BadFiles = BadFiles.REPORT,
) -> LabelledClips:
    """Read a table of labels and the headers of its clips, say what is doubtful, and divide them.

    Raises:
        FileNotFoundError: The table or the folder is missing.
        ValueError: The table contradicts itself, or no clip can be used.
    """
    table = read_labels(labels, audio_dir, num_classes=num_classes, multi_label=multi_label)
    _check_there_is_a_choice(table)
    headers = _headers(table)
    unusable = [header for header in headers if isinstance(header, UnreadableFile)]
    if unusable and bad_files is BadFiles.STOP:
        raise ValueError(f"{unusable[0].path} cannot be used: {unusable[0].reason}")
    readable = [i for i, header in enumerate(headers) if isinstance(header, Recording)]
    if not readable:
        raise ValueError(
            f"none of the {len(headers)} clips of {table.path} can be read, e.g. {unusable[0].path}: "
            f"{unusable[0].reason}"
        )
    sides = _divided(table, split)
    _warn([*table.warnings, *sides.warnings], console)
    outcome = Outcome(unusable=unusable)
    outcome.show(console)
    groups = groups_of(table)
    place = {row: position for position, row in enumerate(readable)}
    console.print(
        f"{len(readable)} clips, {len(table.vocabulary)} labels, "
        f"{'several labels a clip' if table.multi_label else 'one label a clip'}",
        highlight=False,
    )
    return LabelledClips(
        table=table,
        recordings=tuple(header for header in headers if isinstance(header, Recording)),
        groups=tuple(groups[i] for i in readable),
        targets=table.targets()[readable],
        split=Split(
            train=tuple(place[i] for i in sides.train if i in place),
            valid=tuple(place[i] for i in sides.valid if i in place),
        ),
        outcome=outcome,
    )


def _check_there_is_a_choice(table: LabelTable) -> None:
    if len(table.vocabulary) == 1:
        raise ValueError(
            f"{table.path}: every clip has the one label {table.vocabulary[0]!r}, so there is nothing "
            "to tell it from; add clips of anything else, for example with the label background"
        )


def _warn(warnings: Sequence[str], console: Console) -> None:
    for warning in warnings[:MAX_WARNINGS]:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False, soft_wrap=True)
    if len(warnings) > MAX_WARNINGS:
        console.print(f"[yellow]warning[/] ... and {len(warnings) - MAX_WARNINGS} more like these")


def _divided(table: LabelTable, split: SplitConfig) -> Split:
    if split.folds is not None:
        return split_by_folds(table, split.folds, valid_fold=split.valid_fold)
    return split_labels(table, valid_fraction=split.validation_share, seed=split.seed)


def _headers(table: LabelTable) -> list[Recording | UnreadableFile]:
    def header_of(path: Path) -> Recording | UnreadableFile:
        root = table.audio_dir if path.is_relative_to(table.audio_dir) else path.parent
        try:
            return read_header(path, root)
        except UnreadableAudioError as error:
            name = printable(path.relative_to(root))
            return UnreadableFile(path=path, relative_path=name, reason=error.reason)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(header_of, [clip.path for clip in table.clips]))
