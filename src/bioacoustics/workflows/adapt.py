"""Adapt: a trained encoder learns on from a user's own recordings, and a verdict says whether that helped."""

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator
from rich.console import Console
from rich.markup import escape

from bioacoustics.audio.recordings import scan_recordings
from bioacoustics.audio.segments import SegmentConfig, SegmentIndex
from bioacoustics.formats.words import Language
from bioacoustics.models.saved import read_bundle
from bioacoustics.training.acceleration import accelerator_of
from bioacoustics.training.probes import Interval
from bioacoustics.training.run_folder import write_json
from bioacoustics.workflows.adapt_report import AdaptStory, adapt_page
from bioacoustics.workflows.before_after import Comparison, compare_on_labels, compare_without_labels, plain
from bioacoustics.workflows.pretrain import PretrainConfig, pretrain
from bioacoustics.workflows.pretraining import split_recordings
from bioacoustics.workflows.recipe import SMALL_FLAGS
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.training_flags import TrainingFlags

# Settings for little data: those of `pretrain --recipe small` (docs/benchmarks.md), but a gentle rate, since
# there is something to lose.
TARGET_LENGTH: int = SMALL_FLAGS["target_length"]
LEARNING_RATE = 2e-4
UTTERANCE_WEIGHT: float = SMALL_FLAGS["utterance_weight"]
MASK_RATIO = 0.8
NUM_CLONES: int = SMALL_FLAGS["num_clones"]
EMA_DECAY: float = SMALL_FLAGS["ema_decay"]
VALIDATION_SHARE = 0.15
PASSES, FEWEST_UPDATES, MOST_UPDATES = 40, 100, 4_000
NUM_VALIDATIONS = 10
EAT_FLAGS = ("num_clones", "ema_decay", "utterance_weight")  # of no meaning to BEATs
ADAPTED = "checkpoint_last.pt"  # the losses of two moments have different targets: the lowest means little


class AdaptConfig(TrainingFlags, frozen=True, extra="forbid"):
    """What `adapt` needs to know."""

    model_path: Path = Field(description="published or own checkpoint to begin with")
    data_dir: Path = Field(description="your recordings, without labels; sub-folders included")
    save_dir: Path = Field(description="run folder: the adapted model, verdict.json, report.html; resumes")
    labels: Path | None = Field(
        default=None, description="table filename,labels of clips that judge; training never sees the labels"
    )
    labels_dir: Path | None = Field(default=None, description="folder of these clips [default: --data_dir]")
    target_length: int = Field(default=TARGET_LENGTH, ge=16, description="window in frames of 10 ms")
    num_updates: int | None = Field(
        default=None,
        ge=1,
        description=f"updates [default: {PASSES} passes, {FEWEST_UPDATES} to {MOST_UPDATES}]",
    )
    learning_rate: float = Field(default=LEARNING_RATE, gt=0, description="peak learning rate")
    mask_ratio: float = Field(default=MASK_RATIO, gt=0, lt=1, description="share of the patches hidden")
    num_clones: int = Field(default=NUM_CLONES, ge=1, description="masked copies of each window in an update")
    ema_decay: float = Field(default=EMA_DECAY, gt=0, lt=1, description="how slowly the teacher follows")
    utterance_weight: float = Field(default=UTTERANCE_WEIGHT, ge=0, description="weight of the clip loss")
    validation_share: float = Field(
        default=VALIDATION_SHARE, ge=0, lt=1, description="share of the recordings kept out of training"
    )
    language: Language = Field(default="en", description="language of the report")

    @model_validator(mode="after")
    def _check_labels(self) -> "AdaptConfig":
        if self.labels is None and self.labels_dir is not None:
            raise ValueError("--labels_dir is the folder of the clips of --labels: give that table, too")
        if self.labels is None and self.validation_share == 0:
            raise ValueError(
                "without --labels the recordings kept out of training judge: raise --validation_share above 0"
            )
        return self


def adapt(config: AdaptConfig, console: Console) -> Outcome:
    """Continue self-supervised training on your recordings, and say whether it helped.

    Ends with keep, discard or undecided: with --labels from probes before and after, else from the held-out
    recordings, which is weaker evidence. Writes report.html and verdict.json beside the model. The same
    command goes on where it was stopped.
    """
    _check_before_long(config)
    outcome = pretrain(_pretrain_config(config), console)
    if not accelerator_of(config.device, config.precision).is_main_process:
        return outcome
    comparison = _compared(config, console)
    verdict = comparison.verdict
    write_json(
        {
            "decision": verdict.decision,
            "reason": verdict.reason("en"),
            "is_collapsed": verdict.is_collapsed,
            **verdict.model_dump(exclude={"decision", "difference"}),
            "difference": plain(
                Interval(**dict(zip(("value", "low", "high"), verdict.difference, strict=True)))
            ),
            "scores": [score.plain() for score in comparison.scores],
            "before": str(config.model_path),
            "after": str(config.save_dir / ADAPTED),
        },
        config.save_dir / "verdict.json",
    )
    report = config.save_dir / "report.html"
    story = AdaptStory(
        run_folder=config.save_dir,
        before=config.model_path,
        after=config.save_dir / ADAPTED,
        data_dir=config.data_dir,
    )
    adapt_page(story, comparison, config.language).write(report)
    console.print(f"[bold]{escape(verdict.reason(config.language))}[/]", highlight=False, soft_wrap=True)
    console.print(f"{report}", markup=False, highlight=False, soft_wrap=True)
    return outcome


def _check_before_long(config: AdaptConfig) -> None:
    """What would be wrong only after the training is said before it."""
    read_bundle(config.model_path)
    if config.labels is not None:
        from bioacoustics.data.labels import read_labels
        from bioacoustics.data.splits import groups_of
        from bioacoustics.training.probes import ProbeTask

        table = read_labels(config.labels, config.labels_dir or config.data_dir)
        if len(table.vocabulary) < 2:
            raise ValueError(
                f"{table.path}: every clip has the one label {table.vocabulary[0]!r}, so there is nothing "
                "to tell it from; add clips of anything else, for example with the label background"
            )
        ProbeTask.of(table.targets(), groups_of(table), multi_label=table.multi_label)


def _compared(config: AdaptConfig, console: Console) -> Comparison:
    shared: dict[str, Any] = {
        "target_length": config.target_length,
        "channel": config.channel,
        "device": config.device,
        "num_threads": config.num_threads,
        "console": console,
    }
    models = (config.model_path, config.save_dir / ADAPTED)
    if config.labels is not None:
        return compare_on_labels(models, config.labels, config.labels_dir or config.data_dir, **shared)
    recordings = scan_recordings(config.data_dir).recordings
    held_out = split_recordings(recordings, config.validation_share)[1]
    return compare_without_labels(models, held_out, **shared)


def _pretrain_config(config: AdaptConfig) -> PretrainConfig:
    num_updates = config.num_updates or _default_num_updates(config)
    every = max(1, num_updates // NUM_VALIDATIONS)
    given = {name: getattr(config, name) for name in TrainingFlags.model_fields}
    given |= {"save_every": min(config.save_every, every), "log_every": min(config.log_every, every)}
    architecture = read_bundle(config.model_path).header.architecture
    if architecture == "eat":
        given |= {"recipe": "small", **{name: getattr(config, name) for name in EAT_FLAGS}}
    return PretrainConfig(
        **given,
        model=architecture,
        save_dir=config.save_dir,
        data_dir=config.data_dir,
        model_path=config.model_path,
        target_length=config.target_length,
        num_updates=num_updates,
        learning_rate=config.learning_rate,
        mask_ratio=config.mask_ratio,
        validation_share=config.validation_share,
        validate_every=every,
    )


def _default_num_updates(config: AdaptConfig) -> int:
    """Some passes over the recordings, within bounds: the length follows from how much there is."""
    recordings = scan_recordings(config.data_dir).recordings
    window_s = config.target_length / 100
    windows = len(SegmentIndex(recordings, SegmentConfig(window_s=window_s)))
    num_processes = accelerator_of(config.device, config.precision).num_processes
    rows = config.rows_per_update(num_processes)
    return min(max(FEWEST_UPDATES, PASSES * windows // rows), MOST_UPDATES)
