"""The command line as a user meets it: exit codes, one sentence on standard error, and never a traceback."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from bioacoustics import __version__
from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.cli.commands import app, main
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.saved import bundle_of_encoder, read_bundle, write_bundle


class Trap:
    """Writes a file when it is unpickled the usual way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run a command line in this process; gives exit code, standard output and standard error."""

    def command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bioacoustics", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        code = 0 if end.value.code is None else end.value.code
        assert isinstance(code, int)
        said = capfd.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out, " ".join(said.err.split())  # narrow terminals break lines

    monkeypatch.setenv("COLUMNS", "300")
    return command


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.pt"
    config = EATConfig(embed_dim=32, depth=2, num_heads=2, num_position_columns=16)
    write_bundle(bundle_of_encoder(AudioEncoder(LogMelConfig.eat(), EATEncoder(config))), path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / name, np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    return folder


def test_the_module_and_the_script_are_one_command() -> None:
    words = [sys.executable, "-m", "bioacoustics", "version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == __version__
    assert done.stderr == ""


def test_no_command_waits_for_plotting_to_load() -> None:
    code = (
        "import sys, bioacoustics.cli.commands; sys.exit(bool({'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_command_has_a_sentence_and_every_flag_has_help(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("--help")
    assert code == 0
    names = [command.name for command in app.registered_commands]
    assert set(names) >= {"doctor", "pretrain", "adapt", "finetune", "embed", "predict", "convert", "demo"}
    for name in names:
        assert name in out
        code, help_text, _ = run(name, "--help")
        assert code == 0
        for line in help_text.splitlines():
            if line.startswith("│") and "--" in line[:8]:
                assert len(line.strip("│* ").split()) > 2, (name, line)


def test_embed_works_and_ignores_blank_words(run, model: Path, data: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A backslash at the end of the last line of a pasted command leaves a word of one space."""
    output = tmp_path / "out.csv"
    words = ("embed", "--model_path", model, "--data_dir", data, "--output", output, " ")
    assert run(*words)[0] == 0
    assert output.exists()


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (("--model_path", "no.pt"), 1, "no.pt: there is no such file or folder"),
        (("--data_dir", "nowhere"), 1, "nowhere: there is no such file or folder"),
        (("--output", "out.xlsx"), 1, "out.xlsx: tables are written as .csv or .parquet"),
        (("--output", "a.wav/out.csv"), 1, "a.wav"),
        (("--num_threads", "0"), 1, "--num_threads: Input should be greater than or equal to 1, got '0'"),
        (("--num_threads", "many"), 2, "Invalid value for '--num_threads'"),
        (("--batch_size", "0"), 1, "'auto' or: Input should be greater than or equal to 1, got '0'"),
        (
            ("--batch_size", "many"),
            1,
            "--batch_size: Input should be 'auto' or: Input should be a valid integer",
        ),
        (("--batch", "3"), 2, "No such option: --batch"),
        (("--channel", "middle"), 1, "--channel: "),
        (("--pooling", "max"), 2, "'max' is not one of"),
        (("--bad_files", "hide"), 2, "Invalid value for '--bad_files'"),
        (("--window_s", "0.001"), 1, "--window_s 0.001 is too short"),
        (("--window_s", "nan"), 1, "--window_s"),
        (("extra",), 2, "extra"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(  # type: ignore[no-untyped-def]
    run, model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    change: tuple[str, ...], code: int, message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(data)
    output = tmp_path / "out.csv"
    words = ("embed", "--model_path", model, "--data_dir", data, "--output", output, *change)
    got, _, said = run(*words)
    assert got == code, said
    assert message in said
    assert not output.exists()


def checkpoints(folder: Path) -> dict[str, Path]:
    """Files and folders that are no model, by what they are."""
    found = {
        name: folder / f"{name}.pt" for name in ("text", "empty", "list", "state", "trap", "raw trap", "cut")
    }
    found["text"].write_text("<html>404</html>")
    found["empty"].touch()
    torch.save([1, 2], found["list"])
    torch.save({"format_version": 1, "settings": {}, "state": {}}, found["state"])
    torch.save({"model": {"x": Trap(folder / "sprung")}}, found["trap"])
    found["raw trap"].write_bytes(pickle.dumps(Trap(folder / "sprung"), protocol=2))
    whole = folder / "whole.pt"
    torch.save({"model": torch.zeros(1000)}, whole)
    found["cut"].write_bytes(whole.read_bytes()[:500])
    found["folder"] = folder
    return found


@pytest.mark.parametrize("command", ["embed", "predict", "convert", "pretrain", "finetune"])
@pytest.mark.parametrize("kind", ["text", "empty", "list", "state", "trap", "raw trap", "cut", "folder"])
def test_what_is_no_model_is_refused_and_never_run(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, data: Path, command: str, kind: str
) -> None:
    path = checkpoints(tmp_path)[kind]
    (tmp_path / "labels.csv").write_text("filename,labels\na.wav,frog\nb.wav,rain\n")
    flags = {
        "embed": ("--data_dir", data, "--output", tmp_path / "out.csv"),
        "predict": ("--data_dir", data, "--output", tmp_path / "out.csv"),
        "convert": ("--output_path", tmp_path / "out.pt"),
        "pretrain": ("--data_dir", data, "--save_dir", tmp_path / "run"),
        "finetune": ("--data_dir", data, "--labels", tmp_path / "labels.csv", "--save_dir", tmp_path / "run"),
    }
    code, _, said = run(command, "--model_path", path, *flags[command])
    assert code == 1
    assert f"error {path}: " in said
    assert not (tmp_path / "sprung").exists()
    assert not any((tmp_path / name).exists() for name in ("out.csv", "out.pt", "run"))
    if kind == "trap":
        assert "refused, because loading it would have to run code: it names posix.system" in said


def test_convert_there_and_back(run, tmp_path: Path, golden_eat: Path) -> None:  # type: ignore[no-untyped-def]
    def convert(source: Path, target: Path, to: str) -> str:
        code, _, said = run("convert", "--model_path", source, "--output_path", target, "--to", to)
        assert code == 0
        assert f"{target}: " in said
        return str(said)

    theirs = golden_eat / "pretrain_p1.pt"
    said = convert(theirs, tmp_path / "ours [av].safetensors", "bioacoustics")
    assert "pretraining of eat" in said
    convert(tmp_path / "ours [av].safetensors", tmp_path / "back.pt", "fairseq")
    states = [torch.load(path, weights_only=True) for path in (theirs, tmp_path / "back.pt")]
    assert_same(states[0], states[1])
    said = convert(theirs, tmp_path / "folder", "huggingface")
    assert "warning" in said
    assert read_bundle(tmp_path / "folder").header.kind == "encoder"


def assert_same(one: object, other: object) -> None:
    if isinstance(one, Tensor):
        assert isinstance(other, Tensor)
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert isinstance(other, dict)
        assert list(one) == list(other)
        for name, value in one.items():
            assert_same(value, other[name])
    else:
        assert one == other


def test_an_existing_file_where_a_folder_should_be(run, tmp_path: Path, data: Path, model: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "run").touch()
    words = ("--data_dir", data, "--save_dir", tmp_path / "run", "--model_path", model, "--target_length", 64)
    code, _, said = run("pretrain", *words)
    assert code == 1
    assert f"error {tmp_path / 'run'}: File exists" in said


def test_where_an_error_comes_from_can_be_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BIOACOUSTICS_DEBUG", "1")
    words = ["embed", "--model_path", "no.pt", "--data_dir", ".", "--output", str(tmp_path / "x.csv")]
    monkeypatch.setattr(sys, "argv", ["bioacoustics", *words])
    with pytest.raises(FileNotFoundError):
        main()


def test_the_doctor_speaks(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("doctor")
    assert code in {0, 1}  # a full disk makes it 1
    assert "decoder FLAC" in out
