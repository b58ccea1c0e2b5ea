"""The survey of a folder, and the list of what is wrong with its recordings."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from bioacoustics.audio.reading import Finding
from bioacoustics.audio.recordings import UnreadableFile, read_header
from bioacoustics.data.windows import Problem
from bioacoustics.workflows.survey import EXPLANATIONS, BadFiles, Outcome, survey


def unreadable(name: str) -> UnreadableFile:
    return UnreadableFile(path=Path(name), relative_path=name, reason="it is empty (0 bytes)")


def test_every_finding_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Finding)


def test_what_is_there_is_said(
    tmp_path: Path, clips: Path, console: Console, said: Callable[[], str]
) -> None:
    scan = survey(clips, console)
    assert len(scan.recordings) == 5
    assert said().startswith(f"{clips}: 5 recordings, 0.00 hours (")
    assert said().endswith("0 unusable\n")
    assert len(said().splitlines()) == 1  # no trace of the progress bar in a log file


@pytest.mark.parametrize("bad_files", [BadFiles.REPORT, BadFiles.IGNORE])
def test_the_rest_is_used(tmp_path: Path, console: Console, bad_files: BadFiles) -> None:
    (tmp_path / "a.wav").touch()
    soundfile.write(tmp_path / "b.wav", np.ones(100, np.float32), 16_000)
    scan = survey(tmp_path, console, bad_files)
    assert [len(scan.recordings), len(scan.unreadable)] == [1, 1]


def test_nothing_usable_is_an_error_with_reasons(tmp_path: Path, console: Console) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(ValueError, match=r"no usable recording:\n  a.wav: it is empty \(0 bytes\)"):
        survey(tmp_path, console)


def test_a_finding_counts_once_for_a_recording(tmp_path: Path, clips: Path, console: Console) -> None:
    outcome = Outcome()
    a, b = (read_header(clips / name, clips) for name in ("a.wav", "b.wav"))
    for recording, findings in (
        (a, {Finding.DC}),
        (a, {Finding.DC, Finding.NAN}),
        (b, {Finding.DC}),
        (b, set()),
    ):
        outcome.note(recording, findings)
    assert outcome.findings == {Finding.DC: 2, Finding.NAN: 1}
    outcome.unusable.append(unreadable("sub/ñ, [x].wav"))
    outcome.write(tmp_path / "problems.csv")
    with (tmp_path / "problems.csv").open(newline="", encoding="utf-8") as file:
        assert [tuple(row.values()) for row in csv.DictReader(file)] == [
            ("sub/ñ, [x].wav", "unusable", "it is empty (0 bytes)"),
            ("a.wav", "warning", "dc"),
            ("a.wav", "warning", "nan"),
            ("b.wav", "warning", "dc"),
        ]


def test_long_lists_are_cut_on_the_screen_only(
    tmp_path: Path, console: Console, said: Callable[[], str]
) -> None:
    outcome = Outcome(unusable=[unreadable(f"{i}.wav") for i in range(23)])
    outcome.show(console)
    assert said().count("it is empty") == 20
    assert "and 3 more" in said()
    outcome.write(tmp_path / "problems.csv")
    assert (tmp_path / "problems.csv").read_text().count("it is empty") == 23


def test_what_training_found_is_added_once(console: Console, said: Callable[[], str]) -> None:
    outcome = Outcome(unusable=[unreadable("a.wav")])
    assert outcome.problems() == [Problem("a.wav", "it is empty (0 bytes)", is_unusable=True)]
    data_dir = Path("/data").absolute()
    found = {
        "a.wav": "it is empty (0 bytes)",
        f"{data_dir.as_posix()}/sub/b.wav": "no sound",
        "/c.wav": "gone",
    }
    outcome.add(found, data_dir, console)
    names = [file.relative_path for file in outcome.unusable]
    assert names == ["a.wav", "sub/b.wav", "/c.wav"]
    assert "a.wav" not in said()
    assert "unusable sub/b.wav: no sound" in said()
