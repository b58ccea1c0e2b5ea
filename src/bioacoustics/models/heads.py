"""Classification heads: from an encoder's features to one logit per class."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, Field
from torch import Tensor, nn

from bioacoustics.models.eat import Features

PredictionMode = Literal["CLS_TOKEN", "MEAN_POOLING", "LIN_SOFTMAX"]


class HeadConfig(BaseModel, frozen=True, extra="forbid"):
    """Number of classes and how patches become one vector (names as in the official EAT code)."""

    num_classes: int = Field(gt=0)
    prediction_mode: PredictionMode = "CLS_TOKEN"
    norm_eps: float = Field(default=1e-6, gt=0)  # the Hugging Face port of EAT has 1e-5
    hidden_dim: int | None = Field(default=None, gt=0)  # of a layer between pooling and logits; None: none


class ClassificationHead(nn.Module):
    """Pooling, layer norm, a hidden layer where there is one, and one linear layer."""

    def __init__(self, config: HeadConfig, embed_dim: int) -> None:
        super().__init__()
        self.config = config
        self.fc_norm = nn.LayerNorm(embed_dim, eps=config.norm_eps)
        self.hidden = nn.Linear(embed_dim, config.hidden_dim) if config.hidden_dim else None
        self.head = nn.Linear(config.hidden_dim or embed_dim, config.num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def pool(self, features: Features) -> Float[Tensor, "batch dim"]:
        """Turn the features of each row into one vector, in the configured way."""
        match self.config.prediction_mode:
            case "CLS_TOKEN":
                if features.cls is None:
                    raise ValueError("this encoder has no CLS token: choose MEAN_POOLING or LIN_SOFTMAX")
                return features.cls
            case "MEAN_POOLING":
                return features.patches.mean(dim=1)
            case "LIN_SOFTMAX":
                return linear_softmax(features.patches)

    def represent(self, pooled: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch hidden"]:
        """What the last layer sees of pooled features."""
        normed: Tensor = self.fc_norm(pooled)
        return normed if self.hidden is None else nn.functional.gelu(self.hidden(normed))

    def forward(self, features: Features) -> Float[Tensor, "batch classes"]:
        """Return one logit per class."""
        logits: Tensor = self.head(self.represent(self.pool(features)))
        return logits


def linear_softmax(patches: Float[Tensor, "batch patches dim"]) -> Float[Tensor, "batch dim"]:
    """Logit of the self-weighted mean probability, sum(p^2) / sum(p) over the patches, p = sigmoid(patch).

    Wang et al. 2019 ("linear softmax pooling"), computed with logarithms in float32 as EAT does; the official
    offset of 1e-6 keeps the quotient below one. Values that overflow become 0.
    """
    log_p = torch.nn.functional.logsigmoid(patches.float())
    log_mean = (torch.logsumexp(2 * log_p, dim=1) - torch.logsumexp(log_p + 1e-6, dim=1)).clamp(max=0)
    logit = log_mean - torch.log(-torch.expm1(log_mean))
    return torch.nan_to_num(logit, nan=0.0, posinf=0.0, neginf=0.0)
