"""Relative transformer: blocks whose attention knows distances, with the norms and activations of BEATs."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bioacoustics.models.linear import Linear, gelu_mlp
from bioacoustics.models.relative_attention import RelativeAttention, RelativeBias

Activation = Literal["gelu", "gelu_accurate", "relu", "tanh", "linear", "glu"]


class RelativeTransformerConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of a stack of blocks; the defaults are those of the published base model and its pre-training.

    Attributes:
        hidden_dim: Width inside the MLP of each block.
        norm_first: Blocks normalise before attention and MLP, not after them.
        deep_norm: The residual path counts (2 depth)^(1/4) times (DeepNet, Wang et al. 2022).
        num_buckets: Distances that attention can tell apart, up to `max_distance` places.
        layer_drop: Share of blocks that a training pass leaves out.
        gradient_decay: Factor of the gradient that flows into a block's input. (For AdamW, which divides
            by the size of gradients, layer-wise learning rates do what this was meant to do.)
    """

    embed_dim: int = Field(default=768, gt=0)
    hidden_dim: int = Field(default=3072, gt=0)
    depth: int = Field(default=12, gt=0)
    num_heads: int = Field(default=12, gt=0)
    activation: Activation = "gelu"
    norm_first: bool = False
    deep_norm: bool = True
    relative_bias: bool = True
    gated_bias: bool = True
    num_buckets: int = Field(default=320, ge=4, multiple_of=2)
    max_distance: int = Field(default=800, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    attention_dropout: float = Field(default=0.1, ge=0, lt=1)
    activation_dropout: float = Field(default=0.0, ge=0, lt=1)
    layer_drop: float = Field(default=0.05, ge=0, lt=1)
    gradient_decay: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _check_blocks(self) -> "RelativeTransformerConfig":
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} must be a multiple of num_heads {self.num_heads}")
        if self.deep_norm and self.norm_first:
            raise ValueError("deep_norm scales the residual path of norms after the sum: not with norm_first")
        if self.gated_bias and not self.relative_bias:
            raise ValueError("gated_bias scales the bias of distances: it needs relative_bias")
        if self.max_distance <= self.num_buckets // 4:
            raise ValueError(
                f"max_distance {self.max_distance} must be above the {self.num_buckets // 4} distances that "
                f"num_buckets {self.num_buckets} tell apart exactly"
            )
        return self

    @property
    def residual_scale(self) -> float:
        """Factor of the residual path."""
        return (2 * self.depth) ** 0.25 if self.deep_norm else 1.0


class RelativeTransformer(nn.Module):
    """A stack of blocks that share one bias of distances."""

    def __init__(self, config: RelativeTransformerConfig, *, activation_checkpointing: bool = False) -> None:
        super().__init__()
        self.config = config
        self.activation_checkpointing = activation_checkpointing
        self.relative_bias = (
            RelativeBias(config.num_heads, config.num_buckets, config.max_distance)
            if config.relative_bias
            else None
        )
        self.blocks = nn.ModuleList(RelativeBlock(config) for _ in range(config.depth))
        self.initialise()

    def initialise(self) -> None:
        """Draw new weights as the official code does: N(0, 0.02), with deep norm Xavier, scaled by depth."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
                if not self.config.deep_norm or name.endswith("gate"):
                    nn.init.normal_(module.weight, std=0.02)
                else:
                    is_scaled = not name.endswith(("q_proj", "k_proj"))
                    gain = (8 * self.config.depth) ** -0.25 if is_scaled else 1.0
                    nn.init.xavier_normal_(module.weight, gain=gain)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        *,
        is_padding: Bool[Tensor, "batch tokens"] | None = None,
        positions: Int[Tensor, "batch tokens"] | None = None,
        num_positions: int | None = None,
        collect_layers: bool = False,
    ) -> tuple[Float[Tensor, "batch tokens dim"], tuple[Float[Tensor, "batch tokens dim"], ...]]:
        """Run the blocks; returns the output of the last and, if wanted, of each.

        Arguments as for `BEATsEncoder.encode`.
        """
        bias = None
        if self.relative_bias is not None:
            bias = self.relative_bias(num_positions or tokens.shape[1], positions)
        layers: list[Tensor] = []
        recomputes = self.activation_checkpointing and torch.is_grad_enabled()
        for block in self.blocks:
            if self._skips():
                tokens = tokens + _nothing_of(block)
            else:
                if self.config.gradient_decay < 1:  # the same values, with a weaker gradient
                    tokens = torch.lerp(tokens.detach(), tokens, self.config.gradient_decay)
                if recomputes:
                    tokens = checkpoint(block, tokens, bias, is_padding, use_reentrant=False)
                else:
                    tokens = block(tokens, bias, is_padding)
            if collect_layers:
                layers.append(tokens)
        if self.training and self.config.layer_drop > 0 and self.relative_bias is not None:
            tokens = tokens + _nothing_of(self.relative_bias)  # where all blocks were left out
        return tokens, tuple(layers)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _skips(self) -> bool:
        """Whether this pass leaves out the next block: drawn on the host, so that no device is waited for."""
        share = self.config.layer_drop
        return self.training and share > 0 and float(torch.rand(())) < share


class RelativeBlock(nn.Module):
    """Transformer block with relative attention and the choice of norms and activations of BEATs."""

    def __init__(self, config: RelativeTransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim, hidden = config.embed_dim, config.hidden_dim
        self.attn = RelativeAttention(
            dim, config.num_heads, is_gated=config.gated_bias, dropout=config.attention_dropout
        )
        self.norm1 = nn.LayerNorm(dim)
        self.fc1 = Linear(dim, 2 * hidden if config.activation == "glu" else hidden)
        self.fc2 = Linear(hidden, dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        bias: Float[Tensor, "rows heads tokens tokens"] | None,
        is_padding: Bool[Tensor, "batch tokens"] | None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """Attention, then an MLP for each token; both are added to what came in."""
        if self.config.norm_first:
            tokens = tokens + self._dropped(self.attn(self.norm1(tokens), bias, is_padding))
            return tokens + self._dropped(self._mlp(self.norm2(tokens)))
        scale = self.config.residual_scale
        tokens = self.norm1(scale * tokens + self._dropped(self.attn(tokens, bias, is_padding)))
        normed: Tensor = self.norm2(scale * tokens + self._dropped(self._mlp(tokens)))
        return normed

    def _mlp(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        drops = self.training and self.config.activation_dropout > 0
        if self.config.activation == "gelu" and not drops:
            return gelu_mlp(self.fc1, self.fc2, tokens)
        hidden = _activated(self.fc1(tokens), self.config.activation)
        projected: Tensor = self.fc2(F.dropout(hidden, self.config.activation_dropout, self.training))
        return projected

    def _dropped(self, branch: Tensor) -> Tensor:
        return F.dropout(branch, self.config.dropout, self.training)


def _activated(hidden: Float[Tensor, "*batch hidden"], activation: Activation) -> Tensor:
    match activation:
        case "gelu":
            return F.gelu(hidden)
        case "gelu_accurate":
            return F.gelu(hidden, approximate="tanh")
        case "relu":
            return F.relu(hidden)
        case "tanh":
            return hidden.tanh()
        case "linear":
            return hidden
        case "glu":
            kept, gate = hidden.chunk(2, dim=-1)
            return kept * F.silu(gate)


def _nothing_of(module: nn.Module) -> Float[Tensor, ""]:
    """Zero, made of all weights: processes that drop different blocks then still exchange equal gradients."""
    return 0 * torch.stack([weight.flatten()[0] for weight in module.parameters()]).sum()
