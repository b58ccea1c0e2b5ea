"""Kaleidoscope's tables, byte by byte as they must be, and read back as they were."""

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from some_events import EVENTS, STARTS, TABLES, events, golden, in_order, recordings_below, written

from bioacoustics.formats.kaleidoscope import read_kaleidoscope, write_kaleidoscope


def test_one_table_for_all(tmp_path):
    path = tmp_path / "k.csv"
    write_kaleidoscope(EVENTS, recordings_below(tmp_path), path, starts=STARTS)
    assert written(path) == golden("kaleidoscope.csv", tmp_path)
    assert read_kaleidoscope(path) == EVENTS


@settings(max_examples=60, deadline=None)
@given(st.lists(events(), max_size=6))
def test_round_trips_are_equal(tmp_path_factory, members):
    path = tmp_path_factory.getbasetemp() / "Espaço" / "k.csv"
    members = [replace(one, label=unicodedata.normalize("NFC", one.label)) for one in members]
    # Spreadsheets trim cells and drop quotes around them; labels.csv does not hold such labels either.
    members = [one for one in members if '"' not in one.label]
    write_kaleidoscope(members, recordings_below(path.parent), path)
    assert in_order(read_kaleidoscope(path)) == in_order(members)


def test_what_kaleidoscope_writes():
    path = TABLES / "kaleidoscope_cluster.csv"
    first, second = read_kaleidoscope(path)
    assert (first.recording, first.start_s, first.end_s, first.label, first.high_hz) == (
        *("Data/night/S4_20240301_053000.wav", 12.5, 14.0, "Pristimantis", 3000.0),
    )
    assert (second.label, second.low_hz) == ("cluster 2", None)
    assert [one.label for one in read_kaleidoscope(path, label_column="TOP1MATCH*")] == [
        "cluster 1",
        "cluster 2",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("IN FILE,OFFSET,MANUAL ID\na,1,x\n", "row 1: no column duration"),
        ("IN FILE,OFFSET,DURATION\na,1,2\n", "row 1: no column of labels"),
        ("IN FILE,OFFSET,DURATION,MANUAL ID\na,1,2,x\na,-1,2,x\n", "row 3 .*: an impossible row"),
    ],
)
def test_complaints_name_file_row_and_remedy(tmp_path, text, complaint):
    path = tmp_path / "k.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint) as caught:
        read_kaleidoscope(path)
    assert str(path) in str(caught.value)
