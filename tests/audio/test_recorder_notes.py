"""The sentences of every AudioMoth firmware, GUANO, Wildlife Acoustics, Broadcast Wave and Frontier Labs."""

import struct
from datetime import UTC, datetime, timedelta, timezone

import pytest

from bioacoustics.audio.recorder_notes import (
    Notes,
    audiomoth_notes,
    broadcast_notes,
    comment_notes,
    guano_notes,
    wamd_notes,
)

MOTH = "AudioMoth 247AA5075E06337D"


def at(hours: float) -> datetime:
    return datetime(2021, 5, 2, 4, 0, 0, tzinfo=timezone(timedelta(hours=hours)))


@pytest.mark.parametrize(
    ("sentence", "zone_h", "gain", "battery_v", "temperature_c"),
    [
        # Firmware 1.0 named no zone; 1.0.1 and 1.1 only UTC; numbers for the gain until 1.3.
        ("by {moth} at gain setting 2 while battery state was 4.2V", 0, "2", 4.2, None),
        ("by {moth} at gain setting 2 while battery state was < 3.6V", 0, "2", 3.6, None),
        ("(UTC) by {moth} at gain setting 2 while battery state was 4.2V.", 0, "2", 4.2, None),
        ("(UTC) by {moth} at gain setting 4 while battery state was > 5.0V", 0, "4", 5.0, None),
        ("(UTC-5) by {moth} at gain setting 3 while battery state was 4.0V.", -5, "3", 4.0, None),
        ("(UTC+10) by {moth} at gain setting 3 while battery state was less than 3.6V.", 10, "3", 3.6, None),
        # Half-hours since 1.2.2; words for the gain and the temperature since 1.4.
        (
            "(UTC+3:30) by {moth} at medium gain setting while battery state was 4.1V and temperature was "
            "21.5C. Amplitude threshold was 1000.",
            *(3.5, "medium", 4.1, 21.5),
        ),
        (
            "(UTC-3:30) by {moth} at low gain setting while battery state was greater than 4.9V and "
            "temperature was -2.5C. High-pass filter applied with cut-off frequency of 4.0kHz.",
            *(-3.5, "low", 4.9, -2.5),
        ),
        ("(UTC-0:30) by {moth} at high gain setting while battery state was 4.1V.", -0.5, "high", 4.1, None),
        ("(UTC:30) by {moth} at gain setting 1 while battery state was 4.1V.", 0.5, "1", 4.1, None),
        # "battery was" and no "setting" since 1.5 and later; external microphones; frequency triggers.
        (
            "(UTC) by {moth} using external microphone at low-medium gain while battery was 4.8V and "
            "temperature was 39.1C.",
            *(0, "low-medium", 4.8, 39.1),
        ),
        (
            "(UTC+5:45) by {moth} at medium-high gain while battery was less than 2.5V and temperature was "
            "0.0C. Frequency trigger (14.0kHz and window length of 256 samples) threshold was 2.0% with 1s "
            "minimum trigger duration. Recording stopped due to low voltage.",
            *(5.75, "medium-high", 2.5, 0.0),
        ),
    ],
)
def test_audiomoth_sentences(sentence, zone_h, gain, battery_v, temperature_c):
    notes = audiomoth_notes(f"Recorded at 04:00:00 02/05/2021 {sentence.format(moth=MOTH)}")
    assert notes is not None
    assert notes.start == at(zone_h)
    assert notes.start.utcoffset() == timedelta(hours=zone_h)
    assert (notes.device, notes.gain) == ("247AA5075E06337D", gain)
    assert (notes.battery_v, notes.temperature_c) == (battery_v, temperature_c)
    assert notes.is_battery_low == ("<" in sentence or "less than" in sentence)
    assert notes.is_triggered == ("threshold" in sentence)
    assert notes.stopped == ("due to low voltage" if "stopped" in sentence else "")


def test_audiomoth_deployments_name_their_device_elsewhere():
    comment = (
        "Recorded at 04:00:00 02/05/2021 (UTC) during deployment EEC909D42565A5F0 at medium gain setting "
        "while battery state was 4.2V and temperature was 19.6C."
    )
    notes = audiomoth_notes(comment, MOTH)
    assert notes is not None
    assert notes.device == "247AA5075E06337D"


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("cancelled before completion due to change of switch position.", "due to change of switch position"),
        ("cancelled before completion due to low battery voltage", "due to low battery voltage"),
        ("stopped by magnetic switch.", "by magnetic switch"),
        ("stopped due to file size limit.", "due to file size limit"),
    ],
)
def test_why_audiomoth_stopped(end, reason):
    comment = (
        f"Recorded at 04:00:00 02/05/2021 (UTC) by {MOTH} at gain setting 2 while battery state was 4.2V. "
    )
    notes = audiomoth_notes(f"{comment}Recording {end}")
    assert notes is not None
    assert notes.stopped == reason


def test_other_comments_are_not_audiomoths():
    assert audiomoth_notes("Recorded at my grandmother's") is None
    broken = audiomoth_notes(f"Recorded at 00:00:00 00/00/2000 (UTC) by {MOTH}")
    assert broken is not None
    assert (broken.start, broken.device) == (None, "247AA5075E06337D")


GUANO = """GUANO|Version: 1.0
Timestamp: 2024-03-01T05:30:00-05:00
Make: Wildlife Acoustics, Inc.
Model: Song Meter Mini Bat
Serial: SMU01234
TE: 10
Loc Position: -12.3456 -69.1234
Species Manual ID: MYOLUC, EPTFUS
Species Auto ID: MYOLUC
Temperature Ext: 21.25
Note: with: a colon
"""


def test_guano():
    assert guano_notes(GUANO) == Notes(
        start=datetime(2024, 3, 1, 5, 30, tzinfo=timezone(timedelta(hours=-5))),
        device="SMU01234",
        temperature_c=21.25,
        latitude=-12.3456,
        longitude=-69.1234,
        time_expansion=10.0,
        species=("MYOLUC", "EPTFUS"),
    )


@pytest.mark.parametrize(
    ("stamp", "start"),
    [
        ("2024-03-01T05:30:00Z", datetime(2024, 3, 1, 5, 30, tzinfo=UTC)),
        ("2024-03-01T05:30:00.125+00:00", datetime(2024, 3, 1, 5, 30, 0, 125000, tzinfo=UTC)),
        ("2024-03-01 05:30:00", datetime(2024, 3, 1, 5, 30)),
        ("yesterday", None),
        ("0001-01-01T00:00:00+10:00", None),
    ],
)
def test_guano_timestamps(stamp, start):
    notes = guano_notes(f"GUANO|Version: 1.0\nTimestamp: {stamp}")
    assert notes is not None
    assert notes.start == start


@pytest.mark.parametrize(
    ("position", "place"),
    [
        ("12.5 130.9", (12.5, 130.9)),
        ("-12.5, 130.9", (-12.5, 130.9)),
        ("WGS84, 40.7148, N, 74.0060, W, 10", (40.7148, -74.0060)),
        ("12.5S 130.9E", (-12.5, 130.9)),
        ("somewhere", (None, None)),
        ("130.9 12.5", (None, None)),  # swapped: there is no such latitude
    ],
)
def test_positions(position, place):
    notes = guano_notes(f"GUANO|Version: 1.0\nLoc Position: {position}")
    assert notes is not None
    assert (notes.latitude, notes.longitude) == place


def test_no_guano():
    assert guano_notes("") is None
    assert guano_notes("Timestamp: 2024-03-01T05:30:00Z") is None


def entry(number: int, value: bytes) -> bytes:
    return struct.pack("<HI", number, len(value)) + value


def test_wildlife_acoustics():
    content = (
        entry(0x00, struct.pack("<H", 1))
        + entry(0x01, b"SM4BAT-FS\0")
        + entry(0x02, b"S4U01234\0")
        + entry(0x05, b"2024-03-01 05:30:00-05:00")
        + entry(0x06, b"WGS84,12.5000,S,69.1000,W,210")
        + entry(0x0B, b"MYOLUC")
        + entry(0x0F, struct.pack("<H", 8))
        + entry(0x13, b"12dB")
        + entry(0xFFFF, b"\0\0")
    )
    notes = wamd_notes(content)
    assert notes == Notes(
        start=datetime(2024, 3, 1, 5, 30, tzinfo=timezone(timedelta(hours=-5))),
        device="S4U01234",
        gain="12dB",
        latitude=-12.5,
        longitude=-69.1,
        time_expansion=8.0,
        species=("MYOLUC",),
    )
    assert wamd_notes(b"") is None
    assert wamd_notes(content[:60]) is not None  # a cut chunk gives what is there


def test_broadcast_wave():
    content = b"d" * 256 + b"o" * 32 + b"r" * 32 + b"2024-03-0105:30:00" + b"\0" * 264
    assert broadcast_notes(content) == Notes(start=datetime(2024, 3, 1, 5, 30))
    assert broadcast_notes(content.replace(b"2024-03-01", b"2024:03:01")) == Notes(
        start=datetime(2024, 3, 1, 5, 30)
    )
    assert broadcast_notes(b"\0" * 602) is None


def test_frontier_labs():
    notes = comment_notes(
        {
            "RECORDINGSTART": "2024-03-01T05:30:00+10:00",
            "SENSORUID": "00015",
            "BATTERYLEVEL": "87% 3.95V",
            "SENSORLOCATION": "-12.5 130.9",
        }
    )
    assert notes is not None
    assert notes.start == datetime(2024, 3, 1, 5, 30, tzinfo=timezone(timedelta(hours=10)))
    assert (notes.device, notes.battery_v, notes.latitude) == ("00015", 3.95, -12.5)
    assert comment_notes({"TITLE": "frog"}) is None
