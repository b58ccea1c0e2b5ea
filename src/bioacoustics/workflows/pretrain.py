"""Pre-train: EAT or BEATs learns from a folder of recordings without labels."""

from rich.console import Console

from bioacoustics.training.acceleration import accelerator_of
from bioacoustics.workflows.pretrain_beats import pretrain_beats
from bioacoustics.workflows.pretrain_eat import pretrain_eat
from bioacoustics.workflows.pretraining import material_of
from bioacoustics.workflows.pretraining_flags import PretrainConfig
from bioacoustics.workflows.recipe import advice, with_recipe
from bioacoustics.workflows.survey import Outcome

__all__ = ["PretrainConfig", "pretrain"]


def pretrain(config: PretrainConfig, console: Console) -> Outcome:
    """Pre-train EAT or BEATs on a folder of recordings, without labels.

    Writes checkpoint_best.pt and checkpoint_last.pt into --save_dir. The same command continues a run that
    was interrupted, and then ends with the same result.
    """
    config = with_recipe(config)
    material = material_of(config, accelerator_of(config.device, config.precision), console)
    if said := advice(config, sum(recording.duration_s for recording in material.training) / 3600):
        material.console.print(said, highlight=False, soft_wrap=True)
    match config.model:
        case "eat":
            pretrain_eat(config, material)
        case "beats":
            pretrain_beats(config, material)
    material.console.print(
        f"{config.save_dir / 'checkpoint_best.pt'}: ready for `bioacoustics finetune` and `embed`",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return material.outcome
