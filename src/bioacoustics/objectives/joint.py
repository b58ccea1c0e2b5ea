"""Joint: one objective of weighted terms, each from the rows of its own sources in every batch.

Self-supervision learns from recordings without labels, supervision from labelled clips, and where there are
examples of a target sound and of what it is not, a detector and a contrastive loss learn from these.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, Field
from torch import Tensor, nn

from bioacoustics.data.augment import Augmentation, AugmentConfig
from bioacoustics.data.batches import Batch
from bioacoustics.objectives.classification import Classification
from bioacoustics.objectives.contrastive import Contrastive
from bioacoustics.objectives.memory_bank import Keys
from bioacoustics.objectives.objective import Losses, Objective

SourceName = Literal["unlabeled", "labeled", "positive", "negative"]
EXAMPLES = ("positive", "negative")


class JointConfig(BaseModel, frozen=True, extra="forbid"):
    """How much each term counts, and how clips are changed in training.

    Attributes:
        self_supervised_weight: Of the loss on recordings without labels.
        supervised_weight: Of the classification loss on labelled clips.
        detector_weight: Of the classification loss on examples: which class, or none of them.
        contrastive_weight: Of the loss that compares examples.
        augment: Changes of labelled clips and of both views of examples.
        has_cached_features: Windows hold two pooled feature vectors of a frozen encoder instead of sound.
    """

    self_supervised_weight: float = Field(1.0, ge=0)
    supervised_weight: float = Field(0.3, ge=0)
    detector_weight: float = Field(1.0, ge=0)
    contrastive_weight: float = Field(1.0, ge=0)
    augment: AugmentConfig = AugmentConfig(spec_augment_ratio=0.2)
    has_cached_features: bool = False


class Joint(Objective):
    """Terms over the sources that there are; what is absent costs nothing.

    Every update has a fixed number of rows of each source. A term is the mean over the rows of its source in
    the update, so that it does not matter which of them share a micro-batch or a process.

    Args:
        config: Weights and augmentation.
        num_rows: Rows of each source in an update over all processes.
        self_supervised: What learns from `unlabeled` rows.
        classification: Classifier and loss of `labeled`, `positive` and `negative` rows.
        contrastive: What compares `positive` rows with each other and with `negative` ones.
        weight_of_window: How much a window counts for `self_supervised`, in the unit of its losses' weight.
        seed: Seed of the augmentation.
    """

    def __init__(
        self,
        config: JointConfig,
        num_rows: Mapping[str, int],
        *,
        self_supervised: Objective | None,
        classification: Classification | None,
        contrastive: Contrastive | None,
        weight_of_window: float = 1.0,
        seed: int,
    ) -> None:
        super().__init__()
        self.weight_of_window = weight_of_window
        self.config = config
        self.num_rows = dict(num_rows)
        self.held_out_rows: Mapping[str, int] = dict(num_rows)  # of a whole validation
        self.self_supervised, self.classification = self_supervised, classification
        self.contrastive = contrastive
        self.views = nn.ModuleList(Augmentation(config.augment, seed + number) for number in range(2))

    def forward(self, batch: Batch) -> Losses:
        """The weighted sum of the terms of a micro-batch; `weight` counts its rows, of whatever source.

        Terms: `self_supervised_loss`, `supervised_loss`, `detector_loss`, and what the parts report.
        """
        rows: dict[str, list[int]] = {}
        for row, origin in enumerate(batch.origins):
            rows.setdefault(origin.source, []).append(row)
        found: list[tuple[str, float, Losses, str]] = []  # name, weight, losses, source that counts
        if self.self_supervised is not None and "unlabeled" in rows:
            losses = self.self_supervised(batch.at(rows["unlabeled"]))
            found.append(("self_supervised_loss", self.config.self_supervised_weight, losses, "unlabeled"))
        if self.classification is not None:
            found += self._of_clips(batch, rows)
        return self._sum(batch, found)

    def after_step(self, num_updates: int) -> None:
        """Let teachers follow and the keys of the update into the banks."""
        for part in (self.self_supervised, self.contrastive):
            if part is not None:
                part.after_step(num_updates)

    @torch.no_grad()
    def probabilities(self, batch: Batch) -> Float[Tensor, "batch classes"]:
        """What the classifier says of clips as they are."""
        assert self.classification is not None and not self.training
        # On the processor in float64: what a sure model says is calibrated from its probabilities.
        logits = self._logits(self._pooled(batch, 0)).cpu().double()
        is_multi_label = self.classification.classifier.multi_label
        return logits.sigmoid() if is_multi_label else logits.softmax(dim=-1)

    @torch.no_grad()
    def keys(self, examples: Batch) -> Keys:
        """What examples are compared by, and which clips they are; in evaluation of the clips as they are."""
        assert self.contrastive is not None
        about = torch.tensor(
            [(origin.item, origin.recording, origin.label) for origin in examples.origins], dtype=torch.int64
        )
        items, recordings, labels = (
            about.view(-1, 3).to(examples.draw_ids.device, non_blocking=True).unbind(1)
        )
        return Keys(
            features=self.contrastive.keys(self._pooled(examples, 1)),
            draw_ids=examples.draw_ids,
            items=items,
            recordings=recordings,
            classes=labels,
        )

    def _of_clips(
        self, batch: Batch, rows: Mapping[str, list[int]]
    ) -> Iterable[tuple[str, float, Losses, str]]:
        """The terms of labelled clips and examples, encoded together."""
        assert self.classification is not None
        names = [name for name in ("labeled", *EXAMPLES) if name in rows]
        if not names:
            return
        clips = batch.at([row for name in names for row in rows[name]])
        pooled = self._pooled(clips, 0)
        logits = self._logits(pooled)
        assert clips.targets is not None, "clips need targets"
        num_labeled, num_positive = (len(rows.get(name, [])) for name in ("labeled", "positive"))
        if num_labeled:
            losses = self.classification.losses_of_logits(logits[:num_labeled], clips.targets[:num_labeled])
            yield "supervised_loss", self.config.supervised_weight, losses, "labeled"
        if len(clips) > num_labeled:
            losses = self.classification.losses_of_logits(logits[num_labeled:], clips.targets[num_labeled:])
            yield "detector_loss", self.config.detector_weight, losses, "examples"
        if self.contrastive is not None and len(clips) > num_labeled:
            examples = clips.at(range(num_labeled, len(clips)))
            keys = self.keys(examples)
            positives, negatives = (
                keys.at(torch.arange(start, stop, device=keys.draw_ids.device))
                for start, stop in ((0, num_positive), (num_positive, len(keys)))
            )
            if self.training:
                self.contrastive.remember(positives, negatives)
            if num_positive:
                anchors = pooled[num_labeled : num_labeled + num_positive]
                losses = self.contrastive(self.contrastive.queries(anchors), positives)
                yield "contrastive_loss", self.config.contrastive_weight, losses, "positive"
            if len(negatives):
                others = self.contrastive.queries(pooled[num_labeled + num_positive :])
                losses = self.contrastive.repulsion(others)
                yield "repulsion_loss", self.config.contrastive_weight, losses, "negative"

    def _pooled(self, clips: Batch, view: int) -> Float[Tensor, "batch dim"]:
        """Pooled features of clips, augmented in training; the second view is heard by the keys' encoder."""
        assert self.classification is not None
        classifier = self.classification.classifier
        if self.config.has_cached_features:
            return clips.waveforms.chunk(2, dim=1)[view]
        is_key = view == 1
        encoder = classifier.encoder
        if is_key:
            assert self.contrastive is not None
            encoder = self.contrastive.key_encoder
        with torch.no_grad():
            log_mel = self._log_mel(clips, view)
            num_frames = classifier.num_frames(clips.num_samples, clips.waveforms.shape[1])
        freezes = is_key or self.classification.config.freezes_encoder
        with torch.set_grad_enabled(torch.is_grad_enabled() and not freezes):
            return classifier.head.pool(encoder.features(log_mel, num_frames))

    def _log_mel(self, clips: Batch, view: int) -> Float[Tensor, "batch frames mels"]:
        assert self.classification is not None
        classifier = self.classification.classifier
        if not self.training:
            return classifier.log_mel(clips.waveforms, clips.num_samples)
        augmentation = self.views[view]
        assert isinstance(augmentation, Augmentation) and clips.targets is not None
        waveforms = augmentation.waveforms(clips.waveforms, clips.num_samples, clips.draw_ids)
        log_mel = classifier.log_mel(waveforms, clips.num_samples)
        return augmentation.spectrograms(log_mel, clips.targets, clips.draw_ids)[0]

    def _logits(self, pooled: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        assert self.classification is not None
        head = self.classification.classifier.head
        seen = head.represent(pooled)
        if self.config.has_cached_features and head.config.refines:
            # The layer learns by comparing clips alone: told their classes, it would learn few by heart.
            seen = seen.detach()
        logits: Tensor = head.head(seen)
        return logits

    def _sum(self, batch: Batch, found: Iterable[tuple[str, float, Losses, str]]) -> Losses:
        num_rows = self.num_rows if self.training else self.held_out_rows
        total = batch.waveforms.new_zeros(())
        terms: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        for name, factor, losses, source in found:
            sources = EXAMPLES if source == "examples" else (source,)
            in_update = float(sum(num_rows.get(name, 0) for name in sources))
            if source == "unlabeled":
                in_update *= self.weight_of_window
            # The mean over the rows of all micro-batches, each of which counts as many rows as it has.
            share = losses.weight / in_update * (sum(num_rows.values()) / len(batch))
            total = total + factor * share * losses.total
            parts = {key: term for key, term in losses.terms.items() if key != "loss"}
            terms |= {**parts, name: losses.total.detach()}
            weights |= dict.fromkeys((*parts, name), losses.weight)
        if self.training:
            total = total + self._nothing()
        weight = total.new_tensor(float(len(batch)))
        return Losses(total=total, weight=weight, terms=terms, term_weights=weights)

    def _nothing(self) -> Float[Tensor, ""]:
        """A zero that depends on every parameter: an exchange of gradients waits for each of them.

        A micro-batch may lack a source, and with it the parameters that only this source trains.
        """
        values = [parameter.sum() for parameter in self.parameters() if parameter.requires_grad]
        return 0.0 * torch.stack(values).sum()
