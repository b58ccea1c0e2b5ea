"""Names of files tell their time in many ways, and numbers that are no time are left alone."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioacoustics.audio.dated_names import dated_name, offset_zone

START = datetime(2024, 3, 1, 5, 30)


def east(hours: float) -> timezone:
    return timezone(timedelta(hours=hours))


@pytest.mark.parametrize(
    ("stem", "prefix", "zone"),
    [
        ("20240301_053000", "", None),
        ("SITE_20240301_053000", "SITE_", None),  # Song Meter
        ("SITE_20240301_053000_000", "SITE_", None),  # Kaleidoscope's pieces
        ("SITE_20240301$053000", "SITE_", None),
        ("S4A0_0+1_20240301_053000", "S4A0_0+1_", None),
        ("24F3190361CA8341_20240301_053000T", "24F3190361CA8341_", None),  # triggered AudioMoth
        ("2024-03-01_05-30-00", "", None),
        ("2024-03-01 05h30m00", "", None),
        ("rec_20240301-0530", "rec_", None),
        ("20240301053000", "", None),
        ("20240301T053000+1000", "", east(10)),  # Frontier Labs
        ("20240301T053000-0330_REC [-12.5 130.9]", "", east(-3.5)),
        ("site_20240301T053000+0545", "site_", east(5.75)),
        ("20240301T053000Z", "", UTC),
        ("2024-03-01T05:30:00+10:00", "", east(10)),
        ("2024-03-01T05:30:00.250Z", "", UTC),
        ("SWIFT_20240301_053000_UTC", "SWIFT_", UTC),
        ("SWIFT_20240301_053000_UTC-5", "SWIFT_", east(-5)),
        ("x_20240301_053000_utc+05:30_2", "x_", east(5.5)),
    ],
)
def test_recorders_names(stem, prefix, zone):
    dated = dated_name(stem)
    assert dated is not None
    assert dated.start == START.replace(tzinfo=zone)
    assert dated.start.tzinfo == zone
    assert dated.prefix == prefix


@pytest.mark.parametrize(
    "stem",
    [
        "20240301_053000-2",
        "20240301_053000-1234",  # no zone is 12:34 away
        "20240301_053000-1500",
        "20240301_053000_1",
        "20240301_053000_zoo",
        "20240301_053000 utcubamba",
    ],
)
def test_numbers_behind_the_time_are_no_zones(stem):
    dated = dated_name(stem)
    assert dated is not None
    assert dated.start == START


@pytest.mark.parametrize(
    "stem",
    ["XC192052", "dog_17", "20240301", "REC0012", "00000012", "2024", "12345678901234567890", "ZOOM0001", ""],
)
def test_other_numbers_are_no_times(stem):
    assert dated_name(stem) is None


def test_audiomoth_seconds_since_1970():
    dated = dated_name("5E0FB0A8")
    assert dated is not None
    assert dated.start == datetime.fromtimestamp(0x5E0FB0A8, UTC)
    assert dated.start.year == 2020
    assert dated_name("20240301") is None  # a date, and as a hexadecimal number the year 1987


def test_soundtrap():
    dated = dated_name("5678.240301053000")
    assert dated is not None
    assert (dated.start, dated.prefix) == (START, "5678")


@pytest.mark.parametrize("stem", ["20241301_053000", "20240230_053000", "x_20240301_253000"])
def test_dates_that_do_not_exist(stem):
    dated = dated_name(stem)
    assert dated is None or dated.start is None


def test_unset_clocks_are_told():
    dated = dated_name("19700101_000012")
    assert dated is not None
    assert dated.start == datetime(1970, 1, 1, 0, 0, 12)


@settings(max_examples=100, deadline=None)
@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2089, 12, 31)),
    st.sampled_from([-660, -570, -210, 0, 60, 330, 345, 840]),
    st.sampled_from(["%Y%m%d_%H%M%S", "%Y%m%dT%H%M%S", "%Y-%m-%dT%H-%M-%S", "%Y-%m-%d %H:%M:%S"]),
)
def test_what_is_written_is_read(moment, offset_min, form):
    zone = timezone(timedelta(minutes=offset_min))
    stem = f"SITE_{moment.strftime(form)}{moment.replace(tzinfo=zone):%z}_7"
    dated = dated_name(stem)
    assert dated is not None
    assert dated.start == moment.replace(microsecond=0, tzinfo=zone)
    assert dated.suffix == "_7"


@pytest.mark.parametrize(("text", "hours"), [("+10:00", 10), ("-0330", -3.5), ("+5", 5), ("+5:30", 5.5)])
def test_offsets(text, hours):
    assert offset_zone(text) == east(hours)


@pytest.mark.parametrize("text", ["10", "+25", "+1:99", "EST", ""])
def test_no_offsets(text):
    with pytest.raises(ValueError, match="no offset from UTC"):
        offset_zone(text)
