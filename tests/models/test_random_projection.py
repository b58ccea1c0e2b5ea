"""The random projection follows from its config alone, and tells patches apart."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bioacoustics.models.random_projection import RandomProjection, RandomProjectionConfig

SMALL = RandomProjectionConfig(num_codes=32, code_dim=8, patch_dim=24, patch_size=4, num_mels=8)


def test_tokens_equal_the_slow_way() -> None:
    torch.manual_seed(0)
    mean, std = (tuple(np.linspace(low, high, 8).tolist()) for low, high in ((-1, 1), (0.01, 2)))
    projection = RandomProjection(SMALL.model_copy(update={"band_mean": mean, "band_std": std}))
    log_mel = torch.randn(2, 13, 8)  # one frame too many for whole columns
    ids = projection.tokenize(log_mel)
    assert ids.shape == (2, 6)
    for row in range(2):
        for column in range(3):
            for band in range(2):
                cells = log_mel[row, 4 * column : 4 * column + 4, 4 * band : 4 * band + 4]
                bands = slice(4 * band, 4 * band + 4)
                cells = (cells - torch.tensor(mean)[bands]) / torch.tensor(std)[bands].clamp(min=0.1)
                patch = torch.stack([(kernel[0] * cells).sum() for kernel in projection.patch_projection])
                point = projection.projection @ F.layer_norm(patch, (24,))
                point = F.normalize(F.layer_norm(point, (8,)), dim=0)
                distances = (projection.codes - point).square().sum(dim=1)
                assert ids[row, 2 * column + band] == distances.argmin()


def test_follows_from_the_config_alone() -> None:
    torch.manual_seed(1)
    one = RandomProjection(SMALL)
    torch.manual_seed(2)
    again, other = RandomProjection(SMALL), RandomProjection(SMALL.model_copy(update={"seed": 46}))
    for name, value in one.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not torch.equal(one.codes, other.codes)
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(2))  # drew nothing else
    assert not list(one.parameters())


def test_band_statistics_spread_the_tokens() -> None:
    """A spectrum that all patches share would else decide about their tokens."""
    torch.manual_seed(0)
    tilt = torch.linspace(6, -6, 128)
    log_mel = tilt + 0.5 * torch.randn(4, 320, 128)
    measured = {"band_mean": tuple(tilt.tolist()), "band_std": (0.5,) * 128}
    perplexities = []
    for bands in ({}, measured):
        ids = RandomProjection(RandomProjectionConfig(num_codes=256, **bands)).tokenize(log_mel)
        shares = torch.bincount(ids.flatten(), minlength=256) / ids.numel()
        perplexities.append(float(torch.special.entr(shares).sum().exp()))
    assert perplexities[1] > 5 * perplexities[0]


def test_statistics_of_another_front_end_are_refused() -> None:
    with pytest.raises(ValueError, match="band_mean has 3 values, expected one for each of 8 bands"):
        RandomProjectionConfig(num_mels=8, patch_size=4, band_mean=(0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="num_mels 9 must be a multiple of patch_size 4"):
        RandomProjectionConfig(num_mels=9, patch_size=4)
