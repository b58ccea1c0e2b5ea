"""The official prediction modes against the official arrays, and our own against its formula."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from bioacoustics.models.eat import EATEncoder
from bioacoustics.models.features import Features
from bioacoustics.models.heads import (
    ClassificationHead,
    HeadConfig,
    PredictionMode,
    band_statistics,
    linear_softmax,
    whitening_of,
)

AssertNear = Callable[[Tensor, "np.ndarray[Any, Any]", float], None]
MODES = ("CLS_TOKEN", "MEAN_POOLING", "LIN_SOFTMAX")


def head_of(config: HeadConfig, official: dict[str, Tensor]) -> ClassificationHead:
    head = ClassificationHead(config, official["head.weight"].shape[1])
    head.load_state_dict({k: v for k, v in official.items() if k.startswith(("fc_norm", "head"))})
    return head.eval()


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_prediction_modes_equal_official(
    golden_eat: Path,
    official_encoder: Callable[..., EATEncoder],
    assert_near: AssertNear,
    mode: PredictionMode,
) -> None:
    arrays = np.load(golden_eat / "finetune.npz")
    checkpoint = torch.load(golden_eat / "finetune.pt", weights_only=True)
    backbone = {k.removeprefix("model."): v for k, v in checkpoint["model"].items() if k.startswith("model.")}
    encoder = official_encoder(checkpoint["cfg"]["model"]["pretrained_model_args"]["model"], backbone)
    head = head_of(HeadConfig(num_classes=11, prediction_mode=mode), checkpoint["model"])
    features = encoder(torch.from_numpy(arrays["fbank"]).squeeze(1))
    pooled = head.pool(features)
    tolerance = 5e-4 if mode == "LIN_SOFTMAX" else 1e-4
    assert_near(pooled, arrays[f"pooled__{mode}"], tolerance)
    assert_near(head.fc_norm(pooled), arrays[f"fcnorm__{mode}"], 1e-4)
    assert_near(head(features), arrays[f"logits__{mode}"], tolerance)


@torch.no_grad()
def test_hugging_face_model_equals_its_reference(
    golden_eat: Path, official_encoder: Callable[..., EATEncoder], assert_near: AssertNear
) -> None:
    arrays = np.load(golden_eat / "hf_reference.npz")
    weights = {
        k.removeprefix("model."): v
        for k, v in load_file(golden_eat / "hf_finetune/model.safetensors").items()
    }
    backbone = {k: v for k, v in weights.items() if not k.startswith(("fc_norm", "head"))}
    encoder = official_encoder({"embed_dim": 64, "depth": 3, "num_heads": 4}, backbone)
    features = encoder(torch.from_numpy(arrays["fbank"]).squeeze(1))
    head = head_of(HeadConfig(num_classes=11, norm_eps=1e-5), weights)
    assert_near(features.cls, arrays["hf_final"][:, 0], 1e-4)
    assert_near(features.patches, arrays["hf_final"][:, 1:], 1e-4)
    assert_near(head(features), arrays["hf_logits"], 1e-6)  # tight enough to tell 1e-5 from fairseq's 1e-6


def test_linear_softmax_is_the_logit_of_the_self_weighted_mean() -> None:
    patches = torch.randn(3, 17, 5, dtype=torch.float64) * 2
    p = patches.sigmoid()
    mean = p.square().sum(1) / (np.exp(1e-6) * p.sum(1))
    torch.testing.assert_close(
        linear_softmax(patches.float()).double(), torch.logit(mean), rtol=1e-4, atol=1e-4
    )


def test_linear_softmax_stays_finite_and_float32() -> None:
    patches = torch.tensor([-1e4, 0.0, 40.0, 1e4]).view(1, 1, 4).expand(2, 9, 4).contiguous()
    with torch.autocast("cpu", torch.bfloat16):
        pooled = linear_softmax(patches.bfloat16())
    assert pooled.dtype == torch.float32 and torch.isfinite(pooled).all()


def test_mean_pooling_leaves_the_cls_token_out() -> None:
    head = ClassificationHead(HeadConfig(num_classes=2, prediction_mode="MEAN_POOLING"), 4)
    patches = torch.randn(2, 6, 4)
    assert torch.equal(head.pool(Features(patches=patches, cls=torch.full((2, 4), 1e9))), patches.mean(1))


def test_band_statistics_are_mean_deviation_and_deviation_of_the_change() -> None:
    columns, bands, dim = 5, 2, 3
    patches = torch.randn(2, columns * bands, dim, dtype=torch.float64)
    pooled = band_statistics(Features(patches=patches, cls=None), bands).numpy()
    for row in range(2):
        grid = patches[row].numpy().reshape(columns, bands, dim)
        steps = grid[1:] - grid[:-1]
        expected = [grid.mean(axis=0), grid.std(axis=0), steps.std(axis=0)]
        np.testing.assert_allclose(pooled[row], np.stack(expected).ravel(), atol=1e-5)


def test_band_statistics_of_one_column_do_not_vary_and_have_a_gradient() -> None:
    patches = torch.randn(2, 3, 4, requires_grad=True)
    pooled = band_statistics(Features(patches=patches, cls=None), 3)
    torch.testing.assert_close(pooled[:, :12], patches.flatten(1))
    assert (pooled[:, 12:] < 2e-3).all()
    torch.autograd.backward(pooled.sum())
    assert patches.grad is not None and torch.isfinite(patches.grad).all()


def test_bands_are_told_where_they_are_needed_and_only_there() -> None:
    for settings in ({"prediction_mode": "BAND_STATISTICS"}, {"num_bands": 8}):
        with pytest.raises(ValueError, match="num_bands belongs to the prediction_mode BAND_STATISTICS"):
            HeadConfig.model_validate({"num_classes": 2, **settings})
    for layer in ("whitens", "refines"):
        with pytest.raises(ValueError, match="too many numbers for a layer as wide"):
            HeadConfig(num_classes=2, prediction_mode="BAND_STATISTICS", num_bands=8, **{layer: True})


@pytest.mark.parametrize("mode", ["MEAN_POOLING", "MEAN_LOGITS", "LIN_SOFTMAX", "BAND_STATISTICS"])
@torch.no_grad()
def test_padding_does_not_count(mode: PredictionMode) -> None:
    num_bands = 1 if mode == "BAND_STATISTICS" else None
    head = ClassificationHead(HeadConfig(num_classes=2, prediction_mode=mode, num_bands=num_bands), 4).eval()
    patches = torch.randn(2, 6, 4)
    is_padding = torch.arange(6) >= torch.tensor([[6], [3]])
    logits = head(Features(patches=patches, cls=None, is_padding=is_padding))
    torch.testing.assert_close(logits[:1], head(Features(patches=patches[:1], cls=None)))
    torch.testing.assert_close(logits[1:], head(Features(patches=patches[1:, :3], cls=None)))


def test_mean_of_logits_has_no_norm_and_drops_in_training_only() -> None:
    config = HeadConfig(num_classes=2, prediction_mode="MEAN_LOGITS", dropout=0.5)
    head, features = ClassificationHead(config, 4), Features(patches=torch.randn(2, 6, 4), cls=None)
    assert set(head.state_dict()) == {"head.weight", "head.bias"}
    torch.testing.assert_close(head.eval()(features), head.head(features.patches).mean(dim=1))
    assert not torch.allclose(head.train()(features), head(features))


def test_cls_pooling_needs_a_cls_token() -> None:
    head = ClassificationHead(HeadConfig(num_classes=2), 4)
    with pytest.raises(ValueError, match="no CLS token: choose MEAN_POOLING or LIN_SOFTMAX"):
        head(Features(patches=torch.randn(2, 6, 4), cls=None))


def test_initialises_as_the_official_code() -> None:
    torch.manual_seed(0)
    head = ClassificationHead(HeadConfig(num_classes=200), 64)
    assert head.head.weight.std().item() == pytest.approx(0.02, rel=0.05) and not head.head.bias.any()
    assert (head.fc_norm.weight == 1).all() and head.fc_norm.eps == 1e-6


@torch.no_grad()
def test_a_refining_layer_adds_to_what_is_pooled_and_begins_as_nearly_nothing() -> None:
    torch.manual_seed(0)
    head = ClassificationHead(HeadConfig(num_classes=3, prediction_mode="MEAN_POOLING", refines=True), 16)
    pooled = 4 + 0.1 * torch.randn(50, 16)
    normed = head.fc_norm(pooled)
    torch.testing.assert_close(head.represent(pooled), normed, atol=0.3, rtol=0)
    assert head.hidden is not None
    torch.nn.init.normal_(head.hidden.weight)
    expected = normed + torch.nn.functional.gelu(normed @ head.hidden.weight.T + head.hidden.bias)
    torch.testing.assert_close(head.represent(pooled), expected)
    head.standardise(pooled)
    scaled = head.fc_norm(pooled)
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.std(dim=0, correction=0), torch.ones(16), atol=1e-3, rtol=0)


def views_of_clips() -> Tensor:
    """Views of 300 clips that differ ten times more in the first channels than in the last."""
    generator = torch.Generator().manual_seed(0)
    clips, apart = torch.randn(300, 1, 6, generator=generator), torch.randn(300, 4, 6, generator=generator)
    mixing = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    return 5 + (clips + apart * torch.logspace(0, -1, 6)) @ mixing


def test_whitening_lets_views_of_a_clip_differ_alike_in_all_directions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bioacoustics.models.heads.EVEN_SHARE", 0.0)
    views = views_of_clips()
    weight, bias = whitening_of(views)
    stretched = views @ weight + bias
    apart = (stretched - stretched.mean(dim=1, keepdim=True)).flatten(0, 1)
    covariance = apart.T @ apart / len(apart)
    torch.testing.assert_close(covariance, covariance[0, 0] * torch.eye(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(stretched[:, 0].mean(dim=0), torch.zeros(6), atol=1e-4, rtol=0)
    assert stretched[:, 0].square().mean().item() == pytest.approx(1, abs=1e-4)


def test_one_view_says_nothing_of_differences() -> None:
    weight, bias = whitening_of(views_of_clips()[:, :1])
    assert torch.equal(weight, torch.eye(6)) and not bias.any()


@torch.no_grad()
def test_a_whitening_head_begins_as_one_without_and_then_stretches_what_is_normed() -> None:
    views = views_of_clips()
    config = HeadConfig(num_classes=2, prediction_mode="MEAN_POOLING", whitens=True)
    head, plain = (
        ClassificationHead(config.model_copy(update={"whitens": whitens}), 6) for whitens in (True, False)
    )
    assert torch.equal(head.represent(views), plain.represent(views))
    head.whiten(views)
    plain.whiten(views)
    torch.testing.assert_close(plain.represent(views[:, 0]).std(dim=0, correction=0), torch.ones(6))
    weight, bias = whitening_of(plain.represent(views))
    torch.testing.assert_close(
        head.represent(views), plain.represent(views) @ weight + bias, atol=1e-5, rtol=1e-5
    )
