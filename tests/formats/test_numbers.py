"""Numbers in tables have no exponents and no more digits than they need."""

import pytest

from bioacoustics.formats.numbers import number_of, number_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"),
        (12.0, "12"),
        (0.000001, "0.000001"),
        (0.1 + 0.2, "0.3"),
        (1e9, "1000000000"),
        (-0.0, "0"),
    ],
)
def test_texts(value, text):
    assert number_text(value) == text
    assert number_of(text) == pytest.approx(value)


def test_decimal_commas_and_nonsense():
    assert number_of(" 3,25 ") == 3.25
    for text in ("", "x", "nan", "inf"):
        with pytest.raises(ValueError):
            number_of(text)
