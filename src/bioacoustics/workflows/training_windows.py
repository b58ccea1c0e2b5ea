"""Training windows: windows of recordings for `train`, of sound or of what a frozen encoder makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from rich.console import Console

from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.segments import SegmentConfig, SegmentIndex
from bioacoustics.data.batches import DataConfig
from bioacoustics.data.windows import ClipWindows, SegmentWindows, Windows
from bioacoustics.objectives.classification import Classification
from bioacoustics.workflows.first_head import begin_head, some_of
from bioacoustics.workflows.joint_model import Learning
from bioacoustics.workflows.pooled_features import Hearing, PooledWindows, pooled_features


class TrainingWindows:
    """Makes windows of recordings: of sound, or of the features that a frozen encoder has of it."""

    def __init__(self, learning: Learning, accelerator: Accelerator, console: Console) -> None:
        self._learning, self._accelerator, self._console = learning, accelerator, console
        self._config = learning.config
        self._of_training: list[_Clips] = []

    def begin_head(self, classification: Classification) -> None:
        """Give a new head on a trained encoder what that says of the training clips to begin with."""
        heard = [self._heard(clips) for clips in self._of_training]
        device = self._accelerator.device
        views, targets = (
            torch.from_numpy(np.concatenate(parts)).to(device) for parts in zip(*heard, strict=True)
        )
        begin_head(classification.to(device), views, targets)

    def segments(self, recordings: Sequence[Recording], is_training: bool) -> SegmentWindows:
        """Windows side by side; in training each a little shifted at every draw."""
        learning = self._learning
        front_end = learning.encoder.front_end.config
        stride_s = learning.target_length * front_end.frame_shift / front_end.sample_rate_hz
        index = SegmentIndex(recordings, SegmentConfig(window_s=learning.window_s, stride_s=stride_s))
        return SegmentWindows(
            index,
            sample_rate_hz=front_end.sample_rate_hz,
            channel=self._config.channel,
            max_jitter_s=stride_s / 2 if is_training else 0.0,
            seed=self._config.seed,
        )

    def clips(
        self,
        recordings: Sequence[Recording],
        targets: Float[np.ndarray, "clips classes"],
        repeats: bool,
        is_training: bool,
        changes: bool,
    ) -> Windows:
        """One window of every clip; short examples are repeated until they fill it.

        With `changes` it is another one at every draw.
        """
        settings: dict[str, Any] = {
            "window_s": self._learning.window_s,
            "sample_rate_hz": self._learning.encoder.sample_rate_hz,
            "channel": self._config.channel,
        }
        clips = _Clips(recordings, targets, settings, repeats)
        if changes:
            self._of_training.append(clips)
        if self._config.freeze_encoder:
            return PooledWindows(
                self._features(clips, num_views=self._config.num_views if is_training else 1),
                targets,
                [recording.relative_path for recording in recordings],
                window_s=self._learning.window_s,
                is_training=changes,
                seed=self._config.seed,
            )
        return ClipWindows(
            recordings,
            targets,
            **settings,
            crop="random" if changes else "centre",
            repeats=repeats,
            seed=self._config.seed,
        )

    def _heard(
        self, clips: "_Clips"
    ) -> tuple[Float[np.ndarray, "clips views dim"], Float[np.ndarray, "clips classes"]]:
        """Views of some clips, and their targets."""
        rows = some_of(len(clips.recordings), self._config.seed)
        if not self._config.freeze_encoder:  # else all have been heard already
            clips = replace(
                clips, recordings=[clips.recordings[row] for row in rows], targets=clips.targets[rows]
            )
            rows = list(range(len(rows)))
        return self._features(clips, num_views=self._config.num_views)[rows], clips.targets[rows]

    def _features(self, clips: "_Clips", *, num_views: int) -> Float[np.ndarray, "clips views dim"]:
        learning, config = self._learning, self._config
        assert learning.classifier is not None and learning.bundle is not None
        hearing = Hearing(
            classifier=learning.classifier,
            fingerprint=learning.bundle.header.fingerprint,
            clip_settings=clips.settings,
            augment=learning.augment,
            num_views=num_views,
            seed=config.seed,
        )
        return pooled_features(
            hearing,
            clips.recordings,
            config.output_dir,
            repeats=clips.repeats,
            data=DataConfig(batch_size=config.batch_size, num_threads=config.num_threads),
            accelerator=self._accelerator,
            console=self._console,
        )


@dataclass(frozen=True)
class _Clips:
    """Clips to hear and how."""

    recordings: Sequence[Recording]
    targets: Float[np.ndarray, "clips classes"]
    settings: Mapping[str, Any]
    repeats: bool
