"""Ticks: round numbers along an edge of a picture, as shares of its length with what is written there."""

import math

Ticks = list[tuple[float, str]]
_CLOCK_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_MARGIN = 1e-9  # of a step, so that rounding loses no tick at an end


def frequency_ticks(low_khz: float, high_khz: float, most: int = 5) -> Ticks:
    """Frequencies from the bottom (share 1) to the top (share 0); the highest says the unit."""
    step, digits = _decimal_step(high_khz - low_khz, most)
    found = _multiples(low_khz, high_khz, step)
    names = [f"{k * step:.{digits}f}" for k in found]
    return [
        (1 - (k * step - low_khz) / (high_khz - low_khz), name + (" kHz" if k == found[-1] else ""))
        for k, name in zip(found, names, strict=True)
    ]


def time_ticks(start_s: float, end_s: float, most: int = 8) -> Ticks:
    """Moments from left to right as m:ss or h:mm:ss; of a short stretch, seconds with decimals."""
    length_s = end_s - start_s
    if length_s < _CLOCK_S[1]:
        step, digits = _decimal_step(length_s, most)
        return [
            ((k * step - start_s) / length_s, f"{k * step:.{digits}f} s")
            for k in _multiples(start_s, end_s, step)
        ]
    seconds = next((size for size in _CLOCK_S if length_s / size <= most), _CLOCK_S[-1])
    return [
        ((k * seconds - start_s) / length_s, _clock(k * seconds)) for k in _multiples(start_s, end_s, seconds)
    ]


def _decimal_step(length: float, most: int) -> tuple[float, int]:
    """1, 2 or 5 times a power of ten, of which no more than `most` fit, and the decimals that it needs."""
    power = math.floor(math.log10(length / most))
    sizes = ((factor * 10.0**exponent, exponent) for exponent in (power, power + 1) for factor in (1, 2, 5))
    size, exponent = next(found for found in sizes if length / found[0] <= most * (1 + _MARGIN))
    return size, max(0, -exponent)


def _multiples(low: float, high: float, step: float | int) -> range:
    return range(math.ceil(low / step - _MARGIN), math.floor(high / step + _MARGIN) + 1)


def _clock(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
