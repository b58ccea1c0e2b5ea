"""Clips of the benchmark of learning: who may hear which of them, and what a clip's features are."""

import csv
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bioacoustics.audio.reading import read_segment
from bioacoustics.audio.recordings import read_header
from bioacoustics.audio.segments import Segment
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.training.probes import ProbeResult, ProbeTask

PARTS = {"a": ("0", "4"), "b": ("1", "2", "3")}  # folds that the encoder of this name has never heard
WITHOUT_LABELS = ("unlabeled", "recordings", "positive", "negative")
WINDOW_FRAMES = 256  # of the windows whose patches are pooled
SAMPLE_RATE_HZ = 16_000

Predictions = Float[np.ndarray, "clips classes"]
Grid = Float[Tensor, "windows columns bands dim"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PartTask(ProbeTask):
    """A task of which only some folds are judged."""

    judged: frozenset[int]

    @property
    def sides(self) -> list[tuple[Int[np.ndarray, " fitted"], Int[np.ndarray, " judged"]]]:
        """Which clips fit and which are judged, for the folds in question."""
        return [side for side in super().sides if int(self.folds[side[1][0]]) in self.judged]


class Clips:
    """The labelled clips: samples at 16 kHz, labels, folds and recordings."""

    def __init__(self, data: Path) -> None:
        self.data = data
        rows = list(csv.DictReader((data / "labeled/folds.csv").open(encoding="utf-8")))
        labels = _column(data / "labeled/labels.csv", "filename", "labels")
        self.names = [row["filename"] for row in rows]
        self.folds = np.array([int(row["fold"]) for row in rows])
        self.labels = [labels[name] for name in self.names]
        self.vocabulary = sorted(set(self.labels))
        groups = _column(data / "clips.csv", "path", "group")
        self._group_of = groups
        own = [groups[f"labeled/audio/{name}"] for name in self.names]
        self.groups = np.unique(own, return_inverse=True)[1]
        self.targets = np.eye(len(self.vocabulary))[[self.vocabulary.index(label) for label in self.labels]]
        in_a = np.isin(self.folds, [int(fold) for fold in PARTS["a"]])
        self.part_of = np.where(in_a, "a", "b")
        self._heard_elsewhere = set(own)

    def __len__(self) -> int:
        return len(self.names)

    def task(self, part: str, *, has_half_the_labels: bool) -> PartTask:
        """Judge the clips of a part; fitted on all other folds, or on the other part alone."""
        folds = np.where(self.part_of == "a", 0, 1) if has_half_the_labels else self.folds
        return PartTask(
            targets=self.targets,
            groups=self.groups,
            folds=folds,
            multi_label=False,
            judged=frozenset(folds[self.part_of == part].tolist()),
        )

    def result(self, predictions: Predictions) -> ProbeResult:
        """How good predictions of all clips are, each by whoever had not heard it."""
        return self.task("a", has_half_the_labels=False).result("linear", predictions)

    def samples(self, clip: int) -> Float[Tensor, " samples"]:
        """Sound of a clip."""
        path = self.data / "labeled/audio" / self.names[clip]
        recording = read_header(path, path.parent)
        return torch.from_numpy(
            read_segment(Segment(recording, 0.0, recording.duration_s), SAMPLE_RATE_HZ).samples
        )

    def audio_without(self, part: str, folder: Path) -> Path:
        """A folder with all sound that may be heard when this part is to judge; labels are not looked at."""
        if folder.exists():
            return folder
        fresh = folder.with_suffix(".part")
        shutil.rmtree(fresh, ignore_errors=True)
        for source in WITHOUT_LABELS:
            (fresh / source).mkdir(parents=True)
            for path in sorted((self.data / source).iterdir()):
                # A recording of which a clip was cut and labelled would be heard before it judges.
                if self._group_of.get(f"{source}/{path.name}") not in self._heard_elsewhere:
                    shutil.copy(path, fresh / source)
        (fresh / "labeled").mkdir()
        for name in np.array(self.names)[self.part_of != part]:
            shutil.copy(self.data / "labeled/audio" / name, fresh / "labeled")
        fresh.rename(folder)
        return folder

    def write_folds(self, path: Path) -> Path:
        """The table for fine-tuning: the parts are its folds."""
        rows = [f"{name},{part}\n" for name, part in zip(self.names, self.part_of, strict=True)]
        path.write_text("filename,fold\n" + "".join(rows), encoding="utf-8")
        return path


@torch.no_grad()
def patch_grids(encoder: AudioEncoder, samples: Float[Tensor, " samples"]) -> tuple[Grid, Grid]:
    """Patches as they are embedded and as the last block leaves them, in as many windows as cover the clip.

    The windows are evenly spaced.
    """
    front_end, size = encoder.front_end.config, encoder.config.patch_size
    # Only whole patches: padding is no sound.
    num_frames = max(size, min(WINDOW_FRAMES, front_end.num_frames(len(samples)) // size * size))
    width = front_end.num_samples(num_frames)
    count = max(1, math.ceil(len(samples) / width))
    starts = np.linspace(0, max(0, len(samples) - width), count).round().astype(int)
    windows = torch.stack([samples[start : start + width] for start in starts])
    embedded: list[Tensor] = []
    norm = encoder.encoder.get_submodule("input_norm")  # the first thing that blocks make of patches
    with norm.register_forward_pre_hook(lambda _, inputs: embedded.append(inputs[0])):
        last = encoder(windows).patches
    first, last = (
        patches.unflatten(1, (-1, encoder.config.num_bands))
        for patches in (embedded[0][:, -last.shape[1] :], last)
    )
    return first, last


def mean(grid: Grid) -> Float[Tensor, " values"]:
    """Mean of every channel."""
    return grid.flatten(0, 2).mean(dim=0)


def channel_statistics(grid: Grid) -> Float[Tensor, " values"]:
    """Mean, deviation, 95th percentile and deviation of the change in time of every channel."""
    return _statistics(grid.flatten(0, 2), _changes(grid).flatten(0, 2))


def band_statistics(grid: Grid) -> Float[Tensor, " values"]:
    """The same of every channel in every band of patches: what `mel_statistics` takes of every mel band."""
    return _statistics(grid.flatten(0, 1), _changes(grid).flatten(0, 1))


def padded_patches(grids: list[Grid]) -> tuple[Float[Tensor, "clips patches dim"], Int[Tensor, " clips"]]:
    """The patches of the first two windows of every clip in one array, and how many are sound."""
    patches = [grid[:2].flatten(0, 2) for grid in grids]
    longest = max(map(len, patches))
    padded = [torch.nn.functional.pad(rows, (0, 0, 0, longest - len(rows))) for rows in patches]
    return torch.stack(padded), torch.tensor([len(rows) for rows in patches])


def pooled(grids: list[Grid], pool: Callable[[Grid], Tensor]) -> Float[np.ndarray, "clips values"]:
    """One vector of every clip."""
    return torch.stack([pool(grid) for grid in grids]).numpy()


def _changes(grid: Grid) -> Grid:
    return torch.diff(grid, dim=1) if grid.shape[1] > 1 else torch.zeros_like(grid)


def _statistics(
    values: Float[Tensor, "rows *shape"], changes: Float[Tensor, "steps *shape"]
) -> Float[Tensor, " values"]:
    spreads = (
        values.std(dim=0, correction=0),
        values.quantile(0.95, dim=0),
        changes.std(dim=0, correction=0),
    )
    return torch.stack([values.mean(dim=0), *spreads]).flatten()


def _column(path: Path, key: str, value: str) -> dict[str, str]:
    with path.open(encoding="utf-8") as file:
        return {row[key]: row[value] for row in csv.DictReader(file)}
