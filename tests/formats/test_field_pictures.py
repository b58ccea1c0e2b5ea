"""Calendars and long-term spectrograms show what they were given, also at the edges."""

from datetime import date, timedelta
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread

from bioacoustics.formats.field_pictures import calendar, long_term_spectrograms

DAYS = [date(2024, 3, 1) + timedelta(days=i) for i in range(40)]


def pixels(png):
    return imread(BytesIO(png))[..., :3]


@pytest.mark.parametrize("language", ["en", "es"])
def test_calendar_shows_days_without_sound_white(language):
    recorded_h = np.full((3, 40), 24.0)
    full = pixels(calendar(DAYS, ["a", "b", "$ñ$"], recorded_h, language=language))
    recorded_h[1, 10:20] = 0.0
    holed = pixels(calendar(DAYS, ["a", "b", "$ñ$"], recorded_h, language=language))
    assert full.shape == holed.shape
    changed = np.abs(full - holed).max(axis=2) > 0.1
    assert (holed[changed] > 0.95).all(axis=1).mean() > 0.95
    assert 0.03 < changed.mean() < 0.2  # a quarter of one of three rows


def test_calendar_of_nothing_and_of_one_day():
    assert pixels(calendar(DAYS[:1], [""], np.zeros((1, 1)))).size
    assert pixels(calendar(DAYS[:1], ["x" * 80], np.ones((1, 1)))).size


def test_a_day_among_years_can_still_be_seen():
    days = [date(2013, 6, 25) + timedelta(days=i) for i in range(4300)]
    recorded_h = np.zeros((2, len(days)))
    recorded_h[0] = 24.0
    empty = pixels(calendar(days, ["a", "b"], recorded_h))
    recorded_h[1, 2000] = 24.0 * 29
    one = pixels(calendar(days, ["a", "b"], recorded_h))
    columns = np.unique(np.nonzero(np.abs(one - empty).max(axis=2) > 0.2)[1])
    assert 4 <= len(columns) < 40


def test_a_loud_hour_is_bright():
    levels = np.full((24, 64), -80.0)
    levels[6:12] = -20.0
    levels[12:18] = np.nan
    picture = pixels(long_term_spectrograms([levels], [8000.0], ["site (24)"]))
    height, width = picture.shape[:2]
    row = picture[height // 2]
    left, right = int(0.12 * width), int(0.8 * width)
    hours = np.linspace(left, right, 240).astype(int)
    brightness = row[hours].mean(axis=1)
    assert brightness[20] < 0.2  # night
    assert brightness[90] > 0.6  # the loud hours
    assert brightness[150] > 0.99  # nothing was recorded


def test_many_sites_share_one_scale():
    levels = [np.full((24, 8), level) for level in (-90.0, -60.0, -30.0)]
    png = long_term_spectrograms(levels, [8000.0, 24000.0, 96000.0], ["a", "b", "c"], language="es")
    assert pixels(png).shape[0] > 400
    assert pixels(long_term_spectrograms([np.full((24, 8), np.nan)], [8000.0], ["empty"])).size
