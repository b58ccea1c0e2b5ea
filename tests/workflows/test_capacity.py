"""What fits is estimated from above, but not by much."""

import json
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.batches import Batch
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.objectives.masked_latent import MaskedLatent, MaskedLatentConfig
from bioacoustics.training.acceleration import accelerator_of
from bioacoustics.workflows.capacity import (
    finetuning_bytes_per_clip,
    pretraining_bytes_per_clip,
    rows_at_a_time,
    rows_that_fit,
)


def objective_of(**changes: float) -> MaskedLatent:
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(EATConfig.of_size("tiny")))
    config = MaskedLatentConfig(target_length=128, num_clones=4).model_copy(update=changes)
    return MaskedLatent(encoder, EATDecoder(DecoderConfig.of_size("tiny"), 192), config, seed=1)


@pytest.mark.parametrize("reconstruction_weight", [0.0, 20.0])
def test_the_estimate_holds_what_the_backward_pass_keeps(reconstruction_weight: float) -> None:
    """Counted by what autograd saves, each storage once."""
    objective = objective_of(reconstruction_weight=reconstruction_weight)
    batch = Batch(
        waveforms=torch.randn(2, 20_880),
        num_samples=torch.full((2,), 20_880),
        draw_ids=torch.arange(2),
    )
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = objective(batch)
    weights = {weight.untyped_storage().data_ptr() for weight in objective.parameters()}
    kept = sum(size for pointer, size in sizes.items() if pointer not in weights)
    assert losses.total.requires_grad
    assert kept <= 2 * pretraining_bytes_per_clip(objective, 128) <= 3 * kept


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("num_frames", [128, 512])
def test_the_estimate_holds_what_attention_with_a_bias_keeps(dropout: float, num_frames: int) -> None:
    config = BEATsConfig.of_size("tiny").for_finetuning(0.0)
    config = config.model_copy(update={"dropout": dropout, "attention_dropout": dropout})
    encoder = BEATsEncoder(config).train()
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = encoder(torch.randn(2, num_frames, 128))
    weights = {weight.untyped_storage().data_ptr() for weight in encoder.parameters()}
    kept = sum(size for pointer, size in sizes.items() if pointer not in weights)
    assert features.patches.requires_grad
    assert 0.9 * kept <= 2 * finetuning_bytes_per_clip(config, num_frames) <= 2 * kept


def test_more_of_anything_needs_more() -> None:
    base = pretraining_bytes_per_clip(objective_of(), 128)
    assert pretraining_bytes_per_clip(objective_of(), 256) > 1.9 * base
    assert pretraining_bytes_per_clip(objective_of(num_clones=8), 128) == pytest.approx(2 * base, rel=0.01)
    tiny, small = (EATConfig.of_size(size) for size in ("tiny", "small"))
    assert finetuning_bytes_per_clip(small, 128) == pytest.approx(
        4 * finetuning_bytes_per_clip(tiny, 128), rel=0.01
    )


def test_a_batch_is_halved_until_it_fits() -> None:
    module = nn.Linear(4, 4)
    free = psutil.virtual_memory().available
    assert rows_that_fit(1, 96, module, 1) == 96
    assert rows_that_fit(free // 100, 96, module, 1) in {24, 48}
    assert rows_that_fit(free // 100, 96, module, 8) in {3, 6, 12}
    assert rows_that_fit(free * 10, 96, module, 1) == 1
    assert rows_that_fit(free // 10, 7, module, 1) in {4, 2}


def test_a_resumed_run_keeps_its_rows_where_they_fit(tmp_path: Path) -> None:
    """Else memory that has become free would change the order of sums, and with it the last bits."""
    module, accelerator = nn.Linear(4, 4), accelerator_of("cpu", "no")
    assert rows_at_a_time(1, 96, module, accelerator, tmp_path) == 96
    record = {"training": {"data": {"batch_size": 96, "micro_batch_size": 24}}}
    (tmp_path / "config.json").write_text(json.dumps(record))
    assert rows_at_a_time(1, 96, module, accelerator, tmp_path) == 96  # nothing was saved yet
    (tmp_path / "run_state.pt").touch()
    assert rows_at_a_time(1, 96, module, accelerator, tmp_path) == 24
    assert rows_at_a_time(1, 48, module, accelerator, tmp_path) == 48  # another split of the updates
    free = psutil.virtual_memory().available
    assert rows_at_a_time(free * 10, 96, module, accelerator, tmp_path) == 1
