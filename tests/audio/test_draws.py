"""Random numbers that are a pure function of (seed, stream, draw id)."""

import pytest
import torch

from bioacoustics.audio.draws import Stream, permuted, seed_of, uniform, uniforms
from bioacoustics.training.acceleration import why_not_compiled


def test_first_output_is_the_published_splitmix64() -> None:
    from bioacoustics.audio.draws import _GAMMA, _mixed

    # The first two outputs of splitmix64 seeded with 1234567, as published with the reference implementation.
    assert [_mixed(1234567 + i * _GAMMA) for i in (1, 2)] == [6457827717110365317, 3203168211198807973]


@pytest.mark.parametrize("seed", [0, 1, -5, 2**63 + 11])
def test_tensor_and_plain_python_agree_bit_for_bit(seed: int) -> None:
    draw_ids = torch.tensor([0, 1, 2, 1_000_003, 2**62, -7])
    rows = uniforms(seed, Stream.MASK, draw_ids, 50)
    assert rows.dtype == torch.float32
    for row, draw_id in zip(rows, draw_ids.tolist(), strict=True):
        assert row.tolist() == uniform(seed, Stream.MASK, draw_id, 50)


def test_a_row_does_not_depend_on_its_batch_or_on_the_count() -> None:
    together = uniforms(3, Stream.GAIN, torch.arange(8), 20)
    alone = uniforms(3, Stream.GAIN, torch.tensor([5]), 7)
    assert torch.equal(together[5, :7], alone[0])


def test_numbers_are_uniform_and_uncorrelated() -> None:
    values = uniforms(0, Stream.ROLL, torch.arange(400), 500).double()
    assert values.min() >= 0
    assert values.max() < 1
    histogram = torch.histc(values, bins=100, min=0, max=1)
    chi_square = ((histogram - 2000) ** 2 / 2000).sum()
    assert 60 < chi_square < 150  # 99 degrees of freedom
    assert torch.corrcoef(values[:40]).fill_diagonal_(0).abs().max() < 0.25
    assert torch.corrcoef(values.T[:40]).fill_diagonal_(0).abs().max() < 0.25


def test_streams_and_seeds_are_independent() -> None:
    draws = {
        (seed, stream): tuple(uniform(seed, stream, 4, 8))
        for seed in range(12)
        for stream in [*Stream, 0, 100]
    }
    assert len(set(draws.values())) == len(draws)


def test_seed_of_fits_a_generator() -> None:
    seeds = {seed_of(9, Stream.DROPOUT, draw_id) for draw_id in range(1000)}
    assert len(seeds) == 1000
    assert all(0 <= value < 2**63 for value in seeds)
    torch.Generator().manual_seed(max(seeds))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 17, 100, 1025, 5000])
def test_permuted_is_a_permutation(size: int) -> None:
    for epoch in range(3):
        assert sorted(permuted(i, size, 1, epoch) for i in range(size)) == list(range(size))


def test_epochs_and_seeds_give_other_orders() -> None:
    orders = {
        tuple(permuted(i, 60, seed, epoch) for i in range(60)) for seed in range(20) for epoch in range(20)
    }
    assert len(orders) == 400


def test_every_position_goes_everywhere() -> None:
    counts = torch.zeros(10, 10)
    for epoch in range(3000):
        for i in range(10):
            counts[i, permuted(i, 10, 5, epoch)] += 1
    assert (counts / 300 - 1).abs().max() < 0.25  # four and a half standard deviations


def test_permuted_needs_no_memory_for_huge_sizes() -> None:
    size = 10**12 + 39
    places = [permuted(i, size, 0, 0) for i in range(1000)]
    assert len(set(places)) == 1000
    assert 0.45 < sum(places) / (1000 * size) < 0.55


def test_position_outside_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"position 5 is outside range\(5\)"):
        permuted(5, 5, 0, 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_gpu_gives_the_same_bits() -> None:
    draw_ids = torch.arange(100)
    on_gpu = uniforms(1, Stream.MASK, draw_ids.cuda(), 300).cpu()
    assert torch.equal(on_gpu, uniforms(1, Stream.MASK, draw_ids, 300))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's compiler uses what PyTorch deprecates
def test_compiled_code_draws_the_same_numbers() -> None:
    if reason := why_not_compiled("cpu"):
        pytest.skip(reason)
    draw_ids = torch.tensor([0, 5, 2**40, 2**62 + 3])

    def doubled(ids: torch.Tensor) -> torch.Tensor:
        return 2 * uniforms(7, Stream.MASK, ids, 11)

    torch.testing.assert_close(torch.compile(doubled)(draw_ids), doubled(draw_ids), rtol=0, atol=0)
