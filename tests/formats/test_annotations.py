"""Tables of events are known by their first line."""

import pytest
from some_events import EVENTS, TABLES, recordings_below

from bioacoustics.formats.annotations import (
    find_annotations,
    format_of,
    read_annotations,
    recording_named_by,
)
from bioacoustics.formats.event_tables import write_events
from bioacoustics.formats.raven import write_raven


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.wav.selections.txt", "raven"),
        ("birdnet.BirdNET.selection.table.txt", "raven"),
        ("a.wav.labels.txt", "audacity"),
        ("kaleidoscope.csv", "kaleidoscope"),
        ("events.csv", "csv"),
    ],
)
def test_golden_tables_are_known(name, kind):
    assert format_of(TABLES / name) == kind


def test_other_tables_are_none(tmp_path):
    for name, text in (
        ("notes.txt", "x\n1\t2\n"),
        ("labels.csv", "filename,labels\na,b\n"),
        ("empty.csv", ""),
    ):
        (tmp_path / name).write_text(text)
        assert format_of(tmp_path / name) is None
    (tmp_path / "empty.txt").touch()
    assert format_of(tmp_path / "empty.txt") == "audacity"


def test_each_kind_is_read(tmp_path):
    recordings = recordings_below(tmp_path)
    (first, _) = write_raven(EVENTS, recordings, tmp_path)
    assert len(read_annotations(first, "raven", "Label")) == 2
    write_events(EVENTS, tmp_path / "e.parquet")
    assert read_annotations(tmp_path / "e.parquet", format_of(tmp_path / "e.parquet")) == EVENTS
    assert [one.label for one in read_annotations(TABLES / "b.wav.labels.txt", "audacity")] == ["coquí común"]
    assert len(read_annotations(TABLES / "kaleidoscope.csv", "kaleidoscope")) == 3


def test_names_tell_the_recording_where_rows_do_not():
    assert recording_named_by(TABLES / "b.wav.labels.txt", "audacity") == "b.wav"
    assert recording_named_by(TABLES / "a.wav.selections.txt", "raven") == "a.wav"
    assert recording_named_by(TABLES / "events.csv", "csv") is None


def test_tables_are_found(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("sub/b.TXT", "a.csv", "c.wav", "._a.csv"):
        (tmp_path / name).touch()
    assert [path.name for path in find_annotations(tmp_path)] == ["a.csv", "b.TXT"]
    assert find_annotations(tmp_path / "c.wav") == [tmp_path / "c.wav"]
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        find_annotations(tmp_path / "absent")
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no tables"):
        find_annotations(tmp_path / "none")
