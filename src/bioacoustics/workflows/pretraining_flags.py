"""Pre-training flags: what `pretrain` lets its user say, apart for each model where it is the model's own."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from bioacoustics.models.eat import Size
from bioacoustics.workflows.training_flags import TrainingFlags

PUBLISHED_UPDATES = 400_000
FEWEST_UPDATES = 1_000
DEFAULT_PASSES = 100


class EATFlags(BaseModel, frozen=True, extra="forbid"):
    """What only EAT's pre-training asks."""

    help_panel: ClassVar[str] = "Only with --model eat"

    recipe: Literal["published", "small"] = Field(
        default="published",
        description="small suits less than 100 hours: other defaults for --target_length (256), --num_clones "
        "(4), --learning_rate (1e-3), --ema_decay (0.99), --utterance_weight (0), targets without place, and "
        "reconstruction of the hidden patches",
    )
    num_clones: int = Field(default=16, ge=1, description="masked copies of each window in an update")
    ema_decay: float = Field(default=0.9998, gt=0, lt=1, description="how slowly the teacher follows")
    utterance_weight: float = Field(
        default=192.0,
        ge=0,
        description="weight of the clip loss beside the patch loss (192 is published; 1 suits short runs)",
    )
    min_target_std: float = Field(
        default=0.1, ge=0, description="stop when the targets vary less than this: collapse; 0 never stops"
    )
    min_prediction_std: float = Field(default=0.01, ge=0, description="the same for the predictions")


class BEATsFlags(BaseModel, frozen=True, extra="forbid"):
    """What only BEATs' pre-training asks."""

    help_panel: ClassVar[str] = "Only with --model beats"

    iterations: int = Field(
        default=1, ge=1, description="times to pre-train; before each but the first a tokenizer is trained"
    )
    tokenizer_path: Path | None = Field(
        default=None,
        description="published or own tokenizer of the first iteration [default: random projection; with "
        "--model_path one that is distilled from that model]",
    )
    tokenizer_updates: int | None = Field(
        default=None, ge=1, description="updates of each tokenizer [default: a quarter of --num_updates]"
    )
    tokenizer_learning_rate: float = Field(
        default=5e-4, gt=0, description="peak learning rate of the tokenizers"
    )
    num_codes: int = Field(default=1024, ge=2, description="tokens that there are, of new tokenizers")
    restart_codes_after: int | None = Field(
        default=100,
        ge=1,
        description="a code that nothing chose for so many updates begins anew elsewhere",
    )
    positions: Literal["packed", "true"] = Field(
        default="packed", description="visible patches close up, or keep their true places"
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="share of every target that is spread over all tokens"
    )
    fresh_encoders: bool = Field(
        default=False, description="each iteration begins with random weights, not where the last one ended"
    )
    min_code_perplexity: float = Field(
        default=4.0, ge=0, description="stop when fewer tokens than this are in use, in effect; 0 never stops"
    )


class PretrainConfig(TrainingFlags, EATFlags, BEATsFlags, frozen=True, extra="forbid"):
    """What `pretrain` needs to know; the flags of the command line are these fields."""

    save_dir: Path = Field(description="run folder: checkpoints, metrics, pictures; the same folder resumes")
    data_dir: Path = Field(description="recordings in any supported format, sub-folders included")
    model: Literal["eat", "beats"] = Field(default="eat", description="which model to pre-train")
    model_path: Path | None = Field(
        default=None,
        description="published or own checkpoint to continue from; without it weights are random",
    )
    model_size: Size = Field(default="base", description="size of a new model")
    target_length: int = Field(
        default=1024, ge=16, description="window length in log-mel frames of 10 ms; a multiple of 16"
    )
    num_updates: int | None = Field(
        default=None,
        ge=1,
        description=f"updates of the whole run, with BEATs of each iteration [default: {DEFAULT_PASSES} "
        f"passes, {FEWEST_UPDATES} to {PUBLISHED_UPDATES}]",
    )
    learning_rate: float = Field(default=5e-4, gt=0, description="peak learning rate")
    warmup_updates: int | None = Field(default=None, ge=0, description="[default: 13 % of the updates]")
    mask_ratio: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of the patches hidden from the encoder [default: EAT 0.8, BEATs 0.75]",
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

    @model_validator(mode="after")
    def _refuse_flags_of_the_other_model(self) -> "PretrainConfig":
        foreign = BEATsFlags if self.model == "eat" else EATFlags
        changed = [
            name for name, field in foreign.model_fields.items() if getattr(self, name) != field.default
        ]
        if changed:
            raise ValueError(
                f"{', '.join(f'--{name}' for name in changed)} says nothing to --model {self.model}: leave "
                "it out, or choose the other model"
            )
        return self

    def num_updates_of(self, num_windows: int, num_processes: int) -> int:
        """Updates of a pre-training that learns from so many windows."""
        passes = DEFAULT_PASSES * num_windows // self.rows_per_update(num_processes)
        return self.num_updates or min(max(FEWEST_UPDATES, passes), PUBLISHED_UPDATES)
