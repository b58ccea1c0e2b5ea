"""Pictures of an evaluation are drawn in both languages, whatever the labels."""

import pytest

from bioacoustics.formats.evaluation_pictures import reliability_curve, threshold_intervals
from bioacoustics.formats.words import Language


@pytest.mark.parametrize("language", ["en", "es"])
def test_pictures(language: Language) -> None:
    curve = reliability_curve([900, 20, 3], [0.02, 0.5, 0.97], [0.01, 0.6, 1.0], language=language)
    bars = threshold_intervals(
        ["coquí $1", "owl"], [0.3, 0.91], [0.9, 1.0], [(0.8, 0.95), (1.0, 1.0)], 0.9, language=language
    )
    for png in (curve, bars):
        assert png.startswith(b"\x89PNG")
        assert int.from_bytes(png[16:20], "big") > 600
    assert curve != reliability_curve([900, 20, 3], [0.02, 0.5, 0.97], [0.01, 0.1, 1.0], language=language)
