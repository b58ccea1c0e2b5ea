import csv
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from bioacoustics.data.windows import Problem
from bioacoustics.training.run_folder import ProblemList, add_start, git_state, write_json


def test_starts_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "environment.json"
    add_start(path, {"after_update": 0})
    add_start(path, {"after_update": 500})
    starts = json.loads(path.read_text(encoding="utf-8"))["starts"]
    assert [start["after_update"] for start in starts] == [0, 500]
    for name in ("time", "command", "python", "platform", "packages", "git", "devices", "num_threads"):
        assert name in starts[0]
    assert starts[0]["packages"]["torch"]


def test_json_keeps_letters_and_survives_bytes_that_are_none(tmp_path: Path) -> None:
    content = {"folder": "Grabación Ñandú", "odd": "a\udcf3", "path": Path("x")}
    write_json(content, tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "Grabación Ñandú" in text
    assert json.loads(text) == content | {"path": "x"}


def test_git_state(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    assert git_state(tmp_path) is None
    for arguments in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    state = git_state(tmp_path)
    assert state is not None
    assert len(state["commit"]) == 40
    assert state["has_changes"] is False
    (tmp_path / "new").write_text("x")
    changed = git_state(tmp_path)
    assert changed is not None
    assert changed["has_changes"] is True


def test_problems_are_counted_once_each(tmp_path: Path) -> None:
    problems = ProblemList()
    problems.add((Problem("b.wav", "it, hums"), Problem("a.wav", "broken", is_unusable=True)))
    problems.add((Problem("b.wav", "it, hums"),))
    other = ProblemList()
    other.merge(problems.state())
    other.merge([("a.wav", "broken", True, 2), ("ñ.wav", "odd", False, 1)])
    other.write(tmp_path / "problems.csv")
    with (tmp_path / "problems.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["path", "problem", "was_left_out", "times"],
            ["a.wav", "broken", "yes", "3"],
            ["b.wav", "it, hums", "no", "2"],
            ["ñ.wav", "odd", "no", "1"],
        ]
    assert other.unusable_files() == {"a.wav": "broken"}


def test_a_damaged_recording_does_not_fill_the_list_with_seconds() -> None:
    problems = ProblemList()
    for second in range(100):
        problems.add(
            (Problem("a.wav", f"no sound from {second} s", is_unusable=True), Problem("a.wav", "hums"))
        )
    assert list(problems.counts.values()) == [1, 100, 1, 1, 1, 96]
    again = ProblemList()
    again.merge(problems.state())
    again.merge(problems.state())
    assert again.counts == {problem: 2 * times for problem, times in problems.counts.items()}
