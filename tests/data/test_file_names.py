"""A name finds its file where only one can be meant, and says what was wrong with it."""

import unicodedata

import pytest

from bioacoustics.data.file_names import FileMatcher, plain


@pytest.fixture
def folder(tmp_path):
    for name in (
        "frog.wav",
        "north/owl.flac",
        "north/twin.wav",
        "south/twin.wav",
        "mixed/Case.WAV",
        "both.wav",
        "both.flac",
        "rec.2.wav",
        unicodedata.normalize("NFD", "Ñandú.wav"),
        "notes.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"RIFF")
    return tmp_path


@pytest.mark.parametrize("name", ["frog.wav", "north/owl.flac", "north\\owl.flac", "both.wav"])
def test_exact_names_need_no_remark(folder, name):
    match = FileMatcher(folder).find(name)
    assert match.path is not None
    assert match.path.is_file()
    assert match.remark == ""


def test_absolute_paths_are_taken_and_moved_ones_found_by_name(folder):
    exact = FileMatcher(folder).find(str(folder / "frog.wav"))
    assert exact.path == folder / "frog.wav"
    assert exact.remark == ""
    for moved in ("/somewhere/else/owl.flac", "D:\\clips\\owl.flac"):
        match = FileMatcher(folder).find(moved)
        assert match.path == folder / "north" / "owl.flac"
        assert match.remark


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("frog", "frog.wav"),
        ("owl.flac", "north/owl.flac"),
        ("owl.wav", "north/owl.flac"),
        ("owl", "north/owl.flac"),
        ("mixed/case", "mixed/Case.WAV"),
        ("rec.2", "rec.2.wav"),
        ("frog.mp3", "frog.wav"),
    ],
)
def test_inexact_names_find_the_only_file_that_fits(folder, name, found):
    match = FileMatcher(folder).find(name)
    assert match.path == folder / found
    assert match.remark.startswith("taken for the file that fits")
    assert match.detail == f"{name!r} -> {found!r}"


def test_accents_are_found_in_either_unicode_form(folder):
    match = FileMatcher(folder).find(unicodedata.normalize("NFC", "ñandú.WAV"))
    assert match.path is not None
    assert plain(match.path.name) == plain("Ñandú.wav")


def test_ambiguous_names_are_not_guessed(folder):
    for name, candidates in (("twin.wav", "north/twin.wav, south/twin.wav"), ("both", "both.flac, both.wav")):
        match = FileMatcher(folder).find(name)
        assert match.path is None
        assert "several files fit" in match.remark
        assert candidates in match.detail


@pytest.mark.parametrize("name", ["absent.wav", "north", "notes", "fro"])
def test_absent_names_say_where_was_looked(folder, name):
    match = FileMatcher(folder).find(name)
    assert match.path is None
    assert str(folder) in match.remark
    assert match.detail == repr(name)
