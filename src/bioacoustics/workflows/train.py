"""Train: one run learns from recordings without labels, labelled clips and examples, as they are given."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console

from bioacoustics.data.batches import DataConfig
from bioacoustics.data.mixture import Mixture, Source
from bioacoustics.models.card import Card
from bioacoustics.models.saved import bundle_of_classifier, write_bundle
from bioacoustics.objectives.joint import Joint
from bioacoustics.training.acceleration import accelerator_of
from bioacoustics.training.checkpoint import CheckpointConfig
from bioacoustics.training.loop import TrainingConfig
from bioacoustics.training.loop import train as run_loop
from bioacoustics.training.optimizer import OptimizerConfig
from bioacoustics.workflows.capacity import finetuning_bytes_per_clip
from bioacoustics.workflows.conclusion import conclude, validation_of
from bioacoustics.workflows.joint_model import Learning
from bioacoustics.workflows.lineage import card_of
from bioacoustics.workflows.self_supervision import bytes_per_window, write_pretraining
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.train_flags import TrainConfig
from bioacoustics.workflows.training_data import (
    TrainingData,
    examples_as_they_are,
    mixed,
    read_training_data,
    sources_of,
)
from bioacoustics.workflows.training_windows import TrainingWindows

__all__ = ["TrainConfig", "train"]


def train(config: TrainConfig, console: Console) -> Outcome:
    """Train BEATs or EAT on recordings without labels, labelled clips and examples of a sound, together.

    Writes checkpoint_best.pt into --output_dir: with labels or examples a classifier, chosen by its score on
    held-out recordings, else the encoder with the lowest held-out loss. The same command continues a run
    that was interrupted, and then ends with the same result.
    """
    accelerator = accelerator_of(config.device, config.precision)
    quiet = Console(quiet=True) if not accelerator.is_main_process else console
    data = read_training_data(
        data_dir=config.data_dir,
        labeled_dir=config.labeled_dir,
        positive_dir=config.positive_dir,
        negative_dir=config.negative_dir,
        validation_share=config.validation_share,
        seed=config.seed,
        bad_files=config.bad_files,
        console=quiet,
    )
    learning = Learning(config, data, quiet)
    reader = TrainingWindows(learning, accelerator, quiet)
    training, held_out = (
        sources_of(data, config.ratios, reader.segments, reader.clips, is_training=is_training)
        for is_training in (True, False)
    )
    if config.model_path is not None and learning.classification is not None:
        reader.begin_head(learning.classification)
    mixture = _mixture(config, training, accelerator)
    epoch_updates = _updates_of_an_epoch(training, mixture)
    objective = learning.objective(
        dict(zip(training, mixture.num_rows, strict=True)), config.num_epochs * epoch_updates
    )
    objective.held_out_rows = {name: len(source.windows) for name, source in held_out.items()}
    validation = validation_of(objective, held_out, data)
    _announce(config, training, held_out, mixture, epoch_updates, quiet)
    windows = mixed(training, len(data.labels))
    card = _card(config, data)
    result = run_loop(
        objective,
        windows,
        config.output_dir,
        _training_config(config, learning, objective, epoch_updates, accelerator),
        write_model=lambda path: _write_model(objective, card, path),
        validation=validation,
        mixture=mixture,
        settings=_settings(config, learning, objective, training),
        record={"workflow": "train", "flags": json.loads(config.model_dump_json())},
        problems=data.outcome.problems(),
        accelerator=accelerator,
        console=quiet,
    )
    data.outcome.add(result.unusable, config.data_dir or config.output_dir, quiet)
    conclude(
        config.output_dir,
        objective,
        data,
        validation,
        held_out,
        examples_as_they_are(data, reader.clips),
        DataConfig(batch_size=config.batch_size),
        accelerator,
        quiet,
    )
    return data.outcome


def _card(config: TrainConfig, data: TrainingData) -> Card:
    """What was learnt from, and what the run began from."""
    folders = [config.data_dir, config.labeled_dir, config.positive_dir, config.negative_dir]
    heard = [] if data.unlabeled is None else list(data.unlabeled[0])
    for clips in (data.labeled, data.examples):
        heard += [] if clips is None else [clips.recordings[i] for i in clips.split.train]
    return card_of("train", folders, heard, config.model_path, config.tokenizer_path)


def _mixture(config: TrainConfig, training: Mapping[str, Source], accelerator: Accelerator) -> Mixture:
    sources = list(training.values())
    return Mixture(
        [len(source.windows) for source in sources],
        [source.ratio for source in sources],
        rows_per_update=config.rows_per_update(accelerator.num_processes),
    )


def _updates_of_an_epoch(training: Mapping[str, Source], mixture: Mixture) -> int:
    """How many updates one pass takes: over recordings without labels, else over the slowest source."""
    passes = {
        name: -(-len(source.windows) // rows)
        for (name, source), rows in zip(training.items(), mixture.num_rows, strict=True)
    }
    return passes.get("unlabeled", max(passes.values()))


def _announce(
    config: TrainConfig,
    training: Mapping[str, Source],
    held_out: Mapping[str, Source],
    mixture: Mixture,
    epoch_updates: int,
    console: Console,
) -> None:
    parts = [
        f"{rows} of {len(source.windows)} {name} windows"
        for (name, source), rows in zip(training.items(), mixture.num_rows, strict=True)
    ]
    num_held_out = sum(len(source.windows) for source in held_out.values())
    console.print(
        f"every update: {', '.join(parts)}; {num_held_out} held out; {config.num_epochs} epochs of "
        f"{epoch_updates} updates",
        highlight=False,
        soft_wrap=True,
    )


def _training_config(
    config: TrainConfig, learning: Learning, objective: Joint, epoch_updates: int, accelerator: Accelerator
) -> TrainingConfig:
    num_updates = config.num_epochs * epoch_updates
    warmup = config.warmup_updates if config.warmup_updates is not None else num_updates // 10
    needed = 1
    if not config.freeze_encoder:
        needed = 2 * finetuning_bytes_per_clip(learning.encoder.config, learning.target_length)
        needed = max(needed, bytes_per_window(objective.self_supervised, learning.target_length))
    keep_every = None if config.checkpoint_freq is None else config.checkpoint_freq * epoch_updates
    return TrainingConfig(
        optimizer=OptimizerConfig(
            num_updates=num_updates,
            learning_rate=config.learning_rate,
            warmup_updates=min(warmup, num_updates),
        ),
        data=config.data_config(needed, objective, accelerator, config.output_dir),
        loop=config.loop_config(max(epoch_updates, num_updates // 20)),
        checkpoint=CheckpointConfig(save_every=config.save_every, keep_every=keep_every),
    )


def _write_model(objective: Joint, card: Card, path: Path) -> None:
    if objective.classification is None:
        write_pretraining(objective.self_supervised, card, path)
    else:
        write_bundle(bundle_of_classifier(objective.classification.classifier).with_card(card), path)


def _settings(
    config: TrainConfig, learning: Learning, objective: Joint, training: Mapping[str, Source]
) -> dict[str, Any]:
    """What must be equal when a run is resumed, beside the loop's own settings."""
    contrastive = objective.contrastive
    return {
        "model_path": str(config.model_path) if config.model_path else None,
        "encoder": learning.encoder.config.model_dump(mode="json"),
        "log_mel": learning.encoder.front_end.config.model_dump(mode="json"),
        "target_length": learning.target_length,
        "prediction_mode": config.prediction_mode,
        "objective": objective.config.model_dump(mode="json"),
        "contrastive": None if contrastive is None else contrastive.config.model_dump(mode="json"),
        "tokenizer": str(config.tokenizer_path) if config.tokenizer_path else None,
        "rows": objective.num_rows,
        "windows": {name: len(source.windows) for name, source in training.items()},
        "num_views": config.num_views if config.freeze_encoder else None,
        "channel": config.channel,
        "data": learning.data.digest(),
    }
