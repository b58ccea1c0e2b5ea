"""Health: signs that a run learns nothing any more, said early and with remedies."""

from collections.abc import Mapping

from pydantic import BaseModel, Field

CODE_GRACE_UPDATES = 200  # a codebook shows early whether it is used, and needs some updates to settle


class HealthConfig(BaseModel, frozen=True, extra="forbid"):
    """When a run is stopped because it cannot recover.

    Attributes:
        min_target_std: A teacher whose targets vary less than this has collapsed: it says the same of
            everything. 0 switches the check off, as both published EAT recipes do.
        min_prediction_std: The same for the student's predictions.
        min_code_perplexity: Where sounds become tokens, stop when in effect they are so few (the exponential
            of their entropy): there is nothing to tell apart then. 0 switches the check off.
        grace_updates: No verdict before: predictions vary little until something is learnt. None takes 5000
            (EAT's), or half the run where that is less.
        max_skipped_in_a_row: Updates with gradients that are not finite, one after the other.
    """

    min_target_std: float = Field(0.1, ge=0)
    min_prediction_std: float = Field(0.01, ge=0)
    min_code_perplexity: float = Field(4.0, ge=0)
    grace_updates: int | None = Field(None, ge=0)
    max_skipped_in_a_row: int = Field(50, ge=1)


class CollapseError(ValueError):
    """The representations have become constant."""


class DivergedError(ValueError):
    """The loss or its gradients are not finite any more."""


def check_health(config: HealthConfig, row: Mapping[str, int | float], num_updates: int) -> None:
    """Look at the means of the last updates.

    Args:
        config: The limits.
        row: `update`, `num_skipped_in_a_row`, and where the objective says so `target_std`, `prediction_std`,
            `code_perplexity`.
        num_updates: Updates of the whole run.

    Raises:
        CollapseError: Targets or predictions hardly vary, or nearly all sounds have the same few tokens.
        DivergedError: No update has moved the weights for long.
    """
    # A short run has not so many updates to lose; loss scaling of fp16 may cost the first few of any.
    most_skipped = min(config.max_skipped_in_a_row, max(3, num_updates // 2))
    if row["num_skipped_in_a_row"] >= most_skipped:
        raise DivergedError(
            f"The gradients of the last {row['num_skipped_in_a_row']:.0f} updates until update "
            f"{row['update']} were not finite, so none of them moved the weights. Lower --learning_rate, "
            "lengthen the warm-up, or use bf16 or full precision instead of fp16; the last save is whole"
        )
    grace = min(5000, num_updates // 2) if config.grace_updates is None else config.grace_updates
    if row["update"] > min(grace, CODE_GRACE_UPDATES):
        _check_codes(config, row)
    if row["update"] <= grace:
        return
    limits = {"target_std": config.min_target_std, "prediction_std": config.min_prediction_std}
    for name, limit in limits.items():
        value = row.get(name)
        if value is not None and value < limit:
            raise CollapseError(_collapse(name, value, limit, row["update"]))


def _check_codes(config: HealthConfig, row: Mapping[str, int | float]) -> None:
    perplexity = row.get("code_perplexity")
    if perplexity is None or perplexity >= config.min_code_perplexity:
        return
    raise CollapseError(
        f"The codebook has collapsed: at update {row['update']} only {perplexity:.1f} tokens are in use, in "
        f"effect (less than {config.min_code_perplexity:g}). Nearly all sounds become the same few, and "
        "nothing can be learnt from them. Check that the recordings are not silent and that the log-mel is "
        "normalised for them (--normalisation measured); where a tokenizer is being trained, begin anew in "
        "another folder with a lower --tokenizer_learning_rate or codes that restart sooner "
        "(--restart_codes_after). If your recordings really are that uniform, lower --min_code_perplexity"
    )


def _collapse(name: str, value: float, limit: float, update: int | float) -> str:
    what = "The teacher's targets" if name == "target_std" else "The student's predictions"
    return (
        f"{what} have collapsed: at update {update} their standard deviation over patches is {value:.4f}, "
        f"less than {limit}. They say nearly the same of every sound, and more training does not undo that. "
        "Begin anew in another folder with a lower --learning_rate, a longer warm-up, or a slower teacher "
        "(ema_decay nearer to 1); check that the recordings are not silent, and, when a published checkpoint "
        "is continued, that its own mean and std of the log-mel are used"
    )
