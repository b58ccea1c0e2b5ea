"""The codebook against the official quantiser, a slow obvious one, and what must never change it."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bioacoustics.models.codebook import Codebook, CodebookConfig, cosine_kmeans, nearest

Arrays = dict[str, Tensor]


@pytest.fixture(scope="module")
def official(golden_beats: Path) -> Arrays:
    with np.load(golden_beats / "quantizer_train.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def codebook_of(vectors: Tensor, usage: Tensor | None = None) -> Codebook:
    codebook = Codebook(CodebookConfig(num_codes=vectors.shape[0], dim=vectors.shape[1]))
    codebook.vectors.copy_(vectors)
    if usage is not None:
        codebook.usage.copy_(usage)
    return codebook


def test_three_updates_equal_the_official_ones(official: Arrays) -> None:
    codebook = codebook_of(official["codebook0"], official["usage0"])
    for step in range(3):
        patches = official[f"step{step}_z"].clone().requires_grad_()
        quantised, ids, distances = codebook.quantise(patches)
        loss = (quantised * official["w"]).mean() + distances.mean()
        loss.backward()
        assert torch.equal(ids.flatten(), official[f"step{step}_ids"].long())
        torch.testing.assert_close(quantised.detach(), official[f"step{step}_zq"], rtol=0, atol=1e-5)
        torch.testing.assert_close(
            distances.mean().detach(), official[f"step{step}_commit"], rtol=0, atol=1e-5
        )
        torch.testing.assert_close(patches.grad, official[f"step{step}_grad"], rtol=0, atol=1e-5)
        codebook.move(*codebook.statistics(patches, ids))
        torch.testing.assert_close(codebook.vectors, official[f"step{step}_codebook"], rtol=0, atol=1e-5)
        torch.testing.assert_close(codebook.usage, official[f"step{step}_usage"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("num_iterations", [1, 10])
def test_kmeans_equals_the_official_one(official: Arrays, num_iterations: int) -> None:
    means, counts = cosine_kmeans(official["kmeans_samples"], official["kmeans_start"], num_iterations)
    torch.testing.assert_close(means, official[f"kmeans_means_{num_iterations}"], rtol=0, atol=1e-5)
    assert torch.equal(counts.long(), official[f"kmeans_bins_{num_iterations}"].long())


def test_nearest_equals_the_table_of_all_differences() -> None:
    torch.manual_seed(0)
    points, codes = torch.randn(3, 7, 5), torch.randn(11, 5)
    slow = (points[:, :, None] - codes).square().sum(dim=-1).argmin(dim=-1)
    assert torch.equal(nearest(points, codes), slow)


def test_padding_moves_nothing() -> None:
    torch.manual_seed(0)
    patches, is_padding = torch.randn(2, 9, 4), torch.zeros(2, 9, dtype=torch.bool)
    is_padding[0, 5:] = True
    start = F.normalize(torch.randn(6, 4), dim=-1)
    padded, alone = codebook_of(start), codebook_of(start)
    padded.move(*padded.statistics(patches, padded.nearest(patches), is_padding))
    kept = torch.cat([patches[0, :5], patches[1]])
    alone.move(*alone.statistics(kept, alone.nearest(kept)))
    torch.testing.assert_close(padded.state_dict(), alone.state_dict())
    patches[0, 5:] = float("nan")
    unheard = codebook_of(start)
    unheard.move(*unheard.statistics(patches, unheard.nearest(patches), is_padding))
    torch.testing.assert_close(unheard.vectors, padded.vectors)


def test_looking_up_changes_nothing_in_either_mode() -> None:
    torch.manual_seed(0)
    codebook = Codebook(CodebookConfig(num_codes=8, dim=4))
    before = {name: value.clone() for name, value in codebook.state_dict().items()}
    for mode in (True, False):
        codebook.train(mode)
        codebook.quantise(torch.randn(2, 5, 4))
        codebook.nearest(torch.randn(2, 5, 4))
    for name, value in codebook.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_any_split_of_the_rows_moves_it_alike() -> None:
    torch.manual_seed(0)
    patches = torch.randn(6, 20, 4)
    start = F.normalize(torch.randn(8, 4), dim=-1)
    whole, split = codebook_of(start), codebook_of(start)
    whole.move(*whole.statistics(patches, whole.nearest(patches)))
    parts = [split.statistics(part, split.nearest(part)) for part in patches.split([1, 2, 3])]
    split.move(sum(counts for counts, _ in parts), sum(sums for _, sums in parts))
    torch.testing.assert_close(whole.state_dict(), split.state_dict())


def test_an_update_that_is_not_finite_moves_nothing() -> None:
    codebook = Codebook(CodebookConfig(num_codes=4, dim=3))
    before = codebook.vectors.clone()
    patches = torch.randn(5, 3)
    patches[2, 1] = float("nan")
    codebook.move(*codebook.statistics(patches, codebook.nearest(patches)))
    assert torch.equal(codebook.vectors, before)
    assert not codebook.usage.any()


def test_starts_from_the_clusters_of_the_data() -> None:
    torch.manual_seed(0)
    centres = F.normalize(torch.randn(5, 16), dim=-1)
    patches = (centres.repeat(40, 1) + 0.02 * torch.randn(200, 16)) * torch.rand(200, 1).add(0.5)
    codebook = Codebook(CodebookConfig(num_codes=40, dim=16))
    codebook.start(patches, seed=3)
    assert codebook.is_started == 1
    assert (centres @ codebook.vectors.T).max(dim=1).values.min() > 0.99
    again = Codebook(CodebookConfig(num_codes=40, dim=16))
    again.start(patches, seed=3)
    assert torch.equal(again.vectors, codebook.vectors)
    few = Codebook(CodebookConfig(num_codes=40, dim=16))
    few.start(patches[:7], seed=3)  # fewer patches than codes
    torch.testing.assert_close(few.vectors.norm(dim=1), torch.ones(40))
    with pytest.raises(ValueError, match="no patch at all"):
        few.start(patches[:0], seed=3)


def test_stays_float32_under_autocast() -> None:
    torch.manual_seed(0)
    codebook = Codebook(CodebookConfig(num_codes=64, dim=32))
    patches = torch.randn(2, 50, 32)
    expected = codebook.quantise(patches)
    with torch.autocast("cpu", torch.bfloat16):
        found = codebook.quantise(patches)
        codebook.move(*codebook.statistics(patches, found[1]))
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one, other)
    assert {value.dtype for value in codebook.state_dict().values()} == {torch.float32}
