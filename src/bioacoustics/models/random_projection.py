"""Random projection: BEATs' first tokenizer, which has learnt nothing and needs no training.

Chiu et al., "Self-supervised learning with random-projection quantizer for speech recognition", ICML 2022;
Chen et al., "BEATs: Audio Pre-Training with Acoustic Tokenizers", ICML 2023, section 3.2.1. Similar patches
fall to the same code, and which code that is must be heard in their surroundings.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from bioacoustics.models.codebook import nearest, unit

MIN_BAND_STD = 0.1  # of the normalised log-mel: bands without a Fourier bin or sound must not be blown up


class RandomProjectionConfig(BaseModel, frozen=True, extra="forbid"):
    """Everything that the projection follows from; the sizes are those of BEATs.

    Attributes:
        band_mean: Mean of each mel band of the normalised log-mel over the recordings; empty for 0.
        band_std: Its standard deviation; empty for 1. With both, a token says how a patch differs from the
            ordinary spectrum. Without, half of all patches of field recordings have one and the same token.
    """

    num_codes: int = Field(default=1024, ge=2)
    code_dim: int = Field(default=256, ge=1)
    patch_dim: int = Field(default=512, ge=1)
    patch_size: int = Field(default=16, ge=1)
    num_mels: int = Field(default=128, ge=1)
    seed: int = Field(default=45, ge=0)
    band_mean: tuple[float, ...] = ()
    band_std: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _check_sizes(self) -> "RandomProjectionConfig":
        if self.num_mels % self.patch_size:
            raise ValueError(f"num_mels {self.num_mels} must be a multiple of patch_size {self.patch_size}")
        for name, values in (("band_mean", self.band_mean), ("band_std", self.band_std)):
            if len(values) not in {0, self.num_mels}:
                raise ValueError(
                    f"{name} has {len(values)} values, expected one for each of {self.num_mels} bands"
                )
        return self


class RandomProjection(nn.Module):
    """Frozen random linear maps and a frozen random codebook; a patch's token is the code nearest to it.

    Weights are drawn from the seed of the config, whatever the global generator; they are also saved, so that
    a tokenizer stays what it was should a generator ever change.
    """

    patch_projection: Float[Tensor, "patch_dim 1 size size"]
    projection: Float[Tensor, "code_dim patch_dim"]
    codes: Float[Tensor, "codes code_dim"]
    band_mean: Float[Tensor, " mels"]
    band_std: Float[Tensor, " mels"]

    def __init__(self, config: RandomProjectionConfig) -> None:
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(config.seed)
        size, num_cells = config.patch_size, config.patch_size**2

        def drawn(*shape: int, fans: int) -> Tensor:
            """Xavier-normal: uniform weights use the codes less evenly."""
            drawn = torch.empty(shape, device="cpu").normal_(generator=generator)
            return drawn * math.sqrt(2 / fans)

        patch_projection = drawn(config.patch_dim, 1, size, size, fans=num_cells + config.patch_dim)
        projection = drawn(config.code_dim, config.patch_dim, fans=config.patch_dim + config.code_dim)
        codes = unit(drawn(config.num_codes, config.code_dim, fans=2))
        mean = torch.tensor(config.band_mean or [0.0] * config.num_mels, dtype=torch.float32)
        std = torch.tensor(config.band_std or [1.0] * config.num_mels, dtype=torch.float32).clamp(
            min=MIN_BAND_STD
        )
        for name, value in (
            ("patch_projection", patch_projection),
            ("projection", projection),
            ("codes", codes),
        ):
            self.register_buffer(name, value)
        self.register_buffer("band_mean", mean)
        self.register_buffer("band_std", std)

    @torch.no_grad()
    def tokenize(self, log_mel: Float[Tensor, "batch frames mels"]) -> Int[Tensor, "batch patches"]:
        """The token of every patch, column by column, the lowest band first."""
        with torch.autocast(log_mel.device.type, enabled=False):
            standardised = (log_mel.float() - self.band_mean) / self.band_std
            patches = F.conv2d(
                standardised.unsqueeze(1), self.patch_projection, stride=self.config.patch_size
            )
            patches = _normed(patches.flatten(2).transpose(1, 2))
            return nearest(unit(_normed(patches @ self.projection.T)), self.codes)


def _normed(vectors: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    return F.layer_norm(vectors, vectors.shape[-1:])
