import math

import pytest

from bioacoustics.explorer.ticks import frequency_ticks, time_ticks


@pytest.mark.parametrize(
    ("band", "names"),
    [
        ((0.0, 1.25), ["0.0", "0.5", "1.0 kHz"]),
        ((0.5, 12.0), ["5", "10 kHz"]),
        ((15.0, 125.0), ["50", "100 kHz"]),
        ((0.0, 24.0), ["0", "5", "10", "15", "20 kHz"]),
        ((0.0, 0.1), ["0.00", "0.02", "0.04", "0.06", "0.08", "0.10 kHz"]),
    ],
)
def test_frequencies_are_round_and_lie_where_they_are(band: tuple[float, float], names: list[str]) -> None:
    found = frequency_ticks(*band)
    assert [name for _, name in found] == names
    for share, name in found:
        khz = float(name.removesuffix(" kHz"))
        assert share == pytest.approx((band[1] - khz) / (band[1] - band[0]))


@pytest.mark.parametrize(
    ("span", "names"),
    [
        ((0.0, 0.003), ["0.0000 s", "0.0005 s", "0.0010 s", "0.0015 s", "0.0020 s", "0.0025 s", "0.0030 s"]),
        ((0.2, 0.5), ["0.20 s", "0.25 s", "0.30 s", "0.35 s", "0.40 s", "0.45 s", "0.50 s"]),
        ((3.0, 4.5), ["3.0 s", "3.2 s", "3.4 s", "3.6 s", "3.8 s", "4.0 s", "4.2 s", "4.4 s"]),
        ((0.0, 9.0), ["0:00", "0:02", "0:04", "0:06", "0:08"]),
        ((3590.0, 3610.0), ["59:50", "59:55", "1:00:00", "1:00:05", "1:00:10"]),
        ((0.0, 86400.0), ["0:00", "4:00:00", "8:00:00", "12:00:00", "16:00:00", "20:00:00", "24:00:00"]),
    ],
)
def test_moments_are_read_as_on_a_clock(span: tuple[float, float], names: list[str]) -> None:
    assert [name for _, name in time_ticks(*span)] == names


def test_a_share_is_the_place_of_its_moment() -> None:
    assert time_ticks(10.0, 30.0, most=2) == [(0.0, "0:10"), (0.5, "0:20"), (1.0, "0:30")]


@pytest.mark.parametrize("length_s", [0.05, 0.3, 1.0, 1.99, 2.0, 7.0, 59.0, 61.0, 5000.0, 90000.0, 1e6])
def test_there_is_always_something_to_read_and_never_too_much(length_s: float) -> None:
    found = time_ticks(0.0, length_s)
    assert 2 <= len(found) <= max(9, math.ceil(length_s / 86400) + 1)
    assert all(-1e-9 <= share <= 1 + 1e-9 for share, _ in found)
