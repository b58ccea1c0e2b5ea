"""Backgrounds differ by site and draw; distance makes calls fainter, duller and longer."""

import numpy as np
import pytest

from bioacoustics.data.scenery import SITES, TAIL_S, at_distance, background, microphone

RATE_HZ = 16000


def level_between(sound, low_hz, high_hz, rate_hz=RATE_HZ):
    frequency = np.fft.rfftfreq(len(sound), 1 / rate_hz)
    power = np.abs(np.fft.rfft(sound)) ** 2
    return power[(frequency >= low_hz) & (frequency < high_hz)].sum()


def centroid_hz(sound):
    frequency = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    power = np.abs(np.fft.rfft(sound)) ** 2
    return (frequency * power).sum() / power.sum()


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_background_is_reproducible_quiet_and_never_silent(site):
    scene = background(site, np.random.default_rng(1), 2 * RATE_HZ, RATE_HZ)
    assert np.array_equal(scene, background(site, np.random.default_rng(1), 2 * RATE_HZ, RATE_HZ))
    assert not np.array_equal(scene, background(site, np.random.default_rng(2), 2 * RATE_HZ, RATE_HZ))
    assert np.isfinite(scene).all()
    assert 0.002 < np.sqrt(np.square(scene).mean()) < 0.1


def test_sites_sound_different():
    forest, _, stream, _ = (
        np.concatenate([background(site, np.random.default_rng(seed), RATE_HZ, RATE_HZ) for seed in range(6)])
        for site in SITES
    )
    assert level_between(stream, 500, 2000) > 4 * level_between(forest, 500, 2000)
    assert level_between(forest, 5800, 6400) > 2 * level_between(stream, 5800, 6400)


def test_wind_lies_low():
    windy = SITES[3]
    scene = background(windy, np.random.default_rng(0), 4 * RATE_HZ, RATE_HZ)
    assert level_between(scene, 0, 300) > level_between(scene, 300, 3000)


def test_distance_dims_dulls_and_lengthens():
    click = np.zeros(1600)
    click[10] = 1.0
    near, far = (at_distance(click, metres, 1.0, np.random.default_rng(0), RATE_HZ) for metres in (5.0, 50.0))
    assert len(near) == len(click) + int(TAIL_S * RATE_HZ)
    assert np.square(near).sum() > 50 * np.square(far).sum()
    assert centroid_hz(far) < 0.8 * centroid_hz(near)
    late = slice(10 + RATE_HZ // 50, None)
    assert (
        np.square(far[late]).sum() / np.square(far).sum()
        > np.square(near[late]).sum() / np.square(near).sum()
    )


def test_open_field_has_no_echo():
    click = np.zeros(1600)
    click[10] = 1.0
    heard = at_distance(click, 1.0, 0.0, np.random.default_rng(0), RATE_HZ)
    assert np.abs(heard[RATE_HZ // 20 :]).max() < 1e-3
    assert np.argmax(heard) == 10


def test_microphone_tilts_only_high_frequencies():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(RATE_HZ)
    heard = microphone(SITES[0], noise, RATE_HZ)  # -1.5 dB per octave above 1 kHz
    low = 10 * np.log10(level_between(heard, 100, 900) / level_between(noise, 100, 900))
    high = 10 * np.log10(level_between(heard, 3900, 4100) / level_between(noise, 3900, 4100))
    assert low == pytest.approx(0, abs=0.01)
    assert high == pytest.approx(-3.0, abs=0.1)
