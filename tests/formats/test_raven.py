"""Raven's tables, byte by byte as they must be, and read back as they were."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from some_events import EVENTS, TABLES, events, golden, in_order, recordings_below, written

from bioacoustics.audio.recordings import scan_recordings
from bioacoustics.data.events import Event
from bioacoustics.formats.raven import read_raven, recording_named_by, write_combined_raven, write_raven


def test_one_table_a_recording(tmp_path):
    recordings = recordings_below(tmp_path)
    paths = write_raven(EVENTS, recordings, tmp_path / "tables")
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "tables/north/a.wav.selections.txt",
        "tables/south/b.wav.selections.txt",
    ]
    assert written(paths[0]) == golden("a.wav.selections.txt", tmp_path)
    assert [event for path in paths for event in read_raven(path, recordings=recordings)] == EVENTS


def test_combined_times_run_on_and_offsets_start_anew(tmp_path):
    recordings = recordings_below(tmp_path)
    path = tmp_path / "all.selections.txt"
    write_combined_raven(EVENTS, recordings, path)
    assert written(path) == golden("combined.selections.txt", tmp_path)
    assert read_raven(path, recordings=recordings) == EVENTS


@settings(max_examples=60, deadline=None)
@given(st.lists(events(), max_size=6))
def test_round_trips_are_equal(tmp_path_factory, members):
    folder = tmp_path_factory.getbasetemp() / "Espaço raven"
    members = [replace(one, label=unicodedata.normalize("NFC", one.label)) for one in members]
    # Raven tells selections apart by number and times; the same box twice stays two.
    recordings = recordings_below(folder)
    write_combined_raven(members, recordings, folder / "all.txt")
    assert in_order(read_raven(folder / "all.txt", recordings=recordings)) == in_order(members)
    apart = [
        event
        for path in write_raven(members, recordings, folder / "each")
        for event in read_raven(path, recordings=recordings)
    ]
    assert in_order(apart) == in_order(members)


def test_a_real_table(shared):
    path = shared / "data" / "recordings" / "powdermill_recording1_segment07.Table.1.selections.txt"
    found = read_raven(path)
    assert found[0] == Event(
        recording="powdermill_recording1_segment07",
        start_s=0.178096,
        end_s=3.390418,
        label="NOCA",
        low_hz=1340.5,
        high_hz=2899.9,
    )
    num_lines = len([line for line in path.read_text().splitlines() if line.strip()])
    assert len(found) == num_lines - 1
    assert read_raven(path, label_column="Species") == found
    with pytest.raises(
        ValueError, match=r"row 1: no column 'Call'; its columns are selection, view, channel"
    ):
        read_raven(path, label_column="Call")


def test_a_real_table_goes_through_ours(shared, tmp_path):
    folder = shared / "data" / "recordings"
    recordings = [
        one for one in scan_recordings(folder).recordings if one.relative_path.startswith("powdermill")
    ]
    table = next(folder.glob("powdermill*.txt"))
    found = [replace(one, recording=recordings[0].relative_path) for one in read_raven(table)]
    (path,) = write_raven(found, recordings, tmp_path)
    assert in_order(read_raven(path, recordings=recordings)) == in_order(found)


def test_two_views_of_one_selection_are_one_event():
    found = read_raven(TABLES / "raven_two_views.Table.1.selections.txt")
    assert [(one.recording, one.start_s, one.end_s, one.low_hz, one.label) for one in found] == [
        ("raven_two_views", 0.178096, 3.390418, 1340.5, 'song 5" long'),
        ("raven_two_views", 4.5, 5.25, 100.0, "call"),
    ]


def test_tables_of_other_programs():
    path = TABLES / "birdnet.BirdNET.selection.table.txt"
    found = read_raven(path, label_column="common name")
    assert found[1] == Event(
        recording="C:/Grabaciones/y.wav",
        start_s=3.0,
        end_s=6.0,
        label="Dark-eyed Junco",
        low_hz=0.0,
        high_hz=15000.0,
        score=0.2,
    )
    assert [one.label for one in read_raven(path)] == ["houfin", "daejun"]


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("a.Table.1.selections.txt", "a"),
        ("a.wav.selections.txt", "a.wav"),
        ("a.BirdNET.selection.table.txt", "a"),
        ("a_20240301_053000.txt", "a_20240301_053000"),
        ("a.1.TXT", "a.1"),
    ],
)
def test_names_of_tables(name, recording):
    assert recording_named_by(Path(name)) == recording


HEAD = "Selection\tBegin Time (s)\tEnd Time (s)"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a\tb\tLabel\n1\t2\t3\n", r"row 1: no column begin time \(s\) and end time \(s\)"),
        (f"{HEAD}\tWho\n1\t2\t3\tx\n", r"row 1: which column holds the labels\? Name it with --label_column"),
        (f"{HEAD}\tLabel\n1\t2\t3\t\n", r"row 2: no label in the column 'label'"),
        (
            f"{HEAD}\tLabel\n1\t2\t3\tx\n2\tzwei\t3\tx\n",
            r"row 3 .*zwei.*: a time, frequency or score that is no",
        ),
        (f"{HEAD}\tLabel\n1\t3\t2\tx\n", r"row 2 .*: an impossible selection"),
        (
            f"{HEAD}\tLabel\tBegin File\n1\t2\t3\tx\ta.wav\n2\t12\t13\tx\tb.wav\n",
            r"its selections lie in 2 files, .* choose the measurement 'File Offset \(s\)'",
        ),
    ],
)
def test_complaints_name_file_row_and_remedy(tmp_path, text, complaint):
    path = tmp_path / "t.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=complaint) as caught:
        read_raven(path)
    assert str(path) in str(caught.value)


def test_absent_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_raven(tmp_path / "t.txt")
