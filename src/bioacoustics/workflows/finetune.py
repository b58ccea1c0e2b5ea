"""Fine-tune: an encoder learns to name what it hears from a table of labelled clips."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from pydantic import Field, model_validator
from rich.console import Console

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.augment import AugmentConfig
from bioacoustics.data.batches import Batch, DataConfig
from bioacoustics.data.labels import LabelTable
from bioacoustics.data.windows import ClipWindows, class_balanced_weights
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder, Size
from bioacoustics.models.encoders import encoder_of
from bioacoustics.models.heads import ClassificationHead, HeadConfig, PredictionMode
from bioacoustics.models.saved import bundle_of_classifier, load_encoder, write_bundle
from bioacoustics.objectives.classification import Classification, ClassificationConfig
from bioacoustics.training.acceleration import accelerator_of
from bioacoustics.training.checkpoint import CheckpointConfig
from bioacoustics.training.loop import TrainingConfig, train
from bioacoustics.training.optimizer import OptimizerConfig
from bioacoustics.training.validation import Validation, probabilities_of
from bioacoustics.workflows.assess import HeldOut, assess
from bioacoustics.workflows.capacity import finetuning_bytes_per_clip
from bioacoustics.workflows.head_start import MOST_CLIPS, start_head
from bioacoustics.workflows.labelled_clips import LabelledClips, SplitConfig, labelled_clips
from bioacoustics.workflows.lineage import card_of
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.training_flags import TrainingFlags


class FinetuneConfig(TrainingFlags, frozen=True, extra="forbid"):
    """What `finetune` needs to know; the flags of the command line are these fields."""

    save_dir: Path = Field(
        description="run folder: checkpoints, metrics, tables, pictures; the same folder resumes"
    )
    data_dir: Path = Field(description="folder of the labelled clips, sub-folders included")
    labels: Path = Field(description='table with columns filename,labels; several labels: "frog,rain"')
    model_path: Path | None = Field(
        default=None, description="pre-trained, published or own checkpoint; without it weights are random"
    )
    model_size: Size = Field(
        default="base", description="size of a new model, where no --model_path is given"
    )
    batch_size: int = Field(default=32, ge=1, description="clips of one process at a time")
    target_length: int = Field(
        default=1024, ge=16, description="clip length in log-mel frames of 10 ms; shorter clips are padded"
    )
    num_classes: int | None = Field(
        default=None, ge=1, description="checked against the table, derived when absent"
    )
    label_type: Literal["auto", "single", "multi"] = Field(
        default="auto", description="one label a clip or several; auto: as the table shows"
    )
    prediction_mode: PredictionMode = Field(
        default="CLS_TOKEN",
        description="how features become logits; MEAN_POOLING instead of CLS_TOKEN where there is none",
    )
    head_start: Literal["probe", "random"] = Field(
        default="probe",
        description="what a new head begins as: the linear probe of the training clips, or random weights",
    )
    epochs: int = Field(default=50, ge=1, description="passes over the training clips")
    num_updates: int | None = Field(
        default=None, ge=1, description="updates of the whole run, instead of --epochs"
    )
    learning_rate: float = Field(default=1e-4, gt=0, description="peak learning rate")
    warmup_updates: int | None = Field(default=None, ge=0, description="[default: 10 % of the updates]")
    layer_decay: float = Field(
        default=0.75, gt=0, le=1, description="each deeper block learns slower by this"
    )
    mixup: float = Field(
        default=0.0, ge=0, description="strength of mixing pairs of clips (0.8 is published)"
    )
    mask_ratio: float = Field(
        default=0.2, ge=0, lt=1, description="SpecAugment: longest share of time and of frequency blanked"
    )
    label_smoothing: float = Field(
        default=0.1, ge=0, lt=1, description="share of each target spread over all labels"
    )
    drop_path: float = Field(default=0.1, ge=0, lt=1, description="share of skipped blocks, at the deepest")
    roll: bool = Field(default=True, description="shift training clips in a circle")
    gain: bool = Field(default=True, description="change the loudness of training clips")
    noise: bool = Field(default=False, description="add noise to training spectrograms")
    class_balanced: bool = Field(default=False, description="draw rare classes as often as common ones")
    freeze_encoder: bool = Field(default=False, description="train the head only: fast, for very few labels")
    validation_share: float = Field(default=0.2, ge=0, lt=1, description="share of the recordings held out")
    folds: Path | None = Field(default=None, description="table filename,fold instead of a split of our own")
    valid_fold: str = Field(default="0", description="fold of --folds that is held out")
    validate_every: int | None = Field(
        default=None, ge=1, description="updates between validations [default: 20 times]"
    )

    @model_validator(mode="after")
    def _check(self) -> "FinetuneConfig":
        if self.freeze_encoder and self.model_path is None:
            raise ValueError("--freeze_encoder without --model_path would train a head on random features")
        return self


def finetune(config: FinetuneConfig, console: Console) -> Outcome:
    """Fine-tune a pre-trained encoder on a table of labelled clips.

    Writes checkpoint_best.pt (best on held-out recordings, with its labels), a table of scores per class and
    pictures into --save_dir. The same command continues a run that was interrupted.
    """
    accelerator = accelerator_of(config.device, config.precision)
    quiet = Console(quiet=True) if not accelerator.is_main_process else console
    clips = labelled_clips(
        config.labels,
        config.data_dir,
        split=SplitConfig(
            validation_share=config.validation_share,
            folds=config.folds,
            valid_fold=config.valid_fold,
            seed=config.seed,
        ),
        num_classes=config.num_classes,
        multi_label=None if config.label_type == "auto" else config.label_type == "multi",
        bad_files=config.bad_files,
        console=quiet,
    )
    objective = _objective(config, clips.table, quiet)
    training, held_out = (
        _windows(config, objective, clips, rows, is_training=is_training)
        for rows, is_training in ((clips.split.train, True), (clips.split.valid, False))
    )
    training_config = _training_config(config, objective, len(training), accelerator)
    if config.head_start == "probe" and not (config.save_dir / "run_state.pt").exists():
        _start_head(config, objective, clips, training_config.data, accelerator, quiet)
    taught_on = [clips.recordings[i] for i in clips.split.train]
    card = card_of("finetune", [config.data_dir], taught_on, config.model_path)
    score = "mean_average_precision" if clips.table.multi_label else "accuracy"
    validation = Validation(
        windows=held_out,
        score=score,
        is_higher_better=True,
        predict=lambda batch: _predicted(objective, batch),
    )
    result = train(
        objective,
        training,
        config.save_dir,
        training_config,
        write_model=lambda path: write_bundle(
            bundle_of_classifier(objective.classifier).with_card(card), path
        ),
        validation=validation if len(held_out) else None,
        weights=class_balanced_weights(clips.targets[list(clips.split.train)])
        if config.class_balanced
        else None,
        settings=_settings(config, objective, clips),
        record={"workflow": "finetune", "flags": json.loads(config.model_dump_json())},
        problems=clips.outcome.problems(),
        accelerator=accelerator,
        console=quiet,
    )
    clips.outcome.add(result.unusable, config.data_dir, quiet)
    if len(held_out):
        groups = np.unique([clips.groups[i] for i in clips.split.valid], return_inverse=True)[1]
        names = [clips.recordings[i].relative_path for i in clips.split.valid]
        counts = clips.targets[list(clips.split.train)].sum(axis=0)
        about = HeldOut(validation=validation, names=names, groups=groups, num_training_clips=counts)
        assess(
            config.save_dir,
            objective,
            objective.classifier,
            about,
            DataConfig(batch_size=config.batch_size),
            accelerator,
            quiet,
        )
    return clips.outcome


def _objective(config: FinetuneConfig, table: LabelTable, console: Console) -> Classification:
    torch.manual_seed(config.seed)
    encoder = _encoder(config)
    prediction_mode = config.prediction_mode
    if prediction_mode == "CLS_TOKEN" and not encoder.config.has_cls:
        prediction_mode = "MEAN_POOLING"
        console.print("this encoder has no CLS token: clips are classified by MEAN_POOLING")
    num_bands = encoder.config.num_bands if prediction_mode == "BAND_STATISTICS" else None
    head_config = HeadConfig(
        num_classes=len(table.vocabulary), prediction_mode=prediction_mode, num_bands=num_bands
    )
    head = ClassificationHead(head_config, encoder.embedding_dim)
    classifier = AudioClassifier(
        encoder, head, table.vocabulary, multi_label=table.multi_label, target_length=config.target_length
    )
    augment = AugmentConfig(
        roll=config.roll,
        gain=config.gain,
        noise=config.noise,
        mixup_alpha=config.mixup,
        spec_augment_ratio=config.mask_ratio,
    )
    classification = ClassificationConfig(
        label_smoothing=config.label_smoothing, augment=augment, freezes_encoder=config.freeze_encoder
    )
    return Classification(classifier, classification, seed=config.seed)


def _start_head(
    config: FinetuneConfig,
    objective: Classification,
    clips: LabelledClips,
    data: DataConfig,
    accelerator: Accelerator,
    console: Console,
) -> None:
    rows = list(clips.split.train)
    if len(rows) > MOST_CLIPS:
        rows = sorted(np.random.default_rng(config.seed).choice(rows, MOST_CLIPS, replace=False).tolist())
    windows = _windows(config, objective, clips, rows, is_training=False)
    groups = [clips.groups[i] for i in rows]
    start_head(objective, windows, groups, data, accelerator, console)


def _encoder(config: FinetuneConfig) -> AudioEncoder:
    """The given encoder, or a new one, with drop path as this run wants it."""
    if config.model_path is None:
        size = EATConfig.of_size(config.model_size, drop_path_rate=config.drop_path)
        return AudioEncoder(LogMelConfig.eat(), EATEncoder(size))
    loaded = load_encoder(config.model_path)
    encoder = encoder_of(loaded.config.for_finetuning(config.drop_path))
    encoder.load_state_dict(loaded.encoder.state_dict(), assign=True)
    return AudioEncoder(loaded.front_end.config, encoder)


def _windows(
    config: FinetuneConfig,
    objective: Classification,
    clips: LabelledClips,
    rows: Sequence[int],
    *,
    is_training: bool,
) -> ClipWindows:
    front_end = objective.classifier.encoder.front_end.config
    return ClipWindows(
        [clips.recordings[i] for i in rows],
        clips.targets[list(rows)],
        window_s=front_end.num_samples(config.target_length) / front_end.sample_rate_hz,
        sample_rate_hz=front_end.sample_rate_hz,
        channel=config.channel,
        crop="random" if is_training else "centre",
        seed=config.seed,
    )


def _training_config(
    config: FinetuneConfig, objective: Classification, num_clips: int, accelerator: Accelerator
) -> TrainingConfig:
    needed = finetuning_bytes_per_clip(objective.classifier.encoder.config, config.target_length)
    rows_per_update = config.rows_per_update(accelerator.num_processes)
    num_updates = config.num_updates or max(1, round(config.epochs * num_clips / rows_per_update))
    warmup = config.warmup_updates if config.warmup_updates is not None else num_updates // 10
    return TrainingConfig(
        optimizer=OptimizerConfig(
            num_updates=num_updates,
            learning_rate=config.learning_rate,
            min_learning_rate=min(1e-6, config.learning_rate),
            warmup_updates=min(warmup, num_updates),
            layer_decay=1.0 if config.freeze_encoder else config.layer_decay,
            clip_norm=0.0,
        ),
        data=config.data_config(needed, objective, accelerator, config.save_dir),
        loop=config.loop_config(config.validate_every or max(1, num_updates // 20)),
        checkpoint=CheckpointConfig(save_every=config.save_every),
    )


def _predicted(objective: Classification, batch: Batch) -> Float[torch.Tensor, "batch classes"]:
    classifier = objective.classifier
    num_frames = classifier.num_frames(batch.num_samples, batch.waveforms.shape[1])
    logits = classifier.logits(classifier.log_mel(batch.waveforms, batch.num_samples), num_frames)
    return probabilities_of(logits, classifier.multi_label)


def _settings(config: FinetuneConfig, objective: Classification, clips: LabelledClips) -> dict[str, Any]:
    """What must be equal when a run is resumed, beside the loop's own settings."""
    digest = hashlib.sha256(clips.targets.tobytes())
    digest.update(json.dumps([[r.relative_path, r.num_samples] for r in clips.recordings]).encode())
    digest.update(json.dumps([clips.split.train, clips.split.valid]).encode())
    return {
        "model_path": str(config.model_path) if config.model_path else None,
        "encoder": objective.classifier.encoder.config.model_dump(mode="json"),
        "head": objective.classifier.head.config.model_dump(mode="json"),
        "labels": list(clips.table.vocabulary),
        "multi_label": clips.table.multi_label,
        "target_length": config.target_length,
        "head_start": config.head_start,
        "objective": objective.config.model_dump(mode="json"),
        "class_balanced": config.class_balanced,
        "channel": config.channel,
        "clips": digest.hexdigest()[:16],
    }
