"""Audit: what is on a card before any model hears it, as one page and three tables."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, Field
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bioacoustics.audio.copies import find_copies
from bioacoustics.audio.recordings import Recording, Scan, UnreadableAudioError, UnreadableFile
from bioacoustics.audio.sound_checks import SoundCheck, check_sound
from bioacoustics.data.deployments import (
    NO_DEPLOYMENTS,
    Deployments,
    Placement,
    place,
    read_deployments,
    sites_of,
)
from bioacoustics.data.timelines import efforts_of, flags_of, gaps_of
from bioacoustics.formats.words import Language
from bioacoustics.inference.device import DeviceChoice
from bioacoustics.workflows.audit_page import audit_page
from bioacoustics.workflows.audit_story import AuditStory
from bioacoustics.workflows.estimates import Estimate, estimate_embedding
from bioacoustics.workflows.output import check_writable
from bioacoustics.workflows.survey import BadFiles, Outcome, scan_aloud

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class AuditConfig(BaseModel, frozen=True, extra="forbid"):
    """What `audit` needs to know."""

    folder: Path = Field(
        description="recordings in any supported format, sub-folders included",
        json_schema_extra={"positional": True},
    )
    report: Path = Field(default=Path("audit.html"), description="page to write; the tables lie beside it")
    deployments: Path | None = Field(
        default=None,
        description="table: folder or recorder, site, latitude, longitude, zone, clock_offset_s, gain",
    )
    files_per_site: int = Field(
        default=240, ge=0, description="recordings of a site that are listened to, evenly spread; 0: none"
    )
    model_path: Path | None = Field(
        default=None, description="checkpoint to estimate the time and disk of embedding with"
    )
    window_s: float = Field(default=10.0, gt=0, description="seconds of a window, for the estimate")
    stride_s: float | None = Field(
        default=None, gt=0, description="from one window to the next [default: the window, no overlap]"
    )
    device: DeviceChoice = Field(default="auto", description="auto takes the GPU where there is one")
    num_threads: int = Field(default=4, ge=1, description="reading threads")
    language: Language = Field(default="en", description="language of the page")
    bad_files: BadFiles = Field(default=BadFiles.REPORT, description="recordings that cannot be used")


def audit(config: AuditConfig, console: Console) -> Outcome:
    """Look over a folder of recordings before any model: when, where, how loud, and what is wrong.

    Writes a page (--report) and, beside it, tables of files, days and gaps. Every header is read; of the
    sound, a few seconds of up to --files_per_site recordings of each site. Times come from headers, GUANO,
    file names or --deployments.
    """
    started = time.monotonic()
    if config.report.suffix.lower() not in {".html", ".htm"}:
        raise ValueError(f"--report {config.report}: the report is a page; let its name end in .html")
    check_writable(config.report, "--report")
    deployments = read_deployments(config.deployments) if config.deployments else NO_DEPLOYMENTS
    scan = scan_aloud(config.folder, console)
    if not scan.recordings and not scan.unreadable:
        raise ValueError(f"{config.folder} holds no recordings; give the folder where they are")
    if scan.unreadable and config.bad_files is BadFiles.STOP:
        first = scan.unreadable[0]
        raise ValueError(f"{first.relative_path}: {first.reason} (--bad_files report goes on without it)")
    story = _story(config, deployments, scan, console)
    story.elapsed_s = time.monotonic() - started
    config.report.parent.mkdir(parents=True, exist_ok=True)
    audit_page(story, config.language).write(config.report)
    tables = story.write_tables(config.report)
    outcome = Outcome(unusable=story.unusable)
    outcome.show(console)
    for remark in story.remarks:
        console.print(f"[yellow]warning[/] {escape(remark)}", highlight=False, soft_wrap=True)
    names = ", ".join(path.name for path in tables)
    line = f"Open [bold]{escape(str(config.report))}[/] in a browser; beside it: {escape(names)}"
    console.print(line, highlight=False, soft_wrap=True)
    return outcome


def _story(config: AuditConfig, deployments: Deployments, scan: Scan, console: Console) -> AuditStory:
    num_threads = config.num_threads
    placements = _aloud(
        partial(place, deployments=deployments), scan.recordings, "reading dates", num_threads, console
    )
    name_of = {placement.recording.path: placement.recording.relative_path for placement in placements}
    copies = [[name_of[path] for path in group] for group in find_copies(name_of)]
    heard = _to_listen_to(placements, config.files_per_site)
    answers = _aloud(_check, heard, "listening", num_threads, console)
    return AuditStory(
        folder=config.folder,
        scan=scan,
        placements=placements,
        flags=flags_of(placements, datetime.now(UTC), copies),
        checks={
            recording.relative_path: answer
            for recording, answer in zip(heard, answers, strict=True)
            if isinstance(answer, SoundCheck)
        },
        undecodable=[answer for answer in answers if isinstance(answer, UnreadableFile)],
        efforts=efforts_of(placements),
        gaps=gaps_of(placements),
        estimate=_estimate(config, scan.recordings, console),
        remarks=_remarks(config, deployments, placements),
    )


def _to_listen_to(placements: Sequence[Placement], files_per_site: int) -> list[Recording]:
    """Up to so many recordings of each site, evenly spread over its files in order of time."""
    chosen = []
    for members in sites_of(placements).values():
        ordered = sorted(members, key=lambda one: (one.iso_time(0.0), one.recording.relative_path))
        step = max(1.0, len(ordered) / max(1, files_per_site))
        count = min(files_per_site, len(ordered))
        chosen += [ordered[int(i * step)].recording for i in range(count)]
    return chosen


def _check(recording: Recording) -> SoundCheck | UnreadableFile:
    try:
        return check_sound(recording)
    except UnreadableAudioError as error:
        return UnreadableFile(path=recording.path, relative_path=recording.relative_path, reason=error.reason)


def _estimate(config: AuditConfig, recordings: Sequence[Recording], console: Console) -> Estimate | None:
    if config.model_path is None:
        return None
    with console.status("timing the model"):
        return estimate_embedding(
            recordings,
            config.model_path,
            window_s=config.window_s,
            stride_s=config.stride_s,
            device=config.device,
        )


def _remarks(config: AuditConfig, deployments: Deployments, placements: Sequence[Placement]) -> list[str]:
    unused = [
        f"{config.deployments}, {row}: no recording belongs to it" for row in deployments.unused(placements)
    ]
    return [*deployments.warnings, *unused]


def _aloud(
    work: Callable[[Item], Answer],
    items: Sequence[Item],
    description: str,
    num_threads: int,
    console: Console,
) -> list[Answer]:
    """Work through items in threads, with a progress bar that tells files per second."""
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
        TextColumn("{task.fields[speed]}"),
    )
    answers = []
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="audit")
    started = time.perf_counter()
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(description, total=len(items), speed="")
            for answer in pool.map(work, items):
                answers.append(answer)
                speed = len(answers) / max(time.perf_counter() - started, 1e-9)
                progress.update(task, advance=1, speed=f"{speed:.0f} files/s")
    finally:
        pool.shutdown(cancel_futures=True)
    speed = len(items) / max(time.perf_counter() - started, 1e-9)
    console.print(f"{description}: {len(items)} files, {speed:.0f} files/s", highlight=False)
    return answers
