"""Self-supervision: what `train` lets an encoder learn from recordings without labels."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from bioacoustics.audio.recordings import Recording
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.beats import BEATsConfig
from bioacoustics.models.card import Card
from bioacoustics.models.eat import DecoderConfig, EATDecoder
from bioacoustics.models.predictors import LabelPredictor, LabelPredictorConfig
from bioacoustics.models.saved import (
    Bundle,
    build_decoder,
    build_teacher,
    bundle_of_pretraining,
    write_bundle,
)
from bioacoustics.models.saved_tokenizers import build_predictor, build_tokenizer, bundle_of_masked_tokens
from bioacoustics.objectives.masked_latent import MaskedLatent, MaskedLatentConfig
from bioacoustics.objectives.masked_tokens import MaskedTokens, MaskedTokensConfig
from bioacoustics.objectives.objective import Objective
from bioacoustics.workflows.capacity import masked_tokens_bytes_per_clip, pretraining_bytes_per_clip
from bioacoustics.workflows.recipe import settings_beside_others
from bioacoustics.workflows.tokens import loaded_tokenizer, random_tokenizer
from bioacoustics.workflows.train_flags import TrainConfig


def self_supervision(
    config: TrainConfig,
    encoder: AudioEncoder,
    bundle: Bundle | None,
    recordings: Sequence[Recording],
    target_length: int,
    console: Console,
) -> MaskedLatent | MaskedTokens:
    """The pre-training of this kind of encoder, with what the checkpoint has for it.

    Raises:
        ValueError: A tokenizer is given that does not fit, or to an encoder that learns without one.
    """
    if isinstance(encoder.config, BEATsConfig):
        return _masked_tokens(config, encoder, bundle, recordings, target_length)
    if config.tokenizer_path is not None:
        raise ValueError("--tokenizer_path is for BEATs: EAT learns without tokens, so leave it out")
    return _masked_latent(config, encoder, bundle, recordings, target_length, console)


def weight_of_window(objective: Objective | None, target_length: int) -> float:
    """How much a window that is all sound counts in the unit of the objective's weight."""
    if not isinstance(objective, MaskedTokens):
        return 1.0
    shape = objective.encoder.config
    return objective.config.mask_ratio * (target_length // shape.patch_size) * shape.num_bands


def bytes_per_window(objective: Objective | None, target_length: int) -> int:
    """What a window without labels keeps in memory during an update."""
    match objective:
        case MaskedLatent():
            return pretraining_bytes_per_clip(objective, target_length)
        case MaskedTokens():
            return masked_tokens_bytes_per_clip(objective, target_length)
    return 0


def write_pretraining(objective: Objective | None, card: Card, path: Path) -> None:
    """Write a model that has learnt without labels, with all that is needed to learn on."""
    match objective:
        case MaskedLatent():
            bundle = bundle_of_pretraining(objective.encoder, objective.decoder, objective.teacher)
        case MaskedTokens():
            bundle = bundle_of_masked_tokens(objective.encoder, objective.predictor, objective.tokenizer)
        case _:
            raise AssertionError(f"no model can be written of {type(objective).__name__}")
    write_bundle(bundle.with_card(card), path)


def _masked_latent(
    config: TrainConfig,
    encoder: AudioEncoder,
    bundle: Bundle | None,
    recordings: Sequence[Recording],
    target_length: int,
    console: Console,
) -> MaskedLatent:
    decoder = build_decoder(bundle) if bundle is not None else None
    if decoder is None:
        if bundle is not None:
            console.print(
                f"{config.model_path} has no decoder, which pre-training needs: a new one is made",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        decoder = EATDecoder(DecoderConfig(width=encoder.embedding_dim), encoder.embedding_dim)
    teacher = build_teacher(bundle) if bundle is not None else None
    hours = sum(recording.duration_s for recording in recordings) / 3600
    others = settings_beside_others(hours, encoder.embedding_dim)
    settings = MaskedLatentConfig(target_length=target_length, **others)
    return MaskedLatent(encoder, decoder, settings, seed=config.seed, teacher=teacher)


def _masked_tokens(
    config: TrainConfig,
    encoder: AudioEncoder,
    bundle: Bundle | None,
    recordings: Sequence[Recording],
    target_length: int,
) -> MaskedTokens:
    predictor = tokenizer = None
    if config.tokenizer_path is not None:
        tokenizer = loaded_tokenizer(config.tokenizer_path, encoder)
    elif bundle is not None:
        tokenizer, predictor = build_tokenizer(bundle), build_predictor(bundle)
    if tokenizer is None:
        predictor = None
        tokenizer = random_tokenizer(
            encoder, recordings, num_codes=config.num_codes, seed=config.seed, channel=config.channel
        )
    if predictor is None:
        assert isinstance(encoder.config, BEATsConfig)
        torch.manual_seed(config.seed)
        shape = LabelPredictorConfig.beside(encoder.config, num_codes=tokenizer.num_codes)
        predictor = LabelPredictor(shape, encoder.embedding_dim)
    settings = MaskedTokensConfig(target_length=target_length)
    return MaskedTokens(encoder, predictor, tokenizer, settings, seed=config.seed)
