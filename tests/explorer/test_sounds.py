"""Exactly one window is cut, from nowhere but the opened folder."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

sys.path.insert(0, str(Path(__file__).parent))  # for small_store.py
from small_store import RATE_HZ, WINDOW_S, make_store

from bioacoustics.audio.recordings import UnreadableAudioError
from bioacoustics.explorer.collection import Collection, read_collection
from bioacoustics.explorer.exporting import clips_zip, selection_tables
from bioacoustics.explorer.similar import most_similar
from bioacoustics.explorer.sounds import Cut, NotOpenedError, Sounds, flac_of, located


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return read_collection(str(make_store(tmp_path_factory.mktemp("sounds"))))


def test_a_cut_is_the_same_slice_of_the_file(collection: Collection) -> None:
    row = collection.windows.iloc[13]
    whole, _ = soundfile.read(str(row["path"]), dtype="float32")
    cut = Sounds(collection.windows).cut(13)
    first = round(row["start_s"] * RATE_HZ)
    np.testing.assert_array_equal(cut.samples, whole[first : first + round(WINDOW_S * RATE_HZ)])


def test_context_ends_where_the_recording_ends(collection: Collection) -> None:
    starts = collection.windows["start_s"].to_numpy()
    cut = Sounds(collection.windows).cut(int(starts.argmax()), context_s=1.0)
    assert cut.start_s == starts.max() - 1
    assert cut.end_s == pytest.approx(starts.max() + WINDOW_S)
    inner = cut.between(starts.max(), starts.max() + WINDOW_S)
    assert len(inner.samples) == WINDOW_S * RATE_HZ


@pytest.mark.parametrize(("rate_hz", "slowdown"), [(16000, 1.0), (16000, 10.0), (256000, 10.0), (96000, 1.0)])
def test_what_is_played_has_the_length_and_pitch_of_the_window(rate_hz: int, slowdown: float) -> None:
    pitch_hz = 3000 * rate_hz / 16000
    tone = Cut(np.sin(2 * np.pi * pitch_hz * np.arange(rate_hz) / rate_hz) * 0.01, rate_hz, 0.0)
    samples, played_hz = soundfile.read(io.BytesIO(flac_of(tone, slowdown)))
    assert len(samples) / played_hz == pytest.approx(slowdown, abs=1e-3)
    peak_hz = np.abs(np.fft.rfft(samples)).argmax() * played_hz / len(samples)
    if pitch_hz / slowdown < played_hz / 2:
        assert peak_hz == pytest.approx(pitch_hz / slowdown, rel=1e-2)
    assert np.abs(samples).max() == pytest.approx(0.9, abs=0.02)


def test_no_file_outside_of_the_opened_folder_is_read(tmp_path: Path) -> None:
    inside, outside = tmp_path / "cards", tmp_path / "secret.wav"
    inside.mkdir()
    outside.write_bytes(b"RIFF")
    with pytest.raises(NotOpenedError, match="outside"):
        located("../secret.wav", outside, inside)
    (inside / "link.wav").symlink_to(outside)
    with pytest.raises(NotOpenedError, match="outside"):
        located("link.wav", outside, inside)
    with pytest.raises(NotOpenedError, match="no recording"):
        located("passwd", Path("/etc/passwd"), None)
    with pytest.raises(UnreadableAudioError, match="not there"):
        located("gone.wav", inside / "gone.wav", None)


def test_the_most_similar_are_those_of_a_slow_loop(collection: Collection) -> None:
    vectors = collection.rows(np.arange(len(collection.windows)))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = sorted((-float(unit[5] @ one), at) for at, one in enumerate(unit) if at != 5)[:4]
    assert [at for at, _ in most_similar(collection, 5, 4)] == [at for _, at in expected]
    assert len(most_similar(collection, 5, 1000)) == len(vectors) - 1


def test_exports_hold_each_window_once_and_name_what_is_missing(collection: Collection) -> None:
    positions = np.array([0, 12, 25])
    sounds = Sounds(collection.windows)
    tables = selection_tables(collection, positions, sounds)
    assert len(tables.csv.decode().splitlines()) == 4
    assert len(tables.raven.decode().splitlines()) == 4
    assert len(clips_zip(collection, positions, sounds)) > 3 * 10_000
    nowhere = Sounds(collection.windows, Path("/nowhere"))
    assert b"problems.txt" in clips_zip(collection, positions, nowhere)
