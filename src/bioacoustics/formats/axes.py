"""Axes: how all our pictures look."""

from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, GRID = "#333333", "#dddddd"
_DOTS_PER_INCH = 144


def style(axes: Axes, x_name: str, y_name: str) -> None:
    """Plain axes with a faint grid, open to the top and to the right."""
    axes.set_xlabel(x_name, fontsize=11, color=INK)
    axes.set_ylabel(y_name, fontsize=11, color=INK)
    axes.tick_params(labelsize=9.5, colors=INK)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#999999")


def png_of(figure: Figure) -> bytes:
    """The figure as PNG, with as many dots as screens and paper need."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, facecolor="white")
    return buffer.getvalue()
