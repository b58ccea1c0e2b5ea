"""Loop: what improves an objective, update after update, and can stop and go on at any of them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from jaxtyping import Float
from rich.console import Console

from bioacoustics.data.batches import UpdatePlan
from bioacoustics.data.loading import BatchLoader
from bioacoustics.data.mixture import Mixture
from bioacoustics.data.windows import Problem, Windows
from bioacoustics.objectives.objective import Objective
from bioacoustics.training.acceleration import accelerator_of
from bioacoustics.training.interruption import Interruption, Wish
from bioacoustics.training.run import LoopConfig, Run, TrainingConfig, TrainingResult
from bioacoustics.training.validation import Validation

__all__ = ["LoopConfig", "TrainingConfig", "TrainingResult", "train"]


def train(
    objective: Objective,
    windows: Windows,
    folder: Path,
    config: TrainingConfig,
    *,
    write_model: Callable[[Path], None],
    validation: Validation | None = None,
    weights: Float[np.ndarray, " windows"] | None = None,
    mixture: Mixture | None = None,
    settings: Mapping[str, Any] | None = None,
    record: Mapping[str, Any] | None = None,
    problems: Sequence[Problem] = (),
    accelerator: Accelerator | None = None,
    console: Console | None = None,
) -> TrainingResult:
    """Train an objective, or go on with the run that was begun in this folder.

    Started by torchrun or `accelerate launch`, every process calls this and the gradient is that of one
    process with all rows. On the processor, a run that was killed at any moment ends with the same bits as
    one that was not.

    Args:
        objective: What to train; moved to the device.
        windows: What to train on.
        folder: The run folder; all processes must see the same one.
        config: How to train.
        write_model: Writes the objective's present model to a path, at once or not at all.
        validation: Held-out windows; without them, checkpoint_best.pt is the latest model.
        weights: How often to draw each window; None: each once an epoch.
        mixture: Which source each row of an update is of, where the windows are of several.
        settings: What else decides the result (of model, objective, windows): recorded, and it must be the
            same when the run goes on.
        record: What else config.json shall hold.
        problems: What is already known to be wrong with the recordings: listed with what training finds.
        accelerator: From `accelerator_of`; None makes one.
        console: Where to report; None: standard error.

    Raises:
        ValueError: The run cannot go on, diverged or collapsed, or too much of the data cannot be read; the
            message says what to do.
        OSError: The end of the run could not be saved.
        SystemExit: The run was asked to stop (Ctrl-C, SIGTERM) and has saved itself: code 130 or 143.
    """
    accelerator = accelerator or accelerator_of(config.loop.device, config.loop.precision)
    plan = UpdatePlan(
        num_windows=len(windows),
        rows_per_update=config.data.rows_per_update(accelerator.num_processes),
        num_processes=accelerator.num_processes,
        num_micro_batches=config.data.num_micro_batches,
        seed=config.loop.seed,
        weights=weights,
        mixture=mixture,
    )
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(
        objective,
        windows,
        folder,
        config,
        accelerator=accelerator,
        validation=validation,
        console=console or Console(stderr=True),
    )
    run.begin(write_model, settings or {}, record or {}, plan, problems)
    loader = BatchLoader(
        windows, plan, config.data, rank=accelerator.process_index, device=accelerator.device
    )
    objective.train()
    try:
        with Interruption() as interruption, run.progress:
            run.catch_up()
            batches = run.noted(loader.batches(run.num_done, run.num_updates))
            for update in range(run.num_done, run.num_updates):
                wish = Wish.STOP if interruption.signal_number is not None else run.wish()
                decision = run.learner.update(update, batches, wish=wish)
                run.look_after(update + 1, decision)
                if decision is Wish.STOP:
                    run.progress.note(
                        f"Stopped and saved after update {update + 1}; the same command goes on"
                    )
                    raise SystemExit(interruption.exit_code)
    finally:
        loader.close()
        run.learner.finish()
    return run.result()
