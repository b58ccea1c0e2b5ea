"""Pictures have a plain style and enough dots."""

from io import BytesIO

from matplotlib.figure import Figure
from matplotlib.image import imread

from bioacoustics.formats.axes import png_of, style


def test_axes_are_named_and_open():
    axes = Figure().add_subplot()
    style(axes, "time", "level")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time", "level")
    assert not axes.spines["top"].get_visible()


def test_a_picture_has_144_dots_per_inch():
    assert imread(BytesIO(png_of(Figure(figsize=(2, 1))))).shape[:2] == (144, 288)
