"""Atomic writing: the old file or the new one, and nothing else left behind."""

import os
from pathlib import Path

import pytest

from bioacoustics.audio.writing import atomic_write


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for content in (b"old", b"new"):
        with atomic_write(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    assert names_in(tmp_path) == ["a.txt"]


def test_an_error_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.txt"]


def test_readers_see_the_old_file_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_what_a_killed_process_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    path = tmp_path / "a[1].pt"
    old, young, other = (tmp_path / f".{name}.partial" for name in ("a[1].pt.0", "a[1].pt.1", "b.pt.0"))
    for leftover in (old, young, other):
        leftover.write_bytes(b"half")
    for leftover in (old, other):
        os.utime(leftover, (0, 0))
    with atomic_write(path) as file:
        file.write(b"new")
    assert sorted(tmp_path.iterdir()) == sorted([path, young, other])
