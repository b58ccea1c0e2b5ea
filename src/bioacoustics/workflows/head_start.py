"""Head start: a new head begins as the linear probe of the clips that it will be trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from jaxtyping import Float
from rich.console import Console

from bioacoustics.data.batches import EVALUATION_DRAWS, Batch, DataConfig
from bioacoustics.data.loading import EvaluationLoader
from bioacoustics.data.windows import Windows
from bioacoustics.objectives.classification import Classification
from bioacoustics.training.linear import fitted_layer

SMOOTHING = (
    0.1  # of targets: a few clips that are easily told apart would else make a head that is sure of all
)
NUM_VIEWS = 2  # of each clip: a head that knows clips only as they are is lost once they are changed
SMALLEST_STD = 0.05  # what differs less is not blown up to 1: the encoder would be pulled as much harder
MOST_CLIPS = 2000  # more say little more of a linear layer, and the features of all have to fit in memory


def start_head(
    objective: Classification,
    windows: Windows,
    groups: Sequence[str],
    data: DataConfig,
    accelerator: Accelerator,
    console: Console,
) -> None:
    """Fit the head to what the encoder, as it is, says of the training clips, as they are and changed.

    A random head sends its errors through the encoder before it knows anything, and spoils what was learnt
    there (Kumar et al. 2022, "Fine-tuning can distort pretrained features"). All processes must call it, and
    all have the same head afterwards.

    Args:
        objective: The encoder and its new head, and how clips are changed in training.
        windows: Each training clip once, with its labels; at most `MOST_CLIPS`.
        groups: The recording of each clip.
        data: How windows are read.
        accelerator: Device and processes.
        console: Where it is told.
    """
    rows = _heard(objective, windows, data, accelerator)
    if len({row.clip for row in rows}) < 2:
        return  # nothing to fit to: training tells which clips cannot be read
    classifier = objective.classifier
    pooled = torch.from_numpy(np.stack([row.pooled for row in rows]))
    targets = np.stack([row.targets for row in rows])
    targets = targets * (1 - SMOOTHING) + SMOOTHING / max(2, targets.shape[1])
    numbers = np.unique([groups[row.clip] for row in rows], return_inverse=True)[1]
    console.print(f"the head begins as the linear probe of {len(rows) // NUM_VIEWS} clips", highlight=False)
    head = classifier.head.cpu()
    head.standardise(pooled, smallest_std=SMALLEST_STD)
    with torch.no_grad():
        layer = fitted_layer(
            head.represent(pooled).numpy(), targets, numbers, multi_label=classifier.multi_label
        )
        head.head.weight.copy_(torch.from_numpy(layer.weights.T))
        head.head.bias.copy_(torch.from_numpy(layer.bias))


@dataclass(frozen=True, slots=True)
class _Row:
    """One hearing of one clip."""

    clip: int
    pooled: Float[np.ndarray, " dim"]
    targets: Float[np.ndarray, " classes"]


def _heard(
    objective: Classification, windows: Windows, data: DataConfig, accelerator: Accelerator
) -> list[_Row]:
    """Every clip that can be read, as it is and once changed as in training, in order."""
    objective.to(accelerator.device)
    loader = EvaluationLoader(
        windows,
        # One at a time: the head must not depend on the number of processes or the size of a batch.
        data.model_copy(update={"batch_size": 1, "micro_batch_size": None}),
        rank=accelerator.process_index,
        num_processes=accelerator.num_processes,
        device=accelerator.device,
    )
    found: list[tuple[int, int, _Row]] = []
    try:
        for batch in loader:
            for view in range(NUM_VIEWS):
                pooled, targets = _pooled(objective, batch, is_changed=view > 0, accelerator=accelerator)
                clips = (batch.draw_ids - EVALUATION_DRAWS).tolist()
                rows = map(_Row, clips, pooled, targets)
                found += [(row.clip, view, row) for row in rows]
    finally:
        loader.close()
    return [row for _, _, row in sorted(gather_object(found), key=lambda entry: entry[:2])]


@torch.no_grad()
def _pooled(
    objective: Classification, batch: Batch, *, is_changed: bool, accelerator: Accelerator
) -> tuple[Float[np.ndarray, "clips dim"], Float[np.ndarray, "clips classes"]]:
    assert batch.targets is not None
    classifier = objective.classifier
    objective.train(is_changed)  # which decides how clips are heard
    log_mel, targets = objective.inputs(batch, batch.targets)
    objective.eval()
    with accelerator.autocast():
        num_frames = classifier.num_frames(batch.num_samples, batch.waveforms.shape[1])
        pooled = classifier.head.pool(classifier.encoder.features(log_mel, num_frames))
    return pooled.float().cpu().numpy(), targets.cpu().numpy()
