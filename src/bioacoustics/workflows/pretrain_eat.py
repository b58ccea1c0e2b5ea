"""Pre-train EAT: a student predicts the features of a teacher that is its own moving average."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.audio.recordings import Recording
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.saved import (
    build_decoder,
    build_encoder,
    build_teacher,
    bundle_of_pretraining,
    read_bundle,
    write_bundle,
)
from bioacoustics.objectives.masked_latent import MaskedLatent, MaskedLatentConfig
from bioacoustics.objectives.masks import MaskConfig
from bioacoustics.training.health import HealthConfig
from bioacoustics.training.optimizer import OptimizerConfig
from bioacoustics.workflows.capacity import pretraining_bytes_per_clip
from bioacoustics.workflows.lineage import card_of
from bioacoustics.workflows.pretraining import (
    Material,
    Stage,
    new_front_end,
    refuse_to_remeasure,
    run_stage,
    windows_of,
)
from bioacoustics.workflows.pretraining_flags import PretrainConfig
from bioacoustics.workflows.recipe import target_settings

MASK_RATIO = 0.8


def pretrain_eat(config: PretrainConfig, material: Material) -> None:
    """Run EAT's pre-training in `save_dir` itself."""
    objective = masked_latent(config, material.training, material.console)
    front_end = objective.encoder.front_end.config
    card = card_of("pretrain", [config.data_dir], material.training, config.model_path)
    num_windows = len(windows_of(config, front_end, material.training, jitters=True))
    stage = Stage(
        objective=objective,
        front_end=front_end,
        folder=config.save_dir,
        optimizer=OptimizerConfig(
            num_updates=config.num_updates_of(num_windows, material.accelerator.num_processes),
            learning_rate=config.learning_rate,
            warmup_updates=config.warmup_updates,
        ),
        bytes_per_window=pretraining_bytes_per_clip(objective, config.target_length),
        write_model=lambda path: write_bundle(
            bundle_of_pretraining(objective.encoder, objective.decoder, objective.teacher).with_card(card),
            path,
        ),
        settings=_settings(config, objective),
        health=HealthConfig(
            min_target_std=config.min_target_std, min_prediction_std=config.min_prediction_std
        ),
    )
    run_stage(config, stage, material)


def masked_latent(config: PretrainConfig, recordings: Sequence[Recording], console: Console) -> MaskedLatent:
    """EAT's objective with a new model, or with that of a checkpoint as far as it has its parts."""
    torch.manual_seed(config.seed)
    if config.model_path is None:
        encoder, decoder, teacher = _new_models(config, recordings, console)
    else:
        encoder, decoder, teacher = _saved_models(config, config.model_path, console)
    encoder.encoder.activation_checkpointing = config.activation_checkpointing
    objective_config = MaskedLatentConfig(
        target_length=config.target_length,
        num_clones=config.num_clones,
        mask=MaskConfig(mask_ratio=config.mask_ratio or MASK_RATIO),
        utterance_weight=config.utterance_weight,
        ema_decay=config.ema_decay,
        **target_settings(config),
    )
    return MaskedLatent(encoder, decoder, objective_config, seed=config.seed, teacher=teacher)


def _new_models(
    config: PretrainConfig, recordings: Sequence[Recording], console: Console
) -> tuple[AudioEncoder, EATDecoder, None]:
    size = EATConfig.of_size(config.model_size)
    front_end = new_front_end(LogMelConfig.eat(), config, recordings, console)
    encoder = AudioEncoder(front_end, EATEncoder(size))
    return encoder, EATDecoder(DecoderConfig.of_size(config.model_size), size.embed_dim), None


def _saved_models(
    config: PretrainConfig, path: Path, console: Console
) -> tuple[AudioEncoder, EATDecoder, EATEncoder | None]:
    refuse_to_remeasure(config)
    bundle = read_bundle(path)
    if not isinstance(bundle.header.encoder, EATConfig):
        raise ValueError(  # noqa: TRY004 -- it is the user's file that does not suit
            f"{path} is a {bundle.header.architecture} model: add --model {bundle.header.architecture}"
        )
    decoder = build_decoder(bundle)
    if decoder is None:
        console.print(
            f"{path} has no decoder, as only a pre-training needs one: a new one is made",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        decoder = EATDecoder(_decoder_for(bundle.header.encoder), bundle.header.encoder.embed_dim)
    return build_encoder(bundle), decoder, build_teacher(bundle)


def _decoder_for(encoder: EATConfig) -> DecoderConfig:
    is_large = encoder.embed_dim >= EATConfig.of_size("large").embed_dim
    return DecoderConfig.of_size("large") if is_large else DecoderConfig(width=encoder.embed_dim)


def _settings(config: PretrainConfig, objective: MaskedLatent) -> dict[str, Any]:
    """What must be equal when a run is resumed, of model and objective."""
    return {
        "model_path": str(config.model_path) if config.model_path else None,
        "encoder": objective.encoder.config.model_dump(mode="json"),
        "log_mel": objective.encoder.front_end.config.model_dump(mode="json"),
        "decoder": objective.decoder.config.model_dump(mode="json"),
        "objective": objective.config.model_dump(mode="json"),
    }
