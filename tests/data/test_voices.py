"""Every voice is heard where it should be, and animals of a species differ."""

import numpy as np
import pytest

from bioacoustics.data.voices import SPECIES, Individual, Species, individual

RATE_HZ = 16000
TYPICAL = Individual(pitch=1.0, tempo=1.0)

# Where the strongest frequency of a typical animal lies, in Hz.
STRONGEST_HZ = {
    "bullfrog": (90, 700),
    "fast_trill_frog": (1650, 1850),
    "field_cricket": (4450, 4750),
    "fox": (400, 2000),
    "howler_monkey": (200, 1200),
    "slow_trill_frog": (1750, 1950),
    "tree_cricket": (3950, 4250),
    "trilling_sparrow": (2600, 6500),
    "two_note_frog": (1200, 2600),
    "warbler": (2500, 6700),
}


def strongest_hz(call):
    return np.fft.rfftfreq(len(call), 1 / RATE_HZ)[np.argmax(np.abs(np.fft.rfft(call)))]


def pulse_rate_hz(call):
    """The strongest modulation between 8 and 60 Hz."""
    envelope = np.convolve(np.abs(call), np.ones(40) / 40, mode="same")
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
    modulation = np.fft.rfftfreq(len(envelope), 1 / RATE_HZ)
    spectrum[(modulation < 8) | (modulation > 60)] = 0
    return modulation[np.argmax(spectrum)]


def call_of(label, seed=0, animal=TYPICAL, rate_hz=RATE_HZ):
    species = next(species for species in SPECIES if species.label == label)
    return species.call(animal, np.random.default_rng(seed), rate_hz)


def test_labels_are_sorted_and_unique():
    labels = [species.label for species in SPECIES]
    assert labels == sorted(set(labels))
    assert set(labels) == set(STRONGEST_HZ)


@pytest.mark.parametrize("species", SPECIES, ids=lambda species: species.label)
def test_call_is_finite_short_and_in_its_band(species: Species):
    low_hz, high_hz = STRONGEST_HZ[species.label]
    for seed in range(5):
        call = call_of(species.label, seed)
        assert np.isfinite(call).all()
        assert 0.05 < len(call) / RATE_HZ < 5
        assert low_hz <= strongest_hz(call) <= high_hz


@pytest.mark.parametrize("species", SPECIES, ids=lambda species: species.label)
def test_same_seed_same_call_and_other_seed_another(species: Species):
    assert np.array_equal(call_of(species.label, 3), call_of(species.label, 3))
    assert not np.array_equal(call_of(species.label, 3), call_of(species.label, 4))


def test_pulse_rates_tell_the_two_trill_frogs_apart():
    assert pulse_rate_hz(call_of("slow_trill_frog")) == pytest.approx(17, abs=2)
    assert pulse_rate_hz(call_of("fast_trill_frog")) == pytest.approx(40, abs=2)


def test_pitch_and_tempo_belong_to_the_individual():
    low = strongest_hz(call_of("tree_cricket", animal=Individual(pitch=0.9, tempo=1.0)))
    high = strongest_hz(call_of("tree_cricket", animal=Individual(pitch=1.1, tempo=1.0)))
    assert high / low == pytest.approx(1.1 / 0.9, rel=0.02)
    fast = pulse_rate_hz(call_of("slow_trill_frog", animal=Individual(pitch=1.0, tempo=1.3)))
    assert fast == pytest.approx(17 * 1.3, abs=2)


def test_no_partial_lies_above_nyquist():
    # At 8 kHz most partials do not fit; what would fold back must be left out.
    call = call_of("fast_trill_frog", rate_hz=8000)
    spectrum = np.abs(np.fft.rfft(call)) ** 2
    frequency = np.fft.rfftfreq(len(call), 1 / 8000)
    expected = (np.abs(frequency - 1800) < 300) | (np.abs(frequency - 3600) < 400)
    assert spectrum[~expected].sum() < 0.02 * spectrum.sum()


def test_individuals_scatter_around_one():
    rng = np.random.default_rng(0)
    animals = [individual(rng) for _ in range(500)]
    assert np.mean([animal.pitch for animal in animals]) == pytest.approx(1, abs=0.02)
    assert 0.03 < np.std([animal.pitch for animal in animals]) < 0.1
    assert 0.05 < np.std([animal.tempo for animal in animals]) < 0.15
