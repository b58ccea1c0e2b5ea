"""Finding audio files, each once."""

import os
import sys
from pathlib import Path

import pytest

from bioacoustics.audio.search import Search

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RIFF")


def test_sub_folders_extensions_in_any_case_and_accents(tmp_path: Path) -> None:
    _touch(tmp_path, "b.WAV", "a/ñandú é.Flac", "a/b/日本.ogg", "notes.txt", "a.wav.bak", "z.M4A")
    assert Search(tmp_path).names == ["a/b/日本.ogg", "a/ñandú é.Flac", "b.WAV", "z.M4A"]


def test_files_without_extension_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    _touch(tmp_path, "recording")
    (tmp_path / "Makefile").write_text("all:")
    (tmp_path / "nothing").touch()
    assert Search(tmp_path).names == ["recording"]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    _touch(tmp_path, "._a.wav", ".Trash/b.wav", "c.wav")
    assert Search(tmp_path).names == ["c.wav"]


@needs_links
def test_a_file_counts_once_by_its_own_name(tmp_path: Path) -> None:
    _touch(tmp_path, "z/real.wav")
    (tmp_path / "a_folder").symlink_to(tmp_path / "z", target_is_directory=True)
    (tmp_path / "link1.wav").symlink_to(tmp_path / "z" / "real.wav")
    (tmp_path / "link2.wav").symlink_to(tmp_path / "link1.wav")
    assert Search(tmp_path).names == ["z/real.wav"]


@needs_links
def test_a_file_outside_counts_once_by_the_first_link(tmp_path: Path) -> None:
    _touch(tmp_path, "disk/real.wav", "root/own.wav")
    for name in ("link2.wav", "link1.wav"):
        (tmp_path / "root" / name).symlink_to(tmp_path / "disk" / "real.wav")
    (tmp_path / "root" / "disk").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert Search(tmp_path / "root").names == ["disk/real.wav", "own.wav"]


@needs_links
def test_circles_of_links_end(tmp_path: Path) -> None:
    _touch(tmp_path, "a/b/x.wav")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "here").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "round.wav").symlink_to(tmp_path / "about.wav")
    (tmp_path / "about.wav").symlink_to(tmp_path / "round.wav")
    names = Search(tmp_path).names
    assert "a/b/x.wav" in names
    assert len(names) <= 3  # the two links that lead to each other are kept, to be reported


@needs_links
def test_a_link_to_nowhere_is_kept_and_a_pipe_is_not(tmp_path: Path) -> None:
    (tmp_path / "gone.wav").symlink_to(tmp_path / "unplugged" / "x.wav")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "unplugged" / "x.txt")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "to_pipe.wav").symlink_to(tmp_path / "pipe.wav")
    assert Search(tmp_path).names == ["gone.wav"]


@needs_links
def test_a_folder_named_like_a_file_is_a_folder(tmp_path: Path) -> None:
    _touch(tmp_path, "site.wav/x.wav")
    assert Search(tmp_path).names == ["site.wav/x.wav"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="no folder is locked to this user")
def test_a_locked_folder_is_reported(tmp_path: Path) -> None:
    _touch(tmp_path, "locked/x.wav", "open/x.wav")
    (tmp_path / "locked").chmod(0)
    search = Search(tmp_path)
    (tmp_path / "locked").chmod(0o700)
    assert search.names == ["open/x.wav"]
    assert search.locked == [("locked", "the folder cannot be opened: Permission denied")]


def test_a_folder_that_vanishes_is_reported(tmp_path: Path) -> None:
    search = Search(tmp_path / "unplugged")
    assert search.names == []
    assert search.locked == [("", "the folder cannot be opened: No such file or directory")]
