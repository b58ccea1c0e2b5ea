"""Hearing: what an encoder or tokenizer hears of a batch, through its own front end."""

from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor

from bioacoustics.data.batches import Batch


class Hearer(Protocol):
    """A model with a front end, such as `AudioEncoder`."""

    def log_mel(
        self,
        waveforms: Float[Tensor, "batch samples"],
        num_samples: Int[Tensor, " batch"] | None = None,
        *,
        target_length: int | None = None,
    ) -> Float[Tensor, "batch frames mels"]:
        """Normalised log-mel spectrograms."""

    def num_frames(
        self, num_samples: Int[Tensor, " batch"] | None, total_samples: int
    ) -> Int[Tensor, " batch"] | None:
        """How many frames of each row are sound; None where it makes no difference."""


def heard(
    model: Hearer, batch: Batch, target_length: int | None
) -> tuple[Float[Tensor, "batch frames mels"], Int[Tensor, " batch"] | None]:
    """The log-mel of a batch, padded or cut to so many frames, and how much of it is sound."""
    log_mel = model.log_mel(batch.waveforms, batch.num_samples, target_length=target_length)
    return log_mel, model.num_frames(batch.num_samples, batch.waveforms.shape[1])
