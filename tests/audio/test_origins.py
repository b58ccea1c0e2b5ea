"""Header before GUANO before name before file time, each marked as what it is."""

import os
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.origins import TimeSource, iso_time, later, origin_of
from bioacoustics.audio.recordings import read_header

COMMENT = (
    "Recorded at 04:00:00 02/05/2021 (UTC-5) by AudioMoth 247AA5075E06337D at medium gain while battery was "
    "4.2V and temperature was 19.6C."
)
GUANO = b"GUANO|Version: 1.0\nTimestamp: 2024-03-01T05:30:00Z\nTE: 10\nLoc Position: 1.5 2.5\nSerial: X1"
FIVE_WEST = timezone(timedelta(hours=-5))


def test_a_real_audiomoth_file(shared):
    folder = shared / "data" / "odd"
    origin = origin_of(read_header(folder / "20210502_040000.WAV", folder))
    assert origin.start == datetime(2021, 5, 2, 4, tzinfo=UTC)
    assert origin.source is TimeSource.HEADER
    assert origin.is_zone_known
    assert (origin.notes.device, origin.notes.gain, origin.notes.battery_v) == ("247AA5075E06337D", "2", 4.2)


def test_real_dated_names(shared):
    folder = shared / "data" / "positive"
    origin = origin_of(read_header(folder / "qut_topknollstbees_20080924_050000_1.flac", folder))
    assert origin.start == datetime(2008, 9, 24, 5)
    assert origin.source is TimeSource.NAME
    assert not origin.is_zone_known
    assert origin.name_prefix == "qut_topknollstbees_"


@pytest.mark.parametrize(
    ("name", "info", "chunks", "start", "source"),
    [
        (
            "S_20200101_000000.wav",
            {"ICMT": COMMENT},
            {"guan": GUANO},
            datetime(2021, 5, 2, 4, tzinfo=FIVE_WEST),
            TimeSource.HEADER,
        ),
        (
            "S_20200101_000000.wav",
            {},
            {"guan": GUANO},
            datetime(2024, 3, 1, 5, 30, tzinfo=UTC),
            TimeSource.GUANO,
        ),
        ("S_20200101_000000.wav", {"ICMT": "a frog"}, {}, datetime(2020, 1, 1), TimeSource.NAME),
    ],
)
def test_the_surest_source_wins(tmp_path, write_wav, name, info, chunks, start, source):
    path = write_wav(tmp_path / name, info=info, chunks_behind=chunks)
    origin = origin_of(read_header(path, tmp_path))
    assert origin.start == start
    assert origin.source is source
    assert origin.named_start == datetime(2020, 1, 1)


def test_sources_fill_each_other_in(tmp_path, write_wav):
    path = write_wav(tmp_path / "a.wav", info={"ICMT": COMMENT}, chunks_behind={"guan": GUANO})
    notes = origin_of(read_header(path, tmp_path)).notes
    assert (notes.device, notes.gain, notes.latitude, notes.time_expansion) == (
        "247AA5075E06337D",
        "medium",
        1.5,
        10.0,
    )


def test_file_time_is_the_end_and_a_guess(tmp_path, write_wav):
    path = write_wav(tmp_path / "REC1.wav", np.zeros(8000 * 60))
    written = datetime(2024, 3, 1, 6, 0, 0)
    os.utime(path, (written.timestamp(), written.timestamp()))
    origin = origin_of(read_header(path, tmp_path))
    assert origin.start == datetime(2024, 3, 1, 5, 59)
    assert origin.source is TimeSource.FILE_TIME
    assert origin.is_guess
    assert not origin.is_zone_known


def test_time_expanded_seconds_are_shorter(tmp_path, write_wav):
    path = write_wav(tmp_path / "bat.wav", chunks={"guan": GUANO})
    origin = origin_of(read_header(path, tmp_path))
    assert origin.when(10.0) == datetime(2024, 3, 1, 5, 30, 1, tzinfo=UTC)


def test_an_hour_is_an_hour_when_clocks_change():
    night = datetime(2024, 3, 31, 1, 30, tzinfo=ZoneInfo("Europe/Madrid"))
    assert later(night, 3600.0).isoformat() == "2024-03-31T03:30:00+02:00"
    assert later(datetime(2024, 3, 31, 1, 30), 3600.0) == datetime(2024, 3, 31, 2, 30)


def test_iso_times():
    assert iso_time(datetime(2024, 3, 1, 5, 30, tzinfo=FIVE_WEST)) == "2024-03-01T05:30:00.000-05:00"
    assert iso_time(datetime(2024, 3, 1, 5, 30, 0, 499600)) == "2024-03-01T05:30:00.500"
    assert iso_time(None) == ""


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.flac", None), ("a.ogg", "VORBIS"), ("a.opus", "OPUS"), ("a.aiff", None), ("a.mp3", None)],
)
def test_a_sentence_that_was_kept_when_the_file_was_converted(tmp_path, name, subtype):
    """AudioMoth cards are often compressed for keeping; the comment goes with them."""
    container = "OGG" if subtype else None
    with soundfile.SoundFile(tmp_path / name, "w", 16000, 1, format=container, subtype=subtype) as file:
        file.comment = COMMENT
        file.write(np.zeros(16000))
    origin = origin_of(read_header(tmp_path / name, tmp_path))
    assert origin.start == datetime(2021, 5, 2, 4, tzinfo=FIVE_WEST)
    assert origin.source is TimeSource.HEADER
    assert origin.notes.device == "247AA5075E06337D"
