"""The READMEs tell the truth: both show the same commands, and every one of them runs."""

import ast
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile
from packaging.requirements import Requirement

from bioacoustics.cli.commands import main
from bioacoustics.data.synthesis import SyntheticDataset

ROOT = Path(__file__).resolve().parents[2]
READMES = ("README.md", "README.es.md")
GUIDES = ("docs/guide.md", "docs/guia.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"bash", "python", "text"}  # text is shown, not run

# A later flag wins over an earlier one.
FEW_UPDATES = "--num_updates 2 --batch_size 2 --target_length 128 --validation_share 0.3"
CHEAPER = {
    "pretrain": f"{FEW_UPDATES} --model_size tiny --num_clones 2",
    "finetune": f"{FEW_UPDATES} --batch_size 8",
    "demo": "--pretrain_updates 1 --finetune_updates 1",
    "beats": f"{FEW_UPDATES} --model_size tiny --tokenizer_updates 2 --min_code_perplexity 0",
    "train": "--epochs 1 --batch_size 4 --segment_duration 1.28 --validation_share 0.3 --device cpu",
    "adapt": "--num_updates 1 --batch_size 2 --target_length 128 --num_clones 2",
    **dict.fromkeys(
        (
            *("embed", "predict", "events", "evaluate", "convert", "search"),
            *("audit", "clips", "import-labels", "histories"),
        ),
        "",
    ),
}
# Placeholders of the promised commands, by the flag before them.
PROMISED = {
    "--data_dir": "./data/unlabeled",
    "--model_path": "./checkpoints/pretrain/checkpoint_best.pt",
    "--labeled_dir": "./data/labeled",
    "--positive_dir": "./data/positive",
    "--negative_dir": "./data/negative",
}
CHEAPER_DEMO_DATA = "--num_unlabeled 4 --num_labeled_per_class 4"


def blocks(path: Path, language: str) -> list[str]:
    found = FENCE.findall(path.read_text(encoding="utf-8"))
    assert {kind for kind, _ in found} <= LANGUAGES, f"{path.name}: name the language of every block"
    return [text for kind, text in found if kind == language]


def commands(path: Path) -> list[str]:
    """Every command of the bash blocks, continuation lines joined, comments left out."""
    lines = "".join(blocks(path, "bash")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [shlex.join(command) for command in words if command]


def test_both_readmes_show_the_same_commands_in_the_same_order() -> None:
    english, spanish = (ROOT / name for name in READMES)
    assert commands(english) == commands(spanish)
    assert blocks(english, "bash") == blocks(spanish, "bash")


@pytest.mark.parametrize("twins", [READMES, GUIDES])
def test_twins_show_the_same_python(twins: tuple[str, str]) -> None:
    english, spanish = (
        [ast.dump(ast.parse(text)) for text in blocks(ROOT / name, "python")] for name in twins
    )
    assert english == spanish


@pytest.mark.parametrize("twins", [READMES, GUIDES])
def test_twins_have_the_same_sections_lists_and_tables(twins: tuple[str, str]) -> None:
    english, spanish = (
        re.findall(r"^(#+ |\||!\[|- |\*\*|```\w*)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        for name in twins
    )
    assert english == spanish


@pytest.mark.parametrize("name", [*READMES, *GUIDES, "docs/golden.md"])
def test_links_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    for target in targets:
        if not target.startswith("https://"):
            assert ((ROOT / name).parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("name", READMES)
def test_what_users_were_promised_stands_there_verbatim(shared: Path, name: str) -> None:
    shown = blocks(ROOT / name, "bash")
    promised = [
        text
        for text in blocks_of_promises(shared / "documented-commands.md")
        if (door := re.search(r"\S+/\S+\.(?:sh|py)", text)) and (ROOT / door.group()).exists()
    ]
    assert len(promised) >= 2
    for text in promised:
        assert text in shown


def blocks_of_promises(path: Path) -> list[str]:
    return [text for kind, text in FENCE.findall(path.read_text(encoding="utf-8")) if kind == "bash"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="make and the scripts need a POSIX shell")
def test_every_command_runs(
    tmp_path: Path,
    tiny_data: SyntheticDataset,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In the order of the README, in a folder laid out as it says: each finds what the last one left."""
    place = Workplace(tmp_path / "Grabación Ñandú 2026", tiny_data, monkeypatch)
    for command in commands(ROOT / "README.md"):
        place.run(command)
    names = place.run_python(blocks(ROOT / "README.md", "python"))
    check_shapes(names)
    assert "curves" in place.run_python(blocks(ROOT / "docs" / "guide.md", "python"))
    place.check_results()
    capfd.readouterr()


class Workplace:
    """A folder as the README's reader has it, and how each kind of command is tried there."""

    def __init__(self, folder: Path, data: SyntheticDataset, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        shutil.copytree(data.folder, folder / "data")
        shutil.copytree(data.audio_dir, folder / "data" / "raw" / "audio")
        shutil.copy(data.labels_csv, folder / "data" / "labeled" / "labels_descriptors.csv")
        for door in ("scripts", "beats"):
            (folder / door).symlink_to(ROOT / door)
        for number, path in enumerate(sorted((folder / "data" / "unlabeled").iterdir())):
            path.rename(
                path.with_name(f"RIO_20260301_{number:02d}0000{path.suffix}")
            )  # as recorders name them
        audio = folder / "data" / "raw" / "audio"
        self.lay_examples(sorted(path for path in audio.rglob("*") if path.is_file()))
        monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
        monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        self.doers: dict[str, Callable[[list[str]], None]] = {
            "pip": self.pip,
            "make": self.make,
            "bioacoustics": self.bioacoustics,
            "./scripts/pretrain.sh": self.script,
            "./scripts/finetune.sh": self.script,
            "torchrun": self.torchrun,
            "accelerate": self.accelerate,
            "streamlit": self.page,
        }

    def lay_examples(self, clips: list[Path]) -> None:
        """Examples of a sound and of what it is not, sounds to search with, and an annotation."""
        for kind, some in (("positive", clips[:8]), ("negative", clips[-8:])):
            (self.folder / "data" / kind).mkdir()
            for clip in some:
                shutil.copy(clip, self.folder / "data" / kind)
        for name, clip in (("owl.wav", clips[0]), ("rain.wav", clips[-1])):
            samples, rate_hz = soundfile.read(clip)
            soundfile.write(self.folder / name, samples, rate_hz)
        (self.folder / "annotations").mkdir()
        notes = ["0.1\t0.9\tfrog\n", "1.0\t1.5\tcricket\n"]
        (self.folder / "annotations" / f"{clips[0].stem}.txt").write_text("".join(notes))

    def run(self, command: str) -> None:
        words = shlex.split(command)
        if words[0] not in self.doers:
            pytest.fail(f"the README shows a command that this test cannot try: {command}")
        self.doers[words[0]](words)

    def pip(self, words: list[str]) -> None:
        """The files it names exist and can be read; nothing is installed."""
        assert words[:2] == ["pip", "install"]
        check_requirements(words[2:])

    def make(self, words: list[str]) -> None:
        """What make would run, tried at once: `make test` within the tests would never end."""
        told = subprocess.run(
            ["make", "-n", "--no-print-directory", *words[1:]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            # `make test` hands its own flags on to every make below it.
            env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        )
        python, *recipe = shlex.split(told.stdout.splitlines()[-1])
        assert python == ".venv/bin/python"
        match words[1:]:
            case ["test"]:
                assert recipe[:2] == ["-m", "pytest"]
                assert not any((ROOT / word).exists() for word in recipe[2:]), "all tests, not some"
            case ["demo", *settings]:
                assert recipe[:3] == ["-m", "bioacoustics", "demo"]
                self.bioacoustics([*recipe[1:], *([] if settings else CHEAPER_DEMO_DATA.split())])
                self.check_report(Path(recipe[recipe.index("--output_dir") + 1]))
            case _:
                pytest.fail(f"the README shows a target that this test cannot try: {words}")

    def page(self, words: list[str]) -> None:
        """Started as a reader would, looked at, and ended; a free port, as others may run beside it."""
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = str(probe.getsockname()[1])
        if words[0] == "streamlit":
            places = {**PROMISED, "--checkpoint_path": PROMISED["--model_path"]}
            words = [
                places[flag] if word in {"DIR", "CHECKPOINT"} else word
                for flag, word in zip(["", *words], words, strict=False)
            ]
            words[2:2] = ["--server.port", port, "--server.headless", "true"]
        else:
            words = [*words, "--port", port, "--no_browser"]
        environment = os.environ | {"BIOACOUSTICS_CACHE": str(self.folder / "cache")}
        process = subprocess.Popen(words, cwd=self.folder, env=environment)
        try:
            look_at(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait()

    def bioacoustics(self, words: list[str]) -> None:
        """In this process, as the command's own entry point runs it."""
        if words[1] == "explore":
            self.page(words)
            return
        if words[1] == "doctor":
            assert self.exit_code(words) in {0, 1}  # 1: something is missing on this machine
            return
        if "./published/eat.pt" in words:
            self.publish()
        kind = "beats" if words[1:4] == ["pretrain", "--model", "beats"] else words[1]
        assert self.exit_code(words + CHEAPER[kind].split()) == 0, words

    def exit_code(self, words: list[str]) -> int:
        self.monkeypatch.setattr(sys, "argv", words)
        with chdir(self.folder), pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0)

    def script(self, words: list[str]) -> None:
        self.process(words + CHEAPER[Path(words[0]).stem].split())

    def torchrun(self, words: list[str]) -> None:
        """On one machine, which is the first, with one process."""
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = probe.getsockname()[1]
        words = changed(words, {"--nnodes": ("2", "1"), "--nproc_per_node": ("4", "1")})
        words = changed(words, {"--rdzv_endpoint": ("first-machine:29500", f"localhost:{port}")})
        self.process(words + CHEAPER["pretrain"].split())

    def accelerate(self, words: list[str]) -> None:
        """On the processor, with one process."""
        if words[2] == "beats/train.py":
            self.train(words)
            return
        assert words[:3] == ["accelerate", "launch", "--multi_gpu"]
        words = changed(["accelerate", "launch", "--cpu", *words[3:]], {"--num_processes": ("4", "1")})
        self.process(words + CHEAPER["pretrain"].split())

    def train(self, words: list[str]) -> None:
        """The promised commands, with a folder of its own for each run where they say DIR."""
        number = len(list((self.folder / "checkpoints").glob("train_*")))
        places = {**PROMISED, "--output_dir": f"./checkpoints/train_{number}"}
        filled = [
            places[flag] if word in {"DIR", "CHECKPOINT"} else word
            for flag, word in zip(["", *words], words, strict=False)
        ]
        self.process(["accelerate", "launch", "--cpu", *filled[2:], *CHEAPER["train"].split()])

    def process(self, words: list[str]) -> None:
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"

    def publish(self) -> None:
        """Lay down a file in fairseq's layout, as a reader who fetched one has it."""
        path = self.folder / "published" / "eat.pt"
        if not path.exists():
            path.parent.mkdir()
            words = ["--model_path", "./checkpoints/pretrain/checkpoint_best.pt", "--to", "fairseq"]
            convert = ["bioacoustics", "convert", *words, "--output_path", "./published/eat.pt"]
            assert self.exit_code(convert) == 0

    def run_python(self, texts: list[str]) -> dict[str, Any]:
        """One after the other, as if pasted into one session; returns the names they made."""
        names: dict[str, Any] = {}
        with chdir(self.folder):
            for text in texts:
                exec(compile(text, "block of a page", "exec"), names)
        return names

    def check_report(self, folder: Path) -> None:
        report = (self.folder / folder / "report.html").read_text(encoding="utf-8")
        assert "<img" in report
        assert 'src="http' not in report

    def check_results(self) -> None:
        names = {"checkpoint_best.pt", "checkpoint_last.pt", "metrics.jsonl", "problems.csv", "losses.png"}
        for run in ("pretrain", "finetune", "machines", "accelerate", "adapted"):
            assert names <= {path.name for path in (self.folder / "checkpoints" / run).iterdir()}, run
        names = {"per_class.csv", "predictions.csv", "confusion.png"}
        assert names <= {path.name for path in (self.folder / "checkpoints" / "finetune").iterdir()}
        embeddings = pd.read_parquet(self.folder / "embeddings.parquet")
        assert list(embeddings.columns) == [
            *("file", "start_s", "end_s", "findings", "channel", "site", "start_time", "time_source"),
            *("model", "front_end", "audio", "embedding"),
        ]
        assert embeddings["file"].nunique() == 6
        predictions = pd.read_csv(self.folder / "predictions.csv")
        assert list(predictions.columns[:4]) == ["file", "duration_s", "predicted", "probability"]
        assert len(predictions) == 6
        assert sum(column.startswith("p(") for column in predictions.columns) == 10
        assert (self.folder / "eat.safetensors").exists()
        for run in ("train_0", "train_1", "beats", "verdict"):
            assert (self.folder / "checkpoints" / run / "checkpoint_last.pt").exists(), run
        for name in ("checkpoints/verdict/report.html", "finds/index.html", "finds.txt", "audit.html"):
            assert (self.folder / name).stat().st_size > 0, name
        for name in (
            *("heard.csv.events/events.csv", "heard.csv.events/raven/all.selections.txt"),
            *("evaluation/report.html", "evaluation/per_class.csv"),
        ):
            assert (self.folder / name).stat().st_size > 0, name
        assert {"frog", "cricket"} == set(
            pd.read_csv(self.folder / "labels.csv")["labels"].str.split(",").sum()
        )
        assert any((self.folder / "review").rglob("*.wav"))
        assert (self.folder / "classifier_hf" / "config.json").exists()


def look_at(address: str) -> None:
    """Wait for the page, and in a browser, where there is one, for its map."""
    until = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                break
        except OSError:
            assert time.monotonic() < until, f"nobody answers at {address}"
            time.sleep(0.2)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(address)
        page.locator(".map[data-count]").wait_for()
        assert int(page.locator(".map").get_attribute("data-count") or 0) > 0
        browser.close()


def check_shapes(names: dict[str, Any]) -> None:
    """What the comments of the Python block say."""
    clips, dim, classes = 2, names["encoder"].embedding_dim, len(names["classifier"].labels)
    assert names["log_mel"].shape == (clips, 512, 128)  # 498 frames, whole patches
    assert names["features"].patches.shape == (clips, 512 // 16 * 8, dim)
    assert names["features"].cls.shape == names["embeddings"].shape == (clips, dim)
    assert names["logits"].shape == names["probabilities"].shape == (clips, classes)
    assert set(names["heard"]) <= set(names["classifier"].labels)


def changed(words: list[str], changes: dict[str, tuple[str, str]]) -> list[str]:
    """The words with the value of some flags changed, which must be what the README shows."""
    words = list(words)
    for flag, (shown, tried) in changes.items():
        place = words.index(flag) + 1
        assert words[place] == shown
        words[place] = tried
    return words


def check_requirements(words: list[str]) -> None:
    """Follow `-r`, `-c` and `-e` of pip to files and extras that exist."""
    rest = iter(words)
    for word in rest:
        match word:
            case "-r" | "-c":
                for line in (ROOT / next(rest)).read_text(encoding="utf-8").splitlines():
                    check_requirements(line.partition("#")[0].split())
            case "-e":
                path, _, extras = next(rest).partition("[")
                project = tomllib.loads((ROOT / path / "pyproject.toml").read_text(encoding="utf-8"))[
                    "project"
                ]
                wanted = {name for name in extras.rstrip("]").split(",") if name}
                assert wanted <= set(project["optional-dependencies"])
            case _:
                Requirement(word)
