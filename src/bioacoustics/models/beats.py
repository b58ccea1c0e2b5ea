"""BEATs: the encoder of "BEATs: Audio Pre-Training with Acoustic Tokenizers" (Chen et al., ICML 2023).

Patches of the spectrogram form one long sequence, column by column. They learn where they are from a
convolution over their neighbours and from a bias of distance in every attention; there is no CLS token.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from bioacoustics.models.eat import Size
from bioacoustics.models.features import Features
from bioacoustics.models.linear import Linear
from bioacoustics.models.positional_convolution import PositionalConvolution
from bioacoustics.models.relative_transformer import RelativeTransformer, RelativeTransformerConfig


class BEATsConfig(RelativeTransformerConfig, frozen=True, extra="forbid"):
    """Shape of the encoder; the defaults are the published base model and its pre-training.

    Attributes:
        embed_dim: Width of the encoder; patches begin with width `patch_dim`.
        position_kernel: Patches that the positional convolution sees at once.
        padding_rule: Which patches count as padding. "aligned": those of columns that are not wholly sound,
            so that a clip has the same features alone and in any batch. "official": the shares of the
            published code, under which they differ.
    """

    patch_dim: int = Field(default=512, gt=0)
    patch_size: int = Field(default=16, gt=0)
    num_mels: int = Field(default=128, gt=0)
    patch_bias: bool = False
    position_kernel: int = Field(default=128, gt=0)
    position_groups: int = Field(default=16, gt=0)
    input_dropout: float = Field(default=0.1, ge=0, lt=1)
    padding_rule: Literal["aligned", "official"] = "aligned"

    @model_validator(mode="after")
    def _check_divisions(self) -> "BEATsConfig":
        if self.embed_dim % self.position_groups:
            raise ValueError(
                f"embed_dim {self.embed_dim} must be a multiple of position_groups {self.position_groups}"
            )
        if self.num_mels % self.patch_size:
            raise ValueError(f"num_mels {self.num_mels} must be a multiple of patch_size {self.patch_size}")
        return self

    @classmethod
    def of_size(cls, size: Size) -> "BEATsConfig":
        """The configuration of a named size: "base" is published, "large" follows OpenBEATs."""
        patch_dim, embed_dim, depth, num_heads = {
            "tiny": (128, 192, 6, 3),
            "small": (256, 384, 12, 6),
            "base": (512, 768, 12, 12),
            "large": (512, 1024, 24, 16),
        }[size]
        return cls(
            patch_dim=patch_dim,
            embed_dim=embed_dim,
            hidden_dim=4 * embed_dim,
            depth=depth,
            num_heads=num_heads,
        )

    @property
    def num_bands(self) -> int:
        """Patches one above the other in a column of the spectrogram."""
        return self.num_mels // self.patch_size

    @property
    def has_cls(self) -> bool:
        """Whether one token stands for the whole row."""
        return False

    def for_finetuning(self, drop_path_rate: float) -> "BEATsConfig":
        """The same shape with the regularisation of a fine-tuning: blocks are left out, nothing else is.

        So it was done in the published fine-tuning on AudioSet. What `gradient_decay` was to do there, the
        optimizer does by slower learning rates.
        """
        no_dropout = dict.fromkeys(
            ("dropout", "attention_dropout", "activation_dropout", "input_dropout"), 0.0
        )
        return self.model_copy(update={**no_dropout, "layer_drop": drop_path_rate, "gradient_decay": 1.0})


class EncodedPatches(NamedTuple):
    """Patches after the last block, and what every block made on the way, where asked for."""

    patches: Float[Tensor, "batch patches dim"]
    layers: tuple[Float[Tensor, "batch patches dim"], ...]


class BEATsEncoder(nn.Module):
    """Transformer over patches of a normalised log-mel spectrogram.

    With `activation_checkpointing` blocks are computed again in the backward pass: less memory, more time.
    """

    def __init__(self, config: BEATsConfig, *, activation_checkpointing: bool = False) -> None:
        super().__init__()
        self.config = config
        self.patch_embedding = nn.Conv2d(
            1, config.patch_dim, config.patch_size, stride=config.patch_size, bias=config.patch_bias
        )
        self.patch_norm = nn.LayerNorm(config.patch_dim)
        self.patch_projection = (
            nn.Identity()
            if config.patch_dim == config.embed_dim
            else Linear(config.patch_dim, config.embed_dim)
        )
        self.position_convolution = PositionalConvolution(
            config.embed_dim, config.position_kernel, config.position_groups
        )
        self.norm = nn.LayerNorm(config.embed_dim)
        self.transformer = RelativeTransformer(config, activation_checkpointing=activation_checkpointing)

    @property
    def activation_checkpointing(self) -> bool:
        """Whether blocks are computed again in the backward pass."""
        return self.transformer.activation_checkpointing

    @activation_checkpointing.setter
    def activation_checkpointing(self, is_on: bool) -> None:
        self.transformer.activation_checkpointing = is_on

    def embed_patches(
        self, log_mel: Float[Tensor, "batch frames mels"]
    ) -> Float[Tensor, "batch patches dim"]:
        """Cut a spectrogram into patches, normalise and project each; frames of a last part are left out.

        Raises:
            ValueError: if there is not one whole column of patches.
        """
        num_frames, num_mels = log_mel.shape[1:]
        size = self.config.patch_size
        if num_mels != self.config.num_mels:
            raise ValueError(
                f"the log-mel has {num_mels} mel bands, this encoder expects {self.config.num_mels}"
            )
        if num_frames < size:
            raise ValueError(
                f"the log-mel has {num_frames} frames, this encoder expects at least {size}: "
                f"pad it, for example with LogMel(..., target_length={size})"
            )
        patches = self.patch_norm(self.patch_embedding(log_mel.unsqueeze(1)).flatten(2).transpose(1, 2))
        return F.dropout(self.patch_projection(patches), self.config.input_dropout, self.training)

    def encode(
        self,
        patches: Float[Tensor, "batch patches dim"],
        *,
        is_padding: Bool[Tensor, "batch patches"] | None = None,
        positions: Int[Tensor, "batch patches"] | None = None,
        num_positions: int | None = None,
        collect_layers: bool = False,
    ) -> EncodedPatches:
        """Run convolution and blocks over embedded patches, all or any subset of a row's.

        Args:
            patches: what `embed_patches` made, or some of it.
            is_padding: which of them nobody is to attend to.
            positions: the place of each patch in its row's sequence; distances are then true ones, and where
                patches are missing the convolution hears silence (zeros). By default the given patches are
                taken for neighbours.
            num_positions: length of the sequence that `positions` points into.
            collect_layers: return the output of every block as well.
        """
        if (positions is None) != (num_positions is None):
            raise ValueError("positions and num_positions belong together: give both or none")
        if is_padding is not None:
            patches = patches.masked_fill(is_padding[..., None], 0.0)
        tokens = patches + self._positional(patches, positions, num_positions)
        if not self.config.norm_first:
            tokens = self.norm(tokens)
        tokens = F.dropout(tokens, self.config.dropout, self.training)
        tokens, layers = self.transformer(
            tokens,
            is_padding=is_padding,
            positions=positions,
            num_positions=num_positions,
            collect_layers=collect_layers,
        )
        return EncodedPatches(self.norm(tokens) if self.config.norm_first else tokens, layers)

    def _positional(
        self,
        patches: Float[Tensor, "batch patches dim"],
        positions: Int[Tensor, "batch patches"] | None,
        num_positions: int | None,
    ) -> Float[Tensor, "batch patches dim"]:
        if positions is None or num_positions is None:
            everywhere: Tensor = self.position_convolution(patches)
            return everywhere
        places = positions[..., None].expand_as(patches)
        whole = patches.new_zeros(len(patches), num_positions, patches.shape[2]).scatter(1, places, patches)
        convolved: Tensor = self.position_convolution(whole).gather(1, places)
        return convolved

    def forward(
        self, log_mel: Float[Tensor, "batch frames mels"], num_frames: Int[Tensor, " batch"] | None = None
    ) -> Features:
        """Encode whole spectrograms, normalised as the weights expect.

        Args:
            log_mel: at least `patch_size` frames; what follows the last whole column is left out.
            num_frames: how many frames of each row are sound, all by default. A row keeps at least one
                column, whatever there is in it.
        """
        patches = self.embed_patches(log_mel)
        is_padding = None if num_frames is None else self.is_padding(num_frames, log_mel.shape[1])
        return Features(self.encode(patches, is_padding=is_padding).patches, cls=None, is_padding=is_padding)

    def is_padding(
        self, num_frames: Int[Tensor, " batch"], total_frames: int
    ) -> Bool[Tensor, "batch patches"]:
        """Which patches of rows with so many frames of sound are padding, by the configured rule."""
        size, num_bands = self.config.patch_size, self.config.num_bands
        num_patches = total_frames // size * num_bands
        if self.config.padding_rule == "aligned":
            num_real = (num_frames // size).clamp(min=1) * num_bands
        else:  # a patch stands for so many successive frames, whatever its band; one of them is enough
            num_real = -(-num_frames // max(1, total_frames // num_patches))
        return torch.arange(num_patches, device=num_frames.device) >= num_real[:, None]
