"""The linear probe: scikit-learn's solution, and a penalty that is chosen where nobody is judged."""

import numpy as np
import pytest
import scipy.special
from sklearn.linear_model import LogisticRegression

from bioacoustics.training.linear import PENALTIES, fitted_layer, linear_probe
from bioacoustics.training.probes import ProbeTask, standardised


def problem(num_clips: int, dim: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(num_clips) % 3
    features = generator.normal(size=(num_clips, dim)) + 1.5 * np.eye(3, dim)[labels]
    return features, np.eye(3)[labels]


@pytest.mark.parametrize("dim", [6, 90])  # fewer features than clips, and more
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_solution_is_scikit_learns(dim: int, multi_label: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = problem(80, dim)
    if multi_label:
        targets = np.maximum(targets, np.roll(targets, 1, axis=0) * (np.arange(80) % 2)[:, None])
    task = ProbeTask.of(targets, [str(i) for i in range(80)], multi_label=multi_label, num_folds=2)
    monkeypatch.setattr("bioacoustics.training.linear.PENALTIES", (1e-2,))
    predictions = linear_probe(features, task).predictions
    assert predictions is not None
    for fitted, judged in task.sides:
        mean, std = features[fitted].mean(axis=0), features[fitted].std(axis=0)
        rows, asked = ((features[side] - mean) / std / np.sqrt(dim) for side in (fitted, judged))
        theirs = LogisticRegression(C=1 / (1e-2 * len(fitted)), max_iter=5000, tol=1e-8)
        if multi_label:
            columns = [theirs.fit(rows, targets[fitted, c]).predict_proba(asked)[:, 1] for c in range(3)]
            expected = np.stack(columns, axis=1)
        else:
            expected = theirs.fit(rows, targets[fitted].argmax(axis=1)).predict_proba(asked)
        np.testing.assert_allclose(predictions[judged], expected, atol=0.02)


@pytest.mark.parametrize("dim", [6, 90])
@pytest.mark.parametrize("multi_label", [False, True])
def test_a_fitted_layer_says_what_the_probe_says(dim: int, multi_label: bool) -> None:
    features, targets = problem(80, dim)
    task = ProbeTask.of(targets, [str(i // 2) for i in range(80)], multi_label=multi_label, num_folds=2)
    predictions = linear_probe(features, task).predictions
    assert predictions is not None
    for fitted, judged in task.sides:
        rows, asked = standardised(features[fitted], features[judged])
        layer = fitted_layer(3 + rows, targets[fitted], task.groups[fitted], multi_label=multi_label)
        logits = (3 + asked) @ layer.weights + layer.bias
        said = scipy.special.expit(logits) if multi_label else scipy.special.softmax(logits, axis=1)
        np.testing.assert_allclose(said, predictions[judged], atol=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_class_that_no_clip_has_is_improbable_in_a_fitted_layer(multi_label: bool) -> None:
    features, targets = problem(60, 5)
    targets = np.hstack([targets, np.zeros((60, 1))])
    layer = fitted_layer(features, targets, np.arange(60), multi_label=multi_label)
    assert not layer.weights[:, 3].any() and layer.bias[3] < -6


def test_the_penalty_fits_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where nothing can be learnt, the stiffest penalty loses least; where all is clear, a supple one.
    chosen: list[float] = []
    from bioacoustics.training import linear

    choose = linear._chosen_penalty

    def noted(*arguments: object) -> float:
        chosen.append(choose(*arguments))  # type: ignore[arg-type]
        return chosen[-1]

    monkeypatch.setattr(linear, "_chosen_penalty", noted)
    _, targets = problem(90, 30)
    task = ProbeTask.of(targets, [str(i) for i in range(90)], multi_label=False, num_folds=2)
    linear_probe(np.random.default_rng(1).normal(size=(90, 30)), task)
    linear_probe(targets, task)
    assert chosen[:2] == [PENALTIES[0]] * 2
    assert max(chosen[2:]) <= 1e-4


def test_a_label_that_only_the_judged_have_is_not_predicted() -> None:
    features, targets = problem(40, 6)
    targets = np.hstack([targets, np.zeros((40, 1))])
    targets[:4] = [0, 0, 0, 1]
    groups = np.array([0] * 4 + list(range(1, 37)))
    task = ProbeTask(targets=targets, groups=groups, folds=(groups + 1) // 19, multi_label=False)
    predictions = linear_probe(features, task).predictions
    assert predictions is not None
    assert (predictions[:4, 3] == 0).all()  # of one recording, which is in the judged fold
    np.testing.assert_allclose(predictions.sum(axis=1), 1, atol=1e-9)


def test_features_that_say_nothing_are_harmless() -> None:
    features, targets = problem(60, 5)
    task = ProbeTask.of(targets, [str(i) for i in range(60)], multi_label=False)
    padded = np.hstack([features, np.full((60, 2), 7.0), np.zeros((60, 1))])
    one, other = linear_probe(features, task), linear_probe(padded, task)
    assert abs(one.value - other.value) < 0.1
    assert linear_probe(np.ones((60, 4)), task).value == pytest.approx(1 / 3, abs=0.15)
