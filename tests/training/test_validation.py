import math

import numpy as np
import pytest
import torch
from toy import NUM_SAMPLES, Toy, ToyWindows

from bioacoustics.data.batches import DataConfig
from bioacoustics.training.acceleration import accelerator_of
from bioacoustics.training.metrics import classification_scores
from bioacoustics.training.validation import Best, Validation, evaluate


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_scores_are_exact_whatever_the_batches(batch_size: int) -> None:
    objective, windows = Toy(), ToyWindows(11, broken=(4,))
    objective.train()
    validation = Validation(windows=windows, predict=objective.predict)
    found = evaluate(objective, validation, DataConfig(batch_size=batch_size), accelerator_of("cpu", "no"))
    assert objective.training
    assert found.indices is not None
    assert found.targets is not None
    assert found.probabilities is not None
    kept = [index for index in range(11) if index != 4]
    assert found.indices.tolist() == kept
    np.testing.assert_array_equal(found.targets, windows.targets[kept])
    waveforms = torch.zeros(10, NUM_SAMPLES)
    for row, index in zip(waveforms, kept, strict=True):
        samples = windows.read(index, 0).samples
        row[: len(samples)] = torch.from_numpy(samples)
    hidden = objective.first(waveforms).relu()
    expected = objective.second(hidden).sigmoid().detach().numpy()
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5, atol=1e-6)
    scores = classification_scores(windows.targets[kept], expected)
    assert found.scores["mean_average_precision"] == pytest.approx(scores["mean_average_precision"])
    assert found.scores["accuracy"] == scores["accuracy"]
    reference = evaluate(objective, validation, DataConfig(batch_size=7), accelerator_of("cpu", "no"))
    assert found.scores["loss"] == pytest.approx(reference.scores["loss"], rel=1e-5)
    assert [problem.path for problem in found.problems if problem.is_unusable] == ["4.wav"]


def test_nothing_readable_is_an_error() -> None:
    validation = Validation(windows=ToyWindows(2, broken=(0, 1)))
    with pytest.raises(
        ValueError, match=r"None of the 2 held-out windows could be read, e.g. 0.wav: it is broken"
    ):
        evaluate(Toy(), validation, DataConfig(), accelerator_of("cpu", "no"))


def test_unknown_score_is_an_error() -> None:
    validation = Validation(windows=ToyWindows(2), score="accuracy")
    with pytest.raises(ValueError, match="no score 'accuracy' to choose by, only loss, target_std"):
        evaluate(Toy(), validation, DataConfig(), accelerator_of("cpu", "no"))


def test_better_means_better() -> None:
    lower, higher = (
        Validation(windows=ToyWindows(1), is_higher_better=is_higher) for is_higher in (False, True)
    )
    best = Best(score=1.0, update=5)
    assert lower.is_better(3.0, None)
    assert lower.is_better(0.9, best)
    assert not lower.is_better(1.0, best)
    assert higher.is_better(1.1, best)
    assert not higher.is_better(0.9, best)
    for one in (lower, higher):
        assert not one.is_better(math.nan, None)
        assert not one.is_better(math.nan, best)
