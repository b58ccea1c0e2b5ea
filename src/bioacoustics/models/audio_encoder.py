"""The audio encoder: waveforms to features and embeddings, and with a head on top to classes."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bioacoustics.audio.log_mel import LogMel, LogMelConfig
from bioacoustics.models.beats import BEATsConfig
from bioacoustics.models.eat import EATEncoder
from bioacoustics.models.encoders import Encoder, EncoderConfig
from bioacoustics.models.features import Features
from bioacoustics.models.heads import ClassificationHead

Pooling = Literal["auto", "cls", "mean"]


class AudioEncoder(nn.Module):
    """Front end and encoder in one, so that a model always hears audio the way it was trained.

    Waveforms are mono float32 in [-1, 1] at `sample_rate_hz`, on the model's device. Rows of one batch are as
    long as the longest; `num_samples` says how much of each is sound. A row's features never depend on the
    other rows. EAT hears padding like sound, as in the official code: there they depend on the width of the
    batch. For BEATs padding is nothing, and they do not (with its `padding_rule` "official" they do).

    A clip shorter than one column of patches (175 ms as published) is followed by silence up to there.
    """

    def __init__(self, log_mel_config: LogMelConfig, encoder: Encoder) -> None:
        super().__init__()
        if log_mel_config.num_mels != encoder.config.num_mels:
            raise ValueError(
                f"the front end makes {log_mel_config.num_mels} mel bands, the encoder expects "
                f"{encoder.config.num_mels}: give both the same num_mels"
            )
        self.front_end = LogMel(log_mel_config)
        self.encoder = encoder

    @property
    def config(self) -> EncoderConfig:
        """Configuration of the encoder; the front end's is `front_end.config`."""
        return self.encoder.config

    @property
    def hears_padding(self) -> bool:
        """Whether padding is heard like sound, as EAT does, or ignored."""
        return isinstance(self.encoder, EATEncoder)

    @property
    def _counts_as_published(self) -> bool:
        config = self.encoder.config
        return isinstance(config, BEATsConfig) and config.padding_rule == "official"

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
        """Log-mel spectrograms, normalised as the weights expect, of at least one column of patches.

        Args:
            waveforms: mono samples in [-1, 1] at `sample_rate_hz`.
            num_samples: how many samples of each row are sound; all by default.
            target_length: pad to, or keep, so many frames. For EAT they are then padded to whole patches;
                BEATs leaves out the frames after its last whole column.

        Raises:
            ValueError: if the waveforms are shorter than one frame (25 ms as published).
        """
        shortest = self.front_end.config.frame_length
        if waveforms.shape[1] < shortest:
            raise ValueError(
                f"waveforms of {waveforms.shape[1]} samples are too short: at least {shortest} are needed "
                f"({self.front_end.config.frame_length_ms:g} ms at {self.sample_rate_hz} Hz)"
            )
        multiple_of, size = 1, self.config.patch_size
        if self.hears_padding:
            multiple_of = size
        else:
            target_length = max(size, target_length or self.front_end.config.num_frames(waveforms.shape[1]))
            if num_samples is not None and self._counts_as_published:
                # The published code hears what follows a clip as silence, and frames across its end as sound.
                is_sound = torch.arange(waveforms.shape[1], device=waveforms.device) < num_samples[:, None]
                waveforms, num_samples = waveforms * is_sound, None
        log_mel: Tensor = self.front_end(
            waveforms, num_samples, target_length=target_length, multiple_of=multiple_of
        )
        return log_mel

    def num_frames(
        self, num_samples: Int[Tensor, " batch"] | None, total_samples: int
    ) -> Int[Tensor, " batch"] | None:
        """How many frames of each row are sound for the encoder; None where all are, as always for EAT.

        Args:
            num_samples: how many samples of each row are sound.
            total_samples: width of the batch of waveforms.
        """
        if num_samples is None or self.hears_padding:
            return None
        config = self.front_end.config
        if self._counts_as_published:
            total_frames = config.num_frames(total_samples)
            samples_of_frame = total_samples // max(1, total_frames)
            return (-(-num_samples // samples_of_frame)).clamp(max=total_frames)
        whole = torch.div(num_samples - config.frame_length, config.frame_shift, rounding_mode="floor")
        return (whole + 1).clamp(min=0)

    def features(
        self, log_mel: Float[Tensor, "batch frames mels"], num_frames: Int[Tensor, " batch"] | None = None
    ) -> Features:
        """Features of spectrograms that `log_mel` made, with the `num_frames` that go with them."""
        features: Features = self.encoder(*(log_mel,) if self.hears_padding else (log_mel, num_frames))
        return features

    def forward(
        self, waveforms: Float[Tensor, "batch samples"], num_samples: Int[Tensor, " batch"] | None = None
    ) -> Features:
        """Features of waveforms."""
        return self.features(
            self.log_mel(waveforms, num_samples), self.num_frames(num_samples, waveforms.shape[1])
        )

    def embed(
        self,
        waveforms: Float[Tensor, "batch samples"],
        num_samples: Int[Tensor, " batch"] | None = None,
        *,
        pooling: Pooling = "auto",
    ) -> Float[Tensor, "batch dim"]:
        """One vector per waveform: the CLS token or the mean of the patches; auto: the first there is.

        Raises:
            ValueError: if a CLS token is asked for and this encoder has none.
        """
        if pooling == "cls" and not self.config.has_cls:
            raise ValueError("this encoder has no CLS token: choose the pooling mean, or auto")
        features: Features = self(waveforms, num_samples)
        return features.mean() if pooling == "mean" or features.cls is None else features.cls


class AudioClassifier(nn.Module):
    """An audio encoder with a classification head and the names of its classes.

    Args:
        encoder: the audio encoder.
        head: the head; has as many classes as there are labels.
        labels: names of the classes, in the order of the logits.
        multi_label: whether a clip may have several labels (sigmoid) or has exactly one (softmax).
        target_length: log-mel frames of a clip in training. Shorter ones are padded to it where the encoder
            hears padding; elsewhere it makes no difference.
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
        """Normalised log-mel spectrograms; see `target_length` and `AudioEncoder.log_mel`."""
        if not self.encoder.hears_padding:
            return self.encoder.log_mel(waveforms, num_samples)
        num_frames = self.encoder.front_end.config.num_frames(waveforms.shape[1])
        return self.encoder.log_mel(
            waveforms, num_samples, target_length=max(num_frames, self.target_length or 0)
        )

    def num_frames(
        self, num_samples: Int[Tensor, " batch"] | None, total_samples: int
    ) -> Int[Tensor, " batch"] | None:
        """How many frames of each row are sound for the encoder; see `AudioEncoder.num_frames`."""
        return self.encoder.num_frames(num_samples, total_samples)

    def logits(
        self, log_mel: Float[Tensor, "batch frames mels"], num_frames: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch classes"]:
        """One logit per class, in the order of `labels`."""
        logits: Tensor = self.head(self.encoder.features(log_mel, num_frames))
        return logits

    def forward(
        self, waveforms: Float[Tensor, "batch samples"], num_samples: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch classes"]:
        """Probability of each class: each by itself if `multi_label`, otherwise they sum to one."""
        num_frames = self.num_frames(num_samples, waveforms.shape[1])
        return self._probabilities(self.logits(self.log_mel(waveforms, num_samples), num_frames))

    def listen(
        self, waveforms: Float[Tensor, "batch samples"]
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch columns bands classes"]]:
        """Probability of each class in each waveform, and in each patch as if it stood alone.

        Raises:
            ValueError: if the head pools nothing that patches could be asked for.
        """
        if not self.head.config.hears_patches:
            raise ValueError(
                f"a head of kind {self.head.config.prediction_mode} does not say where it heard something: "
                "fine-tune with --prediction_mode LIN_SOFTMAX or MEAN_POOLING"
            )
        features = self.encoder.features(self.log_mel(waveforms))
        config = self.encoder.config
        num_bands = config.num_mels // config.patch_size
        patches = self._probabilities(self.head.patch_logits(features))
        grid = patches.reshape(len(patches), -1, num_bands, len(self.labels))
        return self._probabilities(self.head(features)), grid

    def _probabilities(self, logits: Float[Tensor, "*rows classes"]) -> Float[Tensor, "*rows classes"]:
        logits = logits.float()
        return torch.sigmoid(logits) if self.multi_label else torch.softmax(logits, dim=-1)
