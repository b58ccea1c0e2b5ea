"""Hears a long recording in a process of its own, and prints how many windows, the faintest, and its memory.

Of its own, because checks of shapes and what other tests left behind have memory of theirs.
"""

import io
import json
import sys
from pathlib import Path

import psutil
import torch
from rich.console import Console

from bioacoustics.inference.windows import WindowBatch
from bioacoustics.workflows.journal import Chunk, Key, Mark
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.traverse import Traversal, TraverseConfig


class Nowhere:
    """A journal that forgets."""

    def marks(self) -> dict[Key, Mark]:
        return {}

    def commit(self, chunk: Chunk) -> None:
        pass

    def finish(self, outcome: Outcome) -> str:
        return ""


def main() -> None:
    resident: list[int] = []
    levels: list[float] = []

    def loudness(batch: WindowBatch) -> torch.Tensor:
        resident.append(psutil.Process().memory_info().rss)
        values = batch.waveforms.square().mean(dim=1, keepdim=True).sqrt()
        levels.extend(values[:, 0].tolist())
        return values

    traversal = Traversal(
        TraverseConfig(data_dir=Path(sys.argv[1]), device="cpu", batch_size=4),
        loudness,
        window_s=10.0,
        sample_rate_hz=16_000,
        min_samples=400,
        precision="float32",
        console=Console(file=io.StringIO()),
    )
    traversal.run(Nowhere())
    print(json.dumps([len(levels), min(levels[:-2]), resident]))


if __name__ == "__main__":
    main()
