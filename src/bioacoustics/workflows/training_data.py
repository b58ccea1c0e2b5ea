"""Training data: up to four folders of recordings as sources of one training, and their held-out parts."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console

from bioacoustics.audio.recordings import Recording
from bioacoustics.data.mixture import MixedWindows, Source
from bioacoustics.data.windows import Origin, SegmentWindows, Windows
from bioacoustics.workflows.examples import Examples, read_examples
from bioacoustics.workflows.labelled_clips import LabelledClips, SplitConfig, labelled_clips
from bioacoustics.workflows.pretraining import recordings_digest, split_recordings
from bioacoustics.workflows.survey import BadFiles, Outcome, survey

# How windows of clips are made: recordings, their targets, whether short ones are repeated, whether they are
# of the training clips, and whether they are to be heard otherwise at every draw.
ClipReader = Callable[[Sequence[Recording], Float[np.ndarray, "clips classes"], bool, bool, bool], Windows]
# How windows of recordings without labels are made, from the same but targets.
SegmentReader = Callable[[Sequence[Recording], bool], SegmentWindows]
_ALIKE = {"positive": 1.0, "negative": 1.0}


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What there is to learn from: recordings without labels, labelled clips, examples; None: not given."""

    unlabeled: tuple[Sequence[Recording], Sequence[Recording]] | None  # to learn from, held out
    labeled: LabelledClips | None
    examples: Examples | None
    outcome: Outcome

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the table, then the classes of examples that are not among them."""
        words = list(self.labeled.table.vocabulary) if self.labeled is not None else []
        if self.examples is not None:
            words += [name for name in self.examples.class_names if name not in words]
        return tuple(words)

    @property
    def multi_label(self) -> bool:
        """Whether a clip may have several labels; beside examples any label may hold, or none."""
        return self.examples is not None or (self.labeled is not None and self.labeled.table.multi_label)

    def targets_of_labeled(self) -> Float[np.ndarray, "clips classes"]:
        """Targets of the labelled clips; whether they hold a class of the examples is not known (NaN)."""
        assert self.labeled is not None
        return self._placed(self.labeled.targets, self.labeled.table.vocabulary)

    def targets_of_examples(self) -> Float[np.ndarray, "clips classes"]:
        """Targets of the examples; whether they have another label of the table is not known (NaN)."""
        assert self.examples is not None
        return self._placed(self.examples.targets(), self.examples.class_names)

    def digest(self) -> dict[str, Any]:
        """What decides a run and must be the same when it goes on."""
        digests: dict[str, Any] = {"labels": list(self.labels), "multi_label": self.multi_label}
        if self.unlabeled is not None:
            digests["unlabeled"] = recordings_digest(self.unlabeled[0])
        if self.labeled is not None:
            clips = self.labeled
            digests["labeled"] = _digest_of(clips.recordings, self.targets_of_labeled(), clips.split.train)
        if self.examples is not None:
            clips_of = self.examples
            digests["examples"] = _digest_of(
                clips_of.recordings, self.targets_of_examples(), clips_of.split.train
            )
        return digests

    def _placed(
        self, targets: Float[np.ndarray, "clips known"], names: Sequence[str]
    ) -> Float[np.ndarray, "clips classes"]:
        placed = np.full((len(targets), len(self.labels)), np.nan, dtype=np.float32)
        placed[:, [self.labels.index(name) for name in names]] = targets
        return placed


def read_training_data(
    *,
    data_dir: Path | None,
    labeled_dir: Path | None,
    positive_dir: Path | None,
    negative_dir: Path | None,
    validation_share: float,
    seed: int,
    bad_files: BadFiles,
    console: Console,
) -> TrainingData:
    """Look at everything that was given, so that what is wrong is said before training begins.

    Raises:
        FileNotFoundError: A folder or the table is missing.
        ValueError: A folder holds nothing that can be used; the message says which and why.
    """
    outcome = Outcome()
    unlabeled = None
    if data_dir is not None:
        scan = survey(data_dir, console, bad_files)
        found = Outcome(unusable=list(scan.unreadable))
        found.show(console)
        outcome.unusable += found.unusable
        # It is held out only to judge a run that has no labels to be judged by.
        share = validation_share if labeled_dir is None and positive_dir is None else 0.0
        unlabeled = split_recordings(scan.recordings, share)
    labeled = None
    if labeled_dir is not None:
        labeled = labelled_clips(
            labeled_dir / "labels.csv",
            labeled_dir / "audio",
            split=SplitConfig(validation_share=validation_share, seed=seed),
            bad_files=bad_files,
            console=console,
        )
        outcome.unusable += labeled.outcome.unusable
    examples = None
    if positive_dir is not None:
        examples = read_examples(
            positive_dir,
            negative_dir,
            validation_share=validation_share,
            seed=seed,
            console=console,
            bad_files=bad_files,
        )
        outcome.unusable += examples.outcome.unusable
    return TrainingData(unlabeled=unlabeled, labeled=labeled, examples=examples, outcome=outcome)


def sources_of(
    data: TrainingData,
    ratios: Mapping[str, float],
    read_segments: SegmentReader,
    read_clips: ClipReader,
    *,
    is_training: bool,
) -> dict[str, Source]:
    """The sources by name, of what trains or of what is held out; one without windows is left out."""
    sources: dict[str, Source] = {}
    if data.unlabeled is not None and len(recordings := data.unlabeled[0 if is_training else 1]):
        windows = read_segments(recordings, is_training)
        if len(windows) == 0:
            raise ValueError(
                "--data_dir holds no window to learn from: its recordings are shorter than 0.1 s"
            )
        origins = [Origin("unlabeled")] * len(windows)
        sources["unlabeled"] = Source(windows=windows, origins=origins, ratio=ratios["unlabeled"])
    if data.labeled is not None:
        clips = data.labeled
        rows = list(clips.split.train if is_training else clips.split.valid)
        if rows:
            recordings = [clips.recordings[row] for row in rows]
            targets = data.targets_of_labeled()[rows]
            windows_of = read_clips(recordings, targets, False, is_training, is_training)
            origins = [Origin("labeled", item=row) for row in rows]
            sources["labeled"] = Source(windows=windows_of, origins=origins, ratio=ratios["labeled"])
    if data.examples is not None:
        sources |= _of_examples(
            data, data.examples, ratios, read_clips, is_training=is_training, changes=is_training
        )
    return sources


def mixed(sources: Mapping[str, Source], num_classes: int) -> MixedWindows:
    """The windows of all sources; where no class is known of a window, its targets are NaN."""
    return MixedWindows(list(sources.values()), num_classes=num_classes)


def examples_as_they_are(data: TrainingData, read_clips: ClipReader) -> MixedWindows | None:
    """All examples, of training and held out, always heard alike; None where there are none."""
    if data.examples is None:
        return None
    sides = [
        _of_examples(data, data.examples, _ALIKE, read_clips, is_training=is_training, changes=False)
        for is_training in (True, False)
    ]
    sources = [source for side in sides for source in side.values()]
    return MixedWindows(sources, num_classes=len(data.labels))


def _of_examples(
    data: TrainingData,
    examples: Examples,
    ratios: Mapping[str, float],
    read_clips: ClipReader,
    *,
    is_training: bool,
    changes: bool,
) -> dict[str, Source]:
    sources = {}
    targets, groups = data.targets_of_examples(), examples.group_numbers()
    chosen = examples.split.train if is_training else examples.split.valid
    for name, is_positive in (("positive", True), ("negative", False)):
        rows = [row for row in chosen if (row < examples.num_positive) == is_positive]
        if not rows:
            continue
        recordings = [examples.recordings[row] for row in rows]
        windows = read_clips(recordings, targets[rows], True, is_training, changes)
        origins = [Origin(name, item=row, recording=groups[row], label=examples.classes[row]) for row in rows]
        sources[name] = Source(windows=windows, origins=origins, ratio=ratios[name])
    return sources


def _digest_of(
    recordings: Sequence[Recording], targets: Float[np.ndarray, "clips classes"], train: Sequence[int]
) -> str:
    digest = hashlib.sha256(targets.tobytes())
    digest.update(json.dumps([[r.relative_path, r.num_samples] for r in recordings]).encode())
    digest.update(json.dumps(list(train)).encode())
    return digest.hexdigest()[:16]
