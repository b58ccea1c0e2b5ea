"""The synthetic set has the documented layout, is reproducible, learnable, and its annotations are true."""

import csv
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.data.synthesis import CLIPS_PER_RECORDING, synthesise_dataset
from bioacoustics.data.voices import SPECIES

LABELS = {species.label for species in SPECIES}


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    return synthesise_dataset(
        folder, seed=5, num_unlabeled=11, num_labeled_per_class=6, clip_s=2.0, long_recording_s=20.0
    )


def test_layout_is_the_documented_one(made):
    folder = made.folder
    assert made.unlabeled_dir == folder / "unlabeled"
    assert made.labels_csv == folder / "labeled" / "labels.csv"
    assert made.audio_dir == folder / "labeled" / "audio"
    unlabeled = [path for path in made.unlabeled_dir.rglob("*") if path.is_file()]
    assert len(unlabeled) == 11
    assert {path.suffix for path in unlabeled} == {".wav", ".flac"}
    assert all(re.fullmatch(r"[A-Z]+\d_\d{8}_\d{6}", path.stem) for path in unlabeled)
    assert Counter(soundfile.info(path).samplerate for path in unlabeled) == {16000: 10, 32000: 1}
    assert all(soundfile.info(path).duration == 2.0 for path in unlabeled)


def test_labels_name_every_clip_once(made):
    rows = rows_of(made.labels_csv)
    files = {path.relative_to(made.audio_dir).as_posix() for path in made.audio_dir.rglob("*.flac")}
    assert {row["filename"] for row in rows} == files
    assert Counter(row["labels"] for row in rows) == dict.fromkeys(LABELS, 6)
    assert any("/" in name for name in files), "some clips lie in sub-folders"
    assert any("/" not in name for name in files)


def test_clips_of_one_recording_share_place_time_and_species(made):
    recordings = defaultdict(list)
    for row in rows_of(made.labels_csv):
        recordings[re.sub(r"_\d+_\d+\.flac$", "", Path(row["filename"]).name)].append(row["labels"])
    assert len(recordings) == 6 // CLIPS_PER_RECORDING * len(LABELS)
    for labels in recordings.values():
        assert len(labels) == CLIPS_PER_RECORDING
        assert len(set(labels)) == 1


def test_no_class_has_its_own_site(made):
    sites = defaultdict(set)
    for row in rows_of(made.labels_csv):
        sites[row["labels"]].add(Path(row["filename"]).name.split("_")[0])
    assert all(len(names) == 2 for names in sites.values()), "two recordings a class, two sites"


def test_nothing_clips_and_nothing_is_silent(made):
    for path in made.folder.rglob("*"):
        if path.suffix in {".wav", ".flac"}:
            samples, _ = soundfile.read(path)
            assert 0.002 < np.abs(samples).max() < 0.96, path


def test_same_seed_gives_the_same_bytes_and_another_seed_others(made, tmp_path):
    options = {"num_unlabeled": 2, "num_labeled_per_class": 1, "clip_s": 2.0, "long_recording_s": 20.0}
    again = synthesise_dataset(tmp_path / "again", seed=5, **options)
    other = synthesise_dataset(tmp_path / "other", seed=6, **options)
    # A smaller set is part of the larger one of the same seed: each file depends on its own number only.
    for row in rows_of(again.labels_csv):
        first, _ = soundfile.read(again.audio_dir / row["filename"])
        same, _ = soundfile.read(made.audio_dir / row["filename"])
        assert np.array_equal(first, same)
    assert again.annotations_csv.read_bytes() == made.annotations_csv.read_bytes()
    assert again.long_recording.read_bytes() == made.long_recording.read_bytes()
    assert other.long_recording.read_bytes() != made.long_recording.read_bytes()


def test_annotations_are_where_the_sound_is(made):
    samples, rate_hz = soundfile.read(made.long_recording)
    events = rows_of(made.annotations_csv)
    assert list(events[0]) == ["filename", "start_s", "end_s", "low_hz", "high_hz", "label"]
    assert len(events) >= 5
    duration_s = len(samples) / rate_hz
    assert duration_s == 20.0
    times = [(float(event["start_s"]), float(event["end_s"])) for event in events]
    assert times == sorted(times, key=lambda time: time[0])
    quiet = np.ones(len(samples), dtype=bool)
    for start_s, end_s in times:
        assert 0 <= start_s < end_s <= duration_s
        quiet[int(start_s * rate_hz) : int((end_s + 0.5) * rate_hz)] = False
    assert quiet.sum() > rate_hz, "some of the recording has no event"
    louder = 0
    for event in events:
        band = (float(event["low_hz"]) - 50, float(event["high_hz"]) + 50)
        inside = samples[int(float(event["start_s"]) * rate_hz) : int(float(event["end_s"]) * rate_hz)]
        louder += band_power(inside, band, rate_hz) > 1.5 * band_power(samples[quiet], band, rate_hz)
    assert louder >= 0.9 * len(events)


def band_power(samples, band, rate_hz):
    frequency = np.fft.rfftfreq(len(samples), 1 / rate_hz)
    chosen = (frequency >= band[0]) & (frequency <= band[1])
    return np.square(np.abs(np.fft.rfft(samples)[chosen])).sum() / len(samples) ** 2 * len(samples)


def test_durations_that_hold_no_call_are_refused(tmp_path):
    with pytest.raises(ValueError, match="clips need 1 s or more"):
        synthesise_dataset(tmp_path, clip_s=0.5)
    with pytest.raises(ValueError, match="long recording of 3"):
        synthesise_dataset(tmp_path, clip_s=5.0, long_recording_s=3.0)


@pytest.mark.slow
def test_classes_are_learnable_but_not_trivial(tmp_path):
    """Band levels and their fluctuation, a linear classifier, whole recordings held out."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = synthesise_dataset(tmp_path, num_unlabeled=0, num_labeled_per_class=18)
    rows = rows_of(made.labels_csv)
    features = np.stack([band_statistics(made.audio_dir / row["filename"]) for row in rows])
    groups = [re.sub(r"_\d+_\d+\.flac$", "", Path(row["filename"]).name) for row in rows]
    labels = np.array([row["labels"] for row in rows])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=2000))
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
    accuracy = cross_val_score(model, features, labels, groups=groups, cv=folds).mean()
    assert 0.6 < accuracy < 0.95


def band_statistics(path):
    samples, _ = soundfile.read(path)
    frames = samples[: len(samples) // 256 * 256].reshape(-1, 256) * np.hanning(256)
    levels = np.log(np.square(np.abs(np.fft.rfft(frames))) + 1e-9)
    return np.concatenate(
        [
            levels.mean(0),
            levels.std(0),
            np.percentile(levels, 95, axis=0),
            np.abs(np.diff(levels, axis=0)).mean(0),
        ]
    )
