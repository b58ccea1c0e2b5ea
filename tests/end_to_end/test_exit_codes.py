"""What the README's table of exit codes promises, with files whose names would be markup to the terminal."""

import csv
import shutil
import sys
from pathlib import Path

import pytest

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.cli.commands import main
from bioacoustics.data.synthesis import SyntheticDataset
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.saved import bundle_of_encoder, write_bundle

BROKEN = ("sitio [/x].wav", "sitio [av].wav")
TINY = "--model_size tiny --num_updates 1 --batch_size 2 --num_clones 1 --target_length 128 --device cpu"


def exit_code(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bioacoustics", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.fixture
def recordings(tmp_path: Path, tiny_data: SyntheticDataset) -> Path:
    """Recordings of which two are text, one of them in a folder."""
    folder = tmp_path / "unlabeled"
    shutil.copytree(tiny_data.unlabeled_dir, folder)
    for name in BROKEN:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("this is a letter and no sound")
    return folder


def reasons(path: Path, column: str) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row[column]: row["reason" if column == "file" else "problem"] for row in csv.DictReader(file)}


@pytest.mark.parametrize(("choice", "code"), [("report", 3), ("ignore", 0), ("stop", 1)])
def test_embedding_ends_as_the_user_chose(
    tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    choice: str, code: int,
) -> None:  # fmt: skip
    model, table = tmp_path / "tiny.pt", tmp_path / "out.csv"
    write_bundle(
        bundle_of_encoder(AudioEncoder(LogMelConfig.eat(), EATEncoder(EATConfig.of_size("tiny")))), model
    )
    words = ("embed", "--model_path", model, "--data_dir", recordings, "--output", table, "--device", "cpu")
    assert exit_code(monkeypatch, *words, "--bad_files", choice) == code
    said = capfd.readouterr().err
    if choice == "stop":
        assert "2 file(s) cannot be used, the first is sitio [/x].wav: it is a text file, not sound" in said
        assert not table.exists()
        return
    problems = reasons(tmp_path / "out.csv.problems.csv", "file")
    for name in BROKEN:
        assert f"unusable {name}: it is a text file, not sound" in said
        assert problems[name] == "it is a text file, not sound"


def test_pretraining_names_what_it_cannot_use(
    tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("pretrain", "--save_dir", tmp_path / "run", "--data_dir", recordings, *TINY.split())
    assert exit_code(monkeypatch, *words) == 3
    said, problems = capfd.readouterr().err, reasons(tmp_path / "run" / "problems.csv", "path")
    for name in BROKEN:
        assert said.count(f"unusable {name}: it is a text file, not sound") == 1
        assert problems[name] == "it is a text file, not sound"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("pretrain", "--save_dir", "x", "--data_dir", "no such folder"), 1, "no such folder"),
        (("pretrain", "--save_dir", "x", "--data_dir", "y", "--num_updates", "0"), 1, "--num_updates"),
        (("pretrain", "--save_dir", "x", "--data_dir", "y", "--nonsense", "1"), 2, "--nonsense"),
        (("finetune", "--save_dir", "x"), 2, "--data_dir"),
    ],
)
def test_what_cannot_begin_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    words: tuple[str, ...], code: int, message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert exit_code(monkeypatch, *words) == code
    assert message in capfd.readouterr().err
