"""Survey: look at the headers of all recordings in a folder and say what can be used and what cannot."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bioacoustics.audio.reading import Finding
from bioacoustics.audio.recordings import Recording, Scan, UnreadableFile, scan_recordings
from bioacoustics.audio.writing import atomic_write
from bioacoustics.data.choice import choose
from bioacoustics.data.windows import Problem

EXPLANATIONS = {
    Finding.NAN: "samples that are no numbers, taken as silence",
    Finding.DC: "a constant offset (DC); harmless, it is removed",
    Finding.SILENT: "silence, as far as the model can hear (below half of its sample rate)",
    Finding.CLIPPED: "clipping: the gain was too high",
    Finding.ANTIPHASE: "channels that cancel each other; the first one that sounds was taken, see --channel",
    Finding.PARTIAL: "damaged or cut short; what could be decoded was used",
    Finding.SHORT: "less than 0.1 s of sound",
}
MAX_LINES = 20  # of unusable files on the screen; the report file has all


class BadFiles(StrEnum):
    """What a run does about recordings that cannot be used."""

    REPORT = "report"  # go on, list them, and end with a non-zero exit code
    IGNORE = "ignore"  # go on and end with exit code 0
    STOP = "stop"  # do not even begin


@dataclass(slots=True)
class Outcome:
    """What a run over recordings found wrong with them."""

    unusable: list[UnreadableFile] = field(default_factory=list)
    findings: Counter[Finding] = field(default_factory=Counter)
    files_with_findings: dict[str, set[Finding]] = field(default_factory=dict)

    def note(self, recording: Recording, findings: Iterable[Finding]) -> None:
        """Count each finding once for a recording."""
        known = self.files_with_findings.setdefault(recording.relative_path, set())
        for finding in set(findings) - known:
            self.findings[finding] += 1
            known.add(finding)
        if not known:
            del self.files_with_findings[recording.relative_path]

    def problems(self) -> list[Problem]:
        """The unusable files as the list of a training run has them."""
        return [Problem(file.relative_path, file.reason, is_unusable=True) for file in self.unusable]

    def add(self, unusable: Mapping[str, str], data_dir: Path, console: Console) -> None:
        """Take in what a training run could not read although its header was sound, and print it."""
        known = {file.relative_path for file in self.unusable}
        found = Outcome()
        for name, reason in unusable.items():
            path = data_dir / name  # names may be absolute
            relative = path.relative_to(data_dir).as_posix() if path.is_relative_to(data_dir) else name
            if relative not in known:
                found.unusable.append(UnreadableFile(path=path, relative_path=relative, reason=reason))
        found.show(console)
        self.unusable += found.unusable

    def join(self, other: "Outcome") -> None:
        """Take in what another process found among recordings of its own."""
        self.recall({file.relative_path: file.reason for file in other.unusable})
        for name, findings in other.files_with_findings.items():
            known = self.files_with_findings.setdefault(name, set())
            self.findings.update(findings - known)
            known |= findings

    def recall(self, unusable: Mapping[str, str]) -> None:
        """Take in what an earlier run found unusable, by its relative path."""
        known = {file.relative_path for file in self.unusable}
        self.unusable += [
            UnreadableFile(path=Path(name), relative_path=name, reason=reason)
            for name, reason in unusable.items()
            if name not in known
        ]

    def write(self, path: Path) -> None:
        """Write one row per unusable file and per finding: file, kind, reason."""
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["file", "kind", "reason"])
        rows.writerows([file.relative_path, "unusable", file.reason] for file in self.unusable)
        for name, findings in sorted(self.files_with_findings.items()):
            rows.writerows([name, "warning", finding.value] for finding in sorted(findings))
        with atomic_write(path) as file:
            file.write(text.getvalue().encode())

    def show(self, console: Console) -> None:
        """Print the warnings, counted, and the unusable files with their reasons."""
        for finding, number in sorted(self.findings.items()):
            console.print(f"[yellow]warning[/] {number} file(s): {EXPLANATIONS[finding]}", soft_wrap=True)
        for file in self.unusable[:MAX_LINES]:
            line = f"[red]unusable[/] {escape(f'{file.relative_path}: {file.reason}')}"
            console.print(line, soft_wrap=True, highlight=False)
        if len(self.unusable) > MAX_LINES:
            console.print(f"[red]unusable[/] ... and {len(self.unusable) - MAX_LINES} more")


def survey(data_dir: Path, console: Console, bad_files: BadFiles = BadFiles.REPORT) -> Scan:
    """Scan `data_dir` with a progress bar, print what was found, and return it.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If it holds no usable recording, or an unusable one under `BadFiles.STOP`.
    """
    scan = scan_aloud(data_dir, console)
    if scan.unreadable and bad_files is BadFiles.STOP:
        first = scan.unreadable[0]
        raise ValueError(
            f"{len(scan.unreadable)} file(s) cannot be used, the first is {first.relative_path}: "
            f"{first.reason}. "
            "Remove them, or choose --bad_files report to go on without them"
        )
    if not scan.recordings:
        reasons = "".join(f"\n  {file.relative_path}: {file.reason}" for file in scan.unreadable[:MAX_LINES])
        remedy = f":{reasons}" if reasons else "; is it the right folder? Recordings may lie in sub-folders"
        raise ValueError(f"{data_dir} holds no usable recording{remedy}")
    return scan


def scan_aloud(data_dir: Path, console: Console) -> Scan:
    """Scan `data_dir` with a progress bar and print how much there is.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading headers", total=None)
        choice = choose(data_dir)
        scan = scan_recordings(
            choice.root,
            paths=choice.paths,
            on_file=lambda done, total: progress.update(task, completed=done, total=total),
        )
    hours = scan.duration_s / 3600
    rate = (len(scan.recordings) + len(scan.unreadable)) / max(scan.elapsed_s, 1e-9)
    console.print(
        f"{data_dir}: {len(scan.recordings)} recordings, {hours:.2f} hours "
        f"({rate:.0f} files/s); {len(scan.unreadable)} unusable",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return scan
