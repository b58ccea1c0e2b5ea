"""Pooled features: what a frozen encoder says of clips, computed once, kept on disk, and read like sound."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from jaxtyping import Float
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bioacoustics.audio.draws import Stream, uniform
from bioacoustics.audio.recordings import Recording, UnreadableAudioError
from bioacoustics.audio.writing import atomic_write
from bioacoustics.data.augment import Augmentation, AugmentConfig
from bioacoustics.data.batches import EVALUATION_DRAWS, Batch, DataConfig
from bioacoustics.data.loading import EvaluationLoader
from bioacoustics.data.windows import ClipWindows, Window
from bioacoustics.models.audio_encoder import AudioClassifier
from bioacoustics.workflows.pretraining import recordings_digest


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """How clips are heard: the model, the windows and their changes.

    Attributes:
        classifier: Its encoder and the pooling of its head are used.
        fingerprint: Of the encoder's weights.
        clip_settings: Arguments of `ClipWindows` that all clips share.
        augment: Changes of all views but the first, which hears clips as they are.
        num_views: Vectors of each clip.
        seed: Seed of crops and changes.
    """

    classifier: AudioClassifier
    fingerprint: str
    clip_settings: Mapping[str, Any]
    augment: AugmentConfig
    num_views: int
    seed: int


class PooledWindows:
    """Clips that are already feature vectors; a window holds two views of one clip, one after the other."""

    def __init__(
        self,
        features: Float[np.ndarray, "clips views dim"],
        targets: Float[np.ndarray, "clips classes"],
        names: Sequence[str],
        *,
        window_s: float,
        is_training: bool,
        seed: int,
    ) -> None:
        self._features, self._targets, self._names = features, targets, names
        self._is_training, self._seed = is_training, seed
        self.window_s = window_s
        self.num_samples = 2 * features.shape[2]

    def __len__(self) -> int:
        return len(self._features)

    def read(self, index: int, draw_id: int) -> Window:
        """Two different views in training, else twice the clip as it is."""
        views = self._features[index]
        if not np.isfinite(views).all():
            raise UnreadableAudioError(Path(self._names[index]), "its features could not be computed")
        first = second = 0
        if self._is_training and len(views) > 1:
            draws = uniform(self._seed, Stream.JITTER, draw_id, 2)
            first = int(draws[0] * len(views))
            second = (first + 1 + int(draws[1] * (len(views) - 1))) % len(views)
        return Window(samples=np.concatenate([views[first], views[second]]), target=self._targets[index])


def pooled_features(
    hearing: Hearing,
    recordings: Sequence[Recording],
    folder: Path,
    *,
    repeats: bool,
    data: DataConfig,
    accelerator: Accelerator,
    console: Console,
) -> Float[np.ndarray, "clips views dim"]:
    """The pooled features of every view of every clip, from the file in `folder` that holds them, if any.

    All processes must call it; each computes its share. Clips that cannot be read have NaN.
    """
    path = folder / f"features_{_key(hearing, recordings, repeats)}.npy"
    is_there = path.exists()
    if all(gather_object([is_there])):
        features: Float[np.ndarray, "clips views dim"] = np.load(path, allow_pickle=False)
        return features
    console.print(f"hearing {len(recordings)} clips once, {hearing.num_views} views of each", highlight=False)
    started = time.monotonic()
    dim = hearing.classifier.encoder.embedding_dim
    features = np.full((len(recordings), hearing.num_views, dim), np.nan, dtype=np.float32)
    columns = (TextColumn("features"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("features", total=len(recordings) * hearing.num_views)
        for view in range(hearing.num_views):
            found = []
            for indices, vectors in _view(hearing, recordings, view, repeats, data, accelerator):
                found.append((indices, vectors))
                progress.advance(task, len(indices) * accelerator.num_processes)
            for indices, vectors in gather_object(found):
                features[indices, view] = vectors
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            np.save(file, features, allow_pickle=False)
    console.print(f"{path}: done in {time.monotonic() - started:.0f} s", markup=False, highlight=False)
    return features


def _view(
    hearing: Hearing,
    recordings: Sequence[Recording],
    view: int,
    repeats: bool,
    data: DataConfig,
    accelerator: Accelerator,
) -> Any:
    """Yield the vectors of one view of this process's share of the clips, batch by batch."""
    windows = ClipWindows(
        recordings,
        None,
        **hearing.clip_settings,
        crop="random" if view else "centre",
        repeats=repeats,
        seed=hearing.seed + view,
    )
    device = accelerator.device
    classifier = hearing.classifier.to(device).eval()
    augmentation = Augmentation(hearing.augment, hearing.seed + view).to(device) if view else None
    loader = EvaluationLoader(
        windows, data, rank=accelerator.process_index, num_processes=accelerator.num_processes, device=device
    )
    try:
        for batch in loader:
            with torch.inference_mode():
                log_mel = _log_mel(classifier, batch, augmentation)
                num_frames = classifier.num_frames(batch.num_samples, batch.waveforms.shape[1])
                vectors = classifier.head.pool(classifier.encoder.features(log_mel, num_frames))
            yield (batch.draw_ids - EVALUATION_DRAWS).tolist(), vectors.float().cpu().numpy()
    finally:
        loader.close()


def _log_mel(
    classifier: AudioClassifier, batch: Batch, augmentation: Augmentation | None
) -> Float[torch.Tensor, "batch frames mels"]:
    if augmentation is None:
        return classifier.log_mel(batch.waveforms, batch.num_samples)
    waveforms = augmentation.waveforms(batch.waveforms, batch.num_samples, batch.draw_ids)
    log_mel = classifier.log_mel(waveforms, batch.num_samples)
    nothing = log_mel.new_zeros(len(batch), 0)
    return augmentation.spectrograms(log_mel, nothing, batch.draw_ids)[0]


def _key(hearing: Hearing, recordings: Sequence[Recording], repeats: bool) -> str:
    """What the features depend on, as a name."""
    settings = {
        "fingerprint": hearing.fingerprint,
        "head": hearing.classifier.head.config.prediction_mode,
        "target_length": hearing.classifier.target_length,
        "clips": {name: str(value) for name, value in hearing.clip_settings.items()},
        "augment": hearing.augment.model_dump(mode="json"),
        "num_views": hearing.num_views,
        "seed": hearing.seed,
        "repeats": repeats,
        "recordings": recordings_digest(recordings),
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
