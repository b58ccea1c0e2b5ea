"""Demo: the whole path on sounds that it makes itself, or on your own folder, in a few minutes."""

import time
from pathlib import Path

from pydantic import BaseModel, Field
from rich.console import Console
from rich.markup import escape

from bioacoustics.audio.recordings import find_audio_files
from bioacoustics.data.synthesis import synthesise_dataset
from bioacoustics.formats.words import Language
from bioacoustics.training.acceleration import Device
from bioacoustics.workflows.demo_report import DemoStory, demo_page
from bioacoustics.workflows.embed import EmbedConfig, embed
from bioacoustics.workflows.finetune import FinetuneConfig, finetune
from bioacoustics.workflows.predict import PredictConfig, predict
from bioacoustics.workflows.pretrain import PretrainConfig, pretrain
from bioacoustics.workflows.survey import BadFiles

TARGET_LENGTH = 496  # 4.96 s: what a clip of 5 s holds in whole patches


class DemoConfig(BaseModel, frozen=True, extra="forbid"):
    """What `demo` needs to know."""

    output_dir: Path = Field(default=Path("demo_output"), description="where data, models and report go")
    data_dir: Path | None = Field(
        default=None, description="your own data, laid out as unlabeled/ and labeled/{audio,labels.csv}"
    )
    language: Language = Field(default="en", description="language of the report")
    pretrain_updates: int = Field(default=180, ge=1, description="updates of pre-training")
    finetune_updates: int = Field(default=240, ge=1, description="updates of fine-tuning")
    num_unlabeled: int = Field(default=80, ge=1, description="recordings to make, without labels")
    num_labeled_per_class: int = Field(default=18, ge=2, description="clips to make of each of ten animals")
    device: Device = Field(default="auto", description="auto takes the GPU where there is one")
    seed: int = Field(default=1, ge=0, description="everything random follows from it")


def demo(config: DemoConfig, console: Console) -> Path:
    """Pre-train, fine-tune and predict in a few minutes, and end with a report to look at.

    Without --data_dir it makes its own sounds: frogs, birds, crickets and mammals over wind and rain. What
    was done before in --output_dir is not done again.
    """
    start = time.monotonic()
    story = _data(config, console)
    _tell(console, 2, "Pre-training a small EAT on the recordings without labels")
    pretrain(_pretrain_config(config, story), console)
    if story.labels_csv is not None:
        _tell(console, 3, "Fine-tuning it on the labelled clips")
        finetune(_finetune_config(config, story), console)
    _tell(console, 4, "Using it: embeddings, and predictions over long recordings")
    _use(config, story, console)
    report = config.output_dir / "report.html"
    story.elapsed_s = time.monotonic() - start
    demo_page(story, config.language).write(report)
    console.rule("[bold green]Done", align="left")
    console.print(f"Open [bold]{escape(str(report))}[/] in a browser", highlight=False, soft_wrap=True)
    return report


def _tell(console: Console, number: int, what: str) -> None:
    console.rule(f"[bold]{number}. {what}", align="left")


def _data(config: DemoConfig, console: Console) -> DemoStory:
    if config.data_dir is not None:
        return _own_data(config.data_dir, config.output_dir, console)
    folder = config.output_dir / "data"
    story = DemoStory(
        output_dir=config.output_dir,
        is_synthetic=True,
        unlabeled_dir=folder / "unlabeled",
        audio_dir=folder / "labeled" / "audio",
        labels_csv=folder / "labeled" / "labels.csv",
        recordings_dir=folder / "recordings",
    )
    _tell(console, 1, "Making sounds: frogs, birds, crickets and mammals over wind and rain")
    if not (folder / "recordings" / "annotations.csv").exists():  # it is written last
        synthesise_dataset(
            folder,
            seed=config.seed,
            num_unlabeled=config.num_unlabeled,
            num_labeled_per_class=config.num_labeled_per_class,
        )
    return story


def _own_data(folder: Path, output_dir: Path, console: Console) -> DemoStory:
    """Find the documented layout in the user's folder; only unlabeled/ is indispensable."""
    unlabeled = folder / "unlabeled"
    labels_csv = folder / "labeled" / "labels.csv"
    audio_dir = folder / "labeled" / "audio"
    if not unlabeled.is_dir():
        raise FileNotFoundError(
            f"{folder} has no folder 'unlabeled' with recordings; the layout is unlabeled/ and, if you have "
            "labels, labeled/audio/ and labeled/labels.csv with the columns filename,labels"
        )
    has_labels = labels_csv.is_file() and audio_dir.is_dir()
    recordings = folder / "recordings"
    story = DemoStory(
        output_dir=output_dir,
        is_synthetic=False,
        unlabeled_dir=unlabeled,
        audio_dir=audio_dir if has_labels else None,
        labels_csv=labels_csv if has_labels else None,
        recordings_dir=recordings if recordings.is_dir() and find_audio_files(recordings) else None,
    )
    _tell(console, 1, f"Your recordings in {escape(str(folder))}")
    if not has_labels:
        console.print("no labeled/audio and labeled/labels.csv: fine-tuning is left out")
    return story


def _pretrain_config(config: DemoConfig, story: DemoStory) -> PretrainConfig:
    return PretrainConfig(
        save_dir=story.pretrain_dir,
        data_dir=story.unlabeled_dir,
        model_size="tiny",
        batch_size=8,
        num_clones=8,
        target_length=TARGET_LENGTH,
        num_updates=config.pretrain_updates,
        learning_rate=1e-3,
        # So short a run needs a teacher that moves, and no clip loss that drowns the patch loss.
        ema_decay=0.999,
        utterance_weight=0.5,
        validate_every=max(1, config.pretrain_updates // 6),
        save_every=max(1, config.pretrain_updates // 6),
        log_every=max(1, config.pretrain_updates // 24),
        validation_share=0.1,
        device=config.device,
        seed=config.seed,
        bad_files=BadFiles.IGNORE,
    )


def _finetune_config(config: DemoConfig, story: DemoStory) -> FinetuneConfig:
    assert story.audio_dir is not None
    assert story.labels_csv is not None
    return FinetuneConfig(
        save_dir=story.finetune_dir,
        data_dir=story.audio_dir,
        labels=story.labels_csv,
        model_path=story.pretrain_dir / "checkpoint_best.pt",
        batch_size=16,
        target_length=TARGET_LENGTH,
        num_updates=config.finetune_updates,
        prediction_mode="MEAN_POOLING",
        learning_rate=1e-3,
        layer_decay=1.0,
        drop_path=0.0,
        mask_ratio=0.1,
        label_smoothing=0.0,
        validate_every=max(1, config.finetune_updates // 8),
        save_every=max(1, config.finetune_updates // 4),
        log_every=max(1, config.finetune_updates // 16),
        validation_share=0.3,
        device=config.device,
        seed=config.seed,
        bad_files=BadFiles.IGNORE,
    )


def _use(config: DemoConfig, story: DemoStory, console: Console) -> None:
    """Embed the unlabelled recordings; predict the long ones window by window."""
    embed(
        EmbedConfig(
            model_path=story.pretrain_dir / "checkpoint_best.pt",
            data_dir=story.unlabeled_dir,
            output=config.output_dir / "embeddings.parquet",
            window_s=5.0,
            bad_files=BadFiles.IGNORE,
            overwrite=True,  # of an earlier demo, whose model was another
        ),
        console,
    )
    if story.labels_csv is not None and story.recordings_dir is not None:
        predict(
            PredictConfig(
                model_path=story.finetune_dir / "checkpoint_best.pt",
                data_dir=story.recordings_dir,
                output=config.output_dir / "predictions.csv",
                bad_files=BadFiles.IGNORE,
                overwrite=True,
            ),
            console,
        )
