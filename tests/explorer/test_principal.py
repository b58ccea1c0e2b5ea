"""Principal components equal those of a singular value decomposition."""

import numpy as np
import pytest

from bioacoustics.explorer import principal
from bioacoustics.explorer.principal import fit_components, is_finite


@pytest.mark.parametrize("scaling", ["none", "unit"])
@pytest.mark.parametrize("shape", [(200, 12), (6, 12)])
def test_components_are_those_of_a_decomposition(
    scaling: principal.Scaling, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(principal, "ROWS_PER_BLOCK", 7)  # several blocks, the last not full
    vectors = np.random.default_rng(0).normal(size=shape) * np.arange(1, 13) + 5
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if scaling == "unit" else vectors
    values, directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[1:]
    fitted = fit_components(vectors, 4, scaling=scaling)
    assert np.allclose(fitted.explained, (values**2 / (values**2).sum())[:4], atol=1e-5)
    assert np.allclose(np.abs(np.sum(fitted.directions * directions[:4], axis=1)), 1, atol=1e-3)
    assert (fitted.directions[np.arange(4), np.abs(fitted.directions).argmax(axis=1)] > 0).all()
    expected = (rows - rows.mean(axis=0)) @ fitted.directions.T
    assert np.allclose(fitted.apply(vectors), expected, atol=1e-3 * np.abs(expected).max())


def test_no_more_components_than_the_vectors_span() -> None:
    flat = np.outer(np.arange(10.0), [1, 2, 3])
    assert len(fit_components(flat, 3, scaling="none").explained) == 1
    assert fit_components(flat, 3, scaling="none").explained[0] == pytest.approx(1)
    assert len(fit_components(np.ones((1, 3)), 3).directions) == 1


def test_rows_that_are_not_finite_do_not_count() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 5))
    broken = np.vstack([vectors, np.full((1, 5), np.inf)])
    assert is_finite(broken).tolist() == [True] * 30 + [False]
    assert np.allclose(fit_components(broken).directions, fit_components(vectors).directions, atol=1e-5)
