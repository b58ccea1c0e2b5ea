"""Events as CSV and Parquet, byte by byte as they must be, and read back as they were."""

import unicodedata
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from some_events import EVENTS, STARTS, events, golden, in_order, written

from bioacoustics.formats.event_tables import read_events, write_events


def test_csv(tmp_path):
    write_events(EVENTS, tmp_path / "e.csv", starts=STARTS)
    assert written(tmp_path / "e.csv") == golden("events.csv", tmp_path)
    assert read_events(tmp_path / "e.csv") == EVENTS


def test_parquet(tmp_path):
    write_events(EVENTS, tmp_path / "e.parquet", starts=STARTS)
    table = pd.read_parquet(tmp_path / "e.parquet")
    assert table["start_time"].tolist()[:2] == [
        "2024-03-01T23:59:59.500-05:00",
        "2024-03-02T00:00:07.000-05:00",
    ]
    assert table["low_hz"].isna().tolist() == [False, True, True]
    assert read_events(tmp_path / "e.parquet") == EVENTS


@settings(max_examples=40, deadline=None)
@given(st.lists(events(), max_size=6), st.sampled_from(["csv", "parquet"]))
def test_round_trips_are_equal(tmp_path_factory, members, ending):
    path = tmp_path_factory.getbasetemp() / f"Espaço.{ending}"
    members = [replace(one, label=unicodedata.normalize("NFC", one.label)) for one in members]
    members = [one for one in members if '"' not in one.label]
    write_events(members, path)
    assert in_order(read_events(path)) == in_order(members)


def test_annotations_of_others(shared):
    path = shared / "data" / "recordings" / "annotations.csv"
    found = read_events(path)
    assert found[0].label == "carollia_castanea"
    assert (found[0].start_s, found[0].low_hz) == (0.0353, 68640.0)
    assert any(event.low_hz is None for event in found)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "file,start_s,label\na,1,x\n",
            "row 1: the columns are file, start_s, label, but file, start_s, end_s",
        ),
        ("file,start_s,end_s,label\na,1,2,x\na,2,1,x\n", "row 3 .*: an impossible event"),
        ("file,start_s,end_s,label\na,,2,x\n", "row 2 .*start_s and end_s must not be empty"),
    ],
)
def test_complaints_name_file_row_and_remedy(tmp_path, text, complaint):
    path = tmp_path / "e.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint) as caught:
        read_events(path)
    assert str(path) in str(caught.value)


def test_absent_tables(tmp_path):
    for name in ("e.csv", "e.parquet"):
        with pytest.raises(FileNotFoundError, match="there is no such file"):
            read_events(tmp_path / name)
