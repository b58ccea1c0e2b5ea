import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toy import NUM_SAMPLES, Toy, ToyWindows, fingerprint, training_config

from bioacoustics.data.batches import Batch, DataConfig, UpdatePlan
from bioacoustics.objectives.objective import Losses
from bioacoustics.training.acceleration import accelerator_of
from bioacoustics.training.interruption import Wish
from bioacoustics.training.learner import Learner
from bioacoustics.training.loop import train
from bioacoustics.training.memory import TooLargeBatchError
from bioacoustics.training.optimizer import OptimizerConfig


def batch_of(draw_ids: list[int]) -> Batch:
    windows = ToyWindows()
    read = [windows.read(draw_id % len(windows), draw_id) for draw_id in draw_ids]
    waveforms = torch.zeros(len(read), NUM_SAMPLES)
    for row, window in zip(waveforms, read, strict=True):
        row[: len(window.samples)] = torch.from_numpy(window.samples)
    return Batch(
        waveforms=waveforms,
        num_samples=torch.tensor([len(window.samples) for window in read]),
        draw_ids=torch.tensor(draw_ids),
        targets=torch.stack([torch.from_numpy(window.target) for window in read]),
    )


def learner_of(objective: Toy, *, num_micro_batches: int = 1, clip_norm: float = 0.0) -> Learner:
    plan = UpdatePlan(num_windows=37, rows_per_update=12, num_micro_batches=num_micro_batches)
    config = OptimizerConfig(num_updates=100, warmup_updates=0, learning_rate=0.02, clip_norm=clip_norm)
    return Learner(objective, config, plan, accelerator_of("cpu", "no"), seed=1)


@pytest.mark.parametrize("num_micro_batches", [1, 2, 3, 6])
def test_gradient_is_that_of_the_large_batch(num_micro_batches: int) -> None:
    objective, reference = Toy(dropout=0.0), Toy(dropout=0.0)
    learner = learner_of(objective, num_micro_batches=num_micro_batches)
    captured: list[torch.Tensor] = []
    original = learner.updater.step

    def step(update: int, weight: torch.Tensor) -> torch.Tensor:
        captured.extend(p.grad / weight for p in objective.parameters() if p.grad is not None)
        return original(update, weight)

    learner.updater.step = step  # type: ignore[method-assign]
    parts = learner._plan.micro_batches(0, 0)
    learner.update(0, iter([batch_of(part) for part in parts]), wish=Wish.GO_ON)
    reference(batch_of(list(range(12)))).total.backward()
    expected = [p.grad for p in reference.parameters() if p.grad is not None]
    torch.testing.assert_close(captured, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "data",
    [
        DataConfig(batch_size=4, update_freq=3),
        DataConfig(batch_size=12, micro_batch_size=2),
        DataConfig(batch_size=3, update_freq=4),
    ],
)
def test_accumulation_equals_the_larger_batch(tmp_path: Path, data: DataConfig) -> None:
    ends = []
    for folder, split in (("split", data), ("whole", DataConfig(batch_size=12))):
        objective = Toy(dropout=0.0)
        train(
            objective,
            ToyWindows(),
            tmp_path / folder,
            training_config(data=split),
            write_model=objective.write,
        )
        ends.append(objective.state_dict())
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    script = str(Path(__file__).with_name("toy.py"))
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    # Dropout is on: the same micro-batches draw the same masks, whichever process has them.
    spread = (
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        script,
        str(tmp_path / "two"),
    )
    gathered = (script, str(tmp_path / "one"), "--update_freq", "2")
    for command in (spread, gathered):
        subprocess.run([sys.executable, *command], env=environment, check=True, timeout=120)
    states = [
        torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True) for name in ("two", "one")
    ]
    torch.testing.assert_close(states[0], states[1], rtol=1e-4, atol=1e-5)
    rows = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("two", "one")
    ]
    timing = {"elapsed_s", "seconds_per_update", "clips_per_s", "audio_hours_per_hour"}
    timing |= {"valid_target_std"}  # a spread is no sum over rows: it depends on what shares a batch
    for two, one in zip(*rows, strict=True):
        expected = {name: pytest.approx(value, rel=1e-3) for name, value in one.items() if name not in timing}
        assert {name: value for name, value in two.items() if name not in timing} == expected
    for name in ("problems.csv", "checkpoint_best.pt"):
        assert (tmp_path / "two" / name).exists()
    assert (tmp_path / "two" / "problems.csv").read_text() == (tmp_path / "one" / "problems.csv").read_text()
    # The same run goes on with another number of processes: one with twice the batches has the same updates.
    for name in ("two", "one"):
        state = torch.load(tmp_path / name / "run_state.pt", weights_only=True)
        assert state["settings"]["data.rows_per_update"] == 12


def test_dropout_follows_the_draws_and_not_the_history(tmp_path: Path) -> None:
    objectives = [Toy(), Toy()]
    for index, objective in enumerate(objectives):
        learner = learner_of(objective)
        torch.manual_seed(index)
        torch.rand(index)
        learner.update(0, iter([batch_of(list(range(12)))]), wish=Wish.GO_ON)
    assert fingerprint(objectives[0]) == fingerprint(objectives[1])


class NeverReading(TorchDispatchMode):
    """Refuses what would make the host wait for the content of a tensor."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        assert func.overloadpacket not in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero), func
        return func(*args, **(kwargs or {}))


def test_an_update_never_waits_for_the_device() -> None:
    learner = learner_of(Toy(), num_micro_batches=2, clip_norm=1.0)
    batches = [[batch_of(part) for part in learner._plan.micro_batches(update, 0)] for update in range(3)]
    with NeverReading():
        for update in range(3):
            learner.update(update, iter(batches[update]), wish=Wish.GO_ON)
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NeverReading():
        learner.updater.num_skipped.item()  # the test would have noticed


class SmallDevice(Toy):
    """Has no room for more than four windows at a time."""

    def forward(self, batch: Batch) -> Losses:
        if len(batch) > self.num_fitting:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().forward(batch)

    num_fitting = 4


@pytest.mark.parametrize(("num_fitting", "said"), [(4, "--micro_batch_size 3"), (0, "not even one")])
def test_too_large_batch_says_what_fits(num_fitting: int, said: str) -> None:
    objective = SmallDevice()
    objective.num_fitting = num_fitting
    learner = learner_of(objective)
    with pytest.raises(TooLargeBatchError, match=f"12 windows at a time do not fit.*{said}"):
        learner.update(0, iter([batch_of(list(range(12)))]), wish=Wish.GO_ON)
    assert all(parameter.grad is None for parameter in objective.parameters())


def test_finish_gives_the_plain_objective_back() -> None:
    objective = Toy()
    forward = objective.forward
    learner = learner_of(objective)
    learner.finish()
    assert objective.forward == forward
