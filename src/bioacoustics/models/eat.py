"""EAT, the Efficient Audio Transformer: encoder, position table and the decoder of its pre-training.

Architecture: Chen et al., "EAT: Self-Supervised Pre-Training with Efficient Audio Transformer", IJCAI 2024,
which builds on data2vec 2.0. The blocks are post-norm, one more norm stands before them and none after them.
"""

import itertools
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bioacoustics.models.features import Features
from bioacoustics.models.linear import Linear
from bioacoustics.models.transformer import PostNormBlock

Size = Literal["tiny", "small", "base", "large"]


class EATConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of the encoder: "base" and "large" are published, "tiny" and "small" suit modest machines."""

    embed_dim: int = Field(default=768, gt=0, multiple_of=4)  # sine and cosine of two coordinates
    depth: int = Field(default=12, gt=0)
    num_heads: int = Field(default=12, gt=0)
    mlp_ratio: float = Field(default=4.0, gt=0)
    norm_eps: float = Field(default=1e-6, gt=0)
    patch_size: int = Field(default=16, gt=0)
    num_mels: int = Field(default=128, gt=0)
    num_position_columns: int = Field(
        default=768, gt=0
    )  # 122.88 s; longer inputs are computed when they come
    drop_path_rate: float = Field(
        default=0.0, ge=0, lt=1
    )  # of the last block; grows linearly from 0 at the first

    @model_validator(mode="after")
    def _check_divisions(self) -> "EATConfig":
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} must be a multiple of num_heads {self.num_heads}")
        if self.num_mels % self.patch_size:
            raise ValueError(f"num_mels {self.num_mels} must be a multiple of patch_size {self.patch_size}")
        return self

    @classmethod
    def of_size(cls, size: Size, *, drop_path_rate: float = 0.0) -> "EATConfig":
        """The configuration of a named size."""
        embed_dim, depth, num_heads = {
            "tiny": (192, 6, 3),
            "small": (384, 12, 6),
            "base": (768, 12, 12),
            "large": (1024, 24, 16),
        }[size]
        return cls(embed_dim=embed_dim, depth=depth, num_heads=num_heads, drop_path_rate=drop_path_rate)

    @property
    def num_bands(self) -> int:
        """Patches one above the other in a column of the spectrogram."""
        return self.num_mels // self.patch_size

    @property
    def has_cls(self) -> bool:
        """Whether one token stands for the whole row."""
        return True

    def for_finetuning(self, drop_path_rate: float) -> "EATConfig":
        """The same shape with the regularisation of a fine-tuning."""
        return self.model_copy(update={"drop_path_rate": drop_path_rate})


class DecoderConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of the convolutional decoder that pre-training needs."""

    width: int = Field(default=768, gt=0)
    kernel: int = Field(default=3, gt=0)
    groups: int = Field(default=16, gt=0)
    num_layers: int = Field(default=6, gt=0)

    @model_validator(mode="after")
    def _check_groups(self) -> "DecoderConfig":
        if self.width % self.groups:
            raise ValueError(f"width {self.width} must be a multiple of groups {self.groups}")
        return self

    @classmethod
    def of_size(cls, size: Size) -> "DecoderConfig":
        """The decoder that goes with an encoder of this size."""
        match size:
            case "large":
                return cls(width=1024, kernel=5, num_layers=3)
            case _:
                return cls(width=EATConfig.of_size(size).embed_dim)


class EncodedTokens(NamedTuple):
    """Tokens after the last block, CLS first; and what every block made on the way, where asked for."""

    tokens: Float[Tensor, "batch tokens dim"]
    mlp_outputs: tuple[Float[Tensor, "batch tokens dim"], ...]
    block_outputs: tuple[Float[Tensor, "batch tokens dim"], ...]


class EATEncoder(nn.Module):
    """Vision transformer over patches of a normalised log-mel spectrogram.

    With `activation_checkpointing` blocks are computed again in the backward pass: less memory, more time.
    """

    positions: Tensor

    def __init__(self, config: EATConfig, *, activation_checkpointing: bool = False) -> None:
        super().__init__()
        self.config = config
        self.activation_checkpointing = activation_checkpointing
        self.patch_embedding = nn.Conv2d(1, config.embed_dim, config.patch_size, stride=config.patch_size)
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.embed_dim))
        self.input_norm = nn.LayerNorm(config.embed_dim, eps=config.norm_eps)
        last = max(config.depth - 1, 1)
        self.blocks = nn.ModuleList(
            PostNormBlock(
                config.embed_dim,
                config.num_heads,
                int(config.embed_dim * config.mlp_ratio),
                norm_eps=config.norm_eps,
                drop_path_rate=config.drop_path_rate * i / last,
            )
            for i in range(config.depth)
        )
        # Persistent, because published float16 checkpoints hold a rounded table and expect exactly that one.
        self.register_buffer(
            "positions", sincos_positions(config.embed_dim, config.num_position_columns, config.num_bands)
        )
        self.initialise()

    def initialise(self) -> None:
        """Draw new weights as the official code does: Linear N(0, 0.02), patches Xavier, CLS N(0, 1)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        self.patch_embedding.reset_parameters()
        nn.init.xavier_uniform_(self.patch_embedding.weight.data.flatten(1))
        nn.init.normal_(self.cls_token)

    def embed_patches(
        self, log_mel: Float[Tensor, "batch frames mels"]
    ) -> Float[Tensor, "batch patches dim"]:
        """Cut a spectrogram into patches, project each and add its position.

        Raises:
            ValueError: if the spectrogram does not divide into whole patches.
        """
        num_frames, num_mels = log_mel.shape[1:]
        size = self.config.patch_size
        if num_mels != self.config.num_mels:
            raise ValueError(
                f"the log-mel has {num_mels} mel bands, this encoder expects {self.config.num_mels}"
            )
        if num_frames == 0 or num_frames % size:
            raise ValueError(
                f"the log-mel has {num_frames} frames, this encoder expects a multiple of {size}: "
                f"pad it, for example with LogMel(..., multiple_of={size})"
            )
        patches: Tensor = self.patch_embedding(log_mel.unsqueeze(1)).flatten(2).transpose(1, 2)
        return patches + self._positions_of(num_frames // size)

    def _positions_of(self, num_columns: int) -> Float[Tensor, "1 patches dim"]:
        num_patches = num_columns * self.config.num_bands
        num_stored = self.positions.shape[1]
        if num_patches <= num_stored:
            return self.positions[:, :num_patches]
        longer = sincos_positions(
            self.config.embed_dim, num_columns, self.config.num_bands, device=self.positions.device
        )
        return torch.cat([self.positions, longer[:, num_stored:].to(self.positions.dtype)], dim=1)

    def encode(
        self,
        patches: Float[Tensor, "batch patches dim"],
        *,
        collect_mlp_outputs: bool = False,
        collect_block_outputs: bool = False,
    ) -> EncodedTokens:
        """Run the blocks over embedded patches, all or any subset of a row's, in any order.

        Returns:
            Tokens (batch, 1 + patches, dim) with CLS first; and of every block, if wanted, the output of its
            MLP and its own output, in the same shape.
        """
        cls = self.cls_token.expand(patches.shape[0], -1, -1)
        tokens: Tensor = self.input_norm(torch.cat([cls, patches], dim=1))
        mlp_outputs: list[Tensor] = []
        block_outputs: list[Tensor] = []
        recomputes = self.activation_checkpointing and torch.is_grad_enabled()
        for block in self.blocks:
            if recomputes:
                tokens, mlp_output = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens, mlp_output = block(tokens)
            if collect_mlp_outputs:
                mlp_outputs.append(mlp_output)
            if collect_block_outputs:
                block_outputs.append(tokens)
        return EncodedTokens(tokens, tuple(mlp_outputs), tuple(block_outputs))

    def forward(self, log_mel: Float[Tensor, "batch frames mels"]) -> Features:
        """Encode whole spectrograms, normalised as the weights expect; frames divide by the patch size."""
        tokens = self.encode(self.embed_patches(log_mel)).tokens
        return Features(patches=tokens[:, 1:], cls=tokens[:, 0])


class EATDecoder(nn.Module):
    """Small convolutional network that predicts the teacher's targets from visible patches and noise.

    Parameters keep torch's default initialisation, as in the official code.
    """

    def __init__(self, config: DecoderConfig, embed_dim: int) -> None:
        super().__init__()
        if embed_dim % config.groups:
            raise ValueError(
                f"embed_dim {embed_dim} must be a multiple of the decoder's groups {config.groups}"
            )
        self.config = config
        widths = [embed_dim] + [config.width] * config.num_layers
        self.blocks = nn.ModuleList(
            nn.Conv2d(width_in, width_out, config.kernel, padding=config.kernel // 2, groups=config.groups)
            for width_in, width_out in itertools.pairwise(widths)
        )
        self.projection = Linear(config.width, embed_dim)

    def forward(
        self,
        grid_tokens: Float[Tensor, "batch patches dim"],
        num_columns: int,
        wanted: Int[Tensor, "batch wanted"] | None = None,
    ) -> Float[Tensor, "batch predicted dim"]:
        """Predict the targets of the `wanted` patches, by default of all.

        `grid_tokens` are in patch order, with noise at masked places.
        """
        predicted: Tensor = self.projection(self.features(grid_tokens, num_columns, wanted))
        return predicted

    def features(
        self,
        grid_tokens: Float[Tensor, "batch patches dim"],
        num_columns: int,
        wanted: Int[Tensor, "batch wanted"] | None = None,
    ) -> Float[Tensor, "batch predicted width"]:
        """What the convolutions make of the `wanted` patches, before the projection; as for `forward`."""
        batch, _, dim = grid_tokens.shape
        # The view puts channels last in memory, which is what the norm over channels wants as well.
        grid = grid_tokens.reshape(batch, num_columns, -1, dim).permute(0, 3, 1, 2)
        for convolution in self.blocks:
            update = self._layer(convolution, grid)
            grid = update + grid if update.shape[1] == grid.shape[1] else update
        decoded = grid.permute(0, 2, 3, 1).flatten(1, 2)
        if wanted is not None:
            decoded = decoded.gather(1, wanted[..., None].expand(-1, -1, decoded.shape[2]))
        return decoded

    def _layer(
        self, convolution: nn.Module, grid: Float[Tensor, "batch _ columns bands"]
    ) -> Float[Tensor, "batch width columns bands"]:
        convolved = convolution(grid)[
            :, :, : grid.shape[2], : grid.shape[3]
        ]  # an even kernel makes one too many
        normed = F.layer_norm(convolved.permute(0, 2, 3, 1), (self.config.width,))
        return F.gelu(normed).permute(0, 3, 1, 2)


def sincos_positions(
    dim: int, num_columns: int, num_bands: int = 8, *, device: torch.device | None = None
) -> Float[Tensor, "1 patches dim"]:
    """Fixed 2-D sine-cosine positions: half of the vector tells the band, the other half the time column.

    Each half of a coordinate p is [sin(p w_i) | cos(p w_i)], w_i = 10000^(-4i / dim), i < dim / 4. Columns
    come one after the other, so the table of a shorter grid is the beginning of a longer one's.
    """
    exponents = torch.arange(dim // 4, dtype=torch.float32, device=device) / (dim / 4)
    frequencies = 1.0 / 10000.0**exponents
    columns = torch.arange(num_columns, dtype=torch.float32, device=device).repeat_interleave(num_bands)
    bands = torch.arange(num_bands, dtype=torch.float32, device=device).repeat(num_columns)
    halves = [torch.outer(place, frequencies) for place in (bands, columns)]
    return torch.cat([wave for half in halves for wave in (half.sin(), half.cos())], dim=1).unsqueeze(0)
