"""Capacity: how many windows at a time fit into the memory of the processor."""

import json
import os
from pathlib import Path

import psutil
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from bioacoustics.models.eat import EATConfig
from bioacoustics.models.encoders import EncoderConfig
from bioacoustics.models.relative_transformer import RelativeTransformerConfig
from bioacoustics.objectives.masked_latent import MaskedLatent
from bioacoustics.objectives.masked_tokens import MaskedTokens
from bioacoustics.objectives.token_distillation import TokenDistillation

BYTES_PER_FLOAT = 4
# Arrays of `embed_dim` floats that a block keeps for the backward pass, for each token: of EAT, and of BEATs,
# which has dropout.
FLOATS_KEPT_PER_TOKEN = 12
FLOATS_KEPT_PER_TOKEN_OF_BEATS = 16
# The same of an attention that learns a bias, for each pair of tokens of each head; with dropout twice that.
FLOATS_KEPT_PER_PAIR = 2
# Pixels that are told, those that are wanted, their differences, and gradients.
FLOATS_KEPT_PER_PIXEL = 4
# Logits, their logarithms and gradients.
FLOATS_KEPT_PER_LOGIT = 4
SHARE_OF_FREE_MEMORY = 0.6
COPIES_OF_WEIGHTS = 4  # weights, gradients and the two moments of AdamW


def pretraining_bytes_per_clip(objective: MaskedLatent, target_length: int) -> int:
    """What one clip with all its clones keeps in memory during an update."""
    encoder, config = objective.encoder.config, objective.config
    num_patches = target_length // encoder.patch_size * encoder.num_bands
    num_visible = config.mask.num_visible(num_patches)
    # The decoder is computed again, clip by clip: of it only the input is kept.
    of_decoder_and_losses = 5 * num_patches * encoder.embed_dim
    if config.reconstruction_weight > 0:
        of_decoder_and_losses += FLOATS_KEPT_PER_PIXEL * num_patches * encoder.patch_size**2
    floats = config.num_clones * (_encoder_floats(encoder, num_visible) + of_decoder_and_losses)
    return floats * BYTES_PER_FLOAT


def finetuning_bytes_per_clip(encoder: EncoderConfig, target_length: int) -> int:
    """What one clip keeps in memory during an update of fine-tuning."""
    num_patches = target_length // encoder.patch_size * encoder.num_bands
    return _encoder_floats(encoder, num_patches) * BYTES_PER_FLOAT


def masked_tokens_bytes_per_clip(objective: MaskedTokens, target_length: int) -> int:
    """What one clip keeps in memory during an update of BEATs' pre-training."""
    encoder, predictor = objective.encoder.config, objective.predictor.config
    num_patches = target_length // encoder.patch_size * encoder.num_bands
    num_visible = round(num_patches * (1 - objective.config.mask_ratio))
    kept = _encoder_floats(encoder, num_visible) + _encoder_floats(predictor, num_patches)
    return (kept + num_patches * predictor.num_codes * FLOATS_KEPT_PER_LOGIT) * BYTES_PER_FLOAT


def distillation_bytes_per_clip(objective: TokenDistillation, target_length: int) -> int:
    """What one clip keeps in memory while a tokenizer is trained."""
    encoder, estimator = objective.tokenizer.encoder.config, objective.estimator.config
    num_patches = target_length // encoder.patch_size * encoder.num_bands
    kept = _encoder_floats(encoder, num_patches) + _encoder_floats(estimator, num_patches)
    return (kept + num_patches * objective.tokenizer.num_codes * 2) * BYTES_PER_FLOAT


def rows_at_a_time(
    bytes_per_row: int, batch_size: int, module: nn.Module, accelerator: Accelerator, save_dir: Path
) -> int:
    """How many rows each process learns from at a time: what fits, the same in all processes.

    And the same as when the run in `save_dir` was started before, where that still fits: otherwise a run that
    is resumed while the machine has more memory free would add its gradients up in another order, and draw
    drop path anew.
    """
    rows = rows_that_fit(bytes_per_row, batch_size, module, accelerator.num_processes)
    wish = min(rows, _rows_of_earlier_start(save_dir, batch_size) or batch_size)
    choices: list[int] = gather_object([wish])
    return min(choices)


def rows_that_fit(bytes_per_row: int, batch_size: int, module: nn.Module, num_processes: int) -> int:
    """The largest part of a batch, halving, that leaves room for everything else on this machine."""
    processes_here = int(os.environ.get("LOCAL_WORLD_SIZE", str(num_processes)))
    trainable = sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
    free = psutil.virtual_memory().available * SHARE_OF_FREE_MEMORY / processes_here
    free -= COPIES_OF_WEIGHTS * trainable * BYTES_PER_FLOAT
    rows = batch_size
    while rows > 1 and rows * bytes_per_row > free:
        rows = (rows + 1) // 2
    return rows


def _rows_of_earlier_start(save_dir: Path, batch_size: int) -> int | None:
    path = save_dir / "config.json"
    if not (save_dir / "run_state.pt").exists() or not path.exists():
        return None
    data = json.loads(path.read_text(encoding="utf-8"))["training"]["data"]
    rows: int | None = data["micro_batch_size"]
    return rows if data["batch_size"] == batch_size else None


def _encoder_floats(encoder: EATConfig | RelativeTransformerConfig, num_patches: int) -> int:
    is_eat = isinstance(encoder, EATConfig)
    per_token = encoder.embed_dim * (FLOATS_KEPT_PER_TOKEN if is_eat else FLOATS_KEPT_PER_TOKEN_OF_BEATS)
    floats = encoder.depth * (num_patches + 1) * per_token
    if isinstance(encoder, RelativeTransformerConfig) and encoder.relative_bias:
        kept_per_pair = FLOATS_KEPT_PER_PAIR * (2 if encoder.attention_dropout else 1)
        floats += encoder.depth * encoder.num_heads * num_patches**2 * kept_per_pair
    return floats
