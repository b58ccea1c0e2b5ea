"""Steps: what work in the background says it is doing, as a key of the page's words and how far it counts."""

from collections.abc import Callable
from typing import NamedTuple


class Step(NamedTuple):
    """One thing that is being done; the page says it under its word `step_KEY`."""

    key: str
    done: int = 0
    total: int = 0


Progress = Callable[[float, Step], None]  # share done, what is being done; what it raises ends the work
STARTING = Step("starting")
DONE = Step("done")


def silent(_share: float, _step: Step) -> None:
    """Nobody wants to know."""


def part(report: Progress, first: float, last: float) -> Progress:
    """Reports of a part of the work, as shares of the whole."""
    return lambda share, step: report(first + share * (last - first), step)
