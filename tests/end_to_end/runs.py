"""Real commands in processes of their own, killed and not, and what they left compared."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bioacoustics.models.saved import read_bundle
from bioacoustics.training.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[2]
FORKS = Path(__file__).with_name("forks.py")
TIMING = {"elapsed_s", "seconds_per_update", "clips_per_s", "audio_hours_per_hour"}
TWO = ["torchrun", "--standalone", "--nproc_per_node", "2"]


def environment() -> dict[str, str]:
    folder = str(Path(sys.executable).parent)
    own = {"VIRTUAL_ENV": sys.prefix, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "COLUMNS": "200"}


def forked(*jobs: tuple[list[str], list[str]]) -> list[dict[str, Any]]:
    """What commands have said, and how they ended; see forks.py."""
    orders = json.dumps([{"words": words, "kill_after": marks} for words, marks in jobs])
    command = [sys.executable, str(FORKS)]
    done = subprocess.run(
        command, input=orders, capture_output=True, text=True, env=environment(), check=True, timeout=300
    )
    ends: list[dict[str, Any]] = json.loads(done.stdout)
    for (_, marks), end in zip(jobs, ends, strict=True):
        assert end["code"] == (-9 if marks else 0), end["said"]
    return ends


def by_two(*words: str) -> None:
    done = subprocess.run(
        [*TWO, *words], cwd=ROOT, capture_output=True, text=True, env=environment(), check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr


def rows_of(folder: Path, *ignored: str) -> list[dict[str, float]]:
    left_out = TIMING | set(ignored)
    return [{k: v for k, v in row.items() if k not in left_out} for row in read_metrics(folder)]


def assert_alike(one: Path, two: Path, *ignored: str) -> None:
    pairs = zip(rows_of(one, *ignored), rows_of(two, *ignored), strict=True)
    for ours, theirs in pairs:
        assert theirs == pytest.approx(ours, rel=2e-3, abs=2e-4, nan_ok=True)


def deviation(one: Path, two: Path, start: Path) -> float:
    """How far apart two runs ended, as a share of the way that the encoder went."""
    before = {name: w for name, w in read_bundle(start).weights.items() if name.startswith("encoder.")}
    ends = [read_bundle(folder / "checkpoint_last.pt").weights for folder in (one, two)]
    # A bias of keys changes nothing after the softmax: its gradient is rounding, of which Adam makes steps.
    names = [
        name
        for name, w in before.items()
        if w.is_floating_point() and not name.endswith(("k_proj.bias", "qkv.bias"))
    ]
    apart = sum((ends[0][name] - ends[1][name]).square().sum() for name in names)
    way = sum((ends[0][name] - before[name]).square().sum() for name in names)
    return float(torch.as_tensor(apart / way).sqrt())
