"""Scenery: the places around synthetic animals -- wind, rain, insects, recorder noise, distance and echo."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

Waveform = Float[np.ndarray, " samples"]
Spectrum = Float[np.ndarray, " bins"]
TAIL_S = 0.5  # the echo goes on for so long after a call


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One place with its recorder; levels are RMS of full scale, before the weather of the day."""

    name: str
    wind: float
    stream: float
    insects: float
    insects_hz: float
    recorder_noise: float
    tilt_db_per_octave: float  # of the recorder's microphone, above 1 kHz
    echo: float  # 0 open field, 1 dense forest


SITES = (
    Site(
        name="BOSQUE1", wind=0.005, stream=0.0, insects=0.004, insects_hz=6100.0, recorder_noise=0.0008,
        tilt_db_per_octave=-1.5, echo=1.0,
    ),
    Site(
        name="LAGUNA2", wind=0.008, stream=0.002, insects=0.002, insects_hz=5300.0, recorder_noise=0.0006,
        tilt_db_per_octave=0.0, echo=0.25,
    ),
    Site(
        name="QUEBRADA3", wind=0.004, stream=0.007, insects=0.0015, insects_hz=6700.0, recorder_noise=0.0008,
        tilt_db_per_octave=-0.5, echo=0.7,
    ),
    Site(
        name="SABANA4", wind=0.014, stream=0.0, insects=0.0015, insects_hz=7200.0, recorder_noise=0.0015,
        tilt_db_per_octave=1.0, echo=0.1,
    ),
)  # fmt: skip


def background(site: Site, rng: np.random.Generator, num_samples: int, sample_rate_hz: int) -> Waveform:
    """What the recorder hears when no animal calls; every draw has its own weather."""
    weather = np.exp(rng.normal(0, 0.5, 3))
    scene: Waveform = site.wind * weather[0] * _wind(rng, num_samples, sample_rate_hz)
    if site.stream > 0:
        scene += site.stream * _stream(rng, num_samples, sample_rate_hz)
    scene += site.insects * weather[1] * _insects(rng, num_samples, sample_rate_hz, site.insects_hz)
    if rng.random() < 0.2:
        scene += 0.006 * weather[2] * _rain(rng, num_samples, sample_rate_hz)
    scene += site.recorder_noise * rng.standard_normal(num_samples)
    return scene


def microphone(site: Site, sound: Waveform, sample_rate_hz: int) -> Waveform:
    """The sound as this site's recorder colours it."""
    octaves = np.maximum(np.log2(np.maximum(_frequencies(len(sound), sample_rate_hz), 1) / 1000), 0)
    return np.fft.irfft(np.fft.rfft(sound) * 10 ** (site.tilt_db_per_octave * octaves / 20), len(sound))


def at_distance(
    call: Waveform, distance_m: float, echo: float, rng: np.random.Generator, sample_rate_hz: int
) -> Float[np.ndarray, " heard"]:
    """The call (1 m away) as heard from afar: fainter, duller, with an echo; `TAIL_S` longer.

    Air takes about 0.1 dB a metre at 8 kHz, growing with the square of the frequency (ISO 9613-1 at 20 °C and
    70 % humidity, roughly); leaves take as much again.
    """
    num_samples = len(call) + int(TAIL_S * sample_rate_hz)
    frequency = _frequencies(num_samples, sample_rate_hz)
    heard = 10 ** (-0.2 * distance_m * np.square(frequency / 8000) / 20) / distance_m
    since_s = np.arange(int(TAIL_S * sample_rate_hz)) / sample_rate_hz
    tail = rng.standard_normal(len(since_s)) * np.exp(-since_s / 0.09)
    tail *= 0.5 * echo * min(distance_m / 60, 1) / np.sqrt(np.square(tail).sum())
    tail[0] += 1  # the direct sound
    return np.fft.irfft(np.fft.rfft(call, num_samples) * heard * np.fft.rfft(tail, num_samples), num_samples)


@lru_cache(maxsize=8)
def _frequencies(num_samples: int, sample_rate_hz: int) -> Spectrum:
    return np.fft.rfftfreq(num_samples, 1 / sample_rate_hz)


def _noise(rng: np.random.Generator, num_samples: int, gain: Spectrum) -> Waveform:
    """Noise of RMS 1 with this amplitude spectrum."""
    noise: Waveform = np.fft.irfft(np.fft.rfft(rng.standard_normal(num_samples)) * gain, num_samples)
    noise /= np.sqrt(np.square(noise).mean())
    return noise


def _slow(rng: np.random.Generator, num_samples: int, sample_rate_hz: int, changes_per_s: float) -> Waveform:
    """A smooth random curve, mean 0, deviation about 1."""
    num_knots = int(num_samples / sample_rate_hz * changes_per_s) + 3
    at = np.linspace(0, num_knots - 1, num_samples)
    left = np.minimum(at.astype(int), num_knots - 2)
    bend = (1 - np.cos(np.pi * (at - left))) / 2
    knots = rng.standard_normal(num_knots)
    curve: Waveform = knots[left] * (1 - bend) + knots[left + 1] * bend
    return curve


def _wind(rng: np.random.Generator, num_samples: int, sample_rate_hz: int) -> Waveform:
    """Rumble that falls with frequency and swells in gusts."""
    rumble = _noise(rng, num_samples, 1 / np.maximum(_frequencies(num_samples, sample_rate_hz), 40))
    rumble *= np.exp(0.6 * _slow(rng, num_samples, sample_rate_hz, 0.8))
    return rumble


def _stream(rng: np.random.Generator, num_samples: int, sample_rate_hz: int) -> Waveform:
    """Running water: a broad band around 1 kHz."""
    frequency = _frequencies(num_samples, sample_rate_hz)
    return _noise(rng, num_samples, frequency / (300 + frequency) / (1 + np.square(frequency / 1400)))


def _insects(rng: np.random.Generator, num_samples: int, sample_rate_hz: int, centre_hz: float) -> Waveform:
    """A far chorus: two narrow bands that pulse."""
    chorus = np.zeros(num_samples)
    seconds = np.arange(num_samples) / sample_rate_hz
    frequency = _frequencies(num_samples, sample_rate_hz)
    for share, offset_hz in ((1.0, 0.0), (0.4, -900.0)):
        centre = centre_hz + offset_hz + rng.normal(0, 80)
        band = _noise(rng, num_samples, np.exp(-np.square((frequency - centre) / 220) / 2))
        # Many animals: the beat is never quite steady, and the chorus swells.
        beat = rng.uniform(2, 14) * (seconds + 0.12 * _slow(rng, num_samples, sample_rate_hz, 1.5))
        chorus += share * band * (1 + 0.5 * np.sin(2 * np.pi * beat))
    chorus *= np.exp(0.3 * _slow(rng, num_samples, sample_rate_hz, 1.0))
    return chorus


def _rain(rng: np.random.Generator, num_samples: int, sample_rate_hz: int) -> Waveform:
    """Hiss, and drops on leaves: short bursts at random moments."""
    hiss = _noise(rng, num_samples, (200 + _frequencies(num_samples, sample_rate_hz)) ** -0.3)
    drops = np.zeros(num_samples)
    num_drops = rng.poisson(60 * num_samples / sample_rate_hz)
    drops[rng.integers(0, num_samples, num_drops)] = rng.lognormal(0, 1, num_drops)
    since_s = np.arange(sample_rate_hz // 100) / sample_rate_hz
    splash = rng.standard_normal(len(since_s)) * np.exp(-since_s / 0.0015)
    return hiss + 0.8 * np.convolve(drops, splash)[:num_samples]
