"""Calibration and scores against slow and obvious versions."""

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from bioacoustics.workflows.assess import calibration_error, class_scores, fitted_temperature, tempered


def judged(
    seed: int, num_clips: int, temperature: float, *, multi_label: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Targets drawn from true probabilities, and a model whose logits are `temperature` too large."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (num_clips, 4))
    if multi_label:
        targets = (generator.random(logits.shape) < scipy.special.expit(logits)).astype(np.float32)
        return targets, scipy.special.expit(logits * temperature)
    cumulative = scipy.special.softmax(logits, axis=1).cumsum(axis=1)
    chosen = (generator.random((num_clips, 1)) > cumulative).sum(axis=1)
    return np.eye(4, dtype=np.float32)[chosen], scipy.special.softmax(logits * temperature, axis=1)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_an_overconfident_model_is_found(temperature: float, multi_label: bool) -> None:
    targets, said = judged(1, 4000, temperature, multi_label=multi_label)
    found = fitted_temperature(targets, said, multi_label)
    assert found == pytest.approx(temperature, rel=0.12)
    if temperature != 1:
        calibrated = tempered(said, found, multi_label)
        assert calibration_error(targets, calibrated) < 0.5 * calibration_error(targets, said)


@pytest.mark.parametrize("multi_label", [False, True])
def test_tempering_divides_logits(multi_label: bool) -> None:
    logits = np.random.default_rng(0).normal(0, 8, (50, 4))  # also of models that are very sure
    squash = scipy.special.expit if multi_label else (lambda x: scipy.special.softmax(x, axis=1))
    np.testing.assert_allclose(tempered(squash(logits), 2.5, multi_label), squash(logits / 2.5), rtol=1e-5)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_handful_of_clips_that_are_all_right_makes_no_certainty(multi_label: bool) -> None:
    targets = np.eye(3, dtype=np.float32)
    said = np.full((3, 3), 0.3) + 0.1 * np.eye(3)
    calibrated = tempered(said, fitted_temperature(targets, said, multi_label), multi_label)
    assert calibrated.max() < 0.95


def test_temperatures_of_degenerate_answers_are_finite() -> None:
    for said in (np.zeros((3, 2)), np.ones((3, 2)), np.full((3, 2), 0.5)):
        found = fitted_temperature(np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32), said, True)
        assert 0.05 <= found <= 20


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_calibration_error_against_a_slow_version(seed: int, num_clips: int) -> None:
    generator = np.random.default_rng(seed)
    said = generator.random((num_clips, 3)).round(1)  # on the edges of the bins, too
    targets = (generator.random((num_clips, 3)) < 0.4).astype(np.float32)
    bins: dict[int, list[tuple[float, float]]] = {}
    for p, t in zip(said.ravel(), targets.ravel(), strict=True):
        bins.setdefault(min(int(p * 10), 9), []).append((p, t))
    slow = sum(abs(sum(p for p, _ in some) - sum(t for _, t in some)) for some in bins.values())
    assert calibration_error(targets, said) == pytest.approx(slow / said.size, abs=1e-6)


def test_perfect_promises_have_no_error() -> None:
    targets = np.array([[1, 0], [0, 1]], dtype=np.float32)
    assert calibration_error(targets, targets.astype(np.float64)) == 0


def test_scores_of_one_label_a_clip_by_hand() -> None:
    targets = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    said = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3]])
    frog, bird, rain = class_scores(("frog", "bird", "rain"), targets, said, np.array([4.0, 1.0, 2.0]), False)
    assert (frog.label, frog.num_training, frog.num_held_out) == ("frog", 4, 2)
    assert (frog.precision, frog.recall, frog.f1) == (1.0, 0.5, pytest.approx(2 / 3))
    assert frog.average_precision == 1.0
    assert (bird.precision, bird.recall) == (0.5, 1.0)
    assert np.isnan([rain.precision, rain.recall, rain.f1, rain.average_precision]).all()


def test_scores_of_several_labels_a_clip_name_at_one_half() -> None:
    targets = np.array([[1, 1], [0, 1], [0, 0]], dtype=np.float32)
    said = np.array([[0.9, 0.6], [0.5, 0.4], [0.1, 0.2]])
    frog, rain = class_scores(("frog", "rain"), targets, said, np.zeros(2), True)
    assert (frog.precision, frog.recall) == (0.5, 1.0)
    assert (rain.precision, rain.recall, rain.average_precision) == (1.0, 0.5, 1.0)
