"""Synthesis: a small believable data set of animal sounds in the documented layout, from a seed alone."""

import csv
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float

from bioacoustics.data.scenery import SITES, Site, at_distance, background, microphone
from bioacoustics.data.voices import SPECIES, Individual, Species, individual

Waveform = Float[np.ndarray, " samples"]
CLIPS_PER_RECORDING = 3
_DISTANCES_M = ((4, 10), (10, 20), (20, 35))  # near, middling, far
_SOURCE_LEVEL = 0.9  # RMS of a call 1 m away, of full scale: loud animals near a sensitive recorder
_FIRST_DAY = datetime(2024, 3, 1)  # recorders write local time


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticDataset:
    """Where everything lies; the folder has the documented layout."""

    folder: Path
    unlabeled_dir: Path
    audio_dir: Path
    labels_csv: Path
    long_recording: Path
    annotations_csv: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One animal somewhere near the recorder."""

    species: Species
    animal: Individual
    distance_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One call in a recording, as far as it can be heard."""

    start_s: float
    end_s: float
    low_hz: float
    high_hz: float
    label: str


def synthesise_dataset(
    folder: Path,
    *,
    seed: int = 0,
    num_unlabeled: int = 80,
    num_labeled_per_class: int = 18,
    clip_s: float = 5.0,
    long_recording_s: float = 60.0,
    sample_rate_hz: int = 16000,
) -> SyntheticDataset:
    """Write unlabeled/, labeled/ (ten classes, one label a clip) and recordings/ (one annotated file).

    File names hold site and time; `CLIPS_PER_RECORDING` clips come from one recording: same place, day and
    animal. Some unlabelled files are at twice the sample rate. The same arguments give the same samples; each
    file depends on the seed and its own number only.

    Raises:
        ValueError: A duration is too short to hold a call.
    """
    if clip_s < 1 or long_recording_s < clip_s:
        raise ValueError(
            f"clips of {clip_s} s and a long recording of {long_recording_s} s: clips need 1 s or more, the "
            "recording at least the length of a clip"
        )
    made = SyntheticDataset(
        folder=folder,
        unlabeled_dir=folder / "unlabeled",
        audio_dir=folder / "labeled" / "audio",
        labels_csv=folder / "labeled" / "labels.csv",
        long_recording=folder / "recordings" / "long.wav",
        annotations_csv=folder / "recordings" / "annotations.csv",
    )
    with ThreadPoolExecutor() as pool:
        unlabeled = pool.map(
            lambda i: _unlabeled(made, seed, i, clip_s, sample_rate_hz), range(num_unlabeled)
        )
        num_labeled = num_labeled_per_class * len(SPECIES)
        rows = list(pool.map(lambda i: _labeled(made, seed, i, clip_s, sample_rate_hz), range(num_labeled)))
        list(unlabeled)
    _write_csv(made.labels_csv, ("filename", "labels"), sorted(rows))
    events = _long_recording(made, seed, long_recording_s, sample_rate_hz)
    columns = ("filename", "start_s", "end_s", "low_hz", "high_hz", "label")
    lines = [
        ("long.wav", f"{e.start_s:.3f}", f"{e.end_s:.3f}", f"{e.low_hz:.0f}", f"{e.high_hz:.0f}", e.label)
        for e in events
    ]
    _write_csv(made.annotations_csv, columns, lines)
    return made


def _unlabeled(made: SyntheticDataset, seed: int, index: int, clip_s: float, sample_rate_hz: int) -> None:
    rng = np.random.default_rng((seed, 1, index))
    site = SITES[rng.integers(len(SITES))]
    rate_hz = 2 * sample_rate_hz if index % 10 == 9 else sample_rate_hz
    sound = background(site, rng, int(clip_s * rate_hz), rate_hz)
    num_species = rng.choice(4, p=(0.15, 0.35, 0.35, 0.15))
    callers = [_caller(SPECIES[i], rng) for i in rng.choice(len(SPECIES), num_species, replace=False)]
    for caller in callers:
        _add_calls(sound, caller, site, rng, rate_hz)
    hours = callers[0].species.hours if callers else (12,)
    name = f"{site.name}_{_moment(rng, 200 + index, hours)}.{'wav' if index % 3 == 0 else 'flac'}"
    _write_audio(made.unlabeled_dir / site.name / name, site, sound, rate_hz)


def _labeled(
    made: SyntheticDataset, seed: int, index: int, clip_s: float, sample_rate_hz: int
) -> tuple[str, str]:
    """Write clip `index`; returns its row of labels.csv."""
    species = SPECIES[index % len(SPECIES)]
    take = index // len(SPECIES)
    number = take // CLIPS_PER_RECORDING * len(SPECIES) + index % len(SPECIES)  # of the recording
    of_recording = np.random.default_rng((seed, 2, number))
    # Sites take turns, so that no class is known by its background.
    site = SITES[(number // len(SPECIES) + number) % len(SITES)]
    caller = _caller(species, of_recording)
    moment = _moment(of_recording, number, species.hours)
    start_s = round((2 + 4 * (take % CLIPS_PER_RECORDING)) * clip_s)
    rng = np.random.default_rng((seed, 3, index))
    sound = background(site, rng, int(clip_s * sample_rate_hz), sample_rate_hz)
    caller = replace(caller, distance_m=caller.distance_m * rng.uniform(0.8, 1.3))
    _add_calls(sound, caller, site, rng, sample_rate_hz)
    if rng.random() < 0.3:  # someone else, far off and not labelled
        other = _caller(SPECIES[rng.integers(len(SPECIES))], rng)
        _add_calls(sound, replace(other, distance_m=rng.uniform(60, 120)), site, rng, sample_rate_hz)
    filename = f"{site.name}_{moment}_{start_s}_{round(start_s + clip_s)}.flac"
    if take % 2:
        filename = f"{site.name}/{filename}"
    _write_audio(made.audio_dir / filename, site, sound, sample_rate_hz)
    return filename, species.label


def _long_recording(made: SyntheticDataset, seed: int, duration_s: float, sample_rate_hz: int) -> list[Event]:
    """Write one long file in which the species take turns, now and then together; returns its events."""
    rng = np.random.default_rng((seed, 4))
    site = SITES[0]
    sound = background(site, rng, int(duration_s * sample_rate_hz), sample_rate_hz)
    events: list[Event] = []
    start_s = rng.uniform(0.5, 2)
    waiting: list[Species] = []
    while start_s < duration_s - 2:
        waiting = waiting or [SPECIES[i] for i in rng.permutation(len(SPECIES))]
        caller = _caller(waiting.pop(), rng)
        until_s = start_s + rng.uniform(1, 5)
        events += _add_calls(sound, caller, site, rng, sample_rate_hz, start_s=start_s, until_s=until_s)
        start_s += rng.uniform(1.5, 7)
    _write_audio(made.long_recording, site, sound, sample_rate_hz)
    return sorted(events, key=lambda event: event.start_s)


def _caller(species: Species, rng: np.random.Generator) -> Caller:
    low, high = _DISTANCES_M[rng.integers(len(_DISTANCES_M))]
    return Caller(species=species, animal=individual(rng), distance_m=rng.uniform(low, high))


def _add_calls(
    sound: Waveform,
    caller: Caller,
    site: Site,
    rng: np.random.Generator,
    sample_rate_hz: int,
    *,
    start_s: float | None = None,
    until_s: float = np.inf,
) -> list[Event]:
    """Add one animal's calls to `sound`, in place: none begins after `until_s`, the end may cut one."""
    duration_s = len(sound) / sample_rate_hz
    at_s = rng.uniform(0.05, 0.25) * min(duration_s, 4) if start_s is None else start_s
    events = []
    while at_s < min(until_s, duration_s - 0.2):
        call = caller.species.call(caller.animal, rng, sample_rate_hz)
        call *= _SOURCE_LEVEL / np.sqrt(np.square(call).mean())
        start = int(at_s * sample_rate_hz)
        heard = at_distance(call, caller.distance_m, site.echo, rng, sample_rate_hz)[: len(sound) - start]
        sound[start : start + len(heard)] += heard
        low_hz, high_hz = _band(call, sample_rate_hz)
        end_s = min(at_s + len(call) / sample_rate_hz, duration_s)
        label = caller.species.label
        events.append(Event(start_s=at_s, end_s=end_s, low_hz=low_hz, high_hz=high_hz, label=label))
        at_s += len(call) / sample_rate_hz + rng.uniform(*caller.species.pause_s)
    return events


def _band(call: Waveform, sample_rate_hz: int) -> tuple[float, float]:
    """The frequencies between which 98 % of a call's energy lies."""
    energy = np.cumsum(np.square(np.abs(np.fft.rfft(call))))
    low, high = np.searchsorted(energy, (0.01 * energy[-1], 0.99 * energy[-1]))
    return low * sample_rate_hz / len(call), high * sample_rate_hz / len(call)


def _moment(rng: np.random.Generator, day: int, hours: Sequence[int]) -> str:
    """Date and time as recorders write them; one day a recording keeps names apart."""
    moment = _FIRST_DAY + timedelta(days=day, hours=int(rng.choice(hours)), minutes=int(rng.integers(60)))
    return moment.strftime("%Y%m%d_%H%M%S")


def _write_audio(path: Path, site: Site, sound: Waveform, sample_rate_hz: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    heard = microphone(site, sound, sample_rate_hz)
    heard *= min(1, 0.95 / np.abs(heard).max())
    soundfile.write(path, heard, sample_rate_hz, subtype="PCM_16")


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
