"""Hearing: what an encoder or tokenizer hears of a batch, through its own front end."""

from jaxtyping import Float, Int
from torch import Tensor

from bioacoustics.data.batches import Batch
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.tokenizer import DistilledTokenizer, RandomTokenizer


def heard(
    model: AudioEncoder | RandomTokenizer | DistilledTokenizer, batch: Batch, target_length: int | None
) -> tuple[Float[Tensor, "batch frames mels"], Int[Tensor, " batch"] | None]:
    """The log-mel of a batch, padded or cut to so many frames, and how many frames of each row are sound.

    The count is None where it makes no difference to the model.
    """
    log_mel = model.log_mel(batch.waveforms, batch.num_samples, target_length=target_length)
    return log_mel, model.num_frames(batch.num_samples, batch.waveforms.shape[1])
