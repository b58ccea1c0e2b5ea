"""Colours tell kinds apart and leave nobody out."""

import numpy as np

from bioacoustics.explorer.colours import GREY, HUES, NOTHING, by_hour, by_kind, by_number


def test_the_commonest_kinds_have_colours_and_the_rest_share_one() -> None:
    values = [f"k{i:02d}" for i in range(40) for _ in range(50 - i)] + ["", ""]
    colouring = by_kind(values, "others")
    assert len(set(HUES)) == len(HUES)
    assert colouring.names[0] == "k00"
    assert colouring.sizes[0] == 50
    assert colouring.names[len(HUES)] == f"others ({40 - len(HUES)})"
    assert sum(colouring.sizes) == len(values) - 2
    assert (colouring.codes == NOTHING).sum() == 2
    assert colouring.palette[NOTHING] == GREY


def test_numbers_are_shades_in_order() -> None:
    colouring = by_number(np.array([0.0, 5.0, 10.0, np.nan]))
    assert colouring.limits == (0, 10)
    assert colouring.codes.tolist() == [0, 127, 254, NOTHING]
    assert len(colouring.palette) == 256
    assert by_number(np.full(3, np.nan)).codes.tolist() == [NOTHING] * 3


def test_midnight_meets_itself() -> None:
    colouring = by_hour(np.array([0.0, 24.0]))
    first, last = (colouring.palette[code] for code in colouring.codes)
    assert max(abs(int(first[i : i + 2], 16) - int(last[i : i + 2], 16)) for i in (1, 3, 5)) < 8
