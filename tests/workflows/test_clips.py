"""Clips for review: the right windows, each once, cut where they are."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console

from bioacoustics.workflows.clips import ClipsConfig, clips, read_candidates

RATE_HZ = 8000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording in which second i is the constant i / 100, and a table of its windows."""
    root = tmp_path_factory.mktemp("Espaço")
    seconds = np.repeat(np.arange(40) / 100, RATE_HZ)
    (root / "data" / "sub").mkdir(parents=True)
    soundfile.write(root / "data" / "sub" / "S_20240301_053000.wav", seconds, RATE_HZ, subtype="FLOAT")
    table = pd.DataFrame(
        {
            "file": "sub/S_20240301_053000.wav",
            "start_s": np.arange(40.0),
            "end_s": np.arange(40.0) + 1,
            "p(frog/toad)": np.arange(40) / 39,
            "p(owl)": [0.9] + [0.1] * 38 + [np.nan],
        }
    )
    table.to_csv(root / "windows.csv", index=False)
    table.to_parquet(root / "windows.parquet")
    return root


def config_of(folder: Path, output: Path, **values: object) -> ClipsConfig:
    given = {"predictions": folder / "windows.csv", "data_dir": folder / "data", "output_dir": output}
    return ClipsConfig.model_validate(given | {"num_clips": 4} | values)


def review(path: Path) -> list[dict[str, str]]:
    with (path / "review.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def seconds_of(rows: list[dict[str, str]], label: str, kind: str) -> list[int]:
    return [int(float(row["start_s"])) for row in rows if (row["label"], row["kind"]) == (label, kind)]


@pytest.mark.parametrize("table", ["windows.csv", "windows.parquet"])
def test_best_random_and_borderline(folder: Path, tmp_path: Path, console: Console, table: str) -> None:
    clips(config_of(folder, tmp_path, predictions=folder / table), console)
    rows = review(tmp_path)
    assert seconds_of(rows, "frog/toad", "best") == [39, 38, 37, 36]
    drawn = seconds_of(rows, "frog/toad", "random")
    assert len(drawn) == 4
    assert len(set(drawn)) == 4
    assert all(second >= 20 for second in drawn)  # at the threshold or above, whether among the best or not
    nearest = seconds_of(rows, "frog/toad", "borderline")
    expected = [second for second in (19, 20, 18, 21, 17, 22, 16, 23) if second not in drawn][:4]
    assert sorted(nearest) == sorted(expected)
    assert seconds_of(rows, "owl", "best")[0] == 0
    assert seconds_of(rows, "owl", "random") == [0]
    assert 39 not in {int(float(row["start_s"])) for row in rows if row["label"] == "owl"}  # no score
    assert len({row["clip"] for row in rows}) == len(rows)


def test_clips_hold_their_second(folder: Path, tmp_path: Path, console: Console) -> None:
    clips(config_of(folder, tmp_path, label="frog/toad", format="wav"), console)
    rows = review(tmp_path)
    assert {row["label"] for row in rows} == {"frog/toad"}
    for row in rows:
        samples, rate_hz = soundfile.read(tmp_path / row["clip"], dtype="float32")
        assert (rate_hz, len(samples)) == (RATE_HZ, RATE_HZ)
        assert (samples == np.float32(float(row["start_s"]) / 100)).all()
        assert row["clip"].startswith(f"frog_toad/{row['kind']}/")
        assert float(row["score"]) == pytest.approx(float(row["start_s"]) / 39)
    assert rows[0]["start_time"] == "2024-03-01T05:30:39.000"
    assert (rows[0]["time_source"], rows[0]["verdict"]) == ("name", "")


def test_context_and_deployments(folder: Path, tmp_path: Path, console: Console) -> None:
    (tmp_path / "d.csv").write_text("folder,zone\nsub,-05:00\n")
    config = config_of(
        folder,
        tmp_path,
        label="owl",
        num_clips=1,
        context_s=2.0,
        format="flac",
        deployments=tmp_path / "d.csv",
    )
    clips(config, console)
    first = review(tmp_path)[0]
    assert (first["start_s"], first["end_s"], first["start_time"]) == (
        "0.0",
        "3.0",
        "2024-03-01T05:30:00.000-05:00",
    )
    assert soundfile.info(tmp_path / first["clip"]).duration == 3.0


def test_the_same_seed_draws_the_same(folder: Path, tmp_path: Path, console: Console) -> None:
    drawn = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        clips(config_of(folder, tmp_path / name, label="frog/toad", seed=seed), console)
        drawn.append(seconds_of(review(tmp_path / name), "frog/toad", "random"))
    assert drawn[0] == drawn[1] != drawn[2]


def test_events_and_whole_files(folder: Path, tmp_path: Path, console: Console) -> None:
    (tmp_path / "events.csv").write_text(
        "file,start_s,end_s,label,score\nS_20240301_053000.wav,3,5,CON,0.7\nS_20240301_053000.wav,9,10,a.,0.6\n"
        "S_20240301_053000.wav,11,12,A,0.6\n"
    )
    clips(config_of(folder, tmp_path / "e", predictions=tmp_path / "events.csv"), console)
    rows = review(tmp_path / "e")
    assert [row["clip"].split("/")[0] for row in rows if row["kind"] == "best"] == ["A", "CON_", "a_"]
    (con, *_) = (row["clip"] for row in rows if row["label"] == "CON")
    assert soundfile.info(tmp_path / "e" / con).duration == 2.0
    (tmp_path / "files.csv").write_text("file,duration_s,p(x)\nsub/S_20240301_053000.wav,40,0.9\n")
    clips(config_of(folder, tmp_path / "f", predictions=tmp_path / "files.csv"), console)
    assert soundfile.info(tmp_path / "f" / review(tmp_path / "f")[0]["clip"]).duration == 40.0


def test_absent_recordings_are_told_and_the_rest_is_cut(
    folder: Path, tmp_path: Path, console: Console, said: Callable[[], str]
) -> None:
    (tmp_path / "t.csv").write_text(
        "file,start_s,end_s,p(x)\nabsent.wav,0,1,0.9\nsub/S_20240301_053000.wav,0,1,0.8\n"
    )
    outcome = clips(config_of(folder, tmp_path / "o", predictions=tmp_path / "t.csv"), console)
    assert [file.relative_path for file in outcome.unusable] == ["absent.wav"]
    assert {row["file"] for row in review(tmp_path / "o")} == {"sub/S_20240301_053000.wav"}
    assert "absent.wav: no such file" in said()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name,p(x)\na,1\n", "no column 'file'; its columns are name"),
        ("file,p(x)\na,high\n", r"the column p\(x\) holds something that is no number"),
        ("file,p(x)\na,1,2\n", "no table that can be read"),
        ("file,x\na,1\n", r"no scores; there must be columns p\(label\), or"),
    ],
)
def test_tables_without_scores(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        read_candidates(tmp_path / "t.csv")


def test_what_cannot_be_cut(folder: Path, tmp_path: Path, console: Console) -> None:
    with pytest.raises(FileNotFoundError, match="give a table that predict wrote"):
        read_candidates(tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"--label cat: .* has frog/toad, owl"):
        clips(config_of(folder, tmp_path, label="cat"), console)
    with pytest.raises(ValueError, match="no clip could be cut"):
        clips(config_of(folder, tmp_path, data_dir=tmp_path), console)
