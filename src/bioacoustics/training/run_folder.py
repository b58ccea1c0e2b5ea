"""Run folder: what a run writes beside its models so that others can tell what it was."""

import csv
import importlib.metadata
import io
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from bioacoustics.audio.writing import atomic_write
from bioacoustics.data.windows import Problem

_PACKAGES = (
    "bioacoustics",
    "torch",
    "accelerate",
    "numpy",
    "soundfile",
    "soxr",
    "safetensors",
    "scikit-learn",
)
_MAX_REASONS = 5


def write_json(content: object, path: Path) -> None:
    """Write a readable JSON file, at once or not at all."""
    with atomic_write(path) as file:
        file.write(
            json.dumps(content, indent=2, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")
            + b"\n"
        )


def add_start(path: Path, facts: Mapping[str, Any]) -> None:
    """Add this start of the run, with its machine and versions, to the list in environment.json."""
    starts = json.loads(path.read_text(encoding="utf-8"))["starts"] if path.exists() else []
    write_json({"starts": [*starts, {**facts, **environment()}]}, path)


def environment() -> dict[str, Any]:
    """Where and with what a run takes place."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "num_cores": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "packages": {name: _version(name) for name in _PACKAGES},
        "git": git_state(Path.cwd()),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the folder and whether it has changes; None where there is no git or no repository."""
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    return None if commit is None else {"commit": commit, "has_changes": bool(changes)}


class ProblemList:
    """Recordings that made trouble, each reason once with its count, and few reasons for each recording.

    Reasons name the second where a window begins, which is another one at every draw: a long run over a
    damaged recording would else list hundreds of thousands.
    """

    def __init__(self) -> None:
        self.counts: dict[Problem, int] = {}
        self._alike: dict[tuple[str, bool], list[Problem]] = {}

    def add(self, problems: tuple[Problem, ...]) -> None:
        """Count problems as they come."""
        for problem in problems:
            self._count(problem, 1)

    def write(self, path: Path) -> None:
        """Write problems.csv, at once or not at all."""
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["path", "problem", "was_left_out", "times"])
        for problem, times in sorted(self.counts.items(), key=lambda item: (item[0].path, item[0].reason)):
            table.writerow([problem.path, problem.reason, "yes" if problem.is_unusable else "no", times])
        with atomic_write(path) as file:
            file.write(text.getvalue().encode())

    def unusable_files(self) -> dict[str, str]:
        """Files of which some window was left out, and why."""
        return {problem.path: problem.reason for problem in self.counts if problem.is_unusable}

    def state(self) -> list[tuple[str, str, bool, int]]:
        """The list in plain types, for saving."""
        return [(p.path, p.reason, p.is_unusable, times) for p, times in self.counts.items()]

    def merge(self, state: Iterable[tuple[str, str, bool, int]]) -> None:
        """Add a saved list, or that of another process."""
        for path, reason, is_unusable, times in state:
            self._count(Problem(path, reason, is_unusable), times)

    def _count(self, problem: Problem, times: int) -> None:
        alike = self._alike.setdefault((problem.path, problem.is_unusable), [])
        if problem not in self.counts and len(alike) == _MAX_REASONS:
            problem = alike[-1]
        elif problem not in self.counts:
            alike.append(problem)
        self.counts[problem] = self.counts.get(problem, 0) + times


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
