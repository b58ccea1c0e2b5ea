"""Patches of the likeliest labels survive the way through a row of numbers."""

import numpy as np
import pytest
import torch

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.inference.patch_scores import ABSENT, PatchGrid, num_columns, pack, shaped, unpack
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.features import Features
from bioacoustics.models.heads import ClassificationHead, HeadConfig

GRID = PatchGrid(num_kept=2, column_s=0.16, edges_hz=tuple(np.linspace(0, 8000, 9).tolist()))


def classifier_with(mode: str, *, is_beats: bool = False) -> AudioClassifier:
    torch.manual_seed(0)
    config = {"embed_dim": 32, "depth": 2, "num_heads": 2}
    if is_beats:
        beats = BEATsConfig(**config, patch_dim=32, hidden_dim=64, position_kernel=8, position_groups=4)
        encoder = AudioEncoder(LogMelConfig.beats(), BEATsEncoder(beats))
    else:
        encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(EATConfig(**config, num_position_columns=8)))
    head = ClassificationHead(HeadConfig(num_classes=5, prediction_mode=mode), 32)  # type: ignore[arg-type]
    torch.nn.init.normal_(head.head.weight)
    labels = ("a", "b", "c", "d", "e")
    return AudioClassifier(encoder, head, labels, multi_label=True).eval()


@pytest.mark.parametrize(
    ("mode", "is_beats"), [("LIN_SOFTMAX", False), ("MEAN_POOLING", False), ("MEAN_LOGITS", True)]
)
def test_a_patch_is_asked_as_if_it_stood_alone(mode: str, is_beats: bool) -> None:
    classifier = classifier_with(mode, is_beats=is_beats)
    waveforms = 0.1 * torch.randn(2, 10240)
    with torch.inference_mode():
        probabilities, patches = classifier.listen(waveforms)
        features = classifier.encoder(waveforms)
        alone = classifier.head(Features(features.patches[1:, 13:14], None))
    torch.testing.assert_close(probabilities, classifier(waveforms))
    assert patches.shape == (2, patches.shape[1], 8, 5)
    torch.testing.assert_close(patches[1, 1, 5], alone[0].sigmoid(), rtol=1e-4, atol=1e-5)


def test_a_cls_token_hears_no_patches() -> None:
    classifier = classifier_with("CLS_TOKEN")
    assert PatchGrid.of(classifier, 1.0) is None
    with pytest.raises(ValueError, match="LIN_SOFTMAX"):
        classifier.listen(torch.randn(1, 10240))


def test_the_grid_is_in_true_seconds_and_frequencies() -> None:
    grid = PatchGrid.of(classifier_with("LIN_SOFTMAX"), 10.0)
    assert grid is not None
    assert (grid.num_kept, grid.num_bands, grid.column_s) == (5, 8, pytest.approx(0.016))
    assert (grid.edges_hz[0], grid.edges_hz[-1]) == (pytest.approx(200.0), pytest.approx(80_000.0))


def test_packed_rows_are_unpacked_again() -> None:
    rng = np.random.default_rng(0)
    probabilities = torch.from_numpy(rng.random((3, 5), dtype=np.float32))
    patches = torch.from_numpy(rng.random((3, 4, 8, 5), dtype=np.float32))
    rows = pack(probabilities, patches, GRID).numpy()
    for row, scores, grid in zip(rows, probabilities.numpy(), patches.numpy(), strict=True):
        assert row[:5].tolist() == scores.tolist()
        kept, flat = unpack(row, 5, GRID, duration_s=0.45)
        assert kept.tolist() == np.argsort(-scores)[:2].tolist()
        for place, label in enumerate(kept):
            expected = grid[:3, :, label].astype(np.float16)  # the fourth column holds no sound
            assert np.array_equal(shaped(flat, kept, GRID)[place], expected)


def test_labels_that_hardly_sound_have_no_patches() -> None:
    grid = GRID.model_copy(update={"num_kept": 3, "lowest": 0.1})
    probabilities = torch.tensor([[0.01, 0.5, 0.1, 0.02], [0.01, 0.02, 0.03, 0.04]])
    patches = torch.rand(2, 4, 8, 4)
    loud, quiet = pack(probabilities, patches, grid).numpy()
    assert len(loud) == len(quiet)
    kept, flat = unpack(loud, 4, grid, duration_s=0.64)
    assert kept.tolist() == [1, 2, ABSENT]
    expected = patches[0, :, :, [1, 2]].permute(2, 0, 1).numpy().astype(np.float16)
    assert np.array_equal(shaped(flat, kept, grid), expected)
    kept, flat = unpack(quiet, 4, grid, duration_s=0.64)
    assert kept.tolist() == [ABSENT] * 3
    assert shaped(flat, kept, grid).size == 0


@pytest.mark.parametrize(("duration_s", "expected"), [(0.01, 1), (0.16, 1), (0.161, 2), (10.0, 63)])
def test_columns_that_hold_sound(duration_s: float, expected: int) -> None:
    assert num_columns(duration_s, GRID) == expected
