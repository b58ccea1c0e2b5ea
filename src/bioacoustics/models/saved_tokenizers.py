"""Saved tokenizers: any checkpoint that holds one to a tokenizer, and BEATs' pre-training to bundles."""

import os
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.bundle import Bundle, Header, seal
from bioacoustics.models.codebook import Codebook
from bioacoustics.models.predictors import LabelPredictor
from bioacoustics.models.random_projection import RandomProjection
from bioacoustics.models.saved import build_encoder, build_part, read_bundle, weights_of
from bioacoustics.models.tokenizer import AudioTokenizer, DistilledTokenizer, RandomTokenizer

Part = TypeVar("Part", bound=nn.Module)


def load_tokenizer(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> AudioTokenizer:
    """Load a tokenizer, in float32 and eval mode.

    `tokenizer.tokenize(tokenizer.log_mel(waveforms))` gives the ids of all patches, (batch, patches).

    Args:
        path: a published tokenizer of BEATs, our own of any iteration, or a pre-training of BEATs that learnt
            from a random projection, which is then the tokenizer.
        device: where the tokenizer is to run.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no tokenizer, is damaged or does not fit together; the message says what.
    """
    bundle = read_bundle(path)
    tokenizer = build_tokenizer(bundle)
    if tokenizer is None:
        raise ValueError(
            f"{Path(path)}: this {bundle.header.architecture} model holds no tokenizer (it is saved as "
            f"{bundle.header.kind!r}): give a tokenizer of BEATs, such as iteration_2/tokenizer/"
            "checkpoint_best.pt of a pre-training"
        )
    return tokenizer.to(device)


def build_tokenizer(bundle: Bundle) -> AudioTokenizer | None:
    """The tokenizer of a bundle, if it has one, on the CPU, in float32 and eval mode."""
    header = bundle.header
    if header.codebook is not None:
        learnt = DistilledTokenizer(build_encoder(bundle), header.codebook)
        learnt.projection = _of_type(build_part(bundle, "projection"), nn.Sequential)
        learnt.codebook = _of_type(build_part(bundle, "codebook"), Codebook)
        return learnt.eval()
    if header.random_projection is not None:
        at_random = RandomTokenizer(header.log_mel, header.random_projection)
        at_random.random_projection = _of_type(build_part(bundle, "random_projection"), RandomProjection)
        return at_random.eval()
    return None


def build_predictor(bundle: Bundle) -> LabelPredictor | None:
    """The label predictor of a pre-training, if the bundle has one; otherwise like `build_tokenizer`."""
    if bundle.header.predictor is None:
        return None
    return _of_type(build_part(bundle, "predictor"), LabelPredictor)


def bundle_of_tokenizer(tokenizer: DistilledTokenizer) -> Bundle:
    """A bundle of a learnt tokenizer, a copy of its present weights."""
    encoder = tokenizer.encoder
    header = Header(
        kind="tokenizer",
        encoder=encoder.config,
        log_mel=encoder.front_end.config,
        codebook=tokenizer.codebook.config,
    )
    parts = {"encoder": encoder.encoder, "projection": tokenizer.projection, "codebook": tokenizer.codebook}
    return seal(header, weights_of(**parts))


def bundle_of_masked_tokens(
    encoder: AudioEncoder, predictor: LabelPredictor, tokenizer: AudioTokenizer
) -> Bundle:
    """A bundle of BEATs' pre-training, a copy of the present weights.

    A random projection is saved with it; a learnt tokenizer, as large as the encoder, has a file of its own.
    """
    parts: dict[str, nn.Module] = {"encoder": encoder.encoder, "predictor": predictor}
    projection = None
    if isinstance(tokenizer, RandomTokenizer) and tokenizer.front_end.config == encoder.front_end.config:
        projection = tokenizer.random_projection.config
        parts["random_projection"] = tokenizer.random_projection
    header = Header(
        kind="pretraining",
        encoder=encoder.config,
        log_mel=encoder.front_end.config,
        predictor=predictor.config,
        random_projection=projection,
    )
    return seal(header, weights_of(**parts))


def _of_type(module: nn.Module, expected: type[Part]) -> Part:
    assert isinstance(module, expected)
    return module
