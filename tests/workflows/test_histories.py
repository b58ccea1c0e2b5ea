"""Events become tables that models of occupancy open, from predictions and from annotations."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console

from bioacoustics.workflows.histories import HistoriesConfig, histories
from bioacoustics.workflows.predict import PredictConfig, predict
from bioacoustics.workflows.survey import Outcome

EVENTS = """file,start_s,end_s,label,score
norte_20240301_053000.wav,1,2,rana de cristal,0.9
norte_20240302_053000.wav,1,2,rana de cristal,0.4
sur_20240302_053000.wav,1,2,búho: grande,0.8
x.wav,0,1,búho: grande,0.9
"""


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory, write_wav: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("Grabación Ñandú")
    names = ("norte_20240301_053000", "norte_20240302_053000", "sur_20240302_053000", "sur_20240302_220000")
    for name in (*names, "x"):
        write_wav(folder / f"{name}.wav", np.zeros(80_000))
    (folder / "vacío.wav").touch()
    return folder


def made(cards: Path, folder: Path, **flags: object) -> tuple[Outcome, str]:
    table = folder / "events.csv"
    table.write_text(EVENTS, encoding="utf-8")
    screen = io.StringIO()
    config = HistoriesConfig.model_validate(
        {"events": table, "data_dir": cards, "output_dir": folder / "out", **flags}
    )
    return histories(config, Console(file=screen, width=1000)), screen.getvalue()


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_a_table_for_each_label(cards: Path, tmp_path: Path) -> None:
    outcome, screen = made(cards, tmp_path)
    out = tmp_path / "out"
    header = ["site", "2024-03-01", "2024-03-02"]
    assert rows_of(out / "rana de cristal.detections.csv") == [
        header,
        ["norte", "1", "1"],
        ["sur", "NA", "0"],
    ]
    assert rows_of(out / "búho_ grande.detections.csv") == [header, ["norte", "0", "0"], ["sur", "NA", "1"]]
    assert rows_of(out / "effort.csv") == [header, ["norte", "0.0028", "0.0028"], ["sur", "0.0", "0.0056"]]
    assert [file.relative_path for file in outcome.unusable] == ["vacío.wav"]
    assert "1 recording(s) whose time only the file system knows" in screen
    assert "with their 1 events" in screen
    table = pd.read_csv(out / "rana de cristal.detections.csv", index_col="site")
    assert table.isna().sum().sum() == 1  # as R's read.csv understands it, too


def test_scores_times_and_places(cards: Path, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("folder,recorder,site,latitude,longitude\n,sur,Río,-3.5,-69\n")
    made(cards, tmp_path, min_score=0.5, between=("05:00", "06:00"), deployments=tmp_path / "d.csv")
    out = tmp_path / "out"
    assert rows_of(out / "rana de cristal.detections.csv")[1:] == [["Río", "NA", "0"], ["norte", "1", "0"]]
    assert rows_of(out / "sites.csv")[1] == ["Río", "-3.5", "-69.0", "2", "0.0028"]
    long = pd.read_csv(out / "histories.csv")
    assert len(long) == 2 * 2 * 2
    assert long.groupby("label")["num_events"].sum().to_dict() == {"rana de cristal": 1, "búho: grande": 1}


def test_what_was_never_heard_has_its_zeros(cards: Path, tmp_path: Path) -> None:
    made(cards, tmp_path, label=("jaguar",))
    table = rows_of(tmp_path / "out" / "jaguar.detections.csv")
    assert table[1:] == [["norte", "0", "0"], ["sur", "NA", "0"]]


def test_what_cannot_be_done_is_said(cards: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lower --min_score"):
        made(cards, tmp_path, min_score=0.99)
    with pytest.raises(ValueError, match="check --between"):
        made(cards, tmp_path, between=("01:00", "02:00"))
    with pytest.raises(ValueError, match="'25:00' is no time of day"):
        made(cards, tmp_path, day_begins="25:00")
    with pytest.raises(ValueError, match="the two times are equal"):
        made(cards, tmp_path, between=("01:00", "01:00"))


def test_what_was_not_listened_to_is_na_and_never_zero(cards: Path, tmp_path: Path) -> None:
    listened = tmp_path / "escuchado.csv"
    listened.write_text(
        "file,start_s,end_s\nnorte_20240301_053000.wav,0,5\nsur_20240302_053000.wav,1,3\n", encoding="utf-8"
    )
    _, screen = made(cards, tmp_path, listened=listened)
    out = tmp_path / "out"
    assert rows_of(out / "rana de cristal.detections.csv")[1:] == [["norte", "1", "NA"], ["sur", "NA", "0"]]
    assert rows_of(out / "effort.csv")[1:] == [["norte", "0.0014", "0.0"], ["sur", "0.0", "0.0006"]]
    assert [row[3] for row in rows_of(out / "sites.csv")[1:]] == ["1", "1"]
    long = pd.read_csv(out / "histories.csv")
    assert long.groupby("label")["num_events"].sum().to_dict() == {"rana de cristal": 1, "búho: grande": 1}
    assert "3 recording(s) were not listened to and are NA" in screen
    _, screen = made(cards, tmp_path)
    assert "nothing says which recordings were listened to, so all count" in screen


@pytest.mark.parametrize("output", ["p.csv", "p.lance"])
def test_a_recording_that_predict_could_not_hear_or_has_not_reached_is_na(
    output: str, tmp_path: Path, write_wav: Callable[..., Path], single_label_model: Path
) -> None:
    """Its header is sound and its samples are not; another one is copied to the card after the run."""
    data = tmp_path / "Grabación Ñandú"
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000)
    for site in ("norte", "sur", "tarde"):
        write_wav(data / f"{site}_20240301_053000.wav", noise)
    broken = data / "sur_20240301_053000.flac"
    soundfile.write(broken, noise, 16_000)
    content = broken.read_bytes()
    broken.write_bytes(content[:100] + bytes(len(content) - 100))
    (data / "sur_20240301_053000.wav").unlink()
    late = (data / "tarde_20240301_053000.wav").rename(tmp_path / "tarde_20240301_053000.wav")
    flags = {"model_path": single_label_model, "data_dir": data, "output": tmp_path / output}
    quiet = Console(file=io.StringIO())
    outcome = predict(
        PredictConfig.model_validate({**flags, "events": "csv", "open_at": 0.01, "device": "cpu"}), quiet
    )
    assert [file.relative_path for file in outcome.unusable] == [broken.name]
    late.rename(data / late.name)
    config = {"events": f"{tmp_path / output}.events/events.csv", "data_dir": data, "label": ["file"]}
    histories(HistoriesConfig.model_validate({**config, "output_dir": tmp_path / "out"}), quiet)
    assert rows_of(tmp_path / "out" / "file.detections.csv") == [
        ["site", "2024-03-01"],
        ["norte", "1"],
        ["sur", "NA"],
        ["tarde", "NA"],
    ]
