"""Dated names: the date, time and zone that recorders write into the names of their files."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo

# 20210502_040000, 20210502T0400, 20210502$040000, 2021-05-02_04-00-00: as nearly every recorder does.
_DATE_TIME = re.compile(
    r"(?<!\d)((?:19|20)\d\d)-?([01]\d)-?([0-3]\d)[ _t$-]?"
    r"([012]\d)[-:_h]?([0-5]\d)(?:[-:_m]?([0-5]\d))?(?!\d)",
    re.IGNORECASE,
)
# +1000, -03:30, Z, _UTC, UTC-5: only offsets that exist somewhere, so that no clip number is taken for one.
_ZONE = re.compile(
    r"(?:\.\d{1,6})?(?:"
    r"(?P<utc>z(?![a-z0-9])|[ _-]?(?:utc|gmt)(?![a-z0-9+-]))"
    r"|[ _-]?(?:utc|gmt)(?P<short>[+-]\d{1,2}(?::?(?:00|30|45))?)(?!\d)"
    r"|(?P<offset>[+-](?:0\d|1[0-4]):?(?:00|30|45))(?!\d)"
    r")",
    re.IGNORECASE,
)
_AUDIOMOTH_HEX = re.compile(r"[0-9a-f]{8}", re.IGNORECASE)  # seconds since 1970, firmware before 1.2
_FIRST_AUDIOMOTH = datetime(2016, 1, 1, tzinfo=UTC)
_LAST_AUDIOMOTH = datetime(2040, 1, 1, tzinfo=UTC)
_SOUNDTRAP = re.compile(r"(?P<device>\d{3,})\.(?P<digits>\d{12})(?!\d)")  # serial number, then YYMMDDhhmmss


@dataclass(frozen=True, slots=True)
class DatedName:
    """A file name that tells when its recording began; `start` has a zone only where the name says one."""

    start: datetime | None  # None where the digits look like a date and are none
    digits: str  # of date and time, as written
    prefix: str  # what stands before them, often the site
    suffix: str  # what stands behind them and the zone, often the number of a clip


def dated_name(stem: str) -> DatedName | None:
    """What the name of a file (without its extension) says about its time; None where it says nothing.

    Fractions of a second are passed over: three digits behind a time may as well number a clip.
    """
    if found := _DATE_TIME.search(stem):
        zone = _ZONE.match(stem, found.end())
        parts = [int(part or 0) for part in found.groups()]
        return DatedName(
            start=_checked(parts, _zone_of(zone) if zone else None),
            digits="".join(part or "" for part in found.groups()),
            prefix=stem[: found.start()],
            suffix=stem[zone.end() if zone else found.end() :],
        )
    if _AUDIOMOTH_HEX.fullmatch(stem):
        start = datetime.fromtimestamp(int(stem, 16), UTC)
        if _FIRST_AUDIOMOTH <= start < _LAST_AUDIOMOTH:
            return DatedName(start=start, digits=stem, prefix="", suffix="")
    if found := _SOUNDTRAP.match(stem):
        digits = found["digits"]
        parts = [2000 + int(digits[:2]), *(int(digits[i : i + 2]) for i in range(2, 12, 2))]
        return DatedName(_checked(parts, None), digits, found["device"], stem[found.end() :])
    return None


def offset_zone(text: str) -> timezone:
    """The zone of an offset such as `+10:00`, `-0330`, `+5` or `+5:30`.

    Raises:
        ValueError: It is no offset, or one of more than 14 hours.
    """
    found = re.fullmatch(r"([+-])(\d{1,2})(?::?(\d\d))?", text)
    if found is None or int(found[2]) > 14 or int(found[3] or 0) > 59:
        raise ValueError(f"{text!r} is no offset from UTC; write it like +10:00, -03:30 or +5")
    size = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    return timezone(size if found[1] == "+" else -size)


def _zone_of(found: re.Match[str]) -> tzinfo:
    return UTC if found["utc"] else offset_zone(found["short"] or found["offset"])


def _checked(parts: list[int], zone: tzinfo | None) -> datetime | None:
    year, month, day, hour, minute, second = parts
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None
