"""Spans: stretches of time, in seconds or by the clock."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

Moment = TypeVar("Moment", float, datetime)


def joined(spans: Iterable[tuple[Moment, Moment]]) -> list[tuple[Moment, Moment]]:
    """The same time without overlaps, in order; what touches is one."""
    found: list[tuple[Moment, Moment]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
