"""Conclusion: what judges a joint training, and what is said of its model in the end."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from rich.console import Console

from bioacoustics.data.batches import DataConfig
from bioacoustics.data.loading import EvaluationLoader
from bioacoustics.data.mixture import MixedWindows, Source
from bioacoustics.data.windows import Origin
from bioacoustics.objectives.joint import Joint
from bioacoustics.objectives.memory_bank import Keys, gathered
from bioacoustics.objectives.suspicion import suspicion_of
from bioacoustics.training.validation import Validation
from bioacoustics.workflows.assess import HeldOut, assess
from bioacoustics.workflows.examples import write_suspicious
from bioacoustics.workflows.training_data import TrainingData, mixed

SUSPICIOUS = "suspicious_negatives.csv"


def validation_of(objective: Joint, held_out: Mapping[str, Source], data: TrainingData) -> Validation | None:
    """What judges the run: a score of the classifier where there is one, else the loss."""
    if not held_out:
        return None
    windows = mixed(held_out, len(data.labels))
    if not data.labels:
        return Validation(windows=windows)
    score = "mean_average_precision" if data.multi_label else "accuracy"
    return Validation(windows=windows, score=score, is_higher_better=True, predict=objective.probabilities)


def conclude(
    folder: Path,
    objective: Joint,
    data: TrainingData,
    validation: Validation | None,
    held_out: Mapping[str, Source],
    examples: MixedWindows | None,
    reading: DataConfig,
    accelerator: Accelerator,
    console: Console,
) -> None:
    """Judge and calibrate the best model, list negatives worth a second hearing, and say what there is."""
    if objective.contrastive is not None and examples is not None:
        assert data.examples is not None
        suspicion = suspicion_of(_keys(objective, examples, reading, accelerator))
        path = folder / SUSPICIOUS
        if accelerator.is_main_process:
            write_suspicious(data.examples, suspicion, path)
        console.print(
            f"{path}: the negatives that sound most like the positives first; listen to some",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if objective.classification is not None and validation is not None:
        origins = [origin for source in held_out.values() for origin in source.origins]
        groups = np.unique([_recording_of(data, origin) for origin in origins], return_inverse=True)[1]
        about = HeldOut(
            validation=validation,
            names=[_name_of(data, origin) for origin in origins],
            groups=groups,
            num_training_clips=_num_training_clips(data),
        )
        classifier = objective.classification.classifier
        assess(folder, objective, classifier, about, reading, accelerator, console)
    ready_for = "finetune" if objective.classification is None else "predict"
    console.print(
        f"{folder / 'checkpoint_best.pt'}: ready for `bioacoustics {ready_for}` and `embed`",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _keys(objective: Joint, examples: MixedWindows, reading: DataConfig, accelerator: Accelerator) -> Keys:
    """What all examples that can be read are compared by, the same in every process."""
    assert objective.contrastive is not None
    was_training = objective.training
    objective.eval()
    loader = EvaluationLoader(
        examples,
        reading,
        rank=accelerator.process_index,
        num_processes=accelerator.num_processes,
        device=accelerator.device,
    )
    try:
        nothing = Keys.none(objective.contrastive.config.projection_dim, accelerator.device)
        return gathered(Keys.joined([nothing, *(objective.keys(batch) for batch in loader)]))
    finally:
        loader.close()
        objective.train(was_training)


def _name_of(data: TrainingData, origin: Origin) -> str:
    """The clip, in the folder of its source."""
    clips = data.labeled if origin.source == "labeled" else data.examples
    assert clips is not None
    name = clips.recordings[origin.item].relative_path
    return name if data.examples is None else f"{origin.source}/{name}"


def _recording_of(data: TrainingData, origin: Origin) -> str:
    clips = data.labeled if origin.source == "labeled" else data.examples
    assert clips is not None
    return clips.groups[origin.item]


def _num_training_clips(data: TrainingData) -> np.ndarray:
    """Clips that have each label, of those that were learnt from."""
    counts = np.zeros(len(data.labels))
    if data.labeled is not None:
        counts += np.nansum(data.targets_of_labeled()[list(data.labeled.split.train)], axis=0)
    if data.examples is not None:
        counts += np.nansum(data.targets_of_examples()[list(data.examples.split.train)], axis=0)
    return counts
