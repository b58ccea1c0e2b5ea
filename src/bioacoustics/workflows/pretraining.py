"""Pre-training: what learning from recordings without labels is, whichever model learns."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.segments import SegmentConfig, SegmentIndex
from bioacoustics.data.splits import group_of
from bioacoustics.data.windows import SegmentWindows
from bioacoustics.objectives.objective import Objective
from bioacoustics.training.checkpoint import CheckpointConfig
from bioacoustics.training.health import HealthConfig
from bioacoustics.training.loop import TrainingConfig, train
from bioacoustics.training.optimizer import OptimizerConfig
from bioacoustics.training.validation import Validation
from bioacoustics.workflows.normalisation import measured_normalisation
from bioacoustics.workflows.pretraining_flags import PretrainConfig
from bioacoustics.workflows.survey import Outcome, survey


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a pre-training has at hand: recordings, processes, and somebody to talk to."""

    training: Sequence[Recording]
    held_out: Sequence[Recording]
    accelerator: Accelerator
    console: Console
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One run of the loop.

    Attributes:
        objective: What learns.
        front_end: Of the model that learns: decides where recordings are cut.
        folder: The run folder.
        optimizer: How weights move, and for how long.
        bytes_per_window: What one window keeps in memory during an update.
        write_model: Writes the present model to a path, at once or not at all.
        settings: What must be equal when the run goes on, of model and objective.
        health: When to give up.
    """

    objective: Objective
    front_end: LogMelConfig
    folder: Path
    optimizer: OptimizerConfig
    bytes_per_window: int
    write_model: Callable[[Path], None]
    settings: Mapping[str, Any]
    health: HealthConfig


def material_of(config: PretrainConfig, accelerator: Accelerator, console: Console) -> Material:
    """Look at the recordings, say what cannot be used, and hold some out."""
    quiet = Console(quiet=True) if not accelerator.is_main_process else console
    scan = survey(config.data_dir, quiet, config.bad_files)
    outcome = Outcome(unusable=list(scan.unreadable))
    outcome.show(quiet)
    training, held_out = split_recordings(scan.recordings, config.validation_share)
    return Material(
        training=training, held_out=held_out, accelerator=accelerator, console=quiet, outcome=outcome
    )


def run_stage(config: PretrainConfig, stage: Stage, material: Material) -> None:
    """Train a stage, or go on with it; one that has ended already is left as it is."""
    windows = windows_of(config, stage.front_end, material.training, jitters=True)
    held_out = windows_of(config, stage.front_end, material.held_out, jitters=False)
    accelerator, console, outcome = material.accelerator, material.console, material.outcome
    training_config = TrainingConfig(
        optimizer=stage.optimizer,
        data=config.data_config(stage.bytes_per_window, stage.objective, accelerator, stage.folder),
        loop=config.loop_config(config.validate_every, stage.health),
        checkpoint=CheckpointConfig(
            save_every=config.save_every, keep_every=config.keep_every, keep_last=config.keep_last
        ),
    )
    rows, num_updates = config.rows_per_update(accelerator.num_processes), stage.optimizer.num_updates
    console.print(
        f"{len(windows)} windows of {config.target_length / 100:g} s to learn from, {len(held_out)} "
        f"held out; {num_updates} updates of {rows} windows ({num_updates * rows / len(windows):.1f} passes)",
        highlight=False,
        soft_wrap=True,
    )
    result = train(
        stage.objective,
        windows,
        stage.folder,
        training_config,
        write_model=stage.write_model,
        validation=Validation(windows=held_out) if len(held_out) else None,
        settings={
            **stage.settings,
            "channel": config.channel,
            "recordings": recordings_digest(material.training),
        },
        record={"workflow": "pretrain", "flags": json.loads(config.model_dump_json())},
        problems=outcome.problems(),
        accelerator=accelerator,
        console=console,
    )
    outcome.add(result.unusable, config.data_dir, console)
    accelerator.wait_for_everyone()  # the next stage reads what the first process has written


def new_front_end(
    published: LogMelConfig, config: PretrainConfig, recordings: Sequence[Recording], console: Console
) -> LogMelConfig:
    """The front end of a new model: normalised as published, or as the recordings are, if so wished."""
    if config.normalisation == "audioset":
        return published
    measured = measured_normalisation(published, recordings, seed=config.seed, channel=config.channel)
    console.print(f"measured on your recordings: log-mel mean {measured.mean:.3f}, std {measured.std:.3f}")
    return measured


def refuse_to_remeasure(config: PretrainConfig) -> None:
    """Weights that are loaded expect the normalisation that they were trained with.

    Raises:
        ValueError: Another one is wished for.
    """
    if config.normalisation == "measured":
        raise ValueError(
            f"--normalisation measured does not go with --model_path {config.model_path}: its weights expect "
            "the normalisation that they were trained with, which is stored in the checkpoint"
        )


def windows_of(
    config: PretrainConfig, front_end: LogMelConfig, recordings: Sequence[Recording], *, jitters: bool
) -> SegmentWindows:
    """Windows of the wanted number of frames, side by side; or each a little shifted at every draw."""
    # The last frame reaches beyond the window's nominal length; with it there is nothing to pad.
    window_s = front_end.num_samples(config.target_length) / front_end.sample_rate_hz
    stride_s = config.target_length * front_end.frame_shift / front_end.sample_rate_hz
    index = SegmentIndex(recordings, SegmentConfig(window_s=window_s, stride_s=stride_s))
    return SegmentWindows(
        index,
        sample_rate_hz=front_end.sample_rate_hz,
        channel=config.channel,
        max_jitter_s=stride_s / 2 if jitters else 0.0,
        seed=config.seed,
    )


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


def recordings_digest(recordings: Sequence[Recording]) -> str:
    """A fingerprint of which recordings are learnt from and how long they are."""
    digest = hashlib.sha256()
    for recording in recordings:
        digest.update(f"{recording.relative_path}\0{recording.num_samples}\n".encode())
    return digest.hexdigest()[:16]


def _hashed(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
