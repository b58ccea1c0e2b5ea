"""Pre-train: EAT learns from a folder of recordings without labels."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from pydantic import Field
from rich.console import Console

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.segments import SegmentConfig, SegmentIndex
from bioacoustics.data.splits import group_of
from bioacoustics.data.windows import SegmentWindows
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder, Size
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
from bioacoustics.training.acceleration import accelerator_of
from bioacoustics.training.checkpoint import CheckpointConfig
from bioacoustics.training.health import HealthConfig
from bioacoustics.training.loop import TrainingConfig, train
from bioacoustics.training.optimizer import OptimizerConfig
from bioacoustics.training.validation import Validation
from bioacoustics.workflows.capacity import pretraining_bytes_per_clip
from bioacoustics.workflows.normalisation import measured_normalisation
from bioacoustics.workflows.recipe import SMALL_HOURS, Recipe, RecipeName, recipe_of
from bioacoustics.workflows.survey import Outcome, survey
from bioacoustics.workflows.training_flags import TrainingFlags

PUBLISHED_UPDATES = 400_000
FEWEST_UPDATES = 1_000
DEFAULT_PASSES = 100


class PretrainConfig(TrainingFlags, frozen=True, extra="forbid"):
    """What `pretrain` needs to know; the flags of the command line are these fields."""

    save_dir: Path = Field(description="run folder: checkpoints, metrics, pictures; the same folder resumes")
    data_dir: Path = Field(description="recordings in any supported format, sub-folders included")
    model_path: Path | None = Field(
        default=None,
        description="published or own checkpoint to continue from; without it weights are random",
    )
    model_size: Size = Field(default="base", description="size of a new model")
    recipe: RecipeName = Field(
        default="auto",
        description="defaults of the flags below: published (EAT base) or small; auto takes small for a new "
        f"model on less than {SMALL_HOURS:g} hours",
    )
    target_length: int | None = Field(
        default=None,
        ge=16,
        description="window length in log-mel frames of 10 ms; a multiple of 16 [default: 1024; small: 256]",
    )
    num_updates: int | None = Field(
        default=None,
        ge=1,
        description=f"updates of the whole run [default: {DEFAULT_PASSES} passes, "
        f"{FEWEST_UPDATES} to {PUBLISHED_UPDATES}]",
    )
    learning_rate: float | None = Field(
        default=None, gt=0, description="peak learning rate [default: 5e-4; small: 1e-3]"
    )
    warmup_updates: int | None = Field(default=None, ge=0, description="[default: 13 % of the updates]")
    mask_ratio: float = Field(
        default=0.8, gt=0, lt=1, description="share of the patches hidden from the student"
    )
    num_clones: int | None = Field(
        default=None, ge=1, description="masked copies of each window in an update [default: 16; small: 4]"
    )
    ema_decay: float | None = Field(
        default=None, gt=0, lt=1, description="how slowly the teacher follows [default: 0.9998; small: 0.99]"
    )
    utterance_weight: float | None = Field(
        default=None,
        ge=0,
        description="weight of the clip loss beside the patch loss [default: 192; small: 0]",
    )
    normalisation: Literal["audioset", "measured"] = Field(
        default="audioset", description="mean and deviation of the log-mel: AudioSet's, or of your recordings"
    )
    validation_share: float = Field(
        default=0.05, ge=0, lt=1, description="share of the recordings that judges the model"
    )
    activation_checkpointing: bool = Field(default=False, description="less memory, more time, same result")
    keep_every: int | None = Field(
        default=None, ge=1, description="also keep a checkpoint every so many updates"
    )
    keep_last: int | None = Field(default=None, ge=1, description="of these, keep the newest so many")
    validate_every: int = Field(default=500, ge=1, description="updates between validations")
    min_target_std: float = Field(
        default=0.1, ge=0, description="stop when the targets vary less than this: collapse; 0 never stops"
    )
    min_prediction_std: float = Field(default=0.01, ge=0, description="the same for the predictions")


def pretrain(config: PretrainConfig, console: Console) -> Outcome:
    """Pre-train EAT on a folder of recordings, without labels.

    Writes checkpoint_best.pt and checkpoint_last.pt into --save_dir. The same command continues a run that
    was interrupted, and then ends with the same result.
    """
    accelerator = accelerator_of(config.device, config.precision)
    quiet = Console(quiet=True) if not accelerator.is_main_process else console
    scan = survey(config.data_dir, quiet, config.bad_files)
    outcome = Outcome(unusable=list(scan.unreadable))
    outcome.show(quiet)
    training, held_out = split_recordings(scan.recordings, config.validation_share)
    recipe = recipe_of(config.recipe, scan.recordings, is_new=config.model_path is None).with_flags(config)
    objective = _objective(config, recipe, training, quiet)
    windows = _windows(config, recipe, objective, training, jitters=True)
    held_out_windows = _windows(config, recipe, objective, held_out, jitters=False)
    training_config = _training_config(config, recipe, objective, len(windows), accelerator)
    rows = training_config.data.rows_per_update(accelerator.num_processes)
    num_updates = training_config.optimizer.num_updates
    num_passes = num_updates * rows / len(windows)
    quiet.print(
        f"recipe {recipe.name}: {len(windows)} windows of {recipe.target_length / 100:g} s to learn from, "
        f"{len(held_out_windows)} held out; {num_updates} updates of {rows} windows ({num_passes:.1f} "
        "passes)",
        highlight=False,
        soft_wrap=True,
    )
    result = train(
        objective,
        windows,
        config.save_dir,
        training_config,
        write_model=lambda path: write_bundle(
            bundle_of_pretraining(objective.encoder, objective.decoder, objective.teacher), path
        ),
        validation=Validation(windows=held_out_windows) if len(held_out_windows) else None,
        settings=_settings(config, objective, training),
        record={"workflow": "pretrain", "flags": json.loads(config.model_dump_json())},
        problems=outcome.problems(),
        accelerator=accelerator,
        console=quiet,
    )
    outcome.add(result.unusable, config.data_dir, quiet)
    quiet.print(
        f"{config.save_dir / 'checkpoint_best.pt'}: ready for `bioacoustics finetune` and `embed`",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return outcome


def split_recordings(
    recordings: Sequence[Recording], validation_share: float
) -> tuple[list[Recording], list[Recording]]:
    """Recordings to learn from and recordings held out, whole recordings on either side.

    The side follows from a hash of the name, so that a recording keeps it when others come or go. Clips that
    were cut from one recording, as far as their names tell, stay together.
    """
    if validation_share == 0 or len(recordings) < 2:
        return list(recordings), []
    places = [_hashed(group_of(recording.relative_path)) for recording in recordings]
    limit = max(validation_share, min(places))  # at least one group is held out
    held_out = [place <= limit for place in places]
    if all(held_out):
        held_out = (
            [place == min(places) for place in places] if len(set(places)) > 1 else [False] * len(places)
        )
    return (
        [recording for recording, is_out in zip(recordings, held_out, strict=True) if not is_out],
        [recording for recording, is_out in zip(recordings, held_out, strict=True) if is_out],
    )


def _hashed(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def _objective(
    config: PretrainConfig, recipe: Recipe, recordings: Sequence[Recording], console: Console
) -> MaskedLatent:
    encoder, decoder, teacher = _models(config, recordings, console)
    encoder.encoder.activation_checkpointing = config.activation_checkpointing
    masked_latent = MaskedLatentConfig(
        target_length=recipe.target_length,
        num_clones=recipe.num_clones,
        mask=MaskConfig(mask_ratio=config.mask_ratio),
        removes_position=recipe.removes_position,
        utterance_weight=recipe.utterance_weight,
        ema_decay=recipe.ema_decay,
        ema_end_decay=recipe.ema_end_decay,
        ema_anneal_updates=recipe.ema_anneal_updates,
    )
    return MaskedLatent(encoder, decoder, masked_latent, seed=config.seed, teacher=teacher)


def _models(
    config: PretrainConfig, recordings: Sequence[Recording], console: Console
) -> tuple[AudioEncoder, EATDecoder, EATEncoder | None]:
    """Student, decoder and teacher: new ones, or those of a checkpoint as far as it has them."""
    torch.manual_seed(config.seed)
    if config.model_path is None:
        size = EATConfig.of_size(config.model_size)
        log_mel = LogMelConfig.eat()
        if config.normalisation == "measured":
            log_mel = measured_normalisation(log_mel, recordings, seed=config.seed, channel=config.channel)
            console.print(
                f"measured on your recordings: log-mel mean {log_mel.mean:.3f}, std {log_mel.std:.3f}"
            )
        encoder = AudioEncoder(log_mel, EATEncoder(size))
        return encoder, EATDecoder(DecoderConfig.of_size(config.model_size), size.embed_dim), None
    if config.normalisation == "measured":
        raise ValueError(
            f"--normalisation measured does not go with --model_path {config.model_path}: its weights expect "
            "the normalisation that they were trained with, which is stored in the checkpoint"
        )
    bundle = read_bundle(config.model_path)
    decoder = build_decoder(bundle)
    if decoder is None:
        console.print(
            f"{config.model_path} has no decoder, as only a pre-training needs one: a new one is made",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        decoder = EATDecoder(_decoder_for(bundle.header.encoder), bundle.header.encoder.embed_dim)
    return build_encoder(bundle), decoder, build_teacher(bundle)


def _decoder_for(encoder: EATConfig) -> DecoderConfig:
    is_large = encoder.embed_dim >= EATConfig.of_size("large").embed_dim
    return DecoderConfig.of_size("large") if is_large else DecoderConfig(width=encoder.embed_dim)


def _windows(
    config: PretrainConfig,
    recipe: Recipe,
    objective: MaskedLatent,
    recordings: Sequence[Recording],
    *,
    jitters: bool,
) -> SegmentWindows:
    front_end = objective.encoder.front_end.config
    # The last frame reaches beyond the window's nominal length; with it there is nothing to pad.
    window_s = front_end.num_samples(recipe.target_length) / front_end.sample_rate_hz
    stride_s = recipe.target_length * front_end.frame_shift / front_end.sample_rate_hz
    index = SegmentIndex(recordings, SegmentConfig(window_s=window_s, stride_s=stride_s))
    return SegmentWindows(
        index,
        sample_rate_hz=front_end.sample_rate_hz,
        channel=config.channel,
        max_jitter_s=stride_s / 2 if jitters else 0.0,
        seed=config.seed,
    )


def _training_config(
    config: PretrainConfig,
    recipe: Recipe,
    objective: MaskedLatent,
    num_windows: int,
    accelerator: Accelerator,
) -> TrainingConfig:
    needed = pretraining_bytes_per_clip(objective, recipe.target_length)
    rows_per_update = config.rows_per_update(accelerator.num_processes)
    num_updates = config.num_updates or min(
        max(FEWEST_UPDATES, DEFAULT_PASSES * num_windows // rows_per_update), PUBLISHED_UPDATES
    )
    return TrainingConfig(
        optimizer=OptimizerConfig(
            num_updates=num_updates, learning_rate=recipe.learning_rate, warmup_updates=config.warmup_updates
        ),
        data=config.data_config(needed, objective, accelerator, config.save_dir),
        loop=config.loop_config(
            config.validate_every,
            HealthConfig(min_target_std=config.min_target_std, min_prediction_std=config.min_prediction_std),
        ),
        checkpoint=CheckpointConfig(
            save_every=config.save_every, keep_every=config.keep_every, keep_last=config.keep_last
        ),
    )


def _settings(
    config: PretrainConfig, objective: MaskedLatent, recordings: Sequence[Recording]
) -> dict[str, Any]:
    """What must be equal when a run is resumed, beside the loop's own settings."""
    return {
        "model_path": str(config.model_path) if config.model_path else None,
        "encoder": objective.encoder.config.model_dump(mode="json"),
        "log_mel": objective.encoder.front_end.config.model_dump(mode="json"),
        "decoder": objective.decoder.config.model_dump(mode="json"),
        "objective": objective.config.model_dump(mode="json"),
        "channel": config.channel,
        "recordings": recordings_digest(recordings),
    }


def recordings_digest(recordings: Sequence[Recording]) -> str:
    """A fingerprint of which recordings are learnt from and how long they are."""
    digest = hashlib.sha256()
    for recording in recordings:
        digest.update(f"{recording.relative_path}\0{recording.num_samples}\n".encode())
    return digest.hexdigest()[:16]
