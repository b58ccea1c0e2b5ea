"""deployments.csv places recordings in time and space, and names each row that it cannot understand."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from bioacoustics.audio.recordings import read_header
from bioacoustics.data.deployments import NO_DEPLOYMENTS, place, read_deployments, sites_of, when

COMMENT = (
    "Recorded at 10:00:00 01/03/2024 (UTC) by AudioMoth 247AA5075E06337D at medium gain while battery was 4V."
)


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "deployments.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def card(tmp_path, write_wav):
    """A function that puts a recording on the card and reads its header."""
    root = tmp_path / "Tarjeta Ñandú"

    def recording(name, comment=""):
        path = write_wav(root / name, info={"ICMT": comment} if comment else None)
        return read_header(path, root)

    return recording


@pytest.mark.parametrize(
    ("name", "comment", "site"),
    [
        ("INCT17_20240301_053000.wav", "", "INCT17"),
        ("La Selva/20240301_053000.wav", "", "La Selva"),
        ("La Selva/2024-03/DATA/20240301_053000.wav", "", "La Selva"),
        ("north/a/frog.wav", "", "north/a"),
        ("S4A01_0+1_20240301_053000.wav", "", "S4A01"),
        ("20240301_053000.wav", COMMENT, "247AA5075E06337D"),
        ("La Selva/copia 20240301_053000.wav", COMMENT, "La Selva"),
        ("frog.wav", "", ""),
    ],
)
def test_without_a_table_sites_are_guessed(card, name, comment, site):
    assert place(card(name, comment)).site == site


def test_a_clock_reading_becomes_a_moment_in_the_zone(card, table):
    path = table("folder;site;latitude;longitude;zone;gain\nnorth;Río;-3,5;-69,25;America/Bogota;alta\n")
    placement = place(card("north/20240301_053000.wav"), read_deployments(path))
    assert placement.start == datetime(2024, 3, 1, 10, 30, tzinfo=UTC)
    assert placement.iso_time(1.25) == "2024-03-01T05:30:01.250-05:00"
    assert (placement.site, placement.latitude, placement.longitude, placement.gain) == (
        *("Río", -3.5, -69.25, "alta"),
    )


def test_a_moment_is_told_in_the_zone_and_stays_the_same_moment(card, table):
    deployments = read_deployments(table("recorder,zone\n247aa5075e06337d,-05:00\n"))
    placement = place(card("x.wav", COMMENT), deployments)
    assert placement.start == datetime(2024, 3, 1, 10, tzinfo=UTC)
    assert placement.iso_time(0.0) == "2024-03-01T05:00:00.000-05:00"


def test_slow_clocks_are_corrected(card, table):
    deployments = read_deployments(table("folder,clock_offset_s,zone\n.,-90.5,UTC+2\n"))
    recording = card("20240301_053000.wav")
    assert place(recording, deployments).iso_time(0.0) == "2024-03-01T05:28:29.500+02:00"
    assert when(recording, 60.5, deployments) == datetime(2024, 3, 1, 3, 29, 30, tzinfo=UTC)
    assert when(recording, 60.5) == datetime(2024, 3, 1, 5, 31, 0, 500000)


def test_an_unset_clock_of_1970_is_mended_by_its_offset(card, table):
    true_start, read = datetime(2024, 3, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)
    offset_s = (true_start - read).total_seconds()
    deployments = read_deployments(table(f"folder,zone,clock_offset_s\n.,UTC,{offset_s:.0f}\n"))
    placement = place(card("19700101_000010.wav"), deployments)
    assert placement.start == true_start + timedelta(seconds=10)


def test_the_closest_row_wins(card, table):
    text = (
        "folder,recorder,site\n.,,everywhere\nnorth,,north\nnorth/a,,a\n,247AA5075E06337D,moth\n"
        "north,247AA5075E06337D,moth in the north\n,S4A01,meter\n"
    )
    deployments = read_deployments(table(text))
    found = {
        name: place(card(name, comment), deployments).site
        for name, comment in {
            "x_20240301_053000.wav": "",
            "north/y.wav": "",
            "NORTH/a/z.wav": "",
            "northern/y.wav": "",
            "m.wav": COMMENT,
            "north/m.wav": COMMENT,
            "S4A01_0+1_20240301_053000.wav": "",
        }.items()
    }
    assert list(found.values()) == [
        *("everywhere", "north", "a", "everywhere", "moth", "moth in the north", "meter"),
    ]


def test_rows_that_nothing_belongs_to_are_told(card, table):
    deployments = read_deployments(table("folder,site\nnorth,a\nsouth,b\n"))
    placements = [place(card("north/x.wav"), deployments)]
    assert deployments.unused(placements) == ("row 3 (south)",)
    assert NO_DEPLOYMENTS.unused(placements) == ()


def test_unknown_columns_are_told(table):
    (warning,) = read_deployments(table("folder,site,habitat\nnorth,a,forest\n")).warnings
    assert "nothing reads the column habitat" in warning


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("site,zone\nA,UTC\n", r"row 1: the columns are site, zone, but one must be folder or recorder"),
        ("folder,site\nnorth,a\n,b\n", r"row 3: neither folder nor recorder; write one of them"),
        ("folder,latitude,longitude\nx,95,10\n", r"row 2 '95': latitude must lie between -90 and 90"),
        (
            "folder,latitude,longitude\nx,10,190\n",
            r"row 2 '190': longitude must lie .* were the columns swap",
        ),
        ("folder,latitude,longitude\nx,10°S,19\n", r"row 2 '10°S': latitude must be a number"),
        ("folder,latitude\nx,10\n", r"row 2: latitude or longitude alone says no place"),
        ("folder,zone\nx,Bogota\n", r"row 2 'Bogota': no time zone; .*\(perhaps America/Bogota\?\)"),
        ("folder,zone\nx,COT\n", r"row 2 'COT': no time zone; write an IANA name"),
        ("folder,zone\nx,+25:00\n", r"row 2 '\+25:00': no time zone"),
        ("folder,zone\nx,../../etc/passwd\n", r"row 2 '\.\./\.\./etc/passwd': no time zone"),
        ("folder,clock_offset_s\nx,1h\n", r"row 2 '1h': clock_offset_s must be a number"),
        ("folder,clock_offset_s\nx,1e12\n", r"row 2 1e\+12: clock_offset_s is more than a century"),
        ("folder,site\nx,a\nX/,b\n", r"row 3 and row 2 'x': the same folder and recorder twice"),
    ],
)
def test_complaints_name_row_and_remedy(table, text, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_deployments(table(text))


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("America/Bogota", ZoneInfo("America/Bogota")),
        ("UTC", ZoneInfo("UTC")),
        ("+05:30", timezone(timedelta(hours=5.5))),
        ("UTC-3", timezone(timedelta(hours=-3))),
        ("−05:00", timezone(timedelta(hours=-5))),
    ],
)
def test_zones(table, text, zone):
    (deployment,) = read_deployments(table(f"folder,zone\nx,{text}\n")).deployments
    assert deployment.zone == zone


def test_sites_are_sorted(card):
    placements = [place(card(name)) for name in ("b/2.wav", "b/1.wav", "a/3.wav")]
    grouped = {
        site: [one.recording.relative_path for one in members]
        for site, members in sites_of(placements).items()
    }
    assert grouped == {"a": ["a/3.wav"], "b": ["b/1.wav", "b/2.wav"]}
