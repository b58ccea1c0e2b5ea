"""An audit of a card finds what was put wrong on it, on the page and in the tables, in two languages."""

import csv
import re
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bioacoustics.workflows.audit import AuditConfig, audit
from bioacoustics.workflows.audit_words import MARKS, TEXTS
from bioacoustics.workflows.survey import BadFiles

RATE_HZ = 8000
LOST = (datetime(2024, 3, 2, 6), datetime(2024, 3, 2, 18))


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory, write_wav: Callable[..., Path]) -> Path:
    """Two AudioMoths for four days, a minute-long file every three hours; one of them went wrong."""
    root = tmp_path_factory.mktemp("Tarjeta Ñandú")
    rng = np.random.default_rng(0)
    for site, device in (("norte", "24F3190361CA8341"), ("río sur", "247AA5075E06337D")):
        for i in range(4 * 8):
            start = datetime(2024, 3, 1) + timedelta(hours=3 * i)
            if site == "río sur" and LOST[0] <= start < LOST[1]:
                continue
            level = 0.0 if site == "río sur" and i >= 30 else 0.01
            comment = (
                f"Recorded at {start:%H:%M:%S %d/%m/%Y} (UTC-5) by AudioMoth {device} at medium gain while "
                f"battery was 4.{9 - i // 8}V and temperature was {20 + i % 8}.5C."
            )
            write_wav(
                root / site / f"{start:%Y%m%d_%H%M%S}.WAV",
                rng.normal(0, level, 4 * RATE_HZ),
                RATE_HZ,
                info={"ICMT": comment},
            )
    (root / "norte" / "20240305_000000.WAV").touch()
    shutil.copy(root / "norte" / "20240301_030000.WAV", root / "norte" / "copia 20240301_030000.WAV")
    write_wav(root / "río sur" / "19700101_000012.WAV", rng.normal(0, 0.01, RATE_HZ), RATE_HZ)
    return root


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def audited(card: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("informe")
    (folder / "deployments.csv").write_text(
        "folder,site,latitude,longitude,zone\nnorte,Bosque,-3.5,-69.2,America/Bogota\nwest,gone,,,\n"
    )
    with (folder / "screen.txt").open("w", encoding="utf-8") as screen:
        outcome = audit(
            AuditConfig(
                folder=card, report=folder / "deep" / "er.html", deployments=folder / "deployments.csv"
            ),
            Console(file=screen, width=200),
        )
    assert [file.relative_path for file in outcome.unusable] == ["norte/20240305_000000.WAV"]
    return folder


def test_every_file_has_its_row(audited: Path, card: Path) -> None:
    rows = {row["file"]: row for row in rows_of(audited / "deep" / "er.files.csv")}
    assert len(rows) == len(list(card.rglob("*.WAV")))
    good = rows["norte/20240302_090000.WAV"]
    assert (good["site"], good["recorder"]) == ("Bosque", "24F3190361CA8341")
    assert (good["start_time"], good["end_time"]) == (
        "2024-03-02T09:00:00.000-05:00",
        "2024-03-02T09:00:04.000-05:00",
    )
    assert (good["time_source"], good["gain"], good["battery_v"], good["temperature_c"]) == (
        *("header", "medium", "4.8", "23.5"),
    )
    assert (good["latitude"], good["flags"], good["reason"]) == ("-3.5", "", "")
    assert float(good["level_db"]) == pytest.approx(-40, abs=0.5)
    assert rows["norte/20240305_000000.WAV"]["flags"] == "unusable"
    assert "empty" in rows["norte/20240305_000000.WAV"]["reason"]
    assert rows["río sur/19700101_000012.WAV"]["flags"] == "no_zone unset_clock"
    assert rows["norte/copia 20240301_030000.WAV"]["flags"] == "copy same_start"
    silent = [name for name, row in rows.items() if "silent" in row["flags"]]
    assert silent == ["río sur/20240304_180000.WAV", "río sur/20240304_210000.WAV"]


def test_days_and_gaps(audited: Path) -> None:
    days = rows_of(audited / "deep" / "er.days.csv")
    assert [row["day"] for row in days if row["site"] == "Bosque"] == [
        f"2024-03-0{day}" for day in (1, 2, 3, 4)
    ]
    assert float(days[0]["hours_recorded"]) == pytest.approx(9 * 4 / 3600, abs=1e-3)  # the copy counts, too
    assert float(days[1]["h09"]) == pytest.approx(4 / 3600, abs=1e-4)
    (gap,) = rows_of(audited / "deep" / "er.gaps.csv")
    assert (gap["site"], gap["from"], gap["to"]) == ("río sur", "2024-03-02 06:00:00", "2024-03-02 16:00:00")


def test_the_page_tells_it_all(audited: Path) -> None:
    page = (audited / "deep" / "er.html").read_text(encoding="utf-8")
    for told in (
        "Audit of Tarjeta Ñandú",
        "digital silence",
        "dated before 2000",
        "the same content as another file",
        "norte/20240305_000000.WAV",
        "it is empty (0 bytes)",
        "row 3 (west): no recording belongs to it",
        "4.6–4.9 V",
        "-0500",
    ):
        assert told in page
    assert page.count("data:image/png;base64") == 2
    assert "low battery" not in page


def test_the_screen_tells_the_speed(audited: Path) -> None:
    screen = (audited / "screen.txt").read_text(encoding="utf-8")
    assert "listening: 62 files, " in screen
    assert "files/s" in screen
    assert "Open " in screen


def test_spanish(card: Path, tmp_path: Path, console: Console, small_model: Path) -> None:
    report = tmp_path / "a.html"
    audit(
        AuditConfig(
            folder=card, report=report, language="es", files_per_site=2, model_path=small_model, window_s=2.0
        ),
        console,
    )
    page = report.read_text(encoding="utf-8")
    for told in ("Revisión de Tarjeta Ñandú", "está vacío (0 bytes)", "unos segundos de 4", "ventanas"):
        assert told in page
    heard = [row for row in rows_of(tmp_path / "a.files.csv") if row["level_db"]]
    assert [row["site"] for row in heard] == ["norte"] * 2 + ["río sur"] * 2
    assert "deployments.csv" in page  # the 1970 file has no zone


def test_every_text_is_in_both_languages() -> None:
    assert all(set(texts) == {"en", "es"} for texts in [*TEXTS.values(), *MARKS.values()])


def test_a_card_with_nothing_usable_has_a_report_all_the_same(tmp_path: Path, console: Console) -> None:
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "a.wav").touch()
    outcome = audit(AuditConfig(folder=tmp_path / "card", report=tmp_path / "a.html"), console)
    assert len(outcome.unusable) == 1
    assert "it is empty" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_bats_are_heard_slowed_and_seconds_are_some_hours(
    tmp_path: Path, console: Console, write_wav: Callable[..., Path]
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 96_000)
    for rate_hz, is_told in ((384_000, True), (48_000, False)):
        folder = tmp_path / str(rate_hz)
        write_wav(folder / "a.wav", noise, rate_hz)
        audit(AuditConfig(folder=folder, report=tmp_path / "a.html"), console)
        page = (tmp_path / "a.html").read_text(encoding="utf-8")
        assert ("--time_expansion 10" in re.sub("<[^>]*>", "", page)) == is_told
        assert f"{len(noise) / rate_hz / 3600:.2g}" in page


def test_what_cannot_be_audited(tmp_path: Path, console: Console, clips: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        audit(AuditConfig(folder=tmp_path / "absent"), console)
    with pytest.raises(ValueError, match="holds no recordings"):
        audit(AuditConfig(folder=tmp_path), console)
    with pytest.raises(ValueError, match=r"let its name end in \.html"):
        audit(AuditConfig(folder=clips, report=tmp_path / "report.csv"), console)
    (tmp_path / "a.wav").touch()
    with pytest.raises(ValueError, match=r"a\.wav: it is empty"):
        audit(AuditConfig(folder=tmp_path, bad_files=BadFiles.STOP), console)


def test_odd_files(shared: Path, tmp_path: Path, console: Console) -> None:
    outcome = audit(AuditConfig(folder=shared / "data" / "odd", report=tmp_path / "odd.html"), console)
    names = {file.relative_path for file in outcome.unusable}
    assert {"zero_length.wav", "truncated_header.wav", "text_renamed.wav"} <= names
    rows = {row["file"]: row for row in rows_of(tmp_path / "odd.files.csv")}
    assert rows["20210502_040000.WAV"]["start_time"] == "2021-05-02T04:00:00.000+00:00"
    assert rows["truncated.flac"]["flags"] == "guessed_time damaged"
    assert rows["silent.wav"]["flags"] == "guessed_time silent"
