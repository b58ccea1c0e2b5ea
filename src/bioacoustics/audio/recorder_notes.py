"""Recorder notes: the sentences and fields in which recorders tell what they were doing."""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_STARTED = re.compile(
    r"Recorded at (\d\d:\d\d:\d\d)(?:\.\d+)? (\d\d/\d\d/\d{4})"
    r"(?: \((?:UTC|GMT)(?P<sign>[+-])?(?P<hours>\d{1,2})?(?::\s?(?P<minutes>\d{1,2}))?\))?"
)
_DEVICE = re.compile(r"\bAudioMoth ([0-9A-F]{16})\b", re.IGNORECASE)
_GAIN = re.compile(r"\bat (?:gain setting (\d+)|([a-z-]+) gain)\b", re.IGNORECASE)
_BATTERY = re.compile(r"battery (?:state )?was (less than |greater than |[<>] ?)?(\d+(?:\.\d+)?)V")
_TEMPERATURE = re.compile(r"temperature was (-?\d+(?:\.\d+)?)C")
_STOPPED = re.compile(r"Recording (?:cancelled before completion|stopp?ed) ((?:due to|by) [^.]+)")
_TRIGGERED = re.compile(r"(?:Amplitude threshold|trigger \([^)]*\) threshold) was")
_SPOKEN_DEGREES = re.compile(
    r"(\d+(?:\.\d+)?)\s*,?\s*([NS])[\s,]+(\d+(?:\.\d+)?)\s*,?\s*([EW])", re.IGNORECASE
)
_YEARS = (1900, 2200)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What a recorder noted about one recording; whatever it did not say is None or empty."""

    start: datetime | None = None  # with a zone where one was said
    device: str = ""
    gain: str = ""
    battery_v: float | None = None
    is_battery_low: bool = False  # it was below what the recorder can measure
    temperature_c: float | None = None
    latitude: float | None = None
    longitude: float | None = None
    time_expansion: float = 1.0  # how many times slower the file plays than the sound was
    is_triggered: bool = False  # it records when it hears something, so pauses mean nothing
    stopped: str = ""  # why it ended early
    species: tuple[str, ...] = ()


def audiomoth_notes(comment: str, artist: str = "") -> Notes | None:
    """The sentence that AudioMoths write, of any firmware from 1.0 to 1.11; None for other comments.

    Before firmware 1.0.1 the sentence names no zone; the clock then counted UTC. `artist` knows the device
    where the sentence names the deployment instead.
    """
    started = _STARTED.search(comment)
    if started is None:
        return None
    try:
        start = datetime.strptime(f"{started[2]} {started[1]}", "%d/%m/%Y %H:%M:%S")
    except ValueError:  # 00/00/2000 and the like: its clock was broken
        moment = None
    else:
        moment = start.replace(tzinfo=_spoken_zone(started))
    device = _DEVICE.search(comment) or _DEVICE.search(artist)
    gain, battery = _GAIN.search(comment), _BATTERY.search(comment)
    temperature, stopped = _TEMPERATURE.search(comment), _STOPPED.search(comment)
    return Notes(
        start=moment,
        device=device[1].upper() if device else "",
        gain=(gain[1] or gain[2]).lower() if gain else "",
        battery_v=float(battery[2]) if battery else None,
        is_battery_low=battery is not None and (battery[1] or "").startswith(("less", "<")),
        temperature_c=float(temperature[1]) if temperature else None,
        is_triggered=_TRIGGERED.search(comment) is not None,
        stopped=stopped[1] if stopped else "",
    )


def _spoken_zone(started: re.Match[str]) -> tzinfo:
    """UTC, UTC+10, UTC-3:30, UTC-0:30; the sign holds for hours and minutes."""
    size = timedelta(hours=int(started["hours"] or 0), minutes=int(started["minutes"] or 0))
    return timezone(-size if started["sign"] == "-" else size) if size else UTC


def guano_notes(text: str) -> Notes | None:
    """GUANO metadata (guano-md.org): lines of `Key: Value`; None where it is no GUANO."""
    fields = dict(_fields_of(text))
    if "GUANO|Version" not in fields:
        return None
    latitude, longitude = _position(fields.get("Loc Position", ""))
    species = ",".join(fields.get(key, "") for key in ("Species Manual ID", "Species Auto ID"))
    device = " ".join(fields[key] for key in ("Model", "Serial") if fields.get(key))
    return Notes(
        start=_iso_time(fields.get("Timestamp", "")),
        device=fields.get("Serial") or device,
        gain=fields.get("WA|Song Meter|Gain", fields.get("OAD|Gain", "")),
        battery_v=_number(fields.get("OAD|Battery Voltage", fields.get("Battery Voltage", ""))),
        temperature_c=_number(fields.get("Temperature Ext", fields.get("Temperature Int", ""))),
        latitude=latitude,
        longitude=longitude,
        time_expansion=_number(fields.get("TE", "")) or 1.0,
        species=tuple(dict.fromkeys(word.strip() for word in species.split(",") if word.strip())),
    )


def _fields_of(text: str) -> list[tuple[str, str]]:
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return [(key.strip(), value.strip()) for key, _, value in pairs]


def wamd_notes(content: bytes) -> Notes | None:
    """The `wamd` chunk of Wildlife Acoustics: entries of id (2 bytes), length (4 bytes) and value."""
    entries: dict[int, bytes] = {}
    position = 0
    while position + 6 <= len(content):
        number, num_bytes = struct.unpack_from("<HI", content, position)
        entries[number] = content[position + 6 : position + 6 + num_bytes]
        position += 6 + num_bytes
    texts = {number: value.decode("utf-8", "replace").strip("\0 ") for number, value in entries.items()}
    if 0x00 not in entries and 0x05 not in entries:
        return None
    latitude, longitude = _position(texts.get(0x06, ""))
    expansion = int.from_bytes(entries.get(0x0F, b""), "little")
    names = f"{texts.get(0x0C, '')},{texts.get(0x0B, '')}"
    return Notes(
        start=_iso_time(texts.get(0x05, "")),
        device=texts.get(0x02) or texts.get(0x04, ""),
        gain=texts.get(0x13, ""),
        latitude=latitude,
        longitude=longitude,
        time_expansion=float(expansion or 1),
        species=tuple(dict.fromkeys(word.strip() for word in names.split(",") if word.strip())),
    )


def broadcast_notes(content: bytes) -> Notes | None:
    """The origination date and time of a Broadcast Wave (EBU Tech 3285); it has no zone."""
    text = content[320:338].decode("latin-1")
    start = _iso_time(f"{text[:10].replace(':', '-').replace('_', '-')} {text[10:].replace('-', ':')}")
    return Notes(start=start) if start else None


def comment_notes(comments: Mapping[str, str]) -> Notes | None:
    """The comments that Frontier Labs' recorders write into flac files."""
    start = _iso_time(comments.get("RECORDINGSTART", ""))
    if start is None:
        return None
    latitude, longitude = _position(comments.get("SENSORLOCATION", ""))
    return Notes(
        start=start,
        device=comments.get("SENSORUID", ""),
        battery_v=_number(comments.get("BATTERYLEVEL", "").rpartition(" ")[2].removesuffix("V")),
        latitude=latitude,
        longitude=longitude,
    )


def _iso_time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    # The year 1 is what some programs write where they know no date.
    return moment if _YEARS[0] <= moment.year <= _YEARS[1] else None


def _number(text: str) -> float | None:
    found = _NUMBER.match(text.strip())
    return float(found[0]) if found else None


def _position(text: str) -> tuple[float | None, float | None]:
    """Latitude and longitude from `-12.5 130.9`, `12.5S 130.9E` or `WGS84, 12.5, S, 130.9, E`."""
    if spoken := _SPOKEN_DEGREES.search(text):
        latitude, longitude = float(spoken[1]), float(spoken[3])
        north, east = spoken[2].upper() == "N", spoken[4].upper() == "E"
        return latitude if north else -latitude, longitude if east else -longitude
    numbers = _NUMBER.findall(text)
    if len(numbers) == 2 and abs(float(numbers[0])) <= 90 and abs(float(numbers[1])) <= 180:
        return float(numbers[0]), float(numbers[1])
    return None, None
