"""EAT's pre-training against the official numbers, and what must not depend on the size of a batch."""

import copy
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.batches import Batch
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.objectives.masked_latent import NOISE_TABLE_SIZE, MaskedLatent, MaskedLatentConfig
from bioacoustics.objectives.masks import MaskConfig
from bioacoustics.objectives.objective import Losses
from bioacoustics.training.optimizer import OptimizerConfig, Updater, learning_rate

Arrays = dict[str, np.ndarray]
Build = Callable[..., MaskedLatent]
WHICH = pytest.mark.parametrize("which", ["p1", "p2"])
RUN = pytest.mark.parametrize("run", ["p1_nonoise", "p1_noise", "p2_nonoise", "p2_noise"])


def load(path: Path) -> Arrays:
    with np.load(path) as arrays:
        return dict(arrays)


def deviation(ours: Tensor, official: np.ndarray) -> float:
    assert tuple(ours.shape) == official.shape
    return float(
        (ours.detach().double() - torch.from_numpy(official).double()).abs().max() / np.abs(official).max()
    )


def inputs_of(golden: Arrays) -> tuple[Tensor, Tensor, Tensor]:
    """Log-mel, masks and noise of a golden run."""
    log_mel = torch.from_numpy(golden["fbank"])[:, 0]
    rows, patches = golden["mask"].shape
    masks = torch.from_numpy(golden["mask"]).bool().view(len(log_mel), -1, patches)
    noise = golden.get("noise_grid", np.zeros((rows, patches, 64), np.float32))
    return log_mel, masks, torch.from_numpy(noise)


def gradients(objective: MaskedLatent) -> dict[str, Tensor]:
    return {
        name.removeprefix("encoder."): parameter.grad
        for name, parameter in objective.named_parameters()
        if parameter.grad is not None
    }


@WHICH
def test_targets_equal_the_official_ones(golden_eat: Path, pretraining: Build, which: str) -> None:
    golden = load(golden_eat / f"pretrain_{which}_nonoise.npz")
    objective = pretraining(which)
    targets = objective.targets(inputs_of(golden)[0])
    assert deviation(targets, golden["targets"]) < 2e-4
    assert deviation(targets.mean(dim=1), golden["cls_target"]) < 2e-4
    layers = objective.teacher.encode(
        objective.teacher.embed_patches(inputs_of(golden)[0]), collect_mlp_outputs=True
    ).mlp_outputs
    assert deviation(torch.stack(layers), golden["teacher_block_ffn"]) < 1e-4


@RUN
def test_student_and_decoder_equal_the_official_ones(golden_eat: Path, pretraining: Build, run: str) -> None:
    golden = load(golden_eat / f"pretrain_{run}.npz")
    objective = pretraining(run[:2])
    log_mel, masks, noise = inputs_of(golden)
    cls, grid = objective.encode_visible(log_mel, masks, noise)
    assert deviation(cls, golden["student_cls"]) < 1e-4
    visible = grid * ~masks.flatten(0, 1)[..., None]
    assert deviation(visible, golden["student_visible_grid"]) < 1e-4
    predictions = objective.decoder(grid, log_mel.shape[1] // 16)
    assert deviation(predictions, golden["decoder_pred"]) < 2e-4


@RUN
def test_losses_and_gradients_equal_the_official_ones(
    golden_eat: Path, pretraining: Build, name_of: Callable[[str], str], run: str
) -> None:
    golden = load(golden_eat / f"pretrain_{run}.npz")
    summary = json.loads((golden_eat / "pretrain_summary.json").read_text())[f"pretrain_{run}"]
    objective = pretraining(run[:2])
    log_mel, masks, noise = inputs_of(golden)
    losses = objective.losses_of(log_mel, masks, noise)
    terms, sample_size = losses.terms, float(golden["sample_size"])

    assert masks.sum().item() == sample_size
    assert deviation(losses.total, golden["loss_per_sample"]) < 1e-4
    assert deviation(losses.total * sample_size, golden["total_loss"]) < 1e-4
    assert deviation(terms["frame_loss"], golden["frame_loss"]) < 1e-4
    assert deviation(terms["frame_loss"] * sample_size, golden["frame_loss_sum"]) < 1e-4
    assert deviation(terms["utterance_loss"], golden["cls_loss"]) < 1e-4
    assert deviation(terms["utterance_loss"] * sample_size, golden["cls_loss_sum"]) < 1e-4
    assert deviation(terms["prediction_std"], golden["pred_var"]) < 1e-4
    assert deviation(terms["target_std"], golden["target_var"]) < 1e-4
    assert terms["masked_share"].item() == pytest.approx(float(golden["masked_pct"]), abs=1e-7)
    assert terms["loss"].item() == pytest.approx(summary["loss"], rel=1e-4)

    losses.total.backward()
    grads = gradients(objective)
    total = torch.stack([grad.norm() for grad in grads.values()]).norm()
    assert deviation(total, golden["grad_total_norm"]) < 2e-4
    compared = set()
    for official, norm in summary["grad_norms"].items():
        name = name_of(official)
        if norm is None:  # the fixed table of positions
            assert name not in grads
            continue
        compared.add(name)
        assert grads[name].norm().item() == pytest.approx(norm, rel=2e-4, abs=1e-4), name
    assert compared == set(grads)
    for key in golden:
        if key.startswith("grad__"):
            assert deviation(grads[name_of(key[6:])], golden[key]) < 5e-4, key


OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "loss_scale_1": {"loss_scale": 1.0},
    "loss_beta_half": {"loss_beta": 0.5},
    "topk_1": {"average_top_k_layers": 1},
    "no_layer_norm_targets": {"normalises_targets": False},
    "layer_norm_target_layer": {"target_layer_norm": "layer"},
    "no_instance_norm": {"target_layer_norm": "none"},
    "end_of_block_targets": {"target_source": "block"},
    "cls_loss_0": {"utterance_weight": 0.0},
}


@WHICH
@pytest.mark.parametrize("option", OPTIONS)
def test_options_equal_the_official_ones(
    golden_eat: Path, pretraining: Build, which: str, option: str
) -> None:
    official = json.loads((golden_eat / f"pretrain_{which}_options.json").read_text())
    assert set(official) == set(OPTIONS)
    golden = load(golden_eat / f"pretrain_{which}_nonoise.npz")
    objective = pretraining(which, **OPTIONS[option])
    log_mel, masks, noise = inputs_of(golden)
    terms = objective.losses_of(log_mel, masks, noise).terms
    expected = official[option]
    assert terms["frame_loss"].item() == pytest.approx(expected["IMAGE_regression"], rel=1e-4)
    assert terms["utterance_loss"].item() == pytest.approx(expected.get("cls", 0.0), rel=1e-4)
    assert terms["target_std"].item() == pytest.approx(expected["target_var"], rel=1e-4)
    assert terms["prediction_std"].item() == pytest.approx(expected["pred_var"], rel=1e-4)
    assert objective.targets(log_mel).abs().mean().item() == pytest.approx(
        expected["target_mean_abs"], rel=1e-4
    )


def test_updates_equal_the_official_ones(
    golden_eat: Path, pretraining: Build, name_of: Callable[[str], str]
) -> None:
    """Four updates: moving average, clipping at 4, AdamW with decay on everything, cosine."""
    golden = load(golden_eat / "pretrain_steps.npz")
    objective = pretraining("p2")
    config = OptimizerConfig(
        num_updates=int(golden["max_update"]),
        learning_rate=float(golden["base_lr"]),
        warmup_updates=int(golden["warmup"]),
        weight_decay=float(golden["weight_decay"]),
        clip_norm=float(golden["clip_norm"]),
        decays_norms_and_biases=True,
    )
    updater = Updater(objective, config)
    for update in range(4):
        assert learning_rate(config, update) == pytest.approx(float(golden["lr"][update]), rel=1e-9)
        if update:
            decay = objective.config.ema_decay_at(update)
            assert decay == pytest.approx(float(golden["ema_decay"][update]), rel=1e-9)
        step = {"fbank": golden["fbank"][update], "mask": golden["mask"][update]}
        log_mel, masks, noise = inputs_of(step | {"noise_grid": golden["noise"][update]})
        losses = objective.losses_of(log_mel, masks, noise)
        (losses.total * losses.weight).backward()
        norm = updater.step(update, losses.weight)
        assert losses.total.item() == pytest.approx(float(golden["loss"][update]), rel=1e-4)
        assert losses.terms["frame_loss"].item() == pytest.approx(float(golden["frame"][update]), rel=1e-4)
        assert losses.terms["utterance_loss"].item() == pytest.approx(float(golden["cls"][update]), rel=1e-4)
        assert norm.item() == pytest.approx(float(golden["gnorm"][update]), rel=2e-4)
        objective.after_step(update + 1)

    student = {f"encoder.{n}": p for n, p in objective.encoder.encoder.named_parameters()}
    student |= {f"decoder.{n}": p for n, p in objective.decoder.named_parameters()}
    teacher = {f"encoder.{n}": p for n, p in objective.teacher.named_parameters()}
    norms = json.loads((golden_eat / "pretrain_steps_norms.json").read_text())
    for weights, prefix, limit in ((student, "param_after__", 3e-4), (teacher, "ema_after__", 1e-4)):
        keys = [key for key in golden if key.startswith(prefix)]
        assert keys
        for key in keys:
            ours, official = weights[name_of(key.removeprefix(prefix))], golden[key]
            if key.endswith("qkv.bias"):
                # The gradient of the keys' bias is 0 but for rounding, which Adam turns into steps.
                kept = np.r_[0:64, 128:192]
                ours, official = ours[kept], official[kept]
            assert deviation(ours, official) < limit, key
    for weights, which, limit in ((student, "param_norms", 3e-4), (teacher, "ema_norms", 1e-4)):
        compared = {name_of(official): norm for official, norm in norms[which].items()}
        assert weights.keys() <= compared.keys()  # there also the fixed table of positions
        for name, weight in weights.items():
            assert weight.norm().item() == pytest.approx(compared[name], rel=limit), name


@pytest.mark.parametrize(("size", "anneal"), [("base", 100_000), ("large", 150_000)])
def test_decay_equals_the_official_table(golden_eat: Path, size: str, anneal: int) -> None:
    schedules = json.loads((golden_eat / "schedules.json").read_text())
    config = MaskedLatentConfig(ema_anneal_updates=anneal)
    for update, decay in zip(schedules["updates"], schedules["ema_decay"][size], strict=True):
        assert config.ema_decay_at(update) == pytest.approx(decay, rel=1e-9)


def tiny(*, seed: int = 0, **options: Any) -> MaskedLatent:
    """A model of a few thousand weights, the same at every call."""
    torch.manual_seed(0)
    encoder = EATEncoder(EATConfig(embed_dim=32, depth=2, num_heads=2, num_position_columns=16))
    decoder = EATDecoder(DecoderConfig(width=32, num_layers=2), 32)
    config = MaskedLatentConfig(**({"num_clones": 3, "target_length": 192} | options))
    return MaskedLatent(AudioEncoder(LogMelConfig(), encoder), decoder, config, seed=seed)


def sound(num_clips: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        waveforms=0.1 * torch.randn(num_clips, 24_000, generator=generator),
        num_samples=torch.full((num_clips,), 24_000),
        draw_ids=torch.arange(50, 50 + num_clips),
    )


def gradient_of(objective: MaskedLatent, batches: list[Batch]) -> dict[str, Tensor]:
    """As the loop accumulates: sum(total * weight) / sum(weight)."""
    objective.zero_grad()
    weight = torch.zeros(())
    for batch in batches:
        losses = objective(batch)
        (losses.total * losses.weight).backward()
        weight += losses.weight
    return {name: grad / weight for name, grad in gradients(objective).items()}


@pytest.mark.parametrize("sizes", [(2, 2), (1, 3), (1, 1, 1, 1)])
def test_micro_batches_equal_the_whole_batch(sizes: tuple[int, ...]) -> None:
    objective, batch = tiny(), sound()
    whole = gradient_of(objective, [batch])
    starts = np.cumsum([0, *sizes])
    parts = gradient_of(objective, [batch.rows(int(a), int(b)) for a, b in itertools.pairwise(starts)])
    assert whole.keys() == parts.keys()
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=2e-5)


def test_default_weight_is_the_official_balance() -> None:
    """A mean with weight 192 is the official sum at 192 rows, and stays so at any other number of rows."""
    batch = sound(12)
    mean = tiny(num_clones=16, target_length=16)(batch)
    summed = tiny(num_clones=16, target_length=16, utterance_weight=1.0, sums_utterance_rows=True)(batch)
    torch.testing.assert_close(mean.total, summed.total)
    half = tiny(num_clones=8, target_length=16)(batch).terms["utterance_loss"]
    assert half.item() == pytest.approx(mean.terms["utterance_loss"].item(), rel=0.2)


def test_losses_depend_on_seed_and_draw_ids_alone() -> None:
    batch = sound()
    first, again = tiny()(batch), tiny()(batch)
    assert torch.equal(first.total, again.total)
    assert first.weight.item() == 4
    assert not torch.equal(tiny(seed=1)(batch).total, first.total)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Batch(
        waveforms=batch.waveforms[order], num_samples=batch.num_samples[order], draw_ids=batch.draw_ids[order]
    )
    torch.testing.assert_close(tiny()(shuffled).total, first.total)


def test_hidden_patches_cannot_leak_to_the_student() -> None:
    objective, batch = tiny(), sound(2)
    log_mel = objective.encoder.log_mel(batch.waveforms, target_length=192)
    masks = torch.ones(2, 3, 96, dtype=torch.bool)
    masks[..., :19] = False  # the first two columns and three bands of the third
    noise = torch.zeros(6, 96, 32)
    cls, grid = objective.encode_visible(log_mel, masks, noise)
    changed = log_mel.clone()
    changed[:, 48:] = torch.randn_like(changed[:, 48:])
    changed[:, 32:48, 48:] = 0.0
    same_cls, same_grid = objective.encode_visible(changed, masks, noise)
    assert torch.equal(cls, same_cls)
    assert torch.equal(grid, same_grid)
    changed[:, 0] += 1
    assert not torch.equal(cls, objective.encode_visible(changed, masks, noise)[0])


def test_only_masked_patches_count() -> None:
    objective, batch = tiny(), sound(2)
    with torch.no_grad():
        objective.decoder.projection.weight.zero_()
        objective.decoder.projection.bias.zero_()
    log_mel = objective.encoder.log_mel(batch.waveforms, target_length=192)
    masks = torch.ones(2, 3, 96, dtype=torch.bool)
    masks[0, :, :19] = False
    masks[1, :, -19:] = False
    terms = objective.losses_of(log_mel, masks, torch.zeros(6, 96, 32)).terms
    targets = objective.targets(log_mel)
    expected = torch.cat([targets[0, 19:], targets[1, :-19]]).square().sum(dim=-1).mean() / 32**0.5
    torch.testing.assert_close(terms["frame_loss"], expected)
    assert terms["prediction_std"].item() == pytest.approx(1e-3)


def test_targets_without_position_say_nothing_of_a_teacher_that_hears_nothing() -> None:
    batch = sound(3)
    for removes_position in (False, True):
        objective = tiny(removes_position=removes_position)
        log_mel = objective.encoder.log_mel(batch.waveforms, target_length=192)
        torch.nn.init.zeros_(objective.teacher.patch_embedding.weight)  # all that is left is the place
        spread = objective.targets(log_mel).std().item()
        assert (spread < 1e-3) is removes_position, spread


def test_targets_without_position_are_those_of_the_difference_from_an_empty_clip() -> None:
    objective, batch = tiny(removes_position=True), sound(3)
    log_mel = objective.encoder.log_mel(batch.waveforms, target_length=192)
    together = objective.targets(log_mel)
    for clip in range(3):  # one after the other, so that no clip can depend on its neighbours
        layers = []
        for spectrogram in (log_mel[clip], torch.zeros(192, 128)):
            patches = objective.teacher.embed_patches(spectrogram[None])
            layers.append(objective.teacher.encode(patches, collect_mlp_outputs=True).mlp_outputs)
        normed = []
        for heard, empty in zip(*layers, strict=True):
            difference = (heard - empty)[0, 1:]
            centred = difference - difference.mean(dim=0)
            normed.append(centred / (centred.square().mean(dim=0) + 1e-5).sqrt())
        mean = torch.stack(normed).mean(dim=0)
        centred = mean - mean.mean(dim=1, keepdim=True)
        expected = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
        torch.testing.assert_close(together[clip], expected, rtol=1e-3, atol=1e-4)


def test_teacher_learns_only_by_average() -> None:
    objective = tiny(ema_decay=0.5, ema_end_decay=0.75, ema_anneal_updates=2)
    assert {name.split(".")[0] for name, p in objective.named_parameters() if p.requires_grad} == {
        "encoder", "decoder",
    }  # fmt: skip
    assert not objective.train().teacher.training
    before = copy.deepcopy(objective.teacher.state_dict())
    with torch.no_grad():
        for parameter in objective.encoder.encoder.parameters():
            parameter.add_(1.0)
    objective.after_step(1)
    for name, parameter in objective.teacher.named_parameters():
        torch.testing.assert_close(parameter, before[name] + (1 - 0.625))
    assert torch.equal(objective.teacher.positions, before["positions"])


def test_teacher_stays_in_float32_under_autocast() -> None:
    objective, batch = tiny(), sound(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = objective(batch)
        targets = objective.targets(objective.encoder.log_mel(batch.waveforms, target_length=192))
    assert targets.dtype == losses.total.dtype == torch.float32
    assert {parameter.dtype for parameter in objective.teacher.parameters()} == {torch.float32}
    losses.total.backward()
    objective.after_step(1)
    assert losses.total.item() == pytest.approx(tiny()(batch).total.item(), rel=0.05)


def test_half_precision_teacher_is_kept_in_float32() -> None:
    encoder = EATEncoder(EATConfig(embed_dim=32, depth=1, num_heads=2, num_position_columns=4)).half()
    objective = MaskedLatent(
        AudioEncoder(LogMelConfig(), copy.deepcopy(encoder).float()),
        EATDecoder(DecoderConfig(width=32, num_layers=1), 32),
        MaskedLatentConfig(),
        teacher=encoder,
        seed=0,
    )
    assert {weight.dtype for weight in objective.teacher.state_dict().values()} == {torch.float32}


def test_mask_noise_is_gaussian_and_differs_everywhere() -> None:
    objective = tiny(mask_noise_std=0.5)
    noise = objective.mask_noise(torch.arange(100), 96)
    assert noise.shape == (300, 96, 32)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.005)
    assert noise.std().item() == pytest.approx(0.5, rel=0.01)
    assert ((noise / 0.5) ** 4).mean().item() == pytest.approx(3.0, rel=0.05)
    assert len(noise.view(-1, 32).unique(dim=0)) > 0.98 * 300 * 96
    flat = noise.flatten(1)[:, :64].double()
    correlations = torch.corrcoef(flat) - torch.eye(300)
    assert correlations.std().item() == pytest.approx(64**-0.5, rel=0.1)
    assert torch.equal(objective.mask_noise(torch.tensor([7]), 96), noise[21:24])
    assert objective.noise_table.shape == (NOISE_TABLE_SIZE,)
    assert "noise_table" not in objective.state_dict()


def test_clips_are_embedded_once_and_the_student_sees_only_visible_patches() -> None:
    objective, batch = tiny(), sound(2)
    student, teacher = objective.encoder.encoder, objective.teacher
    seen: dict[str, list[tuple[int, ...]]] = {}

    def noting(name: str) -> Callable[..., None]:
        return lambda _module, inputs, _output: seen.setdefault(name, []).append(tuple(inputs[0].shape))

    student.patch_embedding.register_forward_hook(noting("student patches"))
    student.blocks[0].register_forward_hook(noting("student"))
    teacher.blocks[0].register_forward_hook(noting("teacher"))
    objective(batch)
    assert seen == {
        "student patches": [(2, 1, 192, 128)],
        "student": [(2 * 3, 1 + 19, 32)],
        "teacher": [(2, 1 + 96, 32)],
    }


def test_the_host_never_waits_for_numbers_of_the_device() -> None:
    """Tensors without content refuse everything that would need it: `.item()`, boolean indexing."""
    objective, batch = tiny(), sound(2)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    content_free = Batch(
        waveforms=mode.from_tensor(batch.waveforms),
        num_samples=mode.from_tensor(batch.num_samples),
        draw_ids=mode.from_tensor(batch.draw_ids),
    )
    with mode:
        losses = objective(content_free)
    assert losses.total.shape == ()


def test_length_follows_the_batch_without_target_length() -> None:
    objective = tiny(target_length=None, mask=MaskConfig(mask_ratio=0.75))
    losses = objective(sound(2))  # 148 frames, padded to 160
    assert losses.terms["masked_share"].item() == 0.75


def test_learns_a_few_clips() -> None:
    torch.manual_seed(0)
    objective, batch = tiny(ema_decay=0.99, ema_end_decay=0.99), sound(2)
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=2e-3)
    history = []
    for update in range(30):
        losses: Losses = objective(batch)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        objective.after_step(update + 1)
        history.append(losses.total.item())
    assert np.mean(history[-5:]) < 0.7 * history[0]


def test_refuses_more_layers_than_there_are() -> None:
    with pytest.raises(ValueError, match="average_top_k_layers is 3, but the encoder has 2 blocks"):
        tiny(average_top_k_layers=3)


@pytest.mark.parametrize(
    "wrong",
    [{"num_clones": 0}, {"mask_noise_std": -1}, {"ema_decay": 1.1}, {"target_source": "cls"}, {"seed": 1}],
)
def test_refuses_wrong_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MaskedLatentConfig(**wrong)
