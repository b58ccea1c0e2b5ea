"""Voices: synthetic calls of ten invented species -- frogs, birds, crickets, mammals -- with individuals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Waveform = Float[np.ndarray, " samples"]
Pulses = Float[np.ndarray, " pulses"]


@dataclass(frozen=True, slots=True)
class Individual:
    """What makes one animal differ from others of its species: factors around 1."""

    pitch: float
    tempo: float


Call = Callable[[Individual, np.random.Generator, int], Waveform]


@dataclass(frozen=True, slots=True, kw_only=True)
class Species:
    """A label and its voice; `pause_s` lies between the calls of one animal, `hours` is when it calls."""

    label: str
    call: Call  # (individual, random numbers, sample rate in Hz) -> one call
    pause_s: tuple[float, float]
    hours: tuple[int, ...]


def individual(rng: np.random.Generator) -> Individual:
    """Draw one animal."""
    return Individual(pitch=float(np.exp(rng.normal(0, 0.06))), tempo=float(np.exp(rng.normal(0, 0.1))))


def _num_samples(duration_s: float, sample_rate_hz: int) -> int:
    return max(int(duration_s * sample_rate_hz), 8)


def _contour(points: list[float], num_samples: int) -> Waveform:
    """A smooth curve through `points`, evenly spaced in time and interpolated on a logarithmic scale."""
    at = np.linspace(0, len(points) - 1, num_samples)
    low = np.minimum(at.astype(int), len(points) - 2)
    bend = (1 - np.cos(np.pi * (at - low))) / 2
    logs = np.log(points)
    curve: Waveform = np.exp(logs[low] * (1 - bend) + logs[low + 1] * bend)
    return curve


def _bell(num_samples: int, attack: float, release: float) -> Waveform:
    """An envelope that rises over the share `attack` of its length and falls over the share `release`."""
    at = np.linspace(0, 1, num_samples)
    rise = np.clip(at / attack, 0, 1)
    fall = np.clip((1 - at) / release, 0, 1)
    return np.square(np.sin(np.pi / 2 * rise)) * np.square(np.sin(np.pi / 2 * fall))


def _tone(frequency_hz: Waveform, harmonics: tuple[float, ...], sample_rate_hz: int) -> Waveform:
    """Partials of these amplitudes over a moving fundamental; partials above Nyquist are left out."""
    phase = 2 * np.pi * np.cumsum(frequency_hz) / sample_rate_hz
    tone = np.zeros(len(phase))
    for number, amplitude in enumerate(harmonics, start=1):
        if number * frequency_hz.max() < 0.48 * sample_rate_hz:
            tone += amplitude * np.sin(number * phase)
    return tone


def _train(pulse: Callable[[float], Waveform], starts_s: Pulses, loudness: Pulses, rate_hz: int) -> Waveform:
    """The pulses one after the other; `pulse` gets how far (0 to 1) the train has come."""
    pulses = [pulse(at) for at in np.linspace(0, 1, len(starts_s))]
    starts = (starts_s * rate_hz).astype(int)
    train = np.zeros(max(start + len(p) for start, p in zip(starts, pulses, strict=True)))
    for start, one, level in zip(starts, pulses, loudness, strict=True):
        train[start : start + len(one)] += level * one
    return train


def _starts(num_pulses: int, rate_hz: float, rng: np.random.Generator, jitter: float = 0.03) -> Pulses:
    starts = np.arange(num_pulses) + rng.normal(0, jitter, num_pulses)
    return np.maximum(starts, 0) / rate_hz


def _formant_voice(
    fundamental_hz: Waveform,
    formants: Sequence[tuple[float, float, float]],
    rng: np.random.Generator,
    sample_rate_hz: int,
    *,
    breath: float,
) -> Waveform:
    """A mammal's or a big frog's voice: glottal pulses through formants (centre Hz, width Hz, level)."""
    wobble = np.interp(
        np.arange(len(fundamental_hz)),
        np.linspace(0, len(fundamental_hz), max(len(fundamental_hz) // 150, 2)),
        rng.normal(1.0, 0.012, max(len(fundamental_hz) // 150, 2)),
    )
    phase = np.cumsum(fundamental_hz * wobble) / sample_rate_hz
    source = (1 - 2 * (phase % 1)) + breath * rng.standard_normal(len(phase))
    frequency = np.fft.rfftfreq(len(source), 1 / sample_rate_hz)
    gain = sum(
        level / np.sqrt(1 + np.square((frequency - centre) / width)) for centre, width, level in formants
    )
    # Lips radiate high frequencies better: without the first factor the fundamental drowns the formants.
    tract = np.minimum(frequency / 300, 1) * np.square(gain)
    return np.fft.irfft(np.fft.rfft(source) * tract, len(source))


def two_note_frog(animal: Individual, rng: np.random.Generator, rate_hz: int) -> Waveform:
    """A short low whistle and a longer rising one."""
    notes = []
    for centre, duration, rise in ((1250, 0.11, 1.02), (2150, rng.uniform(0.16, 0.24), 1.18)):
        frequency = (
            centre * animal.pitch * _contour([1.0, (1 + rise) / 2, rise], _num_samples(duration, rate_hz))
        )
        notes.append(_tone(frequency, (1.0, 0.12, 0.04), rate_hz) * _bell(len(frequency), 0.15, 0.3))
    return np.concatenate([0.7 * notes[0], np.zeros(_num_samples(0.09 / animal.tempo, rate_hz)), notes[1]])


def _trill_frog(
    animal: Individual,
    rng: np.random.Generator,
    rate_hz: int,
    *,
    carrier_hz: float,
    pulses_per_s: float,
    duration_s: float,
) -> Waveform:
    pulse_rate = pulses_per_s * animal.tempo
    num_pulses = max(int(duration_s * pulse_rate), 3)
    length = _num_samples(0.62 / pulse_rate, rate_hz)

    def pulse(at: float) -> Waveform:
        centre_hz = carrier_hz * animal.pitch * (0.95 + 0.05 * min(4 * at, 1))
        one = _tone(centre_hz * _contour([0.97, 1.0, 0.99], length), (1.0, 0.25, 0.12, 0.05), rate_hz)
        one *= _bell(length, 0.2, 0.75)
        return one

    loudness = np.linspace(0.25, 1, num_pulses) ** 0.5 * rng.uniform(0.85, 1, num_pulses)
    return _train(pulse, _starts(num_pulses, pulse_rate, rng), loudness, rate_hz)


def slow_trill_frog(animal: Individual, rng: np.random.Generator, rate_hz: int) -> Waveform:
    """A train of some 17 pulses a second, under a second long."""
    duration_s = rng.uniform(0.6, 1.0)
    return _trill_frog(animal, rng, rate_hz, carrier_hz=1900.0, pulses_per_s=17.0, duration_s=duration_s)


def fast_trill_frog(animal: Individual, rng: np.random.Generator, rate_hz: int) -> Waveform:
    """The same carrier, but some 40 pulses a second and longer: a toad's trill."""
    duration_s = rng.uniform(0.9, 2.2)
    return _trill_frog(animal, rng, rate_hz, carrier_hz=1800.0, pulses_per_s=40.0, duration_s=duration_s)


def bullfrog(animal: Individual, rng: np.random.Generator, rate_hz: int) -> Waveform:
    """A deep hoarse bellow."""
    length = _num_samples(rng.uniform(0.45, 0.75) / animal.tempo, rate_hz)
    fundamental = 105 * animal.pitch * _contour([0.9, 1.05, 1.0, 0.92], length)
    formants = [(230.0, 70.0, 1.0), (640.0, 120.0, 0.5), (1500.0, 250.0, 0.35)]
    voice = _formant_voice(fundamental, formants, rng, rate_hz, breath=0.25)
    voice *= _bell(length, 0.25, 0.4)
    return voice


def warbler(animal: Individual, rng: np.random.Generator, rate_hz: int) -> Waveform:
    """A song of five to eight different sweeps."""
    syllables = []
    for _ in range(rng.integers(5, 9)):
        length = _num_samples(rng.uniform(0.07, 0.2) / animal.tempo, rate_hz)
        points = animal.pitch * np.exp(rng.uniform(np.log(2600), np.log(6600), rng.integers(2, 4)))
        tone = _tone(_contour(points.tolist(), length), (1.0, 0.08), rate_hz)
        syllables += [rng.uniform(0.5, 1) * tone * _bell(length, 0.2, 0.35)]
        syllables += [np.zeros(_num_samples(rng.uniform(0.03, 0.08), rate_hz))]
    return np.concatenate(syllables)


def trilling_sparrow(animal: Individual, rng: np.random.Generator, rate_hz: int) -> Waveform:
    """One or two thin notes, then one down-sweep many times."""
    note_rate = 11 * animal.tempo
    length = _num_samples(0.65 / note_rate, rate_hz)
    top = animal.pitch * rng.uniform(5200, 6400)
    sweep = _contour([top * 0.8, top, top * 0.7, top * 0.52], length)
    note = _tone(sweep, (1.0, 0.1), rate_hz) * _bell(length, 0.15, 0.4)
    num_notes = int(rng.integers(9, 20))
    loudness = _bell(num_notes, 0.4, 0.15) + 0.15
    trill = _train(lambda _: note, _starts(num_notes, note_rate, rng, 0.01), loudness, rate_hz)
    opening = _tone(np.full(_num_samples(0.18, rate_hz), 4300 * animal.pitch), (1.0,), rate_hz)
    opening *= 0.45 * _bell(len(opening), 0.2, 0.3)
    return np.concatenate([*[opening, np.zeros(rate_hz // 14)] * rng.integers(1, 3), trill])


def _cricket(
    animal: Individual,
    rng: np.random.Generator,
    rate_hz: int,
    *,
    carrier_hz: float,
    num_pulses: int,
    pulses_per_s: float,
) -> Waveform:
    length = _num_samples(0.55 / pulses_per_s, rate_hz)
    frequency = carrier_hz * animal.pitch * _contour([1.02, 1.0, 0.985], length)
    pulse = _tone(frequency, (1.0, 0.06), rate_hz) * _bell(length, 0.3, 0.45)
    loudness = np.minimum(np.linspace(0.5, 1.6, num_pulses), 1) * rng.uniform(0.9, 1, num_pulses)
    return _train(lambda _: pulse, _starts(num_pulses, pulses_per_s, rng, 0.02), loudness, rate_hz)


def field_cricket(animal: Individual, rng: np.random.Generator, rate_hz: int) -> Waveform:
    """A chirp: three or four pulses of one clear tone."""
    num_pulses = int(rng.integers(3, 5))
    return _cricket(
        animal, rng, rate_hz, carrier_hz=4600.0, num_pulses=num_pulses, pulses_per_s=30.0 * animal.tempo
    )


def tree_cricket(animal: Individual, rng: np.random.Generator, rate_hz: int) -> Waveform:
    """A trill that goes on for seconds."""
    pulse_rate = 48 * animal.tempo
    num_pulses = int(rng.uniform(1.5, 3.5) * pulse_rate)
    return _cricket(animal, rng, rate_hz, carrier_hz=4100.0, num_pulses=num_pulses, pulses_per_s=pulse_rate)


def howler_monkey(animal: Individual, rng: np.random.Generator, rate_hz: int) -> Waveform:
    """A roar: low, rough, breathy, swelling over a second or two."""
    length = _num_samples(rng.uniform(0.9, 1.9) / animal.tempo, rate_hz)
    fundamental = 150 * animal.pitch * _contour([0.75, 1.0, 1.1, 1.0, 0.7], length)
    formants = [(430.0, 110.0, 1.0), (900.0, 160.0, 0.7), (1750.0, 300.0, 0.25)]
    flutter = 1 + 0.35 * np.sin(2 * np.pi * 19 * animal.tempo * np.arange(length) / rate_hz)
    voice = _formant_voice(fundamental, formants, rng, rate_hz, breath=1.1)
    voice *= flutter * _bell(length, 0.45, 0.3)
    return voice


def fox(animal: Individual, rng: np.random.Generator, rate_hz: int) -> Waveform:
    """Two to five sharp barks."""

    def bark(at: float) -> Waveform:
        length = _num_samples(rng.uniform(0.11, 0.17), rate_hz)
        fundamental = animal.pitch * (560 - 60 * at) * _contour([0.7, 1.25, 1.1, 0.65], length)
        formants = [(850.0, 200.0, 1.0), (1700.0, 300.0, 0.8), (3100.0, 450.0, 0.4)]
        voice = _formant_voice(fundamental, formants, rng, rate_hz, breath=0.3)
        voice *= _bell(length, 0.15, 0.5)
        return voice

    num_barks = int(rng.integers(2, 6))
    starts = _starts(num_barks, 3.2 * animal.tempo, rng, 0.06)
    return _train(bark, starts, rng.uniform(0.6, 1, num_barks), rate_hz)


_NIGHT, _DAWN, _DAY = (19, 20, 21, 22, 23, 0, 1, 2), (5, 6, 7), (8, 9, 10, 15, 16)
SPECIES = (
    Species(label="bullfrog", call=bullfrog, pause_s=(0.5, 1.6), hours=_NIGHT),
    Species(label="fast_trill_frog", call=fast_trill_frog, pause_s=(0.5, 2.0), hours=_NIGHT),
    Species(label="field_cricket", call=field_cricket, pause_s=(0.18, 0.4), hours=_NIGHT),
    Species(label="fox", call=fox, pause_s=(0.8, 2.5), hours=_NIGHT),
    Species(label="howler_monkey", call=howler_monkey, pause_s=(0.2, 1.2), hours=_DAWN),
    Species(label="slow_trill_frog", call=slow_trill_frog, pause_s=(0.5, 2.0), hours=_NIGHT),
    Species(label="tree_cricket", call=tree_cricket, pause_s=(0.3, 1.2), hours=_NIGHT),
    Species(label="trilling_sparrow", call=trilling_sparrow, pause_s=(1.0, 3.0), hours=_DAWN + _DAY),
    Species(label="two_note_frog", call=two_note_frog, pause_s=(0.7, 2.0), hours=_NIGHT),
    Species(label="warbler", call=warbler, pause_s=(0.8, 2.5), hours=_DAWN + _DAY),
)
