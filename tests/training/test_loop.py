import io
import json
import math
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from toy import Toy, ToyWindows, fingerprint, training_config

from bioacoustics.data.batches import Batch, DataConfig
from bioacoustics.objectives.objective import Losses
from bioacoustics.training.acceleration import why_not_compiled
from bioacoustics.training.health import CollapseError, DivergedError, HealthConfig
from bioacoustics.training.loop import LoopConfig, TrainingConfig, TrainingResult, train
from bioacoustics.training.metrics import read_metrics
from bioacoustics.training.optimizer import OptimizerConfig
from bioacoustics.training.validation import Best, Validation


def train_toy(
    folder: Path,
    objective: Toy | None = None,
    config: TrainingConfig | None = None,
    *,
    windows: ToyWindows | None = None,
    validation: Validation | None = None,
    settings: dict[str, object] | None = None,
    weights: np.ndarray | None = None,
) -> tuple[Toy, TrainingResult, str]:
    objective = objective or Toy()
    console = Console(file=io.StringIO(), width=200)
    result = train(
        objective,
        windows or ToyWindows(),
        folder,
        config or training_config(),
        write_model=objective.write,
        validation=validation,
        settings=settings,
        weights=weights,
        record={"workflow": "toy"},
        console=console,
    )
    assert isinstance(console.file, io.StringIO)
    return objective, result, console.file.getvalue()


def test_run_learns_and_leaves_a_whole_folder(tmp_path: Path) -> None:
    objective, result, said = train_toy(tmp_path, config=training_config(200, log_every=20))
    rows = read_metrics(tmp_path)
    assert [row["update"] for row in rows] == list(range(20, 201, 20))
    assert rows[-1]["loss"] < 0.9 * rows[0]["loss"]
    assert rows[-1]["epoch"] == pytest.approx(200 * 6 / 37)
    assert all(row["audio_hours_per_hour"] == pytest.approx(row["clips_per_s"] / 2) for row in rows)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "checkpoint_best.pt",
        "checkpoint_last.pt",
        "run_state.pt",
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "problems.csv",
        "losses.png",
    }
    saved = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)
    torch.testing.assert_close(saved, objective.state_dict(), rtol=0, atol=0)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["workflow"] == "toy"
    assert TrainingConfig.model_validate(config["training"]) == training_config(200, log_every=20)
    assert config["decisive"]["data"] == {"num_windows": 37, "rows_per_update": 6, "is_weighted": False}
    assert (result.num_updates, result.best, len(result.unusable)) == (200, None, 0)
    assert result.elapsed_s == pytest.approx(rows[-1]["elapsed_s"])
    assert "update 200/200  loss" in said


def test_same_seed_same_bits(tmp_path: Path) -> None:
    ends = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(hash(name))
        objective, _, _ = train_toy(tmp_path / name, config=training_config(seed=seed))
        ends.append(fingerprint(objective))
    assert ends[0] == ends[1] != ends[2]


def test_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    ends = []
    for num_threads, look_ahead in ((1, 1), (3, 5)):
        data = DataConfig(batch_size=6, num_threads=num_threads, look_ahead=look_ahead)
        objective, _, _ = train_toy(
            tmp_path / str(num_threads), config=training_config(data=data), windows=ToyWindows(broken=(5, 9))
        )
        ends.append(fingerprint(objective))
    assert ends[0] == ends[1]


def test_complete_run_is_left_alone(tmp_path: Path) -> None:
    train_toy(tmp_path)
    before = (tmp_path / "checkpoint_last.pt").read_bytes()
    objective, result, said = train_toy(tmp_path)
    assert (tmp_path / "checkpoint_last.pt").read_bytes() == before
    assert result.num_updates == 20
    assert fingerprint(objective) == fingerprint(train_toy(tmp_path / "other")[0])
    assert "Going on after update 20 of 20" in said


def test_other_settings_are_refused(tmp_path: Path) -> None:
    train_toy(tmp_path, settings={"objective": {"dropout": 0.3}})
    train_toy(tmp_path, settings={"objective": {"dropout": 0.3}})
    with pytest.raises(ValueError, match=r"objective.dropout was 0.3, now 0.1"):
        train_toy(tmp_path, settings={"objective": {"dropout": 0.1}})
    for change, said in (
        (training_config(30), r"optimizer.num_updates was 20, now 30 \(the learning-rate schedule"),
        (training_config(seed=2), "loop.seed was 1, now 2"),
        (training_config(data=DataConfig(batch_size=7)), "data.rows_per_update was 6, now 7"),
    ):
        with pytest.raises(ValueError, match=said):
            train_toy(tmp_path, config=change, settings={"objective": {"dropout": 0.3}})
    with pytest.raises(ValueError, match=r"num_windows was 37, now 36 \(the order"):
        train_toy(tmp_path, windows=ToyWindows(36), settings={"objective": {"dropout": 0.3}})
    with pytest.raises(ValueError, match="is_weighted was False, now True"):
        train_toy(tmp_path, weights=np.ones(37), settings={"objective": {"dropout": 0.3}})


def test_how_the_work_is_split_may_change(tmp_path: Path) -> None:
    train_toy(tmp_path, config=training_config(data=DataConfig(batch_size=6, micro_batch_size=2)))
    train_toy(tmp_path, config=training_config(data=DataConfig(batch_size=3, update_freq=2)))


def test_best_model_is_the_one_with_the_best_validation(tmp_path: Path) -> None:
    written: list[int] = []

    class Judged(Toy):
        """Its held-out loss is smallest after 10 updates and not finite after 15."""

        num_done = 0

        def forward(self, batch: Batch) -> Losses:
            losses = super().forward(batch)
            if self.training:
                return losses
            score = math.nan if self.num_done == 15 else abs(self.num_done - 10)
            return Losses(total=losses.total * 0 + score, weight=losses.weight, terms={})

        def after_step(self, num_updates: int) -> None:
            super().after_step(num_updates)
            self.num_done = num_updates

        def write(self, path: Path) -> None:
            super().write(path)
            if path.name == "checkpoint_best.pt":
                written.append(self.num_done)

    config = training_config(validate_every=5, log_every=20)
    _, result, _ = train_toy(tmp_path, Judged(), config, validation=Validation(windows=ToyWindows(7)))
    assert result.best == Best(score=0.0, update=10)
    assert written == [5, 10]
    scores = [(row["update"], row["valid_loss"]) for row in read_metrics(tmp_path) if "valid_loss" in row]
    assert scores[:2] == [(5, 5.0), (10, 0.0)]
    assert math.isnan(scores[2][1])


def test_windows_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    _, result, _ = train_toy(tmp_path, windows=ToyWindows(broken=(3, 30)))
    assert len(result.unusable) == 2
    lines = (tmp_path / "problems.csv").read_text().splitlines()
    assert lines[0] == "path,problem,was_left_out,times"
    assert [line.rpartition(",")[0] for line in lines[1:]] == [
        "1.wav,it hums,no",
        "3.wav,it is broken,yes",
        "30.wav,it is broken,yes",
    ]


def test_collapse_stops_the_run_with_remedies(tmp_path: Path) -> None:
    class Collapsing(Toy):
        def forward(self, batch: Batch) -> Losses:
            losses = super().forward(batch)
            return Losses(total=losses.total, weight=losses.weight, terms={"target_std": torch.tensor(0.05)})

    config = training_config(log_every=2)
    with pytest.raises(CollapseError, match=r"targets have collapsed: at update 12 .*learning_rate"):
        train_toy(tmp_path, Collapsing(), config)
    assert not (tmp_path / "run_state.pt").exists()


def test_endless_overflow_stops_the_run(tmp_path: Path) -> None:
    class Poisoned(Toy):
        def forward(self, batch: Batch) -> Losses:
            losses = super().forward(batch)
            return Losses(total=losses.total * math.inf, weight=losses.weight, terms=losses.terms)

    config = training_config().model_copy(
        update={"loop": LoopConfig(log_every=1, health=HealthConfig(max_skipped_in_a_row=6))}
    )
    objective = Poisoned()
    before = [parameter.detach().clone() for parameter in objective.first.parameters()]
    with pytest.raises(DivergedError, match="last 6 updates until update 6 were not finite"):
        train_toy(tmp_path, objective, config)
    assert all(torch.equal(a, b) for a, b in zip(before, objective.first.parameters(), strict=True))
    assert [row["num_skipped"] for row in read_metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_without_the_main_thread_a_run_works_too(tmp_path: Path) -> None:
    results: list[TrainingResult] = []
    thread = threading.Thread(target=lambda: results.append(train_toy(tmp_path)[1]))
    thread.start()
    thread.join(60)
    assert results[0].num_updates == 20


def test_bf16_and_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    config = TrainingConfig(
        optimizer=OptimizerConfig(num_updates=4, learning_rate=0.01),
        data=DataConfig(batch_size=4),
        loop=LoopConfig(precision="bf16", tensorboard=True, log_every=2),
    )
    objective, _, _ = train_toy(tmp_path, config=config)
    assert objective.first.weight.dtype == torch.float32
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 1
    assert json.loads((tmp_path / "config.json").read_text())["decisive"]["loop"]["precision"] == "bf16"
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        train_toy(tmp_path, config=TrainingConfig(loop=LoopConfig(precision="fp16", device="cpu")))


@pytest.mark.slow
def test_compiled_run_gives_the_same_numbers(tmp_path: Path) -> None:
    if reason := why_not_compiled("cpu"):
        pytest.skip(reason)
    script = str(Path(__file__).with_name("toy.py"))
    ends = []
    for name, flags in (("eager", []), ("compiled", ["--compiles"])):
        arguments = [str(tmp_path / name), "--num_updates", "6", "--dropout", "0", *flags]
        subprocess.run([sys.executable, script, *arguments], check=True, timeout=300)
        ends.append(torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-5)
