"""Classification heads: from an encoder's features to one logit per class."""

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from bioacoustics.models.features import Features

ChannelMode = Literal["CLS_TOKEN", "MEAN_POOLING", "LIN_SOFTMAX", "MEAN_LOGITS"]  # one number a channel
PredictionMode = Literal[ChannelMode, "BAND_STATISTICS"]

NUM_STATISTICS = 3
SMALLEST_STD = 1e-3  # of a channel that says nothing, which is not to be blown up
EVEN_SHARE = 0.1  # of the covariance of views that is taken to be the same in all directions


class HeadConfig(BaseModel, frozen=True, extra="forbid"):
    """Number of classes and how patches become logits.

    The first three modes are those of the official EAT code: pooling, layer norm, one linear layer.
    MEAN_LOGITS is that of BEATs: one linear layer for each patch, and the mean of its logits. BAND_STATISTICS
    keeps what a mean forgets, in which band something sounds and how it changes: see `band_statistics`.
    """

    num_classes: int = Field(gt=0)
    prediction_mode: PredictionMode = "CLS_TOKEN"
    norm_eps: float = Field(default=1e-6, gt=0)  # the Hugging Face port of EAT has 1e-5
    dropout: float = Field(default=0.0, ge=0, lt=1)  # of each number that is pooled
    whitens: bool = False  # what is pooled is first stretched, see `whitening_of`
    refines: bool = False  # what is pooled goes through one more layer, which adds to it
    num_bands: int | None = Field(default=None, ge=1)  # patches of one column; BAND_STATISTICS needs it

    @model_validator(mode="after")
    def _check(self) -> "HeadConfig":
        if (self.prediction_mode == "BAND_STATISTICS") != (self.num_bands is not None):
            raise ValueError(
                "num_bands belongs to the prediction_mode BAND_STATISTICS, and this to num_bands"
            )
        if self.num_bands is not None and (self.whitens or self.refines):
            raise ValueError(
                "BAND_STATISTICS are too many numbers for a layer as wide as they: no whitens, no refines"
            )
        return self

    @property
    def hears_patches(self) -> bool:
        """Whether single patches can be asked for their classes; a token or statistics cannot say where."""
        return self.prediction_mode not in ("CLS_TOKEN", "BAND_STATISTICS")

    def width(self, embed_dim: int) -> int:
        """How many numbers are pooled of a row."""
        return embed_dim if self.num_bands is None else NUM_STATISTICS * self.num_bands * embed_dim


class ClassificationHead(nn.Module):
    """From the features of each row to one logit per class; padding does not count."""

    def __init__(self, config: HeadConfig, embed_dim: int) -> None:
        super().__init__()
        self.config = config
        has_norm, width = config.prediction_mode != "MEAN_LOGITS", config.width(embed_dim)
        self.fc_norm = nn.LayerNorm(width, eps=config.norm_eps) if has_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.whitening = nn.Linear(width, width) if config.whitens else None
        if self.whitening is not None:  # until it is told of views
            nn.init.eye_(self.whitening.weight)
            nn.init.zeros_(self.whitening.bias)
        self.hidden = nn.Linear(width, width) if config.refines else None
        if self.hidden is not None:  # begins as nearly nothing, so that what the encoder knows stays
            nn.init.normal_(self.hidden.weight, std=0.02)
            nn.init.zeros_(self.hidden.bias)
        self.head = nn.Linear(width, config.num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def pool(self, features: Features) -> Float[Tensor, "batch dim"]:
        """Turn the features of each row into one vector, in the configured way."""
        match self.config.prediction_mode:
            case "CLS_TOKEN":
                if features.cls is None:
                    raise ValueError("this encoder has no CLS token: choose MEAN_POOLING or LIN_SOFTMAX")
                cls: Tensor = self.dropout(features.cls)
                return cls
            case "MEAN_POOLING" | "MEAN_LOGITS":  # a linear layer of the mean is the mean of a linear layer
                return self._dropped(features).mean()
            case "LIN_SOFTMAX":
                return linear_softmax(self._dropped(features).patches, features.is_padding)
            case "BAND_STATISTICS":
                assert self.config.num_bands is not None
                return band_statistics(self._dropped(features), self.config.num_bands)

    @torch.no_grad()
    def standardise(self, pooled: Float[Tensor, "clips dim"], *, smallest_std: float = SMALLEST_STD) -> None:
        """Let the norm give every channel mean 0 and deviation 1 over these clips.

        Pooled features of different sounds differ little beside what they have in common: a new layer would
        take thousands of updates to find the difference. A channel that differs by less than `smallest_std`
        is not blown up as far.
        """
        if not isinstance(self.fc_norm, nn.LayerNorm):
            return
        self.fc_norm.reset_parameters()
        normed = self.fc_norm(pooled)
        std = normed.std(dim=0, correction=0).clamp(min=smallest_std)
        self.fc_norm.weight.copy_(1 / std)
        self.fc_norm.bias.copy_(-normed.mean(dim=0) / std)

    @torch.no_grad()
    def whiten(self, views: Float[Tensor, "clips views dim"]) -> None:
        """Bring channels to one scale, then, where the config says so, stretch them by `whitening_of`.

        The first view is the clip as it is; with one view alone nothing is stretched.
        """
        self.standardise(views[:, 0])
        if self.whitening is not None:
            weight, bias = whitening_of(self.fc_norm(views))
            self.whitening.weight.copy_(weight.T)
            self.whitening.bias.copy_(bias)

    def _dropped(self, features: Features) -> Features:
        return replace(features, patches=self.dropout(features.patches))

    def represent(self, pooled: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """What the last layer sees of pooled features."""
        normed: Tensor = self.fc_norm(pooled)
        if self.whitening is not None:
            normed = self.whitening(normed)
        return normed if self.hidden is None else normed + nn.functional.gelu(self.hidden(normed))

    def forward(self, features: Features) -> Float[Tensor, "batch classes"]:
        """Return one logit per class."""
        logits: Tensor = self.head(self.represent(self.pool(features)))
        return logits

    def patch_logits(self, features: Features) -> Float[Tensor, "batch patches classes"]:
        """What the head would say of a row that consisted of one of its patches alone.

        Only where patches are what it pools: see `HeadConfig.hears_patches`.
        """
        assert self.config.hears_patches
        logits: Tensor = self.head(self.represent(features.patches))
        return logits


@torch.no_grad()
def whitening_of(
    views: Float[Tensor, "clips views dim"],
) -> tuple[Float[Tensor, "dim dim"], Float[Tensor, " dim"]]:
    """The weight and bias of a map `x @ weight + bias` under which views of a clip differ alike everywhere.

    What differs between views of one clip (its place in the window, loudness, a hidden band) says nothing
    about which sound it is. Directions in which views differ little are stretched, so that few clips show a
    linear layer where to listen: within-class covariance normalisation (Hatch et al. 2006), every clip a
    class of its own. The first views have mean 0 and a mean variance of 1 afterwards. With one view a clip
    nothing is known of differences: the map changes nothing.
    """
    dim = views.shape[2]
    even = torch.eye(dim, dtype=torch.float64, device=views.device)
    if views.shape[1] < 2:
        return even.to(views.dtype), views.new_zeros(dim)
    wide = views.double()
    apart = (wide - wide.mean(dim=1, keepdim=True)).flatten(0, 1)
    covariance = apart.T @ apart / len(apart)
    scale = covariance.diagonal().mean().clamp(min=SMALLEST_STD**2)
    variances, directions = torch.linalg.eigh((1 - EVEN_SHARE) * covariance + EVEN_SHARE * scale * even)
    weight = directions / variances.sqrt() @ directions.T
    clips = wide[:, 0] @ weight
    centre = clips.mean(dim=0)
    factor = 1 / (clips - centre).square().mean().sqrt().clamp(min=SMALLEST_STD)
    return (factor * weight).to(views.dtype), (-factor * centre).to(views.dtype)


def band_statistics(features: Features, num_bands: int) -> Float[Tensor, "batch values"]:
    """Mean, deviation and deviation of the change in time of every channel in every band, in float32.

    What mel statistics are of a spectrogram's bands. Values are ordered by statistic, band, channel.
    """
    grid = features.patches.float().reshape(len(features.patches), -1, num_bands, features.patches.shape[2])
    is_sound = torch.ones_like(grid[..., 0], dtype=torch.bool)
    if features.is_padding is not None:
        is_sound = ~features.is_padding.reshape(len(grid), -1, num_bands)
    changes, are_sound = grid.diff(dim=1), is_sound[:, 1:] & is_sound[:, :-1]
    mean, std = _mean_and_std(grid, is_sound)
    return torch.stack([mean, std, _mean_and_std(changes, are_sound)[1]], dim=1).flatten(1)


def _mean_and_std(
    grid: Float[Tensor, "batch columns bands dim"], counts: Bool[Tensor, "batch columns bands"]
) -> tuple[Float[Tensor, "batch bands dim"], Float[Tensor, "batch bands dim"]]:
    weights = counts[..., None] / counts.sum(dim=1).clamp(min=1)[:, None, :, None]
    mean = (grid * weights).sum(dim=1)
    variance = ((grid - mean[:, None]).square() * weights).sum(dim=1)
    return mean, (variance + SMALLEST_STD**2).sqrt()  # the root of 0 has no gradient


def linear_softmax(
    patches: Float[Tensor, "batch patches dim"], is_padding: Bool[Tensor, "batch patches"] | None = None
) -> Float[Tensor, "batch dim"]:
    """Logit of the self-weighted mean probability, sum(p^2) / sum(p) over the patches, p = sigmoid(patch).

    Wang et al. 2019 ("linear softmax pooling"), computed with logarithms in float32 as EAT does; the official
    offset of 1e-6 keeps the quotient below one. Values that overflow become 0.
    """
    log_p = torch.nn.functional.logsigmoid(patches.float())
    if is_padding is not None:
        log_p = log_p.masked_fill(is_padding[..., None], -torch.inf)  # probability 0
    log_mean = (torch.logsumexp(2 * log_p, dim=1) - torch.logsumexp(log_p + 1e-6, dim=1)).clamp(max=0)
    logit = log_mean - torch.log(-torch.expm1(log_mean))
    return torch.nan_to_num(logit, nan=0.0, posinf=0.0, neginf=0.0)
