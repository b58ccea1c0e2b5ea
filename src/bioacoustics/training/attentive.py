"""Attentive: a probe that learns where in a clip to listen, on patch features that stay as they are."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field
from torch import Tensor, nn

from bioacoustics.training.linear import fitted_layer
from bioacoustics.training.probes import ProbeResult, ProbeTask, inner_folds

SMALLEST_POOLED_STD = 0.03  # of what a query finds, in deviations of patches


class AttentiveConfig(BaseModel, frozen=True, extra="forbid"):
    """A probe that a few hundred clips can fit, in seconds."""

    num_heads: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    query_learning_rate: float = Field(default=1e-2, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)  # of the linear layer
    label_smoothing: float = Field(
        default=0.1, ge=0, lt=1
    )  # else the first fit could be sure of all it knows
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

    It begins as a linear probe of what random queries attend to, so that too few clips to learn where to
    listen do no harm. How many epochs to train from there, if any, is found on an inner fold of the fitted
    clips, divided by recording; then all fitted clips train a new probe for that long. The same seed gives
    the same result on the processor.

    Args:
        patches: Patch features, in any float type and on any device; work is done there, in float32.
        task: Labels, recordings and folds.
        num_patches: How many patches of each clip are sound, counted from the first; all by default.
        config: Size and schedule of the probe.
    """
    config = config or AttentiveConfig()
    is_sound = _is_sound(patches, num_patches)
    predictions = np.zeros(task.targets.shape)
    for fitted, judged in task.sides:
        folds = inner_folds(task, fitted, config.seed)
        inside, outside = (torch.from_numpy(fitted[side]) for side in (folds != 0, folds == 0))
        fitting = _Fitting(patches, is_sound, task, config)
        num_epochs = fitting.best_num_epochs(inside, outside) if len(inside) else 0
        head = fitting.fit(torch.from_numpy(fitted), num_epochs)
        predictions[judged] = fitting.probabilities(head, torch.from_numpy(judged)).cpu().numpy()
    return task.result("attentive", predictions)


class _AttentiveHead(nn.Module):
    """Attention with a few queries over standardised patches, then a linear layer of what it found."""

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int, num_classes: int, num_heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(num_heads, dim, generator=generator))
        self.norm = _Standardisation(num_heads * dim)
        self.weights = nn.Parameter(torch.zeros(num_heads * dim, num_classes))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def pool(
        self, patches: Float[Tensor, "batch patches dim"], is_sound: Bool[Tensor, "batch patches"]
    ) -> Float[Tensor, "batch values"]:
        """What each query finds, one after the other."""
        patches = (patches.float() - self.mean) * self.scale
        logits = torch.einsum("bpd,hd->bhp", patches, self.queries) / math.sqrt(patches.shape[2])
        weights = logits.masked_fill(~is_sound[:, None], -torch.inf).softmax(dim=-1)
        return torch.einsum("bhp,bpd->bhd", weights, patches).flatten(1)

    def forward(
        self, patches: Float[Tensor, "batch patches dim"], is_sound: Bool[Tensor, "batch patches"]
    ) -> Float[Tensor, "batch classes"]:
        logits: Tensor = self.norm(self.pool(patches, is_sound)) @ self.weights + self.bias
        return logits


class _Standardisation(nn.Module):
    """Numbers with mean 0 and deviation 1 over the clips that it was told of."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def fit(self, rows: Float[Tensor, "rows dim"]) -> None:
        """Take mean and deviation of these rows; what hardly varies is not blown up as far."""
        self.mean.copy_(rows.mean(dim=0))
        self.std.copy_(rows.std(dim=0, correction=0).clamp(min=SMALLEST_POOLED_STD))

    def forward(self, rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        return (rows - self.mean) / self.std


class _Fitting:
    """Trains heads on some clips of one task."""

    def __init__(
        self,
        patches: Float[Tensor, "clips patches dim"],
        is_sound: Bool[Tensor, "clips patches"],
        task: ProbeTask,
        config: AttentiveConfig,
    ) -> None:
        self._patches, self._is_sound, self._task, self._config = patches, is_sound, task, config
        smoothing = config.label_smoothing
        smoothed = task.targets * (1 - smoothing) + smoothing / max(2, task.targets.shape[1])
        self._targets = torch.from_numpy(smoothed).float().to(patches.device)

    def best_num_epochs(self, inside: Int[Tensor, " inside"], outside: Int[Tensor, " outside"]) -> int:
        """After how many epochs on some clips, none included, the loss on the others is least."""
        head, best_epoch = self._new_head(inside), 0
        best = self._loss(head, outside)
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
        return logits.sigmoid() if self._task.multi_label else logits.softmax(dim=1)

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
        if self._task.multi_label:
            return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        return F.cross_entropy(logits, targets, reduction="sum")

    def _inputs(
        self, clips: Int[Tensor, " some"]
    ) -> tuple[Float[Tensor, "some patches dim"], Bool[Tensor, "some patches"]]:
        clips = clips.to(self._patches.device)
        return self._patches[clips], self._is_sound[clips]

    def _new_head(self, clips: Int[Tensor, " fitted"]) -> _AttentiveHead:
        """A head with random queries whose linear layer is the probe of what they find in these clips."""
        head = _AttentiveHead(
            self._patches.shape[2], self._targets.shape[1], self._config.num_heads, self._generator()
        ).to(self._patches.device)
        self._standardise_patches(head, clips)
        with torch.no_grad():
            parts = torch.split(clips, self._config.batch_size)
            pooled = torch.cat([head.pool(*self._inputs(some)) for some in parts])
            head.norm.fit(pooled)
            layer = fitted_layer(
                head.norm(pooled).cpu().numpy(),
                self._targets[clips.to(self._targets.device)].double().cpu().numpy(),
                self._task.groups[clips.numpy()],
                multi_label=self._task.multi_label,
                seed=self._config.seed,
            )
            head.weights.copy_(torch.from_numpy(layer.weights))
            head.bias.copy_(torch.from_numpy(layer.bias))
        return head

    def _standardise_patches(self, head: _AttentiveHead, clips: Int[Tensor, " fitted"]) -> None:
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

    def _optimizer(self, head: _AttentiveHead) -> torch.optim.Optimizer:
        config = self._config
        queries = {"params": [head.queries], "lr": config.query_learning_rate, "weight_decay": 0.0}
        layer = {"params": [head.weights, head.bias], "weight_decay": config.weight_decay}
        return torch.optim.AdamW([queries, layer], lr=config.learning_rate)

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
