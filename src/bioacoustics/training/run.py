"""Run: everything around the updates of one training: its logs, validations, saves and its way back."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from pydantic import BaseModel, Field
from rich.console import Console

from bioacoustics.data.batches import Batch, DataConfig, UpdatePlan
from bioacoustics.data.windows import Problem, Windows
from bioacoustics.objectives.objective import Objective
from bioacoustics.training.acceleration import Device, Precision, why_not_compiled
from bioacoustics.training.checkpoint import CheckpointConfig, Checkpoints
from bioacoustics.training.health import HealthConfig, check_health
from bioacoustics.training.interruption import Wish
from bioacoustics.training.learner import Learner
from bioacoustics.training.metrics import MetricsFile, Row
from bioacoustics.training.optimizer import OptimizerConfig, learning_rate
from bioacoustics.training.progress import Pace, Progress
from bioacoustics.training.run_folder import ProblemList, add_start, write_json
from bioacoustics.training.validation import Best, Validation, evaluate

_BEST = "checkpoint_best.pt"


class LoopConfig(BaseModel, frozen=True, extra="forbid"):
    """How a run is carried out."""

    seed: int = Field(1, ge=0)
    device: Device = "auto"
    precision: Precision = "auto"  # bf16 where the GPU has it, else fp16; float32 on the processor
    compiles: bool = False  # torch.compile: slow to begin, then faster
    log_every: int = Field(50, ge=1)
    validate_every: int = Field(1000, ge=1)
    tensorboard: bool = False
    health: HealthConfig = HealthConfig()


class TrainingConfig(BaseModel, frozen=True, extra="forbid"):
    """Everything the loop needs to know."""

    optimizer: OptimizerConfig = OptimizerConfig()
    data: DataConfig = DataConfig()
    loop: LoopConfig = LoopConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """How a run ended; its models, metrics.jsonl and problems.csv are in the run folder."""

    num_updates: int
    best: Best | None
    elapsed_s: float
    unusable: Mapping[str, str]  # files that were left out, wholly or in part, and why


class Run:
    """One process of a run: what surrounds the updates."""

    def __init__(
        self,
        objective: Objective,
        windows: Windows,
        folder: Path,
        config: TrainingConfig,
        *,
        accelerator: Accelerator,
        validation: Validation | None,
        console: Console,
    ) -> None:
        self.objective, self.windows, self.folder = objective, windows, folder
        self.config, self.accelerator, self.validation = config, accelerator, validation
        self.num_updates = config.optimizer.num_updates
        self.is_main = accelerator.is_main_process
        self.progress = Progress(
            console,
            num_updates=self.num_updates,
            is_shown=self.is_main,
            tensorboard_folder=folder / "tensorboard" if config.loop.tensorboard else None,
        )
        self.metrics = MetricsFile(folder / "metrics.jsonl")
        self.problems = ProblemList()
        self._all_problems = self.problems  # of all processes, as of the last save
        self.best: Best | None = None
        self.num_done, self.num_validated = 0, 0  # updates
        self.saved_at = time.monotonic()
        self.pace = Pace(config.data.rows_per_update(accelerator.num_processes), windows.window_s)

    def begin(
        self,
        write_model: Callable[[Path], None],
        settings: Mapping[str, Any],
        record: Mapping[str, Any],
        plan: UpdatePlan,
        problems: Sequence[Problem] = (),
    ) -> None:
        """Load what an earlier process saved, and make the objective ready to learn."""
        config = self.config
        decisive = self._decisive(plan, settings)
        self.checkpoints = Checkpoints(
            self.folder,
            config.checkpoint,
            settings=decisive,
            write_model=write_model,
            warn=self.progress.warn,
        )
        state = self.checkpoints.load()
        self.objective.to(self.accelerator.device)
        if state is not None:
            self.objective.load_state_dict(state["learner"]["objective"])
        if config.loop.compiles:
            if reason := why_not_compiled(self.accelerator.device.type):
                raise ValueError(reason)
            self.objective.compile()
        self.learner = Learner(
            self.objective, config.optimizer, plan, self.accelerator, seed=config.loop.seed
        )
        if state is not None:
            self._restore(state)
        if len(set(gather_object([self.num_done]))) > 1:
            raise ValueError(
                f"The processes see different states of the run in {self.folder}: all machines must share "
                "this folder"
            )
        if self.is_main:
            self.problems.add(tuple(p for p in problems if p not in self.problems.counts))
            self._describe({**record, "training": config.model_dump(), "decisive": decisive})

    def noted(self, batches: Iterable[tuple[int, int, Batch]]) -> Iterator[Batch]:
        """The batches, their problems put on the list."""
        for _, _, batch in batches:
            self.problems.add(batch.problems)
            yield batch

    def wish(self) -> Wish:
        """Save by the clock, too: where an update takes minutes, many of them are too much to lose."""
        if not self.is_main or time.monotonic() - self.saved_at < 60 * self.config.checkpoint.save_minutes:
            return Wish.GO_ON
        self.saved_at = time.monotonic()  # wished for, and acted on a little later
        return Wish.SAVE

    def look_after(self, num_done: int, decision: Wish) -> None:
        """Log, validate and save where it is time to."""
        is_stopped = decision is Wish.STOP
        self.num_done = num_done
        self.progress.advance(num_done)
        is_end = num_done == self.num_updates
        if num_done % self.config.loop.log_every == 0 or is_end:
            self._log()
        if not is_stopped:
            self._validate_if_due()
        if self.checkpoints.is_due(num_done) or decision is not Wish.GO_ON or is_end:
            is_saved = self._save()
            if is_end or is_stopped:  # whoever exits first would be taken for a failure and end the others
                self._draw()
                self.accelerator.wait_for_everyone()
            if is_end and self.is_main and not is_saved:
                raise OSError(
                    f"The run is complete, but its end could not be written to {self.folder}. Make room on "
                    "that disk and repeat the command: it goes on from the last save"
                )

    def catch_up(self) -> None:
        """Validate where the run was stopped, if it was due: whoever stops a run does not want to wait."""
        if self._validate_if_due():
            self._save()

    def result(self) -> TrainingResult:
        """How the run ended."""
        return TrainingResult(
            num_updates=self.num_done,
            best=self.best,
            elapsed_s=self.pace.elapsed_s,
            unusable=self._all_problems.unusable_files(),
        )

    def _decisive(self, plan: UpdatePlan, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What must be the same when the run goes on, in plain JSON."""
        own = {
            "optimizer": self.config.optimizer.model_dump(),
            "loop": {"seed": self.config.loop.seed, "precision": self.accelerator.mixed_precision},
            "data": {
                "num_windows": plan.num_windows,
                "rows_per_update": plan.rows_per_update,
                "is_weighted": plan.is_weighted,
            },
        }
        plain: dict[str, Any] = json.loads(json.dumps({**own, **settings}, default=str))
        return plain

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.learner.load_state_dict(state["learner"])
        self.num_done, self.num_validated = state["num_done"], state["num_validated"]
        self.pace.resume(self.num_done, state["elapsed_s"])
        self.best = None if state["best"] is None else Best(**state["best"])
        if self.is_main:  # the lists of all processes were saved together
            self.problems.merge(state["problems"])
        self.progress.note(f"Going on after update {self.num_done} of {self.num_updates} in {self.folder}")

    def _describe(self, settings: Mapping[str, Any]) -> None:
        self.checkpoints.remove_leftovers()
        self._write("config.json", lambda path: write_json(settings, path))
        facts = {
            "after_update": self.num_done,
            "num_processes": self.accelerator.num_processes,
            "device": str(self.accelerator.device),
            "seed": self.config.loop.seed,
        }
        self._write("environment.json", lambda path: add_start(path, facts))
        self._write("metrics.jsonl", lambda _: self.metrics.keep_until(self.num_done))

    def _log(self) -> None:
        row: Row = {"update": self.num_done, **self.learner.report()}
        row["learning_rate"] = learning_rate(self.config.optimizer, self.num_done - 1)
        row["epoch"] = self.num_done * self.pace.rows_per_update / len(self.windows)
        row |= self.pace.measure(self.num_done)
        self._tell(row)
        check_health(self.config.loop.health, row, self.num_updates)

    def _validate_if_due(self) -> bool:
        num_done, validation = self.num_done, self.validation
        is_due = num_done % self.config.loop.validate_every == 0 or num_done == self.num_updates
        if validation is None or num_done == self.num_validated or not is_due:
            return False
        evaluation = evaluate(self.objective, validation, self.config.data, self.accelerator)
        self.problems.add(tuple(p for p in evaluation.problems if p not in self.problems.counts))
        self._tell({"update": num_done, **{f"valid_{k}": v for k, v in evaluation.scores.items()}})
        score = evaluation.scores[validation.score]
        # A best model that could not be written is none: the next one that can be takes its place.
        if validation.is_better(score, self.best) and (
            not self.is_main or self.checkpoints.save_model(_BEST)
        ):
            self.best = Best(score=score, update=num_done)
        self.num_validated = num_done
        self.pace.skip(num_done)
        return True

    def _save(self) -> bool:
        self.saved_at = time.monotonic()
        learner = self.learner.state_dict()
        problems = self._all_problems = ProblemList()
        for state in gather_object([self.problems.state()]):
            problems.merge(state)
        if not self.is_main:
            return True
        if self.best is None:  # nothing to choose by
            self.checkpoints.save_model(_BEST)
        self._write("problems.csv", problems.write)
        return self.checkpoints.save(
            self.num_done,
            {
                "num_done": self.num_done,
                "num_validated": self.num_validated,
                "learner": learner,
                "best": None if self.best is None else asdict(self.best),
                "elapsed_s": self.pace.elapsed_s,
                "problems": problems.state(),
            },
        )

    def _draw(self) -> None:
        # Late, because plotting takes a second to load and is needed once.
        from bioacoustics.formats.pictures import loss_curves, write_picture

        self._write("losses.png", lambda path: write_picture(loss_curves(self.metrics.rows()), path))

    def _tell(self, row: Row) -> None:
        self.progress.report(row)
        self._write("metrics.jsonl", lambda _: self.metrics.append(row))

    def _write(self, name: str, write: Callable[[Path], None]) -> None:
        if not self.is_main:
            return
        self.checkpoints.attempt(name, self.folder / name, write)
