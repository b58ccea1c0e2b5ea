"""Deployments: deployments.csv says where each recorder stood and how its clock was set."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from bioacoustics.audio.dated_names import offset_zone
from bioacoustics.audio.origins import Origin, TimeSource, iso_time, later, origin_of
from bioacoustics.audio.recordings import Recording
from bioacoustics.data.file_names import plain
from bioacoustics.data.spreadsheets import Complaints, Row, read_table, some_of

KEY_COLUMNS = ("folder", "recorder")
FACT_COLUMNS = ("site", "latitude", "longitude", "zone", "clock_offset_s", "gain")

_MAX_OFFSET_S = 100 * 366 * 86400.0
# Folders that every card has, or that only sort by date, name no place.
_NO_PLACE = re.compile(r"(?:data|audio|recordings?|dcim|\d{4}(?:[-_]?\d\d){0,2})", re.IGNORECASE)
# What file managers put before a name.
_COPY_MARK = re.compile(r"(?:copy|copia|cópia|copie|kopie)(?: ?(?:of|de|von))?", re.IGNORECASE)
# What Song Meters put between site and date: the channels, or the card.
_CHANNEL_MARK = re.compile(r"(?:[_-]?(?:[01]\+[01]|[AB]))$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One row of the table; what it leaves empty stays as the recordings say."""

    folder: str
    recorder: str
    site: str
    latitude: float | None
    longitude: float | None
    zone: tzinfo | None
    clock_offset_s: float  # to add to the recorder's time: positive where its clock was slow
    gain: str
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A recording in time and space: what it says itself, corrected by the table of deployments."""

    recording: Recording
    origin: Origin
    site: str  # from the table, else the file's name, the folder or the device; may be empty
    start: datetime | None
    latitude: float | None
    longitude: float | None
    gain: str
    row: int | None = None  # of the table of deployments

    @property
    def source(self) -> TimeSource:
        """How the start is known."""
        return self.origin.source

    @property
    def recorder(self) -> str:
        """Who made it: recordings of one recorder cannot overlap."""
        return self.origin.notes.device or self.site

    def when(self, offset_s: float) -> datetime | None:
        """The true time `offset_s` seconds after the start of the file; None where no time is known."""
        if self.start is None:
            return None
        return later(self.start, offset_s / self.origin.notes.time_expansion)

    def iso_time(self, offset_s: float) -> str:
        """The same as ISO-8601 text with the zone where it is known; empty where no time is known."""
        return iso_time(self.when(offset_s))


class Deployments:
    """The rows of a table, each for one folder, one recorder, or one recorder in one folder."""

    def __init__(self, deployments: Sequence[Deployment], warnings: Sequence[str] = ()) -> None:
        self.deployments = tuple(deployments)
        self.warnings = tuple(warnings)

    def of(self, recording: Recording, origin: Origin) -> Deployment | None:
        """The row that fits best: the deepest folder first, then the one that names the recorder."""
        fitting = [row for row in self.deployments if _fits(row, recording, origin)]
        return max(fitting, key=lambda row: (len(row.folder), len(row.recorder)), default=None)

    def unused(self, placements: Sequence[Placement]) -> tuple[str, ...]:
        """Rows that no recording belongs to, as `row 3 (north)`."""
        used = {placement.row for placement in placements}
        rest = [row for row in self.deployments if row.row not in used]
        return tuple(f"row {row.row} ({row.folder or row.recorder})" for row in rest)


NO_DEPLOYMENTS = Deployments(())


def place(recording: Recording, deployments: Deployments = NO_DEPLOYMENTS) -> Placement:
    """Say where and when a recording was made.

    A start without a zone is taken for the reading of a clock in the deployment's zone; one with a zone is
    the same moment told in that zone. `clock_offset_s` is then added.
    """
    origin = origin_of(recording)
    row = deployments.of(recording, origin)
    start, notes = origin.start, origin.notes
    if start is not None and row is not None:
        if row.zone is not None:
            start = start.replace(tzinfo=row.zone) if start.tzinfo is None else start.astimezone(row.zone)
        start = later(start, row.clock_offset_s)
    has_position = row is not None and row.latitude is not None
    return Placement(
        recording=recording,
        origin=origin,
        site=(row.site if row else "") or _guessed_site(recording, origin),
        start=start,
        latitude=row.latitude if row and has_position else notes.latitude,
        longitude=row.longitude if row and has_position else notes.longitude,
        gain=(row.gain if row else "") or notes.gain,
        row=row.row if row else None,
    )


def when(recording: Recording, offset_s: float, deployments: Deployments = NO_DEPLOYMENTS) -> datetime | None:
    """The true time of a moment in a recording; to ask for many moments of one, keep its `place`."""
    return place(recording, deployments).when(offset_s)


def read_deployments(path: Path) -> Deployments:
    """Read a table with the columns folder or recorder (or both), and any of `FACT_COLUMNS`.

    `folder` is relative to the folder of the recordings; `recorder` is the device number in the header, or
    what stands before the date in the file's name. `zone` is the one that the recorder's clock was set to:
    an IANA name (America/Bogota) or an offset (-05:00).

    Raises:
        FileNotFoundError: There is no such table.
        ValueError: It contradicts itself, or cells cannot be read; each is named with its row.
    """
    table = read_table(path)
    if not set(KEY_COLUMNS) & set(table.columns):
        raise ValueError(
            f"{path}, row 1: the columns are {', '.join(table.columns)}, but one must be folder or recorder; "
            "write e.g. 'folder,site,latitude,longitude,zone,clock_offset_s,gain' as the first line"
        )
    known = {*KEY_COLUMNS, *FACT_COLUMNS}
    unknown = [column for column in table.columns if column not in known]
    warnings = list(table.warnings)
    if unknown:
        warnings.append(
            f"{path}, row 1: nothing reads the column {some_of(unknown)}; "
            f"known are {', '.join((*KEY_COLUMNS, *FACT_COLUMNS))}"
        )
    complaints = Complaints(path)
    deployments = [_deployment(row, complaints) for row in table.rows]
    _complain_of_repetitions(deployments, complaints)
    complaints.raise_if_any()
    return Deployments(deployments, warnings)


def _deployment(row: Row, complaints: Complaints) -> Deployment:
    cells = row.cells
    folder = cells.get("folder", "").replace("\\", "/").strip("/").removeprefix("./")
    recorder = cells.get("recorder", "")
    if not folder and not recorder:
        complaints.add(
            "neither folder nor recorder; write one of them ('.' for all recordings)", row.number, ""
        )
    latitude = _number(row, "latitude", complaints, limit=90.0)
    longitude = _number(row, "longitude", complaints, limit=180.0)
    if (latitude is None) != (longitude is None):
        complaints.add("latitude or longitude alone says no place; write both or none", row.number, "")
    return Deployment(
        folder="" if folder == "." else plain(folder),
        recorder=plain(recorder),
        site=cells.get("site", ""),
        latitude=latitude,
        longitude=longitude,
        zone=_zone(row, complaints),
        clock_offset_s=_clock_offset_s(row, complaints),
        gain=cells.get("gain", ""),
        row=row.number,
    )


def _clock_offset_s(row: Row, complaints: Complaints) -> float:
    offset_s = _number(row, "clock_offset_s", complaints) or 0.0
    if not abs(offset_s) <= _MAX_OFFSET_S:
        complaints.add("clock_offset_s is more than a century; give seconds", row.number, f"{offset_s:g}")
        return 0.0
    return offset_s


def _number(row: Row, column: str, complaints: Complaints, limit: float | None = None) -> float | None:
    text = row.cells.get(column, "")
    if not text:
        return None
    try:
        number = float(text.replace(",", ".").replace("−", "-"))
    except ValueError:
        complaints.add(f"{column} must be a number, like -12.345", row.number, repr(text))
        return None
    if limit is not None and not abs(number) <= limit:
        complaints.add(
            f"{column} must lie between -{limit:g} and {limit:g} degrees; were the columns swapped?",
            row.number,
            repr(text),
        )
    return number


def _zone(row: Row, complaints: Complaints) -> tzinfo | None:
    text = row.cells.get("zone", "").replace("−", "-")
    if not text:
        return None
    bare = re.sub(r"^(?:UTC|GMT)(?=[+-])", "", text, flags=re.IGNORECASE)
    try:
        return offset_zone(bare) if bare[0] in "+-" else ZoneInfo(bare)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        complaints.add(
            f"no time zone; write an IANA name like America/Bogota or an offset like -05:00{_hint(text)}",
            row.number,
            repr(text),
        )
        return None


def _hint(text: str) -> str:
    """The zone that was probably meant: `Bogota` is America/Bogota."""
    full_names = {name.rpartition("/")[2].casefold(): name for name in sorted(available_timezones())}
    city = text.rpartition("/")[2].replace(" ", "_").casefold()
    close = get_close_matches(city, full_names, n=1, cutoff=0.75)
    return f" (perhaps {full_names[close[0]]}?)" if close else ""


def _complain_of_repetitions(deployments: Sequence[Deployment], complaints: Complaints) -> None:
    first_row: dict[tuple[str, str], int] = {}
    for deployment in deployments:
        key = (deployment.folder, deployment.recorder)
        first = first_row.setdefault(key, deployment.row)
        if first != deployment.row:
            name = deployment.folder or deployment.recorder or "."
            complaints.add(
                "the same folder and recorder twice; keep one row, or tell them apart by folder",
                deployment.row,
                f"and row {first} {name!r}",
            )


def _fits(row: Deployment, recording: Recording, origin: Origin) -> bool:
    name = plain(recording.relative_path)
    if row.folder and not name.startswith(f"{row.folder}/"):
        return False
    names = {plain(origin.notes.device), plain(_without_marks(origin.name_prefix))}
    return not row.recorder or row.recorder in names


def _guessed_site(recording: Recording, origin: Origin) -> str:
    """The word before the date, else the folder, else the device."""
    if site := _without_marks(origin.name_prefix):
        return site
    folders = PurePosixPath(recording.relative_path).parent.parts
    places = [folder for folder in folders if not _NO_PLACE.fullmatch(folder)]
    return "/".join(places) or origin.notes.device


def _without_marks(prefix: str) -> str:
    stripped = prefix.strip(" _-.()")
    if _COPY_MARK.fullmatch(stripped):
        return ""
    return _CHANNEL_MARK.sub("", stripped).strip(" _-.") or stripped


def sites_of(placements: Sequence[Placement]) -> Mapping[str, list[Placement]]:
    """The recordings of each site, in order of the sites' names."""
    found: dict[str, list[Placement]] = {}
    for placement in sorted(placements, key=lambda one: (one.site, one.recording.relative_path)):
        found.setdefault(placement.site, []).append(placement)
    return found
