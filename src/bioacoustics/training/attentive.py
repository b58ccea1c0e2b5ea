"""Attentive: a probe that learns where in a clip to listen, on patch features that stay as they are."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field
from torch import Tensor, nn

from bioacoustics.training.probes import ProbeResult, ProbeTask, inner_folds


class AttentiveConfig(BaseModel, frozen=True, extra="forbid"):
    """A probe that a few hundred clips can fit, in seconds."""

    num_heads: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    batch_size: int = Field(default=64, ge=1)
    max_epochs: int = Field(default=40, ge=1)
    patience: int = Field(default=5, ge=1)  # epochs without a better inner loss before it ends
    seed: int = Field(default=0, ge=0)


def attentive_probe(
    patches: Float[Tensor, "clips patches dim"],
    task: ProbeTask,
    *,
    num_patches: Int[Tensor, " clips"] | None = None,
    config: AttentiveConfig | None = None,
) -> ProbeResult:
    """Learned queries pool the patches of each clip, and a linear layer reads what they found.

    How many epochs to train is found on an inner fold of the fitted clips, divided by recording; then all
    fitted clips train a new probe for that long. The same seed gives the same result on the processor.

    Args:
        patches: Patch features, in any float type and on any device; work is done there, in float32.
        task: Labels, recordings and folds.
        num_patches: How many patches of each clip are sound, counted from the first; all by default.
        config: Size and schedule of the probe.
    """
    config = config or AttentiveConfig()
    is_sound = _is_sound(patches, num_patches)
    targets = torch.from_numpy(task.targets).float().to(patches.device)
    predictions = np.zeros(task.targets.shape)
    for fitted, judged in task.sides:
        folds = inner_folds(task, fitted, config.seed)
        inside, outside = (torch.from_numpy(fitted[side]) for side in (folds != 0, folds == 0))
        fitting = _Fitting(patches, is_sound, targets, task.multi_label, config)
        num_epochs = fitting.best_num_epochs(inside, outside) if len(inside) else config.max_epochs // 2
        head = fitting.fit(torch.from_numpy(fitted), num_epochs)
        predictions[judged] = fitting.probabilities(head, torch.from_numpy(judged)).cpu().numpy()
    return task.result("attentive", predictions)


class _AttentiveHead(nn.Module):
    """Attention with a few learned queries, then a linear layer; it begins as the mean of the patches."""

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int, num_classes: int, num_heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.zeros(num_heads, dim))
        weights = torch.randn(num_heads * dim, num_classes, generator=generator)
        self.weights = nn.Parameter(0.1 * weights / math.sqrt(num_heads * dim))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def forward(
        self, patches: Float[Tensor, "batch patches dim"], is_sound: Bool[Tensor, "batch patches"]
    ) -> Float[Tensor, "batch classes"]:
        patches = (patches.float() - self.mean) * self.scale
        logits = torch.einsum("bpd,hd->bhp", patches, self.queries).masked_fill(
            ~is_sound[:, None], -torch.inf
        )
        pooled = torch.einsum("bhp,bpd->bhd", logits.softmax(dim=-1), patches)
        return pooled.flatten(1) @ self.weights + self.bias


class _Fitting:
    """Trains heads on some clips of one task."""

    def __init__(
        self,
        patches: Float[Tensor, "clips patches dim"],
        is_sound: Bool[Tensor, "clips patches"],
        targets: Float[Tensor, "clips classes"],
        multi_label: bool,
        config: AttentiveConfig,
    ) -> None:
        self._patches, self._is_sound, self._targets = patches, is_sound, targets
        self._multi_label, self._config = multi_label, config

    def best_num_epochs(self, inside: Int[Tensor, " inside"], outside: Int[Tensor, " outside"]) -> int:
        """After how many epochs on some clips the loss on the others is least."""
        head, best, best_epoch = self._new_head(inside), math.inf, 1
        optimizer, generator = self._optimizer(head), self._generator()
        for epoch in range(1, self._config.max_epochs + 1):
            self._train_epoch(head, optimizer, inside, generator)
            loss = self._loss(head, outside)
            if loss < best:
                best, best_epoch = loss, epoch
            elif epoch - best_epoch >= self._config.patience:
                break
        return best_epoch

    def fit(self, clips: Int[Tensor, " fitted"], num_epochs: int) -> _AttentiveHead:
        """A head trained on the clips for so many epochs."""
        head = self._new_head(clips)
        optimizer, generator = self._optimizer(head), self._generator()
        for _ in range(num_epochs):
            self._train_epoch(head, optimizer, clips, generator)
        return head

    @torch.no_grad()
    def probabilities(
        self, head: _AttentiveHead, clips: Int[Tensor, " judged"]
    ) -> Float[Tensor, "judged classes"]:
        """Probability of each class for each clip."""
        logits = torch.cat(
            [head(*self._inputs(some)) for some in torch.split(clips, self._config.batch_size)]
        )
        return logits.sigmoid() if self._multi_label else logits.softmax(dim=1)

    def _train_epoch(
        self,
        head: _AttentiveHead,
        optimizer: torch.optim.Optimizer,
        clips: Int[Tensor, " fitted"],
        generator: torch.Generator,
    ) -> None:
        shuffled = clips[torch.randperm(len(clips), generator=generator)]
        for some in torch.split(shuffled, self._config.batch_size):
            optimizer.zero_grad()
            torch.autograd.backward(self._summed_loss(head, some) / len(some))
            optimizer.step()

    @torch.no_grad()
    def _loss(self, head: _AttentiveHead, clips: Int[Tensor, " clips"]) -> float:
        losses = [self._summed_loss(head, some) for some in torch.split(clips, self._config.batch_size)]
        return float(torch.stack(losses).sum())

    def _summed_loss(self, head: _AttentiveHead, clips: Int[Tensor, " some"]) -> Float[Tensor, ""]:
        logits, targets = head(*self._inputs(clips)), self._targets[clips.to(self._targets.device)]
        if self._multi_label:
            return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        return F.cross_entropy(logits, targets, reduction="sum")

    def _inputs(
        self, clips: Int[Tensor, " some"]
    ) -> tuple[Float[Tensor, "some patches dim"], Bool[Tensor, "some patches"]]:
        clips = clips.to(self._patches.device)
        return self._patches[clips], self._is_sound[clips]

    def _new_head(self, clips: Int[Tensor, " fitted"]) -> _AttentiveHead:
        """A head that standardises its patches as they are in the clips it will be fitted on."""
        head = _AttentiveHead(
            self._patches.shape[2], self._targets.shape[1], self._config.num_heads, self._generator()
        ).to(self._patches.device)
        total = torch.zeros(2, self._patches.shape[2], dtype=torch.float64)
        count = 0
        for some in torch.split(clips, self._config.batch_size):
            patches, is_sound = self._inputs(some)
            heard = patches[is_sound].float()
            total += torch.stack([heard.sum(dim=0), heard.square().sum(dim=0)]).cpu()
            count += len(heard)
        mean = total[0] / max(count, 1)
        std = (total[1] / max(count, 1) - mean.square()).clamp(min=0).sqrt()
        head.mean.copy_(mean)
        head.scale.copy_(torch.where(std > 1e-4, 1 / std.clamp(min=1e-4), 0.0))
        return head

    def _optimizer(self, head: _AttentiveHead) -> torch.optim.Optimizer:
        config = self._config
        return torch.optim.AdamW(head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self._config.seed)


def _is_sound(
    patches: Float[Tensor, "clips patches dim"], num_patches: Int[Tensor, " clips"] | None
) -> Bool[Tensor, "clips patches"]:
    places = torch.arange(patches.shape[1], device=patches.device)
    if num_patches is None:
        return torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device)
    if int(num_patches.min()) < 1:
        raise ValueError("every clip needs at least one patch of sound")
    return places[None] < num_patches.to(patches.device)[:, None]
