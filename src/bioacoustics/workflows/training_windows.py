"""Training windows: windows of recordings for `train`, of sound or of what a frozen encoder makes of it."""

from collections.abc import Mapping, Sequence
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
from bioacoustics.workflows.joint_model import Learning
from bioacoustics.workflows.pooled_features import Hearing, PooledWindows, pooled_features


class TrainingWindows:
    """Makes windows of recordings: of sound, or of the features that a frozen encoder has of it."""

    def __init__(self, learning: Learning, accelerator: Accelerator, console: Console) -> None:
        self._learning, self._accelerator, self._console = learning, accelerator, console
        self._config = learning.config
        self._heard: list[Float[np.ndarray, "clips dim"]] = []

    def standardise_head(self) -> None:
        """Give a new head what a frozen encoder says of the training clips on one scale."""
        heard = np.concatenate(self._heard)
        assert self._learning.classifier is not None
        device = self._accelerator.device
        known = torch.from_numpy(heard[np.isfinite(heard).all(axis=1)]).to(device)
        self._learning.classifier.head.standardise(known)

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
        if self._config.freeze_encoder:
            hearing = self._hearing(settings, is_training=is_training)
            return self._features(hearing, recordings, targets, repeats=repeats, changes=changes)
        return ClipWindows(
            recordings,
            targets,
            **settings,
            crop="random" if changes else "centre",
            repeats=repeats,
            seed=self._config.seed,
        )

    def _hearing(self, settings: Mapping[str, Any], *, is_training: bool) -> Hearing:
        learning = self._learning
        assert learning.classifier is not None and learning.bundle is not None
        return Hearing(
            classifier=learning.classifier,
            fingerprint=learning.bundle.header.fingerprint,
            clip_settings=settings,
            augment=learning.augment,
            num_views=self._config.num_views if is_training else 1,
            seed=self._config.seed,
        )

    def _features(
        self,
        hearing: Hearing,
        recordings: Sequence[Recording],
        targets: Float[np.ndarray, "clips classes"],
        *,
        repeats: bool,
        changes: bool,
    ) -> PooledWindows:
        config = self._config
        features = pooled_features(
            hearing,
            recordings,
            config.output_dir,
            repeats=repeats,
            data=DataConfig(batch_size=config.batch_size, num_threads=config.num_threads),
            accelerator=self._accelerator,
            console=self._console,
        )
        if changes:
            self._heard.append(features[:, 0])
        return PooledWindows(
            features,
            targets,
            [recording.relative_path for recording in recordings],
            window_s=self._learning.window_s,
            is_training=changes,
            seed=config.seed,
        )
