"""Charts of two models side by side: they hold what they are given, in both languages."""

import numpy as np
import pytest

from bioacoustics.formats.comparisons import _principal, embedding_maps, score_bars
from bioacoustics.formats.words import Language

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("language", ["en", "es"])
def test_charts_are_pictures(language: Language) -> None:
    nan = float("nan")
    series = [("a $b$", [(0.5, 0.4, 0.6), (0.3, nan, nan)]), ("c", [(0.7, 0.6, 0.8), (nan, nan, nan)])]
    assert score_bars(["one", "two"], series, language=language).startswith(PNG)
    vectors = np.random.default_rng(0).normal(size=(30, 6))
    names = [f"_label {i % 9} $x" for i in range(30)]
    panels = [("before", vectors), ("after", 2 * vectors)]
    assert embedding_maps(panels, names, language=language).startswith(PNG)
    assert embedding_maps([("alone", np.zeros((1, 1)))], ["x"], language=language).startswith(PNG)


def test_the_map_shows_the_two_longest_axes() -> None:
    vectors = np.random.default_rng(1).normal(size=(200, 4)) * [10, 5, 0.1, 0.1]
    points, share = _principal(vectors)
    assert share > 0.99
    original = np.linalg.norm(vectors[:, None, :2] - vectors[None, :, :2], axis=2)
    shown = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.testing.assert_allclose(shown, original, atol=0.8)
