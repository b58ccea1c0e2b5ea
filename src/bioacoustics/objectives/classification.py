"""Classification: fine-tuning an encoder and a head on labelled clips."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import BaseModel, Field
from torch import Tensor

from bioacoustics.data.augment import Augmentation, AugmentConfig
from bioacoustics.data.batches import Batch
from bioacoustics.models.audio_encoder import AudioClassifier
from bioacoustics.objectives.objective import Losses, Objective


class ClassificationConfig(BaseModel, frozen=True, extra="forbid"):
    """How errors of a classifier count, and how its clips are changed in training.

    Attributes:
        loss: Binary cross-entropy of each class, or cross-entropy between the classes; None takes the first
            for several labels a clip and the second for one.
        normaliser: Errors are divided by the number of clips, or of positive labels as EAT does on AudioSet.
        label_smoothing: Share of every target that is spread evenly over all classes, in training only. It
            acts with either loss and together with mixup. (The published code ignores it in both of these
            cases: 0 reproduces that.)
        augment: What is done to training clips.
        freezes_encoder: Only the head learns; the encoder runs in evaluation mode without gradients.
    """

    loss: Literal["binary_cross_entropy", "cross_entropy"] | None = None
    normaliser: Literal["clips", "positives"] = "clips"
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0)
    augment: AugmentConfig = AugmentConfig()
    freezes_encoder: bool = False


class Classification(Objective):
    """A classifier and its loss on labelled clips."""

    def __init__(self, classifier: AudioClassifier, config: ClassificationConfig, *, seed: int) -> None:
        super().__init__()
        self.config = config
        self.classifier = classifier
        self.augmentation = Augmentation(config.augment, seed)
        by_labels = "binary_cross_entropy" if classifier.multi_label else "cross_entropy"
        self.loss = config.loss or by_labels
        if config.freezes_encoder:
            classifier.encoder.requires_grad_(requires_grad=False)

    def train(self, mode: bool = True) -> "Classification":
        """Switch to training or evaluation; a frozen encoder stays in evaluation."""
        super().train(mode)
        if self.config.freezes_encoder:
            self.classifier.encoder.eval()
        return self

    def forward(self, batch: Batch) -> Losses:
        """Loss of a labelled batch: in training of augmented clips, in evaluation of the clips as they are.

        `weight` counts clips or positive labels, as configured. Terms: `loss`.

        Raises:
            ValueError: The batch has no targets.
        """
        if batch.targets is None:
            raise ValueError("classification needs labels, but this batch has no targets")
        with torch.no_grad():
            log_mel, targets = self.inputs(batch, batch.targets)
            num_frames = self.classifier.num_frames(batch.num_samples, batch.waveforms.shape[1])
            if num_frames is not None and self.training and self.config.augment.mixup_alpha:
                num_frames = torch.maximum(num_frames, num_frames.flip(0))  # of the longer one of each pair
        return self.losses_of(log_mel, targets, num_frames)

    def losses_of(
        self,
        log_mel: Float[Tensor, "batch frames mels"],
        targets: Float[Tensor, "batch classes"],
        num_frames: Int[Tensor, " batch"] | None = None,
    ) -> Losses:
        """Loss of clips that are already spectrograms, with targets that may be mixed."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freezes_encoder):
            features = self.classifier.encoder.features(log_mel, num_frames)
        return self.losses_of_logits(self.classifier.head(features), targets)

    def losses_of_logits(
        self, logits: Float[Tensor, "batch classes"], targets: Float[Tensor, "batch classes"]
    ) -> Losses:
        """Loss of what the head said; a class of which a clip's target is NaN, not known, does not count."""
        is_known = targets.isfinite()
        targets = targets.nan_to_num()
        with torch.autocast(logits.device.type, enabled=False):
            errors = self._errors(logits.float(), self._smoothed(targets)) * is_known
        by_positives = self.config.normaliser == "positives"
        # Without any positive the sum still has to count: as much as one label.
        weight = targets.sum().clamp(min=1) if by_positives else targets.new_full((), len(targets))
        total = errors.sum() / weight.clamp(min=1)
        return Losses(total=total, weight=weight, terms={"loss": total.detach()})

    def inputs(
        self, batch: Batch, targets: Float[Tensor, "batch classes"]
    ) -> tuple[Float[Tensor, "batch frames mels"], Float[Tensor, "batch classes"]]:
        """Spectrograms and targets of clips: in training changed, in evaluation as they are."""
        if not self.training:
            return self.classifier.log_mel(batch.waveforms, batch.num_samples), targets
        waveforms = self.augmentation.waveforms(batch.waveforms, batch.num_samples, batch.draw_ids)
        log_mel = self.classifier.log_mel(waveforms, batch.num_samples)
        return self.augmentation.spectrograms(log_mel, targets, batch.draw_ids)

    def _smoothed(self, targets: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch classes"]:
        share = self.config.label_smoothing if self.training else 0.0
        # A single class is a choice between two: yes and no.
        return targets * (1 - share) + share / max(2, targets.shape[1])

    def _errors(
        self, logits: Float[Tensor, "batch classes"], targets: Float[Tensor, "batch classes"]
    ) -> Float[Tensor, "batch classes"]:
        if self.loss == "binary_cross_entropy":
            return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return -targets * F.log_softmax(logits, dim=-1)
