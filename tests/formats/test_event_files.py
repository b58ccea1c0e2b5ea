"""Event files: nothing is left after an error, and each recording that was heard has its table."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.recordings import scan_recordings
from bioacoustics.data.deployments import place
from bioacoustics.data.events import Event
from bioacoustics.formats.event_files import EventFiles, EventFormat, Heard
from bioacoustics.formats.event_tables import read_events

FORMATS: tuple[EventFormat, ...] = ("csv", "parquet", "raven", "audacity", "kaleidoscope")


@pytest.fixture
def heard(tmp_path: Path) -> list[Heard]:
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(16_000), 16_000)
    return [
        Heard(placement=place(recording), channel="mix", model="m", front_end="f", audio=recording.path.stem)
        for recording in scan_recordings(tmp_path).recordings
    ]


def owl(recording: str, start_s: float) -> Event:
    return Event(recording=recording, start_s=start_s, end_s=start_s + 0.1, label="owl", score=0.9)


def test_a_recording_without_events_was_listened_to(tmp_path: Path, heard: list[Heard]) -> None:
    with EventFiles(tmp_path / "out", FORMATS, {"owl": 0.5}) as files:
        files.write(heard[0], [])
        files.write(heard[1], [owl("b.wav", 0.2)])
        files.write(heard[1], [owl("b.wav", 0.5)])
    assert (files.num_events, files.num_recordings) == (2, 2)
    folder = tmp_path / "out"
    lines = {
        name: len((folder / "raven" / name).read_text().splitlines())
        for name in ("a.wav.selections.txt", "b.wav.selections.txt", "all.selections.txt")
    }
    assert lines == {"a.wav.selections.txt": 1, "b.wav.selections.txt": 3, "all.selections.txt": 3}
    assert (folder / "audacity" / "a.wav.labels.txt").read_text() == ""
    told = read_events(folder / "events.csv")
    assert told == read_events(folder / "events.parquet")
    assert [(one.start_s, one.end_s) for one in told] == [(0.2, 0.3), (0.5, 0.6)]


def test_an_error_leaves_what_was_there(tmp_path: Path, heard: list[Heard]) -> None:
    with EventFiles(tmp_path / "out", FORMATS, {"owl": 0.5}) as files:
        files.write(heard[0], [owl("a.wav", 0.3)])
    before = {
        path: path.read_bytes()
        for path in sorted((tmp_path / "out").rglob("*"))
        if path.is_file() and path.name != "a.wav.selections.txt"
    }
    with (
        pytest.raises(OSError, match="disk"),
        EventFiles(tmp_path / "out", FORMATS, {"owl": 0.5}) as files,
    ):
        files.write(heard[0], [owl("a.wav", 0.7)])
        raise OSError("disk full")
    for path, content in before.items():
        assert path.read_bytes() == content
    assert not list((tmp_path / "out").rglob(".*"))
