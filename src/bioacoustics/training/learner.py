"""Learner: one update of an objective, the same whichever way its rows are shared out."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from bioacoustics.audio.draws import Stream, seed_of
from bioacoustics.data.batches import Batch, UpdatePlan
from bioacoustics.objectives.objective import Objective
from bioacoustics.training.interruption import Vote, Wish
from bioacoustics.training.memory import TooLargeBatchError, advice, num_fitting_rows
from bioacoustics.training.metrics import Row, RunningMeans
from bioacoustics.training.optimizer import OptimizerConfig, Updater


class Learner:
    """Gathers gradients over micro-batches and processes, and moves the weights.

    Nothing in an update waits for the device: losses, norms and skipped updates are counted there.

    Args:
        objective: What learns; it must be on the device already.
        config: How weights move.
        plan: Which rows form an update.
        accelerator: Device, precision and processes.
        seed: Seed of dropout.
    """

    def __init__(
        self,
        objective: Objective,
        config: OptimizerConfig,
        plan: UpdatePlan,
        accelerator: Accelerator,
        *,
        seed: int,
    ) -> None:
        self.objective = objective
        self.updater = Updater(objective, config, scaler=accelerator.scaler)
        self._means = RunningMeans(accelerator.device)
        self._gradient_norm = torch.zeros((), device=accelerator.device)
        self._plan = plan
        self._accelerator = accelerator
        self._seed = seed
        self._module: Any = accelerator.prepare_model(objective)
        if isinstance(self._module, DistributedDataParallel):
            # `after_step` keeps buffers alike. (Given to the constructor, this warns in newer versions.)
            self._module.broadcast_buffers = False
        self._vote = Vote()

    def update(self, update: int, batches: Iterator[Batch], *, wish: Wish) -> Wish:
        """Learn from the micro-batches of one update; what all processes are to do after it.

        Raises:
            TooLargeBatchError: The device ran out of memory; the message says which size fits.
        """
        weight = torch.zeros((), device=self._accelerator.device)
        parts = self._plan.micro_batches(update, self._accelerator.process_index)
        too_large: Batch | None = None
        for part, batch in zip(parts, batches, strict=False):
            try:
                weight = weight + self._learn(batch, part[0], is_last=part is parts[-1])
            except torch.OutOfMemoryError:
                too_large = batch  # what the failed pass holds is freed only after this block
                break
        if too_large is not None:
            raise TooLargeBatchError(self._advice(too_large))
        weight, decision = self._agree(weight, wish)
        self._gradient_norm = self.updater.step(update, weight)
        self.objective.after_step(update + 1)
        return decision

    def report(self) -> Row:
        """The means since the last report and how the updates fared; waits for the device."""
        row = self._means.over_processes(self._accelerator).means()
        self._means.reset()
        updater = self.updater
        row["gradient_norm"], row["num_skipped"], row["num_skipped_in_a_row"] = torch.stack(
            [self._gradient_norm, updater.num_skipped, updater.num_skipped_in_a_row]
        ).tolist()
        return row

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes in an update, of all processes; each of them must ask."""
        return {
            "objective": self.objective.state_dict(),
            "updater": self.updater.state_dict(),
            "means": self._means.over_processes(self._accelerator).state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state; the objective must have been loaded before it was handed over."""
        self.updater.load_state_dict(state["updater"])
        if self._accelerator.is_main_process:  # the sums of all processes
            self._means.merge(state["means"])

    def finish(self) -> None:
        """Give the objective back as it was: without autocast and gradient exchange."""
        self._accelerator.unwrap_model(self._module, keep_fp32_wrapper=False)

    def _learn(self, batch: Batch, draw_id: int, *, is_last: bool) -> Float[Tensor, ""]:
        """Forward and backward pass; gradients are exchanged between processes after the last."""
        # Seeded before every pass, dropout needs no saved state and no particular number of processes.
        torch.manual_seed(seed_of(self._seed, Stream.DROPOUT, draw_id))
        with nullcontext() if is_last else self._accelerator.no_sync(self._module):
            losses = self._module(batch)
            weight: Tensor = losses.weight.detach()
            # The exchange takes the mean over processes; we want the sum, to divide it by all weights.
            self._accelerator.backward(losses.total * weight * self._accelerator.num_processes)
        self._means.add(losses)
        return weight.float()

    def _agree(self, weight: Float[Tensor, ""], wish: Wish) -> tuple[Float[Tensor, ""], Wish]:
        """The weight of the update in all processes, and what they do after it."""
        if self._accelerator.num_processes == 1:
            return weight, wish
        pair = torch.stack([weight, torch.full_like(weight, float(wish))])
        total: Tensor = self._accelerator.reduce(pair, reduction="sum")
        self._vote.cast(total[1])
        return total[0], self._vote.decision()

    def _advice(self, batch: Batch) -> str:
        def learn(rows: Batch) -> None:
            self._learn(rows, 0, is_last=False)

        optimizer = self.updater.optimizer
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        fitting = num_fitting_rows(learn, batch, weights, has_moments=bool(optimizer.state))
        return advice(len(batch), fitting)
