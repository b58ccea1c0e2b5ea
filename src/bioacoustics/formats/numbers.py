"""Numbers: as text that every program reads, to the microsecond or millihertz, without exponents."""

import numpy as np

DECIMALS = 6


def number_text(value: float) -> str:
    """Up to six decimals, as few as it takes: 0.5, 12, 0.000001."""
    return np.format_float_positional(round(value, DECIMALS) + 0.0, trim="-")


def number_of(text: str) -> float:
    """A number as people and programs write it, also with a decimal comma.

    Raises:
        ValueError: It is none, or not finite.
    """
    value = float(text.strip().replace(",", "."))
    if not np.isfinite(value):
        raise ValueError(f"{text!r} is not finite")
    return round(value, DECIMALS)
