"""The audio encoder: waveforms to features and embeddings, and with a head on top to classes."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bioacoustics.audio.log_mel import LogMel, LogMelConfig
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.features import Features
from bioacoustics.models.heads import ClassificationHead


class AudioEncoder(nn.Module):
    """Front end and encoder in one, so that a model always hears audio the way it was trained.

    Waveforms are mono float32 in [-1, 1] at `sample_rate_hz`, on the model's device. Rows of one batch are as
    long as the longest; `num_samples` says how much of each is sound. The encoder hears padding like sound,
    as in the official code: a row's features depend on the width of its batch, but not on the other rows.
    """

    def __init__(self, log_mel_config: LogMelConfig, encoder: EATEncoder) -> None:
        super().__init__()
        if log_mel_config.num_mels != encoder.config.num_mels:
            raise ValueError(
                f"the front end makes {log_mel_config.num_mels} mel bands, the encoder expects "
                f"{encoder.config.num_mels}: give both the same num_mels"
            )
        self.front_end = LogMel(log_mel_config)
        self.encoder = encoder

    @property
    def config(self) -> EATConfig:
        """Configuration of the encoder; the front end's is `front_end.config`."""
        return self.encoder.config

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the waveforms this model expects."""
        return self.front_end.config.sample_rate_hz

    @property
    def embedding_dim(self) -> int:
        """Length of an embedding."""
        return self.encoder.config.embed_dim

    def log_mel(
        self,
        waveforms: Float[Tensor, "batch samples"],
        num_samples: Int[Tensor, " batch"] | None = None,
        *,
        target_length: int | None = None,
    ) -> Float[Tensor, "batch frames mels"]:
        """Log-mel spectrograms, normalised as the weights expect and padded to whole patches.

        Args:
            waveforms: mono samples in [-1, 1] at `sample_rate_hz`.
            num_samples: how many samples of each row are sound; all by default.
            target_length: pad to, or keep, so many frames (and then pad to whole patches).

        Raises:
            ValueError: if the waveforms are shorter than one frame (25 ms as published).
        """
        shortest = self.front_end.config.frame_length
        if waveforms.shape[1] < shortest:
            raise ValueError(
                f"waveforms of {waveforms.shape[1]} samples are too short: at least {shortest} are needed "
                f"({self.front_end.config.frame_length_ms:g} ms at {self.sample_rate_hz} Hz)"
            )
        log_mel: Tensor = self.front_end(
            waveforms, num_samples, target_length=target_length, multiple_of=self.config.patch_size
        )
        return log_mel

    def features(self, log_mel: Float[Tensor, "batch frames mels"]) -> Features:
        """Patch features and CLS token of spectrograms that `log_mel` made."""
        features: Features = self.encoder(log_mel)
        return features

    def forward(
        self, waveforms: Float[Tensor, "batch samples"], num_samples: Int[Tensor, " batch"] | None = None
    ) -> Features:
        """Patch features and CLS token of waveforms."""
        return self.features(self.log_mel(waveforms, num_samples))

    def embed(
        self,
        waveforms: Float[Tensor, "batch samples"],
        num_samples: Int[Tensor, " batch"] | None = None,
        *,
        pooling: Literal["cls", "mean"] = "cls",
    ) -> Float[Tensor, "batch dim"]:
        """One vector per waveform: the CLS token, or the mean of the patches."""
        features: Features = self(waveforms, num_samples)
        if pooling == "mean":
            return features.patches.mean(dim=1)
        assert features.cls is not None
        return features.cls


class AudioClassifier(nn.Module):
    """An audio encoder with a classification head and the names of its classes.

    Args:
        encoder: the audio encoder.
        head: the head; has as many classes as there are labels.
        labels: names of the classes, in the order of the logits.
        multi_label: whether a clip may have several labels (sigmoid) or has exactly one (softmax).
        target_length: fewest log-mel frames of a clip; shorter ones are padded as in training.
    """

    def __init__(
        self,
        encoder: AudioEncoder,
        head: ClassificationHead,
        labels: tuple[str, ...],
        *,
        multi_label: bool,
        target_length: int | None = None,
    ) -> None:
        super().__init__()
        if len(labels) != head.config.num_classes:
            raise ValueError(f"{len(labels)} labels do not fit a head with {head.config.num_classes} classes")
        if target_length is not None and target_length < 1:
            raise ValueError(f"target_length must be at least 1 frame, got {target_length}")
        self.encoder = encoder
        self.head = head
        self.labels = labels
        self.multi_label = multi_label
        self.target_length = target_length

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the waveforms this model expects."""
        return self.encoder.sample_rate_hz

    def log_mel(
        self, waveforms: Float[Tensor, "batch samples"], num_samples: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch frames mels"]:
        """Normalised log-mel spectrograms of at least `target_length` frames; see `AudioEncoder.log_mel`."""
        num_frames = self.encoder.front_end.config.num_frames(waveforms.shape[1])
        return self.encoder.log_mel(
            waveforms, num_samples, target_length=max(num_frames, self.target_length or 0)
        )

    def logits(self, log_mel: Float[Tensor, "batch frames mels"]) -> Float[Tensor, "batch classes"]:
        """One logit per class, in the order of `labels`."""
        logits: Tensor = self.head(self.encoder.features(log_mel))
        return logits

    def forward(
        self, waveforms: Float[Tensor, "batch samples"], num_samples: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch classes"]:
        """Probability of each class: each by itself if `multi_label`, otherwise they sum to one."""
        logits = self.logits(self.log_mel(waveforms, num_samples)).float()
        return torch.sigmoid(logits) if self.multi_label else torch.softmax(logits, dim=1)
