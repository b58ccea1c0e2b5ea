"""The stopwatch names what the run waited for most."""

import time

import pytest
import torch
from torch import nn

from bioacoustics.inference.stopwatch import Stopwatch


def test_the_front_end_is_counted_apart_from_the_model() -> None:
    class Slow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            time.sleep(0.05)
            return x

    front_end, stopwatch = Slow(), Stopwatch()
    stopwatch.watch_front_end(front_end)
    for _ in range(2):
        with stopwatch.measuring("model"):
            front_end(torch.zeros(1))
            time.sleep(0.005)
    assert stopwatch.seconds["front end"] >= 0.1
    assert 0.01 <= stopwatch.seconds["model"] < stopwatch.seconds["front end"]
    assert "the bottleneck is front end (a larger --batch_size, or a GPU)" in stopwatch.summary()


def test_time_counts_also_when_the_block_fails() -> None:
    stopwatch = Stopwatch()
    with pytest.raises(OSError, match="full"), stopwatch.measuring("writing"):
        time.sleep(0.01)
        raise OSError("full")
    assert stopwatch.seconds["writing"] >= 0.01
    assert stopwatch.summary().startswith("decoding 0 %, front end 0 %, model 0 %, writing 100 %")
