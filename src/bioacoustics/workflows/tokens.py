"""Tokens: the tokenizer that an encoder learns from, a random one made for the recordings or a saved one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bioacoustics.audio.recordings import Recording
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.random_projection import RandomProjectionConfig
from bioacoustics.models.saved_tokenizers import load_tokenizer
from bioacoustics.models.tokenizer import AudioTokenizer, RandomTokenizer
from bioacoustics.workflows.normalisation import band_statistics


def random_tokenizer(
    encoder: AudioEncoder,
    recordings: Sequence[Recording],
    *,
    num_codes: int,
    seed: int,
    channel: int | Literal["mix"],
) -> RandomTokenizer:
    """Tokens of a random projection, which sees patches as the encoder does."""
    front_end, shape = encoder.front_end.config, encoder.config
    mean, std = band_statistics(front_end, recordings, seed=seed, channel=channel)
    projection = RandomProjectionConfig(
        num_codes=num_codes,
        patch_size=shape.patch_size,
        num_mels=shape.num_mels,
        band_mean=mean,
        band_std=std,
    )
    return RandomTokenizer(front_end, projection)


def loaded_tokenizer(path: Path, encoder: AudioEncoder) -> AudioTokenizer:
    """A saved tokenizer, if its patches are those of the encoder."""
    tokenizer = load_tokenizer(path)
    heard = tokenizer.front_end.config
    theirs = (tokenizer.patch_size, heard.sample_rate_hz, heard.frame_shift)
    ours = (encoder.config.patch_size, encoder.sample_rate_hz, encoder.front_end.config.frame_shift)
    if theirs != ours:
        raise ValueError(
            f"{path}: its patches are not those of the encoder: patch size, sample rate and frame shift are "
            f"{theirs}, expected {ours}. Give a tokenizer that was made for the same front end"
        )
    return tokenizer
