"""Audit story: everything that an audit found out, and the tables that keep it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bioacoustics.audio.recordings import Scan, UnreadableFile
from bioacoustics.audio.sound_checks import Fault, SoundCheck
from bioacoustics.data.deployments import Placement, sites_of
from bioacoustics.data.timelines import Effort, Flag, Gap
from bioacoustics.formats.tables import Cell, write_rows
from bioacoustics.workflows.estimates import Estimate

FILE_COLUMNS = (
    *("file", "site", "recorder", "start_time", "end_time", "time_source", "duration_s", "sample_rate_hz"),
    *("num_channels", "container", "bytes", "latitude", "longitude", "gain", "battery_v", "temperature_c"),
    *("level_db", "peak", "dc", "clipped_share", "flags", "reason"),
)
DAY_COLUMNS = ("site", "day", "hours_recorded", *(f"h{hour:02d}" for hour in range(24)))
GAP_COLUMNS = ("site", "from", "to", "hours", "expected_hours")


@dataclass(slots=False, kw_only=True)
class AuditStory:
    """What lies on the card; recordings are known by their relative path."""

    folder: Path
    scan: Scan
    placements: Sequence[Placement]
    flags: Mapping[str, set[Flag]]
    checks: Mapping[str, SoundCheck]  # of the recordings that were listened to
    undecodable: Sequence[UnreadableFile]  # whose header was sound, but whose sound could not be decoded
    efforts: Mapping[str, Effort]
    gaps: Sequence[Gap]
    estimate: Estimate | None = None
    elapsed_s: float = 0.0
    remarks: Sequence[str] = field(default_factory=tuple)  # about the table of deployments

    @cached_property
    def sites(self) -> Mapping[str, list[Placement]]:
        """The recordings of each site."""
        return sites_of(self.placements)

    @property
    def unusable(self) -> list[UnreadableFile]:
        """What no model could hear."""
        return sorted([*self.scan.unreadable, *self.undecodable], key=lambda file: file.relative_path)

    def marks_of(self, name: str) -> list[Flag | Fault]:
        """What is doubtful about the time and the sound of a recording."""
        check = self.checks.get(name)
        return [*sorted(self.flags[name]), *(sorted(check.faults) if check else ())]

    def files_with(self, mark: Flag | Fault) -> list[str]:
        """The recordings that have this mark."""
        return [name for name in self.flags if mark in self.marks_of(name)]

    def num_bytes(self) -> int:
        """Size of all recordings."""
        return sum(_size(placement.recording.path) for placement in self.placements)

    def day_sound(self, site: str) -> tuple[Float[np.ndarray, "24 bands"], float, int] | None:
        """Mean level in dB by hour and band, half of the sample rate, and how many recordings that is.

        Only recordings at the site's commonest sample rate are taken together, and only those with a time.
        """
        heard = [
            (placement, self.checks[placement.recording.relative_path])
            for placement in self.sites[site]
            if placement.recording.relative_path in self.checks
            and placement.start is not None
            and not placement.origin.is_guess
        ]
        if not heard:
            return None
        rates = [placement.recording.sample_rate_hz for placement, _ in heard]
        rate_hz = max(sorted(set(rates)), key=rates.count)
        sums = np.zeros((24, len(heard[0][1].power)))
        counts = np.zeros((24, 1))
        for placement, check in heard:
            if placement.recording.sample_rate_hz == rate_hz and placement.start is not None:
                sums[placement.start.hour] += check.power
                counts[placement.start.hour] += 1
        with np.errstate(divide="ignore", invalid="ignore"):
            levels = 10 * np.log10(np.maximum(sums / counts, 1e-14))
        return levels, rate_hz / 2, int(counts.sum())

    def write_tables(self, report: Path) -> list[Path]:
        """Write the tables of files, days and gaps beside the report."""
        tables = {
            "files": (FILE_COLUMNS, self._file_rows()),
            "days": (DAY_COLUMNS, self._day_rows()),
            "gaps": (GAP_COLUMNS, self._gap_rows()),
        }
        paths = []
        for name, (columns, rows) in tables.items():
            path = report.with_name(f"{report.stem}.{name}.csv")
            write_rows(path, columns, rows)
            paths.append(path)
        return paths

    def _file_rows(self) -> Iterable[list[Cell]]:
        for placement in self.placements:
            recording, notes = placement.recording, placement.origin.notes
            name = recording.relative_path
            check = self.checks.get(name)
            sound: list[Cell] = [None] * 4
            if check is not None:
                sound = [
                    round(check.level_db, 1),
                    round(check.peak, 4),
                    round(check.dc, 4),
                    check.clipped_share,
                ]
            yield [
                *(name, placement.site, placement.recorder),
                *(placement.iso_time(0.0), placement.iso_time(recording.duration_s), placement.source.value),
                *(round(recording.duration_s, 3), recording.sample_rate_hz, recording.num_channels),
                *(recording.container, _size(recording.path), placement.latitude, placement.longitude),
                *(placement.gain, notes.battery_v, notes.temperature_c, *sound),
                *(" ".join(mark.value for mark in self.marks_of(name)), notes.stopped),
            ]
        for file in self.scan.unreadable:
            row: list[Cell] = [None] * len(FILE_COLUMNS)
            row[0], row[-2], row[-1] = file.relative_path, "unusable", file.reason
            yield row

    def _day_rows(self) -> Iterable[list[Cell]]:
        for site, effort in self.efforts.items():
            for day, seconds in zip(effort.days, effort.recorded_s, strict=True):
                hours = [round(float(second) / 3600, 4) for second in seconds]
                yield [site, day.isoformat(), round(float(seconds.sum()) / 3600, 4), *hours]

    def _gap_rows(self) -> Iterable[list[Cell]]:
        for gap in self.gaps:
            hours = (gap.end - gap.start).total_seconds() / 3600
            yield [
                *(gap.site, gap.start.isoformat(sep=" "), gap.end.isoformat(sep=" ")),
                *(round(hours, 3), round(gap.expected_s / 3600, 3)),
            ]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
