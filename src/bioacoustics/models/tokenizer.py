"""Tokenizers: every patch of a spectrogram becomes one of many codes, by a random projection or a learnt one.

Chen et al., "BEATs: Audio Pre-Training with Acoustic Tokenizers", ICML 2023, section 3.2. Both hear waveforms
through a front end of their own, as `AudioEncoder` does, and order patches as `Features` does.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bioacoustics.audio.log_mel import LogMel, LogMelConfig
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.codebook import Codebook, CodebookConfig, projection_to_codes
from bioacoustics.models.random_projection import RandomProjection, RandomProjectionConfig


class RandomTokenizer(nn.Module):
    """The tokenizer of the first iteration: a frozen random projection of each patch by itself."""

    def __init__(self, log_mel_config: LogMelConfig, config: RandomProjectionConfig) -> None:
        super().__init__()
        if log_mel_config.num_mels != config.num_mels:
            raise ValueError(
                f"the front end makes {log_mel_config.num_mels} mel bands, the tokenizer expects "
                f"{config.num_mels}: give both the same num_mels"
            )
        self.front_end = LogMel(log_mel_config)
        self.random_projection = RandomProjection(config)

    @property
    def num_codes(self) -> int:
        """How many tokens there are."""
        return self.random_projection.config.num_codes

    @property
    def patch_size(self) -> int:
        """Frames, and mel bands, of a patch."""
        return self.random_projection.config.patch_size

    def log_mel(
        self,
        waveforms: Float[Tensor, "batch samples"],
        num_samples: Int[Tensor, " batch"] | None = None,
        *,
        target_length: int | None = None,
    ) -> Float[Tensor, "batch frames mels"]:
        """Log-mel spectrograms of at least one column of patches; see `AudioEncoder.log_mel`."""
        length = target_length or self.front_end.config.num_frames(waveforms.shape[1])
        log_mel: Tensor = self.front_end(waveforms, num_samples, target_length=max(self.patch_size, length))
        return log_mel

    def num_frames(
        self, num_samples: Int[Tensor, " batch"] | None, total_samples: int
    ) -> Int[Tensor, " batch"] | None:
        """None: each patch is heard by itself, so it does not matter which are padding."""
        return None

    def tokenize(
        self, log_mel: Float[Tensor, "batch frames mels"], num_frames: Int[Tensor, " batch"] | None = None
    ) -> Int[Tensor, "batch patches"]:
        """The token of every patch of spectrograms that `log_mel` made."""
        return self.random_projection.tokenize(log_mel)


class DistilledTokenizer(nn.Module):
    """The tokenizer of later iterations: an encoder, a projection to the codes' space, and the codebook."""

    def __init__(self, encoder: AudioEncoder, config: CodebookConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = projection_to_codes(encoder.embedding_dim, config)
        self.codebook = Codebook(config)

    @property
    def front_end(self) -> LogMel:
        """From waveforms to log-mel."""
        return self.encoder.front_end

    @property
    def num_codes(self) -> int:
        """How many tokens there are."""
        return self.codebook.config.num_codes

    @property
    def patch_size(self) -> int:
        """Frames, and mel bands, of a patch."""
        return self.encoder.config.patch_size

    def log_mel(
        self,
        waveforms: Float[Tensor, "batch samples"],
        num_samples: Int[Tensor, " batch"] | None = None,
        *,
        target_length: int | None = None,
    ) -> Float[Tensor, "batch frames mels"]:
        """Log-mel spectrograms of at least one column of patches; see `AudioEncoder.log_mel`."""
        return self.encoder.log_mel(waveforms, num_samples, target_length=target_length)

    def num_frames(
        self, num_samples: Int[Tensor, " batch"] | None, total_samples: int
    ) -> Int[Tensor, " batch"] | None:
        """How many frames of each row are sound; see `AudioEncoder.num_frames`."""
        return self.encoder.num_frames(num_samples, total_samples)

    def project(
        self, log_mel: Float[Tensor, "batch frames mels"], num_frames: Int[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch patches dim"], Bool[Tensor, "batch patches"]]:
        """Where each patch lies in the space of the codes (not yet of unit length), and which are padding."""
        features = self.encoder.features(log_mel, num_frames)
        is_padding = features.is_padding
        if is_padding is None:
            is_padding = torch.zeros(features.patches.shape[:2], dtype=torch.bool, device=log_mel.device)
        projected: Tensor = self.projection(features.patches)
        return projected, is_padding

    @torch.no_grad()
    def tokenize(
        self, log_mel: Float[Tensor, "batch frames mels"], num_frames: Int[Tensor, " batch"] | None = None
    ) -> Int[Tensor, "batch patches"]:
        """The token of every patch of spectrograms that `log_mel` made.

        Args:
            log_mel: at least one column of patches.
            num_frames: how many frames of each row are sound, all by default. Tokens of what follows mean
                nothing.
        """
        projected, _ = self.project(log_mel, num_frames)
        return self.codebook.nearest(projected)


AudioTokenizer = RandomTokenizer | DistilledTokenizer
