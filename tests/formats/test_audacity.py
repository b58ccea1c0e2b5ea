"""Audacity's label tracks, byte by byte as they must be, and read back as they were."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from some_events import EVENTS, events, golden, in_order, written

from bioacoustics.formats.audacity import read_audacity, recording_named_by, write_audacity


def test_one_track_a_recording(tmp_path):
    paths = write_audacity(EVENTS, tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "north/a.wav.labels.txt",
        "south/b.wav.labels.txt",
    ]
    for path in paths:
        assert written(path) == golden(path.name, tmp_path)
    names = ["north/a.wav", "south/b.wav"]
    back = [
        event
        for path, name in zip(paths, names, strict=True)
        for event in read_audacity(path, recording=name)
    ]
    assert back == EVENTS
    assert {event.recording for event in read_audacity(paths[0])} == {"a.wav"}


@settings(max_examples=60, deadline=None)
@given(st.lists(events(), max_size=6))
def test_round_trips_are_equal(tmp_path_factory, members):
    folder = tmp_path_factory.getbasetemp() / "Espaço audacity"
    members = [replace(one, label=unicodedata.normalize("NFC", one.label)) for one in members]
    back = [
        event
        for path in write_audacity(members, folder)
        for event in read_audacity(path, recording=path.relative_to(folder).as_posix()[: -len(".labels.txt")])
    ]
    assert in_order(back) == in_order(members)


def test_what_audacity_writes(tmp_path):
    path = tmp_path / "noche.txt"
    path.write_bytes(
        b"1.000000\t2.500000\tfrog\r\n\\\t-1.000000\t3000.000000\r\n\r\n"
        b"3,5\t4,5\tfrog \t big\r\n\\\t100\t200\r\n"
    )
    first, second = read_audacity(path)
    assert (first.recording, first.start_s, first.end_s, first.label, first.low_hz) == (
        *("noche", 1.0, 2.5, "frog", None),
    )
    assert (second.start_s, second.label, second.low_hz, second.high_hz) == (3.5, "frog big", 100.0, 200.0)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("1\t2\tfrog\n3 4 frog\n", 2),
        ("1\t2\tfrog\n\n5\t4\tfrog\n", 3),
        ("1\t2\t\n", 1),
        ("\\\t100\t200\n", 1),
        ("1\t2\tfrog\n\\\t200\t100\n", 2),
        ("-1\t2\tfrog\n", 1),
        ("nan\t2\tfrog\n", 1),
    ],
)
def test_complaints_name_file_line_and_remedy(tmp_path, text, row):
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(
        ValueError, match=f"row {row} .*export the labels again, or correct the line"
    ) as caught:
        read_audacity(path)
    assert str(path) in str(caught.value)


def test_absent_tracks(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_audacity(tmp_path / "a.txt")
    assert recording_named_by(Path("a.flac.labels.txt")) == "a.flac"
