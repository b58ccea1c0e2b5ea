"""A file, a folder, a pattern and a list each mean what their user meant."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.recordings import scan_recordings
from bioacoustics.data.choice import choose


@pytest.fixture
def card(tmp_path: Path) -> Path:
    for name in ("a.wav", "north/b.wav", "north/deep/c.flac", "south/d.wav", "south/notes.txt"):
        path = tmp_path / "Grabación" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("rain\n")
        else:
            soundfile.write(path, np.zeros(1600), 16_000)
    return tmp_path / "Grabación"


def names(given: Path) -> list[str]:
    choice = choose(given)
    return [
        recording.relative_path for recording in scan_recordings(choice.root, paths=choice.paths).recordings
    ]


def test_folders_files_and_patterns(card: Path) -> None:
    assert names(card) == ["a.wav", "north/b.wav", "north/deep/c.flac", "south/d.wav"]
    assert names(card / "north" / "b.wav") == ["b.wav"]
    assert names(card / "*" / "*.wav") == ["north/b.wav", "south/d.wav"]
    assert names(card / "**" / "*.flac") == ["north/deep/c.flac"]
    assert names(card / "[ns]o*") == ["north/b.wav", "north/deep/c.flac", "south/d.wav"]
    assert names(card / "south" / "*") == ["d.wav"]


@pytest.mark.parametrize("column", ["filename", "File", "path"])
def test_lists(card: Path, column: str) -> None:
    (card / "list.csv").write_text(f"{column};note\nsouth/d.wav;x\nnorth\\b.wav;y\nsouth/d.wav;again\n")
    assert names(card / "list.csv") == ["north/b.wav", "south/d.wav"]
    (card / "south" / "list.csv").write_text(f"{column}\n{card / 'a.wav'}\nd.wav\n")
    assert names(card / "south" / "list.csv") == ["a.wav", "south/d.wav"]


def test_a_listed_file_that_is_not_there_is_unusable(card: Path) -> None:
    (card / "list.csv").write_text("filename\na.wav\ngone.wav\n")
    choice = choose(card / "list.csv")
    scan = scan_recordings(choice.root, paths=choice.paths)
    assert [file.relative_path for file in scan.unreadable] == ["gone.wav"]


def test_what_means_nothing_is_refused(card: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file fits this pattern"):
        choose(card / "*.mp3")
    with pytest.raises(
        FileNotFoundError, match="there is no such file or folder; give a recording, a folder"
    ):
        choose(card / "gone")
    (card / "list.csv").write_text("name,label\na.wav,x\n")
    with pytest.raises(
        ValueError, match="the columns are name, label, but one must be filename, file or path"
    ):
        choose(card / "list.csv")
    (card / "list.csv").write_text("filename\n")
    with pytest.raises(ValueError, match="its column filename names no file"):
        choose(card / "list.csv")
