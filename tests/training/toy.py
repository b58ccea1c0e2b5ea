"""A small objective with everything that makes resuming hard, and a command that trains it.

Dropout, a teacher that follows, random numbers by draw id, and micro-batches that count unequally.
"""

import argparse
import copy
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bioacoustics.audio.draws import Stream, uniforms
from bioacoustics.audio.recordings import UnreadableAudioError
from bioacoustics.data.batches import Batch, DataConfig
from bioacoustics.data.windows import Problem, Window
from bioacoustics.models.writing import write_torch
from bioacoustics.objectives.objective import Losses, Objective
from bioacoustics.training.checkpoint import CheckpointConfig
from bioacoustics.training.loop import LoopConfig, TrainingConfig, train
from bioacoustics.training.optimizer import OptimizerConfig
from bioacoustics.training.validation import Validation

NUM_SAMPLES = 8
NUM_CLASSES = 3


class ToyWindows:
    """Random sounds whose class is which third is loudest; some cannot be read."""

    num_samples = NUM_SAMPLES
    window_s = 0.5

    def __init__(
        self,
        num_windows: int = 37,
        *,
        broken: tuple[int, ...] = (),
        on_read: Callable[[int], None] | None = None,
    ) -> None:
        generator = np.random.default_rng(0)
        self.samples = generator.standard_normal((num_windows, NUM_SAMPLES)).astype(np.float32)
        thirds = np.stack(
            [np.abs(part).sum(axis=1) for part in np.array_split(self.samples, NUM_CLASSES, axis=1)]
        )
        self.targets = (np.median(thirds, axis=1) < thirds.T).astype(np.float32)
        self.broken = broken
        self.on_read = on_read

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, index: int, draw_id: int) -> Window:
        if self.on_read is not None:
            self.on_read(draw_id)
        if index in self.broken:
            raise UnreadableAudioError(Path(f"{index}.wav"), "it is broken")
        problems = (Problem(f"{index}.wav", "it hums"),) if index == 1 else ()
        length = NUM_SAMPLES - index % 3
        return Window(samples=self.samples[index][:length], target=self.targets[index], problems=problems)


class Toy(Objective):
    """A two-layer classifier that also follows a moving average of its first layer."""

    def __init__(self, *, dropout: float = 0.3, seed: int = 5) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Linear(NUM_SAMPLES, 16)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(16, NUM_CLASSES)
        self.teacher = copy.deepcopy(self.first).requires_grad_(False)

    def forward(self, batch: Batch) -> Losses:
        assert batch.targets is not None
        noise = uniforms(7, Stream.NOISE, batch.draw_ids, NUM_SAMPLES) * 0.1
        hidden = self.first(batch.waveforms + noise)
        following = (hidden - self.teacher(batch.waveforms)).square().mean(dim=1)
        logits = self.second(self.dropout(torch.relu(hidden)))
        errors = nn.functional.binary_cross_entropy_with_logits(logits, batch.targets, reduction="none")
        weight = batch.targets.sum() + len(batch)
        total = (errors.sum() + following.sum()) / weight
        return Losses(total=total, weight=weight, terms={"target_std": hidden.detach().std()})

    def predict(self, batch: Batch) -> torch.Tensor:
        return self.second(torch.relu(self.first(batch.waveforms))).sigmoid()

    def after_step(self, num_updates: int) -> None:
        with torch.no_grad():
            for slow, fast in zip(self.teacher.parameters(), self.first.parameters(), strict=True):
                slow.lerp_(fast, 1 / (num_updates + 1))

    def write(self, path: Path) -> None:
        write_torch(self.state_dict(), path)


def training_config(
    num_updates: int = 20,
    *,
    data: DataConfig | None = None,
    save_every: int = 1000,
    log_every: int = 4,
    validate_every: int = 1000,
    seed: int = 1,
    clip_norm: float = 0.5,
    compiles: bool = False,
) -> TrainingConfig:
    return TrainingConfig(
        optimizer=OptimizerConfig(num_updates=num_updates, learning_rate=0.02, clip_norm=clip_norm),
        data=data or DataConfig(batch_size=6, num_threads=2),
        loop=LoopConfig(seed=seed, log_every=log_every, validate_every=validate_every, compiles=compiles),
        checkpoint=CheckpointConfig(save_every=save_every),
    )


def fingerprint(objective: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(objective.state_dict().items()):
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()


def limit_file_size(num_bytes: int | None) -> None:
    """Let the system refuse larger files, as a full disk would."""
    import resource

    unlimited = resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited if num_bytes is None else num_bytes, unlimited))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num_updates", type=int, default=20)
    parser.add_argument("--batch_size", type=int, default=6)
    parser.add_argument("--update_freq", type=int, default=1)
    parser.add_argument("--micro_batch_size", type=int)
    parser.add_argument("--save_every", type=int, default=3)
    parser.add_argument("--pause_s", type=float, default=0.0)
    parser.add_argument("--full_disk_between", type=int, nargs=2, help="updates")
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--compiles", action="store_true")
    arguments = parser.parse_args()
    rows = arguments.batch_size * arguments.update_freq

    def on_read(draw_id: int) -> None:
        time.sleep(arguments.pause_s)
        if arguments.full_disk_between and draw_id % rows == 0:
            begin, end = arguments.full_disk_between
            is_full = begin <= draw_id // rows < end
            limit_file_size(2000 if is_full else None)

    torch.set_num_threads(1)
    objective = Toy(dropout=arguments.dropout)
    result = train(
        objective,
        ToyWindows(on_read=on_read, broken=(3,)),
        arguments.folder,
        training_config(
            arguments.num_updates,
            data=DataConfig(
                batch_size=arguments.batch_size,
                update_freq=arguments.update_freq,
                micro_batch_size=arguments.micro_batch_size,
                num_threads=2,
                look_ahead=1,
            ),
            save_every=arguments.save_every,
            validate_every=5,
            compiles=arguments.compiles,
        ),
        write_model=objective.write,
        validation=Validation(
            windows=ToyWindows(11, broken=(4,)),
            predict=objective.predict,
            score="mean_average_precision",
            is_higher_better=True,
        ),
    )
    print(json.dumps({"fingerprint": fingerprint(objective), "num_updates": result.num_updates}))


if __name__ == "__main__":
    main()
