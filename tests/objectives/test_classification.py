"""Fine-tuning against the official numbers, and what must not depend on how a batch is split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.augment import Augmentation, AugmentConfig
from bioacoustics.data.batches import Batch
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.objectives.classification import Classification, ClassificationConfig
from bioacoustics.training.optimizer import OptimizerConfig, Updater

Build = Callable[..., AudioClassifier]
PLAIN = AugmentConfig(roll=False, gain=False)


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def deviation(ours: Tensor, official: np.ndarray) -> float:
    assert tuple(ours.shape) == official.shape
    return float(
        (ours.detach().double() - torch.from_numpy(official).double()).abs().max() / np.abs(official).max()
    )


def test_multi_label_loss_equals_the_official_one(golden_eat: Path, classifier: Build) -> None:
    golden = load(golden_eat / "finetune.npz")
    config = ClassificationConfig(normaliser="positives")
    objective = Classification(classifier(multi_label=True), config, seed=0)
    losses = objective.losses_of(
        torch.from_numpy(golden["fbank"])[:, 0], torch.from_numpy(golden["labels_multi"])
    )
    assert losses.weight.item() == golden["bce_sample_size"]
    assert deviation(losses.total, golden["bce_loss"]) < 1e-4
    assert deviation(losses.total * losses.weight, golden["bce_sum"]) < 1e-4


def test_single_label_loss_equals_the_official_one_of_esc_50(golden_eat: Path, classifier: Build) -> None:
    """Cross-entropy; label smoothing in training, none in evaluation."""
    golden = load(golden_eat / "finetune.npz")
    objective = Classification(
        classifier(multi_label=False), ClassificationConfig(label_smoothing=0.1), seed=0
    )
    log_mel, targets = torch.from_numpy(golden["fbank"])[:, 0], torch.from_numpy(golden["labels_onehot"])
    assert deviation(objective.train().losses_of(log_mel, targets).total, golden["esc_loss"]) < 1e-4
    losses = objective.eval().losses_of(log_mel, targets)
    assert losses.total.item() == pytest.approx(golden["esc_eval_ce_elem"].mean(), rel=1e-4)
    assert losses.weight.item() == 4
    correct = (objective.classifier.logits(log_mel).argmax(dim=1) == targets.argmax(dim=1)).sum()
    assert correct.item() == golden["esc_eval_correct"]
    for row in range(4):
        alone = objective.train().losses_of(log_mel[row : row + 1], targets[row : row + 1])
        assert alone.total.item() == pytest.approx(golden["esc_ce_elem"][row], rel=1e-4)


def test_single_label_loss_equals_the_official_one_of_speech_commands(
    golden_eat: Path, classifier: Build
) -> None:
    golden = load(golden_eat / "finetune.npz")
    config = ClassificationConfig(loss="binary_cross_entropy")
    objective = Classification(classifier(multi_label=False), config, seed=0)
    log_mel, targets = torch.from_numpy(golden["fbank"])[:, 0], torch.from_numpy(golden["labels_onehot"])
    for training in (True, False):
        losses = objective.train(training).losses_of(log_mel, targets)
        assert deviation(losses.total, golden["spc_loss"]) < 1e-4
        assert losses.total.item() == pytest.approx(golden["spc_bce_elem"].sum() / 4, rel=1e-4)
    correct = (objective.classifier.logits(log_mel).argmax(dim=1) == targets.argmax(dim=1)).sum()
    assert correct.item() == golden["spc_correct"]


def test_updates_equal_the_official_ones(
    golden_eat: Path, classifier: Build, name_of: Callable[[str], str]
) -> None:
    """Three updates with layer-wise decay of the learning rate and decay of all weights."""
    golden = load(golden_eat / "finetune_steps.npz")
    config = ClassificationConfig(normaliser="positives", augment=PLAIN)
    objective = Classification(classifier(multi_label=True), config, seed=0)
    updater = Updater(
        objective,
        OptimizerConfig(
            num_updates=int(golden["max_update"]),
            learning_rate=float(golden["lr"]),
            warmup_updates=int(golden["warmup"]),
            min_learning_rate=float(golden["min_lr"]),
            layer_decay=float(golden["layer_decay"]),
            clip_norm=0.0,
            decays_norms_and_biases=True,
            scales_min_learning_rate=False,
        ),
    )
    log_mel, labels = torch.from_numpy(golden["fbank"])[:, 0], torch.from_numpy(golden["labels"])
    for update in range(3):
        losses = objective.losses_of(log_mel, labels)
        assert losses.total.item() == pytest.approx(golden["losses"][update], rel=1e-4)
        (losses.total * losses.weight).backward()
        updater.step(update, losses.weight)
    weights = {f"encoder.{n}": p for n, p in objective.classifier.encoder.encoder.named_parameters()}
    weights |= {f"head.{n}": p for n, p in objective.classifier.head.named_parameters()}
    keys = [key for key in golden if key.startswith("param_after__")]
    assert len(keys) == 8
    for key in keys:
        assert deviation(weights[name_of(key.removeprefix("param_after__"))], golden[key]) < 2e-4, key
    assert deviation(objective.eval().classifier.logits(log_mel), golden["logits_after"]) < 5e-4


def tiny(
    *, multi_label: bool = True, drop_path_rate: float = 0.0, seed: int = 3, **options: Any
) -> Classification:
    torch.manual_seed(0)
    encoder = EATEncoder(
        EATConfig(embed_dim=32, depth=2, num_heads=2, num_position_columns=16, drop_path_rate=drop_path_rate)
    )
    classifier = AudioClassifier(
        AudioEncoder(LogMelConfig(), encoder),
        ClassificationHead(HeadConfig(num_classes=5), 32),
        ("a", "b", "c", "d", "e"),
        multi_label=multi_label,
        target_length=64,
    )
    return Classification(classifier, ClassificationConfig(**options), seed=seed)


def sound(num_clips: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(1)
    targets = torch.zeros(num_clips, 5)
    targets[torch.arange(num_clips), torch.arange(num_clips) % 5] = 1
    targets[0, 3] = 1
    return Batch(
        waveforms=0.1 * torch.randn(num_clips, 10_000, generator=generator),
        num_samples=torch.tensor([10_000, 8_000] * num_clips)[:num_clips],
        draw_ids=torch.arange(50, 50 + num_clips),
        targets=targets,
    )


def pairs(batch: Batch, rows: list[int]) -> Batch:
    assert batch.targets is not None
    return Batch(
        waveforms=batch.waveforms[rows],
        num_samples=batch.num_samples[rows],
        draw_ids=batch.draw_ids[rows],
        targets=batch.targets[rows],
    )


ALL = AugmentConfig(noise=True, mixup_alpha=0.8, spec_augment_ratio=0.3)


def test_training_goes_through_all_augmentations_in_order() -> None:
    objective, batch = tiny(augment=ALL, label_smoothing=0.1).train(), sound()
    augmentation, classifier = Augmentation(ALL, seed=3), objective.classifier
    waveforms = augmentation.waveforms(batch.waveforms, batch.num_samples, batch.draw_ids)
    log_mel = classifier.log_mel(waveforms, batch.num_samples)
    log_mel, targets = augmentation.spectrograms(log_mel, batch.targets, batch.draw_ids)
    assert log_mel.shape == (4, 64, 128)
    smoothed = targets * 0.9 + 0.1 / 5
    errors = F.binary_cross_entropy_with_logits(classifier.logits(log_mel), smoothed, reduction="sum")
    torch.testing.assert_close(objective(batch).total, errors / 4)


def test_evaluation_hears_the_clips_as_they_are() -> None:
    objective, batch = tiny(augment=ALL, label_smoothing=0.1).eval(), sound()
    log_mel = objective.classifier.log_mel(batch.waveforms, batch.num_samples)
    errors = F.binary_cross_entropy_with_logits(
        objective.classifier.logits(log_mel), batch.targets, reduction="sum"
    )
    losses = objective(batch)
    torch.testing.assert_close(losses.total, errors / 4)
    assert torch.equal(losses.terms["loss"], losses.total.detach())


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "cross_entropy"])
def test_label_smoothing_acts_together_with_mixup(loss: str) -> None:
    mixed, batch = AugmentConfig(mixup_alpha=0.8), sound()
    sharp = tiny(loss=loss, augment=mixed).train()(batch).total
    smooth = tiny(loss=loss, augment=mixed, label_smoothing=0.2).train()(batch).total
    assert abs(sharp - smooth) > 1e-4


def test_smoothing_keeps_the_sum_of_one_label_and_treats_one_class_as_two() -> None:
    objective = tiny(label_smoothing=0.2).train()
    smoothed = objective._smoothed(torch.eye(5))
    torch.testing.assert_close(smoothed.sum(dim=1), torch.ones(5))
    single = objective._smoothed(torch.tensor([[0.0], [1.0]]))
    torch.testing.assert_close(single, torch.tensor([[0.1], [0.9]]))


@pytest.mark.parametrize("normaliser", ["clips", "positives"])
def test_micro_batches_of_pairs_equal_the_whole_batch(normaliser: str) -> None:
    objective, batch = tiny(normaliser=normaliser, augment=ALL, label_smoothing=0.1).train(), sound(8)
    whole = objective(batch)
    parts = [objective(pairs(batch, rows)) for rows in ([0, 7], [1, 2, 5, 6], [3, 4])]
    total = sum(part.total * part.weight for part in parts) / sum(part.weight for part in parts)
    torch.testing.assert_close(total, whole.total)
    torch.testing.assert_close(sum(part.weight for part in parts), whole.weight)
    assert whole.weight.item() == pytest.approx(8 if normaliser == "clips" else 9)


@pytest.mark.parametrize("num_clips", [1, 3])
def test_odd_batches_can_be_mixed(num_clips: int) -> None:
    losses = tiny(augment=ALL).train()(sound(num_clips))
    losses.total.backward()
    assert losses.total.isfinite()


def test_clips_without_any_label_count() -> None:
    batch = sound(2)
    silent = Batch(
        waveforms=batch.waveforms,
        num_samples=batch.num_samples,
        draw_ids=batch.draw_ids,
        targets=torch.zeros(2, 5),
    )
    for normaliser in ("clips", "positives"):
        losses = tiny(normaliser=normaliser).train()(silent)
        assert losses.total.isfinite()
        assert losses.total > 0


def test_frozen_encoder_only_trains_the_head() -> None:
    objective = tiny(freezes_encoder=True, drop_path_rate=0.5).train()
    assert not any(module.training for module in objective.classifier.encoder.modules())
    assert objective.classifier.head.training
    losses = objective(sound())
    losses.total.backward()
    learning = {name for name, p in objective.named_parameters() if p.requires_grad}
    assert learning == {
        f"classifier.head.{n}" for n in ("fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias")
    }
    assert {name for name, p in objective.named_parameters() if p.grad is not None} == learning
    torch.testing.assert_close(tiny().train()(sound()).total, losses.total)


def test_free_encoder_trains_whole() -> None:
    objective = tiny().train()
    objective(sound()).total.backward()
    assert all(parameter.grad is not None for parameter in objective.parameters())


def test_losses_are_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = tiny(augment=ALL).train()(sound())
    assert losses.total.dtype == torch.float32
    assert losses.total.item() == pytest.approx(tiny(augment=ALL).train()(sound()).total.item(), rel=0.05)


def test_the_host_never_waits_for_numbers_of_the_device() -> None:
    """Tensors without content refuse everything that would need it: `.item()`, boolean indexing."""
    objective = tiny(augment=ALL, normaliser="positives", label_smoothing=0.1).train()
    batch, mode = sound(3), FakeTensorMode(allow_non_fake_inputs=True)
    content_free = Batch(
        waveforms=mode.from_tensor(batch.waveforms),
        num_samples=mode.from_tensor(batch.num_samples),
        draw_ids=mode.from_tensor(batch.draw_ids),
        targets=mode.from_tensor(batch.targets),
    )
    with mode:
        losses = objective(content_free)
    assert losses.weight.shape == losses.total.shape == ()


@pytest.mark.parametrize("multi_label", [True, False])
def test_learns_a_few_clips(multi_label: bool) -> None:
    time_s = torch.arange(10_000) / 16_000
    tones = torch.stack([torch.sin(2 * torch.pi * hz * time_s) for hz in (300, 1000, 2500, 5000, 7000)])
    batch = Batch(
        waveforms=0.1 * tones,
        num_samples=torch.full((5,), 10_000),
        draw_ids=torch.arange(5),
        targets=torch.eye(5),
    )
    objective = tiny(multi_label=multi_label).train()
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    for _ in range(100):
        optimizer.zero_grad()
        objective(batch).total.backward()
        optimizer.step()
    probabilities = objective.eval().classifier(batch.waveforms, batch.num_samples)
    assert torch.equal(probabilities.argmax(dim=1), torch.arange(5))


def test_refuses_a_batch_without_labels() -> None:
    batch = sound()
    unlabelled = Batch(waveforms=batch.waveforms, num_samples=batch.num_samples, draw_ids=batch.draw_ids)
    with pytest.raises(ValueError, match="needs labels"):
        tiny()(unlabelled)


@pytest.mark.parametrize(
    "wrong", [{"label_smoothing": 1.0}, {"normaliser": "rows"}, {"loss": "focal"}, {"lr": 1}]
)
def test_refuses_wrong_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ClassificationConfig(**wrong)
