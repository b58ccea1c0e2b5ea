"""Windows: what training and evaluation read, one window of one recording at a time."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one recording, in plain words."""

    path: str
    reason: str
    is_unusable: bool = False  # the window could not be read at all


@dataclass(frozen=True, kw_only=True)
class Window:
    """The sound of one window, not padded, and what is known about it."""

    samples: Float[np.ndarray, " samples"]
    target: Float[np.ndarray, " classes"] | None = None
    problems: tuple[Problem, ...] = ()


class Windows(Protocol):
    """Anything that numbers its windows and reads one of them; called from several threads at once."""

    @property
    def num_samples(self) -> int:
        """Samples of a full window."""

    def __len__(self) -> int: ...

    def read(self, index: int, draw_id: int) -> Window:
        """Window `index`; whatever is random about it is a function of `draw_id`.

        Raises:
            UnreadableAudioError: The recording cannot be read there.
        """


def class_balanced_weights(targets: Float[np.ndarray, "clips classes"]) -> Float[np.ndarray, " clips"]:
    """How often to draw each clip so that rare classes are heard as often as common ones.

    A clip weighs the sum over its labels of 1 / (clips with that label), the convention of AST and AudioMAE;
    a clip without labels weighs as much as the lightest one with labels.
    """
    num_clips = targets.sum(axis=0)
    weights = (targets / np.maximum(num_clips, 1.0)).sum(axis=1)
    if not weights.any():
        return np.ones(len(targets))
    weights[weights == 0] = weights[weights > 0].min()
    return weights.astype(np.float64)
