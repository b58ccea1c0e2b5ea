"""Histories: detections and effort by site and occasion, as models of occupancy want them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import time
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, Field, field_validator
from rich.console import Console
from rich.markup import escape

from bioacoustics.audio.recordings import Recording
from bioacoustics.data.deployments import NO_DEPLOYMENTS, Placement, place, read_deployments, sites_of
from bioacoustics.data.events import Event
from bioacoustics.data.histories import Histories, histories_of
from bioacoustics.data.timelines import is_dated
from bioacoustics.formats.listened import LISTENED_NAME, Stretches, find_listened, read_listened
from bioacoustics.formats.tables import Cell, write_rows
from bioacoustics.workflows.annotation_reading import read_events_of
from bioacoustics.workflows.clips import folder_names
from bioacoustics.workflows.survey import BadFiles, Outcome, survey

NOT_LISTENED = "NA"  # as R writes it; a zero would say that nothing was there
LONG_COLUMNS = ("label", "site", "occasion", "first_day", "last_day", "hours", "num_events", "detected")
SITE_COLUMNS = ("site", "latitude", "longitude", "num_recordings", "hours")


class HistoriesConfig(BaseModel, frozen=True, extra="forbid"):
    """What `histories` needs to know."""

    events: Path = Field(
        description="events that predict wrote, or annotations; a table or a folder of them",
        json_schema_extra={"positional": True},
    )
    data_dir: Path = Field(description="all recordings, also those without events")
    listened: Path | None = Field(
        default=None,
        description="table file, start_s, end_s of what was really listened to; the rest is NA [default: "
        "listened.csv, which predict and events leave beside their events; without one, all of --data_dir]",
    )
    output_dir: Path = Field(default=Path("histories"), description="folder for the tables")
    table_format: Literal["auto", "raven", "audacity", "kaleidoscope", "csv"] = Field(
        default="auto", description="what wrote the events; auto looks at them"
    )
    label: tuple[str, ...] = Field(default=(), description="only this label; may be repeated")
    min_score: float = Field(default=0.0, ge=0, le=1, description="events of a model below it do not count")
    occasion_days: int = Field(default=1, ge=1, description="days of an occasion")
    day_begins: str = Field(
        default="00:00", description="when a day begins by the recorder's clock; 12:00 keeps nights whole"
    )
    between: tuple[str, str] | None = Field(
        default=None, description="only these times of day count, such as 04:00 06:00 or 22:00 03:00"
    )
    min_hours: float = Field(
        default=0.0, ge=0, description="occasions that were listened to for less are NA, not 0"
    )
    deployments: Path | None = Field(default=None, description="table of sites, zones and clock offsets")
    bad_files: BadFiles = Field(default=BadFiles.REPORT, description="recordings that cannot be used")

    @field_validator("day_begins")
    @classmethod
    def _check_time(cls, text: str) -> str:
        _time(text)
        return text

    @field_validator("between")
    @classmethod
    def _check_times(cls, between: tuple[str, str] | None) -> tuple[str, str] | None:
        if between is not None and _time(between[0]) == _time(between[1]):
            raise ValueError("the two times are equal; leave it out to count whole days")
        return between


def histories(config: HistoriesConfig, console: Console) -> Outcome:
    """Turn events into detection histories: a table of sites and occasions for each label, with the effort.

    Writes LABEL.detections.csv (1 heard, 0 not heard, NA not listened), effort.csv (hours), sites.csv and
    all together in histories.csv, a row for each label, site and occasion; occasions on which no site was
    listened to are left out. What predict did not hear, or not yet, was not listened to. Recordings whose
    time only the file system knows are left out.
    """
    deployments = read_deployments(config.deployments) if config.deployments else NO_DEPLOYMENTS
    told = config.listened or find_listened(config.events)
    listened = read_listened(told) if told else None
    scan = survey(config.data_dir, console, config.bad_files)
    events_of, warnings = read_events_of(config.events, config.data_dir, config.table_format)
    placements = [place(recording, deployments) for recording in scan.recordings]
    dated = {one.recording.relative_path for one in placements if is_dated(one)}
    sure = [event for members in events_of.values() for event in members if _is_sure(event, config)]
    events = [event for event in sure if event.recording in dated]
    labels = _labels(config, events)
    found = histories_of(
        placements,
        events,
        labels,
        days_each=config.occasion_days,
        day_begins=_time(config.day_begins),
        between=(_time(config.between[0]), _time(config.between[1])) if config.between else (time.min,) * 2,
        listened=listened,
    )
    if not found.hours.any():
        raise ValueError(
            f"{config.data_dir}: no recording whose time is known counts; look at 'bioacoustics audit', say "
            "what recorders do not know with --deployments, and check --between"
            + (f"; {told} says what was listened to" if told else "")
        )
    heard = [one for one in placements if listened is None or one.recording.relative_path in listened]
    _write(config, found, labels, placements, {one.recording for one in heard})
    outcome = Outcome(unusable=list(scan.unreadable))
    doubts = [*_doubts(placements, found, len(sure) - len(events)), *_unheard(placements, listened, told)]
    for warning in [*warnings, *deployments.warnings, *doubts]:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False, soft_wrap=True)
    outcome.show(console)
    console.print(
        f"{config.output_dir}: {len(labels)} labels, {len(found.sites)} sites, "
        f"{len(found.occasions)} occasions of {config.occasion_days} day(s), "
        f"{found.hours.sum():.2f} hours listened to",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return outcome


def _unheard(
    placements: Sequence[Placement], listened: Mapping[str, Stretches] | None, told: Path | None
) -> Iterable[str]:
    """What the user should know of recordings that nobody listened to."""
    if listened is None:
        yield (
            "nothing says which recordings were listened to, so all count; where that is wrong, name "
            "them with --listened, or make the events anew with 'bioacoustics events', which writes "
            f"{LISTENED_NAME}"
        )
        return
    names = {one.recording.relative_path for one in placements}
    unheard = sorted(names - listened.keys())
    if unheard:
        shown = ", ".join(unheard[:3]) + (" ..." if len(unheard) > 3 else "")
        yield f"{len(unheard)} recording(s) were not listened to and are NA, by {told}: {shown}"
    if strangers := sorted(listened.keys() - names):
        yield f"{told}: {len(strangers)} recording(s) are not in the folder, the first is {strangers[0]}"


def _is_sure(event: Event, config: HistoriesConfig) -> bool:
    return event.score is None or event.score >= config.min_score


def _labels(config: HistoriesConfig, events: Iterable[Event]) -> tuple[str, ...]:
    known = sorted({event.label for event in events})
    if not known and not config.label:
        raise ValueError(
            f"{config.events}: no event of a recording with a known time is left; see 'bioacoustics audit', "
            "lower --min_score, or name with --label what was looked for"
        )
    return config.label or tuple(known)


def _write(
    config: HistoriesConfig,
    found: Histories,
    labels: Sequence[str],
    placements: Sequence[Placement],
    heard: Collection[Recording],
) -> None:
    folder, occasions = config.output_dir, found.occasions
    columns = ("site", *(found.calendar.days(number)[0].isoformat() for number in occasions))
    hours = [[round(float(cell), 4) for cell in row] for row in found.hours[:, occasions]]
    write_rows(folder / "effort.csv", columns, _wide(found.sites, hours))
    tables = {label: found.detections(label, config.min_hours) for label in labels}
    for label, name in zip(labels, folder_names(labels), strict=True):
        flags = [[_flag(cell) for cell in row] for row in tables[label][:, occasions]]
        write_rows(folder / f"{name}.detections.csv", columns, _wide(found.sites, flags))
    write_rows(folder / "histories.csv", LONG_COLUMNS, _long(found, tables))
    write_rows(folder / "sites.csv", SITE_COLUMNS, _site_rows(found, placements, heard))


def _wide(sites: Sequence[str], cells: Sequence[Sequence[Cell]]) -> Iterable[list[Cell]]:
    return ([site, *row] for site, row in zip(sites, cells, strict=True))


def _flag(cell: float) -> Cell:
    return NOT_LISTENED if np.isnan(cell) else int(cell)


def _long(
    found: Histories, tables: Mapping[str, Float[np.ndarray, "sites occasions"]]
) -> Iterable[list[Cell]]:
    for label, table in tables.items():
        for row, site in enumerate(found.sites):
            for occasion in found.occasions:
                first, last = found.calendar.days(occasion)
                yield [
                    *(label, site, occasion + 1, first.isoformat(), last.isoformat()),
                    round(float(found.hours[row, occasion]), 4),
                    *(int(found.num_events[label][row, occasion]), _flag(table[row, occasion])),
                ]


def _site_rows(
    found: Histories, placements: Sequence[Placement], heard: Collection[Recording]
) -> Iterable[list[Cell]]:
    members = sites_of([placement for placement in placements if is_dated(placement)])
    for row, site in enumerate(found.sites):
        placed = next((one for one in members[site] if one.latitude is not None), members[site][0])
        hours = round(float(found.hours[row].sum()), 4)
        num_heard = sum(one.recording in heard for one in members[site])
        yield [site, placed.latitude, placed.longitude, num_heard, hours]


def _doubts(placements: Sequence[Placement], found: Histories, num_lost: int) -> Iterable[str]:
    num_undated = sum(not is_dated(placement) for placement in placements)
    if num_undated:
        yield (
            f"{num_undated} recording(s) whose time only the file system knows, or whose clock was never "
            f"set, are left out with their {num_lost} events; 'bioacoustics audit' names them"
        )
    if "" in found.sites:
        yield "some recordings have no site and count as one; name their sites with --deployments"


def _time(text: str) -> time:
    try:
        moment = time.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is not None or moment.second or moment.microsecond:
        raise ValueError(f"{text!r} is no time of day; write it like 04:00 or 22:30")
    return moment
