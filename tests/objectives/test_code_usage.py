"""Code usage: the numbers that tell whether tokens are worth predicting."""

import math

import pytest
import torch

from bioacoustics.objectives.code_usage import DECAY, CodeUsage


def test_counts_what_is_no_padding_and_forgets_slowly() -> None:
    usage = CodeUsage(8)
    ids, is_padding = torch.tensor([[1, 1, 2, 7]]), torch.tensor([[False, False, False, True]])
    usage.add(ids, is_padding)
    assert not usage.counts.any()  # what it says does not change within an update
    usage.advance()
    assert usage.counts.tolist() == [0, 2, 1, 0, 0, 0, 0, 0]
    assert usage.majority() == 1
    usage.add(ids[:, 2:], is_padding[:, 2:])
    usage.advance()
    torch.testing.assert_close(usage.counts[1:3], torch.tensor([2 * DECAY, DECAY + 1]))


def test_perplexity_is_the_number_of_codes_evenly_used() -> None:
    usage = CodeUsage(16)
    assert usage.terms()["code_perplexity"] == 16  # nothing is known against them yet
    usage.add(torch.arange(4)[None], torch.zeros(1, 4, dtype=torch.bool))
    usage.advance()
    assert float(usage.terms()["code_perplexity"]) == pytest.approx(4)
    assert float(usage.terms()["code_usage"]) == pytest.approx(4 / 16)
    uneven = CodeUsage(2)
    uneven.counts.copy_(torch.tensor([3.0, 1.0]))
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert float(uneven.terms()["code_perplexity"]) == pytest.approx(expected)


def test_only_the_histogram_is_saved() -> None:
    usage = CodeUsage(4)
    usage.add(torch.zeros(1, 3, dtype=torch.int64), torch.zeros(1, 3, dtype=torch.bool))
    assert set(usage.state_dict()) == {"counts"}
