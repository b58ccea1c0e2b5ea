"""Predictors: the small transformers that BEATs' pre-training needs beside an encoder, and nobody afterwards.

Chen et al., "BEATs: Audio Pre-Training with Acoustic Tokenizers", ICML 2023, sections 3.2.2 (estimator) and
3.3 (label predictor). Their blocks are those of the encoder, with distances of their own and no convolution.
"""

from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from bioacoustics.models.relative_transformer import RelativeTransformer, RelativeTransformerConfig

DEPTH = 3  # of the published recipes

Config = TypeVar("Config", bound="PredictorConfig")


class PredictorConfig(RelativeTransformerConfig, frozen=True, extra="forbid"):
    """Shape of a predictor's blocks."""

    depth: int = Field(default=DEPTH, gt=0)

    @classmethod
    def beside(cls: type[Config], encoder: RelativeTransformerConfig, **own: int | bool) -> Config:
        """A predictor with blocks like the encoder's; `own` is what it does not share with it."""
        shared = {name: getattr(encoder, name) for name in RelativeTransformerConfig.model_fields}
        # As published whatever the encoder's norms are, and too shallow to leave blocks out.
        fixed = {
            "depth": DEPTH,
            "norm_first": False,
            "deep_norm": True,
            "relative_bias": True,
            "layer_drop": 0.0,
        }
        return cls(**(shared | fixed | {"gradient_decay": 1.0} | own))


class LabelPredictorConfig(PredictorConfig, frozen=True, extra="forbid"):
    """Shape of the label predictor.

    Attributes:
        num_codes: Tokens to choose from.
        learns_mask_token: Masked patches begin as one learned vector instead of zeros, which are the paper's.
    """

    num_codes: int = Field(default=1024, ge=2)
    learns_mask_token: bool = False


class LabelPredictor(nn.Module):
    """Predicts the token of every patch from what an encoder made of the visible ones."""

    def __init__(self, config: LabelPredictorConfig, encoder_dim: int) -> None:
        super().__init__()
        self.config = config
        self.input = nn.Linear(encoder_dim, config.embed_dim)
        self.mask_token = nn.Parameter(torch.empty(config.embed_dim)) if config.learns_mask_token else None
        if self.mask_token is not None:
            nn.init.normal_(self.mask_token, std=0.02)
        self.transformer = RelativeTransformer(config)
        self.norm = nn.LayerNorm(config.embed_dim)
        self.output = nn.Linear(config.embed_dim, config.num_codes)

    def forward(
        self,
        visible: Float[Tensor, "batch visible dim"],
        places: Int[Tensor, "batch visible"],
        is_missing: Bool[Tensor, "batch visible"],
        is_padding: Bool[Tensor, "batch patches"],
    ) -> Float[Tensor, "batch patches codes"]:
        """Logits for every place of the sequence.

        Args:
            visible: The encoder's output.
            places: Where each of these patches stands in the sequence.
            is_missing: Which of them stand for nothing: their places are filled as if masked.
            is_padding: Places that nobody is to attend to.
        """
        hidden = self.input(visible)
        blank = hidden.new_zeros(hidden.shape[2]) if self.mask_token is None else self.mask_token.to(hidden)
        hidden = torch.where(is_missing[..., None], blank, hidden)
        sequence = blank.expand(*is_padding.shape, -1).scatter(1, places[..., None].expand_as(hidden), hidden)
        predicted, _ = self.transformer(sequence, is_padding=is_padding)
        logits: Tensor = self.output(self.norm(predicted))
        return logits


class EstimatorConfig(PredictorConfig, frozen=True, extra="forbid"):
    """Shape of the estimator."""

    target_dim: int = Field(gt=0)  # length of the teacher's vectors


class Estimator(nn.Module):
    """Estimates a teacher's output for every patch from the code vectors of all."""

    def __init__(self, config: EstimatorConfig, code_dim: int) -> None:
        super().__init__()
        self.config = config
        self.input = nn.Linear(code_dim, config.embed_dim)
        self.transformer = RelativeTransformer(config)
        self.norm = nn.LayerNorm(config.embed_dim)
        self.output = nn.Linear(config.embed_dim, config.target_dim)

    def forward(
        self, code_vectors: Float[Tensor, "batch patches code_dim"], is_padding: Bool[Tensor, "batch patches"]
    ) -> Float[Tensor, "batch patches target_dim"]:
        """The estimate for every patch; only its direction means something."""
        estimated, _ = self.transformer(self.input(code_vectors), is_padding=is_padding)
        output: Tensor = self.output(self.norm(estimated))
        return output
