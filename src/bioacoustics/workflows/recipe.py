"""Recipe: settings of EAT's pre-training for little data, beside those that were published for much."""

from typing import Any

from bioacoustics.workflows.pretraining_flags import PretrainConfig

SMALL_HOURS = 100.0
# Measured in docs/benchmarks.md: many updates on short windows, a teacher that follows soon, targets that say
# more than the place of a patch, and the patch itself told beside what the teacher says of it.
SMALL_FLAGS: dict[str, Any] = {
    "target_length": 256,
    "num_clones": 4,
    "learning_rate": 1e-3,
    "ema_decay": 0.99,
    "utterance_weight": 0.0,
}
SMALL_TARGETS: dict[str, Any] = {
    "removes_position": True,
    "ema_end_decay": 0.9995,
    "ema_anneal_updates": 2_000,
    "reconstruction_weight": 20.0,
}


def with_recipe(config: PretrainConfig) -> PretrainConfig:
    """The same flags; with the small recipe, its values where a flag was not given."""
    if config.recipe == "published":
        return config
    small = {name: value for name, value in SMALL_FLAGS.items() if name not in config.model_fields_set}
    return config.model_copy(update=small)


def target_settings(config: PretrainConfig) -> dict[str, Any]:
    """Settings of the objective that have no flag of their own."""
    settings = dict(SMALL_TARGETS) if config.recipe == "small" else {"ema_end_decay": 0.99999}
    # A teacher that begins slower than the recipe's end stays as slow.
    return {**settings, "ema_end_decay": max(config.ema_decay, settings["ema_end_decay"])}


def settings_beside_others(hours: float, embed_dim: int) -> dict[str, Any]:
    """Settings of the objective where it is one of several, by how many hours there are without labels.

    Its losses are means over channels, so that all terms of the sum are of one size: the others of the recipe
    shrink with them.
    """
    loss_scale = 1 / embed_dim
    if hours >= SMALL_HOURS:
        return {"loss_scale": loss_scale, "utterance_weight": 1.0}
    shared = {name: SMALL_FLAGS[name] for name in ("num_clones", "ema_decay", "utterance_weight")}
    smaller = loss_scale / embed_dim**-0.5
    weight = SMALL_TARGETS["reconstruction_weight"] * smaller
    return {**shared, **SMALL_TARGETS, "loss_scale": loss_scale, "reconstruction_weight": weight}


def advice(config: PretrainConfig, hours: float) -> str | None:
    """What to say to whoever begins anew on little data with the settings for much."""
    is_new_eat = config.model == "eat" and config.model_path is None
    if config.recipe == "small" or not is_new_eat or hours >= SMALL_HOURS:
        return None
    return f"{hours:.1f} hours are little for the published settings: --recipe small learns more from them"
