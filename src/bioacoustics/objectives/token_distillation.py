"""Token distillation: a tokenizer learns codes from which a teacher's features can be estimated.

Chen et al., "BEATs: Audio Pre-Training with Acoustic Tokenizers", ICML 2023, section 3.2.2. The teacher is an
encoder from an earlier iteration, or a fine-tuned classifier, whose logits of each patch are then the target.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field
from torch import Tensor

from bioacoustics.audio.draws import Stream, seed_of, uniforms
from bioacoustics.data.batches import Batch
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.predictors import Estimator
from bioacoustics.models.tokenizer import DistilledTokenizer
from bioacoustics.objectives.code_usage import CodeUsage
from bioacoustics.objectives.hearing import heard
from bioacoustics.objectives.objective import Losses, Objective
from bioacoustics.objectives.processes import gathered, is_first, summed, take_from_first

MOST_RESTARTS = 64  # codes that can begin anew in one update
_NO_PATCH = 2.0  # a key above all those that are drawn


class TokenDistillationConfig(BaseModel, frozen=True, extra="forbid"):
    """How a tokenizer's errors count, and what becomes of codes that nothing chooses.

    Attributes:
        target_length: Frames of log-mel to pad or cut every clip to; None keeps the length of the batch.
        commitment_weight: Factor of the commitment loss, which pulls patches towards their codes.
        restart_after: A code that no patch chose for so many updates takes the place of a random patch;
            None leaves it where it is, as the published code does.
    """

    target_length: int | None = Field(None, ge=1)
    commitment_weight: float = Field(1.0, ge=0.0)
    restart_after: int | None = Field(None, ge=1)


class TokenDistillation(Objective):
    """Tokenizer, estimator and frozen teacher, and the cosine between estimate and teacher."""

    new_counts: Float[Tensor, " codes"]
    new_sums: Float[Tensor, "codes dim"]
    idle_updates: Float[Tensor, " codes"]
    candidate_keys: Float[Tensor, " candidates"]
    candidates: Float[Tensor, "candidates dim"]

    def __init__(
        self,
        tokenizer: DistilledTokenizer,
        estimator: Estimator,
        teacher: AudioEncoder | AudioClassifier,
        config: TokenDistillationConfig,
        *,
        seed: int,
    ) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self.tokenizer = tokenizer
        self.estimator = estimator
        self.teacher = teacher.requires_grad_(requires_grad=False).eval()
        num_codes, dim = self.tokenizer.codebook.vectors.shape
        self.usage = CodeUsage(num_codes)
        # What an update has gathered so far; empty between updates, so nothing to save.
        self.register_buffer("new_counts", torch.zeros(num_codes), persistent=False)
        self.register_buffer("new_sums", torch.zeros(num_codes, dim), persistent=False)
        self.register_buffer("candidate_keys", torch.full((MOST_RESTARTS,), _NO_PATCH), persistent=False)
        self.register_buffer("candidates", torch.zeros(MOST_RESTARTS, dim), persistent=False)
        self.register_buffer("idle_updates", torch.zeros(num_codes))

    def train(self, mode: bool = True) -> "TokenDistillation":
        """Switch to training or evaluation; the teacher stays in evaluation."""
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.no_grad()
    def start(self, batches: Iterable[Batch]) -> None:
        """Begin the codebook with the clusters of some patches, found by the first process for all.

        Batches must lie on this module's device. A codebook that comes from data already stays as it is.

        Raises:
            ValueError: There is no sound in the batches.
        """
        codebook = self.tokenizer.codebook
        if codebook.is_started:
            return
        if is_first():
            was_training = self.training
            self.eval()
            parts = []
            for batch in batches:
                projected, is_padding = self._project(batch)
                parts.append(projected[~is_padding].float())
            self.train(was_training)
            codebook.start(torch.cat(parts), seed_of(self.seed, Stream.CODEBOOK, 0))
        take_from_first([codebook.vectors, codebook.usage, codebook.is_started])

    def forward(self, batch: Batch) -> Losses:
        """Losses of a batch.

        `weight` counts patches, padding left out. Terms: `loss` = 1 - `cosine` + `commitment_loss`, and how
        the codes are used: `code_usage`, `code_perplexity` and `majority_share`, that of the commonest.
        """
        projected, is_padding = self._project(batch)
        codebook = self.tokenizer.codebook
        quantised, ids, distances = codebook.quantise(projected)
        if self.training:
            self._gather(projected.detach(), ids, is_padding, batch.draw_ids)
        estimated = self.estimator(quantised, is_padding)
        with torch.no_grad():
            targets = self._targets(batch)
        with torch.autocast(batch.waveforms.device.type, enabled=False):
            counts, is_real = (~is_padding).sum(), ~is_padding
            cosines = F.cosine_similarity(estimated.float(), targets.float(), dim=-1)
            cosine = torch.where(is_real, cosines, 0.0).sum() / counts.clamp(min=1)
            commitment = torch.where(is_real, distances, 0.0).sum() / counts.clamp(min=1)
            commitment = self.config.commitment_weight * commitment
            total = 1 - cosine + commitment
        is_commonest = (ids == self.usage.majority()) & is_real
        terms = {
            "loss": total.detach(),
            "cosine": cosine.detach(),
            "commitment_loss": commitment.detach(),
            "majority_share": is_commonest.sum() / counts.clamp(min=1),
            **self.usage.terms(),
        }
        return Losses(total=total, weight=counts.float(), terms=terms)

    @torch.no_grad()
    def after_step(self, num_updates: int) -> None:
        """Move the codes by what all processes have gathered in this update."""
        counts, sums = summed(self.new_counts), summed(self.new_sums)
        self.tokenizer.codebook.move(counts, sums)
        self.idle_updates.add_(1).masked_fill_(counts > 0, 0)
        if self.config.restart_after is not None:
            self._restart(self.config.restart_after)
        self.new_counts.zero_()
        self.new_sums.zero_()
        self.candidate_keys.fill_(_NO_PATCH)
        self.usage.advance()

    def _project(
        self, batch: Batch
    ) -> tuple[Float[Tensor, "batch patches dim"], Bool[Tensor, "batch patches"]]:
        with torch.no_grad():
            log_mel, num_frames = heard(self.tokenizer, batch, self.config.target_length)
        return self.tokenizer.project(log_mel, num_frames)

    def _targets(self, batch: Batch) -> Float[Tensor, "batch patches target_dim"]:
        if isinstance(self.teacher, AudioEncoder):
            return self.teacher.features(*heard(self.teacher, batch, self.config.target_length)).patches
        features = self.teacher.encoder.features(
            *heard(self.teacher.encoder, batch, self.config.target_length)
        )
        head = self.teacher.head
        logits: Tensor = head.head(head.fc_norm(features.patches))
        return logits

    @torch.no_grad()
    def _gather(
        self,
        projected: Float[Tensor, "batch patches dim"],
        ids: Int[Tensor, "batch patches"],
        is_padding: Bool[Tensor, "batch patches"],
        draw_ids: Int[Tensor, " batch"],
    ) -> None:
        counts, sums = self.tokenizer.codebook.statistics(projected, ids, is_padding)
        self.new_counts += counts
        self.new_sums += sums
        self.usage.add(ids, is_padding)
        if self.config.restart_after is not None:
            keys = uniforms(self.seed, Stream.CODEBOOK, draw_ids, ids.shape[1]).masked_fill(
                is_padding, _NO_PATCH
            )
            self._keep_first(keys.flatten(), F.normalize(projected.float(), dim=-1).flatten(0, 1))

    def _keep_first(self, keys: Float[Tensor, " rows"], patches: Float[Tensor, "rows dim"]) -> None:
        """Keep the patches with the smallest keys: the same ones in whatever order and company they come."""
        kept = _first_of(torch.cat([self.candidate_keys, keys]), torch.cat([self.candidates, patches]))
        self.candidate_keys.copy_(kept[0])
        self.candidates.copy_(kept[1])

    def _restart(self, after: int) -> None:
        keys, patches = _first_of(gathered(self.candidate_keys), gathered(self.candidates))
        is_idle = self.idle_updates >= after
        numbers = is_idle.cumsum(0) - 1  # the first idle code takes the first patch, and so on
        begins = is_idle & (numbers < MOST_RESTARTS)
        numbers = numbers.clamp(min=0, max=MOST_RESTARTS - 1)
        begins &= (keys[numbers] < _NO_PATCH) & patches[numbers].isfinite().all(dim=-1)
        vectors = self.tokenizer.codebook.vectors
        vectors.copy_(torch.where(begins[:, None], patches[numbers], vectors))
        self.idle_updates.masked_fill_(begins, 0)


def _first_of(
    keys: Float[Tensor, " rows"], patches: Float[Tensor, "rows dim"]
) -> tuple[Float[Tensor, " candidates"], Float[Tensor, "candidates dim"]]:
    smallest = keys.topk(MOST_RESTARTS, largest=False, sorted=True)
    return smallest.values, patches[smallest.indices]
