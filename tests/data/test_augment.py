"""Augmentations against the official ones and against obvious versions; every row depends on itself alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import beta, kstest
from torch import Tensor

from bioacoustics.audio.draws import Stream, uniforms
from bioacoustics.data.augment import (
    Augmentation,
    AugmentConfig,
    add_noise,
    beta_quantiles,
    gains,
    mixup,
    roll,
    spec_augment,
)

ALL = AugmentConfig(noise=True, mixup_alpha=0.8, spec_augment_ratio=0.2)


@pytest.fixture(scope="module")
def golden(golden_eat: Path) -> dict[str, np.ndarray]:
    with np.load(golden_eat / "augment.npz") as arrays:
        return dict(arrays)


def random_batch(
    size: int, frames: int = 32, mels: int = 16, classes: int = 3
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    log_mel = torch.randn(size, frames, mels, generator=generator)
    return log_mel, torch.rand(size, classes, generator=generator), torch.arange(100, 100 + size)


def test_roll_and_gain_equal_the_official_ones(golden: dict[str, np.ndarray]) -> None:
    waveform = torch.from_numpy(golden["roll_in"])[None]
    shifts = torch.from_numpy(golden["roll_shift"])[None]
    rolled = roll(waveform, torch.tensor([waveform.shape[1]]), shifts) * float(golden["roll_gain"])
    torch.testing.assert_close(rolled[0], torch.from_numpy(golden["roll_out"]), rtol=0, atol=1e-6)


def test_noise_equals_the_official_one(golden: dict[str, np.ndarray]) -> None:
    noisy = add_noise(
        torch.from_numpy(golden["noise_in"])[None],
        torch.from_numpy(golden["noise_uniform"])[None],
        torch.from_numpy(golden["noise_scale"])[None].float(),
        torch.from_numpy(golden["noise_time_shift"])[None],
    )
    torch.testing.assert_close(noisy[0], torch.from_numpy(golden["noise_out"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("which", ["mixup0", "mixup1", "mixup2"])
def test_mixup_equals_the_official_one(golden: dict[str, np.ndarray], which: str) -> None:
    log_mel, targets = (
        torch.from_numpy(golden[f"{which}_in"])[:, 0],
        torch.from_numpy(golden[f"{which}_labels"]),
    )
    weights = torch.full((4,), float(golden[f"{which}_lam"]))
    mixed, mixed_targets = mixup(log_mel, targets, weights)
    torch.testing.assert_close(mixed, torch.from_numpy(golden[f"{which}_out"])[:, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(
        mixed_targets, torch.from_numpy(golden[f"{which}_labels_out"]), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("ratio", [0.2, 0.4])
def test_spec_augment_equals_the_official_masks(golden_eat: Path, ratio: float) -> None:
    """The stored statistics come from this seed: equal draws give them to the last digit.

    (The mean width over frequency lies 3.6 standard errors under its expectation there, so that other draws
    are compared with the expectation, in the next test.)
    """
    official = json.loads((golden_eat / "specaug_stats.json").read_text())[f"mask_ratio_{ratio}"]
    generator = torch.Generator().manual_seed(5)
    band_width, band_start, span_width, span_start = torch.rand(4, 1500, generator=generator)
    draws = torch.stack([span_width, span_start, band_width, band_start], dim=1)
    log_mel = torch.ones(1500, 256, 128)
    blanked = spec_augment(log_mel, draws, max_frames=256 * ratio, max_mels=128 * ratio) == 0
    bands, spans = (blanked.all(dim=dim).sum(dim=1).numpy() for dim in (1, 2))
    assert bands.mean() == pytest.approx(official["freq_width_mean"], rel=1e-6)
    assert spans.mean() == pytest.approx(official["time_width_mean"], rel=1e-6)
    assert (bands.min(), bands.max()) == (official["freq_width_min"], official["freq_width_max"])
    assert spans.max() == official["time_width_max"]
    assert np.percentile(bands, [5, 25, 50, 75, 95]).tolist() == pytest.approx(official["freq_width_pct"])
    assert np.percentile(spans, [5, 25, 50, 75, 95]).tolist() == pytest.approx(official["time_width_pct"])
    assert blanked.float().mean().item() == pytest.approx(official["zero_fraction"], rel=1e-5)


def test_spec_augment_has_the_expected_widths() -> None:
    augmentation = Augmentation(AugmentConfig(spec_augment_ratio=0.2), seed=0)
    log_mel, targets = torch.ones(4000, 256, 128), torch.zeros(4000, 1)
    blanked = augmentation.spectrograms(log_mel, targets, torch.arange(4000))[0] == 0
    for dim, longest in ((1, 25.6), (2, 51.2)):
        expected = (sum(range(int(longest))) + int(longest) * (longest % 1)) / longest
        widths = blanked.all(dim=dim).sum(dim=1)
        assert widths.float().mean().item() == pytest.approx(expected, rel=0.05)
        assert int(widths.max()) == int(longest)


def test_spec_augment_equals_the_written_rule() -> None:
    log_mel, _, ids = random_batch(50, frames=40, mels=24)
    draws = uniforms(1, Stream.SPEC_AUGMENT, ids, 4)
    expected = log_mel.clone()
    for row, (u1, u2, u3, u4) in enumerate(draws.double().tolist()):
        width, band = u1 * 16.4, u3 * 9.6
        start, low = int(u2 * (40 - width)), int(u4 * (24 - band))
        expected[row, start : start + int(width)] = 0
        expected[row, :, low : low + int(band)] = 0
    assert torch.equal(spec_augment(log_mel, draws, max_frames=16.4, max_mels=9.6), expected)


def test_roll_keeps_to_the_real_samples() -> None:
    waveforms = torch.arange(1, 21, dtype=torch.float32).view(2, 10)
    waveforms[1, 4:] = 0
    rolled = roll(waveforms, torch.tensor([10, 4]), torch.tensor([3, 1]))
    assert rolled[0].tolist() == np.roll(np.arange(1, 11), 3).tolist()
    assert rolled[1].tolist() == [14, 11, 12, 13, 0, 0, 0, 0, 0, 0]


def test_roll_accepts_a_row_without_samples() -> None:
    assert torch.equal(roll(torch.zeros(1, 5), torch.tensor([0]), torch.tensor([0])), torch.zeros(1, 5))


def test_gains_follow_their_distribution() -> None:
    drawn = gains(uniforms(0, Stream.GAIN, torch.arange(4000), 19)).numpy() - 0.5
    assert kstest(drawn, beta(10, 10).cdf).pvalue > 0.01


@pytest.mark.parametrize("alpha", [0.1, 0.4, 0.8, 1.0, 2.0, 10.0])
def test_beta_quantiles_equal_scipy(alpha: float) -> None:
    quantiles = beta_quantiles(alpha)
    expected = beta(alpha, alpha).ppf(np.linspace(0, 1, len(quantiles)))
    np.testing.assert_allclose(quantiles, expected, atol=2e-5)


def test_mixup_weights_follow_their_distribution() -> None:
    augmentation = Augmentation(AugmentConfig(mixup_alpha=0.8, mixup_probability=0.9), seed=1)
    weights = augmentation.mixup_weights(torch.arange(20_000))
    assert torch.equal(weights, weights.flip(0))
    ones = weights == 1
    assert ones.float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert kstest(weights[:10_000][~ones[:10_000]].numpy(), beta(0.8, 0.8).cdf).pvalue > 0.01


@pytest.mark.parametrize("size", [1, 2, 5])
def test_any_batch_size_can_be_mixed(size: int) -> None:
    log_mel, targets, ids = random_batch(size)
    config = AugmentConfig(mixup_alpha=0.8, mixup_probability=1.0)
    mixed, mixed_targets = Augmentation(config, seed=0).spectrograms(log_mel, targets, ids)
    torch.testing.assert_close(mixed_targets.sum(), targets.sum())
    if size % 2:
        torch.testing.assert_close(mixed[size // 2], log_mel[size // 2])
    if size > 1:
        assert not torch.allclose(mixed[0], log_mel[0])


def test_micro_batches_of_pairs_equal_the_whole_update() -> None:
    log_mel, targets, ids = random_batch(8)
    augmentation = Augmentation(ALL, seed=2)
    whole, whole_targets = augmentation.spectrograms(log_mel, targets, ids)
    for rows in ([0, 1, 6, 7], [2, 3, 4, 5], [1, 6]):
        part, part_targets = augmentation.spectrograms(log_mel[rows], targets[rows], ids[rows])
        assert torch.equal(part, whole[rows])
        assert torch.equal(part_targets, whole_targets[rows])


def test_waveforms_depend_on_seed_and_draw_id_alone() -> None:
    waveforms = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
    lengths, ids = torch.tensor([500, 200, 500, 1]), torch.tensor([5, 9, 7, 11])
    augmentation = Augmentation(AugmentConfig(), seed=2)
    changed = augmentation.waveforms(waveforms, lengths, ids)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(changed[order], augmentation.waveforms(waveforms[order], lengths[order], ids[order]))
    assert not torch.equal(changed, Augmentation(AugmentConfig(), seed=3).waveforms(waveforms, lengths, ids))
    padding_gain = changed[1, 200:] / waveforms[1, 200:]
    torch.testing.assert_close(padding_gain, padding_gain[:1].expand(300))
    assert 0.5 < padding_gain[0] < 1.5


def test_everything_off_changes_nothing() -> None:
    log_mel, targets, ids = random_batch(4)
    augmentation = Augmentation(AugmentConfig(roll=False, gain=False), seed=0)
    assert augmentation.waveforms(log_mel.flatten(1), torch.full((4,), 512), ids).equal(log_mel.flatten(1))
    same, same_targets = augmentation.spectrograms(log_mel, targets, ids)
    assert same.equal(log_mel)
    assert same_targets.equal(targets)


@pytest.mark.parametrize(
    "wrong", [{"mixup_alpha": -1.0}, {"mixup_probability": 1.5}, {"spec_augment_ratio": 2.0}, {"mixup": 0.8}]
)
def test_refuses_wrong_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        AugmentConfig(**wrong)
