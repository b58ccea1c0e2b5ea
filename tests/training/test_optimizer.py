import copy
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.training.optimizer import OptimizerConfig, Updater, learning_rate, parameter_groups


@pytest.fixture(scope="session")
def schedules(golden_eat: Path) -> dict[str, Any]:
    return json.loads((golden_eat / "schedules.json").read_text(encoding="utf-8"))


def module_of(parameters: dict[str, nn.Parameter]) -> nn.Module:
    """A module whose parameters have exactly these dotted names."""
    root = nn.Module()
    for name, parameter in parameters.items():
        *folders, leaf = name.split(".")
        module = root
        for folder in folders:
            if folder not in dict(module.named_children()):
                module.add_module(folder, nn.Module())
            module = module.get_submodule(folder)
        module.register_parameter(leaf, parameter)
    return root


def our_name(official: str) -> str:
    name = official.replace("modality_encoders.IMAGE.", "encoder.encoder.").replace(
        "extra_tokens", "cls_token"
    )
    name = name.replace("encoder.encoder.decoder.", "decoder.")
    if name.startswith("model.blocks."):
        return name.replace("model.blocks.", "model.encoder.encoder.blocks.")
    return name.replace("blocks.", "encoder.encoder.blocks.", 1) if name.startswith("blocks.") else name


def parameter_like(official: str) -> nn.Parameter:
    if official.endswith("bias") or "norm" in official:
        return nn.Parameter(torch.ones(2))
    return nn.Parameter(torch.ones(1, 1, 2) if "extra_tokens" in official else torch.ones(2, 2))


@pytest.mark.parametrize(("size", "peak"), [("base", 5e-4), ("large", 4e-4)])
def test_pretraining_schedule_is_the_official_one(schedules: dict[str, Any], size: str, peak: float) -> None:
    config = OptimizerConfig(learning_rate=peak)
    for update, expected in zip(schedules["updates"], schedules[f"lr_pretrain_{size}"], strict=True):
        if update < 400_000:  # there the official schedule begins another cycle, never reached in training
            assert learning_rate(config, update) == pytest.approx(expected, rel=1e-9, abs=0)
    assert learning_rate(config, 400_000) == learning_rate(config, 500_000) == 0


@pytest.mark.parametrize("recipe", ["AS20K", "AS2M", "ESC50", "SPC2"])
def test_finetuning_schedule_is_the_official_one(schedules: dict[str, Any], recipe: str) -> None:
    golden = schedules["finetune"][recipe]
    config = OptimizerConfig(
        learning_rate=golden["lr"],
        warmup_updates=golden["warmup"],
        num_updates=golden["max_update"],
        min_learning_rate=golden["min_lr"],
        scales_min_learning_rate=False,
    )
    curves = {1.0: golden["values"]}
    curves |= {0.65 ** int(name.split("^")[1]): values for name, values in golden["layer_scaled"].items()}
    for scale, values in curves.items():
        for update, expected in zip(golden["updates"], values, strict=True):
            if update < golden["max_update"]:
                assert learning_rate(config, update, scale) == pytest.approx(expected, rel=1e-9, abs=0)


@pytest.mark.parametrize("depth", [12, 24])
@pytest.mark.parametrize("official", [True, False])
def test_groups_are_the_official_ones(schedules: dict[str, Any], depth: int, official: bool) -> None:
    golden = schedules[f"ft_groups_depth{depth}"]
    config = OptimizerConfig(
        learning_rate=5e-5,
        warmup_updates=4000,
        num_updates=40_000,
        min_learning_rate=1e-6,
        layer_decay=0.65,
        decays_norms_and_biases=official,
        scales_min_learning_rate=not official,
    )
    groups = parameter_groups(module_of({our_name(name): parameter_like(name) for name in golden}), config)
    group_of = {name: group for group in groups for name in group["names"]}
    assert len(group_of) == len(golden)
    for name, facts in golden.items():
        group = group_of[our_name(name)]
        assert group["lr_scale"] == pytest.approx(facts["overrides"].get("lr_scale", 1.0), rel=1e-9)
        exempt = facts["overrides"].get("weight_decay_scale") == 0  # what the model asks for
        assert group["weight_decay"] == (facts["weight_decay_used"] if official or not exempt else 0)
        for update in (0, 2000, 4000, 22_000):
            rate = learning_rate(config, update, group["lr_scale"])
            if official:
                assert rate == pytest.approx(facts[f"lr@{update}"], rel=1e-9, abs=0)
            else:
                assert rate == pytest.approx(learning_rate(config, update) * group["lr_scale"], rel=1e-9)
    assert len(groups) == (depth + 1) * (1 if official else 2)


def test_pretraining_exempts_what_the_official_model_wanted_exempt(schedules: dict[str, Any]) -> None:
    golden = schedules["pretrain_groups"]
    module = module_of({our_name(name): parameter_like(name) for name in golden})
    groups = parameter_groups(module, OptimizerConfig())
    exempt = {name for group in groups if group["weight_decay"] == 0 for name in group["names"]}
    assert exempt == {our_name(name) for name, facts in golden.items() if facts["overrides"]}
    (all_alike,) = parameter_groups(module, OptimizerConfig(decays_norms_and_biases=True))
    assert all_alike["weight_decay"] == 0.05


def test_decoder_blocks_and_frozen_parameters() -> None:
    names = (
        "encoder.encoder.blocks.0.w",
        "encoder.encoder.blocks.1.w",
        "decoder.blocks.0.w",
        "teacher.blocks.0.w",
    )
    module = module_of({name: nn.Parameter(torch.ones(2, 2)) for name in names})
    module.get_submodule("teacher").requires_grad_(False)
    groups = parameter_groups(module, OptimizerConfig(layer_decay=0.5))
    assert {tuple(group["names"]): group["lr_scale"] for group in groups} == {
        (names[0],): 0.25,
        (names[1],): 0.5,
        (names[2],): 1.0,
    }
    with pytest.raises(ValueError, match="every parameter is frozen"):
        parameter_groups(module.requires_grad_(False), OptimizerConfig())
    with pytest.raises(ValueError, match="slows the encoder's blocks"):
        parameter_groups(nn.Linear(2, 2), OptimizerConfig(layer_decay=0.5))


def test_blocks_of_beats_learn_slower_with_depth() -> None:
    config = BEATsConfig(
        **{"patch_dim": 8, "embed_dim": 16, "hidden_dim": 16, "depth": 3, "num_heads": 2},
        **{"position_kernel": 4, "position_groups": 2},
    )
    module = nn.ModuleDict({"encoder": AudioEncoder(LogMelConfig.beats(), BEATsEncoder(config))})
    groups = parameter_groups(module, OptimizerConfig(layer_decay=0.5))
    for group in groups:
        for name in group["names"]:
            block = re.search(r"blocks\.(\d)", name)
            assert group["lr_scale"] == (0.5 ** (3 - int(block[1])) if block else 1.0), name
    assert {group["lr_scale"] for group in groups} == {0.125, 0.25, 0.5, 1.0}


def test_warmup_keeps_the_published_share_of_a_shorter_run() -> None:
    assert OptimizerConfig().num_warmup_updates == 53_333
    assert OptimizerConfig(num_updates=4000).num_warmup_updates == 533
    assert OptimizerConfig(num_updates=1).num_warmup_updates == 0
    assert OptimizerConfig(num_updates=100, warmup_updates=100).num_warmup_updates == 100
    assert learning_rate(OptimizerConfig(num_updates=100, warmup_updates=100), 100) == 5e-4 * 1.0


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"num_updates": 10, "warmup_updates": 11}, "must not exceed num_updates"),
        ({"learning_rate": 1e-5, "min_learning_rate": 1e-4}, "must not exceed learning_rate"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"momentum": 0.9}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        OptimizerConfig.model_validate(settings)


def test_step_equals_adamw_written_out() -> None:
    config = OptimizerConfig(num_updates=10, warmup_updates=2, clip_norm=1.0, learning_rate=0.1)
    linear = nn.Linear(3, 2)
    weight, bias = linear.weight.detach().clone().double(), linear.bias.detach().clone().double()
    moments = {
        name: (torch.zeros_like(value), torch.zeros_like(value))
        for name, value in (("w", weight), ("b", bias))
    }
    updater = Updater(linear, config)
    generator = torch.Generator().manual_seed(0)
    for update in range(5):
        gradients = [torch.randn(shape, generator=generator) * 3 for shape in ((2, 3), (2,))]
        linear.weight.grad, linear.bias.grad = (gradient.clone() for gradient in gradients)
        norm = updater.step(update, torch.tensor(4.0))
        scaled = [gradient.double() / 4 for gradient in gradients]
        expected_norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in scaled))
        assert norm.item() == pytest.approx(expected_norm, rel=1e-5)
        rate = learning_rate(config, update)
        for value, raw, name, decay in ((weight, scaled[0], "w", 0.05), (bias, scaled[1], "b", 0.0)):
            gradient = raw * min(1.0, 1.0 / expected_norm)
            first, second = moments[name]
            first.mul_(0.9).add_(0.1 * gradient)
            second.mul_(0.95).add_(0.05 * gradient**2)
            value.mul_(1 - rate * decay)
            n = update + 1
            value.sub_(rate * (first / (1 - 0.9**n)) / ((second / (1 - 0.95**n)).sqrt() + 1e-8))
        assert torch.allclose(linear.weight.double(), weight, rtol=1e-5, atol=1e-6)
        assert torch.allclose(linear.bias.double(), bias, rtol=1e-5, atol=1e-6)
        assert linear.weight.grad is None


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_poisoned_gradient_moves_nothing(poison: float) -> None:
    linear = nn.Linear(3, 2)
    updater = Updater(linear, OptimizerConfig(num_updates=10, warmup_updates=0))

    def step(value: float, update: int) -> None:
        linear.weight.grad, linear.bias.grad = torch.full((2, 3), value), torch.ones(2)
        updater.step(update, torch.tensor(1.0))

    step(1.0, 0)
    before = copy.deepcopy((linear.state_dict(), updater.optimizer.state_dict()["state"]))
    step(poison, 1)
    step(poison, 2)
    after = (linear.state_dict(), updater.optimizer.state_dict()["state"])
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert (updater.num_skipped.item(), updater.num_skipped_in_a_row.item()) == (2, 2)
    step(1.0, 3)
    assert (updater.num_skipped.item(), updater.num_skipped_in_a_row.item()) == (2, 0)
    assert not torch.equal(linear.weight, before[0]["weight"])


def test_update_without_any_weight_is_no_poison() -> None:
    linear = nn.Linear(3, 2)
    updater = Updater(linear, OptimizerConfig(num_updates=10, weight_decay=0))
    before = linear.weight.detach().clone()
    linear.weight.grad, linear.bias.grad = torch.zeros(2, 3), torch.zeros(2)
    updater.step(5, torch.tensor(0.0))
    assert updater.num_skipped.item() == 0
    assert torch.equal(linear.weight, before)


def test_state_brings_everything_back() -> None:
    torch.manual_seed(0)
    config = OptimizerConfig(num_updates=10)
    one, gradients = nn.Linear(3, 2), torch.randn(6, 2, 3)
    updater = Updater(one, config)

    def steps(module: nn.Linear, its_updater: Updater, updates: range) -> None:
        for update in updates:
            module.weight.grad, module.bias.grad = gradients[update].clone(), gradients[update, :, 0].clone()
            its_updater.step(update, torch.tensor(1.0))

    steps(one, updater, range(3))
    other = copy.deepcopy(one)
    resumed = Updater(other, config)
    resumed.load_state_dict(copy.deepcopy(updater.state_dict()))
    steps(one, updater, range(3, 6))
    steps(other, resumed, range(3, 6))
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)


def test_scaled_gradients_move_the_same_and_overflow_moves_nothing() -> None:
    plain, scaled = nn.Linear(3, 2), nn.Linear(3, 2)
    scaled.load_state_dict(plain.state_dict())
    config = OptimizerConfig(num_updates=10, warmup_updates=0, clip_norm=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
    updaters = Updater(plain, config), Updater(scaled, config, scaler=scaler)
    inputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    for update in range(3):
        plain(inputs).square().sum().backward()
        scaler.scale(scaled(inputs).square().sum()).backward()
        norms = [updater.step(update, torch.tensor(4.0)) for updater in updaters]
        assert norms[0].item() == pytest.approx(norms[1].item(), rel=1e-5)
    torch.testing.assert_close(scaled.state_dict(), plain.state_dict())
    before = copy.deepcopy(scaled.state_dict())
    scaler.scale(scaled(inputs * 1e30).square().sum()).backward()
    updaters[1].step(3, torch.tensor(4.0))
    torch.testing.assert_close(scaled.state_dict(), before, rtol=0, atol=0)
    assert updaters[1].num_skipped.item() == 1
    assert scaler.get_scale() == 64.0
    resumed = Updater(scaled, config, scaler=torch.amp.GradScaler("cpu", init_scale=2.0))
    resumed.load_state_dict(updaters[1].state_dict())
    assert resumed.state_dict()["scaler"] == scaler.state_dict()
