"""Train flags: what `train` lets its user say."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from bioacoustics.models.heads import ChannelMode
from bioacoustics.workflows.training_flags import TrainingFlags

DEFAULT_EPOCHS = 10
DEFAULT_FROZEN_EPOCHS = 200


class ContrastiveFlags(BaseModel, frozen=True, extra="forbid"):
    """What only examples need."""

    help_panel: ClassVar[str] = "Only with --positive_dir"

    contrastive_weight: float = Field(default=1.0, ge=0, description="weight of the contrastive loss")
    detector_weight: float = Field(
        default=1.0, ge=0, description="weight of telling the classes of examples apart, and from negatives"
    )
    bank_size: int | None = Field(
        default=None,
        ge=1,
        description="slots of each memory bank [default: one for each clip, 4096 at most]",
    )
    momentum: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="how slowly the encoder of the banks follows; 0: it is the same one "
        "[default: 0.99; with --freeze_encoder 0, as what is trained then is small and moves fast]",
    )
    temperature: float = Field(default=0.2, gt=0, description="similarities are divided by it")
    projection_dim: int = Field(default=128, ge=1, description="length of the vectors that are compared")
    negative_weight: float = Field(
        default=1.0, gt=0, description="how much a negative counts beside a positive"
    )
    hardness: float = Field(
        default=0.5, ge=0, description="how much more similar negatives count, after a warm-up"
    )
    dropped_share: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="share of the most similar negatives left out: they may hold the target, unnoticed",
    )
    positive_ratio: float = Field(default=1.0, gt=0, description="rows of positives, in relation to others")
    negative_ratio: float = Field(default=1.0, gt=0, description="rows of negatives, in relation to others")


class TrainConfig(TrainingFlags, ContrastiveFlags, frozen=True, extra="forbid"):
    """What `train` needs to know; the flags of the command line are these fields."""

    output_dir: Path = Field(description="run folder: checkpoints, metrics, tables; the same folder resumes")
    data_dir: Path | None = Field(default=None, description="recordings without labels, sub-folders included")
    labeled_dir: Path | None = Field(default=None, description="folder with audio/ and labels.csv")
    positive_dir: Path | None = Field(
        default=None, description="clips of the target sound; sub-folders are classes"
    )
    negative_dir: Path | None = Field(default=None, description="clips of what it is not")
    model: Literal["beats", "eat"] | None = Field(
        default=None, description="which model [default: that of --model_path, else beats]"
    )
    model_path: Path | None = Field(
        default=None, description="published or own checkpoint to adapt; without it weights are random"
    )
    tokenizer_path: Path | None = Field(
        default=None,
        description="published or own tokenizer of BEATs [default: that of --model_path, else a random one]",
    )
    num_codes: int = Field(default=1024, ge=2, description="tokens that there are, of a new random tokenizer")
    encoder_layers: int | None = Field(
        default=None, ge=1, description="blocks of a new encoder [default: 12]"
    )
    encoder_embed_dim: int | None = Field(
        default=None, ge=16, description="width of a new encoder, a multiple of 16 [default: 768]"
    )
    segment_duration: float = Field(default=10.0, ge=0.2, le=120, description="seconds of a window")
    epochs: int | None = Field(
        default=None,
        ge=1,
        description="passes over --data_dir, without it over the largest of the others "
        f"[default: {DEFAULT_EPOCHS}; with --freeze_encoder {DEFAULT_FROZEN_EPOCHS}]",
    )
    checkpoint_freq: int | None = Field(
        default=None, ge=1, description="also keep a checkpoint every so many epochs"
    )
    batch_size: int = Field(default=16, ge=1, description="windows of one process at a time, of all sources")
    lr: float | None = Field(
        default=None,
        gt=0,
        description="peak learning rate [default: 1e-4; 5e-4 of a new model; 2e-4 with --freeze_encoder]",
    )
    warmup_updates: int | None = Field(default=None, ge=0, description="[default: 10 % of the updates]")
    supervised_weight: float = Field(
        default=0.3, ge=0, description="weight of the classification loss of --labeled_dir"
    )
    self_supervised_weight: float = Field(default=1.0, ge=0, description="weight of the loss of --data_dir")
    unlabeled_ratio: float = Field(
        default=2.0, gt=0, description="rows of --data_dir in an update, in relation to the other sources"
    )
    labeled_ratio: float = Field(
        default=1.0, gt=0, description="rows of --labeled_dir, in relation to the other sources"
    )
    freeze_encoder: bool = Field(
        default=False, description="hear each clip once and train only what follows the encoder: minutes"
    )
    num_views: int = Field(
        default=4,
        ge=1,
        description="with --freeze_encoder: how often each clip is heard, differently changed",
    )
    prediction_mode: ChannelMode = Field(default="MEAN_POOLING", description="how features become one vector")
    validation_share: float = Field(
        default=0.2, ge=0, lt=1, description="share of the recordings that judges the model"
    )

    @model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        if self.data_dir is None and self.labeled_dir is None and self.positive_dir is None:
            raise ValueError("nothing to learn from: give --data_dir, --labeled_dir or --positive_dir")
        if self.negative_dir is not None and self.positive_dir is None:
            raise ValueError("--negative_dir says what a target is not: give the target as --positive_dir")
        if self.positive_dir is None:
            given = [
                name
                for name, field in ContrastiveFlags.model_fields.items()
                if getattr(self, name) != field.default
            ]
            if given:
                raise ValueError(f"{', '.join(f'--{name}' for name in given)} needs --positive_dir")
        if self.tokenizer_path is not None and self.data_dir is None:
            raise ValueError("--tokenizer_path is for recordings without labels: give them as --data_dir")
        if self.freeze_encoder:
            self._check_frozen()
        if self.model_path is not None and (self.encoder_layers or self.encoder_embed_dim):
            raise ValueError(
                "--encoder_layers and --encoder_embed_dim shape a new encoder, but --model_path gives one: "
                "leave them out, or leave out --model_path"
            )
        return self

    def _check_frozen(self) -> None:
        if self.model_path is None:
            raise ValueError("--freeze_encoder without --model_path would learn from random features")
        if self.data_dir is not None:
            raise ValueError(
                "--data_dir is for training the encoder, and --freeze_encoder leaves it as it is: leave out "
                "one of them"
            )

    @property
    def ratios(self) -> dict[str, float]:
        """Rows of each source in relation to the others."""
        return {
            "unlabeled": self.unlabeled_ratio,
            "labeled": self.labeled_ratio,
            "positive": self.positive_ratio,
            "negative": self.negative_ratio,
        }

    @property
    def num_epochs(self) -> int:
        """Passes, as given or by default."""
        return self.epochs or (DEFAULT_FROZEN_EPOCHS if self.freeze_encoder else DEFAULT_EPOCHS)

    @property
    def key_momentum(self) -> float:
        """Momentum of the encoder of the banks, as given or by default."""
        if self.momentum is not None:
            return self.momentum
        return 0.0 if self.freeze_encoder else 0.99

    @property
    def learning_rate(self) -> float:
        """Peak learning rate, as given or by default."""
        if self.lr is not None:
            return self.lr
        if self.freeze_encoder:
            return 2e-4
        return 5e-4 if self.model_path is None else 1e-4
