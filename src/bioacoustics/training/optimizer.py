"""Optimizer: AdamW with layer-wise learning rates, warm-up and cosine; a poisoned gradient moves nothing."""

import math
import re
from typing import Any

import torch
from jaxtyping import Float
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

# Only the encoder's blocks are slowed down, not the decoder's: reference recipes scale nothing else.
_ENCODER_BLOCK = re.compile(r"(?:^|\.)encoder\.(?:transformer\.)?blocks\.(\d+)\.")
_PUBLISHED_WARMUP_SHARE = 53_333 / 400_000


class OptimizerConfig(BaseModel, frozen=True, extra="forbid"):
    """AdamW and its schedule; the defaults are those of EAT base pre-training.

    Attributes:
        learning_rate: Peak, reached when the warm-up ends.
        warmup_updates: Linear warm-up; None takes the share of `num_updates` that EAT took.
        min_learning_rate: Where the warm-up begins and the half cosine ends.
        clip_norm: Largest norm of the gradient over all parameters; 0 does not clip.
        decays_norms_and_biases: The official EAT code decays every parameter, because its exemptions never
            reach the optimizer. Decay pulls norm gains to 0 and serves no purpose there, so we exempt norms,
            biases and other vectors unless this is set.
        layer_decay: Block i of n learns at `layer_decay ** (n - i)` times the rate, all else at the full
            rate.
        scales_min_learning_rate: The official schedule has one minimum for all blocks (or their peak, where
            that is less), so slow blocks stay at a constant rate without warm-up and all end alike: set False
            to reproduce that. By default every block follows the same curve, scaled.
    """

    num_updates: int = Field(400_000, ge=1)
    learning_rate: float = Field(5e-4, gt=0)
    warmup_updates: int | None = Field(None, ge=0)
    min_learning_rate: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    clip_norm: float = Field(4.0, ge=0)
    decays_norms_and_biases: bool = False
    layer_decay: float = Field(1.0, gt=0, le=1)
    scales_min_learning_rate: bool = True

    @model_validator(mode="after")
    def _is_consistent(self) -> "OptimizerConfig":
        if self.num_warmup_updates > self.num_updates:
            raise ValueError(
                f"warmup_updates ({self.warmup_updates}) must not exceed num_updates ({self.num_updates})"
            )
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(
                f"min_learning_rate ({self.min_learning_rate}) must not exceed learning_rate "
                f"({self.learning_rate})"
            )
        return self

    @property
    def num_warmup_updates(self) -> int:
        """Updates of the linear warm-up."""
        if self.warmup_updates is not None:
            return self.warmup_updates
        return round(self.num_updates * _PUBLISHED_WARMUP_SHARE)


def learning_rate(config: OptimizerConfig, update: int, scale: float = 1.0) -> float:
    """The rate of update `update` (the first is 0) for parameters that learn at `scale` times the full rate.

    Linear from the minimum to the peak, then half a cosine back (fairseq's cosine schedule). Where fairseq
    would begin another cycle, at `num_updates`, the rate stays at the minimum.
    """
    peak = config.learning_rate * scale
    lowest = config.min_learning_rate * scale
    if not config.scales_min_learning_rate:
        lowest = min(config.min_learning_rate, peak)
    num_warmup = config.num_warmup_updates
    if update < num_warmup:
        return lowest + (peak - lowest) * update / num_warmup
    share = min(1.0, (update - num_warmup) / max(1, config.num_updates - num_warmup))
    return lowest + 0.5 * (peak - lowest) * (1 + math.cos(math.pi * share))


def parameter_groups(module: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Sort the trainable parameters into groups of equal weight decay and learning-rate scale.

    Each group holds `params`, `weight_decay`, `lr_scale`, `lr` and the `names` of its parameters.

    Raises:
        ValueError: If nothing is trainable, or layer decay is asked for where there are no encoder blocks.
    """
    trainable = [(name, weight) for name, weight in module.named_parameters() if weight.requires_grad]
    if not trainable:
        raise ValueError("Nothing to train: every parameter is frozen")
    blocks = {name: int(match[1]) for name, _ in trainable if (match := _ENCODER_BLOCK.search(name))}
    if config.layer_decay < 1 and not blocks:
        raise ValueError(
            f"layer_decay={config.layer_decay} slows the encoder's blocks, but none is trainable here: "
            "leave it at 1"
        )
    num_blocks = max(blocks.values(), default=-1) + 1
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, weight in trainable:
        scale = config.layer_decay ** (num_blocks - blocks[name]) if name in blocks else 1.0
        decays = config.decays_norms_and_biases or (weight.ndim > 1 and not name.endswith("bias"))
        group = groups.setdefault((scale, decays), {"params": [], "names": [], "lr_scale": scale})
        group["weight_decay"] = config.weight_decay if decays else 0.0
        group["lr"] = learning_rate(config, 0, scale)
        group["params"].append(weight)
        group["names"].append(name)
    return list(groups.values())


class Updater:
    """Moves the weights once all gradients of an update are there, without waiting for the device.

    A gradient that is not finite moves nothing: neither weights nor moments nor the step count change, and
    `num_skipped` and `num_skipped_in_a_row` count it on the device.
    """

    def __init__(
        self, module: nn.Module, config: OptimizerConfig, *, scaler: torch.amp.GradScaler | None = None
    ) -> None:
        groups = parameter_groups(module, config)
        self._config = config
        self._parameters = [weight for group in groups for weight in group["params"]]
        self._scaler = scaler
        device = self._parameters[0].device
        # Only the fused kernel heeds `found_inf`, and it exists on the CPU and CUDA.
        self._skips_on_device = device.type in {"cpu", "cuda"}
        self.optimizer = torch.optim.AdamW(
            groups, betas=config.betas, eps=config.eps, fused=self._skips_on_device
        )
        self.num_skipped = torch.zeros((), device=device)
        self.num_skipped_in_a_row = torch.zeros((), device=device)

    def step(self, update: int, weight: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Divide the gradients by `weight`, clip them, and move the weights at the rate of this update.

        Returns the norm of the gradient before clipping.
        """
        if self._scaler is not None:
            self._scaler.unscale_(self.optimizer)
        gradients = [weight.grad for weight in self._parameters if weight.grad is not None]
        # No weight at all means no loss and a gradient of 0, not 0 / 0.
        weight = weight.clamp(min=torch.finfo(torch.float32).tiny)
        norm = torch.nn.utils.get_total_norm(gradients) / weight
        factor = 1 / weight
        if self._config.clip_norm > 0:
            factor = factor * (self._config.clip_norm / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(gradients, factor)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self._config, update, group["lr_scale"])
        self._move((~torch.isfinite(norm)).float())
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Everything a later run needs to go on as if there had been no pause."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
            "num_skipped": self.num_skipped,
            "num_skipped_in_a_row": self.num_skipped_in_a_row,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self._scaler is not None and state["scaler"] is not None:
            self._scaler.load_state_dict(state["scaler"])
        self.num_skipped.copy_(state["num_skipped"])
        self.num_skipped_in_a_row.copy_(state["num_skipped_in_a_row"])

    def _move(self, is_poisoned: Float[Tensor, ""]) -> None:
        self.num_skipped += is_poisoned
        self.num_skipped_in_a_row.add_(is_poisoned).mul_(is_poisoned)
        if self._scaler is not None:
            self._scaler.step(self.optimizer)  # skips by the same mechanism
            self._scaler.update()
        elif self._skips_on_device:
            self.optimizer.found_inf = is_poisoned  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not bool(is_poisoned):
            self.optimizer.step()
