"""Masked tokens: BEATs' pre-training, in which an encoder of few patches tells the tokens of the others.

Chen et al., "BEATs: Audio Pre-Training with Acoustic Tokenizers", ICML 2023, section 3.3. A frozen tokenizer
hears whole clips; only visible patches enter the encoder, so nothing of a masked patch can leak into it.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field
from torch import Tensor

from bioacoustics.data.batches import Batch
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.beats import BEATsEncoder
from bioacoustics.models.predictors import LabelPredictor
from bioacoustics.models.tokenizer import AudioTokenizer
from bioacoustics.objectives.code_usage import CodeUsage
from bioacoustics.objectives.hearing import heard
from bioacoustics.objectives.masks import ScatteredMask, scattered_mask
from bioacoustics.objectives.objective import Losses, Objective


class MaskedTokensConfig(BaseModel, frozen=True, extra="forbid"):
    """What is hidden from the encoder and how its errors count.

    Attributes:
        target_length: Frames of log-mel to pad or cut every clip to; None keeps the length of the batch.
        mask_ratio: Share of a clip's patches that is hidden.
        positions: Whether convolution and distances between visible patches are those of the visible patches
            closed up, or those of their true places. The paper does not say which it means. Closed up, the
            convolution hears as dense a sequence as it will in use, and features were measured to be better.
        label_smoothing: Share of every target that is spread evenly over all codes, in training only.
    """

    target_length: int | None = Field(None, ge=1)
    mask_ratio: float = Field(0.75, gt=0.0, lt=1.0)
    positions: Literal["packed", "true"] = "packed"
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0)


class MaskedTokens(Objective):
    """Encoder, label predictor and frozen tokenizer, and the cross-entropy on masked patches."""

    def __init__(
        self,
        encoder: AudioEncoder,
        predictor: LabelPredictor,
        tokenizer: AudioTokenizer,
        config: MaskedTokensConfig,
        *,
        seed: int,
    ) -> None:
        super().__init__()
        if predictor.config.num_codes != tokenizer.num_codes:
            raise ValueError(
                f"the label predictor chooses from {predictor.config.num_codes} codes, the tokenizer has "
                f"{tokenizer.num_codes}: give both the same number"
            )
        self.config, self.seed = config, seed
        self.encoder = encoder
        self.predictor = predictor
        self.tokenizer = tokenizer.requires_grad_(requires_grad=False).eval()
        self.usage = CodeUsage(tokenizer.num_codes)

    def train(self, mode: bool = True) -> "MaskedTokens":
        """Switch to training or evaluation; the tokenizer stays in evaluation."""
        super().train(mode)
        self.tokenizer.eval()
        return self

    def forward(self, batch: Batch) -> Losses:
        """Losses of a batch with masks that follow from the seed and each clip's draw id.

        `weight` counts masked patches. Terms: `loss`; `masked_accuracy` beside `majority_accuracy`, that of
        always saying the commonest token of the last updates; `visible_accuracy`; and the tokenizer's
        `code_usage` and `code_perplexity`.
        """
        with torch.no_grad():
            log_mel, num_frames = heard(self.encoder, batch, self.config.target_length)
            tokens = self._tokens(batch, log_mel, num_frames)
            is_padding = self._is_padding(log_mel, num_frames)
        if self.training:
            self.usage.add(tokens, is_padding)
        mask = scattered_mask(self.config.mask_ratio, batch.draw_ids, is_padding, seed=self.seed)
        return self.losses_of(log_mel, tokens, mask, is_padding)

    def losses_of(
        self,
        log_mel: Float[Tensor, "batch frames mels"],
        tokens: Int[Tensor, "batch patches"],
        mask: ScatteredMask,
        is_padding: Bool[Tensor, "batch patches"],
    ) -> Losses:
        """Losses for given tokens and mask."""
        seen = self.encode_visible(log_mel, mask)
        logits = self.predictor(seen, mask.places, mask.is_missing, is_padding)
        with torch.autocast(log_mel.device.type, enabled=False):
            return self._losses(logits.float(), tokens, mask.is_masked, is_padding)

    def encode_visible(
        self, log_mel: Float[Tensor, "batch frames mels"], mask: ScatteredMask
    ) -> Float[Tensor, "batch visible dim"]:
        """What the encoder makes of the visible patches alone."""
        patches = self._beats.embed_patches(log_mel)
        num_patches, dim = patches.shape[1:]
        seen = patches.gather(1, mask.places[..., None].expand(-1, -1, dim))
        at_true_places = self.config.positions == "true"
        return self._beats.encode(
            seen,
            is_padding=mask.is_missing,
            positions=mask.places if at_true_places else None,
            num_positions=num_patches if at_true_places else None,
        ).patches

    def after_step(self, num_updates: int) -> None:
        """Count the tokens of this update."""
        self.usage.advance()

    def _tokens(
        self,
        batch: Batch,
        log_mel: Float[Tensor, "batch frames mels"],
        num_frames: Int[Tensor, " batch"] | None,
    ) -> Int[Tensor, "batch patches"]:
        if self.tokenizer.front_end.config == self.encoder.front_end.config:
            return self.tokenizer.tokenize(log_mel, num_frames)
        return self.tokenizer.tokenize(*heard(self.tokenizer, batch, self.config.target_length))

    def _is_padding(
        self, log_mel: Float[Tensor, "batch frames mels"], num_frames: Int[Tensor, " batch"] | None
    ) -> Bool[Tensor, "batch patches"]:
        if num_frames is None:
            num_frames = torch.full((len(log_mel),), log_mel.shape[1], device=log_mel.device)
        return self._beats.is_padding(num_frames, log_mel.shape[1])

    @property
    def _beats(self) -> BEATsEncoder:
        assert isinstance(self.encoder.encoder, BEATsEncoder)
        return self.encoder.encoder

    def _losses(
        self,
        logits: Float[Tensor, "batch patches codes"],
        tokens: Int[Tensor, "batch patches"],
        is_masked: Bool[Tensor, "batch patches"],
        is_padding: Bool[Tensor, "batch patches"],
    ) -> Losses:
        smoothing = self.config.label_smoothing if self.training else 0.0
        errors = F.cross_entropy(
            logits.flatten(0, 1), tokens.flatten(), reduction="none", label_smoothing=smoothing
        )
        weight = is_masked.sum().float()
        total = _mean(errors.view_as(tokens), is_masked)
        is_right = (logits.detach().argmax(dim=-1) == tokens).float()
        is_commonest = (tokens == self.usage.majority()).float()
        terms = {
            "loss": total.detach(),
            "masked_accuracy": _mean(is_right, is_masked),
            "visible_accuracy": _mean(is_right, ~(is_masked | is_padding)),
            "majority_accuracy": _mean(is_commonest, is_masked),
            **self.usage.terms(),
        }
        return Losses(total=total, weight=weight, terms=terms)


def _mean(values: Float[Tensor, "batch patches"], counts: Bool[Tensor, "batch patches"]) -> Float[Tensor, ""]:
    return torch.where(counts, values, 0.0).sum() / counts.sum().clamp(min=1)
