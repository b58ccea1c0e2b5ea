"""Examples: folders of clips of a target sound and of what it is not, their classes, recordings and split."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float
from rich.console import Console

from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.writing import atomic_write
from bioacoustics.data.splits import Split, group_of, split_groups
from bioacoustics.objectives.suspicion import Suspicion
from bioacoustics.workflows.survey import BadFiles, Outcome, survey

NO_CLASS = -1


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Positive clips with their classes, then negative clips, which have none."""

    recordings: tuple[Recording, ...]
    class_names: tuple[str, ...]
    classes: tuple[int, ...]  # of each clip; -1: negative
    groups: tuple[str, ...]  # clips that were cut from one recording have one name
    split: Split
    outcome: Outcome

    @property
    def num_positive(self) -> int:
        """Positive clips, which come first."""
        return sum(number != NO_CLASS for number in self.classes)

    def targets(self) -> Float[np.ndarray, "clips classes"]:
        """1 where the clip is an example of the class; negatives have none."""
        return np.eye(len(self.class_names) + 1, dtype=np.float32)[list(self.classes), :-1]

    def group_numbers(self) -> list[int]:
        """The groups as numbers."""
        return [int(number) for number in np.unique(self.groups, return_inverse=True)[1]]


def read_examples(
    positive_dir: Path,
    negative_dir: Path | None,
    *,
    validation_share: float,
    seed: int,
    console: Console,
    bad_files: BadFiles = BadFiles.REPORT,
) -> Examples:
    """Look at the headers of both folders and divide the clips by recording.

    Sub-folders of `positive_dir` are classes; without any, all its clips are of one class, named as the
    folder.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: A folder holds no usable clip, or there is nothing to tell the clips from.
    """
    positive = survey(positive_dir, console, bad_files)
    negative = survey(negative_dir, console, bad_files) if negative_dir is not None else None
    names = [_class_of(recording, positive_dir) for recording in positive.recordings]
    class_names = tuple(sorted(set(names)))
    if negative is None and len(class_names) == 1:
        raise ValueError(
            f"--positive_dir {positive_dir}: all its clips are of one class, so there is nothing to tell "
            "them from; give clips of other sounds as --negative_dir, or sort them into sub-folders, one "
            "for each class"
        )
    rare = [name for name, count in Counter(names).items() if count < 2]
    if rare:
        raise ValueError(
            f"--positive_dir {positive_dir}: one clip only of {', '.join(rare)}; two or more are needed to "
            "learn what they share"
        )
    recordings = (*positive.recordings, *(negative.recordings if negative else ()))
    classes = [class_names.index(name) for name in names]
    classes += [NO_CLASS] * (len(recordings) - len(names))
    groups = tuple(
        group_of(_name_in_class(recording) if row < len(names) else recording.relative_path)
        for row, recording in enumerate(recordings)
    )
    one_hot = np.eye(len(class_names) + 1, dtype=np.float32)[classes]
    split = split_groups(groups, one_hot, valid_fraction=validation_share, seed=seed)
    for warning in (*split.warnings, *_doubts(recordings, names)):
        console.print(f"[yellow]warning[/] examples: {warning}", highlight=False, soft_wrap=True)
    outcome = Outcome(unusable=[*positive.unreadable, *(negative.unreadable if negative else ())])
    outcome.show(console)
    return Examples(
        recordings=recordings,
        class_names=class_names,
        classes=tuple(classes),
        groups=groups,
        split=split,
        outcome=outcome,
    )


def write_suspicious(examples: Examples, suspicion: Suspicion, path: Path) -> None:
    """List the negatives from the most to the least similar to the positives, for a person to listen to.

    Columns: file, similarity (mean over the five most similar positives), most_similar_positive.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "similarity", "most_similar_positive"])
    columns = (suspicion.items, suspicion.similarities, suspicion.nearest_items)
    for item, similarity, nearest in zip(*(column.tolist() for column in columns), strict=True):
        table.writerow(
            [
                examples.recordings[item].relative_path,
                f"{similarity:.4f}",
                examples.recordings[nearest].relative_path,
            ]
        )
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def _class_of(recording: Recording, folder: Path) -> str:
    parts = PurePosixPath(recording.relative_path).parts
    return parts[0] if len(parts) > 1 else folder.resolve().name


def _name_in_class(recording: Recording) -> str:
    """The name below the folder of its class, which says nothing about where a clip was cut from."""
    parts = PurePosixPath(recording.relative_path).parts
    return "/".join(parts[1:] or parts)


def _doubts(recordings: Sequence[Recording], names: Sequence[str]) -> list[str]:
    """What would let a model tell the folders apart without listening to what is in them."""
    sides = [recordings[: len(names)], recordings[len(names) :]]
    rates = [{recording.sample_rate_hz for recording in side} for side in sides]
    if sides[1] and not rates[0] & rates[1]:
        told = " and ".join(str(sorted(rate)) for rate in rates)
        return [
            f"positive and negative clips differ in sample rate ({told} Hz): a model may learn the recorder "
            "instead of the animal; add negatives from the same recorder"
        ]
    return []
