"""Stopwatch: where the time of a run goes, and so what would have to be faster."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import nn

Stage = Literal["decoding", "front end", "model", "writing"]
REMEDIES: dict[Stage, str] = {
    "decoding": "more --num_threads, or a faster disk",
    "front end": "a larger --batch_size, or a GPU",
    "model": "a smaller model, a longer --stride_s, or a GPU",
    "writing": "a faster disk for --output",
}


class Stopwatch:
    """Adds up the seconds that the run stood still for each stage; "decoding" is waiting for the readers."""

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = dict.fromkeys(get_args(Stage), 0.0)

    @contextmanager
    def measuring(self, stage: Stage) -> Iterator[None]:
        """Count the time that the block takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - started

    def watch_front_end(self, front_end: nn.Module) -> None:
        """Count the front end's time apart from the model's, in which it lies."""
        started: list[float] = []

        def before(module: nn.Module, args: tuple[Any, ...]) -> None:
            _wait_for_gpu()
            started.append(time.perf_counter())

        def after(module: nn.Module, args: tuple[Any, ...], output: object) -> None:
            _wait_for_gpu()
            elapsed_s = time.perf_counter() - started.pop()
            self.seconds["front end"] += elapsed_s
            self.seconds["model"] -= elapsed_s

        front_end.register_forward_pre_hook(before)
        front_end.register_forward_hook(after)

    def summary(self) -> str:
        """Shares of the time and the bottleneck, in a sentence."""
        total_s = max(sum(self.seconds.values()), 1e-9)
        bottleneck = max(self.seconds, key=lambda stage: self.seconds[stage])
        shares = ", ".join(f"{stage} {100 * s / total_s:.0f} %" for stage, s in self.seconds.items())
        return f"{shares}; the bottleneck is {bottleneck} ({REMEDIES[bottleneck]})"


def _wait_for_gpu() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
